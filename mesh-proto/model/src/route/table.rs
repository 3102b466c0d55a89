//! The rules of all routes of a service's port in the order in which they win, and the decision which one a request
//! takes. It must not know endpoints or connections.
//!
//! Source: Gateway API v1.6, HTTPRouteRule.matches and GRPCRouteRule.matches; GEP-1294 for routes of a Service.

use std::collections::HashMap;
use std::sync::Arc;

use super::precedence::{Specificity, compare};
use super::{BackendTarget, GrpcMatch, Match, PathMatch, Route, RouteKind, Rule, Target, TextMatch};
use crate::head::HeadView;
use crate::name::ServiceName;
use crate::traffic::TrafficPolicy;
use crate::traffic::effective::{RequestPolicy, request_policy};

/// All routes of one port of a service, as clients in one namespace see them. Immutable; build a new one on a change.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
    rules: Vec<TableRule>,
    /// Matches that name one whole path. They win over all others that fit the same request, so only those of the
    /// request's own path need a look.
    exact: HashMap<Box<str>, Vec<Entry>>,
    /// All other matches, what wins first.
    rest: Vec<Entry>,
    /// For requests that take no rule.
    default_policy: Arc<RequestPolicy>,
}

/// A rule with what is needed to tell of it.
#[derive(Debug, Clone)]
struct TableRule {
    route: Arc<Route>,
    index: usize,
    label: Arc<str>,
    policy: Arc<RequestPolicy>,
}

impl TableRule {
    fn rule(&self) -> Option<&Rule> {
        self.route.rules.get(self.index)
    }
}

/// A match: indices into `RouteTable::rules` and into that rule's matches.
#[derive(Debug, Clone, Copy)]
struct Entry {
    rule: usize,
    match_index: usize,
}

/// The rule that a request takes.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// The route.
    pub route: &'a Arc<Route>,
    /// Of its rules.
    pub rule_index: usize,
    /// Of the rule's matches.
    pub match_index: usize,
    /// `httproute/NS/NAME#RULE`; RULE is the rule's name, or its index if it has none.
    pub label: &'a Arc<str>,
    policy: &'a Arc<RequestPolicy>,
    rule: &'a Rule,
    matched: &'a Match,
}

impl<'a> Chosen<'a> {
    /// The rule.
    pub fn rule(&self) -> &'a Rule {
        self.rule
    }

    /// The match that the request fits.
    pub fn matched(&self) -> &'a Match {
        self.matched
    }

    /// The settings in force for its requests.
    pub fn policy(&self) -> &'a Arc<RequestPolicy> {
        self.policy
    }
}

impl RouteTable {
    /// The table of `service`'s `port` for clients in `client_namespace`.
    ///
    /// A route counts if it names the service as parent, with this port or none. Routes of the service's own namespace
    /// (producer) hold for everybody, unless the client's namespace has routes of its own for the service (consumer): then
    /// only those hold. Routes of other namespaces never count. If a GRPCRoute is among them, HTTPRoutes are ignored.
    ///
    /// Of `policies` those count that are attached to the service, its routes or their rules.
    pub fn build(
        service: &ServiceName,
        port: u16,
        client_namespace: &str,
        routes: &[Arc<Route>],
        policies: &[Arc<TrafficPolicy>],
    ) -> Self {
        let attached = |namespace: &str| -> Vec<&Arc<Route>> {
            routes
                .iter()
                .filter(|route| route.id.name.namespace() == namespace && is_parent(route, service, port))
                .collect()
        };
        let mut chosen = attached(client_namespace);
        if chosen.is_empty() {
            chosen = attached(service.0.namespace());
        }
        if chosen.iter().any(|route| route.id.kind == RouteKind::Grpc) {
            chosen.retain(|route| route.id.kind == RouteKind::Grpc);
        }
        let mut table = Self { routes: chosen.into_iter().cloned().collect(), ..Self::default() };
        table.default_policy = Arc::new(request_policy(policies, service, port, None));
        table.fill(|route, rule, label| request_policy(policies, service, port, Some((route, rule, label))));
        table
    }

    /// Sorts all matches of `routes` into the table.
    fn fill(&mut self, policy: impl Fn(&Route, &Rule, &str) -> RequestPolicy) {
        let mut entries = Vec::new();
        for route in &self.routes {
            for (index, rule) in route.rules.iter().enumerate() {
                let label = rule.name.clone().unwrap_or_else(|| index.to_string());
                let label: Arc<str> = format!("{}#{label}", route.id).into();
                let at = self.rules.len();
                let policy = Arc::new(policy(route, rule, &label));
                self.rules.push(TableRule { route: Arc::clone(route), index, label, policy });
                entries.extend(rule.matches.iter().enumerate().map(|(match_index, one)| {
                    (Specificity::of(one), route, index, one, Entry { rule: at, match_index })
                }));
            }
        }
        entries.sort_by(|a, b| compare((a.0, a.1, a.2, a.4.match_index), (b.0, b.1, b.2, b.4.match_index)));
        for (_, _, _, one, entry) in entries {
            match whole_path(one) {
                Some(path) => self.exact.entry(path).or_default().push(entry),
                None => self.rest.push(entry),
            }
        }
    }

    /// Whether no route is attached: then the service itself is the backend.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The rule that wins among those that the request fits. `None` though routes are attached: the answer is 404, for
    /// gRPC UNIMPLEMENTED.
    pub fn decide<H: HeadView + ?Sized>(&self, request: &H) -> Option<Chosen<'_>> {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(request.path()) };
        exact
            .into_iter()
            .flatten()
            .chain(&self.rest)
            .filter_map(|entry| self.chosen(*entry))
            .find(|chosen| chosen.matched.fits(request))
    }

    /// The entry, spelled out. There is always something: entries are made from these rules.
    fn chosen(&self, entry: Entry) -> Option<Chosen<'_>> {
        let of = self.rules.get(entry.rule)?;
        let (TableRule { route, index, label, policy }, rule) = (of, of.rule()?);
        let matched = rule.matches.get(entry.match_index)?;
        Some(Chosen {
            route,
            rule_index: *index,
            match_index: entry.match_index,
            label,
            policy,
            rule,
            matched,
        })
    }

    /// The settings for requests that take no rule: there is no route, or none fits.
    pub fn default_policy(&self) -> &Arc<RequestPolicy> {
        &self.default_policy
    }

    /// Every rule with what belongs to it, in no order of precedence. A rule always has a match to name; the first one is.
    pub fn rules(&self) -> impl Iterator<Item = Chosen<'_>> {
        (0..self.rules.len()).filter_map(|rule| self.chosen(Entry { rule, match_index: 0 }))
    }

    /// The routes of this table, in no order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Every backend of every rule, with repetitions.
    pub fn backends(&self) -> impl Iterator<Item = &BackendTarget> {
        self.routes
            .iter()
            .flat_map(|route| &route.rules)
            .flat_map(|rule| &rule.backends)
            .map(|backend| &backend.target)
    }
}

/// Whether the route is attached to that port of the service.
fn is_parent(route: &Route, service: &ServiceName, port: u16) -> bool {
    route.parents.iter().any(|p| p.service == *service && p.port.is_none_or(|wanted| wanted == port))
}

/// The one path that can fit, if there is only one.
fn whole_path(one: &Match) -> Option<Box<str>> {
    match &one.target {
        Target::Http { path: PathMatch::Exact(path), .. } => Some(path.as_str().into()),
        Target::Grpc(GrpcMatch {
            service: Some(TextMatch::Exact(service)),
            method: Some(TextMatch::Exact(method)),
        }) => Some(format!("/{service}/{method}").into()),
        _ => None,
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
