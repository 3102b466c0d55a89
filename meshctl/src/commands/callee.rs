//! Where the policies of a called service hold, and what they say: the workloads behind it with the ports of their applications, judged by
//! the functions that their sidecars use. Pure. It must not know who asks, or how a verdict is shown.

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use mesh_model::authentication::MtlsRule;
use mesh_model::endpoint::{Endpoint, Transport};
use mesh_model::failure::Failure;
use mesh_model::head::HeadView;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::policy::{Action, Applied, Attributes, Claims, Decision, Verdict};
use mesh_model::settings::MtlsMode;
use mesh_model::spiffe::{SpiffeId, TrustDomain};

use super::explain::objects::Objects;

pub(crate) mod doubts;
mod near;
pub(crate) mod standing;
pub(crate) mod token;
pub(crate) mod words;

use token::Shown;

/// A port of a workload's application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) workload: WorkloadName,
    pub(crate) port: u16,
}

/// Who calls, as the called sidecar knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// `None`: plaintext.
    pub(crate) identity: Option<SpiffeId>,
    /// Where the connection comes from.
    pub(crate) source: IpAddr,
    /// Where the caller itself is, as far as it is known.
    pub(crate) address: Option<IpAddr>,
}

/// What a sidecar says to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// Policies were asked.
    Policies(Verdict),
    /// No plaintext is taken: refused before policies are asked.
    Plaintext {
        /// The object that says so; empty: it is the default.
        source: String,
        field: &'static str,
    },
    /// A token is asked for, and the call has none that is good.
    Token(token::Refused),
}

impl Said {
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Policies(verdict) if verdict.is_allowed())
    }

    /// Whether it is refused for want of a request that could be looked at.
    pub(crate) fn is_undecided(&self) -> bool {
        match self {
            Self::Policies(verdict) => verdict.decision == Decision::Undecided,
            Self::Plaintext { .. } => false,
            Self::Token(refused) => refused.failure == Failure::PolicyUndecided,
        }
    }

    /// What the caller gets instead of an answer; `None`: it is allowed, or the connection comes to nothing.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match self {
            Self::Policies(verdict) => match verdict.decision {
                Decision::Allow => None,
                Decision::Deny => Some(Failure::PolicyDenied),
                Decision::Undecided => Some(Failure::PolicyUndecided),
            },
            Self::Plaintext { .. } => None,
            Self::Token(refused) => Some(refused.failure),
        }
    }

    /// `NAMESPACE/NAME` of the policy that decides.
    pub(crate) fn policy(&self) -> Option<String> {
        match self {
            Self::Policies(verdict) => verdict.by.as_ref().map(|by| by.policy.name.to_string()),
            Self::Plaintext { .. } | Self::Token(_) => None,
        }
    }

    /// The object and the field that decide, with where they are written.
    pub(crate) fn decided_by(&self, objects: &Objects) -> Option<String> {
        let field_of = |field: &str, source: &str| {
            let key = objects.by_resource(source);
            let at = key.and_then(|key| objects.origin_of(key, field));
            at.map_or_else(|| format!("{field} of {source}"), |at| format!("{field} of {source}, {at}"))
        };
        match self {
            Self::Policies(verdict) => {
                let by = verdict.by.as_ref()?;
                let key = objects.by_resource(&by.policy.resource_name());
                let at = key.and_then(|key| objects.origin_of(key, &by.field()));
                let at = at.unwrap_or_else(|| by.policy.origin.clone());
                Some(if at.is_empty() { by.words() } else { format!("{}, {at}", by.words()) })
            }
            Self::Plaintext { source, .. } if source.is_empty() => {
                Some("the default of spec.mtls.mode".to_owned())
            }
            Self::Plaintext { source, field } => Some(field_of(field, source)),
            Self::Token(refused) => Some(field_of(&refused.field, &refused.source)),
        }
    }

    pub(crate) fn words(&self) -> String {
        match self {
            Self::Policies(verdict) => verdict.words(),
            Self::Plaintext { .. } => "denied: no plaintext is taken".to_owned(),
            Self::Token(refused) => format!("denied: {}", refused.why),
        }
    }
}

/// Whom the sidecars judge at an endpoint of a service. `None`: nobody, since there is no sidecar.
pub(crate) fn place(
    objects: &Objects,
    service: &ServiceName,
    port: u16,
    endpoint: &Endpoint,
) -> Option<Place> {
    let workload = endpoint.workload.clone()?;
    let known = objects.index.workloads.find(&workload).map(|entry| &*entry.object);
    let is_member = match known {
        Some(workload) => workload.spec.mesh,
        None => {
            matches!(endpoint.transport, Transport::Mesh(_))
                || objects.compiled.authentication.of_workload(&workload).mode(endpoint.address.port())
                    == MtlsMode::Disabled
        }
    };
    let reached = endpoint.address.port();
    let behind = |workload: &mesh_controller::api::Workload| {
        let spec = &workload.spec;
        let mut own = spec.ports.iter().filter(|own| own.mesh_port == Some(reached));
        match (own.next(), own.next()) {
            (Some(only), None) => Some(only.port),
            // Several ports of the application share one of the sidecar: the Service says which is meant.
            (Some(_), Some(_)) => {
                let target = target(objects, service, port)?;
                let mut own = spec.ports.iter().filter(|own| own.mesh_port == Some(reached));
                own.find(|own| match &target {
                    IntOrString::Int(number) => i32::from(own.port) == *number,
                    IntOrString::String(name) => own.name.as_ref() == Some(name),
                })
                .map(|own| own.port)
            }
            (None, _) => None,
        }
    };
    let port = known.and_then(behind).unwrap_or(reached);
    is_member.then_some(Place { workload, port })
}

/// Where a Service's port leads, as the object says it.
fn target(objects: &Objects, service: &ServiceName, port: u16) -> Option<IntOrString> {
    let spec = objects.index.services.find(service)?.object.spec.as_ref()?;
    let own = spec.ports.iter().flatten().find(|own| own.port == i32::from(port))?;
    Some(own.target_port.clone().unwrap_or(IntOrString::Int(own.port)))
}

/// Every place behind a port of a service, each once, and the endpoints that have no sidecar.
pub(crate) fn places(
    objects: &Objects,
    service: &ServiceName,
    port: u16,
    endpoints: &[Endpoint],
) -> (Vec<Place>, Vec<Endpoint>) {
    let (mut found, mut bare) = (Vec::new(), Vec::new());
    for endpoint in endpoints {
        match place(objects, service, port, endpoint) {
            Some(place) => found.push(place),
            None => bare.push(endpoint.clone()),
        }
    }
    found.sort();
    found.dedup();
    (found, bare)
}

/// What is called, beyond the port.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// `None`: bytes that are no HTTP.
    pub(crate) request: Option<&'a dyn HeadView>,
    pub(crate) sni: Option<&'a str>,
    /// Of a token that is taken for verified; without it the request itself is looked at.
    pub(crate) claims: Option<&'a Claims>,
}

/// The port at which the sidecar there takes connections for the application's.
pub(crate) fn reached(objects: &Objects, place: &Place) -> u16 {
    let known = objects.index.workloads.find(&place.workload);
    let own = known.and_then(|entry| entry.object.spec.ports.iter().find(|own| own.port == place.port));
    own.and_then(|own| own.mesh_port).unwrap_or(place.port)
}

/// How callers get in there, and which field says so.
pub(crate) fn mtls<'a>(objects: &'a Objects, place: &Place) -> (&'a MtlsRule, &'static str) {
    let said = objects.compiled.authentication.of_workload(&place.workload);
    let port = reached(objects, place);
    let field = if said.ports.contains_key(&port) { "spec.mtls.ports" } else { "spec.mtls.mode" };
    (said.at(port), field)
}

/// What the sidecar there says.
pub(crate) fn judge(objects: &Objects, place: &Place, peer: &Peer, call: Call<'_>) -> Said {
    let (rule, field) = mtls(objects, place);
    let peer = as_seen(peer, rule);
    if peer.identity.is_none() && rule.mode == MtlsMode::Strict {
        return Said::Plaintext { source: rule.source.clone(), field };
    }
    let applied = Applied::at(objects.compiled.authorization.of(&place.workload), place.port);
    let connection = Call { request: None, ..call };
    if let Some(verdict) = applied.judge_early(&attributes(objects, place, &peer, connection, None)) {
        return Said::Policies(verdict);
    }
    match token::of_call(objects, place, call) {
        Err(refused) => Said::Token(refused),
        Ok(None) => Said::Policies(applied.judge(&attributes(objects, place, &peer, call, None))),
        Ok(Some(shown)) => {
            let request = call.request.map(|request| shown.behind(request));
            let request = request.as_ref().map(|request| request as &dyn HeadView);
            let call = Call { request, ..call };
            Said::Policies(applied.judge(&attributes(objects, place, &peer, call, Some(&shown))))
        }
    }
}

/// What in the call does not fit the rules of policies that allow, each with its field, and what may have been meant.
pub(crate) fn misfits(objects: &Objects, place: &Place, peer: &Peer, call: Call<'_>) -> Vec<String> {
    let (rule, _) = mtls(objects, place);
    let seen = as_seen(peer, rule);
    let Ok(shown) = token::of_call(objects, place, call) else { return Vec::new() };
    let behind = shown.as_ref().zip(call.request).map(|(shown, request)| shown.behind(request));
    let request = behind.as_ref().map(|request| request as &dyn HeadView).or(call.request);
    let attributes = attributes(objects, place, &seen, Call { request, ..call }, shown.as_ref());
    let policies = objects.compiled.authorization.of(&place.workload);
    let applied = Applied::at(policies, place.port);
    let allowing = applied.all().filter(|policy| policy.action == Action::Allow && policy.refused.is_none());
    let mut said = Vec::new();
    for policy in allowing {
        for (rule, looked) in policy.look(&attributes).iter().enumerate() {
            let Some(at) = looked.place else { continue };
            let why = policy.misfit(rule, at, &attributes);
            let near = near::Near { objects, place, peer, attributes: &attributes };
            let hint = policy.rules.get(rule).and_then(|rule| near.hint(rule, at));
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            said.push(format!("{} of AuthorizationPolicy {}: {why}{hint}", at.field(rule), policy.name));
        }
    }
    said
}

/// Where mutual TLS is disabled members call in plaintext, and show nothing.
fn as_seen(peer: &Peer, rule: &MtlsRule) -> Peer {
    let identity = peer.identity.clone().filter(|_| rule.mode != MtlsMode::Disabled);
    Peer { identity, ..peer.clone() }
}

fn attributes<'a>(
    objects: &'a Objects,
    place: &Place,
    peer: &'a Peer,
    call: Call<'a>,
    shown: Option<&'a Shown>,
) -> Attributes<'a, dyn HeadView + 'a> {
    Attributes {
        peer: peer.identity.as_ref(),
        trust_domain: &objects.compiled.mesh.trust_domain,
        source: peer.source,
        port: place.port,
        sni: call.sni,
        request: call.request,
        claims: shown.map(|shown| &shown.claims).or(call.claims),
    }
}

/// What the policies of a place make of a caller, whatever it asks for: as [`judge`] does, with the request left open.
pub(crate) fn open_attributes<'a>(
    objects: &'a Objects,
    place: &Place,
    peer: &'a Peer,
) -> Attributes<'a, dyn HeadView + 'a> {
    attributes(objects, place, peer, Call { request: None, sni: None, claims: None }, None)
}

/// A caller as the sidecar at a place sees it.
pub(crate) fn seen_at(objects: &Objects, place: &Place, peer: &Peer) -> Peer {
    as_seen(peer, mtls(objects, place).0)
}

/// Who a workload is for those whom it calls, by its object: one without a sidecar shows no identity. `None`: it is not known.
pub(crate) fn peer_of(objects: &Objects, workload: &WorkloadName) -> Option<Peer> {
    let index = &objects.index;
    let (account, is_member, domain, address) = match index.workloads.find(workload) {
        Some(entry) => {
            let spec = &entry.object.spec;
            let account = spec.account(workload.0.name()).to_owned();
            (account, spec.mesh, spec.trust_domain.clone(), Some(spec.address))
        }
        None => {
            let pod = &index.pods.find(workload)?.object;
            (pod.account().to_string(), pod.injected(), None, pod.addresses().first().copied())
        }
    };
    let domain = match domain {
        Some(text) => TrustDomain::new(&text).ok()?,
        None => objects.compiled.mesh.trust_domain.clone(),
    };
    let identity = SpiffeId::new(domain, workload.0.namespace(), &account).ok().filter(|_| is_member);
    Some(Peer { identity, source: address.unwrap_or(UNKNOWN), address })
}

/// Where a connection comes from of which nothing is known.
pub(crate) const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The service that words mean: `NAMESPACE/NAME`, `NAME.NAMESPACE`, or `NAME` in `namespace`.
pub(crate) fn service_named(words: &str, namespace: &str) -> Option<ServiceName> {
    let (namespace, name) = match (words.split_once('/'), words.split_once('.')) {
        (Some((namespace, name)), _) => (namespace, name),
        (None, Some((name, rest))) => (rest.split('.').next().unwrap_or(rest), name),
        (None, None) => (namespace, words),
    };
    ServiceName::new(namespace, name).ok()
}
