//! What is at an address, as tables of objects.

use mesh_model::endpoint::Transport;
use mesh_model::spiffe::TrustDomain;

use crate::compile::{Compiled, compile};
use crate::index::Index;
use crate::sources::state::{Contents, DirState};

fn compiled(yaml: &str) -> Compiled {
    let mut state = DirState::default();
    let mut index = Index::default();
    index.apply(state.apply("f.yaml", Contents::Bytes(yaml.as_bytes().to_vec())), 1);
    assert_eq!(state.reports(), []);
    compile(&index, &TrustDomain::new("mesh.test").unwrap())
}

fn service(name: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{{spec}}}}}\n"
    )
}

fn workload(name: &str, app: &str, spec: &str) -> String {
    format!(
        "---\n{{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}, spec: {{{spec}}}}}\n"
    )
}

/// What a connection to each `IP:PORT` reaches: `service shop/web`, or `ADDRESS ACCOUNT|plain [SERVICE:PORT]`, or `-`.
fn reached(yaml: &str, dialled: &[&str]) -> Vec<String> {
    let compiled = compiled(yaml);
    let one = |text: &&str| {
        let dialled: std::net::SocketAddr = text.parse().unwrap();
        let Some(address) = compiled.addresses.get(&dialled.ip()) else { return "-".to_owned() };
        match &address.meaning {
            super::Meaning::Service(service) => format!("service {service}"),
            super::Meaning::Served(served) => match served.port(dialled.ip(), dialled.port()) {
                None => "-".to_owned(),
                Some(direct) => {
                    let how = match &direct.endpoint.transport {
                        Transport::Mesh(id) => id.service_account().to_owned(),
                        Transport::Plain => "plain".to_owned(),
                    };
                    let service = direct.service.map(|(service, port)| format!(" {service}:{port}"));
                    format!("{} {how}{}", direct.endpoint.address, service.unwrap_or_default())
                }
            },
        }
    };
    dialled.iter().map(one).collect()
}

#[test]
fn a_virtual_address_is_its_service_in_both_families() {
    let yaml =
        service("web", "clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::1'], ports: [{port: 80}]");
    let dialled = ["10.96.0.1:80", "10.96.0.1:81", "[fd00::1]:80", "10.96.0.2:80"];
    assert_eq!(reached(&yaml, &dialled), ["service shop/web", "service shop/web", "service shop/web", "-"]);
}

#[test]
fn an_address_of_two_services_stays_with_the_first_and_the_other_is_told() {
    let yaml = service("b", "clusterIP: 10.96.0.1, ports: [{port: 80}]")
        + &service("a", "clusterIP: 10.96.0.1, ports: [{port: 80}]");
    assert_eq!(reached(&yaml, &["10.96.0.1:80"]), ["service shop/a"]);
    let compiled = compiled(&yaml);
    let told: Vec<_> = compiled.objects.iter().filter(|(_, report)| !report.conditions.is_empty()).collect();
    let [(key, report)] = told[..] else { panic!("{told:?}") };
    assert_eq!((&*key.name, report.conditions[0].reason), ("b", "AddressInUse"));
    assert_eq!(
        report.conditions[0].message,
        "10.96.0.1 is an address of Service shop/a already, and connections to it go there; give this Service another one"
    );
}

#[test]
fn a_captured_workload_takes_every_port_with_its_identity() {
    let yaml = service("web", "clusterIP: None, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]")
        + &workload("web", "web", "address: 10.0.0.5, serviceAccount: front, ports: [{port: 8080}]");
    assert!(compiled(&yaml).services.values().all(|(service, _)| service.headless));
    assert_eq!(
        reached(&yaml, &["10.0.0.5:8080", "10.0.0.5:9999", "10.0.0.6:8080"]),
        ["10.0.0.5:8080 front shop/web:80", "10.0.0.5:9999 front", "-"]
    );
}

#[test]
fn a_workload_with_ports_of_its_sidecar_is_dialled_by_those_of_its_application() {
    let yaml = service("web", "selector: {app: web}, ports: [{port: 80}]")
        + &workload(
            "web",
            "web",
            "address: 127.0.0.5, ports: [{port: 80, meshPort: 15006}, {port: 90, meshPort: 15007}]",
        );
    assert_eq!(
        reached(&yaml, &["127.0.0.5:80", "127.0.0.5:15006", "127.0.0.5:90", "127.0.0.5:91"]),
        ["127.0.0.5:15006 web shop/web:80", "127.0.0.5:15006 web shop/web:80", "127.0.0.5:15007 web", "-"]
    );
}

#[test]
fn workloads_that_share_an_address_are_told_apart_by_port() {
    let yaml = workload("a", "a", "address: 10.0.0.5, ports: [{port: 1}]")
        + &workload("b", "b", "address: 10.0.0.5, ports: [{port: 2}]")
        + &workload("c", "c", "address: 10.0.0.6, mesh: false");
    assert_eq!(
        reached(&yaml, &["10.0.0.5:1", "10.0.0.5:2", "10.0.0.5:3", "10.0.0.6:3"]),
        ["10.0.0.5:1 a", "10.0.0.5:2 b", "-", "10.0.0.6:3 plain"]
    );
}

const SLICE: &str = "
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv6
ports: [{port: 5432}]
endpoints:
- {addresses: ['fd00::5'], targetRef: {kind: Workload, name: db}}
- {addresses: ['fd00::6']}
";

#[test]
fn addresses_of_slices_count_with_the_identity_of_the_workload_that_they_name() {
    let yaml = service("db", "ports: [{port: 5432}]")
        + &service("also-db", "selector: {app: db}, ports: [{port: 9, targetPort: 5432}]")
        + &workload("db", "db", "address: 10.0.0.7, ports: [{port: 5432}]")
        + SLICE;
    assert_eq!(
        reached(&yaml, &["[fd00::5]:5432", "[fd00::5]:1", "[fd00::6]:5432", "[fd00::6]:1", "10.0.0.7:5432"]),
        [
            "[fd00::5]:5432 db shop/db:5432",
            "[fd00::5]:1 db",
            "[fd00::6]:5432 plain shop/db:5432",
            "-",
            "10.0.0.7:5432 db shop/also-db:9"
        ]
    );
}

#[test]
fn a_virtual_address_counts_before_an_endpoints() {
    let yaml = service("web", "clusterIP: 10.0.0.5, ports: [{port: 80}]")
        + &workload("a", "a", "address: 10.0.0.5, ports: [{port: 80}]");
    assert_eq!(reached(&yaml, &["10.0.0.5:80"]), ["service shop/web"]);
}
