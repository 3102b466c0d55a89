//! Copies of requests.

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
