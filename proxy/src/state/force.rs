//! Which destinations and which routes are in force: make before break. Pure; it must not know where resources came from.
//!
//! A table of routes comes into force when the endpoints of every service it sends requests to are here (or were refused,
//! so that waiting is in vain); until then the former table stays, and so do the endpoints that only the former table
//! needs. A destination that never had a table in force is not there yet. So with services that are asked about requests: without
//! them nothing would pass. Mirrors are not waited for: without endpoints nothing is
//! copied, and no caller notices.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesh_model::endpoint::Endpoints;
use mesh_model::name::ServiceName;
use mesh_model::route::table::RouteTable;
use mesh_model::route::{BackendTarget, ParentRef, Route};
use mesh_model::stream::{RequestRoutes, StreamRoute, StreamTable};
use mesh_model::traffic::effective::backend_policy;
use mesh_model::traffic::{PolicyTarget, TrafficPolicy};

use super::snapshot::{Destination, PortPolicies, Snapshot};
use super::store::Store;

/// A destination that the workload uses.
#[derive(Debug, Default)]
pub(super) struct Want {
    answer: AnswerState,
    used: Arc<AtomicBool>,
    tables: BTreeMap<u16, PortTable>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum AnswerState {
    /// Not sent to the controller yet.
    #[default]
    Wanted,
    /// Asked with that Subscribe, no answer yet.
    Asked(u64),
    /// Told together with an address; not sent to the controller yet, or with that Subscribe.
    Implied(Option<u64>),
    Known,
    Unknown,
}

impl Want {
    /// A service that was told because an address stands for it.
    pub(super) fn implied() -> Self {
        Self { answer: AnswerState::Implied(None), ..Self::default() }
    }

    pub(super) fn asked(&mut self, sequence: u64) {
        self.answer = match self.answer {
            AnswerState::Wanted => AnswerState::Asked(sequence),
            AnswerState::Implied(None) => AnswerState::Implied(Some(sequence)),
            other => other,
        };
    }

    pub(super) fn restart(&mut self) {
        self.answer = match self.answer {
            AnswerState::Asked(_) => AnswerState::Wanted,
            AnswerState::Implied(_) => AnswerState::Implied(None),
            other => other,
        };
    }

    pub(super) fn is_to_ask(&self) -> bool {
        matches!(self.answer, AnswerState::Wanted | AnswerState::Implied(None))
    }

    pub(super) fn is_known(&self) -> bool {
        matches!(self.answer, AnswerState::Known | AnswerState::Implied(_))
    }

    /// An update came that answers all Subscribes up to `subscription` (0: it does not say), and the service is there.
    pub(super) fn told(&mut self, subscription: u64) {
        match self.answer {
            AnswerState::Asked(sequence) | AnswerState::Implied(Some(sequence))
                if subscription == 0 || sequence <= subscription =>
            {
                self.answer = AnswerState::Known;
            }
            AnswerState::Wanted | AnswerState::Asked(_) | AnswerState::Implied(_) | AnswerState::Known => {}
            // It has come to exist.
            AnswerState::Unknown => self.answer = AnswerState::Known,
        }
    }

    /// The service was removed. Before the answer to a question this says nothing: it may be the echo of an unsubscription.
    pub(super) fn lost(&mut self) {
        match self.answer {
            AnswerState::Known => self.gone(),
            AnswerState::Implied(None) => self.answer = AnswerState::Wanted,
            AnswerState::Implied(Some(sequence)) => self.answer = AnswerState::Asked(sequence),
            AnswerState::Wanted | AnswerState::Asked(_) | AnswerState::Unknown => {}
        }
    }

    /// The controller has said that there is no such service.
    pub(super) fn gone(&mut self) {
        self.answer = AnswerState::Unknown;
        self.tables.clear();
    }

    pub(super) fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }
}

/// What a table is made of.
#[derive(Debug, Clone, Default)]
struct Inputs {
    routes: Vec<Arc<Route>>,
    policies: Vec<Arc<TrafficPolicy>>,
    streams: Vec<Arc<StreamRoute>>,
}

impl Inputs {
    fn same(&self, other: &Self) -> bool {
        same(&self.routes, &other.routes)
            && same(&self.policies, &other.policies)
            && same(&self.streams, &other.streams)
    }
}

/// The tables of a port: of requests, and of connections that are carried as bytes.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    pub(super) requests: Arc<RouteTable>,
    pub(super) streams: Arc<StreamTable>,
}

impl Tables {
    fn build(service: &ServiceName, port: u16, client_namespace: &str, inputs: &Inputs) -> Self {
        let Inputs { routes, policies, streams } = inputs;
        let requests = RouteTable::build(service, port, client_namespace, routes, policies);
        let of_requests = if requests.is_empty() { RequestRoutes::None } else { RequestRoutes::Some };
        let streams = StreamTable::build(service, port, client_namespace, streams, of_requests);
        Self { requests: Arc::new(requests), streams: Arc::new(streams) }
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.requests, &other.requests) && Arc::ptr_eq(&self.streams, &other.streams)
    }

    /// Whether no route counts: then the service itself is the backend.
    fn are_empty(&self) -> bool {
        self.requests.is_empty() && self.streams.is_empty()
    }

    /// All that a table needs: backends, and who is asked.
    fn needed(&self) -> impl Iterator<Item = &BackendTarget> {
        let asked = self.requests.routes().iter().flat_map(|route| route.asked());
        self.requests.backends().chain(asked).chain(self.streams.backends())
    }
}

#[derive(Debug)]
struct PortTable {
    inputs: Inputs,
    wanted: Tables,
    in_force: Option<Tables>,
}

/// Whether all that a table of `service` needs is here.
fn is_complete(service: &ServiceName, tables: &Tables, here: impl Fn(&ServiceName) -> bool) -> bool {
    if tables.are_empty() {
        return here(service);
    }
    tables.needed().all(|target| match target {
        BackendTarget::Service { service, .. } => here(service),
        BackendTarget::Invalid { .. } => true,
    })
}

/// Routes by the service they are attached to, in the order of their names.
fn attached<'a, T: 'a>(
    routes: impl Iterator<Item = (&'a Arc<T>, &'a [ParentRef])>,
) -> HashMap<ServiceName, Vec<Arc<T>>> {
    let mut attached: HashMap<ServiceName, Vec<Arc<T>>> = HashMap::new();
    for (route, parents) in routes {
        let parents: HashSet<&ServiceName> = parents.iter().map(|p| &p.service).collect();
        for parent in parents {
            attached.entry(parent.clone()).or_default().push(Arc::clone(route));
        }
    }
    attached
}

fn same<T>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}

impl Store {
    /// Makes the next snapshot, keeping every `Arc` whose content did not change.
    pub(super) fn rebuild(&mut self) {
        let routes_of =
            attached(self.routes.values().map(|route| (&route.value, route.value.parents.as_slice())));
        let streams_of =
            attached(self.streams.values().map(|route| (&route.value, route.value.parents.as_slice())));
        let (mut destinations, mut unknown) = (HashMap::new(), HashSet::new());
        let mut wanted = std::mem::take(&mut self.wanted);
        for (name, want) in &mut wanted {
            match want.answer {
                AnswerState::Known | AnswerState::Implied(_) => {
                    let routes = routes_of.get(name).cloned().unwrap_or_default();
                    let policies = self.attached_policies(name, &routes);
                    let streams = streams_of.get(name).cloned().unwrap_or_default();
                    let inputs = Inputs { routes, policies, streams };
                    if let Some(destination) = self.destination(name, want, &inputs) {
                        destinations.insert(name.clone(), destination);
                    }
                }
                AnswerState::Unknown => {
                    unknown.insert(name.clone());
                }
                AnswerState::Wanted | AnswerState::Asked(_) => {}
            }
        }
        self.wanted = wanted;
        self.publish(destinations, unknown);
    }

    /// Policies on the service or on one of these routes, in the order of their names.
    fn attached_policies(&self, service: &ServiceName, routes: &[Arc<Route>]) -> Vec<Arc<TrafficPolicy>> {
        let counts = |target: &PolicyTarget| match target {
            PolicyTarget::Service { service: of, .. } => of == service,
            PolicyTarget::Route { route, .. } => routes.iter().any(|attached| attached.id == *route),
        };
        let policies = self.policies.values().map(|policy| &policy.value);
        policies.filter(|policy| policy.targets.iter().any(counts)).map(Arc::clone).collect()
    }

    fn destination(&self, name: &ServiceName, want: &mut Want, inputs: &Inputs) -> Option<Arc<Destination>> {
        let service = &self.services.get(name)?.value;
        let here = |s: &ServiceName| self.endpoints.contains_key(s) || self.refused_endpoints.contains(s);
        want.tables.retain(|port, _| service.port(*port).is_some());
        for port in service.ports.iter().map(|p| p.port) {
            let build = |in_force| PortTable {
                inputs: inputs.clone(),
                wanted: Tables::build(name, port, &self.client_namespace, inputs),
                in_force,
            };
            let table = want.tables.entry(port).or_insert_with(|| build(None));
            if !table.inputs.same(inputs) {
                *table = build(table.in_force.take());
            }
            // A service that has neither routes nor endpoints is told as it is: there is nothing better to wait for.
            let first_and_plain = table.in_force.is_none() && table.wanted.are_empty();
            if first_and_plain || is_complete(name, &table.wanted, here) {
                table.in_force = Some(table.wanted.clone());
            }
        }
        let tables = service.ports.iter().map(|p| {
            let table = want.tables.get(&p.port).and_then(|table| table.in_force.clone());
            table.map(|table| (p.port, table))
        });
        let tables: Vec<_> = tables.collect::<Option<_>>()?;
        let former = self.snapshot.destinations.get(name).filter(|former| {
            Arc::ptr_eq(&former.service, service)
                && former.tables.len() == tables.len()
                && former.tables.iter().zip(&tables).all(|(a, b)| a.0 == b.0 && a.1.is_same(&b.1))
                && Arc::ptr_eq(&former.used, &want.used)
        });
        Some(former.map_or_else(
            || Arc::new(Destination { service: Arc::clone(service), tables, used: Arc::clone(&want.used) }),
            Arc::clone,
        ))
    }

    /// Swaps the snapshot in, touching only the maps that changed.
    fn publish(
        &mut self,
        destinations: HashMap<ServiceName, Arc<Destination>>,
        unknown: HashSet<ServiceName>,
    ) {
        let services = self.services.iter().map(|(name, v)| (name.clone(), Arc::clone(&v.value))).collect();
        let endpoints = self.endpoints_in_use(&destinations);
        let former = &self.snapshot;
        let mut next = Snapshot::clone(former);
        next.settings = self.settings.as_ref().map(|settings| Arc::clone(&settings.value));
        self.authorize(former, &mut next);
        next.own = self.own.as_ref().map(|own| Arc::clone(&own.value)).unwrap_or_default();
        next.authentication = self.authentication.as_ref().map(|said| Arc::clone(&said.value));
        let backend_policies = self.backend_policies();
        if *former.backend_policies != backend_policies {
            next.backend_policies = Arc::new(backend_policies);
        }
        if !same_map(&services, &former.services) {
            next.services = Arc::new(services);
        }
        if !same_map(&endpoints, &former.endpoints) {
            next.endpoints = Arc::new(endpoints);
        }
        if !same_map(&destinations, &former.destinations) {
            next.destinations = Arc::new(destinations);
        }
        if *former.unknown != unknown {
            next.unknown = Arc::new(unknown);
        }
        self.addresses.publish(former, &mut next);
        self.snapshot = Arc::new(next);
    }

    /// Puts in who may call the workload; the same `Arc` if nothing changed.
    fn authorize(&self, former: &Snapshot, next: &mut Snapshot) {
        let mut now = self.authorization.values().map(|held| &held.value);
        let same = former.authorization.len() == self.authorization.len()
            && former
                .authorization
                .iter()
                .all(|before| now.next().is_some_and(|now| Arc::ptr_eq(before, now)));
        if !same {
            next.authorization = self.authorization.values().map(|held| Arc::clone(&held.value)).collect();
        }
    }

    /// The settings of every service that policies are attached to. What is equal to before keeps its `Arc`.
    fn backend_policies(&self) -> HashMap<ServiceName, PortPolicies> {
        let all: Vec<Arc<TrafficPolicy>> =
            self.policies.values().map(|policy| Arc::clone(&policy.value)).collect();
        let mut ports: HashMap<&ServiceName, BTreeSet<u16>> = HashMap::new();
        for target in all.iter().flat_map(|policy| &policy.targets) {
            if let PolicyTarget::Service { service, port } = target {
                ports.entry(service).or_default().extend(port);
            }
        }
        let made = ports.into_iter().map(|(service, ports)| {
            let mut known = PortPolicies::known(self.snapshot.backend_policies.get(service));
            let mut policy = |port: u16| {
                let now = backend_policy(&all, service, port);
                if let Some(before) = known.iter().find(|before| ***before == now) {
                    return Arc::clone(before);
                }
                let now = Arc::new(now);
                known.push(Arc::clone(&now));
                now
            };
            let named = ports.into_iter().map(|port| (port, policy(port))).collect();
            // No service has port 0, so no policy names it.
            (service.clone(), PortPolicies { named, others: policy(0) })
        });
        made.collect()
    }

    /// All endpoints held, and those that only a former table in force still needs.
    fn endpoints_in_use(
        &self,
        destinations: &HashMap<ServiceName, Arc<Destination>>,
    ) -> HashMap<ServiceName, Arc<Endpoints>> {
        let mut endpoints: HashMap<_, _> =
            self.endpoints.iter().map(|(name, v)| (name.clone(), Arc::clone(&v.value))).collect();
        for (name, want) in &self.wanted {
            if !destinations.contains_key(name) {
                continue;
            }
            for table in want.tables.values() {
                let Some(in_force) =
                    table.in_force.as_ref().filter(|in_force| !in_force.is_same(&table.wanted))
                else {
                    continue;
                };
                let own = in_force.are_empty().then_some(name);
                let mirrors = in_force.requests.routes().iter().flat_map(|route| route.mirrors());
                let needed = in_force.needed().chain(mirrors).filter_map(|backend| match backend {
                    BackendTarget::Service { service, .. } => Some(service),
                    BackendTarget::Invalid { .. } => None,
                });
                for service in needed.chain(own) {
                    if let (false, Some(kept)) =
                        (endpoints.contains_key(service), self.snapshot.endpoints.get(service))
                    {
                        endpoints.insert(service.clone(), Arc::clone(kept));
                    }
                }
            }
        }
        endpoints
    }
}

fn same_map<T>(a: &HashMap<ServiceName, Arc<T>>, b: &HashMap<ServiceName, Arc<T>>) -> bool {
    a.len() == b.len()
        && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| Arc::ptr_eq(value, other)))
}
