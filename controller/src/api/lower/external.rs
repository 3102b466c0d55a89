//! An ExternalService as the model has it. The same function serves `check`, which keeps the faults, and `compile`, which keeps the result.
//! It must not know other objects.

use std::net::IpAddr;

use mesh_model::external::{ExternalPort, ExternalService, Origination, Resolution};
use mesh_model::host::{Host, HostPattern};
use mesh_model::name::Name;
use mesh_model::service::Protocol;

use super::Findings;
use crate::api::external::{self as given, ResolutionMode};

/// Hosts, ports and endpoints of one object.
const MAX_LIST: usize = 64;
/// Bytes of certificates.
const MAX_PEM: usize = 64 * 1024;

/// Lowers it; the faults say what is wrong with it.
pub fn lower(name: Name, object: &given::ExternalService, origin: &str) -> (ExternalService, Findings) {
    let mut findings = Findings::default();
    let spec = &object.spec;
    for (field, len) in [("spec.hosts", spec.hosts.len()), ("spec.ports", spec.ports.len())] {
        if len == 0 {
            findings.fault(field, "is empty; at least one is needed");
        }
        limit(field, len, &mut findings);
    }
    limit("spec.endpoints", spec.endpoints.len(), &mut findings);
    let hosts = hosts(&spec.hosts, &mut findings);
    let ports = ports(&spec.ports, &hosts, &mut findings);
    let resolution = resolution(spec, &mut findings);
    (ExternalService { name, hosts, ports, resolution, origin: origin.to_owned() }, findings)
}

fn limit(field: &str, len: usize, findings: &mut Findings) {
    if len > MAX_LIST {
        findings.fault(field, format!("{len} entries, at most {MAX_LIST} are allowed"));
    }
}

fn hosts(given: &[String], findings: &mut Findings) -> Vec<HostPattern> {
    let mut hosts = Vec::with_capacity(given.len());
    for (at, text) in given.iter().enumerate() {
        match HostPattern::parse(text) {
            Some(host) if hosts.contains(&host) => {
                findings.fault(format!("spec.hosts[{at}]"), format!("{host} occurs twice"));
            }
            Some(host) => hosts.push(host),
            None => findings.fault(
                format!("spec.hosts[{at}]"),
                format!("`{text}` is not a host name; write one such as api.example.com or *.example.com"),
            ),
        }
    }
    hosts
}

fn ports(given: &[given::ExternalPort], hosts: &[HostPattern], findings: &mut Findings) -> Vec<ExternalPort> {
    let mut ports: Vec<ExternalPort> = Vec::with_capacity(given.len());
    for (at, port) in given.iter().enumerate() {
        let field = format!("spec.ports[{at}]");
        if port.port == 0 {
            findings.fault(format!("{field}.port"), "0 is not a port; use 1 to 65535");
        }
        if port.target_port == Some(0) {
            findings.fault(format!("{field}.targetPort"), "0 is not a port; use 1 to 65535");
        }
        if ports.iter().any(|other| other.port == port.port) {
            findings.fault(format!("{field}.port"), format!("{} occurs twice", port.port));
        }
        let protocol = port.protocol.as_deref().and_then(|text| {
            let known = Protocol::declared(Some(text), None);
            if known.is_none() {
                let message = format!("`{text}` is not known; use http, http2, grpc, tcp or tls");
                findings.fault(format!("{field}.protocol"), message);
            }
            known
        });
        let tls = port.tls.as_ref().map(|tls| origination(tls, &format!("{field}.tls"), findings));
        if tls.is_some() && protocol == Some(Protocol::Tls) {
            findings.fault(
                format!("{field}.tls"),
                "the application speaks TLS itself here (protocol: tls); remove one of the two",
            );
        }
        let wild = hosts.iter().all(|host| matches!(host, HostPattern::Under(_)));
        if wild && protocol == Some(Protocol::Tcp) && tls.as_ref().is_some_and(|tls| tls.sni.is_none()) {
            findings.fault(
                format!("{field}.tls.sni"),
                "is needed: bytes under a wildcard do not say which host they are for",
            );
        }
        let target = port.target_port.unwrap_or(port.port);
        ports.push(ExternalPort { port: port.port, target, protocol, tls });
    }
    ports
}

fn origination(given: &given::TlsOrigination, field: &str, findings: &mut Findings) -> Origination {
    let sni = given.sni.as_deref().and_then(|text| {
        let host = Host::parse(text);
        if host.is_none() {
            findings.fault(format!("{field}.sni"), format!("`{text}` is not a host name"));
        }
        host
    });
    if let Some(pem) = &given.ca_certificates {
        if pem.len() > MAX_PEM {
            let message = format!("has {} bytes, at most {MAX_PEM} are allowed", pem.len());
            findings.fault(format!("{field}.caCertificates"), message);
        } else if !pem.contains("-----BEGIN CERTIFICATE-----") {
            findings.fault(
                format!("{field}.caCertificates"),
                "holds no certificate; it begins with -----BEGIN CERTIFICATE-----",
            );
        }
    }
    Origination { sni, ca: given.ca_certificates.clone() }
}

fn resolution(spec: &given::ExternalServiceSpec, findings: &mut Findings) -> Resolution {
    let addresses = || spec.endpoints.iter().map(|endpoint| endpoint.address.as_str()).enumerate();
    match spec.resolution {
        ResolutionMode::Dns => {
            let mut names = Vec::new();
            for (at, text) in addresses() {
                match Host::parse(text) {
                    Some(host) => names.push(host),
                    None => findings.fault(
                        format!("spec.endpoints[{at}].address"),
                        format!("`{text}` is not a host name, which `resolution: DNS` needs; for addresses write `resolution: Static`"),
                    ),
                }
            }
            Resolution::Dns(names)
        }
        ResolutionMode::Static => {
            let mut ips: Vec<IpAddr> = Vec::new();
            for (at, text) in addresses() {
                match text.parse() {
                    Ok(ip) => ips.push(ip),
                    Err(_) => findings.fault(
                        format!("spec.endpoints[{at}].address"),
                        format!("`{text}` is not an IP address, which `resolution: Static` needs; for names write `resolution: DNS`"),
                    ),
                }
            }
            if spec.endpoints.is_empty() {
                findings.fault("spec.endpoints", "is empty; `resolution: Static` needs at least one address");
            }
            Resolution::Static(ips)
        }
        ResolutionMode::None => {
            if !spec.endpoints.is_empty() {
                findings.fault(
                    "spec.endpoints",
                    "not allowed with `resolution: None`, which keeps the address that the application dialled",
                );
            }
            Resolution::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field and message of each fault of a spec.
    fn faults(spec: serde_json::Value) -> Vec<String> {
        let spec: given::ExternalServiceSpec = serde_json::from_value(spec).unwrap();
        let object = given::ExternalService::new("x", spec);
        let (_, findings) = lower(Name::new("shop", "x").unwrap(), &object, "f.yaml:1");
        findings.faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_one_has_its_defaults() {
        let spec = serde_json::json!({ "hosts": ["API.example.com", "*.example.org"], "ports": [
            { "port": 443, "protocol": "tls" },
            { "port": 80, "targetPort": 443, "protocol": "http", "tls": { "sni": "x.example.com" } },
        ]});
        let object = given::ExternalService::new("x", serde_json::from_value(spec).unwrap());
        let (external, findings) = lower(Name::new("shop", "x").unwrap(), &object, "f.yaml:1");
        assert_eq!(findings, Findings::default());
        assert_eq!(
            external.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["api.example.com", "*.example.org"]
        );
        assert_eq!(external.resolution, Resolution::Dns(vec![]));
        assert_eq!(
            (external.port(443).unwrap().target, external.port(443).unwrap().tls.is_none()),
            (443, true)
        );
        let http = external.port(80).unwrap();
        assert_eq!((http.target, http.protocol), (443, Some(Protocol::Http1)));
        assert_eq!(http.tls, Some(Origination { sni: Host::parse("x.example.com"), ca: None }));
    }

    #[test]
    fn what_is_wrong_is_told_with_the_field_and_what_to_do() {
        let rows = [
            (
                serde_json::json!({ "hosts": [], "ports": [{ "port": 1 }] }),
                "spec.hosts: is empty; at least one is needed",
            ),
            (
                serde_json::json!({ "hosts": ["a"], "ports": [] }),
                "spec.ports: is empty; at least one is needed",
            ),
            (
                serde_json::json!({ "hosts": ["10.0.0.1"], "ports": [{ "port": 1 }] }),
                "spec.hosts[0]: `10.0.0.1` is not a host name; write one such as api.example.com or *.example.com",
            ),
            (
                serde_json::json!({ "hosts": ["a", "A."], "ports": [{ "port": 1 }] }),
                "spec.hosts[1]: a occurs twice",
            ),
            (
                serde_json::json!({ "hosts": ["a"], "ports": [{ "port": 0 }] }),
                "spec.ports[0].port: 0 is not a port; use 1 to 65535",
            ),
            (
                serde_json::json!({ "hosts": ["a"], "ports": [{ "port": 1 }, { "port": 1 }] }),
                "spec.ports[1].port: 1 occurs twice",
            ),
            (
                serde_json::json!({ "hosts": ["a"], "ports": [{ "port": 1, "protocol": "mysql" }] }),
                "spec.ports[0].protocol: `mysql` is not known; use http, http2, grpc, tcp or tls",
            ),
            (
                serde_json::json!({ "hosts": ["a"], "ports": [{ "port": 1, "protocol": "tls", "tls": {} }] }),
                "spec.ports[0].tls: the application speaks TLS itself here (protocol: tls); remove one of the two",
            ),
            (
                serde_json::json!({ "hosts": ["*.a"], "ports": [{ "port": 1, "protocol": "tcp", "tls": {} }] }),
                "spec.ports[0].tls.sni: is needed: bytes under a wildcard do not say which host they are for",
            ),
            (
                serde_json::json!({ "hosts": ["a"], "ports": [{ "port": 1, "tls": { "caCertificates": "x" } }] }),
                "spec.ports[0].tls.caCertificates: holds no certificate; it begins with -----BEGIN CERTIFICATE-----",
            ),
            (
                serde_json::json!({ "hosts": ["a"], "ports": [{ "port": 1 }], "resolution": "Static" }),
                "spec.endpoints: is empty; `resolution: Static` needs at least one address",
            ),
            (
                serde_json::json!({ "hosts": ["a"], "ports": [{ "port": 1 }], "resolution": "Static", "endpoints": [{ "address": "b" }] }),
                "spec.endpoints[0].address: `b` is not an IP address, which `resolution: Static` needs; for names write `resolution: DNS`",
            ),
            (
                serde_json::json!({ "hosts": ["a"], "ports": [{ "port": 1 }], "endpoints": [{ "address": "10.0.0.1" }] }),
                "spec.endpoints[0].address: `10.0.0.1` is not a host name, which `resolution: DNS` needs; for addresses write `resolution: Static`",
            ),
            (
                serde_json::json!({ "hosts": ["a"], "ports": [{ "port": 1 }], "resolution": "None", "endpoints": [{ "address": "b" }] }),
                "spec.endpoints: not allowed with `resolution: None`, which keeps the address that the application dialled",
            ),
        ];
        for (spec, fault) in rows {
            assert_eq!(faults(spec), [fault]);
        }
    }
}
