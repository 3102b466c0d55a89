//! What is refused of an address.

use super::*;

fn read(address: wire::Address) -> Result<Address, (String, String)> {
    let name = format!("address/{}", address.ip);
    match decode(resource(&name, wire::resource::Body::Address(address))) {
        Ok(ModelResource::Address(address)) => Ok(address),
        Ok(other) => panic!("an address became {other:?}"),
        Err(invalid) => Err((invalid.field, invalid.reason)),
    }
}

fn served(port: wire::ServedPort) -> wire::Address {
    let served = wire::Served { ports: vec![port], others: None };
    wire::Address { ip: "10.0.0.1".to_owned(), meaning: Some(wire::address::Meaning::Served(served)) }
}

fn good() -> wire::ServedPort {
    let endpoint = wire::Endpoint { address: "10.0.0.1:8080".to_owned(), ..wire::Endpoint::default() };
    let service = wire::ServiceRef { namespace: "shop".to_owned(), name: "web".to_owned() };
    wire::ServedPort { port: 8080, endpoint: Some(endpoint), service: Some(service), service_port: 80 }
}

#[test]
fn what_cannot_be_read_of_an_address_is_refused_and_never_becomes_plaintext() {
    assert!(read(served(good())).is_ok());
    type Change = fn(&mut wire::ServedPort);
    let changes: &[(Change, &str)] = &[
        (|port| port.port = 0, "served.ports[0].port"),
        (|port| port.service_port = 0, "served.ports[0].service_port"),
        (|port| port.endpoint = None, "served.ports[0].endpoint"),
        (
            |port| port.endpoint.as_mut().unwrap().identity = "me".to_owned(),
            "served.ports[0].endpoint.identity",
        ),
        (|port| port.service.as_mut().unwrap().name = "No".to_owned(), "served.ports[0].service.name"),
    ];
    for (change, field) in changes {
        let mut port = good();
        change(&mut port);
        assert_eq!(read(served(port)).unwrap_err().0, *field);
    }
    let others = wire::Member { identity: "me".to_owned(), ..wire::Member::default() };
    let meaning = wire::address::Meaning::Served(wire::Served { ports: Vec::new(), others: Some(others) });
    let refused = read(wire::Address { ip: "10.0.0.1".to_owned(), meaning: Some(meaning) });
    assert_eq!(refused.unwrap_err().0, "served.others.identity");
    let nothing = read(wire::Address { ip: "10.0.0.1".to_owned(), meaning: None }).unwrap_err();
    assert_eq!(
        nothing,
        ("meaning".to_owned(), "is absent or of a kind that this version does not know".to_owned())
    );
    let many = wire::Served { ports: vec![good(); bounds::SERVED + 1], others: None };
    let meaning = Some(wire::address::Meaning::Served(many));
    assert_eq!(read(wire::Address { ip: "10.0.0.1".to_owned(), meaning }).unwrap_err().0, "served.ports");
}

#[test]
fn the_name_of_an_address_is_its_one_spelling() {
    let mapped = wire::Address { ip: "::ffff:10.0.0.1".to_owned(), ..served(good()) };
    assert_eq!(
        read(mapped).unwrap_err(),
        ("name".to_owned(), "should be `address/10.0.0.1`, after the content".to_owned())
    );
    assert_eq!(address_of("address/fd00::1"), "fd00::1".parse().ok());
    assert_eq!(address_of("address/web"), None);
    assert_eq!(address_of("service/10.0.0.1"), None);
}
