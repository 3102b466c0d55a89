//! Hosts outside the mesh that objects describe, where nothing else may be called.

mod tls;

use mesh_model::external::{ExternalPort, ExternalService, HostEntry, HostMeaning, Origination, Resolution};
use mesh_model::host::{Host, HostPattern};
use mesh_model::name::Name;
use mesh_proto::convert::ModelResource;

use crate::harness::{Mesh, fetch, get, says};

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

/// `api.example`, whose port 80 is at that address and whose port 81 asks for TLS.
fn external(mesh: &mut Mesh, at: std::net::SocketAddr) {
    let name = Name::new("shop", "api").unwrap();
    let port = |port, target, tls| ExternalPort { port, target, protocol: None, tls };
    let meaning = HostMeaning::External(name.clone());
    mesh.services.push(ModelResource::Host(HostEntry { host: host("api.example"), meaning }));
    mesh.services.push(ModelResource::External(ExternalService {
        name,
        hosts: vec![HostPattern::parse("*.example").unwrap()],
        ports: vec![
            port(80, at.port(), None),
            port(81, at.port(), Some(Origination { sni: None, ca: None })),
        ],
        resolution: Resolution::Static(vec![at.ip()]),
        origin: String::new(),
    }));
}

#[tokio::test]
async fn a_host_that_an_object_names_is_called_where_it_says_and_on_its_ports_only() {
    let mut mesh = Mesh::new();
    let outside = says(&mesh.tasks, "outside").await;
    external(&mut mesh, outside);
    let client = mesh.client(&[]);
    let rows = [
        ("api.example", 200, ""),
        ("API.example.:80", 200, ""),
        ("api.example:22", 503, "no_endpoints"),
        // TLS is asked for, and nobody there speaks it: never in plaintext.
        ("api.example:81", 503, "tls_failed"),
        ("other.test", 502, "unknown_destination"),
    ];
    for (authority, status, failure) in rows {
        let got = fetch(&mesh.tasks, client.proxy(), get(authority, "/")).await;
        assert_eq!((got.0, got.1.as_str()), (status, failure), "{authority}: {}", got.2);
    }
}

#[tokio::test]
async fn another_name_for_a_service_is_that_service() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "cart").await;
    let server = mesh.server("cart", app);
    let endpoint = mesh.member(server.inbound(), "cart");
    mesh.service("cart", 80, None, vec![endpoint]);
    let meaning = HostMeaning::Alias(host("cart.shop.svc.cluster.local"));
    mesh.services.push(ModelResource::Host(HostEntry { host: host("old-cart.shop.svc"), meaning }));
    let client = mesh.client(&[]);
    let (status, failure, body) = fetch(&mesh.tasks, client.proxy(), get("old-cart.shop.svc", "/")).await;
    assert_eq!((status, failure.as_str()), (200, ""), "{body}");
}

/// Whoever may make a Service may give a host a name in the mesh: it is registered, as one of an ExternalService is.
#[tokio::test]
async fn another_name_for_a_host_outside_may_be_called_and_the_host_itself_not() {
    let mut mesh = Mesh::new();
    let outside = says(&mesh.tasks, "outside").await;
    let meaning = HostMeaning::Alias(host("outside.test"));
    mesh.services.push(ModelResource::Host(HostEntry { host: host("named.shop.svc"), meaning }));
    let hosts = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(hosts.path(), "127.0.0.1 outside.test\n").unwrap();
    let client = mesh.client_with(&[], |config| config.dns.hosts = hosts.path().to_owned());
    for (name, status, failure) in [("named.shop.svc", 200, ""), ("outside.test", 502, "unknown_destination")]
    {
        let authority = format!("{name}:{}", outside.port());
        let got = fetch(&mesh.tasks, client.proxy(), get(&authority, "/")).await;
        assert_eq!((got.0, got.1.as_str()), (status, failure), "{authority}: {}", got.2);
    }
}
