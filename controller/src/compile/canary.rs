//! Canaries: which release each is, and what lies over the weights of the routes because of it. Pure, and the same at every replica: the
//! overlay follows from the object, its state and the endpoints that are ready. It must not know how a state comes about (`canary`).
//!
//! Decisions ([0025](../../../docs/adr/0025-canary.md)):
//! - Every rule that sends to the stable Service is divided, in whichever route it is; what it sends to both Services together is what is
//!   divided, so other backends keep their share. A rule need not name the new version's Service.
//! - No route object is written.
//! - Of several Canaries on one Service the oldest counts, then the first by name; the others do nothing and are told so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use mesh_model::compare::Compare;
use mesh_model::endpoint::EndpointState;
use mesh_model::name::ServiceName;
use mesh_model::route::{Backend, BackendTarget, Filter, Mirror, Route, Rule};
use mesh_model::traffic::Ppm;
use mesh_release::machine::{Routing, mark, routing};
use mesh_release::observation::{Observation, Side};
use mesh_release::plan::{ALL, Exposure, Plan};
use mesh_release::state::State;

use super::Reports;
use super::routes::{Services, created};
use crate::api::ObjectKey;
use crate::api::lower::{self, Findings};
use crate::index::Index;
use crate::status::{Condition, ConditionType};

/// A Canary, with what is known when everything is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Which object.
    pub key: ObjectKey,
    /// What it says.
    pub plan: Plan,
    /// Which version is tried.
    pub version: String,
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

/// Finds the releases, and lays what follows from them over the routes.
pub fn compile(
    index: &Index,
    services: &Services,
    routes: &mut [Arc<Route>],
    reports: &mut Reports,
) -> Vec<Release> {
    let mut releases = Vec::new();
    let mut taken: BTreeMap<ServiceName, ObjectKey> = BTreeMap::new();
    let mut entries: Vec<_> = index.canaries.iter().collect();
    entries.sort_by_key(|(key, entry)| (created(&entry.object.metadata), (*key).clone()));
    for (key, entry) in entries {
        reports.object(key, &entry.origin, None);
        let spec = &entry.object.spec;
        let name = |name: &str| ServiceName::new(&key.namespace, name).ok();
        let (Some(stable), Some(canary)) = (name(&spec.stable), name(&spec.canary)) else { continue };
        let (plan, _) = lower::canary::lower(&entry.object);
        let ready = (ready(services, &stable), ready(services, &canary));
        let state = match &index.releases {
            Some(releases) => releases.get(key).cloned(),
            None => entry.object.status.as_ref().and_then(|status| status.release.clone()),
        };
        let release = Release {
            key: key.clone(),
            own_weights: own_weights(routes, &stable, &canary),
            refused: refuse(key, [("spec.stable", &stable), ("spec.canary", &canary)], &mut taken, reports),
            routing: Routing::Untouched,
            compare: spec.compare.as_ref().map(|it| lower::compare::lower(it, "", &mut Findings::default())),
            version: spec.version.clone(),
            plan,
            stable,
            canary,
            ready,
            state,
        };
        release.say(services, routes, reports);
        releases.push(release);
    }
    for release in &mut releases {
        release.lay_over(services, routes);
    }
    releases.sort_by(|one, other| one.key.cmp(&other.key));
    releases
}

/// Why this Canary does nothing, if another one has one of its Services.
fn refuse(
    key: &ObjectKey,
    services: [(&str, &ServiceName); 2],
    taken: &mut BTreeMap<ServiceName, ObjectKey>,
    reports: &mut Reports,
) -> Option<String> {
    let other = services.iter().find_map(|(field, service)| Some((*field, *service, taken.get(*service)?)));
    if let Some((field, service, other)) = other {
        let message =
            format!("{other} releases Service {service} already, and came first; this one does nothing");
        reports.say(key, Condition::failed(ConditionType::Accepted, "Conflicted", field, message.clone()));
        return Some(message);
    }
    taken.extend(services.map(|(_, service)| (service.clone(), key.clone())));
    None
}

fn ready(services: &Services, name: &ServiceName) -> u32 {
    let Some((_, endpoints)) = services.get(name) else { return 0 };
    let ports = endpoints.ports.iter();
    let most = ports
        .map(|port| port.endpoints.iter().filter(|endpoint| endpoint.state == EndpointState::Ready).count())
        .max();
    u32::try_from(most.unwrap_or(0)).unwrap_or(u32::MAX)
}

fn sends_to(backend: &Backend, to: &ServiceName) -> bool {
    matches!(&backend.target, BackendTarget::Service { service, .. } if service == to)
}

/// A number that changes with the weights that routes say for these Services.
fn own_weights(routes: &[Arc<Route>], stable: &ServiceName, canary: &ServiceName) -> u64 {
    let mut said = String::new();
    for route in routes {
        for (at, rule) in route.rules.iter().enumerate().filter(|(_, rule)| rule.backends.len() > 1) {
            for backend in &rule.backends {
                if sends_to(backend, stable) || sends_to(backend, canary) {
                    // Writing to a text never fails.
                    let _ = write!(said, "{}#{at} {:?} {}", route.id, backend.target, backend.weight);
                }
            }
        }
    }
    mark(&said)
}

impl Release {
    fn say(&self, services: &Services, routes: &[Arc<Route>], reports: &mut Reports) {
        for (field, service) in [("spec.stable", &self.stable), ("spec.canary", &self.canary)] {
            if !services.contains_key(service) {
                let message =
                    format!("there is no Service {service}; no request is exposed until it is there");
                reports.say(
                    &self.key,
                    Condition::failed(ConditionType::ResolvedRefs, "BackendNotFound", field, message),
                );
            }
        }
        let mut rules = routes.iter().flat_map(|route| &route.rules);
        if !rules.any(|rule| rule.backends.iter().any(|backend| sends_to(backend, &self.stable))) {
            let message = format!(
                "no rule of an HTTPRoute or GRPCRoute sends to Service {}; write one with it as backend, or nothing is divided",
                self.stable
            );
            reports.say(
                &self.key,
                Condition::failed(ConditionType::ResolvedRefs, "NoRoute", "spec.stable", message),
            );
        }
    }

    fn lay_over(&mut self, services: &Services, routes: &mut [Arc<Route>]) {
        let Some(state) = self.state.as_ref().filter(|_| self.refused.is_none()) else { return };
        let side = |ready| Side { ready, figures: None };
        let observed = Observation { stable: side(self.ready.0), canary: side(self.ready.1) };
        self.routing = routing(&self.plan, state, &observed);
        if self.routing == Routing::Untouched {
            return;
        }
        for route in routes {
            let concerns = |rule: &Rule| rule.backends.iter().any(|backend| sends_to(backend, &self.stable));
            if route.rules.iter().any(concerns) {
                let route = Arc::make_mut(route);
                route
                    .rules
                    .iter_mut()
                    .filter(|rule| concerns(rule))
                    .for_each(|rule| self.divide(rule, services));
            }
        }
    }

    /// Divides what a rule sends to both Services.
    fn divide(&self, rule: &mut Rule, services: &Services) {
        let Some(first) = rule.backends.iter().position(|backend| sends_to(backend, &self.stable)) else {
            return;
        };
        let of = |service: &ServiceName| {
            let sent = rule.backends.iter().filter(|backend| sends_to(backend, service));
            sent.map(|backend| u64::from(backend.weight)).sum::<u64>()
        };
        let both = of(&self.stable) + of(&self.canary);
        if both == 0 {
            return;
        }
        let (share, copied) = match self.routing {
            Routing::Untouched | Routing::Stable => (0, 0),
            Routing::Canary | Routing::Expose(Exposure::Cohort) => (u64::from(ALL), 0),
            Routing::Expose(Exposure::Weight(share)) => (u64::from(share), 0),
            Routing::Expose(Exposure::Shadow(copied)) => (0, copied),
        };
        let Some(mut stable) = rule.backends.get(first).cloned() else { return };
        let known = rule.backends.iter().find(|backend| sends_to(backend, &self.canary)).cloned();
        let mut canary = known
            .unwrap_or_else(|| Backend { target: self.port_of(&stable.target, services), ..stable.clone() });
        if copied > 0 {
            let target = canary.target.clone();
            stable.filters.push(Filter::Mirror(Mirror {
                target,
                share: Ppm(copied),
                compare: self.compare.clone(),
            }));
        }
        // All weights on one scale: `both` is divided into a million parts.
        let mut weights: Vec<(Backend, u64)> = Vec::with_capacity(rule.backends.len() + 1);
        for (at, backend) in rule.backends.drain(..).enumerate() {
            if at == first {
                // Side by side, so that a cohort only moves where the border does.
                canary.weight = 0;
                weights.push((stable.clone(), both * (u64::from(ALL) - share)));
                weights.push((canary.clone(), both * share));
            } else if !sends_to(&backend, &self.stable) && !sends_to(&backend, &self.canary) {
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

    /// The new version's Service at the port of the same number, else at its first one.
    fn port_of(&self, stable: &BackendTarget, services: &Services) -> BackendTarget {
        let BackendTarget::Service { port: wanted, .. } = stable else { return stable.clone() };
        let ports =
            services.get(&self.canary).map(|(service, _)| service.ports.as_slice()).unwrap_or_default();
        let same = ports.iter().find(|port| port.port == *wanted).or(ports.first());
        let port = same.map_or(*wanted, |port| port.port);
        BackendTarget::Service { service: self.canary.clone(), port }
    }
}

#[cfg(test)]
mod tests;
