//! What is refused of hosts and external services.

use mesh_model::external::ExternalService;

use super::*;

fn good() -> wire::ExternalService {
    wire::ExternalService {
        namespace: "shop".to_owned(),
        name: "api".to_owned(),
        hosts: vec!["*.example".to_owned()],
        ports: vec![wire::ExternalPort {
            port: 80,
            target: 443,
            protocol: wire::Protocol::Http1.into(),
            tls: Some(wire::TlsOrigination { sni: "api.example".to_owned(), ca: "PEM".to_owned() }),
        }],
        resolution: Some(wire::external_service::Resolution::AsDialled(wire::AsDialled {})),
        origin: "f.yaml:1".to_owned(),
    }
}

fn read(external: wire::ExternalService) -> Result<ExternalService, String> {
    match decode(resource("externalservice/shop/api", wire::resource::Body::External(external))) {
        Ok(ModelResource::External(external)) => Ok(external),
        Ok(other) => panic!("an external service became {other:?}"),
        Err(invalid) => Err(invalid.field),
    }
}

#[test]
fn what_cannot_be_read_of_an_external_service_is_refused() {
    assert!(read(good()).is_ok());
    type Change = fn(&mut wire::ExternalService);
    let changes: &[(Change, &str)] = &[
        (|it| it.hosts[0] = "10.0.0.1".to_owned(), "hosts[0]"),
        (|it| it.ports[0].port = 0, "ports[0].port"),
        (|it| it.ports[0].target = 0, "ports[0].target"),
        (|it| it.ports[0].tls.as_mut().unwrap().sni = "*".to_owned(), "ports[0].tls.sni"),
        (|it| it.ports[0].tls.as_mut().unwrap().ca = "x".repeat(bounds::PEM + 1), "ports[0].tls.ca"),
        (|it| it.resolution = None, "resolution"),
        (|it| it.name = "A".to_owned(), "name"),
    ];
    for (change, field) in changes {
        let mut external = good();
        change(&mut external);
        assert_eq!(read(external).unwrap_err(), *field);
    }
    let names = wire::HostNames { hosts: vec!["a b".to_owned()] };
    let resolution = Some(wire::external_service::Resolution::Dns(names));
    assert_eq!(read(wire::ExternalService { resolution, ..good() }).unwrap_err(), "dns.hosts[0]");
    let ips = wire::HostAddresses { ips: vec!["a".to_owned()] };
    let resolution = Some(wire::external_service::Resolution::Static(ips));
    assert_eq!(read(wire::ExternalService { resolution, ..good() }).unwrap_err(), "static.ips[0]");
}

#[test]
fn what_cannot_be_read_of_a_host_is_refused() {
    let read = |meaning| {
        let entry = wire::HostEntry { host: "a.example".to_owned(), meaning };
        decode(resource("host/a.example", wire::resource::Body::Host(entry))).map_err(|invalid| invalid.field)
    };
    assert!(read(Some(wire::host_entry::Meaning::Alias("b.example".to_owned()))).is_ok());
    assert_eq!(read(None).unwrap_err(), "meaning");
    assert_eq!(read(Some(wire::host_entry::Meaning::Alias("b c".to_owned()))).unwrap_err(), "alias");
    let ips = wire::HostAddresses { ips: vec!["a".to_owned()] };
    assert_eq!(read(Some(wire::host_entry::Meaning::Endpoints(ips))).unwrap_err(), "endpoints.ips[0]");
    let nobody = wire::ServiceRef::default();
    assert_eq!(read(Some(wire::host_entry::Meaning::External(nobody))).unwrap_err(), "external.namespace");
}
