//! Requests of one client that stay with one endpoint.

use std::time::Duration;

use http::HeaderMap;
use mesh_model::endpoint::{Endpoints, PortEndpoints};
use mesh_model::name::ServiceName;
use mesh_model::traffic::{SessionKind, SessionPersistence, TrafficSettings};
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
