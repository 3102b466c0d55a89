//! From the parts of one route object that need no other object to model types: matches, filters, timeouts.
//!
//! It must not know other objects: what a backend refers to is found out in `compile`. The same functions serve [`super::check`]
//! (which keeps the faults) and `compile` (which keeps the result), so that the two cannot disagree.

pub mod access_log;
pub mod asking;
pub mod authorization;
pub mod backend_policy;
pub mod canary;
pub mod compare;
mod cors;
pub mod external;
pub mod filters;
pub mod jwt;
pub mod matches;
pub mod scalars;
pub mod session;
pub mod slo;
pub mod streams;
pub mod telemetry;
pub mod traffic;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mesh_model::duration;
use mesh_model::route::{Filter, Match, RuleRetry, Timeouts};
use mesh_model::traffic::{Ppm, SessionPersistence};

use super::Fault;
use super::gateway::{
    BackendRef, GrpcRoute, GrpcRule, HttpRoute, HttpRule, PathKind, RuleRetry as GivenRetry, RuleTimeouts,
};
use super::scalars::DurationText;

/// The largest weight of a backend. Source: HTTPRoute specification, `BackendRef.weight`.
pub const MAX_WEIGHT: i64 = 1_000_000;
/// Rules of a route, filters of a rule, backends of a rule, header matches of a match. Source: as above.
const MAX_LIST: usize = 16;
/// Matches of a rule. Source: as above.
const MAX_MATCHES: usize = 64;

/// Statuses that a rule retries.
const MAX_CODES: usize = 32;
/// Attempts after the first one; more is never meant.
const MAX_ATTEMPTS: i64 = 100;

/// What lowering collects besides its result.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Findings {
    /// The object breaks the specification: it is refused.
    pub faults: Vec<Fault>,
    /// The object is right, but the mesh does not do this: the rule answers 500.
    pub unsupported: Vec<Fault>,
}

impl Findings {
    /// The object is wrong here.
    pub fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault::new(field, message));
    }

    /// The object asks for what the mesh does not do.
    pub fn unsupported(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.unsupported.push(Fault::new(field, message));
    }

    fn limit(&mut self, field: &str, len: usize, max: usize) {
        if len > max {
            self.fault(field, format!("{len} entries, at most {max} are allowed"));
        }
    }
}

/// A rule as far as it can be known without other objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoweredRule {
    /// Its own name.
    pub name: Option<String>,
    /// Never empty.
    pub matches: Vec<Match>,
    /// In order.
    pub filters: Vec<LoweredFilter>,
    /// Limits.
    pub timeouts: Timeouts,
    /// When a request is sent again.
    pub retry: Option<RuleRetry>,
    /// Keeps a client on one endpoint.
    pub session: Option<SessionPersistence>,
    /// The backends, not resolved.
    pub backends: Vec<LoweredBackend>,
    /// What is wrong with it.
    pub findings: Findings,
}

/// A filter as far as it can be known without other objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoweredFilter {
    /// As it is.
    Ready(Filter),
    /// Sends copies elsewhere.
    Mirror {
        /// Where.
        reference: Reference,
        /// Of how many requests.
        share: Ppm,
    },
    /// Asks a service whether requests may go on.
    ExternalAuth(asking::LoweredAuth),
}

impl LoweredFilter {
    /// Whether it answers with a redirect.
    pub fn redirects(&self) -> bool {
        matches!(self, Self::Ready(Filter::Redirect(_)))
    }
}

/// A reference to what takes requests, not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The path of the reference.
    pub field: String,
    /// Group, empty for the core group.
    pub group: String,
    /// Kind, `Service` if absent.
    pub kind: String,
    /// `None`: the route's own.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// Needed for a Service.
    pub port: Option<u16>,
}

/// A backend reference with its own filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoweredBackend {
    /// To what.
    pub reference: Reference,
    /// Relative to the others.
    pub weight: u32,
    /// For this backend alone.
    pub filters: Vec<LoweredFilter>,
    /// Filters of it that the mesh does not do: its share gets 500.
    pub unsupported: Vec<Fault>,
}

/// All rules of an HTTPRoute. A route without rules has one that fits everything.
pub fn http_rules(route: &HttpRoute) -> Vec<LoweredRule> {
    let default = [HttpRule::default()];
    let rules = if route.spec.rules.is_empty() { &default } else { route.spec.rules.as_slice() };
    let one = |(i, rule): (usize, &HttpRule)| {
        let owner = owner("httproute", &route.metadata, rule.name.as_deref(), i);
        http_rule(rule, &format!("spec.rules[{i}]"), &owner)
    };
    rules.iter().enumerate().map(one).collect()
}

/// All rules of a GRPCRoute. A route without rules has one that fits everything.
pub fn grpc_rules(route: &GrpcRoute) -> Vec<LoweredRule> {
    let default = [GrpcRule::default()];
    let rules = if route.spec.rules.is_empty() { &default } else { route.spec.rules.as_slice() };
    let one = |(i, rule): (usize, &GrpcRule)| {
        let owner = owner("grpcroute", &route.metadata, rule.name.as_deref(), i);
        grpc_rule(rule, &format!("spec.rules[{i}]"), &owner)
    };
    rules.iter().enumerate().map(one).collect()
}

/// What a rule is told apart by for as long as it is there: its name, else its place.
fn owner(kind: &str, metadata: &ObjectMeta, name: Option<&str>, index: usize) -> String {
    let (namespace, route) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let rule = name.map_or_else(|| index.to_string(), ToOwned::to_owned);
    format!("{kind}/{}/{}#{rule}", namespace.unwrap_or_default(), route.unwrap_or_default())
}

fn http_rule(rule: &HttpRule, at: &str, owner: &str) -> LoweredRule {
    let mut findings = Findings::default();
    findings.limit(&format!("{at}.matches"), rule.matches.len(), MAX_MATCHES);
    let matches = matches::http(&rule.matches, &format!("{at}.matches"), &mut findings);
    let filters =
        filters::lower(&rule.filters, &format!("{at}.filters"), filters::Family::Http, &mut findings);
    check_prefix_rewrite(rule, &filters, at, &mut findings);
    if filters.iter().any(LoweredFilter::redirects) && !rule.backend_refs.is_empty() {
        findings.fault(
            format!("{at}.backendRefs"),
            "not allowed beside a RequestRedirect filter; remove one of the two",
        );
    }
    let backends = backends(&rule.backend_refs, at, filters::Family::Http, &mut findings);
    let timeouts = timeouts(rule.timeouts.as_ref(), at, &mut findings);
    let retry = rule.retry.as_ref().map(|it| retry(it, &format!("{at}.retry"), &mut findings));
    let session = session(rule.session_persistence.as_ref(), at, owner, &mut findings);
    LoweredRule { name: rule.name.clone(), matches, filters, timeouts, retry, session, backends, findings }
}

fn grpc_rule(rule: &GrpcRule, at: &str, owner: &str) -> LoweredRule {
    let mut findings = Findings::default();
    findings.limit(&format!("{at}.matches"), rule.matches.len(), MAX_MATCHES);
    let matches = matches::grpc(&rule.matches, &format!("{at}.matches"), &mut findings);
    let filters =
        filters::lower(&rule.filters, &format!("{at}.filters"), filters::Family::Grpc, &mut findings);
    let backends = backends(&rule.backend_refs, at, filters::Family::Grpc, &mut findings);
    let session = session(rule.session_persistence.as_ref(), at, owner, &mut findings);
    LoweredRule {
        name: rule.name.clone(),
        matches,
        filters,
        timeouts: Timeouts::default(),
        retry: None,
        session,
        backends,
        findings,
    }
}

fn session(
    given: Option<&super::traffic::SessionPersistence>,
    at: &str,
    owner: &str,
    findings: &mut Findings,
) -> Option<SessionPersistence> {
    given.map(|it| session::lower(it, &format!("{at}.sessionPersistence"), owner, findings))
}

/// Source: GEP-1731.
fn retry(it: &GivenRetry, at: &str, findings: &mut Findings) -> RuleRetry {
    findings.limit(&format!("{at}.codes"), it.codes.len(), MAX_CODES);
    for (index, code) in it.codes.iter().enumerate() {
        scalars::number(*code, &format!("{at}.codes[{index}]"), 400..=599, findings);
    }
    let mut statuses = it.codes.clone();
    statuses.sort_unstable();
    statuses.dedup();
    let attempts =
        scalars::optional_number(it.attempts, &format!("{at}.attempts"), 0..=MAX_ATTEMPTS, findings);
    let backoff = it.backoff.as_deref().map(DurationText::from);
    let bounds = Duration::ZERO..=scalars::HOUR;
    RuleRetry {
        statuses,
        attempts: attempts.and_then(|attempts| u32::try_from(attempts).ok()),
        backoff: scalars::optional(backoff.as_ref(), &format!("{at}.backoff"), bounds, findings),
    }
}

/// Replacing a prefix means something only where the rule has exactly one match, by prefix. Source: HTTPRoute specification,
/// `HTTPPathModifier.replacePrefixMatch`.
fn check_prefix_rewrite(rule: &HttpRule, filters: &[LoweredFilter], at: &str, findings: &mut Findings) {
    use mesh_model::route::PathRewrite::Prefix;
    let replaces = filters.iter().any(|filter| match filter {
        LoweredFilter::Ready(Filter::Redirect(redirect)) => matches!(redirect.path, Some(Prefix(_))),
        LoweredFilter::Ready(Filter::Rewrite(rewrite)) => matches!(rewrite.path, Some(Prefix(_))),
        LoweredFilter::Ready(_) | LoweredFilter::Mirror { .. } | LoweredFilter::ExternalAuth(_) => false,
    });
    let by_prefix = match rule.matches.as_slice() {
        [] => true,
        [one] => one.path.as_ref().is_none_or(|path| path.kind == PathKind::PathPrefix),
        [_, _, ..] => false,
    };
    if replaces && !by_prefix {
        findings.fault(
            format!("{at}.filters"),
            "replacePrefixMatch needs exactly one match in the rule, of type PathPrefix",
        );
    }
}

fn backends(
    refs: &[BackendRef],
    at: &str,
    family: filters::Family,
    findings: &mut Findings,
) -> Vec<LoweredBackend> {
    findings.limit(&format!("{at}.backendRefs"), refs.len(), MAX_LIST);
    let mut lowered = Vec::with_capacity(refs.len());
    for (index, backend) in refs.iter().enumerate() {
        let field = format!("{at}.backendRefs[{index}]");
        let weight = backend.weight.unwrap_or(1);
        if weight > MAX_WEIGHT {
            findings.fault(format!("{field}.weight"), format!("{weight} is over {MAX_WEIGHT}"));
        } else if weight < 0 {
            findings.fault(format!("{field}.weight"), format!("{weight} is below 0"));
        }
        if backend.port == Some(0) {
            findings.fault(format!("{field}.port"), "0 is not a port; use 1 to 65535");
        }
        // Filters of a backend that the mesh does not do cost that backend's share only.
        let mut own = Findings::default();
        let filters = filters::lower(&backend.filters, &format!("{field}.filters"), family, &mut own);
        for (name, there) in [
            ("RequestRedirect", filters.iter().any(LoweredFilter::redirects)),
            ("CORS", filters.iter().any(|f| matches!(f, LoweredFilter::Ready(Filter::Cors(_))))),
        ] {
            if there {
                own.unsupported(format!("{field}.filters"), format!("{name} is not supported on a backend"));
            }
        }
        findings.faults.append(&mut own.faults);
        lowered.push(LoweredBackend {
            reference: Reference {
                field,
                group: backend.group.clone().unwrap_or_default(),
                kind: backend.kind.clone().unwrap_or_else(|| "Service".to_owned()),
                namespace: backend.namespace.clone(),
                name: backend.name.clone(),
                port: backend.port,
            },
            weight: u32::try_from(weight.clamp(0, MAX_WEIGHT)).unwrap_or(0),
            filters,
            unsupported: own.unsupported,
        });
    }
    lowered
}

fn timeouts(timeouts: Option<&RuleTimeouts>, at: &str, findings: &mut Findings) -> Timeouts {
    let Some(timeouts) = timeouts else { return Timeouts::default() };
    let mut read = |text: Option<&String>, field: &str| {
        let text = text?;
        match duration::parse(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                findings.fault(format!("{at}.timeouts.{field}"), error.to_string());
                None
            }
        }
    };
    let request = read(timeouts.request.as_ref(), "request");
    let backend_request = read(timeouts.backend_request.as_ref(), "backendRequest");
    // Zero turns the limit off. Source: HTTPRoute specification, `timeouts`.
    if let (Some(whole), Some(attempt)) = (request.filter(|whole| !whole.is_zero()), backend_request)
        && attempt > whole
    {
        findings.fault(format!("{at}.timeouts.backendRequest"), "longer than `request`; it must not be");
    }
    Timeouts { request, backend_request }
}

/// Faults of the list of rules itself.
pub fn check_rules(len: usize, names: impl Iterator<Item = Option<String>>, findings: &mut Findings) {
    findings.limit("spec.rules", len, MAX_LIST);
    let mut seen = std::collections::BTreeSet::new();
    for (index, name) in names.enumerate() {
        if let Some(name) = name
            && !seen.insert(name.clone())
        {
            findings.fault(
                format!("spec.rules[{index}].name"),
                format!("`{name}` is the name of another rule of this route"),
            );
        }
    }
}
