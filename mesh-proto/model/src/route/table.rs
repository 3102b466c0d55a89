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
        let in_force = standing(service, port, client_namespace, routes)
            .filter(|(_, standing)| *standing == Standing::InForce)
            .map(|(route, _)| Arc::clone(route));
        let mut table = Self { routes: in_force.collect(), ..Self::default() };
        table.default_policy = Arc::new(request_policy(policies, service, port, None));
        table.fill(|route, rule, label| request_policy(policies, service, port, Some((route, rule, label))));
        table
    }

    /// Takes all rules and matches of `routes` into the table.
    fn fill(&mut self, policy: impl Fn(&Route, &Rule, &str) -> RequestPolicy) {
        for route in &self.routes {
            for (index, rule) in route.rules.iter().enumerate() {
                let label = rule.name.clone().unwrap_or_else(|| index.to_string());
                let label: Arc<str> = format!("{}#{label}", route.id).into();
                let policy = Arc::new(policy(route, rule, &label));
                self.rules.push(TableRule { route: Arc::clone(route), index, label, policy });
            }
        }
        for (entry, path) in self.entries() {
            match path {
                Some(path) => self.exact.entry(path).or_default().push(entry),
                None => self.rest.push(entry),
            }
        }
    }

    /// All matches, what wins first, each with the one path that can fit, if there is only one.
    fn entries(&self) -> Vec<(Entry, Option<Box<str>>)> {
        let rules = self.rules.iter().enumerate();
        let mut entries: Vec<_> = rules
            .filter_map(|(at, rule)| Some((at, rule, rule.rule()?)))
            .flat_map(|(at, of, rule)| {
                rule.matches.iter().enumerate().map(move |(match_index, one)| {
                    let key = (Specificity::of(one), of.route.as_ref(), of.index, match_index);
                    (key, one, Entry { rule: at, match_index })
                })
            })
            .collect();
        entries.sort_by(|a, b| compare(a.0, b.0));
        entries.into_iter().map(|(_, one, entry)| (entry, whole_path(one))).collect()
    }

    /// All matches in the order in which they win: of those that fit a request, [`Self::decide`] takes the first one. For
    /// explanations: it sorts anew.
    pub fn in_order(&self) -> impl Iterator<Item = Chosen<'_>> {
        self.entries().into_iter().filter_map(|(entry, _)| self.chosen(entry))
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

    /// Every backend of every rule, with repetitions. Mirrors are not among them: see [`Route::mirrors`].
    pub fn backends(&self) -> impl Iterator<Item = &BackendTarget> {
        self.routes
            .iter()
            .flat_map(|route| &route.rules)
            .flat_map(|rule| &rule.backends)
            .map(|backend| &backend.target)
    }
}

/// Whether a route counts for clients in a namespace, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It counts.
    InForce,
    /// It names the service as parent, but another port of it.
    OtherPort,
    /// It is in a namespace that is neither the service's nor the client's.
    OtherNamespace,
    /// It is of the service's namespace, and the client's namespace has routes of its own for the service.
    HiddenByConsumer,
    /// It is an HTTPRoute, and a GRPCRoute counts.
    HiddenByGrpc,
}

/// The standing of every route that names the service as parent. The rules are those of [`RouteTable::build`].
pub fn standing<'a>(
    service: &ServiceName,
    port: u16,
    client_namespace: &str,
    routes: &'a [Arc<Route>],
) -> impl Iterator<Item = (&'a Arc<Route>, Standing)> {
    let of_service: Vec<&Arc<Route>> =
        routes.iter().filter(|route| route.parents.iter().any(|p| p.service == *service)).collect();
    let attached = |namespace: &str, route: &Route| {
        route.id.name.namespace() == namespace && is_parent(route, service, port)
    };
    let consumer = of_service.iter().any(|route| attached(client_namespace, route));
    let counts = if consumer { client_namespace } else { service.0.namespace() };
    let grpc = of_service.iter().any(|route| route.id.kind == RouteKind::Grpc && attached(counts, route));
    let standings: Vec<_> = of_service
        .into_iter()
        .map(|route| {
            let namespace = route.id.name.namespace();
            let standing = if namespace != service.0.namespace() && namespace != client_namespace {
                Standing::OtherNamespace
            } else if !is_parent(route, service, port) {
                Standing::OtherPort
            } else if namespace != counts {
                Standing::HiddenByConsumer
            } else if grpc && route.id.kind == RouteKind::Http {
                Standing::HiddenByGrpc
            } else {
                Standing::InForce
            };
            (route, standing)
        })
        .collect();
    standings.into_iter()
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
