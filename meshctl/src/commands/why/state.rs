//! What objects and sidecars say of their own state, as far as it concerns what is asked about: beside a failure that it explains, or as a
//! cause by itself. Pure.

use std::collections::BTreeSet;

use mesh_proto::inspect::v1::{Condition, ObjectStatus};

use super::cause::{self, Cause};
use super::diagnose::{Facts, Found, Object, Party, is};

/// Adds what is known of objects and sidecars.
pub(super) fn join(facts: &Facts, causes: &mut Vec<Found>) {
    let bad: Vec<(&ObjectStatus, &Condition)> = facts
        .objects
        .iter()
        .flat_map(|object| object.conditions.iter().filter(|c| !c.status).map(move |c| (object, c)))
        .collect();
    let mut explained = BTreeSet::new();
    for found in causes.iter_mut() {
        for (at, (object, condition)) in bad.iter().enumerate() {
            if explains(found, object, condition) {
                explained.insert(at);
                found.objects.push(shown(object, condition));
            }
        }
        refine(found);
    }
    for (at, (object, condition)) in bad.iter().enumerate() {
        if !explained.contains(&at) && concerns(facts, causes, object, condition) {
            let cause = if condition.r#type == "ResolvedRefs" {
                match condition.reason.as_str() {
                    "PortNotFound" if object.object.starts_with("Service ") => cause::TARGET_PORT_UNKNOWN,
                    _ => cause::REFERENCE_UNRESOLVED,
                }
            } else {
                cause::OBJECT_INVALID
            };
            let objects = vec![shown(object, condition)];
            causes.push(Found { objects, ..state(cause, Party::default(), condition.message.clone()) });
        }
    }
    sidecars(facts, causes);
}

/// What an object says may tell more exactly why there is nothing behind a service.
fn refine(found: &mut Found) {
    let port = found
        .objects
        .iter()
        .find(|object| object.object.starts_with("Service ") && object.field.ends_with("targetPort"));
    if found.cause == cause::ENDPOINTS_NONE
        && let Some(port) = port
    {
        found.detail.clone_from(&port.message);
        found.cause = cause::TARGET_PORT_UNKNOWN;
    }
}

/// Whether what is wrong with an object is why requests fail.
fn explains(found: &Found, object: &ObjectStatus, condition: &Condition) -> bool {
    let Some((kind, name)) = object.object.split_once(' ') else { return false };
    let resource = format!("{}/{name}", kind.to_ascii_lowercase());
    let of_route = found.route.split('#').next() == Some(resource.as_str());
    let of_service = kind == "Service" && is(name, &found.service.namespace, &found.service.name);
    let code = found.cause.code;
    match kind {
        "HTTPRoute" | "GRPCRoute" | "TCPRoute" | "TLSRoute" => {
            // A reference by the one that this request needed: the detail names it.
            of_route
                && (code == "authz_unavailable"
                    || code == "backend_missing" && !condition.field.contains("filters"))
        }
        "Service" => of_service && matches!(code, "endpoints_none" | "service_port_unknown"),
        "AuthenticationPolicy" => code == "token_keys",
        "AuthorizationPolicy" => {
            code == "authz_unavailable" && found.policy.as_ref().is_some_and(|(policy, _)| policy == name)
        }
        "TrafficPolicy" => code == "rate_limit_unavailable" && found.detail.contains(name),
        _ => false,
    }
}

/// Whether an object has to do with what is asked about.
fn concerns(facts: &Facts, causes: &[Found], object: &ObjectStatus, condition: &Condition) -> bool {
    let name = object.object.split_once(' ').map_or("", |(_, name)| name);
    let namespace = name.split_once('/').map_or("", |(namespace, _)| namespace);
    if !facts.namespace.is_empty() && !namespace.is_empty() && namespace != facts.namespace {
        return false;
    }
    if facts.about.is_empty() {
        return true;
    }
    let own = name.split_once('/').is_some_and(|(namespace, name)| is(&facts.about, namespace, name));
    let routes = facts.traffic.iter().map(|row| &row.route).chain(causes.iter().map(|found| &found.route));
    let mut on_the_way =
        routes.filter_map(|route| route.split('#').next()?.split_once('/')).map(|(_, name)| name);
    // A file that cannot be read may have been about anything.
    let unreadable = condition.r#type == "Readable";
    own || unreadable
        || on_the_way.any(|one| one == name)
        || facts
            .services
            .services
            .iter()
            .any(|service| condition.message.contains(&format!("{}/{}", service.namespace, service.name)))
}

fn shown(object: &ObjectStatus, condition: &Condition) -> Object {
    Object {
        object: object.object.clone(),
        origin: object.origin.clone(),
        field: condition.field.clone(),
        message: condition.message.clone(),
    }
}

/// A cause that is a state, and meets that workload.
pub(super) fn state(cause: Cause, destination: Party, detail: String) -> Found {
    Found {
        cause,
        count: 0,
        requests: 0,
        source: Party::default(),
        service: Party::default(),
        port: 0,
        destination,
        route: String::new(),
        policy: None,
        detail,
        example: None,
        objects: Vec::new(),
    }
}

/// Sidecars of whoever is asked about or meets a failure.
fn sidecars(facts: &Facts, causes: &mut Vec<Found>) {
    let mut met: BTreeSet<Party> = BTreeSet::new();
    for found in causes.iter() {
        met.extend([found.source.clone(), found.destination.clone()]);
    }
    let behind =
        facts.services.services.iter().flat_map(|service| &service.ports).flat_map(|port| &port.endpoints);
    met.extend(behind.map(|end| Party { namespace: end.namespace.clone(), name: end.workload.clone() }));
    let named = facts.services.workloads.iter();
    met.extend(named.map(|one| Party { namespace: one.namespace.clone(), name: one.name.clone() }));
    let within = |namespace: &str| facts.namespace.is_empty() || facts.namespace == namespace;
    let concerned = |namespace: &str, workload: &str| {
        let party = Party { namespace: namespace.to_owned(), name: workload.to_owned() };
        within(namespace)
            && (facts.about.is_empty() || met.contains(&party) || is(&facts.about, namespace, workload))
    };
    for proxy in facts.proxies.iter().filter(|proxy| concerned(&proxy.namespace, &proxy.workload)) {
        let party = Party { namespace: proxy.namespace.clone(), name: proxy.workload.clone() };
        let object = format!("Workload {}/{}", proxy.namespace, proxy.workload);
        let expected = facts.objects.iter().any(|status| status.object == object)
            || facts
                .services
                .workloads
                .iter()
                .any(|one| one.meshed && one.name == proxy.workload && one.namespace == proxy.namespace);
        if !proxy.connected && expected {
            let since = facts.now.saturating_sub(proxy.since_ms / 1000);
            causes.push(state(cause::SIDECAR_DISCONNECTED, party, format!("since {since} s")));
        } else if let Some(reject) = proxy.rejects.first() {
            let detail = format!("{}: {}: {}", reject.resource, reject.field, reject.reason);
            causes.push(state(cause::CONFIG_REJECTED, party, detail));
        }
    }
    for one in facts.certificates.iter().filter(|one| concerned(&one.namespace, &one.workload)) {
        let Some(certificate) = &one.state else { continue };
        let party = Party { namespace: one.namespace.clone(), name: one.workload.clone() };
        // One that ended left its last report behind.
        let connected = facts.proxies.iter().any(|proxy| proxy.connected && proxy.instance == one.instance);
        if !connected {
            continue;
        }
        let left = certificate.not_after.saturating_sub(facts.now);
        let lifetime = certificate.not_after.saturating_sub(certificate.not_before);
        let failures = certificate.renewal_failures;
        if left == 0 {
            let detail = format!("{} is over; {failures} renewals failed", certificate.spiffe_id);
            causes.push(state(cause::CERTIFICATE_OVER, party, detail));
        // Renewal starts at half of the lifetime.
        } else if failures > 0 && left * 2 < lifetime {
            let detail = format!("{failures} renewals failed, and it ends in {left} s");
            causes.push(state(cause::RENEWAL_FAILS, party, detail));
        }
    }
}
