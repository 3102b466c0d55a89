//! Why a request goes where it goes: which routes count, which matches were looked at and what in the request did not fit, what the
//! filters make of it, where its shares go, and which settings are in force by whose word.
//!
//! Every decision here is made by the functions that the proxy calls ([`RouteTable`], [`Match::misfits`], [`edit`], [`cors`],
//! [`backend_policy`]); this module only writes down what they say. It must not know how an explanation is shown, nor endpoints.

mod filters;
mod looked;

pub use filters::{Effect, FilterStep};
pub use looked::{Looked, Part, Reason};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::asking::ExternalAuth;
use crate::head::HeadView;
use crate::name::ServiceName;
use crate::route::cors::{self, CorsAnswer};
use crate::route::edit::{self, RedirectAnswer};
use crate::route::table::{Chosen, RouteTable, Standing, standing};
use crate::route::{Backend, BackendTarget, Filter, Match, Route};
use crate::traffic::effective::{BackendPolicy, RequestPolicy, backend_policy};
use crate::traffic::{Origin, TrafficPolicy};

use self::filters::Draft;

/// What a request is sent to, by whom, and what is configured.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The called service.
    pub service: &'a ServiceName,
    /// Its port.
    pub port: u16,
    /// Where the caller is.
    pub client_namespace: &'a str,
    /// All routes.
    pub routes: &'a [Arc<Route>],
    /// All policies.
    pub policies: &'a [Arc<TrafficPolicy>],
}

/// What is to be said about a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Every route that names the service as parent, and whether it counts.
    pub routes: Vec<(Arc<Route>, Standing)>,
    /// The matches that would win over the chosen one, in the order of precedence, and what in the request does not fit each. If
    /// none fits: all of them.
    pub passed: Vec<Looked>,
    /// The match that the request fits first. It has no reasons.
    pub chosen: Option<Looked>,
    /// Matches that come after the chosen one, and are not looked at.
    pub after: usize,
    /// The filters of the rule, in order, until one answers.
    pub filters: Vec<FilterStep>,
    /// Where the request's shares go; empty where something answers before.
    pub backends: Vec<Share>,
    /// What becomes of the request.
    pub verdict: Verdict,
    /// The settings in force for it.
    pub policy: Arc<RequestPolicy>,
    /// Where each object that has a say was read, `PATH:LINE`, by `httproute/NS/NAME` or `trafficpolicy/NS/NAME`.
    pub places: BTreeMap<String, String>,
}

/// A backend of the chosen rule, or the service itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The field that names it, as `spec.rules[0].backendRefs[1]`. `None`: no route is attached, the service itself is the backend.
    pub field: Option<String>,
    /// The service, or why it cannot be used: its share gets 500, for gRPC UNAVAILABLE.
    pub target: BackendTarget,
    /// As written.
    pub weight: u32,
    /// Of all weights of the rule, 0 to 1.
    pub share: f64,
    /// Its own filters, in order.
    pub filters: Vec<FilterStep>,
    /// The settings in force for it; none of an invalid one.
    pub policy: Option<Arc<BackendPolicy>>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No route counts: the service itself gets it.
    Service,
    /// Routes count, and no rule fits: 404, for gRPC UNIMPLEMENTED.
    NoRule,
    /// The rule has no backend with a weight above 0: 500, for gRPC UNAVAILABLE.
    NoBackend,
    /// A backend gets it, by weight.
    Backends,
    /// It is answered with a redirect.
    Redirect(RedirectAnswer),
    /// It is a preflight and is answered.
    Preflight(CorsAnswer),
    /// It is refused: who is to be asked about it cannot be resolved. The reference, and why not.
    Refused(String, String),
}

/// Explains what becomes of a request.
pub fn explain<H: HeadView + ?Sized>(question: &Question<'_>, request: &H) -> Explanation {
    let Question { service, port, client_namespace, routes, policies } = *question;
    let table = RouteTable::build(service, port, client_namespace, routes, policies);
    let chosen = table.decide(request);
    let (passed, after) = looked::before(&table, chosen.as_ref(), request);
    let mut explanation = Explanation {
        routes: standing(service, port, client_namespace, routes)
            .map(|(route, standing)| (Arc::clone(route), standing))
            .collect(),
        passed,
        chosen: chosen.as_ref().map(|chosen| Looked::at(chosen, request)),
        after,
        filters: Vec::new(),
        backends: Vec::new(),
        verdict: if table.is_empty() { Verdict::Service } else { Verdict::NoRule },
        policy: Arc::clone(chosen.as_ref().map_or_else(|| table.default_policy(), Chosen::policy)),
        places: BTreeMap::new(),
    };
    match &chosen {
        Some(chosen) => explanation.follow(question, chosen, request),
        None if table.is_empty() => {
            let target = BackendTarget::Service { service: service.clone(), port };
            let policy = Some(Arc::new(backend_policy(policies, service, port)));
            let filters = Vec::new();
            explanation.backends.push(Share { field: None, target, weight: 1, share: 1.0, filters, policy });
        }
        None => {}
    }
    explanation.places = places(question, &explanation);
    explanation
}

impl Explanation {
    /// Goes through the rule's filters and then to its backends, as the proxy does.
    fn follow<H: HeadView + ?Sized>(&mut self, question: &Question<'_>, chosen: &Chosen<'_>, request: &H) {
        let mut draft = Draft::new(request);
        let rule_field = format!("spec.rules[{}]", chosen.rule_index);
        self.filters =
            filters::steps(&chosen.rule().filters, &rule_field, chosen.matched(), &mut draft, question.port);
        if let Some(answer) = self.filters.last().and_then(answered) {
            self.verdict = answer;
            return;
        }
        let backends = &chosen.rule().backends;
        let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
        self.verdict = if total == 0 { Verdict::NoBackend } else { Verdict::Backends };
        self.backends = backends
            .iter()
            .enumerate()
            .map(|(at, backend)| {
                let field = format!("{rule_field}.backendRefs[{at}]");
                let mut draft = draft.clone();
                let steps =
                    filters::steps(&backend.filters, &field, chosen.matched(), &mut draft, question.port);
                share(question, backend, field, steps, total)
            })
            .collect();
    }
}

fn share(
    question: &Question<'_>,
    backend: &Backend,
    field: String,
    filters: Vec<FilterStep>,
    total: u64,
) -> Share {
    let policy = match &backend.target {
        BackendTarget::Service { service, port } => {
            Some(Arc::new(backend_policy(question.policies, service, *port)))
        }
        BackendTarget::Invalid { .. } => None,
    };
    let share = if total == 0 { 0.0 } else { f64::from(backend.weight) / total as f64 };
    Share {
        field: Some(field),
        target: backend.target.clone(),
        weight: backend.weight,
        share,
        filters,
        policy,
    }
}

/// What a filter answers the request with, if it does.
fn answered(step: &FilterStep) -> Option<Verdict> {
    match &step.effect {
        Effect::Refused => match &step.filter {
            Filter::ExternalAuth(ExternalAuth {
                target: BackendTarget::Invalid { reference, reason },
                ..
            }) => Some(Verdict::Refused(reference.clone(), reason.clone())),
            _ => None,
        },
        Effect::Redirect(answer) => Some(Verdict::Redirect(answer.clone())),
        Effect::Cors(answer @ CorsAnswer::Preflight { .. }) => Some(Verdict::Preflight(answer.clone())),
        Effect::Cors(CorsAnswer::Actual { .. } | CorsAnswer::NotCors)
        | Effect::Forwarded { .. }
        | Effect::Response
        | Effect::Asked
        | Effect::Mirrored(_) => None,
    }
}

/// Where the objects that have a say were read.
fn places(question: &Question<'_>, explanation: &Explanation) -> BTreeMap<String, String> {
    let routes = explanation.routes.iter().map(|(route, _)| (route.id.to_string(), route.origin.clone()));
    let mut places: BTreeMap<String, String> = routes.collect();
    let of_backends = explanation.backends.iter().filter_map(|share| share.policy.as_ref());
    let said: Vec<&Origin> = explanation
        .policy
        .origins()
        .into_iter()
        .chain(of_backends.flat_map(|policy| policy.origins()))
        .map(|(_, origin)| origin)
        .collect();
    for (object, _) in said.into_iter().flat_map(Origin::parts) {
        if let Some(policy) = question.policies.iter().find(|policy| policy.resource_name() == object) {
            places.insert(object.to_owned(), policy.origin.clone());
        }
    }
    places
}

#[cfg(test)]
mod tests;
