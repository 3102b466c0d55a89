//! What can be asked about, and what is found behind a port.

use super::*;

fn sought(text: &str) -> Option<String> {
    Sought::parse(text).ok().map(|sought| sought.to_string())
}

#[test]
fn addresses_and_hosts_have_one_spelling() {
    let same = [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("FD00::0:1", "fd00::1"),
        ("API.Example.com.", "api.example.com"),
        ("a_b-c", "a_b-c"),
        ("web-0.web.shop.svc.cluster.local", "web-0.web.shop.svc.cluster.local"),
    ];
    for (written, meant) in same {
        assert_eq!(sought(written).as_deref(), Some(meant), "{written}");
        assert_eq!(Sought::parse(meant), Sought::parse(written));
    }
    let long_label = "a".repeat(64);
    let long = format!("{}a", "abcdefg.".repeat(32));
    for bad in ["", ".", "a..b", "*.example.com", "a b", "a:80", "[::1]", "é.example", &long_label, &long] {
        assert_eq!(sought(bad), None, "{bad}");
    }
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        address: ([10, 0, 0, 1], port).into(),
        transport: Transport::Plain,
        workload: None,
        zone: String::new(),
        state: EndpointState::Ready,
        weight: 1,
        priority: 0,
    }
}

#[test]
fn a_port_is_found_as_the_application_dials_it_and_as_the_sidecar_has_it() {
    let web = (ServiceName::new("shop", "web").unwrap(), 80);
    let ports = vec![
        ServedPort { port: 8080, endpoint: endpoint(15_080), service: Some(web.clone()) },
        ServedPort { port: 9090, endpoint: endpoint(9090), service: None },
    ];
    let mut served = Served { ports, others: None };
    let ip = IpAddr::from([10, 0, 0, 1]);
    for dialled in [8080, 15_080] {
        let found = served.port(ip, dialled).unwrap();
        assert_eq!((found.endpoint.address.port(), found.service.as_ref()), (15_080, Some(&web)));
    }
    assert_eq!(served.port(ip, 9090).unwrap().service, None);
    assert_eq!(served.port(ip, 1), None);
    let workload = WorkloadName::new("shop", "web").ok();
    served.others =
        Some(Member { workload: workload.clone(), transport: Transport::Plain, zone: "z".into() });
    let other = served.port(ip, 1).unwrap();
    assert_eq!((other.endpoint.address, other.service), (([10, 0, 0, 1], 1).into(), None));
    assert_eq!((other.endpoint.workload, other.endpoint.zone), (workload, "z".to_owned()));
    assert_eq!(served.services(), [&web.0]);
}
