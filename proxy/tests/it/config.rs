//! Configuration that comes late, and traffic without it.

use std::time::Duration;

use crate::harness::*;

#[tokio::test]
async fn without_configuration_requests_wait_then_get_503_and_are_served_once_it_is_there() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let server = mesh.server("cart", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    mesh.configured = false;
    let mut client =
        mesh.client_with(&[("cart", 80)], |config| config.timeouts.discovery = Duration::from_millis(50));
    let (status, failure, body) = fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await;
    assert_eq!((status, failure.as_str()), (503, "config_unavailable"), "{body}");
    client.control.replace(mesh.resources());
    assert_eq!(fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await.0, 200);
}

#[tokio::test]
async fn a_request_that_waits_for_configuration_is_served_when_it_comes() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let server = mesh.server("cart", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    mesh.configured = false;
    let mut client =
        mesh.client_with(&[("cart", 80)], |config| config.timeouts.discovery = Duration::from_secs(30));
    let proxy = client.proxy();
    let request = fetch(&mesh.tasks, proxy, get("cart", "/"));
    let later = async {
        client.counts(&["mesh_connections_total", "outbound"], 1.0).await;
        client.control.replace(mesh.resources());
    };
    let (got, ()) = tokio::join!(soon(request), later);
    assert_eq!((got.0, got.2.as_str()), (200, "hello"));
}

#[tokio::test]
async fn it_is_ready_once_it_has_configuration() {
    let mesh = Mesh::new();
    let client = mesh.client(&[]);
    soon(client.running.ready.wait()).await;
    let answer = ask(
        client.running.addrs.metrics.unwrap(),
        b"GET /readyz HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn endpoints_that_change_are_followed() {
    let mut mesh = Mesh::new();
    let (one, two) = (says(&mesh.tasks, "one").await, says(&mesh.tasks, "two").await);
    let (first, second) = (mesh.server("cart", one), mesh.server("cart", two));
    let endpoint = mesh.member(first.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let mut client = mesh.client(&[("cart", 80)]);
    assert_eq!(fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await.2, "one");
    mesh.services.clear();
    let endpoint = mesh.member(second.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    client.control.replace(mesh.resources());
    assert_eq!(fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await.2, "two");
}
