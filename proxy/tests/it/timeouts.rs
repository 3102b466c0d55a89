//! How long things may take.

use std::time::Duration;

use http::Request;
use mesh_model::traffic::{RequestTimeouts, Retries};
use mesh_traffic::deadline;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;
use crate::policies::*;

const SHORT: Duration = Duration::from_millis(100);

fn timeouts(edit: impl FnOnce(&mut RequestTimeouts)) -> RequestTimeouts {
    let mut timeouts = RequestTimeouts::default();
    edit(&mut timeouts);
    timeouts
}

#[tokio::test]
async fn a_request_and_an_attempt_fail_with_their_own_codes() {
    for (code, edit) in [
        ("request_timeout", (|t| t.request = Some(SHORT)) as fn(&mut RequestTimeouts)),
        ("attempt_timeout", |t| t.attempt = Some(SHORT)),
        ("stream_timeout", |t| t.stream = Some(SHORT)),
        ("idle_timeout", |t| t.idle = Some(SHORT)),
    ] {
        let mut mesh = Mesh::new();
        let app = scripted(&mesh.tasks, vec![hangs()]).await;
        let client = cart(&mut mesh, &[app.address], |s| {
            s.timeouts = Some(timeouts(edit));
            s.retries = Some(Retries { attempts: 0, ..retries(0, &[]) });
        });
        let (status, headers, _) = exchange(&mesh, client.outbound(), get("cart", "/")).await;
        assert_eq!((status, failure(&headers)), (504, code));
    }
}

#[tokio::test]
async fn a_body_that_pauses_is_broken_off_when_nothing_moves() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
        std::future::pending::<()>().await;
    })
    .await;
    let client = cart(&mut mesh, &[app], |s| s.timeouts = Some(timeouts(|t| t.idle = Some(SHORT))));
    let head = b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";
    let answer = ask(client.outbound(), head).await;
    assert!(answer.ends_with(b"half"), "{}", String::from_utf8_lossy(&answer));
    client.counts(&["mesh_requests_total", "failure=\"idle_timeout\""], 1.0).await;
}

#[tokio::test]
async fn a_grpc_deadline_shrinks_and_ends_the_call() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![grpc(0, None), hangs()]).await;
    let client = cart(&mut mesh, &[app.address], |_| {});
    assert_eq!(call(&mesh, &client, Some("20S")).await.0, "0");
    let told = deadline::grpc(&app.headers("grpc-timeout")[0]).unwrap();
    assert!(told < Duration::from_secs(20), "{told:?}");
    let (status, headers) = call(&mesh, &client, Some("100m")).await;
    assert_eq!((status.as_str(), failure(&headers)), ("4", "request_timeout"));
}

#[tokio::test]
async fn the_next_hop_is_told_how_long_it_is_waited_for() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = cart(&mut mesh, &[app.address], |s| {
        s.timeouts = Some(timeouts(|t| t.request = Some(Duration::from_secs(20))));
    });
    assert_eq!(status(&mesh, &client).await, 200);
    let shorter = Request::get("/").header("host", "cart").header(deadline::TIMEOUT_MS, "5000");
    let shorter = shorter.body(http_body_util::Full::default()).unwrap();
    assert_eq!(exchange(&mesh, client.outbound(), shorter).await.0, 200);
    let told: Vec<u64> = app.headers(deadline::TIMEOUT_MS).iter().map(|ms| ms.parse().unwrap()).collect();
    assert!(told[0] <= 20_000 && told[0] > 5000 && told[1] <= 5000, "{told:?}");
}

#[tokio::test]
async fn a_websocket_lives_no_longer_than_a_stream_may() {
    let mut mesh = Mesh::new();
    let app = peer(&mesh.tasks, |mut stream| async move {
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await;
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";
        let _ = stream.write_all(answer).await;
        std::future::pending::<()>().await;
    })
    .await;
    let client = cart(&mut mesh, &[app], |s| s.timeouts = Some(timeouts(|t| t.stream = Some(4 * SHORT))));
    let head = b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let answer = ask(client.outbound(), head).await;
    assert!(answer.ends_with(b"hello"), "{}", String::from_utf8_lossy(&answer));
    client.counts(&["mesh_requests_total", "failure=\"stream_timeout\""], 1.0).await;
}
