//! What follows from a workload.

use super::*;
use crate::local::control_plane;
use crate::local::paths::MeshPaths;

fn spec(name: &str, service: &str) -> WorkloadSpec {
    WorkloadSpec {
        namespace: "shop".into(),
        name: name.into(),
        service: service.into(),
        ports: vec![PortSpec { service: 80, app: 8080, name: None, protocol: Protocol::Http }],
        outbound: vec![Outbound {
            listen: "127.0.0.1:9000".parse().unwrap(),
            service: "api".into(),
            port: 80,
        }],
        labels: vec![("version".into(), "v1".into())],
        zone: None,
        workload_api: true,
        application_metrics: None,
        drain: Duration::ZERO,
    }
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 7, 0, 32);

fn environment_of(place: Place) -> Vec<(String, OsString)> {
    let mesh = control_plane::tests::state(&MeshPaths::at("/m/test".into()));
    environment(&mesh, &spec("web", "web").member(ADDRESS, place))
}

fn value(found: &[(String, OsString)], name: &str) -> Option<String> {
    found.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_string_lossy().into_owned())
}

#[test]
fn one_of_several_has_the_identity_and_the_service_of_all() {
    let one = spec("web-1", "web");
    let objects: Vec<serde_json::Value> = [one.workload(ADDRESS), one.service().unwrap()]
        .iter()
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect();
    assert_eq!(objects[0]["metadata"]["name"], "web-1");
    assert_eq!(objects[0]["spec"]["serviceAccount"], "web");
    assert_eq!(objects[0]["metadata"]["labels"]["app"], "web");
    assert_eq!(objects[1]["metadata"]["name"], "web");
    assert_eq!(objects[1]["spec"]["selector"]["app"], "web");
    assert_eq!(objects[1]["spec"]["ports"][0]["targetPort"], 8080);
    // The controller hears of it before the sidecar comes, and no Service selects it yet.
    let early: serde_json::Value = serde_saphyr::from_str(&one.early_objects(ADDRESS).unwrap()).unwrap();
    assert_eq!(early["spec"]["serviceAccount"], "web");
    assert_eq!(early["metadata"]["labels"], serde_json::Value::Null);
    assert_eq!(spec("web", "web").early_objects(ADDRESS), None);
    assert!(!spec("web", "web").workload(ADDRESS).contains("serviceAccount"));
}

#[test]
fn names_of_the_mesh_are_not_excluded_from_the_proxy() {
    let found = environment_of(Place::Host);
    assert_eq!(
        value(&found, "SPIFFE_ENDPOINT_SOCKET").as_deref(),
        Some("unix:///m/test/api-127.7.0.32.sock")
    );
    assert_eq!(value(&found, "http_proxy").as_deref(), Some("http://127.7.0.32:15001"));
    assert_eq!(value(&found, "HTTP_PROXY"), value(&found, "http_proxy"));
    assert_eq!(value(&found, "no_proxy").as_deref(), Some("localhost,127.0.0.1,::1"));
}

#[test]
fn a_command_whose_traffic_is_captured_knows_of_no_proxy() {
    let place = Place::Namespace { pid: 7 };
    let found = environment_of(place);
    assert!(found.iter().all(|(name, _)| !name.to_lowercase().contains("proxy")), "{found:?}");
    assert_eq!(value(&found, "MESH_WORKLOAD").as_deref(), Some("web"));
    assert!(removed(place).any(|name| name == "HTTP_PROXY"));
    assert!(!removed(Place::Host).any(|name| name == "HTTP_PROXY"));
}

#[test]
fn local_ports_of_services_are_not_captured() {
    assert_eq!(spec("web", "web").member(ADDRESS, Place::Namespace { pid: 7 }).local_ports(), [9000]);
}
