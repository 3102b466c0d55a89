//! Which settings are in force for a request and for a backend, and who said so. Pure; it must not know endpoints, clocks or how
//! objects are written.
//!
//! The most specific one that says anything about a field wins it: the rule's own fields, a policy on the named rule, on the
//! route, on the port of the service, on the service, the Service itself (`sessionAffinity`), the default. Of two policies on one target only the winner of
//! [`winner`] counts there; the other one says nothing, not even about fields that the winner leaves open.
//!
//! Source: GEP-713 (conflict resolution: the oldest, then the first by name), GEP-1731, GEP-1619.

use std::sync::Arc;
use std::time::Duration;

use super::{
    AdaptiveConcurrency, Backoff, Balancing, BodyLimits, CircuitBreaker, DirectResponse, Fault, HashKey,
    HealthCheck, Hedging, Origin, OutlierDetection, PolicyTarget, Pushback, RateLimit, RequestTimeouts,
    Retries, RetryBudget, RetryMethods, RetryOn, SessionPersistence, Sourced, TrafficPolicy, TrafficSettings,
};
use crate::asking::GlobalRate;
use crate::compare::Compare;
use crate::name::ServiceName;
use crate::route::{Route, Rule, RuleRetry};
use crate::service::Protocol;

/// The settings in force for a request: those of its rule, route and called service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPolicy {
    /// How long things may take.
    pub timeouts: Sourced<RequestTimeouts>,
    /// When it is sent again. Nobody said anything: [`default_retries`].
    pub retries: Option<Sourced<Retries>>,
    /// A second attempt before the first has failed.
    pub hedging: Option<Sourced<Hedging>>,
    /// Faults on purpose.
    pub fault: Option<Sourced<Fault>>,
    /// An answer without a backend.
    pub direct_response: Option<Sourced<DirectResponse>>,
    /// Bounds on bodies.
    pub bodies: Option<Sourced<BodyLimits>>,
    /// Keeps the client on one endpoint.
    pub session: Option<Sourced<SessionPersistence>>,
    /// Bounds on requests per time, for the called workload to keep.
    pub rate_limits: Option<Sourced<Vec<RateLimit>>>,
    /// A bound that a service counts for all proxies together, for the called workload to ask about.
    pub global_rate: Option<Sourced<GlobalRate>>,
    /// What of the request decides to which backend of a split it goes. Without: chance.
    pub split: Option<Sourced<HashKey>>,
    /// How answers to copies that mirrors get are compared with those of the backend.
    pub compare: Option<Sourced<Arc<Compare>>>,
}

impl RequestPolicy {
    /// Every setting that is in force, by the name of its field, with who says so.
    pub fn origins(&self) -> Vec<(&'static str, &Origin)> {
        let Self {
            timeouts,
            retries,
            hedging,
            fault,
            direct_response,
            bodies,
            session,
            rate_limits,
            global_rate,
            split,
            compare,
        } = self;
        [
            Some(("timeouts", &timeouts.origin)),
            origin("retries", retries.as_ref()),
            origin("hedging", hedging.as_ref()),
            origin("fault", fault.as_ref()),
            origin("directResponse", direct_response.as_ref()),
            origin("bodies", bodies.as_ref()),
            origin("sessionPersistence", session.as_ref()),
            origin("rateLimits", rate_limits.as_ref()),
            origin("globalRateLimit", global_rate.as_ref()),
            origin("splitOn", split.as_ref()),
            origin("compare", compare.as_ref()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn origin<'a, T>(field: &'static str, setting: Option<&'a Sourced<T>>) -> Option<(&'static str, &'a Origin)> {
    setting.map(|setting| (field, &setting.origin))
}

impl Default for RequestPolicy {
    fn default() -> Self {
        Self {
            timeouts: by_default(RequestTimeouts::default()),
            retries: Some(by_default(default_retries())),
            hedging: None,
            fault: None,
            direct_response: None,
            bodies: None,
            session: None,
            rate_limits: None,
            global_rate: None,
            split: None,
            compare: None,
        }
    }
}

/// The settings in force for one port of the service that a request goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendPolicy {
    /// Which endpoint is picked.
    pub balancing: Sourced<Balancing>,
    /// How much may be under way.
    pub circuit_breaker: Sourced<CircuitBreaker>,
    /// The share of retries among requests.
    pub retry_budget: Sourced<RetryBudget>,
    /// When an endpoint that fails is left alone: by default after 5 errors in a row.
    pub outlier: Sourced<OutlierDetection>,
    /// Probes of endpoints.
    pub health_check: Option<Sourced<HealthCheck>>,
    /// How long a connect may take.
    pub connect_timeout: Option<Sourced<Duration>>,
    /// What is spoken to it, above what the service declares.
    pub protocol: Option<Sourced<Protocol>>,
    /// A bound on what the workload works on at once, for the workload's proxy to keep.
    pub concurrency: Option<Sourced<AdaptiveConcurrency>>,
}

impl BackendPolicy {
    /// Every setting that is in force, by the name of its field, with who says so.
    pub fn origins(&self) -> Vec<(&'static str, &Origin)> {
        let Self {
            balancing,
            circuit_breaker,
            retry_budget,
            outlier,
            health_check,
            connect_timeout,
            protocol,
            concurrency,
        } = self;
        [
            Some(("loadBalancer", &balancing.origin)),
            Some(("circuitBreaker", &circuit_breaker.origin)),
            Some(("retryBudget", &retry_budget.origin)),
            Some(("outlierDetection", &outlier.origin)),
            origin("healthCheck", health_check.as_ref()),
            origin("connectTimeout", connect_timeout.as_ref()),
            origin("protocol", protocol.as_ref()),
            origin("concurrency", concurrency.as_ref()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Default for BackendPolicy {
    fn default() -> Self {
        Self {
            balancing: by_default(Balancing::default()),
            circuit_breaker: by_default(CircuitBreaker::default()),
            retry_budget: by_default(RetryBudget::default()),
            outlier: by_default(OutlierDetection::default()),
            health_check: None,
            connect_timeout: None,
            protocol: None,
            concurrency: None,
        }
    }
}

/// Retries where nobody says anything: two more attempts, at once, and only for failures that never reached the application.
pub fn default_retries() -> Retries {
    Retries {
        attempts: 2,
        on: vec![RetryOn::ConnectFailure, RetryOn::RefusedStream],
        statuses: Vec::new(),
        grpc_statuses: Vec::new(),
        methods: RetryMethods::Idempotent,
        attempt_timeout: None,
        backoff: Backoff { base: Duration::ZERO, most: Duration::ZERO },
        body_bytes: 64 * 1024,
        pushback: Pushback::Honour(Duration::from_secs(1)),
    }
}

/// What a user's wish for retries begins with, where the wish leaves things open: a rule with `retry`, or a policy. Beside what
/// never reached the application, connections that break and attempts that take too long are retried (GEP-1731).
pub fn wished_retries() -> Retries {
    Retries {
        on: vec![RetryOn::ConnectFailure, RetryOn::RefusedStream, RetryOn::Reset, RetryOn::AttemptTimeout],
        backoff: Backoff { base: Duration::from_millis(25), most: Duration::from_millis(250) },
        ..default_retries()
    }
}

/// The settings for requests to `port` of `service` that take the rule of `chosen` (the route, its rule, and the label
/// `httproute/NS/NAME#RULE` that names both), or that take none.
pub fn request_policy(
    policies: &[Arc<TrafficPolicy>],
    service: &ServiceName,
    port: u16,
    chosen: Option<(&Route, &Rule, &str)>,
) -> RequestPolicy {
    let levels = Levels::of(policies, service, port, chosen.map(|(route, rule, _)| (route, rule)));
    let default = RequestPolicy::default();
    let policy = RequestPolicy {
        timeouts: levels.first("timeouts", |s| &s.timeouts).unwrap_or(default.timeouts),
        retries: levels.first("retries", |s| &s.retries).or(default.retries),
        hedging: levels.first("hedging", |s| &s.hedging),
        fault: levels.first("fault", |s| &s.fault),
        direct_response: levels.first("directResponse", |s| &s.direct_response),
        // Two fields of the object; the first one that is written stands for both.
        bodies: levels
            .first("requestBodyLimit", |s| &s.bodies)
            .filter(|bodies| bodies.value.request.is_some())
            .or_else(|| levels.first("responseBodyLimit", |s| &s.bodies)),
        session: levels.first("sessionPersistence", |s| &s.session),
        rate_limits: levels.first("rateLimits", |s| &s.rate_limits),
        global_rate: levels.first("globalRateLimit", |s| &s.global_rate),
        split: levels.first("splitOn", |s| &s.split),
        compare: levels.first("compare", |s| &s.compare),
    };
    match chosen {
        Some((_, rule, label)) => with_rule(policy, rule, label),
        None => policy,
    }
}

/// The settings for `port` of the service that a request goes to.
pub fn backend_policy(policies: &[Arc<TrafficPolicy>], service: &ServiceName, port: u16) -> BackendPolicy {
    let levels = Levels::of(policies, service, port, None);
    let default = BackendPolicy::default();
    BackendPolicy {
        balancing: levels.first("loadBalancer", |s| &s.balancing).unwrap_or(default.balancing),
        circuit_breaker: levels
            .first("circuitBreaker", |s| &s.circuit_breaker)
            .unwrap_or(default.circuit_breaker),
        retry_budget: levels.first("retryBudget", |s| &s.retry_budget).unwrap_or(default.retry_budget),
        outlier: levels.first("outlierDetection", |s| &s.outlier).unwrap_or(default.outlier),
        health_check: levels.first("healthCheck", |s| &s.health_check),
        connect_timeout: levels.first("connectTimeout", |s| &s.connect_timeout),
        protocol: levels.first("protocol", |s| &s.protocol),
        concurrency: levels.first("concurrency", |s| &s.concurrency),
    }
}

/// The policy that counts at `target` among all: the oldest, then the first by `NAMESPACE/NAME`. The others on the same target
/// are in conflict with it.
pub fn winner<'a>(
    policies: &'a [Arc<TrafficPolicy>],
    target: &PolicyTarget,
) -> Option<&'a Arc<TrafficPolicy>> {
    policies
        .iter()
        .filter(|policy| policy.targets.contains(target) && !policy.is_of_service())
        .min_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)))
}

/// The policies that count for a request or a backend, the most specific first.
struct Levels<'a>([Option<&'a TrafficPolicy>; 5]);

impl<'a> Levels<'a> {
    fn of(
        policies: &'a [Arc<TrafficPolicy>],
        service: &ServiceName,
        port: u16,
        chosen: Option<(&Route, &Rule)>,
    ) -> Self {
        let route = |rule: Option<&str>| {
            chosen.and_then(|(route, _)| {
                let rule = rule.map(str::to_owned);
                winner(policies, &PolicyTarget::Route { route: route.id.clone(), rule })
            })
        };
        let on = |port| PolicyTarget::Service { service: service.clone(), port };
        let itself =
            policies.iter().find(|policy| policy.is_of_service() && policy.targets.contains(&on(None)));
        let named = chosen.and_then(|(_, rule)| rule.name.as_deref());
        let levels = [
            named.and_then(|name| route(Some(name))),
            route(None),
            winner(policies, &on(Some(port))),
            winner(policies, &on(None)),
            itself,
        ];
        Self(levels.map(|policy| policy.map(Arc::as_ref)))
    }

    /// The first one that says something about a setting, which is this field of the object, and where.
    fn first<T: Clone + 'a>(
        &self,
        field: &'static str,
        of: impl Fn(&'a TrafficSettings) -> &'a Option<T>,
    ) -> Option<Sourced<T>> {
        self.first_named(of, |_| field)
    }

    /// The same for a setting whose field depends on what it says.
    fn first_named<T: Clone + 'a>(
        &self,
        of: impl Fn(&'a TrafficSettings) -> &'a Option<T>,
        field: impl FnOnce(&T) -> &'static str,
    ) -> Option<Sourced<T>> {
        let (policy, value) =
            self.0.iter().flatten().find_map(|policy| Some((policy, of(&policy.settings).clone()?)))?;
        let field = policy.field(field(&value));
        Some(Sourced { value, origin: Origin::Object { object: policy.object(), field } })
    }
}

/// Puts the rule's own fields over what the policies say.
fn with_rule(mut policy: RequestPolicy, rule: &Rule, label: &str) -> RequestPolicy {
    let own = |field: &str| Origin::Object { object: label.to_owned(), field: field.to_owned() };
    if rule.timeouts.request.is_some() || rule.timeouts.backend_request.is_some() {
        let below = policy.timeouts;
        // What is written counts, also that there is no limit.
        let over = |own: Option<Duration>, below| own.map_or(below, |own| Some(own).filter(|d| !d.is_zero()));
        let value = RequestTimeouts {
            request: over(rule.timeouts.request, below.value.request),
            attempt: over(rule.timeouts.backend_request, below.value.attempt),
            ..below.value
        };
        policy.timeouts = Sourced { value, origin: below.origin.under(own("timeouts")) };
    }
    if let Some(retry) = &rule.retry {
        let below = policy.retries.filter(|below| below.origin != Origin::Default);
        let below = below.unwrap_or_else(|| by_default(wished_retries()));
        policy.retries =
            Some(Sourced { value: with_retry(below.value, retry), origin: below.origin.under(own("retry")) });
    }
    if let Some(session) = &rule.session {
        policy.session = Some(Sourced { value: session.clone(), origin: own("sessionPersistence") });
    }
    policy
}

/// Puts what a rule says about retries over what a policy says.
fn with_retry(mut below: Retries, retry: &RuleRetry) -> Retries {
    if !retry.statuses.is_empty() {
        below.statuses.clone_from(&retry.statuses);
    }
    if let Some(attempts) = retry.attempts {
        below.attempts = attempts;
    }
    if let Some(backoff) = retry.backoff {
        // The rule names one pause; a longest one that is shorter would take it back.
        below.backoff = Backoff { base: backoff, most: below.backoff.most.max(backoff.saturating_mul(10)) };
    }
    below
}

fn by_default<T>(value: T) -> Sourced<T> {
    Sourced { value, origin: Origin::Default }
}

#[cfg(test)]
mod tests;
