//! What the objects of a cluster take in memory, kept, compiled and ready to be told. The allocator of this program counts what is held, so
//! nothing is estimated.

#![allow(clippy::unwrap_used, reason = "tests")]

use mesh_controller::access::{Accounts, Others};
use mesh_controller::api::Kind;
use mesh_controller::compile::incremental::Compiler;
use mesh_controller::index::{Change, Index};
use mesh_controller::serve::Snapshot;
use mesh_controller::sources::kube::state::KubeState;
use mesh_controller::sources::kube::trim::trim;
use mesh_model::spiffe::TrustDomain;
use serde_json::{Value, json};

#[path = "support/held.rs"]
mod support;

use support::held;

const SERVICES: usize = 1_000;
const PODS: usize = 10;
const NAMESPACES: usize = 50;

fn namespace(service: usize) -> String {
    format!("ns-{}", service % NAMESPACES)
}

fn ip(service: usize, pod: usize) -> String {
    let number = service / NAMESPACES * PODS + pod;
    format!("10.{}.{}.{}", service % NAMESPACES, number / 250, number % 250 + 1)
}

fn pod(service: usize, pod: usize) -> Value {
    let address = ip(service, pod);
    json!({
        "metadata": {
            "name": format!("service-{service}-7d9f8b6c5-x{pod:04}"), "namespace": namespace(service),
            "uid": "5f0c0c0e-0000-0000-0000-000000000000", "resourceVersion": "12345",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "app": format!("service-{service}"), "amime.io/injected": "true",
                "pod-template-hash": "7d9f8b6c5", "app.kubernetes.io/version": "1.2.3",
            },
            "annotations": { "note": "what an injected pod has beside what is read" },
        },
        "spec": {
            "nodeName": format!("node-{}", pod % 30), "serviceAccountName": "member",
            "containers": [{ "name": "app", "image": "local/app:1" }, { "name": "mesh-proxy", "image": "local/proxy:1" }],
        },
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

fn service(service: usize) -> Value {
    json!({
        "metadata": { "name": format!("service-{service}"), "namespace": namespace(service), "labels": { "team": "a" } },
        "spec": {
            "selector": { "app": format!("service-{service}") },
            "clusterIP": format!("10.96.{}.{}", service / 250, service % 250 + 1),
            "clusterIPs": [format!("10.96.{}.{}", service / 250, service % 250 + 1)],
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "appProtocol": "http" }],
        },
    })
}

fn slice(service: usize) -> Value {
    let endpoint = |pod| {
        json!({
            "addresses": [ip(service, pod)],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "nodeName": format!("node-{}", pod % 30), "zone": format!("zone-{}", pod % 3),
            "targetRef": {
                "kind": "Pod", "name": format!("service-{service}-7d9f8b6c5-x{pod:04}"), "namespace": namespace(service),
                "uid": "5f0c0c0e-0000-0000-0000-000000000000",
            },
        })
    };
    let endpoints: Vec<Value> = (0..PODS).map(endpoint).collect();
    json!({
        "metadata": {
            "name": format!("service-{service}-abcde"), "namespace": namespace(service),
            "labels": { "kubernetes.io/service-name": format!("service-{service}") },
        },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http" }],
        "endpoints": endpoints,
    })
}

fn route(service: usize) -> Value {
    let name = format!("service-{service}");
    let backend = json!([{ "name": name, "port": 80 }]);
    json!({
        "metadata": { "name": name, "namespace": namespace(service), "generation": 1, "resourceVersion": "1" },
        "spec": {
            "parentRefs": [{ "group": "", "kind": "Service", "name": name }],
            "rules": [
                {
                    "matches": [{
                        "path": { "type": "PathPrefix", "value": "/api" },
                        "headers": [{ "name": "version", "value": "2" }],
                    }],
                    "filters": [{
                        "type": "RequestHeaderModifier",
                        "requestHeaderModifier": { "set": [{ "name": "seen", "value": "yes" }] },
                    }],
                    "timeouts": { "request": "10s" },
                    "backendRefs": backend,
                },
                { "backendRefs": backend },
            ],
        },
    })
}

fn read(state: &mut KubeState, kind: Kind, objects: impl Iterator<Item = Value>) -> Vec<Change> {
    let status = mesh_controller::sources::kube::kinds::has_status(kind);
    objects.filter_map(|object| state.put(trim(kind, object, status)?, &mut Vec::new())).collect()
}

#[test]
fn objects_of_a_cluster_take_few_bytes() {
    let mut last = held();
    let mut step = |what: &str, of: usize| {
        let now = held();
        let grown = now - last;
        last = now;
        eprintln!("{what:<20} {:>10} bytes, {:>6} each", grown, grown / of.cast_signed());
        grown
    };
    let pairs = || (0..SERVICES).flat_map(|service| (0..PODS).map(move |pod| (service, pod)));
    let (mut state, mut index) = (KubeState::default(), Index::default());
    let mut sum = 0;
    let changes = read(&mut state, Kind::Pod, pairs().map(|(service, number)| pod(service, number)));
    index.apply(changes, 1);
    index.take_dirty();
    sum += step("pods", SERVICES * PODS);
    let changes = read(&mut state, Kind::Service, (0..SERVICES).map(service));
    index.apply(changes, 1);
    index.take_dirty();
    sum += step("services", SERVICES);
    let changes = read(&mut state, Kind::EndpointSlice, (0..SERVICES).map(slice));
    index.apply(changes, 1);
    index.take_dirty();
    sum += step("slices", SERVICES * PODS);
    let changes = read(&mut state, Kind::HttpRoute, (0..SERVICES).step_by(2).map(route));
    index.apply(changes, 1);
    index.take_dirty();
    sum += step("routes", SERVICES / 2);
    let mut compiler = Compiler::new(TrustDomain::new("mesh.test").unwrap());
    compiler.follow(&mut index);
    sum += step("compiled", SERVICES * PODS);
    let (snapshot, _) = Snapshot::build(compiler.compiled(), 1, 1, None);
    sum += step("snapshot", SERVICES * PODS);
    let accounts = Accounts::of(&index, Others::Unknown);
    sum += step("accounts", SERVICES * PODS);
    drop((accounts, snapshot));
    let each = sum / (SERVICES * PODS).cast_signed();
    assert!(each < 3_200, "{each} bytes for each endpoint with its pod and its share of everything else");
}
