//! Linkerd: ServiceProfile, TrafficSplit, its routes and annotations, and the policies of `policy.linkerd.io`. A Server closes its port but for
//! what is authorized, and so does an AuthorizationPolicy that allows.
//!
//! Source: Linkerd's reference of service profiles, authorization policy, HTTPRoute, retries, timeouts and circuit breaking, 2.1x; SMI
//! TrafficSplit v1alpha1 to v1alpha4.

mod annotations;
mod clients;
mod policies;
mod profile;
mod servers;

use serde_json::json;

use crate::ledger::{Effect, Node};
use crate::routes::{backend, parent};
use crate::{Context, Document, gateway_api, out};

pub(crate) fn run(context: &mut Context<'_>) {
    for (at, _) in of_kind(context, "ServiceProfile") {
        profile::run(context, at);
    }
    for (at, _) in of_kind(context, "TrafficSplit") {
        split(context, at);
    }
    for kind in ["HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute"] {
        for at in routes(context, kind) {
            if let Some((namespace, name)) = gateway_api::take(context, at, kind) {
                annotations::of_route(context, at, kind, (&namespace, &name));
            }
        }
    }
    for at in services(context) {
        annotations::of_service(context, at);
    }
    policies::run(context);
    rest(context);
}

/// Documents of Linkerd's kinds.
pub(super) fn of_kind<'a>(context: &Context<'a>, kind: &str) -> Vec<(usize, &'a Document)> {
    let documents = context.documents.iter().enumerate();
    let ours =
        |group: &str| group == "linkerd.io" || group.ends_with(".linkerd.io") || group == "split.smi-spec.io";
    documents.filter(|(_, one)| ours(one.group()) && one.kind() == kind).collect()
}

/// Routes that have a Service as parent; those of a Server say what is authorized.
fn routes(context: &Context<'_>, kind: &str) -> Vec<usize> {
    let group = |group: &str| group == "policy.linkerd.io" || group == "gateway.networking.k8s.io";
    let documents = context.documents.iter().enumerate();
    let ours =
        documents.filter(|(_, one)| group(one.group()) && one.kind() == kind && !servers::is_of_server(one));
    ours.map(|(at, _)| at).collect()
}

fn services(context: &Context<'_>) -> Vec<usize> {
    let documents = context.documents.iter().enumerate();
    documents.filter(|(_, one)| one.group().is_empty() && one.kind() == "Service").map(|(at, _)| at).collect()
}

/// Weights of a root Service.
fn split(context: &mut Context<'_>, at: usize) {
    let Some(document) = context.documents.get(at) else { return };
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
        return;
    };
    let Some(root) = spec.get("service") else { return };
    let called = crate::world::host(root.text().unwrap_or_default(), &namespace)
        .map_or_else(String::new, |(_, name)| name);
    let name = context.out.name("HTTPRoute", &namespace, document.name());
    let label = out::label("HTTPRoute", &namespace, &name);
    root.to(&label, "spec.parentRefs[0].name");
    let port = context
        .world
        .service(&namespace, &called)
        .and_then(|service| service.ports.first())
        .map(|port| port.port);
    if context.world.service(&namespace, &called).is_none() {
        context.note(
            &from,
            Effect::Edge,
            format!("Service {namespace}/{called} is not among the files: its port is taken to be 80"),
        );
    }
    let milli =
        spec.list("backends").iter().any(|one| one.text_of("weight").is_some_and(|text| text.ends_with('m')));
    let mut backends = Vec::new();
    for (at, one) in spec.list("backends").into_iter().enumerate() {
        let field = format!("spec.rules[0].backendRefs[{at}]");
        let (Some(service), Some(weight)) = (one.get("service"), one.get("weight")) else { continue };
        service.to(&label, format!("{field}.name"));
        weight.to(&label, format!("{field}.weight"));
        let to = service.text().unwrap_or_default();
        let own = context
            .world
            .service(&namespace, to)
            .and_then(|service| service.ports.first())
            .map(|port| port.port);
        backends.push(backend(
            &namespace,
            &namespace,
            to,
            own.or(port).or(Some(80)),
            Some(quantity(&weight, milli)),
        ));
    }
    spec.lost_field(
        "matches",
        Effect::Behaviour,
        "a split by HTTPRouteGroup is a route with matches",
        "HTTPRoute: rules[].matches",
    );
    let spec = json!({ "parentRefs": [parent(&namespace, &namespace, &called, None)], "rules": [{ "name": "split", "backendRefs": backends }] });
    context.out.put("HTTPRoute", &namespace, &name, spec, &from);
}

/// A weight: a number, or a quantity such as `500m`. All of them in thousandths, where one is.
fn quantity(weight: &Node<'_>, milli: bool) -> i64 {
    match weight.text().and_then(|text| text.strip_suffix('m')) {
        Some(text) => text.parse().unwrap_or(0),
        None => weight.integer().unwrap_or(0) * if milli { 1_000 } else { 1 },
    }
}

fn rest(context: &Context<'_>) {
    for (at, document) in context.documents.iter().enumerate() {
        let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
            continue;
        };
        let (effect, reason, instead) = match (document.group(), document.kind()) {
            ("policy.linkerd.io", "HTTPLocalRateLimitPolicy") => (
                Effect::Behaviour,
                "rates are bounded by a TrafficPolicy of the Service",
                "TrafficPolicy: rateLimits, with keys: ClientIdentity for each caller",
            ),
            ("policy.linkerd.io", "EgressNetwork") => (
                Effect::Weaker,
                "calls out of the mesh are let through or not for the whole mesh",
                "MeshConfig: outbound.mode: RegistryOnly, and an ExternalService for each host that may be called",
            ),
            ("multicluster.linkerd.io", _) => {
                (Effect::Behaviour, "clusters are not linked by this object", "docs/tasks/federation.md")
            }
            ("linkerd.io" | "workload.linkerd.io", "ExternalWorkload") => (
                Effect::Behaviour,
                "a member outside Kubernetes is a Workload, which needs its address and a join token",
                "write a Workload with this address and these ports",
            ),
            _ => continue,
        };
        spec.lost(effect, reason, instead);
    }
}
