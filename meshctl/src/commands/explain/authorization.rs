//! What the sidecars of the called workloads say of a call: whether they take plaintext, tokens, and AuthorizationPolicies, by the functions
//! that they use. Pure. Said only where something of it holds; who calls has to be known for a verdict.

use mesh_model::endpoint::Endpoint;
use mesh_model::explain::{Effect, FilterStep};
use mesh_model::name::ServiceName;
use mesh_model::policy::{Action, Applied, Decision};
use mesh_model::route::{BackendTarget, Filter};

use super::answer::{Answer, Destination, Outcome, Routing};
use super::objects::Objects;
use super::question::Question;
use crate::commands::callee::{self, Call, Peer, Place, Said, token, words};

/// What is said at some of the workloads that the call may go to.
#[derive(Debug)]
pub(crate) struct Held {
    /// Each once, with the port of the application.
    pub(crate) workloads: Vec<String>,
    /// `None`: it is not known who calls.
    pub(crate) said: Option<Said>,
    /// The policies that hold there, as `NAMESPACE/NAME`.
    pub(crate) policies: Vec<String>,
    /// What does not fit rules that allow, or what fits one that denies, where it is refused.
    pub(crate) misfits: Vec<String>,
    /// What else has to be known: what audit policies would have refused, what could not be judged.
    pub(crate) notes: Vec<String>,
    /// Whether copies go there, whose answers nobody waits for.
    pub(crate) is_mirror: bool,
}

impl Held {
    /// Whether it is known that the call gets no further.
    pub(crate) fn is_refused(&self) -> bool {
        self.said.as_ref().is_some_and(|said| !said.is_allowed())
    }

    /// One word.
    pub(crate) fn verdict(&self) -> &'static str {
        match &self.said {
            Some(said) if said.is_allowed() => "allowed",
            Some(_) => "refused",
            None => "depends",
        }
    }

    /// What it means, for people.
    pub(crate) fn words(&self) -> String {
        let copies = if self.is_mirror { "copies to " } else { "" };
        let who = format!("{copies}{}", self.workloads.join(", "));
        match &self.said {
            Some(said) => format!("{who}: {}", said.words()),
            None if self.policies.is_empty() => {
                format!("{who}: on who calls; name a workload with --from")
            }
            None => format!(
                "{who}: on who calls; name a workload with --from. Asked: AuthorizationPolicy {}",
                self.policies.join(", ")
            ),
        }
    }
}

/// Where a share of the calls goes, and as what it comes there.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) service: ServiceName,
    pub(crate) port: u16,
    pub(crate) endpoints: Vec<Endpoint>,
    /// `None`: as bytes.
    pub(crate) arriving: Option<Question>,
    pub(crate) is_mirror: bool,
}

/// Everything that is said, in the order of the ways.
pub(crate) fn held(objects: &Objects, peer: Option<&Peer>, sni: Option<&str>, ways: &[Way]) -> Vec<Held> {
    let mut held: Vec<Held> = Vec::new();
    for way in ways {
        for place in callee::places(objects, &way.service, way.port, &way.endpoints).0 {
            let Some(here) = at(objects, &place, peer, sni, way) else { continue };
            let same = held.iter_mut().find(|one| {
                (&one.said, &one.policies, one.is_mirror) == (&here.said, &here.policies, here.is_mirror)
            });
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

/// Every place where the ways end, each once.
pub(crate) fn places(objects: &Objects, ways: &[Way]) -> Vec<Place> {
    let all = ways.iter().flat_map(|way| callee::places(objects, &way.service, way.port, &way.endpoints).0);
    let mut places: Vec<Place> = all.collect();
    places.sort();
    places.dedup();
    places
}

/// The ways of a request.
pub(crate) fn ways(answer: &Answer<'_>) -> Vec<Way> {
    let objects = answer.objects;
    match (&answer.outcome, &answer.destination, &answer.routing) {
        (Outcome::Sent { .. }, _, Some(routing)) => ways_of(objects, answer.question, routing),
        (Outcome::Bytes, Destination::Service { name, port }, _) => {
            vec![Way::to(objects, name, port.port, None, false)]
        }
        _ => Vec::new(),
    }
}

fn ways_of(objects: &Objects, question: &Question, routing: &Routing) -> Vec<Way> {
    let of_rule = routing.explanation.filters.as_slice();
    let mut ways = Vec::new();
    for target in routing.targets.iter().filter(|target| target.share.weight > 0) {
        let own = target.share.filters.as_slice();
        if let BackendTarget::Service { service, port } = &target.share.target {
            let arriving = arriving(question, &[of_rule, own]);
            ways.push(Way::to(objects, service, *port, Some(arriving), false));
        }
        let of_target = mirrors(own).map(|(target, at)| (target, arriving(question, &[of_rule, at])));
        ways.extend(of_target.filter_map(|(target, arriving)| Way::mirror(objects, target, arriving)));
    }
    let of_all = mirrors(of_rule).map(|(target, at)| (target, arriving(question, &[at])));
    ways.extend(of_all.filter_map(|(target, arriving)| Way::mirror(objects, target, arriving)));
    ways
}

/// Where copies go, each with the filters before it.
fn mirrors(steps: &[FilterStep]) -> impl Iterator<Item = (&BackendTarget, &[FilterStep])> {
    steps.iter().enumerate().filter_map(move |(at, step)| match &step.filter {
        Filter::Mirror(mirror) => Some((&mirror.target, steps.get(..at).unwrap_or_default())),
        _ => None,
    })
}

impl Way {
    /// To a port of a Service.
    pub(crate) fn to(
        objects: &Objects,
        service: &ServiceName,
        port: u16,
        arriving: Option<Question>,
        is_mirror: bool,
    ) -> Self {
        let known = objects.compiled.services.get(service);
        let endpoints = known.map(|(_, endpoints)| endpoints.port(port).to_vec()).unwrap_or_default();
        Self { service: service.clone(), port, endpoints, arriving, is_mirror }
    }

    fn mirror(objects: &Objects, target: &BackendTarget, arriving: Question) -> Option<Self> {
        match target {
            BackendTarget::Service { service, port } => {
                Some(Self::to(objects, service, *port, Some(arriving), true))
            }
            BackendTarget::Invalid { .. } => None,
        }
    }
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

fn at(objects: &Objects, place: &Place, peer: Option<&Peer>, sni: Option<&str>, way: &Way) -> Option<Held> {
    let applied = Applied::at(objects.compiled.authorization.of(&place.workload), place.port);
    let asks = !applied.is_empty() || token::rules(objects, place).is_some();
    let request = way.arriving.as_ref().map(|question| question as &dyn mesh_model::head::HeadView);
    let call = Call { request, sni, claims: None };
    let said = peer.map(|peer| callee::judge(objects, place, peer, call));
    // What is the same everywhere, and lets everybody through, is not said.
    if !asks && said.as_ref().is_none_or(Said::is_allowed) {
        return None;
    }
    let misfits = match (&said, peer) {
        (Some(said), Some(peer)) => why(objects, place, peer, call, said),
        _ => Vec::new(),
    };
    let audit = said.as_ref().and_then(audited);
    let token = said.as_ref().and_then(|_| token::note(objects, place, call));
    Some(Held {
        workloads: vec![format!("{} port {}", place.workload, place.port)],
        said,
        policies: applied.all().map(|policy| policy.name.to_string()).collect(),
        misfits,
        notes: audit.into_iter().chain(token).collect(),
        is_mirror: way.is_mirror,
    })
}

/// Why a call is refused: what does not fit rules that allow, or what a rule that denies says.
pub(crate) fn why(objects: &Objects, place: &Place, peer: &Peer, call: Call<'_>, said: &Said) -> Vec<String> {
    let Said::Policies(verdict) = said else { return Vec::new() };
    match (verdict.decision, &verdict.by) {
        (Decision::Allow, _) => Vec::new(),
        (Decision::Deny, Some(by)) if by.rule.is_some() && by.policy.action == Action::Deny => {
            let rule = by.rule.and_then(|rule| by.policy.rules.get(rule));
            rule.map(|rule| format!("{}: it fits, since it refuses {}", by.words(), words::rule(rule)))
                .into_iter()
                .collect()
        }
        (Decision::Deny | Decision::Undecided, _) => callee::misfits(objects, place, peer, call),
    }
}

/// What an audit policy would have made of a call that goes through.
pub(crate) fn audited(said: &Said) -> Option<String> {
    let Said::Policies(verdict) = said else { return None };
    let by = verdict.would_deny.as_ref()?;
    Some(format!(
        "AuthorizationPolicy {} would refuse it ({}), but refuses nothing: its spec.action is Audit, which records",
        by.policy.name,
        by.field()
    ))
}
