//! What becomes of the request, decided by the functions that the proxy uses. Pure. It must not know how an answer is shown.

use std::sync::Arc;

use mesh_controller::api::{Kind, ObjectKey};
use mesh_controller::status::Condition;
use mesh_model::authority::{self, Candidates};
use mesh_model::endpoint::Endpoint;
use mesh_model::failure::Failure;
use mesh_model::head::HeadView as _;
use mesh_model::name::ServiceName;
use mesh_model::route::edit::{self, RedirectAnswer};
use mesh_model::route::table::{Chosen, RouteTable};
use mesh_model::route::{Backend, BackendTarget, Filter, Match, Route, RouteKind, Rule};
use mesh_model::service::{Protocol, ServicePort};
use mesh_model::settings::OutboundMode;
use mesh_model::traffic::effective::{BackendPolicy, RequestPolicy, backend_policy};
use mesh_model::traffic::{PolicyTarget, TrafficPolicy};

use super::caller::Caller;
use super::objects::Objects;
use super::question::Question;

/// DNS domain of services' long names, as the proxy has it.
const CLUSTER_DOMAIN: &str = "cluster.local";

/// Everything that is to be said about a request.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) question: &'a Question,
    pub(crate) caller: &'a Caller,
    pub(crate) destination: Destination,
    /// Routes of the destination; `None` where there is no service or no HTTP.
    pub(crate) routing: Option<Routing>,
    pub(crate) outcome: Outcome,
    /// Objects that have a say in it, in the order in which they do.
    pub(crate) concerned: Vec<Concerned>,
}

/// What the host stands for.
#[derive(Debug)]
pub(crate) enum Destination {
    /// A port of a service.
    Service { name: ServiceName, port: ServicePort },
    /// A service that does not have the port.
    NoPort { name: ServiceName, ports: Vec<u16> },
    /// No service; `elsewhere` are those of that name in other namespaces.
    Foreign { elsewhere: Vec<ServiceName> },
}

/// How the routes decide.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) table: RouteTable,
    /// Matches that were looked at, in that order, up to the one that is taken.
    pub(crate) considered: Vec<Considered>,
    /// Attached, but not for this caller, and why.
    pub(crate) ignored: Vec<(Arc<Route>, String)>,
    pub(crate) taken: Option<Taken>,
    /// Settings in force for the request.
    pub(crate) policy: Arc<RequestPolicy>,
    /// Where it can go; weight 0 too.
    pub(crate) backends: Vec<Target>,
}

/// A match that was looked at.
#[derive(Debug, Clone)]
pub(crate) struct Considered {
    /// `httproute/NS/NAME#RULE`.
    pub(crate) label: Arc<str>,
    /// `spec.rules[0].matches[1]`.
    pub(crate) field: String,
    pub(crate) matched: Match,
    pub(crate) taken: bool,
    /// Why it does not fit; empty for the one that is taken.
    pub(crate) why: String,
}

/// The rule that the request takes.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) label: Arc<str>,
    pub(crate) rule_index: usize,
    pub(crate) match_index: usize,
    pub(crate) rule: Rule,
    pub(crate) matched: Match,
}

/// A backend with what is known of it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) backend: Backend,
    /// The field that names it; none where the service itself is the backend.
    pub(crate) field: Option<String>,
    pub(crate) endpoints: Vec<Endpoint>,
    /// None of an invalid one.
    pub(crate) policy: Option<BackendPolicy>,
}

/// What comes of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A backend gets it, with this path and host.
    Sent { target: String, authority: String },
    /// It leaves the mesh.
    Foreign,
    /// Bytes are carried, nothing of HTTP is looked at.
    Bytes,
    /// A redirect.
    Redirect(RedirectAnswer),
    /// An answer of a policy.
    Direct(u16),
    /// The mesh fails it.
    Failed { failure: Failure, why: String },
}

/// An object with what the controller says about it.
#[derive(Debug, Clone)]
pub(crate) struct Concerned {
    pub(crate) key: ObjectKey,
    pub(crate) origin: String,
    pub(crate) conditions: Vec<Condition>,
}

impl<'a> Answer<'a> {
    /// Decides.
    pub(crate) fn find(objects: &'a Objects, question: &'a Question, caller: &'a Caller) -> Self {
        let destination = destination(objects, question, caller);
        let routing = match &destination {
            Destination::Service { port, .. }
                if matches!(port.protocol, Some(Protocol::Tcp | Protocol::Tls)) =>
            {
                None
            }
            Destination::Service { name, port } => {
                Some(Routing::find(objects, name, port.port, question, caller))
            }
            Destination::NoPort { .. } | Destination::Foreign { .. } => None,
        };
        let outcome = outcome(objects, question, &destination, routing.as_ref());
        let concerned = concerned(objects, &destination, routing.as_ref());
        Self { objects, question, caller, destination, routing, outcome, concerned }
    }

    /// Whether the request is carried or answered as objects say, and all objects concerned are in force.
    pub(crate) fn is_fine(&self) -> bool {
        let good = |object: &Concerned| {
            object.conditions.iter().all(|c| c.verdict == mesh_controller::status::Verdict::True)
        };
        !matches!(self.outcome, Outcome::Failed { .. })
            && self.concerned.iter().all(good)
            && self.objects.problems.is_empty()
    }
}

fn destination(objects: &Objects, question: &Question, caller: &Caller) -> Destination {
    let candidates = authority::service_of(&question.host, &caller.namespace, CLUSTER_DOMAIN);
    let found = candidates.service().and_then(|name| objects.compiled.services.get_key_value(name));
    if let Some((name, (service, _))) = found {
        return match service.port(question.port) {
            Some(port) => Destination::Service { name: name.clone(), port: port.clone() },
            None => {
                let ports = service.ports.iter().map(|port| port.port).collect();
                Destination::NoPort { name: name.clone(), ports }
            }
        };
    }
    let wanted = candidates.service().map(|service| service.0.name().to_owned());
    let same = |name: &&ServiceName| Some(name.0.name()) == wanted.as_deref();
    Destination::Foreign { elsewhere: objects.compiled.services.keys().filter(same).cloned().collect() }
}

impl Routing {
    fn find(
        objects: &Objects,
        service: &ServiceName,
        port: u16,
        question: &Question,
        caller: &Caller,
    ) -> Self {
        let (routes, policies) = (&objects.compiled.routes, objects.policies());
        let table = RouteTable::build(service, port, &caller.namespace, routes, policies);
        let taken = table.decide(question).map(|chosen| Taken::of(&chosen));
        let policy = table
            .decide(question)
            .map_or_else(|| Arc::clone(table.default_policy()), |c| Arc::clone(c.policy()));
        let backends: Vec<(Backend, Option<String>)> = match &taken {
            Some(taken) => {
                let field = |at| format!("spec.rules[{}].backendRefs[{at}]", taken.rule_index);
                let backends = taken.rule.backends.iter().cloned().enumerate();
                backends.map(|(at, backend)| (backend, Some(field(at)))).collect()
            }
            None if table.is_empty() => {
                let target = BackendTarget::Service { service: service.clone(), port };
                vec![(Backend { target, weight: 1, filters: Vec::new() }, None)]
            }
            None => Vec::new(),
        };
        let backends =
            backends.into_iter().map(|(backend, field)| Target::find(objects, backend, field)).collect();
        let ignored = ignored(routes, &table, service, port, caller);
        let considered = taken.iter().map(Considered::taken).collect();
        Self { table, considered, ignored, taken, policy, backends }
    }

    /// What all weights add up to.
    pub(crate) fn weights(&self) -> u64 {
        self.backends.iter().map(|target| u64::from(target.backend.weight)).sum()
    }
}

impl Considered {
    fn taken(taken: &Taken) -> Self {
        Self {
            label: Arc::clone(&taken.label),
            field: format!("spec.rules[{}].matches[{}]", taken.rule_index, taken.match_index),
            matched: taken.matched.clone(),
            taken: true,
            why: String::new(),
        }
    }
}

impl Taken {
    fn of(chosen: &Chosen<'_>) -> Self {
        Self {
            label: Arc::clone(chosen.label),
            rule_index: chosen.rule_index,
            match_index: chosen.match_index,
            rule: chosen.rule().clone(),
            matched: chosen.matched().clone(),
        }
    }
}

impl Target {
    fn find(objects: &Objects, backend: Backend, field: Option<String>) -> Self {
        let (mut endpoints, mut policy) = (Vec::new(), None);
        if let BackendTarget::Service { service, port } = &backend.target {
            let known = objects.compiled.services.get(service);
            endpoints = known.map(|(_, endpoints)| endpoints.port(*port).to_vec()).unwrap_or_default();
            policy = Some(backend_policy(objects.policies(), service, *port));
        }
        Self { backend, field, endpoints, policy }
    }
}

/// Routes of the service that this caller's requests do not see.
fn ignored(
    routes: &[Arc<Route>],
    table: &RouteTable,
    service: &ServiceName,
    port: u16,
    caller: &Caller,
) -> Vec<(Arc<Route>, String)> {
    let names_it = |route: &&Arc<Route>| route.parents.iter().any(|parent| parent.service == *service);
    let used = |route: &&Arc<Route>| !table.routes().iter().any(|other| other.id == route.id);
    let grpc = table.routes().iter().any(|route| route.id.kind == RouteKind::Grpc);
    let producer = service.0.namespace();
    let why = |route: &Arc<Route>| {
        let namespace = route.id.name.namespace();
        let attached =
            route.parents.iter().any(|p| p.service == *service && p.port.is_none_or(|wanted| wanted == port));
        if !attached {
            format!("it is attached to another port than {port}")
        } else if namespace != caller.namespace && namespace != producer {
            format!("it holds for callers in {namespace} only")
        } else if grpc && route.id.kind == RouteKind::Http {
            "a GRPCRoute is attached to the port, so HTTPRoutes do not count".to_owned()
        } else {
            format!("the caller's namespace {} has routes of its own for the service", caller.namespace)
        }
    };
    routes.iter().filter(names_it).filter(used).map(|route| (Arc::clone(route), why(route))).collect()
}

fn outcome(
    objects: &Objects,
    question: &Question,
    destination: &Destination,
    routing: Option<&Routing>,
) -> Outcome {
    let failed = |failure, why: String| Outcome::Failed { failure, why };
    let (name, port, routing) = match (destination, routing) {
        (Destination::NoPort { name, ports }, _) => {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            let why = format!("service {name} has no port {}; it has {}", question.port, ports.join(", "));
            return failed(Failure::NoEndpoints, why);
        }
        (Destination::Foreign { .. }, _) => {
            let only = authority::service_of(&question.host, "default", CLUSTER_DOMAIN);
            let registry_only = objects.compiled.mesh.outbound_mode == OutboundMode::RegistryOnly;
            return if matches!(only, Candidates::Only(_)) || registry_only {
                failed(
                    Failure::UnknownDestination,
                    format!("the mesh knows no service behind {}", question.host),
                )
            } else {
                Outcome::Foreign
            };
        }
        (Destination::Service { .. }, None) => return Outcome::Bytes,
        (Destination::Service { name, port }, Some(routing)) => (name, port, routing),
    };
    if let Some(direct) = &routing.policy.direct_response {
        return Outcome::Direct(direct.value.status);
    }
    let Some(taken) = &routing.taken else {
        return if routing.table.is_empty() {
            reached(question, routing, question.path.clone(), question.authority().to_owned())
        } else {
            failed(
                Failure::NoRoute,
                format!("routes are attached to {name} port {}, but no rule fits", port.port),
            )
        };
    };
    let (mut path, mut host) = (question.path.clone(), question.authority().to_owned());
    for filter in &taken.rule.filters {
        match filter {
            Filter::Redirect(to) => {
                let moved = question.with_path(&path);
                return Outcome::Redirect(edit::redirect(to, &taken.matched, &moved, "http", port.port));
            }
            Filter::Rewrite(to) => {
                if let Some(to) = &to.path {
                    path = edit::rewrite_path(to, &taken.matched, &path);
                }
                if let Some(to) = &to.hostname {
                    host.clone_from(to);
                }
            }
            Filter::RequestHeaders(_) | Filter::ResponseHeaders(_) | Filter::Mirror(_) | Filter::Cors(_) => {}
        }
    }
    reached(question, routing, path, host)
}

/// What comes of a request that may go to one of the backends.
fn reached(question: &Question, routing: &Routing, path: String, authority: String) -> Outcome {
    let usable: Vec<&Target> = routing.backends.iter().filter(|target| target.backend.weight > 0).collect();
    if usable.is_empty() {
        let why = "no backend of the rule has a weight above 0".to_owned();
        return Outcome::Failed { failure: Failure::NoBackend, why };
    }
    let invalid = |target: &&&Target| matches!(target.backend.target, BackendTarget::Invalid { .. });
    if usable.iter().filter(invalid).count() == usable.len() {
        let why = "no backend of the rule can be resolved".to_owned();
        return Outcome::Failed { failure: Failure::BackendInvalid, why };
    }
    if usable.iter().all(|target| target.endpoints.is_empty()) {
        let why = "no backend has an endpoint".to_owned();
        return Outcome::Failed { failure: Failure::NoEndpoints, why };
    }
    let query = question.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    Outcome::Sent { target: format!("{path}{query}"), authority }
}

/// The service, its routes, the backends' services, and the policies on all of them.
fn concerned(objects: &Objects, destination: &Destination, routing: Option<&Routing>) -> Vec<Concerned> {
    let service_key = |name: &ServiceName| ObjectKey::new(Kind::Service, name.0.namespace(), name.0.name());
    let route_key = |route: &Route| {
        let kind = match route.id.kind {
            RouteKind::Http => Kind::HttpRoute,
            RouteKind::Grpc => Kind::GrpcRoute,
        };
        ObjectKey::new(kind, route.id.name.namespace(), route.id.name.name())
    };
    let mut services = match destination {
        Destination::Service { name, .. } | Destination::NoPort { name, .. } => vec![name.clone()],
        Destination::Foreign { .. } => Vec::new(),
    };
    let mut keys: Vec<ObjectKey> = services.iter().map(service_key).collect();
    let mut routes = Vec::new();
    if let Some(routing) = routing {
        routes.extend(routing.table.routes().iter().map(|route| route.id.clone()));
        keys.extend(routing.table.routes().iter().map(|route| route_key(route)));
        for target in &routing.backends {
            if let BackendTarget::Service { service, .. } = &target.backend.target {
                keys.push(service_key(service));
                services.push(service.clone());
            }
        }
    }
    let on = |policy: &&Arc<TrafficPolicy>| {
        policy.targets.iter().any(|target| match target {
            PolicyTarget::Service { service, .. } => services.contains(service),
            PolicyTarget::Route { route, .. } => routes.contains(route),
        })
    };
    let policies = objects.policies().iter().filter(on);
    keys.extend(
        policies.filter_map(|policy| objects.by_resource(&format!("trafficpolicy/{}", policy.name)).cloned()),
    );
    let mut seen = std::collections::BTreeSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    let found = keys.into_iter().filter_map(|key| Some((objects.compiled.objects.get(&key)?, key)));
    found
        .map(|(report, key)| Concerned {
            key,
            origin: report.origin.to_string(),
            conditions: report.conditions.clone(),
        })
        .collect()
}
