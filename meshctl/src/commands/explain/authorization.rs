//! What the AuthorizationPolicies of the called workloads say of the request, by the function that their sidecars use. Pure. Said only where
//! some policy holds; who calls has to be known for a verdict.

use std::net::{IpAddr, Ipv4Addr};

use mesh_model::explain::{Effect, FilterStep};
use mesh_model::name::WorkloadName;
use mesh_model::policy::Applied;
use mesh_model::route::BackendTarget;

use super::answer::{Answer, Outcome, Target};
use super::question::Question;
use crate::commands::callee::{self, Call, Peer, Place, Said};

/// What is said at some of the workloads that the request may go to.
#[derive(Debug)]
pub(super) struct Held {
    /// Each once, with the port of the application.
    pub(super) workloads: Vec<String>,
    /// `None`: it is not known who calls.
    pub(super) said: Option<Said>,
    /// The policies that hold there, as `NAMESPACE/NAME`.
    pub(super) policies: Vec<String>,
    /// What does not fit rules that allow, where it is refused.
    pub(super) misfits: Vec<String>,
}

impl Held {
    /// Whether it is known that the request gets no further.
    pub(super) fn is_refused(&self) -> bool {
        self.said.as_ref().is_some_and(|said| !said.is_allowed())
    }

    /// One word.
    pub(super) fn verdict(&self) -> &'static str {
        match &self.said {
            Some(said) if said.is_allowed() => "allowed",
            Some(_) => "refused",
            None => "depends",
        }
    }

    /// What it means, for people.
    pub(super) fn words(&self) -> String {
        let who = self.workloads.join(", ");
        match &self.said {
            Some(said) => format!("{who}: {}", said.words()),
            None => format!(
                "{who}: on who calls; name a workload with --from. Asked: AuthorizationPolicy {}",
                self.policies.join(", ")
            ),
        }
    }
}

/// Everything that policies say, in the order of the backends.
pub(super) fn held(answer: &Answer<'_>) -> Vec<Held> {
    let (Some(routing), Outcome::Sent { .. }) = (&answer.routing, &answer.outcome) else { return Vec::new() };
    let peer = peer(answer);
    let mut held: Vec<Held> = Vec::new();
    for target in routing.targets.iter().filter(|target| target.share.weight > 0) {
        let arriving = arriving(answer.question, &[&routing.explanation.filters, &target.share.filters]);
        for place in places(answer, target) {
            let Some(here) = at(answer, &place, peer.as_ref(), &arriving) else { continue };
            let same = held.iter_mut().find(|one| (&one.said, &one.policies) == (&here.said, &here.policies));
            match same {
                Some(one) => one.workloads.extend(here.workloads),
                None => held.push(here),
            }
        }
    }
    for one in &mut held {
        one.workloads.sort();
        one.workloads.dedup();
    }
    held
}

/// A request as the called sidecar sees it, behind these filters.
pub(crate) fn arriving(question: &Question, steps: &[&[FilterStep]]) -> Question {
    let mut next = question.clone();
    for step in steps.iter().flat_map(|steps| steps.iter()) {
        if let Effect::Forwarded { path, authority, headers } = &step.effect {
            next = next.forwarded(path, authority, headers);
        }
    }
    next
}

fn places(answer: &Answer<'_>, target: &Target) -> Vec<Place> {
    match &target.share.target {
        BackendTarget::Service { service, port } => {
            callee::places(answer.objects, service, *port, &target.endpoints).0
        }
        BackendTarget::Invalid { .. } => Vec::new(),
    }
}

/// The caller as the called sidecar knows it; `None` if only its namespace is known.
fn peer(answer: &Answer<'_>) -> Option<Peer> {
    let caller = answer.caller;
    let workload = WorkloadName::new(&caller.namespace, caller.workload.as_ref()?).ok()?;
    let identity = callee::identity_of(answer.objects, &workload)?;
    let known = answer.objects.index.workloads.find(&workload);
    let source = known.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |entry| entry.object.spec.address);
    Some(Peer { identity: Some(identity), source })
}

fn at(answer: &Answer<'_>, place: &Place, peer: Option<&Peer>, arriving: &Question) -> Option<Held> {
    let objects = answer.objects;
    let applied = Applied::at(objects.compiled.authorization.of(&place.workload), place.port);
    if applied.is_empty() {
        return None;
    }
    let call = Call { request: Some(arriving), sni: None, claims: None };
    let said = peer.map(|peer| callee::judge(objects, place, peer, call));
    let misfits = match (&said, peer) {
        (Some(said), Some(peer)) if !said.is_allowed() => callee::misfits(objects, place, peer, call),
        _ => Vec::new(),
    };
    Some(Held {
        workloads: vec![format!("{} port {}", place.workload, place.port)],
        said,
        policies: applied.all().map(|policy| policy.name.to_string()).collect(),
        misfits,
    })
}
