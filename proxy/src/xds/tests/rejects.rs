//! T48: one resource of each kind that cannot be used among a hundred that can.

use std::path::Path;

use mesh_proto::config::v1::resource::Body;
use mesh_proto::config::v1::{
    Address, AuthenticationPolicy, AuthorizationPolicy, Endpoint, Endpoints, ExternalService, HostEntry,
    MeshSettings, OwnPort, OwnServices, PortEndpoints, Resource, Route, Service, StreamRoute, TrafficPolicy,
};

use super::*;

const GOOD: usize = 50;

/// Each kind, in a form that says nothing that could be meant.
fn bad_of_each_kind() -> Vec<Resource> {
    let nowhere = Endpoint { address: "nowhere".into(), ..Endpoint::default() };
    let ports = vec![PortEndpoints { service_port: 80, endpoints: vec![nowhere] }];
    let bodies = [
        ("address/10.1.1.1", Body::Address(Address::default())),
        (
            "authentication",
            Body::Authentication(AuthenticationPolicy { mtls_mode: 77, ..Default::default() }),
        ),
        (
            "authorizationpolicy/shop/bad",
            Body::Authorization(AuthorizationPolicy { action: 99, ..Default::default() }),
        ),
        ("endpoints/shop/s0", Body::Endpoints(Endpoints { ports, ..Default::default() })),
        ("externalservice/shop/bad", Body::External(ExternalService::default())),
        ("host/bad.example", Body::Host(HostEntry::default())),
        ("httproute/shop/bad", Body::Route(Route { kind: 77, ..Default::default() })),
        ("mesh", Body::Mesh(MeshSettings { mtls_mode: 77, ..Default::default() })),
        ("own", Body::Own(OwnServices { ports: vec![OwnPort::default()] })),
        ("service/shop/s1", Body::Service(Service::default())),
        ("tcproute/shop/bad", Body::Stream(StreamRoute { kind: 77, ..Default::default() })),
        ("trafficpolicy/shop/bad", Body::Policy(TrafficPolicy::default())),
    ];
    let resource =
        |(name, body): (&str, Body)| Resource { name: name.into(), version: "bad".into(), body: Some(body) };
    bodies.into_iter().map(resource).collect()
}

fn good() -> Vec<ModelResource> {
    let both = |number: usize| [service(&format!("s{number}")), endpoints(&format!("s{number}"), &[1])];
    std::iter::once(mesh(false)).chain((0..GOOD).flat_map(both)).collect()
}

/// The bad ones between the good.
fn mixed(resources: &[ModelResource]) -> Update {
    let mut mixed = answer(1, 2, resources);
    for (number, bad) in bad_of_each_kind().into_iter().enumerate() {
        mixed.resources.insert(mixed.resources.len().min(number * 8), bad);
    }
    mixed
}

fn all_good(snapshot: &Snapshot) -> bool {
    (0..GOOD).all(|number| {
        let name = name(&format!("s{number}"));
        snapshot.service(&name).is_some() && snapshot.endpoints(&name).is_some()
    })
}

fn keep(dir: &Path) -> Keep {
    Keep { dir: dir.to_owned(), expires: Duration::from_hours(24) }
}

async fn all_rejected(talk: &mut controller::ConfigTalk) {
    let ack = talk.ack().await;
    let mut rejected: Vec<&str> = ack.rejects.iter().map(|reject| reject.resource.as_str()).collect();
    rejected.sort_unstable();
    let wanted: Vec<String> = bad_of_each_kind().into_iter().map(|one| one.name).collect();
    assert_eq!(rejected, wanted);
    assert!(ack.rejects.iter().all(|reject| !reject.reason.is_empty()), "{ack:?}");
}

#[tokio::test]
async fn the_good_are_in_force_and_the_bad_are_named_whoever_restarts() {
    let (ca, dir) = (TestCa::new("amime.test"), tempfile::tempdir().unwrap());
    let mut controller = Controller::start(&ca);
    let address = controller.address;
    let first = keeping(&ca, address, Tuning::default(), Some(keep(dir.path())));
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &good())).await;
    assert!(talk.ack().await.rejects.is_empty());
    talk.update(mixed(&good())).await;
    all_rejected(&mut talk).await;
    let snapshot = first.until(all_good).await;
    assert!(snapshot.settings().is_some(), "the last good form");
    assert!(first.metrics().contains(&format!("mesh_config_rejects_total {}", bad_of_each_kind().len())));

    // The controller restarts: it is told what is held, nothing of it in the bad form, and told of the bad again.
    drop(controller);
    let mut controller = Controller::start_at(&ca, address);
    let mut talk = controller.config().await;
    let held = talk.hello().await.held;
    assert!(held.iter().all(|held| held.version != "bad") && held.len() > 2 * GOOD, "{held:?}");
    talk.update(mixed(&[])).await;
    all_rejected(&mut talk).await;
    assert!(all_good(&first.discovery.snapshot()));

    // The proxy restarts.
    first.tasks.shutdown(DEADLINE).await;
    let second = proxy(&ca, address);
    let mut talk = controller.config().await;
    assert!(talk.hello().await.held.is_empty());
    talk.update(mixed(&good())).await;
    let ack = talk.ack().await;
    assert_eq!(ack.rejects.len(), bad_of_each_kind().len());
    second.until(all_good).await;
}
