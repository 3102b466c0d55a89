//! T43: what a panic on the way of a request costs: that request or its connection, never the process, the worker or a connection beside
//! it; and it is counted.

use bytes::Bytes;
use http_body_util::Full;
use mesh_lifecycle::failpoint;
use mesh_model::name::Name;
use mesh_model::policy::{Action, AuthorizationPolicy, Rule, Scope};
use mesh_proto::convert::ModelResource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::harness::*;

/// Asks on a connection that is open; the answer, or nothing if the connection ends first.
async fn asked(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = soon(stream.read_to_string(&mut answer)).await;
    answer
}

/// Panics are counted for the whole process, by the name of the task: whoever counts those of one name does so alone.
static COUNTED: Mutex<()> = Mutex::const_new(());

/// Two connections to the same worker; one meets a panic at `place`, the other goes on.
async fn one_is_lost(place: &str, path: &str, task: &str) {
    let _alone = COUNTED.lock().await;
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (client, server) = mesh.pair(app, None);
    let mut doomed = TcpStream::connect(client.outbound()).await.unwrap();
    let mut beside = TcpStream::connect(client.outbound()).await.unwrap();
    let panics = &["mesh_task_panics_total", task];
    let before = client.count(panics).await;
    failpoint::arm(place, path, 1);
    assert_eq!(asked(&mut doomed, path).await, "", "lost without an answer");
    let answer = asked(&mut beside, "/beside").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    // The same again on a new connection: nothing is left behind that would refuse it.
    let (status, _, body) = fetch(&mesh.tasks, client.outbound(), get("cart", path)).await;
    assert_eq!((status, body.as_str()), (200, "hello"));
    client.counts(panics, before + 1.0).await;
    assert!(client.running.ready.is_ready() && server.running.ready.is_ready());
    // The place of the lost connection is free again.
    client.counts(&["mesh_connections_open", "outbound"], 0.0).await;
}

#[tokio::test]
async fn a_panic_in_a_filter_costs_one_connection() {
    one_is_lost("filter", "/panic-in-a-filter", "task=\"outbound\"").await;
}

#[tokio::test]
async fn a_panic_in_the_codec_of_http1_costs_one_connection() {
    one_is_lost("http/1", "/panic-in-http1", "task=\"outbound\"").await;
}

#[tokio::test]
async fn a_panic_in_the_codec_of_http2_costs_the_connection_between_sidecars_and_what_waits_on_it_is_told() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let (client, server) = mesh.pair(app, None);
    assert_eq!(fetch(&mesh.tasks, client.outbound(), get("cart", "/first")).await.0, 200);
    let panics = &["mesh_task_panics_total", "task=\"inbound\""];
    let before = server.count(panics).await;
    // Between sidecars requests of HTTP/1 travel as streams of one connection.
    failpoint::arm("http/2", "/panic-in-http2", 1);
    let request = http::Request::post("/panic-in-http2").header("host", "cart");
    let request = request.body(Full::from(Bytes::from_static(b"once"))).unwrap();
    let (status, failure, _) = fetch(&mesh.tasks, client.outbound(), request).await;
    assert!(status >= 500 && !failure.is_empty(), "{status} {failure}");
    server.counts(panics, before + 1.0).await;
    let (status, _, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/panic-in-http2")).await;
    assert_eq!((status, body.as_str()), (200, "hello"));
    server.counts(&["mesh_connections_open", "inbound"], 1.0).await;
}

/// T47 as well: what cannot be judged again is not allowed.
#[tokio::test]
async fn a_panic_while_open_requests_are_judged_again_cuts_them_and_the_worker_goes_on() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let mut head = vec![0; 4096];
        let _ = stream.read(&mut head).await;
        let _ =
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
        let _ = stream.read(&mut head).await;
    })
    .await;
    let (client, mut server) = mesh.pair(app, None);
    let mut stream = TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"GET /panic-judged HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    let mut got = vec![];
    while !String::from_utf8_lossy(&got).contains("hello") {
        assert!(soon(stream.read_buf(&mut got)).await.unwrap() > 0);
    }
    let panics = &["mesh_task_panics_total", "task=\"housekeeping\""];
    let before = server.count(panics).await;
    failpoint::arm("judged again", "/panic-judged", 1);
    let everybody = AuthorizationPolicy {
        name: Name::new("shop", "everybody").unwrap(),
        action: Action::Allow,
        rules: vec![Rule::default()],
        external: None,
        scope: Scope::All,
        refused: None,
        origin: "test.yaml:1".into(),
    };
    let mut resources = mesh.resources();
    resources.push(ModelResource::Authorization(everybody));
    server.control.replace(resources);
    let _ = soon(stream.read_to_end(&mut got)).await;
    server.counts(&["mesh_requests_total", "failure=\"policy_undecided\""], 1.0).await;
    server.counts(panics, before + 1.0).await;
    // The same worker takes the next one, and judges it.
    let mut next = TcpStream::connect(client.outbound()).await.unwrap();
    next.write_all(b"GET /next HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    let mut got = vec![];
    while !String::from_utf8_lossy(&got).contains("hello") {
        assert!(soon(next.read_buf(&mut got)).await.unwrap() > 0);
    }
    server.counts(&["mesh_policy_decisions_total", "allow", "everybody"], 1.0).await;
}
