//! Names that lead out of the mesh, and members of services: what is answered, and where a connection to that answer ends.

use std::net::SocketAddr;

use mesh_dns::wire::kind;
use mesh_model::external::{ExternalPort, ExternalService, HostEntry, HostMeaning, Resolution};
use mesh_model::host::{Host, HostPattern};
use mesh_model::name;
use mesh_model::service::Protocol;
use mesh_proto::convert::ModelResource;
use mesh_proxy::config::{Config, Original};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::resolver::{Resolver, Says, says_address};
use super::{asked, ip, query, sidecar};
use crate::harness::*;

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn means(mesh: &mut Mesh, name: &str, meaning: HostMeaning) {
    mesh.services.push(ModelResource::Host(HostEntry { host: host(name), meaning }));
}

/// `api.example`, whose port 80 is at that port where `resolution` says.
fn external(mesh: &mut Mesh, target: u16, protocol: Option<Protocol>, resolution: Resolution) {
    let name = name::Name::new("shop", "api").unwrap();
    means(mesh, "api.example", HostMeaning::External(name.clone()));
    mesh.services.push(ModelResource::External(ExternalService {
        name,
        hosts: vec![HostPattern::parse("*.example").unwrap()],
        ports: vec![ExternalPort { port: 80, target, protocol, tls: None }],
        resolution,
        origin: String::new(),
    }));
}

/// All that the application opens was going to that address.
fn captures(original: SocketAddr) -> impl FnOnce(&mut Config) {
    move |config| {
        config.capture.outbound.push(any_port());
        config.capture.how = Original::Always(original);
    }
}

/// The address that a sidecar gives to a name. It comes from the name, so that another sidecar gives the same.
async fn virtual_address(mesh: &Mesh, name: &str) -> SocketAddr {
    let sidecar = sidecar(mesh, &[], captures("192.0.2.99:80".parse().unwrap()));
    let answer = asked(&sidecar, name, kind::A).await;
    let [address] = answer.addresses[..] else { panic!("{name}: {answer:?}") };
    assert!(address.to_string().starts_with("240.240."), "{name}: {address}");
    SocketAddr::new(address, 80)
}

#[tokio::test]
async fn a_connection_to_the_address_of_a_host_outside_leads_where_its_object_says() {
    // Only known hosts may be called here, so that an address that nobody knows would be refused.
    for by_name in [false, true] {
        let mut mesh = Mesh::new();
        let there = says(&mesh.tasks, "from outside").await;
        let resolver = Resolver::start(&mesh.tasks, says_address("127.0.0.1", 60)).await;
        let resolution = if by_name {
            Resolution::Dns(vec![host("origin.test")])
        } else {
            Resolution::Static(vec![there.ip()])
        };
        external(&mut mesh, there.port(), None, resolution);
        let address = virtual_address(&mesh, "api.example").await;
        let client = sidecar(&mesh, &[resolver.address], captures(address));
        assert_eq!(asked(&client, "API.example", kind::A).await.addresses, [address.ip()]);
        let to = client.running.addrs.captured_outbound[0];
        let (status, failure, text) = fetch(&mesh.tasks, to, get("api.example", "/")).await;
        assert_eq!((status, failure.as_str()), (200, ""), "{text}");
        assert!(text.contains("from outside"), "{text}");
    }
}

#[tokio::test]
async fn a_port_outside_that_is_declared_to_be_tcp_is_not_read() {
    let mut mesh = Mesh::new();
    let there = echo(&mesh.tasks).await;
    external(&mut mesh, there.port(), Some(Protocol::Tcp), Resolution::Static(vec![there.ip()]));
    let address = virtual_address(&mesh, "api.example").await;
    let client = sidecar(&mesh, &[], captures(address));
    assert_eq!(asked(&client, "api.example", kind::A).await.addresses, [address.ip()]);
    let mut stream = TcpStream::connect(client.running.addrs.captured_outbound[0]).await.unwrap();
    stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("GET /x") && !answer.contains("traceparent"), "{answer}");
    drop(stream);
    client.counts(&["mesh_requests_total", "\"tcp\"", "outbound"], 1.0).await;
}

#[tokio::test]
async fn without_capture_the_addresses_of_a_host_outside_are_its_own() {
    let fixed = [ip("192.0.2.10"), ip("2001:db8::10"), ip("192.0.2.11")];
    let rows = [
        (Resolution::Static(fixed.to_vec()), vec![ip("192.0.2.10"), ip("192.0.2.11")], 0),
        (Resolution::Dns(vec![host("origin.test")]), vec![ip("192.0.2.1")], 1),
        (Resolution::Dns(vec![]), vec![ip("192.0.2.1")], 1),
        (Resolution::None, vec![ip("192.0.2.1")], 1),
    ];
    for (resolution, addresses, of_resolver) in rows {
        let mut mesh = Mesh::new();
        let resolver = Resolver::start(&mesh.tasks, says_address("192.0.2.1", 60)).await;
        let said = format!("{resolution:?}");
        let names = matches!(&resolution, Resolution::Dns(names) if !names.is_empty());
        external(&mut mesh, 80, None, resolution);
        let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
        assert_eq!(asked(&sidecar, "api.example", kind::A).await.addresses, addresses, "{said}");
        assert_eq!(resolver.asked(), of_resolver, "{said}");
        let last = resolver.last();
        assert_eq!(last.is_some_and(|bytes| bytes.windows(6).any(|part| part == b"origin")), names, "{said}");
    }
}

#[tokio::test]
async fn an_application_that_chooses_among_addresses_gets_those_of_the_resolver() {
    let mut mesh = Mesh::new();
    let resolver = Resolver::start(&mesh.tasks, says_address("192.0.2.1", 60)).await;
    external(&mut mesh, 80, None, Resolution::None);
    let sidecar = sidecar(&mesh, &[resolver.address], captures("192.0.2.1:80".parse().unwrap()));
    assert_eq!(asked(&sidecar, "api.example", kind::A).await.addresses, [ip("192.0.2.1")]);
}

#[tokio::test]
async fn members_of_a_service_have_their_own_addresses() {
    let mut mesh = Mesh::new();
    let ips = vec![ip("10.1.0.7"), ip("fd00::7")];
    for name in ["db-0.db", "db-0.db.shop.svc.cluster.local"] {
        means(&mut mesh, name, HostMeaning::Endpoints(ips.clone()));
    }
    let resolver = Resolver::start(&mesh.tasks, |_| Says::NoName).await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    for name in ["db-0.db", "db-0.db.shop.svc.cluster.local"] {
        assert_eq!(asked(&sidecar, name, kind::A).await.addresses, [ips[0]], "{name}");
        assert_eq!(asked(&sidecar, name, kind::AAAA).await.addresses, [ips[1]], "{name}");
    }
    assert_eq!(resolver.asked(), 0);
    // What a search list makes of a host outside is nobody's.
    asked(&sidecar, "www.example.com.shop.svc.cluster.local", kind::A).await;
    assert_eq!(resolver.asked(), 1);
}

#[tokio::test]
async fn another_name_is_answered_with_what_it_stands_for() {
    let mut mesh = Mesh::new();
    mesh.service("cart", 80, None, vec![]);
    means(&mut mesh, "old-cart", HostMeaning::Alias(host("cart.shop.svc.cluster.local")));
    means(&mut mesh, "pay", HostMeaning::Alias(host("payments.example")));
    let resolver = Resolver::start(&mesh.tasks, says_address("192.0.2.1", 60)).await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    let cart = asked(&sidecar, "cart", kind::A).await.addresses;
    assert_eq!(asked(&sidecar, "old-cart", kind::A).await.addresses, cart);
    assert_eq!(resolver.asked(), 0);
    let to = super::address_of(&sidecar);
    let message = super::datagram(to, &query("pay", kind::A)).await;
    assert!(message.windows(18).any(|part| part == b"\x08payments\x07example\0"), "the other name is said");
    assert_eq!(super::read(&query("pay", kind::A), &message).addresses, [ip("192.0.2.1")]);
    assert!(resolver.last().unwrap().windows(8).any(|part| part == b"payments"));
    resolver.now(|_| Says::Failed);
    assert_eq!(asked(&sidecar, "pay", kind::AAAA).await.rcode, mesh_dns::wire::rcode::FAILED);
}

#[tokio::test]
async fn a_captured_connection_to_another_name_reaches_what_it_stands_for() {
    let mut mesh = Mesh::new();
    let there = says(&mesh.tasks, "from payments").await;
    for name in ["pay", "pay.shop.svc.cluster.local"] {
        means(&mut mesh, name, HostMeaning::Alias(host("payments.example")));
    }
    let resolver = Resolver::start(&mesh.tasks, says_address("127.0.0.1", 60)).await;
    let mut address = virtual_address(&mesh, "pay").await;
    address.set_port(there.port());
    let client = sidecar(&mesh, &[resolver.address], captures(address));
    assert_eq!(asked(&client, "pay", kind::A).await.addresses, [address.ip()]);
    let to = client.running.addrs.captured_outbound[0];
    let (status, failure, text) = fetch(&mesh.tasks, to, get("pay", "/")).await;
    assert_eq!((status, failure.as_str()), (200, ""), "{text}");
    assert!(text.contains("from payments"), "{text}");
}
