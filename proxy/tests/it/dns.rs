//! Names: a real sidecar between a client that asks over real sockets and a resolver that does what a test says.

mod outside;
mod resolver;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mesh_dns::wire::{self, Answer, Name, Query, Reply, kind, rcode};
use mesh_model::endpoint::{Endpoint, EndpointState, Endpoints, PortEndpoints, Transport};
use mesh_model::name::ServiceName;
use mesh_model::service::{Service, ServicePort};
use mesh_model::settings::OutboundMode;
use mesh_proto::convert::ModelResource;
use mesh_proxy::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use self::resolver::{Resolver, Says, says_address};
use crate::harness::*;

const NUMBER: u16 = 0x4D45;

fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = Query::build(&Name::parse(name).unwrap(), kind);
    bytes[..2].copy_from_slice(&NUMBER.to_be_bytes());
    bytes
}

/// A sidecar that answers names, with these resolvers and nothing of this machine.
fn sidecar(mesh: &Mesh, resolvers: &[SocketAddr], edit: impl FnOnce(&mut Config)) -> Sidecar {
    mesh.client_with(&[], |config| {
        config.dns.listen = vec![any_port()];
        config.dns.resolvers = resolvers.to_vec();
        config.dns.resolv_conf = "/nonexistent".into();
        config.dns.hosts = "/nonexistent".into();
        // What outlives its time does so at once.
        config.dns.cache.least = Duration::ZERO;
        edit(config);
    })
}

fn address_of(sidecar: &Sidecar) -> SocketAddr {
    sidecar.running.addrs.dns[0]
}

/// Sends bytes, and gives the answer.
async fn datagram(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind(any_port()).await.unwrap();
    socket.send_to(bytes, to).await.unwrap();
    let mut buffer = vec![0; 65_536];
    let length = soon(socket.recv(&mut buffer)).await.unwrap();
    buffer.truncate(length);
    buffer
}

async fn stream(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![0; usize::from(soon(stream.read_u16()).await.unwrap())];
    soon(stream.read_exact(&mut answer)).await.unwrap();
    answer
}

fn read(bytes: &[u8], answer: &[u8]) -> Reply {
    Reply::scan(answer, &Query::parse(bytes).unwrap(), NUMBER).unwrap()
}

async fn asked(sidecar: &Sidecar, name: &str, kind: u16) -> Reply {
    let bytes = query(name, kind);
    read(&bytes, &datagram(address_of(sidecar), &bytes).await)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_service_without_an_address_gets_one_by_all_its_names_and_the_resolver_is_not_asked() {
    let mut mesh = Mesh::new();
    mesh.service("reviews", 80, None, vec![]);
    mesh.service("ratings", 80, None, vec![]);
    let resolver = Resolver::start(&mesh.tasks, |_| Says::NoName).await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    let first = asked(&sidecar, "reviews", kind::A).await;
    let [address] = first.addresses[..] else { panic!("{first:?}") };
    assert!(address.to_string().starts_with("240.240."), "{address}");
    assert_eq!(first.least_ttl, Some(30));
    for name in ["Reviews.shop", "reviews.shop.svc", "reviews.shop.svc.cluster.local"] {
        assert_eq!(asked(&sidecar, name, kind::A).await.addresses, [address], "{name}");
    }
    let bytes = query("reviews", kind::A);
    assert_eq!(read(&bytes, &stream(address_of(&sidecar), &bytes).await).addresses, [address]);
    assert_ne!(asked(&sidecar, "ratings", kind::A).await.addresses, [address]);
    // No way around the address that was given, and nothing that a cache would take for "no such name".
    let hints = asked(&sidecar, "reviews", kind::HTTPS).await;
    assert_eq!((hints.rcode, hints.addresses.len()), (rcode::OK, 0));
    assert_eq!(resolver.asked(), 0);
    let text = asked(&sidecar, "reviews", 16).await;
    assert_eq!((text.rcode, text.negative_ttl), (rcode::OK, Some(30)));
    assert_eq!(resolver.asked(), 1);
    sidecar.counts(&["mesh_dns_virtual_addresses"], 2.0).await;
}

#[tokio::test]
async fn a_services_own_addresses_are_given_by_family() {
    let mut mesh = Mesh::new();
    mesh.services.push(ModelResource::Service(Service {
        name: ServiceName::new("shop", "cart").unwrap(),
        ports: vec![ServicePort { port: 80, name: String::new(), protocol: None }],
        addresses: vec![ip("10.96.0.7"), ip("fd00::7")],
        headless: false,
    }));
    let sidecar = sidecar(&mesh, &[], |_| {});
    assert_eq!(asked(&sidecar, "cart", kind::A).await.addresses, [ip("10.96.0.7")]);
    assert_eq!(asked(&sidecar, "cart", kind::AAAA).await.addresses, [ip("fd00::7")]);
    sidecar.counts(&["mesh_dns_answers_total", "mesh"], 2.0).await;
}

#[tokio::test]
async fn a_headless_services_name_is_the_addresses_of_its_endpoints() {
    let mut mesh = Mesh::new();
    let name = ServiceName::new("shop", "db").unwrap();
    let headless = |name: &ServiceName| {
        let ports = vec![ServicePort { port: 5432, name: String::new(), protocol: None }];
        ModelResource::Service(Service { name: name.clone(), ports, addresses: vec![], headless: true })
    };
    let endpoint = |address: &str, state| Endpoint {
        address: address.parse().unwrap(),
        transport: Transport::Plain,
        workload: None,
        zone: String::new(),
        state,
        weight: 1,
        priority: 0,
    };
    let endpoints = |name: &ServiceName, endpoints| {
        let ports = vec![PortEndpoints::new(5432, endpoints)];
        ModelResource::Endpoints(Endpoints { service: name.clone(), ports })
    };
    let of_db = vec![
        endpoint("10.0.0.1:5432", EndpointState::Ready),
        endpoint("10.0.0.2:5432", EndpointState::Ready),
        endpoint("10.0.0.3:5432", EndpointState::Draining),
        endpoint("[fd00::1]:5432", EndpointState::Ready),
    ];
    mesh.services.extend([headless(&name), endpoints(&name, of_db)]);
    let nobody = ServiceName::new("shop", "nobody").unwrap();
    mesh.services.extend([headless(&nobody), endpoints(&nobody, vec![])]);
    // As on one machine: such an address would lead to the asking program itself.
    let local = ServiceName::new("shop", "local").unwrap();
    let at_loopback = vec![endpoint("127.9.0.1:5432", EndpointState::Ready)];
    mesh.services.extend([headless(&local), endpoints(&local, at_loopback)]);
    let sidecar = sidecar(&mesh, &[], |_| {});
    let mut firsts = Vec::new();
    for _ in 0..6 {
        let mut addresses = asked(&sidecar, "db", kind::A).await.addresses;
        firsts.push(addresses[0]);
        addresses.sort_unstable();
        assert_eq!(addresses, [ip("10.0.0.1"), ip("10.0.0.2")]);
    }
    assert!(firsts.contains(&ip("10.0.0.1")) && firsts.contains(&ip("10.0.0.2")), "{firsts:?}");
    assert_eq!(asked(&sidecar, "db.shop.svc", kind::AAAA).await.addresses, [ip("fd00::1")]);
    let none = asked(&sidecar, "nobody", kind::A).await;
    assert_eq!((none.rcode, none.addresses.len()), (rcode::OK, 0));
    let local = asked(&sidecar, "local", kind::A).await;
    assert!(local.addresses[0].to_string().starts_with("240.240."), "{local:?}");
}

#[tokio::test]
async fn what_the_mesh_does_not_know_passes_byte_for_byte() {
    let mesh = Mesh::new();
    // A type that nobody knows, with data that looks like anything.
    let resolver = Resolver::start(&mesh.tasks, |asked| {
        let mut message = asked.to_vec();
        message[2] = 0x81;
        message[3] = 0xB0;
        message[7] = 1;
        let opt = message.split_off(message.len() - 11);
        message.extend(*b"\xc0\x0c\xff\x00\x00\x01\x00\x00\x01\x00\x00\x05\xc0\xff\x00\x01\x02");
        message.extend(opt);
        Says::Message(message)
    })
    .await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    let mut bytes = query("Some.Example.com", 0xFF00);
    // The client wants signatures, and no checks of them.
    let dnssec_ok = bytes.len() - 4;
    bytes[dnssec_ok] = 0x80;
    bytes[3] |= 0x10;
    bytes[13] = b'S';
    let answer = datagram(address_of(&sidecar), &bytes).await;
    let sent = resolver.last().unwrap();
    assert_eq!(sent[2..], bytes[2..], "all but the number is the client's");
    assert_eq!(answer[..2], NUMBER.to_be_bytes());
    assert!(answer.windows(5).any(|data| data == b"\xc0\xff\x00\x01\x02"));
    assert_eq!(answer[12..29], bytes[12..29]);
    sidecar.counts(&["mesh_dns_answers_total", "resolver"], 1.0).await;
}

// T42
#[tokio::test]
async fn replies_are_kept_and_old_ones_are_given_when_the_resolver_fails() {
    let mesh = Mesh::new();
    let resolver = Resolver::start(&mesh.tasks, says_address("192.0.2.1", 3600)).await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    for _ in 0..3 {
        assert_eq!(asked(&sidecar, "kept.example", kind::A).await.addresses, [ip("192.0.2.1")]);
    }
    assert_eq!(resolver.asked(), 1);
    resolver.now(says_address("192.0.2.2", 0));
    assert_eq!(asked(&sidecar, "old.example", kind::A).await.addresses, [ip("192.0.2.2")]);
    resolver.now(|_| Says::Failed);
    let old = asked(&sidecar, "old.example", kind::A).await;
    assert_eq!((old.addresses, old.least_ttl), (vec![ip("192.0.2.2")], Some(30)));
    sidecar.counts(&["mesh_dns_answers_total", "stale"], 1.0).await;
    // The resolver is given time.
    let before = resolver.asked();
    assert_eq!(asked(&sidecar, "old.example", kind::A).await.addresses, [ip("192.0.2.2")]);
    assert_eq!(resolver.asked(), before);
    // What was never known cannot be given.
    assert_eq!(asked(&sidecar, "new.example", kind::A).await.rcode, rcode::FAILED);
}

// T42
#[tokio::test]
async fn a_silent_resolver_delays_an_old_answer_and_does_not_lose_it() {
    let mesh = Mesh::new();
    let resolver = Resolver::start(&mesh.tasks, says_address("192.0.2.3", 0)).await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    asked(&sidecar, "old.example", kind::A).await;
    resolver.now(|_| Says::Nothing);
    assert_eq!(asked(&sidecar, "old.example", kind::A).await.addresses, [ip("192.0.2.3")]);
    sidecar.counts(&["mesh_dns_answers_total", "stale"], 1.0).await;
}

// T42
#[tokio::test]
async fn the_next_resolver_is_asked_when_one_is_silent_fails_or_is_gone() {
    let mesh = Mesh::new();
    let silent = Resolver::start(&mesh.tasks, |_| Says::Nothing).await;
    let fails = Resolver::start(&mesh.tasks, |_| Says::Failed).await;
    let gone = UdpSocket::bind(any_port()).await.unwrap().local_addr().unwrap();
    let good = Resolver::start(&mesh.tasks, says_address("192.0.2.4", 60)).await;
    for bad in [silent.address, fails.address, gone] {
        let sidecar = sidecar(&mesh, &[bad, good.address], |_| {});
        assert_eq!(asked(&sidecar, "some.example", kind::A).await.addresses, [ip("192.0.2.4")]);
        sidecar.counts(&["mesh_dns_troubles_total", "\"resolver\""], 1.0).await;
    }
}

#[tokio::test]
async fn what_is_cut_over_udp_is_fetched_over_tcp_and_given_as_the_client_can_take_it() {
    let mesh = Mesh::new();
    let addresses: Vec<IpAddr> = (0..60).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    let all = addresses.clone();
    let resolver = Resolver::start(&mesh.tasks, move |asked| {
        let query = Query::parse(asked).unwrap();
        let said = Answer { alias: None, addresses: &all, ttl: 60 };
        Says::OverTcp(wire::answer(asked, &query, &said, wire::MAX_TCP))
    })
    .await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    assert_eq!(asked(&sidecar, "large.example", kind::A).await.addresses, addresses);
    // A client that takes 512 bytes is told to come again over TCP, and is answered from what is kept.
    let mut small = query("large.example", kind::A);
    small.truncate(small.len() - 11);
    small[11] = 0;
    let answer = datagram(address_of(&sidecar), &small).await;
    assert!(answer.len() <= 512 && read(&small, &answer).truncated);
    assert_eq!(read(&small, &stream(address_of(&sidecar), &small).await).addresses, addresses);
    assert_eq!(resolver.asked(), 2, "once over UDP, once over TCP");
}

// T42
#[tokio::test]
async fn replies_that_are_made_up_are_counted_and_the_right_one_is_waited_for() {
    let mesh = Mesh::new();
    let resolver = Resolver::start(&mesh.tasks, |asked| {
        let right = says_address("192.0.2.5", 60)(asked);
        let Says::Message(right) = right else { return Says::Nothing };
        let mut number = right.clone();
        number[0] ^= 1;
        let mut question = right.clone();
        question[13] ^= 1;
        Says::Messages(vec![b"garbage".to_vec(), number, question, asked.to_vec(), right])
    })
    .await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    assert_eq!(asked(&sidecar, "some.example", kind::A).await.addresses, [ip("192.0.2.5")]);
    sidecar.counts(&["mesh_dns_troubles_total", "spoofed"], 4.0).await;
}

// T42
#[tokio::test]
async fn a_flood_of_guesses_ends_udp_and_a_reply_from_elsewhere_is_not_seen() {
    let mesh = Mesh::new();
    let resolver = Resolver::start(&mesh.tasks, |asked| {
        let Says::Message(wrong) = says_address("198.51.100.1", 60)(asked) else { return Says::Nothing };
        let guess = |number: usize| {
            let mut guess = wrong.clone();
            guess[0] ^= 1 + u8::try_from(number).unwrap();
            guess
        };
        let Says::Message(right) = says_address("192.0.2.6", 60)(asked) else { return Says::Nothing };
        Says::Attacked {
            from_elsewhere: wrong.clone(),
            guesses: (0..40).map(guess).collect(),
            over_tcp: right,
        }
    })
    .await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    assert_eq!(asked(&sidecar, "some.example", kind::A).await.addresses, [ip("192.0.2.6")]);
}

// T42
#[tokio::test]
async fn hostile_queries_get_an_error_or_nothing_and_the_next_one_an_answer() {
    let mut mesh = Mesh::new();
    mesh.service("reviews", 80, None, vec![]);
    let sidecar = sidecar(&mesh, &[], |_| {});
    let to = address_of(&sidecar);
    let socket = UdpSocket::bind(any_port()).await.unwrap();
    let good = query("reviews", kind::A);
    let mut random = fastrand::Rng::with_seed(5);
    let mut malformed = 0;
    for number in 0..500 {
        let mut bytes = good.clone();
        match number % 3 {
            0 => bytes = (0..random.usize(..600)).map(|_| random.u8(..)).collect(),
            1 => bytes.truncate(random.usize(..bytes.len())),
            _ => bytes[12] = 0xC0 | (bytes[12] & 0x3F),
        }
        malformed += u32::from(Query::parse(&bytes).is_err());
        socket.send_to(&bytes, to).await.unwrap();
        if number % 50 == 0 {
            // Keeps the socket's queue from overflowing.
            assert_eq!(asked(&sidecar, "reviews", kind::A).await.addresses.len(), 1);
        }
    }
    sidecar.counts(&["mesh_dns_troubles_total", "malformed"], f64::from(malformed)).await;
    let mut bad = good.clone();
    bad[5] = 2;
    assert_eq!(datagram(to, &bad).await[3] & 0xF, 1, "FORMERR");
    // A connection that stops amid a query does not hold the others.
    let mut stuck = TcpStream::connect(to).await.unwrap();
    stuck.write_all(&[0xFF, 0xFF, 1, 2, 3]).await.unwrap();
    assert_eq!(read(&good, &stream(to, &good).await).addresses.len(), 1);
}

// T42
#[tokio::test]
async fn beyond_the_bound_on_queries_to_resolvers_clients_get_a_failure_at_once() {
    let mesh = Mesh::new();
    let resolver = Resolver::start(&mesh.tasks, |_| Says::Nothing).await;
    let sidecar = sidecar(&mesh, &[resolver.address], |config| config.dns.exchanges = 1);
    let socket = UdpSocket::bind(any_port()).await.unwrap();
    socket.send_to(&query("one.example", kind::A), address_of(&sidecar)).await.unwrap();
    sidecar.counts(&["mesh_dns_queries_in_flight"], 1.0).await;
    assert_eq!(asked(&sidecar, "two.example", kind::A).await.rcode, rcode::FAILED);
    sidecar.counts(&["mesh_dns_troubles_total", "overload"], 1.0).await;
}

#[tokio::test]
async fn beyond_the_bound_on_datagrams_they_are_dropped_and_counted() {
    let mesh = Mesh::new();
    let resolver = Resolver::start(&mesh.tasks, |_| Says::Nothing).await;
    let sidecar = sidecar(&mesh, &[resolver.address], |config| config.dns.datagrams = 1);
    let socket = UdpSocket::bind(any_port()).await.unwrap();
    for name in ["one.example", "two.example", "three.example"] {
        socket.send_to(&query(name, kind::A), address_of(&sidecar)).await.unwrap();
    }
    sidecar.counts(&["mesh_dns_troubles_total", "overload"], 2.0).await;
}

#[tokio::test]
async fn hosts_outside_are_dialled_by_what_the_resolvers_say() {
    let mut mesh = Mesh::new();
    mesh.settings.outbound_mode = OutboundMode::AllowAny;
    let app = says(&mesh.tasks, "from outside").await;
    // One address where nobody listens and one where somebody does.
    let resolver = Resolver::start(&mesh.tasks, |asked| {
        let query = Query::parse(asked).unwrap();
        let addresses = match query.kind {
            kind::A => vec![ip("127.0.0.1")],
            _ => vec![ip("::1")],
        };
        Says::Message(wire::answer(
            asked,
            &query,
            &Answer { alias: None, addresses: &addresses, ttl: 60 },
            512,
        ))
    })
    .await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    let head = format!(
        "GET http://outside.example:{}/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        app.port()
    );
    let answer = String::from_utf8(ask(sidecar.proxy(), head.as_bytes()).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("from outside"), "{answer}");
    resolver.now(|_| Says::NoName);
    let head = "GET http://nowhere.example/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = String::from_utf8(ask(sidecar.proxy(), head.as_bytes()).await).unwrap();
    assert!(
        answer.contains("neither the mesh nor DNS knows nowhere.example: there is no such host"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_address_that_refuses_or_is_silent_does_not_keep_a_host_from_being_reached() {
    let mut mesh = Mesh::new();
    mesh.settings.outbound_mode = OutboundMode::AllowAny;
    let app = says(&mesh.tasks, "from outside").await;
    // Of a network that is nowhere (RFC 5737), of an address of this machine where nobody listens, and the right one.
    let addresses = ["192.0.2.1", "127.9.9.9", "127.0.0.1"].map(ip);
    let resolver = Resolver::start(&mesh.tasks, move |asked| {
        let query = Query::parse(asked).unwrap();
        let four = if query.kind == kind::A { &addresses[..] } else { &[] };
        Says::Message(wire::answer(asked, &query, &Answer { alias: None, addresses: four, ttl: 60 }, 512))
    })
    .await;
    let sidecar = sidecar(&mesh, &[resolver.address], |_| {});
    for _ in 0..3 {
        let head = format!(
            "GET http://outside.example:{}/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            app.port()
        );
        let answer = String::from_utf8(ask(sidecar.proxy(), head.as_bytes()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("from outside"), "{answer}");
    }
    // The refusal is counted once: later requests find the connection, or at least the address, that is good.
    sidecar.counts(&["mesh_requests_total", "\"200\""], 3.0).await;
}
