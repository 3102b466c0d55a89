//! Copies of requests.

use std::sync::Arc;

use http::Response;
use http_body_util::Full;
use mesh_model::compare::Compare;
use mesh_model::name::ServiceName;
use mesh_model::route::{BackendTarget, Filter, Mirror};
use mesh_model::traffic::Ppm;

use crate::harness::*;
use crate::policies::*;

fn mirror(name: &str, share: u32) -> Filter {
    let target = BackendTarget::Service { service: ServiceName::new("shop", name).unwrap(), port: 80 };
    Filter::Mirror(Mirror { target, share: Ppm(share), compare: None })
}

/// `cart` with these filters; each of `copies` is a service of that name.
fn mirrored(mesh: &mut Mesh, app: &Scripted, copies: &[(&str, &Scripted)], filters: Vec<Filter>) -> Sidecar {
    mesh.service("cart", 80, None, vec![plain(app.address)]);
    for (name, copy) in copies {
        mesh.service(name, 80, None, vec![plain(copy.address)]);
    }
    mesh.route("cart", vec![rule("/", filters, vec![backend("cart", 1)])]);
    mesh.client(&[("cart", 80)])
}

#[tokio::test]
async fn every_mirror_gets_the_request_with_its_body_and_nobody_sees_its_answer() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let a = scripted(&mesh.tasks, vec![line(500)]).await;
    let b = scripted(&mesh.tasks, vec![line(500)]).await;
    let filters = vec![mirror("copy-a", 1_000_000), mirror("copy-b", 1_000_000)];
    let client = mirrored(&mut mesh, &app, &[("copy-a", &a), ("copy-b", &b)], filters);
    assert_eq!(exchange(&mesh, client.outbound(), request("POST", "pay")).await.0, 200);
    assert_eq!(exchange(&mesh, client.outbound(), get("cart", "/")).await.0, 200);
    for copy in [&a, &b] {
        until(|| async { copy.hits() == 2 }).await;
        let mut bodies = copy.bodies();
        bodies.sort();
        assert_eq!(bodies, ["", "pay"]);
    }
    client.counts(&["mesh_events", "\"mirrored\""], 4.0).await;
}

#[tokio::test]
async fn a_mirror_that_hangs_or_is_gone_holds_nothing_up() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let stuck = scripted(&mesh.tasks, vec![hangs()]).await;
    let filters = vec![mirror("stuck", 1_000_000), mirror("gone", 1_000_000)];
    let client = mirrored(&mut mesh, &app, &[("stuck", &stuck)], filters);
    for _ in 0..20 {
        assert_eq!(exchange(&mesh, client.outbound(), request("POST", "pay")).await.0, 200);
    }
    until(|| async { stuck.hits() == 20 }).await;
}

#[tokio::test]
async fn a_share_of_the_requests_is_copied() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let copy = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = mirrored(&mut mesh, &app, &[("copy", &copy)], vec![mirror("copy", 250_000)]);
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    for _ in 0..400 {
        text(soon(sender.send_request(get("cart", "/"))).await.unwrap()).await;
    }
    let copied = client.count(&["mesh_events", "\"mirrored\""]).await;
    until(|| async { client.count(&["mesh_events", "\"mirrored\""]).await >= 50.0 }).await;
    assert!(copied <= 160.0 && copy.hits() <= 160, "{copied} of 400");
    assert_eq!(app.hits(), 400);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_copied() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let copy = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = mirrored(&mut mesh, &app, &[("copy", &copy)], vec![mirror("copy", 1_000_000)]);
    let large: &'static str = String::leak("x".repeat(300 * 1024));
    assert_eq!(exchange(&mesh, client.outbound(), request("POST", large)).await.0, 200);
    client.counts(&["mesh_events", "\"mirror_too_large\""], 1.0).await;
    assert_eq!((app.bodies()[0].len(), copy.hits()), (large.len(), 0));
}

/// `cart` with `copy` as its mirror, whose answers are compared.
fn compared(mesh: &mut Mesh, app: &Scripted, copy: &Scripted, compare: Compare) -> Sidecar {
    let target = BackendTarget::Service { service: ServiceName::new("shop", "copy").unwrap(), port: 80 };
    let mirror = Mirror { target, share: Ppm(1_000_000), compare: Some(Arc::new(compare)) };
    mirrored(mesh, app, &[("copy", copy)], vec![Filter::Mirror(mirror)])
}

#[tokio::test]
async fn answers_are_compared_and_only_what_may_be_repeated_is_asked_twice() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let copy = scripted(&mesh.tasks, vec![line(500)]).await;
    let client = compared(&mut mesh, &app, &copy, Compare::default());
    assert_eq!(exchange(&mesh, client.outbound(), request("POST", "pay")).await.0, 200);
    client.counts(&["mesh_events", "\"compared\""], 1.0).await;
    assert_eq!((app.hits(), copy.hits()), (1, 1), "a POST is not sent a second time");
    for _ in 0..2 {
        assert_eq!(exchange(&mesh, client.outbound(), get("cart", "/")).await.0, 200);
    }
    client.counts(&["mesh_events", "\"compared\""], 3.0).await;
    client.counts(&["mesh_events", "\"compare_twin\""], 2.0).await;
    assert_eq!((app.hits(), copy.hits()), (5, 3));
}

#[tokio::test]
async fn a_request_whose_caller_gets_no_answer_is_not_compared_and_a_copy_without_one_is() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let mut gone = scripted(&mesh.tasks, vec![line(200)]).await;
    gone.address = ([127, 0, 0, 1], 1).into();
    let no_twins = Compare { twins: Ppm(0), ..Compare::default() };
    let client = compared(&mut mesh, &app, &gone, no_twins.clone());
    assert_eq!(exchange(&mesh, client.outbound(), get("cart", "/")).await.0, 200);
    client.counts(&["mesh_events", "\"compared\""], 1.0).await;
    assert_eq!(app.hits(), 1);

    let mut mesh = Mesh::new();
    let copy = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = compared(&mut mesh, &gone, &copy, no_twins);
    assert_eq!(exchange(&mesh, client.outbound(), get("cart", "/")).await.0, 503);
    client.counts(&["mesh_events", "\"mirrored\""], 1.0).await;
    until(|| async { copy.hits() == 1 }).await;
    assert!(client.count(&["mesh_events", "\"compared\""]).await < 1.0);
}

#[tokio::test]
async fn comparisons_are_bounded_by_the_second_and_copies_are_not() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let copy = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = compared(&mut mesh, &app, &copy, Compare::default());
    let mut sent = 0;
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    while client.count(&["mesh_events", "\"compare_rate\""]).await < 1.0 {
        for _ in 0..50 {
            text(soon(sender.send_request(get("cart", "/"))).await.unwrap()).await;
            sent += 1;
        }
    }
    client.counts(&["mesh_events", "\"mirrored\""], f64::from(sent)).await;
}

#[tokio::test]
async fn a_large_answer_passes_whole_and_is_compared_by_its_length() {
    let mut mesh = Mesh::new();
    let json = |size: usize| {
        origin(&mesh.tasks, move |_| async move {
            let body = format!("\"{}\"", "x".repeat(size));
            Response::builder().header("content-type", "application/json").body(Full::from(body)).unwrap()
        })
    };
    let (app, copy) = (json(300_000).await, json(10).await);
    mesh.service("cart", 80, None, vec![plain(app)]);
    mesh.service("copy", 80, None, vec![plain(copy)]);
    let target = BackendTarget::Service { service: ServiceName::new("shop", "copy").unwrap(), port: 80 };
    let mirror = Mirror { target, share: Ppm(1_000_000), compare: Some(Arc::default()) };
    mesh.route("cart", vec![rule("/", vec![Filter::Mirror(mirror)], vec![backend("cart", 1)])]);
    let client = mesh.client(&[("cart", 80)]);
    let (status, headers, body) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, body.len(), headers["content-length"].to_str().unwrap()), (200, 300_002, "300002"));
    client.counts(&["mesh_events", "\"compare_cut\""], 1.0).await;
}
