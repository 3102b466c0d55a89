//! The end of a proxy: nothing that was begun is lost.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, Version};
use http_body_util::Full;
use mesh_model::service::Protocol;
use tokio::sync::Semaphore;

use crate::harness::*;

#[tokio::test]
async fn a_server_that_drains_loses_no_request() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let mut servers = [mesh.server("cart", app), mesh.server("cart", app)];
    let endpoints = servers.iter().map(|server| mesh.member(server.inbound(), "cart")).collect();
    mesh.service("cart", 80, None, endpoints);
    let client = mesh.client(&[("cart", 80)]);
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    for round in 0..600 {
        if round == 100 {
            servers[0].running.drain();
        }
        if round == 500 {
            soon(servers[0].running.ended()).await.unwrap();
        }
        sender.ready().await.unwrap();
        let response = soon(sender.send_request(get("cart", "/"))).await.unwrap();
        assert_eq!(response.status(), 200, "round {round}: {:?}", response.headers());
        assert_eq!(text(response).await, "hello");
    }
}

#[tokio::test]
async fn requests_in_flight_end_before_the_proxy_does() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut mesh = Mesh::new();
        let gate = Arc::new(Semaphore::new(0));
        let held = Arc::clone(&gate);
        let app = origin(&mesh.tasks, move |_| {
            let held = Arc::clone(&held);
            async move {
                drop(held.acquire().await);
                Response::new(Full::from("done"))
            }
        })
        .await;
        let (mut client, server) = mesh.pair(app, Some(Protocol::Http1));
        let address = client.outbound();
        let request = async {
            if protocol == Protocol::Http1 {
                let mut sender = http1(&mesh.tasks, address).await;
                text(sender.send_request(get("cart", "/")).await.unwrap()).await
            } else {
                let mut sender = http2(&mesh.tasks, address).await;
                let request = http::Request::get("http://cart/")
                    .version(Version::HTTP_2)
                    .body(Full::default())
                    .unwrap();
                text(sender.send_request(request).await.unwrap()).await
            }
        };
        let drain = async {
            server.counts(&["mesh_connections_total", "inbound"], 1.0).await;
            client.running.drain();
            until(|| async { tokio::net::TcpStream::connect(address).await.is_err() }).await;
            assert_eq!(client.running.ready.pending().first(), Some(&"draining"));
            gate.add_permits(1);
            client.running.ended().await.unwrap();
        };
        let (body, ()) = tokio::join!(soon(request), soon(drain));
        assert_eq!(body, "done");
    }
}

#[tokio::test]
async fn what_does_not_end_by_the_deadline_is_broken() {
    let mut mesh = Mesh::new();
    let app = origin(&mesh.tasks, |_| std::future::pending()).await;
    let server = mesh.server("cart", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let mut client = mesh.client_with(&[("cart", 80)], |config| config.drain = Duration::from_millis(100));
    let mut sender = http1(&mesh.tasks, client.outbound()).await;
    let request = sender.send_request(get("cart", "/"));
    let drain = async {
        server.counts(&["mesh_connections_total", "inbound"], 1.0).await;
        client.running.drain();
        client.running.ended().await.unwrap();
    };
    let (answer, ()) = tokio::join!(soon(request), soon(drain));
    assert!(answer.is_err());
}
