//! Canaries: which release each is, and what lies over the weights of the routes because of it. Pure, and the same at every replica: the
//! overlay follows from the object, its state and the endpoints that are ready. It must not know how a state comes about (`canary`).
//!
//! Decisions ([0025](../../../docs/adr/0025-canary.md)):
//! - Every rule that sends to the stable Service is divided, in whichever route it is; what it sends to both Services together is what is
//!   divided, so other backends keep their share. A rule need not name the new version's Service.
//! - No route object is written.
//! - One Service with both versions becomes two more inside of the mesh ([`versions`]), which nobody calls by name.
//! - Of several Canaries on one Service the oldest counts, then the first by name; the others do nothing and are told so.

mod versions;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use mesh_model::compare::Compare;
use mesh_model::endpoint::{EndpointState, Endpoints};
use mesh_model::name::ServiceName;
use mesh_model::route::{Backend, BackendTarget, Filter, Mirror, Route, Rule, ValueMatch};
use mesh_model::service::Service;
use mesh_model::traffic::Ppm;
use mesh_release::machine::{Routing, mark, routing};
use mesh_release::observation::{Observation, Side};
use mesh_release::plan::{ALL, Exposure, Plan};
use mesh_release::state::{Phase, State};

pub(super) use self::versions::cover;
pub use self::versions::is_version;
use super::Reports;
use super::routes::{Services, created};
use crate::api::lower::Findings;
use crate::api::lower::canary::asks::{Ask, asks};
use crate::api::{Canary, ObjectKey, lower};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

/// A Canary, with what is known when everything is compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Which object.
    pub key: ObjectKey,
    /// What it says.
    pub plan: Plan,
    /// Who is asked and told, one for each hook of the plan.
    pub asks: Vec<Ask>,
    /// Which version is tried.
    pub version: String,
    /// The mark of what stands for both versions.
    pub sides: u64,
    /// The one Service that has both versions behind it; `stable` and `canary` are parts of it then.
    pub target: Option<ServiceName>,
    /// Requests that the new version gets whatever its share.
    pub cohort: Vec<ValueMatch>,
    /// The Service of the version that serves.
    pub stable: ServiceName,
    /// The Service of the new version.
    pub canary: ServiceName,
    /// Endpoints that are ready, of both.
    pub ready: (u32, u32),
    /// The mark of the weights that routes have of themselves.
    pub own_weights: u64,
    /// What is known of it; `None`: nothing was decided yet.
    pub state: Option<State>,
    /// What routes do.
    pub routing: Routing,
    /// How the answers to copies are compared; `None`: as a TrafficPolicy says.
    pub compare: Option<Arc<Compare>>,
    /// Why nothing is done.
    pub refused: Option<String>,
}

/// Releases, and the Services that stand for their versions.
#[derive(Debug, Default)]
pub struct Releases {
    /// Ordered by name.
    pub all: Vec<Release>,
    /// Parts of Services, to be told to proxies beside those.
    pub versions: Services,
}

/// Finds the releases, and lays what follows from them over the routes.
pub fn compile(
    index: &Index,
    services: &Services,
    routes: &mut Vec<Arc<Route>>,
    reports: &mut Reports,
) -> Releases {
    let mut releases = Releases::default();
    let mut taken: BTreeMap<ServiceName, ObjectKey> = BTreeMap::new();
    let mut entries: Vec<_> = index.canaries.iter().collect();
    entries.sort_by_key(|(key, entry)| (created(&entry.object.metadata), (*key).clone()));
    for (key, entry) in entries {
        reports.object(key, &entry.origin, None);
        let Some(mut release) = Release::of(key, &entry.object, index) else { continue };
        release.refused = release.refuse(&mut taken, reports);
        if let (Some(target), None) = (&entry.object.spec.target, &release.refused) {
            releases.versions.append(&versions::divide(&release, target, index, services));
            versions::attach(&release, services, routes);
        }
        let find = |name| releases.versions.get(name).or_else(|| services.get(name));
        release.ready = (ready(find(&release.stable)), ready(find(&release.canary)));
        release.own_weights = release.own_weights(routes);
        release.say(services, routes, reports);
        releases.all.push(release);
    }
    for release in &mut releases.all {
        release.lay_over(services, routes);
    }
    releases.all.sort_by(|one, other| one.key.cmp(&other.key));
    releases
}

/// Whether as many endpoints are ready as when the releases were found.
pub(super) fn same_readiness(releases: &[Release], services: &Services) -> bool {
    let ready = |name| ready(services.get(name));
    releases.iter().all(|it| it.ready == (ready(&it.stable), ready(&it.canary)))
}

fn ready(service: Option<&(Service, Endpoints)>) -> u32 {
    let Some((_, endpoints)) = service else { return 0 };
    let ports = endpoints.ports.iter();
    let most = ports
        .map(|port| port.endpoints.iter().filter(|endpoint| endpoint.state == EndpointState::Ready).count())
        .max();
    u32::try_from(most.unwrap_or(0)).unwrap_or(u32::MAX)
}

fn sends_to(backend: &Backend, to: &ServiceName) -> bool {
    matches!(&backend.target, BackendTarget::Service { service, .. } if service == to)
}

impl Release {
    fn of(key: &ObjectKey, object: &Canary, index: &Index) -> Option<Self> {
        let spec = &object.spec;
        let name = |name: &str| ServiceName::new(&key.namespace, name).ok();
        let target = spec.target.as_ref().and_then(|target| name(&target.service));
        let (stable, canary) = match &target {
            Some(target) => versions::names(target)?,
            None => (name(spec.stable.as_deref()?)?, name(spec.canary.as_deref()?)?),
        };
        let (plan, _) = lower::canary::lower(object);
        // What is wrong with them was told when the object was read.
        let mut read = Findings::default();
        let state = match &index.releases {
            Some(releases) => releases.get(key).cloned(),
            None => object.status.as_ref().and_then(|status| status.release.clone()),
        };
        Some(Self {
            key: key.clone(),
            plan,
            asks: asks(object, &mut read),
            version: spec.version.clone(),
            sides: mark(&format!("{:?} {:?} {:?}", spec.stable, spec.canary, spec.target)),
            target,
            cohort: lower::canary::versions::cohort(object, &mut read),
            stable,
            canary,
            ready: (0, 0),
            own_weights: 0,
            state,
            routing: Routing::Untouched,
            compare: spec.compare.as_ref().map(|it| lower::compare::lower(it, "", &mut read)),
            refused: None,
        })
    }

    /// Services that are this release's alone, each with the field that names it.
    fn services(&self) -> Vec<(&'static str, &ServiceName)> {
        match &self.target {
            Some(target) => vec![("spec.target.service", target)],
            None => vec![("spec.stable", &self.stable), ("spec.canary", &self.canary)],
        }
    }

    /// What routes send there is divided.
    fn divided(&self) -> &ServiceName {
        self.target.as_ref().unwrap_or(&self.stable)
    }

    /// Why this Canary does nothing, if another one has one of its Services.
    fn refuse(&self, taken: &mut BTreeMap<ServiceName, ObjectKey>, reports: &mut Reports) -> Option<String> {
        let services = self.services();
        let other =
            services.iter().find_map(|(field, service)| Some((*field, *service, taken.get(*service)?)));
        if let Some((field, service, other)) = other {
            let message =
                format!("{other} releases Service {service} already, and came first; this one does nothing");
            let condition = Condition::failed(ConditionType::Accepted, "Conflicted", field, message.clone());
            reports.say(&self.key, condition);
            return Some(message);
        }
        taken.extend(services.into_iter().map(|(_, service)| (service.clone(), self.key.clone())));
        None
    }

    /// A number that changes with the weights that routes say for these Services. Of one Service no route can say any.
    fn own_weights(&self, routes: &[Arc<Route>]) -> u64 {
        let mut said = String::new();
        for route in routes.iter().filter(|_| self.target.is_none()) {
            for (at, rule) in route.rules.iter().enumerate().filter(|(_, rule)| rule.backends.len() > 1) {
                for backend in &rule.backends {
                    if sends_to(backend, &self.stable) || sends_to(backend, &self.canary) {
                        // Writing to a text never fails.
                        let _ = write!(said, "{}#{at} {:?} {}", route.id, backend.target, backend.weight);
                    }
                }
            }
        }
        mark(&said)
    }

    fn say(&self, services: &Services, routes: &[Arc<Route>], reports: &mut Reports) {
        let failed = |reason, field: &str, message| {
            Condition::failed(ConditionType::ResolvedRefs, reason, field, message)
        };
        let named = self.services();
        for (field, service) in named.iter().filter(|(_, service)| !services.contains_key(service)) {
            let message = format!("there is no Service {service}; no request is exposed until it is there");
            reports.say(&self.key, failed("BackendNotFound", field, message));
        }
        let mut rules = routes.iter().flat_map(|route| &route.rules);
        let to = self.divided();
        if let Some((field, _)) = named.first()
            && self.refused.is_none()
            && !rules.any(|rule| rule.backends.iter().any(|backend| sends_to(backend, to)))
        {
            let message = format!(
                "no rule of an HTTPRoute or GRPCRoute sends to Service {to}; write one with it as backend, or nothing is divided"
            );
            reports.say(&self.key, failed("NoRoute", field, message));
        }
    }

    /// What routes do: what the state says, and of one Service with both versions never what it says before anything was decided, since
    /// its name stands for both.
    fn decide(&self) -> Routing {
        let side = |ready| Side { ready, figures: None };
        let observed = Observation { stable: side(self.ready.0), canary: side(self.ready.1) };
        match (self.state.as_ref().map(|_| self.current()).as_deref(), &self.target) {
            (None, None) => Routing::Untouched,
            (Some(State { phase: Phase::Waiting, .. }) | None, Some(_)) if self.ready.0 == 0 => {
                Routing::Untouched
            }
            (None, Some(_)) => Routing::Stable,
            (Some(state), _) => routing(&self.plan, state, &observed),
        }
    }

    /// Where this release stands. As long as nobody has looked at it, it waits: a state of another version, or of other Services, says
    /// nothing of what these requests would meet.
    pub fn current(&self) -> Cow<'_, State> {
        match &self.state {
            Some(state) if state.is_of(&self.version, self.sides) => Cow::Borrowed(state),
            other => {
                let past = other.as_ref().map(|state| state.past.clone()).unwrap_or_default();
                Cow::Owned(State::of(&self.version, past))
            }
        }
    }

    /// Requests of the cohort go to the new version while it is exposed to anybody, or to nobody else yet.
    fn takes(&self) -> &[ValueMatch] {
        let is_running = self.current().phase.is_running();
        let exposes = match self.routing {
            Routing::Expose(Exposure::Cohort | Exposure::Weight(_)) => true,
            Routing::Stable => is_running && self.ready.1 > 0,
            Routing::Expose(Exposure::Shadow(_)) | Routing::Untouched | Routing::Canary => false,
        };
        if exposes { &self.cohort } else { &[] }
    }

    fn lay_over(&mut self, services: &Services, routes: &mut [Arc<Route>]) {
        if self.refused.is_some() {
            return;
        }
        self.routing = self.decide();
        if self.routing == Routing::Untouched {
            return;
        }
        for route in routes {
            let concerns =
                |rule: &Rule| rule.backends.iter().any(|backend| sends_to(backend, self.divided()));
            if route.rules.iter().any(concerns) {
                let rules = &mut Arc::make_mut(route).rules;
                rules.iter_mut().filter(|rule| concerns(rule)).for_each(|rule| self.divide(rule, services));
            }
        }
    }

    /// Divides what a rule sends to both versions.
    fn divide(&self, rule: &mut Rule, services: &Services) {
        let divided = self.divided();
        let Some(first) = rule.backends.iter().position(|backend| sends_to(backend, divided)) else { return };
        let of = |service: &ServiceName| {
            let sent = rule.backends.iter().filter(|backend| sends_to(backend, service));
            sent.map(|backend| u64::from(backend.weight)).sum::<u64>()
        };
        let both = of(divided) + of(&self.canary);
        if both == 0 {
            return;
        }
        let (share, copied) = match self.routing {
            Routing::Untouched | Routing::Stable | Routing::Expose(Exposure::Cohort) => (0, 0),
            Routing::Canary => (u64::from(ALL), 0),
            Routing::Expose(Exposure::Weight(share)) => (u64::from(share), 0),
            Routing::Expose(Exposure::Shadow(copied)) => (0, copied),
        };
        let Some((mut stable, mut canary)) = self.sides(rule, first, services) else { return };
        if copied > 0 {
            let target = canary.target.clone();
            stable.filters.push(Filter::Mirror(Mirror {
                target,
                share: Ppm(copied),
                compare: self.compare.clone(),
            }));
        }
        canary.takes = self.takes().to_vec();
        // All weights on one scale: `both` is divided into a million parts.
        let mut weights: Vec<(Backend, u64)> = Vec::with_capacity(rule.backends.len() + 1);
        for (at, backend) in rule.backends.drain(..).enumerate() {
            if at == first {
                // Side by side, so that a cohort only moves where the border does.
                canary.weight = 0;
                weights.push((stable.clone(), both * (u64::from(ALL) - share)));
                weights.push((canary.clone(), both * share));
            } else if !sends_to(&backend, divided) && !sends_to(&backend, &self.canary) {
                let weight = u64::from(backend.weight) * u64::from(ALL);
                weights.push((backend, weight));
            }
        }
        let most = weights.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
        let scale = most.div_ceil(u64::from(ALL)).max(both);
        let scaled = |(mut backend, weight): (Backend, u64)| {
            // What has a share keeps one, however small.
            let rounded = (weight / scale).max(u64::from(weight > 0));
            backend.weight = u32::try_from(rounded).unwrap_or(ALL);
            backend
        };
        rule.backends = weights.into_iter().map(scaled).collect();
    }

    /// What a rule sends to each version, before it is known how much.
    fn sides(&self, rule: &Rule, first: usize, services: &Services) -> Option<(Backend, Backend)> {
        let divided = rule.backends.get(first)?;
        let BackendTarget::Service { port, .. } = &divided.target else { return None };
        if self.target.is_some() {
            let at = |service: &ServiceName| BackendTarget::Service { service: service.clone(), port: *port };
            let side = |service| Backend { target: at(service), ..divided.clone() };
            return Some((side(&self.stable), side(&self.canary)));
        }
        let known = rule.backends.iter().find(|backend| sends_to(backend, &self.canary)).cloned();
        let made = || Backend { target: self.port_of(*port, services), ..divided.clone() };
        Some((divided.clone(), known.unwrap_or_else(made)))
    }

    /// The new version's Service at the port of the same number, else at its first one.
    fn port_of(&self, wanted: u16, services: &Services) -> BackendTarget {
        let ports =
            services.get(&self.canary).map(|(service, _)| service.ports.as_slice()).unwrap_or_default();
        let same = ports.iter().find(|port| port.port == wanted).or(ports.first());
        let port = same.map_or(wanted, |port| port.port);
        BackendTarget::Service { service: self.canary.clone(), port }
    }
}

#[cfg(test)]
mod tests;
