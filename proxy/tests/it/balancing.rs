//! Which endpoint a request goes to by the algorithm of the policy, through real sockets.

use std::time::Duration;

use mesh_model::traffic::{Algorithm, HashKey};
use mesh_proto::convert::ModelResource;

use crate::endpoints::*;
use crate::harness::*;
use crate::policies::plain;

#[tokio::test]
async fn least_request_avoids_a_slow_endpoint() {
    let mut mesh = Mesh::new();
    let slow = held(&mesh.tasks).await;
    let fast = says(&mesh.tasks, "fast").await;
    cart(&mut mesh, vec![plain(slow.address), plain(fast)], |settings| {
        algorithm(settings, Algorithm::LeastRequest { choices: 2 });
    });
    let client = mesh.client(&[("cart", 80)]);
    slow.occupy(&mesh, &client).await;
    for _ in 0..50 {
        assert_eq!(answer(&mesh, &client).await, "fast");
    }
    slow.gate.add_permits(1000);
}

#[tokio::test]
async fn round_robin_takes_turns() {
    let mut mesh = Mesh::new();
    let mut endpoints = vec![];
    for name in ["a", "b", "c"] {
        endpoints.push(plain(says(&mesh.tasks, name).await));
    }
    cart(&mut mesh, endpoints, |settings| algorithm(settings, Algorithm::RoundRobin));
    let client = mesh.client(&[("cart", 80)]);
    let mut got = vec![];
    for _ in 0..9 {
        got.push(answer(&mesh, &client).await);
    }
    for name in ["a", "b", "c"] {
        assert_eq!(got.iter().filter(|one| *one == name).count(), 3, "{got:?}");
    }
}

#[tokio::test]
async fn a_header_keeps_its_endpoint_by_ring_and_by_maglev() {
    let key = HashKey::Header("x-user".into());
    for algorithm in [
        Algorithm::RingHash { key: key.clone(), ring_size: 1024, bounded_load: None },
        Algorithm::Maglev { key, table_size: 65_537, bounded_load: None },
    ] {
        let mut mesh = Mesh::new();
        let mut endpoints = vec![];
        for name in ["a", "b", "c"] {
            endpoints.push(plain(says(&mesh.tasks, name).await));
        }
        cart(&mut mesh, endpoints, |settings| crate::endpoints::algorithm(settings, algorithm));
        let client = mesh.client(&[("cart", 80)]);
        let mut seen = std::collections::BTreeSet::new();
        for user in 0..30 {
            let mut first = None;
            for _ in 0..4 {
                let mut request = get("cart", "/");
                request.headers_mut().insert("x-user", user.to_string().parse().unwrap());
                let text = fetch(&mesh.tasks, client.outbound(), request).await.2;
                assert_eq!(*first.get_or_insert_with(|| text.clone()), text, "user {user}");
            }
            seen.extend(first);
        }
        assert_eq!(seen.len(), 3);
    }
}

#[tokio::test]
async fn a_client_keeps_its_endpoint_by_its_address() {
    let mut mesh = Mesh::new();
    let mut endpoints = vec![];
    for name in ["a", "b", "c", "d", "e"] {
        endpoints.push(plain(says(&mesh.tasks, name).await));
    }
    cart(&mut mesh, endpoints, |settings| {
        algorithm(
            settings,
            Algorithm::Maglev { key: HashKey::SourceAddress, table_size: 251, bounded_load: None },
        );
    });
    let client = mesh.client(&[("cart", 80)]);
    let first = answer(&mesh, &client).await;
    for _ in 0..20 {
        assert_eq!(answer(&mesh, &client).await, first);
    }
}

#[tokio::test]
async fn a_cookie_is_set_and_keeps_its_client_with_an_endpoint() {
    let mut mesh = Mesh::new();
    let mut endpoints = vec![];
    for name in ["a", "b", "c", "d", "e"] {
        endpoints.push(plain(says(&mesh.tasks, name).await));
    }
    cart(&mut mesh, endpoints, |settings| {
        let key = HashKey::Cookie { name: "lane".into(), ttl: Some(Duration::from_mins(5)) };
        algorithm(settings, Algorithm::Maglev { key, table_size: 251, bounded_load: None });
    });
    let clients = [mesh.client(&[("cart", 80)]), mesh.client(&[("cart", 80)])];
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let mut sender = http1(&mesh.tasks, clients[0].outbound()).await;
        let response = soon(sender.send_request(get("cart", "/"))).await.unwrap();
        let set = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(set.starts_with("lane=") && set.contains("Max-Age=300"), "{set}");
        let first = text(response).await;
        // Another proxy finds the same endpoint, and a cookie that came is not set once more.
        for client in &clients {
            let mut request = get("cart", "/");
            let cookie = format!("x=1; {}", set.split(';').next().unwrap());
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
            let mut sender = http1(&mesh.tasks, client.outbound()).await;
            let response = soon(sender.send_request(request)).await.unwrap();
            assert_eq!(response.headers().get("set-cookie"), None);
            assert_eq!(text(response).await, first);
        }
        seen.insert(first);
    }
    assert!(seen.len() > 1, "each client has a value of its own");
}

#[tokio::test]
async fn by_default_the_one_with_less_under_way_is_taken() {
    let mut mesh = Mesh::new();
    let slow = held(&mesh.tasks).await;
    let fast = says(&mesh.tasks, "fast").await;
    cart(&mut mesh, vec![plain(slow.address), plain(fast)], |_| {});
    let client = mesh.client(&[("cart", 80)]);
    slow.occupy(&mesh, &client).await;
    for _ in 0..50 {
        assert_eq!(answer(&mesh, &client).await, "fast");
    }
    slow.gate.add_permits(1000);
}

#[tokio::test]
async fn more_requests_than_an_endpoint_may_have_fail_with_a_code() {
    let mut mesh = Mesh::new();
    let app = held(&mesh.tasks).await;
    cart(&mut mesh, vec![plain(app.address)], |settings| {
        settings.balancing.get_or_insert_default().max_requests_per_endpoint = Some(1);
    });
    let client = mesh.client(&[("cart", 80)]);
    app.occupy(&mesh, &client).await;
    let (status, failure, text) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure.as_str()), (503, "circuit_open"), "{text}");
    assert!(text.contains("maxRequestsPerEndpoint"), "{text}");
    app.gate.add_permits(1000);
    until(|| async { answer(&mesh, &client).await == "held" }).await;
}

#[tokio::test]
async fn a_changed_algorithm_is_in_force_at_once() {
    let mut mesh = Mesh::new();
    let slow = held(&mesh.tasks).await;
    let fast = says(&mesh.tasks, "fast").await;
    let endpoints = vec![plain(slow.address), plain(fast)];
    cart(&mut mesh, endpoints, |settings| algorithm(settings, Algorithm::RoundRobin));
    let mut client = mesh.client(&[("cart", 80)]);
    slow.occupy(&mesh, &client).await;
    let Some(ModelResource::Policy(policy)) = mesh.services.last_mut() else { unreachable!() };
    algorithm(&mut policy.settings, Algorithm::LeastRequest { choices: 2 });
    client.control.replace(mesh.resources());
    // What was under way under the old one still counts.
    for _ in 0..20 {
        assert_eq!(answer(&mesh, &client).await, "fast");
    }
    slow.gate.add_permits(1000);
}
