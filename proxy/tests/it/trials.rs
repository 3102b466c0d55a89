//! Requests that an operator has a sidecar send as its application would: they go the application's way, are marked, and nothing but the mesh
//! can be asked by them.

use std::net::SocketAddr;

use mesh_model::access_log::{AccessLog, LogSink};
use mesh_model::address::{Address, Meaning};
use mesh_model::name::ServiceName;
use mesh_model::service::Protocol;
use mesh_model::settings::OutboundMode;
use mesh_proto::convert::ModelResource;
use mesh_proxy::config::{Config, Original};
use mesh_proxy::telemetry::{Trial, TrialWay, Tried};

use crate::harness::*;

/// Its application's connections are captured, and so are its queries.
fn captured(config: &mut Config) {
    config.outbound_proxy = None;
    config.capture.outbound.push(any_port());
    config.capture.how = Original::Redirect;
    config.dns.listen.push(any_port());
}

fn get_of(authority: &str, target: &str) -> Trial {
    Trial {
        id: 1,
        method: "GET".into(),
        authority: authority.into(),
        target: target.into(),
        headers: vec![("x-user".into(), "ann".into())],
        trace_id: vec![7; 16],
        parent_id: vec![9; 8],
    }
}

async fn tried(sidecar: &Sidecar, trial: Trial) -> Tried {
    let (done, mut told) = tokio::sync::mpsc::channel(1);
    sidecar.running.hub.begin_trial(trial, &done);
    soon(told.recv()).await.unwrap().1
}

async fn refused(sidecar: &Sidecar, trial: Trial) -> String {
    match tried(sidecar, trial).await {
        Tried::Refused(why) => why,
        sent @ Tried::Sent { .. } => panic!("it was sent: {sent:?}"),
    }
}

async fn sent(sidecar: &Sidecar, trial: Trial) -> (TrialWay, u16, String) {
    match tried(sidecar, trial).await {
        Tried::Sent { way, status, failure } => (way, status, failure),
        Tried::Refused(why) => panic!("it was refused: {why}"),
    }
}

/// Service `cart` at an address of its own, behind a sidecar.
async fn cart(mesh: &mut Mesh, protocol: Option<Protocol>) -> (Sidecar, SocketAddr) {
    let app = echo(&mesh.tasks).await;
    let server = mesh.server("cart", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, protocol, vec![endpoint]);
    let vip: SocketAddr = "10.96.0.7:80".parse().unwrap();
    let meaning = Meaning::Service(ServiceName::new("shop", "cart").unwrap());
    mesh.services.push(ModelResource::Address(Address { ip: vip.ip(), meaning }));
    (server, vip)
}

#[tokio::test]
async fn a_captured_member_asks_by_name_and_by_address_as_its_application_would() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut mesh = Mesh::new();
    let sink = LogSink::File(path.to_str().unwrap().to_owned());
    mesh.settings.access_log = Some(AccessLog { sink, ..AccessLog::default() });
    let (_server, vip) = cart(&mut mesh, None).await;
    let client = mesh.client_with(&[], captured);
    let (way, status, failure) = sent(&client, get_of("cart", "/items?page=2")).await;
    let TrialWay::Capture(address) = way else { panic!("{way:?}") };
    assert_eq!((address.port(), status, failure.as_str()), (80, 200, ""));
    // Its own address leads to the service as well.
    assert_eq!(sent(&client, get_of("10.96.0.7", "/x")).await, (TrialWay::Capture(vip), 200, String::new()));
    client
        .counts(&["mesh_request_duration_seconds_count", "service=\"cart\"", "mtls", "outbound"], 2.0)
        .await;
    client.counts(&["mesh_trials_total", "let_in"], 2.0).await;
    let marked = || {
        let lines = std::fs::read_to_string(&path).unwrap_or_default();
        let of = |side: &str| {
            let own = format!("\"side\":\"{side}\"");
            lines.lines().filter(|line| line.contains(&own)).map(str::to_owned).collect::<Vec<_>>()
        };
        (of("outbound"), of("inbound"))
    };
    until(|| async { marked().0.len() == 2 && marked().1.len() == 2 }).await;
    let (outbound, inbound) = marked();
    assert!(outbound.iter().all(|line| line.contains("\"trial\":\"yes\"")), "{outbound:?}");
    assert!(outbound[0].contains(&"07".repeat(16)), "its trace: {outbound:?}");
    assert!(inbound.iter().all(|line| !line.contains("\"trial\"")), "{inbound:?}");
}

#[tokio::test]
async fn routes_and_bytes_are_what_they_are_for_the_application() {
    let mut mesh = Mesh::new();
    let (_server, _) = cart(&mut mesh, None).await;
    mesh.route("cart", vec![rule("/only", vec![], vec![backend("cart", 1)])]);
    let client = mesh.client_with(&[], captured);
    let (_, status, failure) = sent(&client, get_of("cart.shop", "/other")).await;
    assert_eq!((status, failure.as_str()), (404, "no_route"));
    assert_eq!(sent(&client, get_of("cart.shop", "/only")).await.1, 200);

    // A port that carries bytes carries these, too.
    let mut mesh = Mesh::new();
    let (_server, _) = cart(&mut mesh, Some(Protocol::Tcp)).await;
    let client = mesh.client_with(&[], captured);
    assert_eq!(sent(&client, get_of("cart", "/")).await.1, 200);
    client.counts(&["mesh_requests_total", "\"tcp\"", "mtls", "outbound"], 1.0).await;
}

#[tokio::test]
async fn where_nothing_is_captured_it_goes_by_the_http_proxy_port() {
    let mut mesh = Mesh::new();
    let (_server, _) = cart(&mut mesh, None).await;
    let client = mesh.client(&[]);
    assert_eq!(sent(&client, get_of("cart", "/")).await, (TrialWay::HttpProxy, 200, String::new()));
}

#[tokio::test]
async fn only_the_mesh_can_be_asked_and_only_without_a_body() {
    let mut mesh = Mesh::new();
    mesh.settings.outbound_mode = OutboundMode::AllowAny;
    let (_server, _) = cart(&mut mesh, None).await;
    let outside = echo(&mesh.tasks).await;
    for client in [mesh.client(&[]), mesh.client_with(&[], captured)] {
        let why = refused(&client, get_of(&outside.to_string(), "/")).await;
        assert!(why.contains("only what it knows") || why.contains("to its own machine"), "{why}");
        let why = refused(&client, get_of("192.0.2.7", "/")).await;
        assert!(why.contains("the mesh knows no 192.0.2.7:80"), "{why}");
        let why = refused(&client, Trial { method: "POST".into(), ..get_of("cart", "/") }).await;
        assert!(why.contains("POST is not sent"), "{why}");
    }
    let client = mesh.client_with(&[("cart", 80)], |config| config.outbound_proxy = None);
    let why = refused(&client, get_of("cart", "/")).await;
    assert!(why.contains("neither captures"), "{why}");
    client.counts(&["mesh_requests_total", "outbound"], 0.0).await;
}

#[tokio::test]
async fn they_are_let_in_at_a_bounded_rate() {
    let mut mesh = Mesh::new();
    let (_server, _) = cart(&mut mesh, None).await;
    let client = mesh.client(&[]);
    let mut refusals = 0;
    for _ in 0..7 {
        match tried(&client, get_of("cart", "/")).await {
            Tried::Refused(why) => {
                assert!(why.contains("one request of this kind a second"), "{why}");
                refusals += 1;
            }
            Tried::Sent { status, .. } => assert_eq!(status, 200),
        }
    }
    assert!(refusals > 0, "a burst passes, and no more");
    client.counts(&["mesh_trials_total", "refused"], f64::from(refusals)).await;
}
