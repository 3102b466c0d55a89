//! Requests of one client that stay with one endpoint.

use std::time::Duration;

use http::HeaderMap;
use mesh_model::endpoint::{Endpoints, PortEndpoints};
use mesh_model::name::ServiceName;
use mesh_model::traffic::{HashKey, SessionKind, SessionPersistence, TrafficSettings};
use mesh_proto::convert::ModelResource;

use crate::harness::*;
use crate::policies::*;

fn session(kind: SessionKind) -> impl FnOnce(&mut TrafficSettings) {
    move |settings| {
        settings.session = Some(SessionPersistence {
            name: "sticky".into(),
            kind,
            absolute_timeout: (kind == SessionKind::PermanentCookie).then_some(Duration::from_mins(10)),
            idle_timeout: None,
        });
    }
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let set = headers.get("set-cookie")?.to_str().unwrap();
    Some(set.split(';').next().unwrap().to_owned())
}

async fn ask_with(mesh: &Mesh, client: &Sidecar, name: &str, value: &str) -> (String, HeaderMap) {
    let mut request = get("cart", "/");
    request.headers_mut().insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    let (_, headers, body) = exchange(mesh, client.outbound(), request).await;
    (body, headers)
}

#[tokio::test]
async fn a_cookie_sticks_and_survives_a_change_of_endpoints() {
    let mut mesh = Mesh::new();
    let mut apps = vec![];
    for text in ["a", "b", "c", "d"] {
        apps.push(says(&mesh.tasks, text).await);
    }
    let mut client = cart(&mut mesh, &apps[..3], session(SessionKind::PermanentCookie));
    let (_, headers, first) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    let token = cookie(&headers).expect("a new session");
    assert!(headers["set-cookie"].to_str().unwrap().contains("Max-Age=600"), "{headers:?}");
    let address = apps[["a", "b", "c"].iter().position(|text| *text == first).unwrap()].to_string();
    assert!(!token.contains(&address));
    for _ in 0..20 {
        let (body, headers) = ask_with(&mesh, &client, "cookie", &format!("x=1; {token}")).await;
        assert_eq!((body.as_str(), cookie(&headers)), (first.as_str(), None));
    }
    let stays = apps[["a", "b", "c"].iter().position(|text| *text == first).unwrap()];
    let endpoints = |list: &[std::net::SocketAddr]| {
        let endpoints = list.iter().map(|at| plain(*at)).collect();
        let ports = vec![PortEndpoints { service_port: 80, endpoints }];
        ModelResource::Endpoints(Endpoints { service: ServiceName::new("shop", "cart").unwrap(), ports })
    };
    let resources = |list: &[std::net::SocketAddr]| {
        let mut all = mesh.resources();
        all.retain(|one| !matches!(one, ModelResource::Endpoints(_)));
        all.push(endpoints(list));
        all
    };
    client.control.replace(resources(&[stays, apps[3]]));
    until(|| async { exchange(&mesh, client.outbound(), get("cart", "/")).await.2 == "d" }).await;
    for _ in 0..10 {
        assert_eq!(ask_with(&mesh, &client, "cookie", &token).await.0, first);
    }
    // Its endpoint goes: another one is picked, and the client is told.
    client.control.replace(resources(&[apps[3]]));
    until(|| async { ask_with(&mesh, &client, "cookie", &token).await.0 == "d" }).await;
    let (_, headers) = ask_with(&mesh, &client, "cookie", &token).await;
    assert!(cookie(&headers).is_some_and(|new| new != token));
}

#[tokio::test]
async fn a_header_sticks_and_another_proxy_knows_it() {
    let mut mesh = Mesh::new();
    let apps = [says(&mesh.tasks, "a").await, says(&mesh.tasks, "b").await, says(&mesh.tasks, "c").await];
    let client = cart(&mut mesh, &apps, session(SessionKind::Header));
    let other = mesh.client(&[("cart", 80)]);
    let (_, headers, first) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    let token = headers["sticky"].to_str().unwrap();
    for sidecar in [&client, &other] {
        for _ in 0..10 {
            assert_eq!(ask_with(&mesh, sidecar, "sticky", token).await.0, first);
        }
    }
    let (_, headers) = ask_with(&mesh, &client, "sticky", "made.up.token").await;
    assert!(headers.contains_key("sticky"), "a token that means nothing is replaced");
}

/// Two versions behind one route, `percent` of the requests for the second one, divided by what `key` says.
fn split(mesh: &mut Mesh, versions: &[std::net::SocketAddr; 2], percent: u32, key: HashKey) {
    for (name, at) in ["cart-v1", "cart-v2"].into_iter().zip(versions) {
        mesh.service(name, 80, None, vec![plain(*at)]);
    }
    mesh.service("cart", 80, None, vec![plain(versions[0])]);
    let backends = vec![backend("cart-v1", 100 - percent), backend("cart-v2", percent)];
    mesh.route("cart", vec![rule("/", vec![], backends)]);
    mesh.services.push(policy("cart", |settings| settings.split = Some(key)));
}

/// Which version answers each user, told by a header.
async fn versions_of_users(mesh: &Mesh, client: &Sidecar, users: u32) -> Vec<String> {
    let mut versions = vec![];
    for user in 0..users {
        versions.push(ask_with(mesh, client, "x-user", &format!("user-{user}")).await.0);
    }
    versions
}

#[tokio::test]
async fn a_user_stays_with_a_version_and_only_moves_when_weights_make_it() {
    let mut mesh = Mesh::new();
    let apps = [says(&mesh.tasks, "v1").await, says(&mesh.tasks, "v2").await];
    split(&mut mesh, &apps, 20, HashKey::Header("x-user".into()));
    let mut client = mesh.client(&[("cart", 80)]);
    let before = versions_of_users(&mesh, &client, 200).await;
    assert_eq!(versions_of_users(&mesh, &client, 200).await, before, "the same users, the same versions");
    let of_second = |versions: &[String]| versions.iter().filter(|version| *version == "v2").count();
    assert!((20..=60).contains(&of_second(&before)), "{}", of_second(&before));

    let mut grown = Mesh::new();
    split(&mut grown, &apps, 60, HashKey::Header("x-user".into()));
    client.control.replace(grown.resources());
    let moves = before.iter().position(|version| version == "v1").unwrap();
    let moved = (moves..200).find(|user| {
        let place = mesh_traffic::cohort::place(
            &ServiceName::new("shop", "cart").unwrap(),
            format!("user-{user}").as_bytes(),
        );
        before[*user] == "v1" && place > u64::MAX / 10 * 4
    });
    let first = format!("user-{}", moved.expect("some user is between the borders"));
    until(|| async { ask_with(&mesh, &client, "x-user", &first).await.0 == "v2" }).await;
    let after = versions_of_users(&mesh, &client, 200).await;
    for (user, (before, after)) in before.iter().zip(&after).enumerate() {
        assert!(before == "v1" || after == "v2", "user {user} was sent back");
    }
    assert!((90..=150).contains(&of_second(&after)), "{}", of_second(&after));
}

#[tokio::test]
async fn a_client_without_the_cookie_gets_one_and_stays() {
    let mut mesh = Mesh::new();
    let apps = [says(&mesh.tasks, "v1").await, says(&mesh.tasks, "v2").await];
    let key = HashKey::Cookie { name: "cohort".into(), ttl: Some(Duration::from_mins(10)) };
    split(&mut mesh, &apps, 50, key);
    let client = mesh.client(&[("cart", 80)]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let (_, headers, version) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
        let token = cookie(&headers).expect("a cookie");
        assert!(
            token.starts_with("cohort=") && headers["set-cookie"].to_str().unwrap().contains("Max-Age=600")
        );
        for _ in 0..3 {
            let (same, headers) = ask_with(&mesh, &client, "cookie", &token).await;
            assert_eq!((same.as_str(), cookie(&headers)), (version.as_str(), None));
        }
        seen.insert(version);
    }
    assert_eq!(seen.len(), 2, "both versions have clients");
}
