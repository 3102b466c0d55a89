//! Faults on purpose, and answers without a backend.

use std::time::Duration;

use mesh_model::traffic::{Abort, DirectResponse, Fault, Ppm};

use crate::harness::*;
use crate::policies::*;

const ALL: Ppm = Ppm(1_000_000);

#[tokio::test]
async fn an_abort_answers_in_place_of_the_backend() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = cart(&mut mesh, &[app.address], |s| {
        s.fault = Some(Fault { abort: Some((Abort::Http(418), ALL)), ..Fault::default() });
    });
    let (status, headers, body) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure(&headers), app.hits()), (418, "fault_injected", 0));
    assert!(body.contains("trafficpolicy/shop/cart spec.fault"), "{body}");
    let (status, _) = call(&mesh, &client, None).await;
    assert_eq!(status, "2", "418 has no gRPC status of its own");
    client.counts(&["mesh_events", "\"fault_abort\""], 2.0).await;
}

#[tokio::test]
async fn a_grpc_abort_has_its_status() {
    let mut mesh = Mesh::new();
    let client = cart(&mut mesh, &[nobody()], |s| {
        s.fault = Some(Fault { abort: Some((Abort::Grpc(8), ALL)), ..Fault::default() });
    });
    assert_eq!(call(&mesh, &client, None).await.0, "8");
}

#[tokio::test]
async fn a_share_of_the_requests_is_failed() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = cart(&mut mesh, &[app.address], |s| {
        s.fault = Some(Fault { abort: Some((Abort::Http(500), Ppm(500_000))), ..Fault::default() });
    });
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    let mut failed = 0_u32;
    for _ in 0..400 {
        let response = soon(sender.send_request(get("cart", "/"))).await.unwrap();
        failed += u32::from(response.status() == 500);
        text(response).await;
    }
    assert!((120..280).contains(&failed), "{failed} of 400");
}

#[tokio::test]
async fn a_delay_holds_only_requests_with_the_header_up() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let delay = Duration::from_hours(1);
    let client = cart(&mut mesh, &[app.address], |s| {
        let headers = vec![("x-slow".into(), "yes".into())];
        s.fault = Some(Fault { delay: Some((delay, ALL)), headers, ..Fault::default() });
    });
    assert_eq!(status(&mesh, &client).await, 200);
    client.counts(&["mesh_events", "\"fault_delay\""], 0.0).await;
    let mut slow = get("cart", "/");
    slow.headers_mut().insert("x-slow", "yes".parse().unwrap());
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    mesh.tasks.spawn("delayed", async move { drop(sender.send_request(slow).await) });
    client.counts(&["mesh_events", "\"fault_delay\""], 1.0).await;
    // It is held up while others, which came later, pass.
    assert_eq!(status(&mesh, &client).await, 200);
    assert_eq!(app.headers("x-slow"), ["", ""]);
}

#[tokio::test]
async fn after_its_delay_a_request_goes_on() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = cart(&mut mesh, &[app.address], |s| {
        s.fault = Some(Fault { delay: Some((Duration::from_millis(20), ALL)), ..Fault::default() });
    });
    assert_eq!((status(&mesh, &client).await, app.hits()), (200, 1));
    client.counts(&["mesh_events", "\"fault_delay\""], 1.0).await;
}

#[tokio::test]
async fn a_direct_response_needs_no_backend() {
    let mut mesh = Mesh::new();
    let client = cart(&mut mesh, &[], |s| {
        let (body, content_type) = ("{\"closed\":true}".into(), "application/json".into());
        s.direct_response = Some(DirectResponse { status: 503, body, content_type });
    });
    let (status, headers, body) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, body.as_str()), (503, "{\"closed\":true}"));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(failure(&headers), "");
}
