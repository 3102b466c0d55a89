//! What is said about connections.

use mesh_controller::sources::state::{Contents, DirState};

use super::*;
use crate::output::Paint;

const OBJECTS: &str = "
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {clusterIP: 10.96.0.7, selector: {app: db}, ports: [{port: 5432, appProtocol: tcp}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db-next, namespace: shop}, spec: {selector: {app: db-next}, ports: [{port: 5432}]}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: db, namespace: shop, labels: {app: db}}, spec: {address: 10.0.0.1, ports: [{port: 5432}]}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: db-next, namespace: shop, labels: {app: db-next}}, spec: {address: 10.0.0.2, ports: [{port: 5432}]}}
";

const TCP: &str = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: db, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: db}]
  rules:
    - backendRefs:
        - {name: db, port: 5432, weight: 90}
        - {name: db-next, port: 5432, weight: 10}
";

const TLS: &str = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: by-name, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: db}]
  hostnames: ['*.db.example']
  rules: [{backendRefs: [{name: db-next, port: 5432}]}]
";

/// The text, and whether all is fine. JSON says the same.
fn ask(objects: &str, url: &str, name: Option<&str>) -> (String, bool) {
    let files = vec![("o.yaml".into(), Contents::Bytes(objects.into()))];
    let objects = Objects::of(DirState::default(), files, "objects".to_owned()).unwrap();
    let connection = Connection::parse(url, name).expect("a connection").unwrap();
    let caller = Caller::of(&objects, Some("shop"), None, None).unwrap();
    let answer = Answer::find(&objects, &connection, &caller);
    assert_eq!(json(&answer)["fine"], answer.is_fine());
    (text(&answer, Paint::Plain), answer.is_fine())
}

/// Without the breaks of lines.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn shares_of_a_tcp_route_by_name_and_by_virtual_address() {
    for (url, host) in [("tcp://db:5432", "db"), ("tcp://10.96.0.7:5432", "10.96.0.7")] {
        let (text, fine) = ask(&format!("{OBJECTS}{TCP}"), url, None);
        let flat = flat(&text);
        for part in [
            "result carried as bytes",
            &format!("{host} is Service shop/db, port 5432, TCP, carried as bytes o.yaml:2"),
            "taken tcproute/shop/db#0: every connection o.yaml:11",
            "90 % shop/db:5432, 1 endpoint, mTLS spec.rules[0].backendRefs[0], o.yaml:18",
            "10 % shop/db-next:5432, 1 endpoint, mTLS spec.rules[0].backendRefs[1], o.yaml:19",
        ] {
            assert!(flat.contains(part), "{part}: {text}");
        }
        assert!(fine, "{text}");
    }
}

#[test]
fn an_own_address_goes_to_its_endpoint_whatever_routes_say() {
    let (text, fine) = ask(&format!("{OBJECTS}{TCP}"), "tcp://10.0.0.1:5432", None);
    let wanted = "10.0.0.1 is an own address of Workload shop/db of shop/db:5432: dialled at 10.0.0.1:5432, 1 endpoint, mTLS, whatever routes say";
    assert!(fine && flat(&text).contains(wanted), "{text}");
    assert!(!text.contains("Route\n"), "{text}");
}

#[test]
fn names_of_tls_decide_and_the_rest_is_refused() {
    let objects = format!("{OBJECTS}{TCP}{TLS}");
    let (text, _) = ask(&objects, "tls://db:5432", Some("a.db.example"));
    for part in [
        "asks for a.db.example",
        "taken tlsroute/shop/by-name#0: connections that ask for *.db.example",
        "ignored tcproute/shop/db: a TLSRoute counts on the port",
        "100 % shop/db-next:5432",
    ] {
        assert!(flat(&text).contains(part), "{part}: {text}");
    }
    let (text, fine) = ask(&objects, "tls://db:5432", None);
    let wanted = "refused, no_route: TLSRoutes count, and none of them has the name db";
    assert!(!fine && flat(&text).contains(wanted), "{text}");
    let (text, _) = ask(&objects, "tls://10.96.0.7:5432", None);
    assert!(flat(&text).contains("the connection asks for no name"), "{text}");
}

#[test]
fn what_the_mesh_does_not_know_leaves_it_or_is_refused() {
    let (text, fine) = ask(OBJECTS, "tcp://192.0.2.1:25", None);
    assert!(fine && flat(&text).contains("leaves the mesh, untouched"), "{text}");
    let registry = "---\n{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {outbound: {mode: RegistryOnly}}}\n";
    let (text, fine) = ask(&format!("{OBJECTS}{registry}"), "tls://api.example.com", None);
    assert!(!fine && flat(&text).contains("refused, unknown_destination"), "{text}");
    let (text, fine) = ask(OBJECTS, "tcp://db.shop:1", None);
    assert!(!fine && flat(&text).contains("service shop/db has no port 1; it has 5432"), "{text}");
}

const EXTERNAL: &str = "
---
{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {outbound: {mode: RegistryOnly}}}
---
{apiVersion: amime.io/v1alpha1, kind: ExternalService, metadata: {name: api, namespace: shop}, spec: {hosts: ['*.example'], ports: [{port: 443, protocol: tls}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: old-db, namespace: shop}, spec: {type: ExternalName, externalName: db.shop.svc.cluster.local}}
";

#[test]
fn hosts_of_external_services_may_be_called_and_other_names_lead_on() {
    let objects = format!("{OBJECTS}{EXTERNAL}");
    let (text, fine) = ask(&objects, "tls://api.example", None);
    for part in ["leaves the mesh, untouched", "api.example is a host of ExternalService shop/api o.yaml:13"]
    {
        assert!(fine && flat(&text).contains(part), "{part}: {text}");
    }
    let (text, fine) = ask(&objects, "tls://api.example:8443", None);
    let wanted = "refused, no_endpoints: ExternalService shop/api has no port 8443; it has 443";
    assert!(!fine && flat(&text).contains(wanted), "{text}");
    let (text, _) = ask(&objects, "tcp://old-db:5432", None);
    assert!(flat(&text).contains("old-db is Service shop/db, port 5432"), "{text}");
}

#[test]
fn without_routes_the_service_takes_it_and_without_endpoints_nobody() {
    let (text, fine) = ask(OBJECTS, "tcp://db-next:5432", None);
    assert!(fine && flat(&text).contains("no route of connections counts"), "{text}");
    let lone = "{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {ports: [{port: 5432}]}}\n";
    let (text, fine) = ask(lone, "tcp://db:5432", None);
    assert!(!fine && flat(&text).contains("refused, no_endpoints: no backend has an endpoint"), "{text}");
}

#[test]
fn what_is_no_connection_is_said() {
    let bad = |url: &str, name| Connection::parse(url, name).expect("a connection").unwrap_err();
    assert!(matches!(bad("tcp://db", None), InvalidConnection::NoPort(_)));
    assert!(matches!(bad("tcp://db:1/x", None), InvalidConnection::Path(_)));
    assert!(matches!(bad("tcp://db:0", None), InvalidConnection::Authority(_)));
    assert!(matches!(bad("tcp://db:1", Some("a")), InvalidConnection::NotTls));
    assert!(matches!(bad("tls://db", Some("*")), InvalidConnection::Name(_)));
    assert_eq!(Connection::parse("tls://db", None).unwrap().unwrap().port, 443);
    assert_eq!(Connection::parse("http://db:1", None), None);
    assert_eq!(Connection::parse("db", None), None);
}
