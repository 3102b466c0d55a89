//! The admin port over a real socket.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_identity::testing::TestCa;
use mesh_model::address::{Address, Meaning};
use mesh_model::external::{HostEntry, HostMeaning};
use mesh_model::host::{Host, HostPattern};
use mesh_model::name::Name;
use mesh_model::route::{Backend, BackendTarget, ParentRef};
use mesh_model::service::Protocol;
use mesh_model::stream::{StreamId, StreamKind, StreamRoute};
use mesh_model::traffic::{PolicyTarget, TrafficPolicy, TrafficSettings};
use mesh_proto::convert::ModelResource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::Config;
use crate::state::tests::{endpoints, mesh, name, route, service};
use crate::telemetry::Telemetry;

struct Running {
    address: SocketAddr,
    ready: Ready,
    drains: Arc<AtomicU64>,
    identity: Identity,
    _tasks: Tasks,
}

fn start() -> Running {
    let (tasks, ready) = (Tasks::new(), Ready::new());
    let identity = TestCa::new("amime.test").identity("shop", "front");
    let settings = TrafficSettings { protocol: Some(Protocol::Http2), ..TrafficSettings::default() };
    let policy = ModelResource::Policy(TrafficPolicy {
        name: Name::new("shop", "p").unwrap(),
        targets: vec![PolicyTarget::Service { service: name("cart"), port: None }],
        created: 0,
        origin: "test.yaml:1".to_owned(),
        settings,
    });
    let routes = route("r", "cart", &["cart"]);
    let mut resources = vec![mesh(true), service("cart"), endpoints("cart", &[1]), routes, policy];
    let backends = vec![Backend {
        target: BackendTarget::Service { service: name("cart"), port: 80 },
        weight: 3,
        filters: Vec::new(),
        takes: Vec::new(),
    }];
    resources.push(ModelResource::Stream(StreamRoute {
        id: StreamId { kind: StreamKind::Tls, name: Name::new("shop", "by-name").unwrap() },
        parents: vec![ParentRef { service: name("tls"), port: None }],
        hosts: vec![HostPattern::parse("*.cart.example").unwrap()],
        rule: None,
        backends,
        created: 0,
        origin: "test.yaml:9".to_owned(),
    }));
    resources.extend([service("tls"), endpoints("tls", &[2])]);
    let ip = "10.96.0.7".parse().unwrap();
    resources.push(ModelResource::Address(Address { ip, meaning: Meaning::Service(name("cart")) }));
    let (host, alias) = (Host::parse("old.example").unwrap(), Host::parse("new.example").unwrap());
    resources.push(ModelResource::Host(HostEntry { host, meaning: HostMeaning::Alias(alias) }));
    let (discovery, _control) = Discovery::fixed("shop", resources);
    let dns = Dns::new(&Config::new("shop", "front"), &[], discovery.clone(), None);
    let registry = registry(&Telemetry::new().hub, &discovery, &identity, (&dns, None), None);
    let listener = bind_loopback(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let drains = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&drains);
    let drain = Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let (standings, whose) = (Standings::default(), identity.clone());
    let admin = Admin { ready: ready.clone(), registry, discovery, standings, identity: whose, dns, drain };
    spawn(listener, admin, &tasks);
    Running { address, ready, drains, identity, _tasks: tasks }
}

impl Running {
    async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        self.send(&format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
    }

    async fn send(&self, request: &str) -> (u16, String) {
        let exchange = async {
            let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = tokio::time::timeout(Duration::from_secs(30), exchange).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

#[test]
fn an_address_that_others_can_reach_is_refused() {
    for address in ["0.0.0.0:0", "[::]:0", "10.0.0.1:0", "192.0.2.7:15000"] {
        let refused = bind_loopback(address.parse().unwrap());
        assert!(matches!(&refused, Err(AdminError::NotLoopback(_))), "{address}: {refused:?}");
    }
    for address in ["127.0.0.1:0", "127.7.0.12:0"] {
        bind_loopback(address.parse().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn the_configuration_in_force_is_shown() {
    let running = start();
    let (status, body) = running.ask("GET", "/config").await;
    let shown: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(shown["mesh"]["mtlsMode"], "strict");
    assert_eq!(shown["destinations"][0]["service"], name("cart").to_string());
    let route = &shown["destinations"][0]["ports"][0]["routes"][0];
    assert_eq!(route["id"], "httproute/shop/r");
    assert_eq!(route["rules"][0]["backends"][0]["weight"], 1);
    let settings = &shown["destinations"][0]["ports"][0]["settings"];
    assert_eq!(*settings, serde_json::json!({ "protocol": "trafficpolicy/shop/p spec.protocol" }));
    assert_eq!(shown["addresses"], serde_json::json!([{ "ip": "10.96.0.7", "service": "shop/cart" }]));
    assert_eq!(shown["hosts"], serde_json::json!([{ "host": "old.example", "alias": "new.example" }]));
    let stream = &shown["destinations"][1]["ports"][0]["streamRoutes"][0];
    assert_eq!((&stream["origin"], &stream["hosts"][0]), (&"test.yaml:9".into(), &"*.cart.example".into()));
    assert_eq!(stream["backends"][0]["weight"], 3);
    let (_, body) = running.ask("GET", "/endpoints").await;
    let shown: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(shown["services"][0]["ports"][0]["endpoints"][0]["address"], "127.0.0.1:8080");
    assert_eq!(shown["services"][0]["ports"][0]["endpoints"][0]["weight"], 1);
}

#[tokio::test]
async fn the_certificate_is_shown_and_no_key() {
    let running = start();
    let (status, body) = running.ask("GET", "/certs").await;
    let shown: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, shown["serial"].as_str()), (200, Some(running.identity.svid().serial.as_str())));
    assert_eq!(shown["bundle"]["trustDomain"], "amime.test");
    assert!(!body.to_ascii_lowercase().contains("key"), "{body}");
}

#[tokio::test]
async fn a_drain_makes_it_not_ready_and_is_passed_on() {
    let running = start();
    assert_eq!(running.ask("GET", "/drain").await.0, 405);
    assert_eq!((running.ready.is_ready(), running.drains.load(Ordering::Relaxed)), (true, 0));
    assert_eq!(running.ask("POST", "/drain").await.0, 202);
    assert_eq!((running.ready.is_ready(), running.drains.load(Ordering::Relaxed)), (false, 1));
    assert_eq!(running.ask("GET", "/readyz").await.0, 503);
}

#[tokio::test]
async fn a_bad_log_filter_is_answered_with_what_to_write() {
    let running = start();
    let (status, body) = running.ask("POST", "/log?filter=mesh_proxy%3D%3D%3Dloud").await;
    assert_eq!(status, 400);
    assert!(body.contains("is not a log filter"), "{body}");
    let (status, body) = running.ask("POST", "/log").await;
    assert_eq!(status, 400);
    assert!(body.contains("filter="), "{body}");
}

#[tokio::test]
async fn metrics_of_every_area_are_there() {
    let running = start();
    let (status, body) = running.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    for family in [
        "mesh_connections_open",
        "mesh_config_staleness_seconds",
        "mesh_certificate_expiry_seconds",
        "mesh_build_info",
    ] {
        assert!(body.contains(family), "{family} is not in\n{body}");
    }
}

// T33
#[tokio::test]
async fn no_get_no_page_and_no_trick_with_the_path_changes_anything() {
    let running = start();
    let unchanged = |what: &str| {
        assert!(running.ready.is_ready(), "{what}");
        assert_eq!(running.drains.load(Ordering::Relaxed), 0, "{what}");
    };
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "post", "POSTX"] {
        for path in ["/drain", "/log?filter=trace", "/shutdown", "/quitquitquit"] {
            let (status, _) = running.ask(method, path).await;
            assert!((400..500).contains(&status), "{method} {path}: {status}");
            unchanged(path);
        }
    }
    for path in [
        "//drain",
        "/./drain",
        "/x/../drain",
        "/drain/",
        "/%64rain",
        "/drain%00",
        "/drain;x",
        "/DRAIN",
        "/drain%2f",
        "/config/../drain",
        "*",
        "/shutdown",
        "/quitquitquit",
    ] {
        let (status, body) = running.ask("POST", path).await;
        assert!((400..500).contains(&status), "POST {path}: {status} {body}");
        unchanged(path);
    }
    let post = |target: &str, headers: &str| {
        format!("POST {target} HTTP/1.1\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n")
    };
    for (target, headers) in [
        ("/drain", "host: evil.example\r\n"),
        ("/drain", "host: 127.0.0.1.evil.example:15000\r\n"),
        ("/drain", "host: localhost\r\norigin: http://evil.example\r\n"),
        ("/drain", "host: localhost\r\norigin: null\r\n"),
        ("/drain", "host: localhost\r\nhost: evil.example\r\n"),
        ("/drain", ""),
        ("http://evil.example/drain", "host: localhost\r\n"),
        ("/log?filter=trace", "host: localhost\r\norigin: http://localhost\r\n"),
    ] {
        let (status, body) = running.send(&post(target, headers)).await;
        assert!((400..500).contains(&status), "{target} {headers}: {status} {body}");
        assert!(!body.contains("evil"), "nothing of the request is repeated: {body}");
        unchanged(headers);
    }
    // What a page may not change it may not read either.
    for path in ["/config", "/certs", "/endpoints", "/dns", "/metrics"] {
        let get = format!("GET {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
        assert_eq!(running.send(&get).await.0, 403, "{path}");
    }
    let override_of =
        "GET /drain HTTP/1.1\r\nhost: localhost\r\nx-http-method-override: POST\r\nconnection: close\r\n\r\n";
    assert_eq!(running.send(override_of).await.0, 405);
    unchanged("override");
}

// T33
#[tokio::test]
async fn no_dump_has_a_secret() {
    let running = start();
    for path in ["/config", "/endpoints", "/dns", "/certs", "/metrics", "/nothing"] {
        let (_, body) = running.ask("GET", path).await;
        for secret in ["PRIVATE KEY", "BEGIN", "\"d\":", "\"k\":", "\"p\":", "eyJ", "MHcCAQ", "MIG"] {
            assert!(!body.contains(secret), "{path} has {secret}: {body}");
        }
        assert!(!body.to_ascii_lowercase().contains("token\""), "{path}: {body}");
    }
}
