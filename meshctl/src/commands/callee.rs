//! Where the policies of a called service hold, and what they say: the workloads behind it with the ports of their applications, judged by
//! the function that their sidecars use. Pure. It must not know who asks, or how a verdict is shown.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use mesh_model::endpoint::{Endpoint, Transport};
use mesh_model::head::HeadView;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::policy::{Action, Applied, Attributes, Claims, Decision, Verdict};
use mesh_model::settings::MtlsMode;
use mesh_model::spiffe::SpiffeId;

use super::explain::objects::Objects;

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
    pub(crate) source: IpAddr,
}

/// What a sidecar says to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// Policies were asked.
    Policies(Verdict),
    /// No plaintext is taken: refused before policies are asked. With the object that says so; empty: it is the default.
    Plaintext(String),
}

impl Said {
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Policies(verdict) if verdict.is_allowed())
    }

    /// Whether policies refuse for want of a request that they could look at.
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self, Self::Policies(verdict) if verdict.decision == Decision::Undecided)
    }

    /// `NAMESPACE/NAME` of the policy that decides.
    pub(crate) fn policy(&self) -> Option<String> {
        match self {
            Self::Policies(verdict) => verdict.by.as_ref().map(|by| by.policy.name.to_string()),
            Self::Plaintext(_) => None,
        }
    }

    /// The object and the field that decide, with where they are written.
    pub(crate) fn decided_by(&self, objects: &Objects) -> Option<String> {
        match self {
            Self::Policies(verdict) => {
                let by = verdict.by.as_ref()?;
                let key = objects.by_resource(&by.policy.resource_name());
                let at = key.and_then(|key| objects.origin_of(key, &by.field()));
                let at = at.unwrap_or_else(|| by.policy.origin.clone());
                Some(if at.is_empty() { by.words() } else { format!("{}, {at}", by.words()) })
            }
            Self::Plaintext(source) if source.is_empty() => Some("the default of spec.mtls.mode".to_owned()),
            Self::Plaintext(source) => Some(format!("spec.mtls of {source}")),
        }
    }

    pub(crate) fn words(&self) -> String {
        match self {
            Self::Policies(verdict) => verdict.words(),
            Self::Plaintext(_) => "denied: no plaintext is taken".to_owned(),
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

/// What the sidecar there says.
pub(crate) fn judge<H: HeadView + ?Sized>(
    objects: &Objects,
    place: &Place,
    peer: &Peer,
    call: Call<'_, H>,
) -> Said {
    let rule = objects.compiled.authentication.of_workload(&place.workload).at(place.port);
    if peer.identity.is_none() && rule.mode == MtlsMode::Strict {
        return Said::Plaintext(rule.source.clone());
    }
    let policies = objects.compiled.authorization.of(&place.workload);
    Said::Policies(Applied::at(policies, place.port).judge(&attributes(objects, place, peer, call)))
}

/// What in the call does not fit the rules of policies that allow, each with its field.
pub(crate) fn misfits<H: HeadView + ?Sized>(
    objects: &Objects,
    place: &Place,
    peer: &Peer,
    call: Call<'_, H>,
) -> Vec<String> {
    let attributes = attributes(objects, place, peer, call);
    let policies = objects.compiled.authorization.of(&place.workload);
    let applied = Applied::at(policies, place.port);
    let allowing = applied.all().filter(|policy| policy.action == Action::Allow && policy.refused.is_none());
    let mut said = Vec::new();
    for policy in allowing {
        for (rule, looked) in policy.look(&attributes).iter().enumerate() {
            let Some(place) = looked.place else { continue };
            let why = policy.misfit(rule, place, &attributes);
            said.push(format!("{} of AuthorizationPolicy {}: {why}", place.field(rule), policy.name));
        }
    }
    said
}

fn attributes<'a, H: ?Sized>(
    objects: &'a Objects,
    place: &Place,
    peer: &'a Peer,
    call: Call<'a, H>,
) -> Attributes<'a, H> {
    Attributes {
        peer: peer.identity.as_ref(),
        trust_domain: &objects.compiled.mesh.trust_domain,
        source: peer.source,
        port: place.port,
        sni: call.sni,
        request: call.request,
        claims: call.claims,
    }
}

/// What is called, beyond the port.
#[derive(Debug)]
pub(crate) struct Call<'a, H: ?Sized> {
    pub(crate) request: Option<&'a H>,
    pub(crate) sni: Option<&'a str>,
    pub(crate) claims: Option<&'a Claims>,
}

impl<H: ?Sized> Clone for Call<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: ?Sized> Copy for Call<'_, H> {}

/// Who a workload is, by its object.
pub(crate) fn identity_of(objects: &Objects, workload: &WorkloadName) -> Option<SpiffeId> {
    let index = &objects.index;
    let account = match index.workloads.find(workload) {
        Some(entry) => entry.object.spec.account(workload.0.name()).to_owned(),
        None => index.pods.find(workload)?.object.account().to_owned(),
    };
    SpiffeId::new(objects.compiled.mesh.trust_domain.clone(), workload.0.namespace(), &account).ok()
}

/// The service that words mean: `NAMESPACE/NAME`, `NAME.NAMESPACE`, or `NAME` in `namespace`.
pub(crate) fn service_named(words: &str, namespace: &str) -> Option<ServiceName> {
    let (namespace, name) = match (words.split_once('/'), words.split_once('.')) {
        (Some((namespace, name)), _) => (namespace, name),
        (None, Some((name, rest))) => (rest.split('.').next().unwrap_or(rest), name),
        (None, None) => (namespace, words),
    };
    ServiceName::new(namespace, name).ok()
}
