//! Connections that capture brings to a sidecar, whatever their destination. That the kernel says it rightly is tested where there are
//! network namespaces; here it is told.

use std::net::SocketAddr;

use mesh_model::address::{Address, Meaning, Served, ServedPort};
use mesh_model::name::ServiceName;
use mesh_model::service::{OwnPort, OwnServices, Protocol};
use mesh_model::settings::{MtlsMode, OutboundMode};
use mesh_proto::convert::ModelResource;
use mesh_proxy::config::{Config, Original};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::*;

/// Everything that the application opens goes to `original`.
fn outbound_to(original: SocketAddr) -> impl FnOnce(&mut Config) {
    move |config| {
        config.capture.outbound.push(any_port());
        config.capture.how = Original::Always(original);
    }
}

/// Everything that others open is for `original`.
fn inbound_to(original: SocketAddr) -> impl FnOnce(&mut Config) {
    move |config| {
        config.inbound.clear();
        config.capture.inbound.push(any_port());
        config.capture.how = Original::Always(original);
    }
}

/// What comes until the end, or that the end was a reset.
async fn outcome(stream: &mut TcpStream) -> Result<Vec<u8>, std::io::ErrorKind> {
    let mut all = vec![];
    soon(stream.read_to_end(&mut all)).await.map(|_| all).map_err(|error| error.kind())
}

/// What becomes of a client that says nothing. The reset may come before the connect has returned.
async fn outcome_at(address: SocketAddr) -> Result<Vec<u8>, std::io::ErrorKind> {
    match TcpStream::connect(address).await {
        Ok(mut stream) => outcome(&mut stream).await,
        Err(error) => Err(error.kind()),
    }
}

#[tokio::test]
async fn what_the_mesh_does_not_know_passes_to_where_it_was_going() {
    let mut mesh = Mesh::new();
    mesh.settings.outbound_mode = OutboundMode::AllowAny;
    let there = echo(&mesh.tasks).await;
    let client = mesh.client_with(&[], outbound_to(there));
    let mut stream = TcpStream::connect(client.running.addrs.captured_outbound[0]).await.unwrap();
    // The name leads nowhere: the address is what counts.
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: nowhere.invalid\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = String::from_utf8(outcome(&mut stream).await.unwrap()).unwrap();
    assert!(answer.contains("GET /x") && answer.contains("host: nowhere.invalid"), "{answer}");
    assert!(!answer.contains("traceparent"), "untouched: {answer}");
    drop(stream);
    client.counts(&["mesh_requests_total", "tcp", "plaintext", "outbound"], 1.0).await;
    client.counts(&["unknown_host_passed"], 1.0).await;
}

#[tokio::test]
async fn what_the_mesh_does_not_know_is_refused_where_only_known_services_may_be_called() {
    let mesh = Mesh::new();
    let there = echo(&mesh.tasks).await;
    let client = mesh.client_with(&[], outbound_to(there));
    let address = client.running.addrs.captured_outbound[0];
    let (status, failure, text) = fetch(&mesh.tasks, address, get("example.com", "/")).await;
    assert_eq!((status, failure.as_str()), (502, "unknown_destination"), "{text}");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"\x00\x01not http").await.unwrap();
    assert_eq!(outcome(&mut stream).await, Err(std::io::ErrorKind::ConnectionReset));
    client.counts(&["mesh_requests_total", "tcp", "unknown_destination"], 1.0).await;
}

#[tokio::test]
async fn the_virtual_address_of_a_service_is_the_service() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let server = mesh.server("cart", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let vip: SocketAddr = "10.96.0.7:80".parse().unwrap();
    let meaning = Meaning::Service(ServiceName::new("shop", "cart").unwrap());
    mesh.services.push(ModelResource::Address(Address { ip: vip.ip(), meaning }));
    let client = mesh.client_with(&[], outbound_to(vip));
    let address = client.running.addrs.captured_outbound[0];
    // The name in the request may be any: the destination decides.
    let (status, _, text) = fetch(&mesh.tasks, address, get("whatever", "/x")).await;
    assert_eq!(status, 200, "{text}");
    client.counts(&["mesh_requests_total", "service=\"cart\"", "mtls", "outbound"], 1.0).await;
}

#[tokio::test]
async fn the_own_address_of_an_endpoint_is_that_endpoint() {
    for protocol in [None, Some(Protocol::Tcp)] {
        let mut mesh = Mesh::new();
        let app = echo(&mesh.tasks).await;
        let server = mesh.server("cart", app);
        let endpoint = mesh.member(server.inbound(), "cart");
        mesh.service("cart", 80, protocol, vec![endpoint.clone()]);
        // As the application dials it; the sidecar has another port.
        let pod: SocketAddr = "10.1.0.7:8080".parse().unwrap();
        let service = Some((ServiceName::new("shop", "cart").unwrap(), 80));
        let ports = vec![ServedPort { port: pod.port(), endpoint, service }];
        let meaning = Meaning::Served(Served { ports, others: None });
        mesh.services.push(ModelResource::Address(Address { ip: pod.ip(), meaning }));
        let client = mesh.client_with(&[], outbound_to(pod));
        let address = client.running.addrs.captured_outbound[0];
        let (status, _, text) = fetch(&mesh.tasks, address, get("10.1.0.7", "/x")).await;
        assert_eq!(status, 200, "{text}");
        let spoken = if protocol.is_some() { "\"tcp\"" } else { "\"http\"" };
        let who = "destination_workload=\"cart\"";
        client.counts(&["mesh_requests_total", spoken, who, "mtls", "outbound"], 1.0).await;
    }
}

#[tokio::test]
async fn a_connection_to_the_proxy_itself_is_refused() {
    let mesh = Mesh::new();
    let free = TcpListener::bind(any_port()).await.unwrap().local_addr().unwrap();
    let itself = |config: &mut Config| {
        config.capture.outbound.push(free);
        config.capture.inbound.push(any_port());
        config.capture.how = Original::Always(free);
    };
    let client = mesh.client_with(&[], itself);
    for address in [free, client.running.addrs.captured_inbound[0]] {
        assert_eq!(outcome_at(address).await, Err(std::io::ErrorKind::ConnectionReset));
    }
    client.counts(&["loop_refused"], 2.0).await;
}

#[tokio::test]
async fn what_nobody_redirected_has_no_destination() {
    let mesh = Mesh::new();
    let client = mesh.client_with(&[], |config| config.capture.outbound.push(any_port()));
    let address = client.running.addrs.captured_outbound[0];
    assert_eq!(outcome_at(address).await, Err(std::io::ErrorKind::ConnectionReset));
    // With connection tracking the system says that it was for the proxy, without it nothing.
    let sum =
        || async { client.count(&["loop_refused"]).await + client.count(&["no_original_destination"]).await };
    until(|| async { (sum().await - 1.0).abs() < f64::EPSILON }).await;
}

#[tokio::test]
async fn captured_inbound_takes_mutual_tls_and_strict_refuses_the_rest() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let server = mesh.server_with(mesh.ca.identity("shop", "cart"), "cart", app, inbound_to(app));
    let inbound = server.running.addrs.captured_inbound[0];
    let endpoint = mesh.member(inbound, "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let client = mesh.client(&[("cart", 80)]);
    let (status, _, text) = fetch(&mesh.tasks, client.outbound(), get("cart", "/x")).await;
    assert_eq!(status, 200, "{text}");
    server.counts(&["mesh_requests_total", "mtls", "inbound", "200"], 1.0).await;
    let mut plain = TcpStream::connect(inbound).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    assert_eq!(outcome(&mut plain).await, Err(std::io::ErrorKind::ConnectionReset));
    server.counts(&["plaintext_refused", "inbound"], 1.0).await;
}

#[tokio::test]
async fn a_program_on_loopback_is_reached_at_ports_that_a_service_declares() {
    let mut mesh = Mesh::new();
    mesh.settings.mtls_mode = MtlsMode::Permissive;
    let app = says(&mesh.tasks, "from loopback").await;
    // The workload's address, where nobody listens: the program is on 127.0.0.1.
    let own = SocketAddr::from(([127, 7, 7, 7], app.port()));
    for declared in [true, false] {
        let mut resources = mesh.resources();
        let service = ServiceName::new("shop", "cart").unwrap();
        let ports = if declared { vec![OwnPort { address: own, service, port: 80 }] } else { vec![] };
        resources.push(ModelResource::Own(OwnServices { ports }));
        let mut server = mesh.server_with(mesh.ca.identity("shop", "cart"), "cart", app, inbound_to(own));
        server.control.replace(resources);
        let inbound = server.running.addrs.captured_inbound[0];
        let (status, failure, text) = fetch(&mesh.tasks, inbound, get("cart", "/")).await;
        let want = if declared { (200, "") } else { (503, "connect_failed") };
        assert_eq!((status, failure.as_str()), want, "{text}");
    }
}

#[tokio::test]
async fn a_workload_that_calls_itself_reaches_its_application() {
    let mut mesh = Mesh::new();
    let app = echo(&mesh.tasks).await;
    let endpoint = mesh.member(app, "web");
    mesh.service("web", 80, None, vec![endpoint]);
    let service = ServiceName::new("shop", "web").unwrap();
    let ports = vec![OwnPort { address: app, service, port: 80 }];
    mesh.services.push(ModelResource::Own(OwnServices { ports }));
    let client = mesh.client_with(&[("web", 80)], |config| config.capture.inbound.push(any_port()));
    let (status, _, text) = fetch(&mesh.tasks, client.outbound(), get("web", "/x")).await;
    assert_eq!(status, 200, "{text}");
    client.counts(&["mesh_requests_total", "service=\"web\"", "plaintext", "outbound"], 1.0).await;
}

// T33
#[tokio::test]
async fn the_admin_port_is_not_reached_through_the_mesh_even_where_a_service_declares_it() {
    let mut mesh = Mesh::new();
    mesh.settings.mtls_mode = MtlsMode::Permissive;
    mesh.settings.outbound_mode = OutboundMode::AllowAny;
    let free = || async { TcpListener::bind(any_port()).await.unwrap().local_addr().unwrap() };
    let (admin, proxy) = (free().await, free().await);
    for target in [admin, proxy] {
        // Whoever may write a Service beside the workload says that its port is one of the sidecar's own on loopback.
        let own = SocketAddr::from(([127, 7, 7, 7], target.port()));
        let service = ServiceName::new("shop", "cart").unwrap();
        let mut resources = mesh.resources();
        resources.push(ModelResource::Own(OwnServices {
            ports: vec![OwnPort { address: own, service, port: 80 }],
        }));
        let mut server = mesh.server_with(mesh.ca.identity("shop", "cart"), "cart", own, |config| {
            config.admin = Some(admin);
            config.outbound_proxy = Some(proxy);
            inbound_to(own)(config);
        });
        server.control.replace(resources);
        let inbound = server.running.addrs.captured_inbound[0];
        for path in ["/config", "/drain", "http://127.0.0.1/"] {
            let request = http::Request::post(path)
                .header("host", "localhost")
                .body(http_body_util::Full::default())
                .unwrap();
            let (status, failure, text) = fetch(&mesh.tasks, inbound, request).await;
            assert_eq!((status, failure.as_str()), (503, "connect_failed"), "{path}: {text}");
        }
        assert!(server.running.ready.is_ready());
        // Nor does the sidecar ask it for its application.
        let request = http::Request::post(format!("http://{admin}/drain")).header("host", admin.to_string());
        let (status, _, text) =
            fetch(&mesh.tasks, proxy, request.body(http_body_util::Full::default()).unwrap()).await;
        assert!(status >= 400 && text.contains("this proxy itself"), "{status} {text}");
        assert!(server.running.ready.is_ready(), "not drained");
        server.running.drain();
        soon(server.running.ended()).await.unwrap();
    }
}
