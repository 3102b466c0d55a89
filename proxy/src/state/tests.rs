//! The store as tables of updates and what is in force after them.

pub(crate) mod addresses;
mod authorization;
mod order;
mod policies;
mod saved;
mod streams;

use std::sync::Arc;

use mesh_model::access_log::AccessLog;
use mesh_model::authentication::{Authentication, MtlsRule};
use mesh_model::endpoint::{Endpoint, EndpointState, Endpoints, PortEndpoints, Transport};
use mesh_model::name::{Name, ServiceName};
use mesh_model::route::{
    Backend, BackendTarget, Match, ParentRef, PathMatch, Route, RouteId, RouteKind, Rule, Target, Timeouts,
};
use mesh_model::service::{OwnPort, OwnServices, Service, ServicePort};
use mesh_model::settings::{MeshSettings, MetricSettings, MtlsMode, OutboundMode, TracingSettings};
use mesh_model::spiffe::TrustDomain;
use mesh_model::traffic::{
    BodyLimits, CircuitBreaker, PolicyTarget, RequestTimeouts, TrafficPolicy, TrafficSettings,
};
use mesh_proto::config::v1::{Destination as WireDestination, Resource, Update, Watermark, resource};
use mesh_proto::convert::{ModelResource, encode};

use super::*;

pub(crate) fn name(service: &str) -> ServiceName {
    ServiceName::new("shop", service).unwrap()
}

pub(crate) fn mesh(access_log: bool) -> ModelResource {
    ModelResource::Mesh(MeshSettings {
        trust_domain: TrustDomain::new("amime.test").unwrap(),
        mtls_mode: MtlsMode::Strict,
        outbound_mode: OutboundMode::AllowAny,
        trace_sample_ppm: 10_000,
        access_log: access_log.then(AccessLog::default),
        access_log_overrides: Vec::new(),
        metrics: MetricSettings::default(),
        tracing: TracingSettings::default(),
        open_telemetry: None,
    })
}

pub(crate) fn service(of: &str) -> ModelResource {
    let ports = vec![ServicePort { port: 80, name: "http".to_owned(), protocol: None }];
    ModelResource::Service(Service { name: name(of), ports, addresses: Vec::new(), headless: false })
}

pub(crate) fn endpoints(of: &str, hosts: &[u8]) -> ModelResource {
    let endpoint = |host: &u8| Endpoint {
        address: ([127, 0, 0, *host], 8080).into(),
        transport: Transport::Plain,
        workload: None,
        zone: String::new(),
        state: EndpointState::Ready,
        weight: 1,
        priority: 0,
    };
    let endpoints = hosts.iter().map(endpoint).collect();
    ModelResource::Endpoints(Endpoints {
        service: name(of),
        ports: vec![PortEndpoints { service_port: 80, endpoints }],
    })
}

pub(crate) fn route(of: &str, parent: &str, backends: &[&str]) -> ModelResource {
    let backend = |service: &&str| Backend {
        target: BackendTarget::Service { service: name(service), port: 80 },
        weight: 1,
        filters: Vec::new(),
        takes: Vec::new(),
    };
    ModelResource::Route(Route {
        id: RouteId { kind: RouteKind::Http, name: Name::new("shop", of).unwrap() },
        parents: vec![ParentRef { service: name(parent), port: None }],
        rules: vec![Rule {
            name: None,
            matches: vec![Match {
                target: Target::Http {
                    path: PathMatch::Prefix("/".to_owned()),
                    method: None,
                    query: Vec::new(),
                },
                headers: Vec::new(),
            }],
            filters: Vec::new(),
            backends: backends.iter().map(backend).collect(),
            timeouts: Timeouts::default(),
            retry: None,
            session: None,
        }],
        created: 0,
        origin: "test.yaml:1".to_owned(),
    })
}

/// A policy with a bound on requests under way, one on request bodies, and a timeout for requests, each of that number.
pub(crate) fn policy(of: &str, target: PolicyTarget, number: u32) -> ModelResource {
    let timeouts = RequestTimeouts {
        request: Some(std::time::Duration::from_secs(number.into())),
        ..RequestTimeouts::default()
    };
    ModelResource::Policy(TrafficPolicy {
        name: Name::new("shop", of).unwrap(),
        targets: vec![target],
        created: 0,
        origin: "test.yaml:9".to_owned(),
        settings: TrafficSettings {
            timeouts: Some(timeouts),
            bodies: Some(BodyLimits { request: Some(number.into()), response: None }),
            circuit_breaker: Some(CircuitBreaker { requests: Some(number), ..CircuitBreaker::default() }),
            ..TrafficSettings::default()
        },
    })
}

pub(crate) fn on_service(of: &str, port: Option<u16>) -> PolicyTarget {
    PolicyTarget::Service { service: name(of), port }
}

pub(crate) fn on_route(of: &str) -> PolicyTarget {
    let route = RouteId { kind: RouteKind::Http, name: Name::new("shop", of).unwrap() };
    PolicyTarget::Route { route, rule: None }
}

/// The workload serves port 80 of these.
pub(crate) fn own(services: &[&str]) -> ModelResource {
    let port = |of: &&str| OwnPort { address: ([127, 0, 0, 9], 8080).into(), service: name(of), port: 80 };
    ModelResource::Own(OwnServices { ports: services.iter().map(port).collect() })
}

pub(crate) fn wire(resource: &ModelResource) -> Resource {
    Resource { version: resource.version(), ..encode(resource) }
}

pub(crate) fn bad(resource: &ModelResource) -> Resource {
    let mut wire = wire(resource);
    match wire.body.as_mut().unwrap() {
        resource::Body::Mesh(mesh) => mesh.mtls_mode = 77,
        resource::Body::Service(service) => service.ports[0].port = 70_000,
        resource::Body::Endpoints(endpoints) => {
            endpoints.ports[0].endpoints[0].address = "nowhere".to_owned();
        }
        resource::Body::Route(route) => route.kind = 77,
        resource::Body::Policy(policy) => policy.settings = None,
        resource::Body::Own(own) => own.ports.iter_mut().for_each(|port| port.address.clear()),
        resource::Body::Stream(route) => route.kind = 77,
        resource::Body::Host(entry) => entry.meaning = None,
        resource::Body::External(external) => external.resolution = None,
        resource::Body::Authorization(policy) => policy.action = 99,
        resource::Body::Address(address) => address.meaning = None,
        resource::Body::Authentication(said) => said.mtls_mode = 77,
    }
    wire.version = "bad".to_owned();
    wire
}

pub(crate) fn update(resources: &[ModelResource], removed: &[&str]) -> Update {
    Update {
        resources: resources.iter().map(wire).collect(),
        removed: removed.iter().map(|name| (*name).to_owned()).collect(),
        subscription: 1,
        ..Update::default()
    }
}

fn store(wanted: &[&str]) -> Store {
    let mut store = Store::new("shop");
    for service in wanted {
        store.want(&name(service));
    }
    store.asked(1);
    store
}

fn known(snapshot: &Snapshot, service: &str) -> Arc<Destination> {
    match snapshot.destination(&name(service)) {
        Lookup::Known(destination) => Arc::clone(destination),
        other => panic!("`{service}` is {other:?}"),
    }
}

/// The services that the route in force sends requests to; empty without a route.
fn backends(snapshot: &Snapshot, service: &str) -> Vec<String> {
    let destination = known(snapshot, service);
    let table = destination.table(80).unwrap();
    let mut names: Vec<_> = table
        .backends()
        .map(|backend| match backend {
            BackendTarget::Service { service, .. } => service.0.name().to_owned(),
            BackendTarget::Invalid { reference, .. } => reference.clone(),
        })
        .collect();
    names.sort();
    names
}

#[test]
fn nothing_is_known_before_the_first_update() {
    let store = store(&["cart"]);
    let snapshot = store.snapshot();
    assert!(snapshot.settings().is_none());
    assert!(matches!(snapshot.destination(&name("cart")), Lookup::NotAsked));
    assert!(store.held().is_empty());
}

#[test]
fn an_update_brings_settings_services_and_endpoints_in_one_step() {
    let mut store = store(&["cart"]);
    let watermark = Some(Watermark { revision: 7, ..Watermark::default() });
    let applied = store
        .apply(Update { watermark, ..update(&[mesh(false), service("cart"), endpoints("cart", &[1])], &[]) });
    assert!(applied.rejects.is_empty());
    let snapshot = applied.snapshot;
    assert_eq!(snapshot.settings().unwrap().mtls_mode, MtlsMode::Strict);
    assert_eq!(snapshot.endpoints(&name("cart")).unwrap().port(80).len(), 1);
    assert!(known(&snapshot, "cart").table(80).unwrap().is_empty());
    assert!(known(&snapshot, "cart").table(81).is_none());
    assert_eq!(snapshot.revision(), 7);
    let mut held: Vec<_> = store.held().into_iter().map(|held| held.name).collect();
    held.sort();
    assert_eq!(held, ["endpoints/shop/cart", "mesh", "service/shop/cart"]);
    assert!(store.held().iter().all(|held| !held.version.is_empty()));
}

#[test]
fn a_bad_resource_is_rejected_alone_and_its_last_good_form_stays() {
    let good = [
        mesh(false),
        service("cart"),
        endpoints("cart", &[1]),
        route("r", "cart", &["cart"]),
        policy("p", on_service("cart", None), 1),
        own(&["cart"]),
    ];
    for what in &good {
        let mut store = store(&["cart"]);
        let before = store.apply(update(&good, &[])).snapshot;
        let held = store.held();
        let mut with_bad = update(&[service("other")], &[]);
        with_bad.resources.push(bad(what));
        let applied = store.apply(with_bad);
        let [reject] = &applied.rejects[..] else { panic!("{:?}", applied.rejects) };
        assert_eq!(reject.resource, what.name());
        assert!(!reject.field.is_empty() && !reject.reason.is_empty(), "{reject:?}");
        let after = applied.snapshot;
        assert!(Arc::ptr_eq(&known(&before, "cart"), &known(&after, "cart")), "{}", what.name());
        let same_endpoints = before.endpoints(&name("cart")).zip(after.endpoints(&name("cart")));
        assert!(same_endpoints.is_some_and(|(a, b)| Arc::ptr_eq(a, b)));
        assert_eq!(before.settings(), after.settings());
        assert!(Arc::ptr_eq(before.own(), after.own()));
        let limits = |snapshot: &Snapshot| snapshot.backend_policy(&name("cart"), 80);
        assert!(Arc::ptr_eq(&limits(&before), &limits(&after)));
        assert!(after.service(&name("other")).is_some(), "the good part of the update is in force");
        assert!(
            held.iter().all(|held| store.held().contains(held)),
            "the good version is still the one held"
        );
    }
}

#[test]
fn a_route_waits_for_the_endpoints_of_all_its_backends() {
    let mut store = store(&["cart"]);
    store.apply(update(&[service("cart"), endpoints("cart", &[1]), route("r", "cart", &["cart"])], &[]));
    let applied = store.apply(update(&[route("r", "cart", &["v1", "v2"]), endpoints("v1", &[2])], &[]));
    assert_eq!(backends(&applied.snapshot, "cart"), ["cart"]);
    let applied = store.apply(update(&[endpoints("v2", &[3])], &[]));
    assert_eq!(backends(&applied.snapshot, "cart"), ["v1", "v2"]);
}

#[test]
fn what_the_former_route_needs_stays_until_the_new_one_is_in_force() {
    let mut store = store(&["cart"]);
    store.apply(update(
        &[service("cart"), endpoints("cart", &[1]), endpoints("v1", &[2]), route("r", "cart", &["v1"])],
        &[],
    ));
    let applied = store.apply(update(&[route("r", "cart", &["v2"])], &["endpoints/shop/v1"]));
    assert_eq!(backends(&applied.snapshot, "cart"), ["v1"]);
    assert_eq!(applied.snapshot.endpoints(&name("v1")).unwrap().port(80).len(), 1);
    let applied = store.apply(update(&[endpoints("v2", &[3])], &[]));
    assert_eq!(backends(&applied.snapshot, "cart"), ["v2"]);
    assert!(applied.snapshot.endpoints(&name("v1")).is_none());
}

#[test]
fn a_destination_is_not_there_before_its_first_route_is() {
    let mut store = store(&["cart"]);
    let applied =
        store.apply(update(&[service("cart"), endpoints("cart", &[1]), route("r", "cart", &["v1"])], &[]));
    assert!(matches!(applied.snapshot.destination(&name("cart")), Lookup::NotAsked));
    let applied = store.apply(update(&[endpoints("v1", &[2])], &[]));
    assert_eq!(backends(&applied.snapshot, "cart"), ["v1"]);
}

#[test]
fn refused_endpoints_are_not_waited_for() {
    let mut store = store(&["cart"]);
    let mut with_bad =
        update(&[service("cart"), endpoints("v1", &[2]), route("r", "cart", &["v1", "v2"])], &[]);
    with_bad.resources.push(bad(&endpoints("v2", &[3])));
    let applied = store.apply(with_bad);
    assert_eq!(applied.rejects.len(), 1);
    assert_eq!(backends(&applied.snapshot, "cart"), ["v1", "v2"]);
    assert!(applied.snapshot.endpoints(&name("v2")).is_none());
}

#[test]
fn a_removed_route_gives_the_service_back_to_itself() {
    let mut store = store(&["cart"]);
    let all = [service("cart"), endpoints("cart", &[1]), endpoints("v1", &[2]), route("r", "cart", &["v1"])];
    store.apply(update(&all, &[]));
    let applied = store.apply(update(&[], &["httproute/shop/r", "endpoints/shop/v1"]));
    assert!(known(&applied.snapshot, "cart").table(80).unwrap().is_empty());
    assert!(applied.snapshot.endpoints(&name("v1")).is_none());
    assert_eq!(store.held().len(), 2);
}

#[test]
fn an_unknown_destination_is_told_and_may_come_to_exist() {
    let mut store = store(&["later"]);
    let unknown = vec![WireDestination { namespace: "shop".to_owned(), name: "later".to_owned() }];
    let applied = store.apply(Update { unknown, subscription: 1, ..Update::default() });
    assert!(matches!(applied.snapshot.destination(&name("later")), Lookup::Unknown));
    let applied = store.apply(update(&[service("later"), endpoints("later", &[1])], &[]));
    assert!(matches!(applied.snapshot.destination(&name("later")), Lookup::Known(_)));
    let applied = store.apply(update(&[], &["service/shop/later", "endpoints/shop/later"]));
    assert!(matches!(applied.snapshot.destination(&name("later")), Lookup::Unknown));
    assert!(applied.snapshot.service(&name("later")).is_none());
}

#[test]
fn a_backend_becomes_a_destination_only_with_the_answer_to_its_subscription() {
    let mut store = store(&["cart"]);
    store.apply(update(
        &[service("cart"), endpoints("v1", &[2]), service("v1"), route("r", "cart", &["v1"])],
        &[],
    ));
    store.want(&name("v1"));
    store.asked(2);
    let applied = store.apply(update(&[endpoints("v1", &[2, 3])], &[]));
    assert!(
        matches!(applied.snapshot.destination(&name("v1")), Lookup::NotAsked),
        "an update from before the question"
    );
    let applied = store.apply(Update { subscription: 2, ..update(&[route("r2", "v1", &["v1"])], &[]) });
    assert_eq!(backends(&applied.snapshot, "v1"), ["v1"]);
}

#[test]
fn a_removal_that_echoes_an_unsubscription_does_not_make_a_new_question_unknown() {
    let mut store = store(&["cart"]);
    store.apply(update(&[service("cart"), endpoints("cart", &[1])], &[]));
    store.forget(&name("cart"));
    assert!(matches!(store.snapshot().destination(&name("cart")), Lookup::NotAsked));
    store.want(&name("cart"));
    store.asked(3);
    let applied =
        store.apply(Update { subscription: 2, ..update(&[], &["service/shop/cart", "endpoints/shop/cart"]) });
    assert!(matches!(applied.snapshot.destination(&name("cart")), Lookup::NotAsked));
    let applied =
        store.apply(Update { subscription: 3, ..update(&[service("cart"), endpoints("cart", &[1])], &[]) });
    assert!(matches!(applied.snapshot.destination(&name("cart")), Lookup::Known(_)));
}

#[test]
fn what_did_not_change_keeps_its_arc() {
    let mut store = store(&["cart", "stock"]);
    let all = [service("cart"), endpoints("cart", &[1]), service("stock"), endpoints("stock", &[2])];
    let before = store.apply(update(&all, &[])).snapshot;
    let after = store
        .apply(update(&[service("cart"), endpoints("cart", &[1]), endpoints("stock", &[2, 3])], &[]))
        .snapshot;
    let same = |of: &str| {
        before.endpoints(&name(of)).zip(after.endpoints(&name(of))).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
    };
    assert!(same("cart") && !same("stock"));
    for of in ["cart", "stock"] {
        assert!(
            Arc::ptr_eq(&known(&before, of), &known(&after, of)),
            "endpoints are no part of the destination"
        );
    }
}

#[test]
fn marks_of_use_survive_updates_and_are_taken_once() {
    let mut store = store(&["cart"]);
    let snapshot = store.apply(update(&[service("cart"), endpoints("cart", &[1])], &[])).snapshot;
    known(&snapshot, "cart").mark_used();
    store.apply(update(&[endpoints("cart", &[2])], &[]));
    assert_eq!(store.take_used(), [(name("cart"), true)]);
    assert_eq!(store.take_used(), [(name("cart"), false)]);
}

#[test]
fn who_gets_in_unauthenticated_is_nobody_until_it_is_known_and_what_cannot_be_read_opens_nothing() {
    let said = |mode, at_81| {
        let rule = |mode| MtlsRule { mode, source: String::new() };
        ModelResource::Authentication(Authentication {
            mtls: rule(mode),
            ports: [(81, rule(at_81))].into_iter().collect(),
            jwt: None,
        })
    };
    let open = said(MtlsMode::Permissive, MtlsMode::Disabled);
    let modes = |snapshot: &Snapshot| (snapshot.mtls_mode(80), snapshot.mtls_mode(81));
    let ModelResource::Mesh(settings) = mesh(false) else { panic!("no settings") };
    let permissive_mesh = ModelResource::Mesh(MeshSettings { mtls_mode: MtlsMode::Permissive, ..settings });

    let mut fresh = store(&[]);
    assert_eq!(modes(fresh.snapshot()), (MtlsMode::Strict, MtlsMode::Strict), "before the first update");
    let update = Update { resources: vec![wire(&permissive_mesh), bad(&open)], ..update(&[], &[]) };
    let applied = fresh.apply(update);
    assert_eq!(applied.rejects.len(), 1);
    assert_eq!(modes(&applied.snapshot), (MtlsMode::Strict, MtlsMode::Strict), "it could never be read");
    let held_of =
        |store: &Store| store.held().into_iter().find(|held| held.name == "authentication").unwrap();
    assert_eq!(held_of(&fresh).version, "", "no version of the controller's, so it is sent again");
    let proxy = mesh_proto::config::v1::ProxyId { namespace: "shop".to_owned(), ..Default::default() };
    let restored = Store::restore(&fresh.save(&proxy).unwrap(), &proxy).unwrap();
    assert_eq!(modes(restored.snapshot()), (MtlsMode::Strict, MtlsMode::Strict), "after a restart too");

    let mut held = store(&[]);
    let old = held.apply(self::update(&[permissive_mesh], &[]));
    assert_eq!(modes(&old.snapshot), (MtlsMode::Permissive, MtlsMode::Permissive), "an older controller");
    let told = held.apply(self::update(std::slice::from_ref(&open), &[]));
    assert_eq!(modes(&told.snapshot), (MtlsMode::Permissive, MtlsMode::Disabled));
    let kept = held.apply(Update { resources: vec![bad(&open)], ..self::update(&[], &["authentication"]) });
    assert_eq!(modes(&kept.snapshot), (MtlsMode::Permissive, MtlsMode::Disabled), "the last good form stays");
}
