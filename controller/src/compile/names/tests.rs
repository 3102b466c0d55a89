//! What host names stand for.

use mesh_model::external::HostMeaning;
use mesh_model::host::Host;
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

fn external(name: &str, hosts: &str) -> String {
    format!(
        "---\n{{apiVersion: amime.io/v1alpha1, kind: ExternalService, metadata: {{name: {name}, namespace: shop}}, spec: {{hosts: [{hosts}], ports: [{{port: 443, protocol: tls}}]}}}}\n"
    )
}

/// What each host is to a client in namespace `shop`.
fn meanings(compiled: &Compiled, hosts: &[&str]) -> Vec<String> {
    let one = |host: &&str| {
        let host = Host::parse(host).unwrap();
        match compiled.names.meaning(&host, "shop", |service| compiled.services.contains_key(service)) {
            None => "-".to_owned(),
            Some(HostMeaning::Service(service)) => format!("service {service}"),
            Some(HostMeaning::Alias(host)) => format!("alias {host}"),
            Some(HostMeaning::External(name)) => format!("external {name}"),
            Some(HostMeaning::Endpoints(ips)) => {
                ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
        }
    };
    hosts.iter().map(one).collect()
}

#[test]
fn exact_hosts_beat_wildcards_and_services_beat_both() {
    let yaml = external("all", "'*.example.com'")
        + &external("api", "api.example.com, web")
        + "---\n{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}]}}\n";
    assert_eq!(
        meanings(
            &compiled(&yaml),
            &["api.example.com", "x.example.com", "example.com", "web", "web.shop.svc", "cart"]
        ),
        ["external shop/api", "external shop/all", "-", "service shop/web", "service shop/web", "-"]
    );
}

#[test]
fn a_host_of_two_stays_with_the_first_and_the_other_is_told() {
    let compiled = compiled(&(external("b", "x.example") + &external("a", "'*.y.example', x.example")));
    assert_eq!(meanings(&compiled, &["x.example", "z.y.example"]), ["external shop/a", "external shop/a"]);
    let told: Vec<_> = compiled
        .objects
        .iter()
        .flat_map(|(key, report)| report.conditions.iter().map(move |c| (key.to_string(), c)))
        .collect();
    let [(key, condition)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(
        (key.as_str(), condition.reason, condition.field.as_str()),
        ("ExternalService shop/b", "HostInUse", "spec.hosts[0]")
    );
    assert_eq!(
        condition.message,
        "x.example is a host of ExternalService shop/a, which is older, and stays with it; remove it from one of the two"
    );
}

#[test]
fn an_external_name_is_another_name_for_its_host() {
    let yaml = "{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {type: ExternalName, externalName: DB.example.com.}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: bad, namespace: shop}, spec: {type: ExternalName, externalName: 'a b'}}\n";
    let compiled = compiled(yaml);
    assert_eq!(
        meanings(&compiled, &["db", "db.shop.svc.cluster.local"]),
        ["alias db.example.com", "alias db.example.com"]
    );
    let bad = compiled.objects.iter().find(|(key, _)| &*key.name == "bad").unwrap().1;
    assert_eq!(
        bad.conditions[0].message,
        "`a b` is not a host name, which a Service of type ExternalName needs"
    );
}

#[test]
fn members_of_headless_services_have_names() {
    let yaml = "
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}}
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: db-0, namespace: shop, labels: {app: db}}, spec: {address: 10.0.0.1, ports: [{port: 5432}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: kafka, namespace: shop}, spec: {clusterIP: None, ports: [{port: 9092}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kafka-4, namespace: shop, labels: {kubernetes.io/service-name: kafka}}
addressType: IPv4
ports: [{port: 9092}]
endpoints: [{addresses: [10.0.1.1], hostname: kafka-0}, {addresses: [10.0.1.2], hostname: kafka-1}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kafka-6, namespace: shop, labels: {kubernetes.io/service-name: kafka}}
addressType: IPv6
ports: [{port: 9092}]
endpoints: [{addresses: ['fd00::1'], hostname: kafka-0}]
";
    assert_eq!(
        meanings(
            &compiled(yaml),
            &[
                "kafka-0.kafka.shop.svc.cluster.local",
                "kafka-1.kafka",
                "db-0.db.shop.svc",
                "db-1.db.shop.svc",
                "kafka"
            ]
        ),
        ["10.0.1.1 fd00::1", "10.0.1.2", "10.0.0.1", "-", "service shop/kafka"]
    );
}
