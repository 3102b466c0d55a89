//! The parts of a TCPRoute, TLSRoute or UDPRoute that need no other object. It must not know what backends are.

use mesh_model::host::HostPattern;

use super::{Findings, LoweredBackend, MAX_LIST, backends, check_rules, filters};
use crate::api::Kind;
use crate::api::streams::StreamRoute;

/// Such a route as far as it can be known without other objects.
#[derive(Debug, Default)]
pub struct LoweredStream {
    /// Names that clients ask for.
    pub hosts: Vec<HostPattern>,
    /// The name of the rule.
    pub rule: Option<String>,
    /// The backends, not resolved.
    pub backends: Vec<LoweredBackend>,
    /// What is wrong with it.
    pub findings: Findings,
}

/// Lowers a route of that kind.
pub fn lower(kind: Kind, route: &StreamRoute) -> LoweredStream {
    let mut findings = Findings::default();
    let spec = &route.spec;
    let hosts = hosts(kind, &spec.hostnames, &mut findings);
    check_rules(spec.rules.len(), spec.rules.iter().map(|rule| rule.name.clone()), &mut findings);
    // Nothing in these kinds tells rules apart, so a second one could never be taken.
    if spec.rules.len() != 1 {
        findings.fault("spec.rules", format!("a {} has one rule, not {}", kind.as_str(), spec.rules.len()));
    }
    let Some(rule) = spec.rules.first() else {
        return LoweredStream { hosts, findings, ..LoweredStream::default() };
    };
    if rule.backend_refs.is_empty() {
        findings.fault("spec.rules[0].backendRefs", "is empty; name at least one Service");
    }
    for (at, backend) in rule.backend_refs.iter().enumerate() {
        if !backend.filters.is_empty() {
            findings.fault(
                format!("spec.rules[0].backendRefs[{at}].filters"),
                format!("backends of a {} have no filters; remove them", kind.as_str()),
            );
        }
    }
    let backends = backends(&rule.backend_refs, "spec.rules[0]", filters::Family::Http, &mut findings);
    LoweredStream { hosts, rule: rule.name.clone(), backends, findings }
}

fn hosts(kind: Kind, given: &[String], findings: &mut Findings) -> Vec<HostPattern> {
    if kind != Kind::TlsRoute {
        if !given.is_empty() {
            let message =
                format!("a {} has no hostnames; a TLSRoute tells connections apart by them", kind.as_str());
            findings.fault("spec.hostnames", message);
        }
        return Vec::new();
    }
    if given.is_empty() {
        let message = "is empty; name the hosts that clients ask for in TLS (SNI), such as api.example.com or *.example.com";
        findings.fault("spec.hostnames", message);
    }
    findings.limit("spec.hostnames", given.len(), MAX_LIST);
    let mut hosts = Vec::with_capacity(given.len());
    for (at, text) in given.iter().enumerate() {
        match HostPattern::parse(text) {
            Some(host) => hosts.push(host),
            None => findings.fault(
                format!("spec.hostnames[{at}]"),
                format!("`{text}` is not a host name; write one such as api.example.com or *.example.com"),
            ),
        }
    }
    hosts
}
