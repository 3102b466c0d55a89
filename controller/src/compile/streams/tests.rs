//! What TCPRoutes, TLSRoutes and UDPRoutes become, and what is said of them.

use mesh_model::route::BackendTarget;
use mesh_model::spiffe::TrustDomain;

use crate::compile::{Compiled, compile};
use crate::index::Index;
use crate::sources::state::{Contents, DirState};

const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {ports: [{port: 5432}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db-next, namespace: shop}, spec: {ports: [{port: 5432}]}}
";

fn compiled(yaml: &str) -> (Compiled, Vec<String>) {
    let mut state = DirState::default();
    let mut index = Index::default();
    index.apply(state.apply("f.yaml", Contents::Bytes(yaml.as_bytes().to_vec())), 1);
    let faults = state
        .reports()
        .iter()
        .map(|report| format!("{}: {}", report.problem.fault.field, report.problem.fault.message))
        .collect();
    (compile(&index, &TrustDomain::new("mesh.test").unwrap()), faults)
}

fn route(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: {kind}, metadata: {{name: {name}, namespace: shop}}, spec: {{parentRefs: [{{group: '', kind: Service, name: db}}], {spec}}}}}\n"
    )
}

fn told(compiled: &Compiled, object: &str) -> Vec<String> {
    let found = compiled.objects.iter().find(|(key, _)| key.to_string() == object);
    let conditions = &found.expect("the object is there").1.conditions;
    conditions.iter().map(|c| format!("{} {}: {}", c.reason, c.field, c.message)).collect()
}

#[test]
fn weights_and_backends_arrive_and_what_is_not_there_refuses_its_share() {
    let rules = "rules: [{name: main, backendRefs: [{name: db, port: 5432, weight: 90}, {name: gone, port: 1, weight: 10}]}]";
    let (compiled, faults) = compiled(&format!("{SERVICES}{}", route("TCPRoute", "r", rules)));
    assert_eq!(faults, Vec::<String>::new());
    let [stream] = &compiled.streams[..] else { panic!("{:?}", compiled.streams) };
    assert_eq!((stream.label().as_str(), stream.origin.as_str()), ("tcproute/shop/r#main", "f.yaml:6"));
    assert_eq!(stream.backends.iter().map(|b| b.weight).collect::<Vec<_>>(), [90, 10]);
    assert!(
        matches!(&stream.backends[1].target, BackendTarget::Invalid { reference, .. } if reference == "Service shop/gone:1")
    );
    assert_eq!(
        told(&compiled, "TCPRoute shop/r"),
        [
            "BackendNotFound spec.rules[0].backendRefs[1].name: there is no Service shop/gone; its share of connections is refused"
        ]
    );
}

#[test]
fn a_younger_route_for_the_same_is_told_and_a_tls_route_hides_a_tcp_route() {
    let rules = "rules: [{backendRefs: [{name: db-next, port: 5432}]}]";
    let two = route("TCPRoute", "a", rules) + &route("TCPRoute", "b", rules);
    let (of_two, _) = compiled(&format!("{SERVICES}{two}"));
    assert_eq!(told(&of_two, "TCPRoute shop/a"), Vec::<String>::new());
    assert_eq!(
        told(&of_two, "TCPRoute shop/b"),
        [
            "Overruled spec.parentRefs: tcproute/shop/a is older and takes every connection to port 5432 of Service shop/db; attach this route elsewhere or remove one of the two"
        ]
    );
    let tls = route("TLSRoute", "c", &format!("hostnames: ['*.db.example'], {rules}"));
    let (mixed, _) = compiled(&format!("{SERVICES}{}{tls}", route("TCPRoute", "a", rules)));
    assert_eq!(
        told(&mixed, "TCPRoute shop/a"),
        [
            "Overruled spec.parentRefs: a TLSRoute counts on port 5432 of Service shop/db, so this route does not (GEP-1294)"
        ]
    );
    let (with_http, _) = compiled(&format!("{SERVICES}{tls}{}", route("HTTPRoute", "h", rules)));
    assert_eq!(
        told(&with_http, "TLSRoute shop/c"),
        [
            "Overruled spec.parentRefs: an HTTPRoute or GRPCRoute counts on port 5432 of Service shop/db, so this route does not (GEP-1294)"
        ]
    );
}

#[test]
fn a_udp_route_is_told_to_have_no_effect() {
    let (compiled, faults) = compiled(&format!(
        "{SERVICES}{}",
        route("UDPRoute", "u", "rules: [{backendRefs: [{name: db, port: 53}]}]")
    ));
    assert_eq!((compiled.streams.len(), faults.len()), (0, 0));
    assert_eq!(
        told(&compiled, "UDPRoute shop/u"),
        [
            "NotProgrammed spec: the mesh does not carry UDP: datagrams pass by it untouched, and this route has no effect"
        ]
    );
}

#[test]
fn what_these_kinds_may_not_say_is_refused_with_the_field() {
    let backend = "rules: [{backendRefs: [{name: db, port: 5432}]}]";
    let rows = [
        ("TCPRoute", "rules: []", "spec.rules: a TCPRoute has one rule, not 0"),
        (
            "TCPRoute",
            "rules: [{backendRefs: []}]",
            "spec.rules[0].backendRefs: is empty; name at least one Service",
        ),
        (
            "TCPRoute",
            &format!("hostnames: [a.example], {backend}"),
            "spec.hostnames: a TCPRoute has no hostnames; a TLSRoute tells connections apart by them",
        ),
        (
            "TLSRoute",
            backend,
            "spec.hostnames: is empty; name the hosts that clients ask for in TLS (SNI), such as api.example.com or *.example.com",
        ),
        (
            "TLSRoute",
            &format!("hostnames: ['10.0.0.1'], {backend}"),
            "spec.hostnames[0]: `10.0.0.1` is not a host name; write one such as api.example.com or *.example.com",
        ),
        (
            "TCPRoute",
            "rules: [{backendRefs: [{name: db, port: 5432, weight: 1000001}]}]",
            "spec.rules[0].backendRefs[0].weight: 1000001 is over 1000000",
        ),
    ];
    for (kind, spec, fault) in rows {
        let (compiled, faults) = compiled(&format!("{SERVICES}{}", route(kind, "r", spec)));
        assert_eq!(faults.len(), 1, "{spec}: {faults:?}");
        assert!(faults[0].starts_with(fault), "{spec}: {faults:?}");
        assert_eq!(compiled.streams.len(), 0, "{spec}");
    }
}
