//! What becomes of the request, decided by the functions that the proxy uses. Pure. It must not know how an answer is shown.

use std::sync::Arc;

use mesh_controller::api::{Kind, ObjectKey};
use mesh_controller::status::Condition;
use mesh_model::authority::{self, CLUSTER_DOMAIN, Candidates};
use mesh_model::endpoint::Endpoint;
use mesh_model::explain::{self, Effect, Explanation, Share, Verdict};
use mesh_model::failure::Failure;
use mesh_model::head::HeadView as _;
use mesh_model::name::ServiceName;
use mesh_model::route::cors::{CorsAnswer, Verdict as CorsVerdict};
use mesh_model::route::edit::RedirectAnswer;
use mesh_model::route::table::Standing;
use mesh_model::route::{BackendTarget, Route, RouteKind};
use mesh_model::service::{Protocol, ServicePort};
use mesh_model::settings::OutboundMode;
use mesh_model::traffic::{PolicyTarget, TrafficPolicy};

use super::authorization::{self, Held, Way};
use super::caller::Caller;
use super::objects::Objects;
use super::outside::{self, Outside};
use super::question::Question;
use super::words;
use crate::commands::callee::{self, Place};

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
    /// What else the caller will see.
    pub(crate) notes: Vec<String>,
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
    /// No service, and the mesh has a word on it.
    Outside(Outside),
    /// No service; `elsewhere` are those of that name in other namespaces.
    Foreign { elsewhere: Vec<ServiceName> },
}

/// How the routes decide, and where the request's shares go.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) explanation: Explanation,
    /// The backends of the explanation with their endpoints.
    pub(crate) targets: Vec<Target>,
}

/// A backend with its endpoints.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) share: Share,
    pub(crate) endpoints: Vec<Endpoint>,
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
    /// The CORS filter answers for the backend.
    Preflight(CorsVerdict),
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
    /// Whether it is a policy that protects nobody and could have been meant for what is called.
    pub(crate) is_idle: bool,
}

impl Concerned {
    /// Whether it is in force as it is written, or has no say.
    pub(crate) fn is_good(&self) -> bool {
        self.is_idle || self.conditions.iter().all(|c| c.verdict == mesh_controller::status::Verdict::True)
    }
}

impl<'a> Answer<'a> {
    /// Decides.
    pub(crate) fn find(objects: &'a Objects, question: &'a Question, caller: &'a Caller) -> Self {
        Self::at(objects, question, caller, destination(objects, question, caller))
    }

    /// Decides about a request whose destination is known otherwise than by its host.
    pub(crate) fn at(
        objects: &'a Objects,
        question: &'a Question,
        caller: &'a Caller,
        destination: Destination,
    ) -> Self {
        let routing = match &destination {
            Destination::Service { port, .. }
                if matches!(port.protocol, Some(Protocol::Tcp | Protocol::Tls)) =>
            {
                None
            }
            Destination::Service { name, port } => {
                Some(Routing::find(objects, name, port.port, question, caller))
            }
            Destination::NoPort { .. } | Destination::Outside(_) | Destination::Foreign { .. } => None,
        };
        let outcome = outcome(objects, question, &destination, routing.as_ref());
        let concerned = concerned(objects, &destination, routing.as_ref());
        let notes = routing.as_ref().map(cross_origin).unwrap_or_default();
        let mut answer = Self { objects, question, caller, destination, routing, outcome, notes, concerned };
        let ways = authorization::ways(&answer);
        answer.concerned.extend(policies_on(objects, &ways));
        answer
    }

    /// What the called sidecars say.
    pub(crate) fn held(&self) -> Vec<Held> {
        authorization::held(self.objects, self.caller.peer.as_ref(), None, &authorization::ways(self))
    }

    /// Whether the request is carried or answered as objects say, and all objects concerned are in force.
    pub(crate) fn is_fine(&self) -> bool {
        !matches!(self.outcome, Outcome::Failed { .. })
            && self.concerned.iter().all(Concerned::is_good)
            && self.objects.problems.is_empty()
            && self.held().iter().all(|held| held.is_mirror || !held.is_refused())
    }
}

fn destination(objects: &Objects, question: &Question, caller: &Caller) -> Destination {
    let meant = outside::meant(objects, &question.host, &caller.namespace);
    let candidates = authority::service_of(&meant, &caller.namespace, CLUSTER_DOMAIN);
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
    if let Some(known) = outside::find(objects, &question.host, question.port, &caller.namespace) {
        return Destination::Outside(known);
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
        let asked = explain::Question {
            service,
            port,
            client_namespace: &caller.namespace,
            routes: &objects.compiled.routes,
            policies: &objects.compiled.policies,
        };
        let explanation = explain::explain(&asked, question);
        let targets = explanation.backends.iter().map(|share| Target::find(objects, share)).collect();
        Self { explanation, targets }
    }

    /// Every step of the filters of the rule.
    fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.explanation.filters.iter().map(|step| &step.effect)
    }
}

impl Target {
    fn find(objects: &Objects, share: &Share) -> Self {
        let endpoints = match &share.target {
            BackendTarget::Service { service, port } => {
                let known = objects.compiled.services.get(service);
                known.map(|(_, endpoints)| endpoints.port(*port).to_vec()).unwrap_or_default()
            }
            BackendTarget::Invalid { .. } => Vec::new(),
        };
        Self { share: share.clone(), endpoints }
    }
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
        (Destination::Outside(Outside { refused: Some((failure, why)), .. }), _) => {
            return failed(*failure, why.clone());
        }
        (Destination::Outside(_), _) => return Outcome::Foreign,
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
    match &routing.explanation.verdict {
        Verdict::NoRule => {
            let why = format!("routes are attached to {name} port {}, but no rule fits", port.port);
            failed(Failure::NoRoute, why)
        }
        Verdict::Preflight(CorsAnswer::Preflight { verdict, .. }) => Outcome::Preflight(*verdict),
        Verdict::Redirect(answer) => Outcome::Redirect(answer.clone()),
        Verdict::Refused(reference, reason) => {
            let why = format!("{reference} is to be asked whether it may go on, and cannot be: {reason}");
            failed(Failure::AuthzUnavailable, why)
        }
        Verdict::Service | Verdict::Backends | Verdict::NoBackend | Verdict::Preflight(_) => {
            match &routing.explanation.policy.direct_response {
                Some(direct) => Outcome::Direct(direct.value.status),
                None => reached(question, routing),
            }
        }
    }
}

/// What CORS filters say to a request that goes on.
fn cross_origin(routing: &Routing) -> Vec<String> {
    let said = routing.effects().filter_map(|effect| match effect {
        Effect::Cors(CorsAnswer::Actual { verdict: CorsVerdict::Allowed, .. }) => {
            Some("a script of its origin may read the answer".to_owned())
        }
        Effect::Cors(CorsAnswer::Actual { verdict, .. }) => {
            Some(format!("a script may not read the answer: {}", words::cors_verdict(*verdict)))
        }
        Effect::Cors(CorsAnswer::Preflight { .. } | CorsAnswer::NotCors)
        | Effect::Forwarded { .. }
        | Effect::Response
        | Effect::Redirect(_)
        | Effect::Asked
        | Effect::Refused
        | Effect::Mirrored(_) => None,
    });
    said.collect()
}

/// What comes of a request that may go to one of the backends.
fn reached(question: &Question, routing: &Routing) -> Outcome {
    let usable: Vec<&Target> = routing.targets.iter().filter(|target| target.share.weight > 0).collect();
    if usable.is_empty() {
        let why = "no backend of the rule has a weight above 0".to_owned();
        return Outcome::Failed { failure: Failure::NoBackend, why };
    }
    if usable.iter().all(|target| matches!(target.share.target, BackendTarget::Invalid { .. })) {
        let why = "no backend of the rule can be resolved".to_owned();
        return Outcome::Failed { failure: Failure::BackendInvalid, why };
    }
    if usable.iter().all(|target| target.endpoints.is_empty()) {
        let why = "no backend has an endpoint".to_owned();
        return Outcome::Failed { failure: Failure::NoEndpoints, why };
    }
    let forwarded = routing.effects().filter_map(|effect| match effect {
        Effect::Forwarded { path, authority, .. } => Some((path.clone(), authority.clone())),
        Effect::Response
        | Effect::Redirect(_)
        | Effect::Cors(_)
        | Effect::Mirrored(_)
        | Effect::Asked
        | Effect::Refused => None,
    });
    let unchanged = || (question.path.clone(), question.authority().to_owned());
    let (path, authority) = forwarded.last().unwrap_or_else(unchanged);
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
        Destination::Outside(_) | Destination::Foreign { .. } => Vec::new(),
    };
    let mut keys: Vec<ObjectKey> = services.iter().map(service_key).collect();
    if let Destination::Outside(known) = destination {
        keys.extend(known.key.clone());
    }
    let mut routes = Vec::new();
    if let Some(routing) = routing {
        let in_force =
            routing.explanation.routes.iter().filter(|(_, standing)| *standing == Standing::InForce);
        for (route, _) in in_force {
            routes.push(route.id.clone());
            keys.push(route_key(route));
        }
        for target in &routing.targets {
            if let BackendTarget::Service { service, .. } = &target.share.target {
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
    let policies = objects.compiled.policies.iter().filter(on);
    keys.extend(
        policies.filter_map(|policy| objects.by_resource(&format!("trafficpolicy/{}", policy.name)).cloned()),
    );
    concerned_of(objects, keys)
}

/// What the controller says about these objects, each once.
pub(super) fn concerned_of(objects: &Objects, mut keys: Vec<ObjectKey>) -> Vec<Concerned> {
    let mut seen = std::collections::BTreeSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    let found = keys.into_iter().filter_map(|key| Some((objects.compiled.objects.get(&key)?, key)));
    found
        .map(|(report, key)| Concerned {
            key,
            origin: report.origin.to_string(),
            conditions: report.conditions.clone(),
            is_idle: false,
        })
        .collect()
}

/// The policies that have a say where the ways end, and those that could have been meant.
pub(super) fn policies_on(objects: &Objects, ways: &[Way]) -> Vec<Concerned> {
    let services: Vec<ServiceName> = ways.iter().map(|way| way.service.clone()).collect();
    policies_at(objects, &services, &authorization::places(objects, ways))
}

/// The policies that have a say at these places, and those that could have been meant, each with what is doubtful about it.
pub(crate) fn policies_at(objects: &Objects, services: &[ServiceName], places: &[Place]) -> Vec<Concerned> {
    let standing = callee::standing::policies(objects, services, places).into_iter();
    let found = standing.filter_map(|one| {
        let mut concerned = concerned_of(objects, vec![one.key.clone()]).pop()?;
        concerned.conditions.extend(callee::doubts::of(objects, &one.key));
        concerned.is_idle = one.is_idle;
        Some(concerned)
    });
    found.collect()
}
