//! Makes a snapshot of everything that was compiled. It must not know streams.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mesh_model::external::ExternalService;
use mesh_model::name::ServiceName;
use mesh_model::policy::AuthorizationPolicy;
use mesh_model::route::{BackendTarget, ParentRef, Route, RouteId};
use mesh_model::service::OwnServices;
use mesh_model::stream::StreamRoute;
use mesh_model::traffic::PolicyTarget;
use mesh_proto::convert::{self, ModelResource};
use prost::Message;

use super::super::guards::Guards;
use super::super::mine::AllMine;
use super::super::touched::Touched;
use super::lazy::{Lazy, LazyService};
use super::{Attached, AttachedPolicy, AttachedRoute, Entry, Resource, Snapshot, compare};
use crate::compile::Compiled;
use crate::compile::authorization::Authorization;
use crate::shared::SharedMap;

impl Snapshot {
    /// Takes what is the same as `before` from there, with the bytes of what was encoded. Tells what is different.
    pub fn build(compiled: &Compiled, revision: u64, time_ms: u64, before: Option<&Self>) -> (Self, Touched) {
        let mut builder = Builder { before, resources: HashMap::new() };
        let mesh = builder.encode(&ModelResource::Mesh(compiled.mesh.clone()));
        let services = builder.services(compiled);
        let mut externals = BTreeMap::new();
        for (name, external) in &compiled.externals {
            let external = ExternalService::clone(external);
            externals.insert(name.clone(), builder.encode(&ModelResource::External(external)));
        }
        let resources = Arc::new(builder.resources);
        let own = compiled.own.iter().map(|(workload, services)| {
            let known = before.and_then(|before| before.own.get(workload));
            (workload.clone(), Lazy::new(services, known))
        });
        let addresses = compiled.addresses.iter().map(|(ip, address)| {
            let known = before.and_then(|before| before.addresses.get(ip));
            (*ip, Lazy::new(address, known))
        });
        let nothing = ModelResource::Own(OwnServices::default());
        let nothing_version = nothing.version();
        let snapshot = Self {
            revision,
            time_ms,
            resources,
            mesh,
            services,
            own: own.collect(),
            guards: Arc::new(Guards::build(&compiled.authorization, before.map(|before| &*before.guards))),
            asked_by: Arc::new(asked_by(&compiled.authorization)),
            serves_nothing: Arc::new(encode(&nothing, nothing_version)),
            authentication: Arc::new(AllMine::build(
                &compiled.authentication,
                before.map(|before| &*before.authentication),
            )),
            addresses: addresses.collect(),
            externals: Arc::new(externals),
            names: Arc::clone(&compiled.names),
        };
        let touched = before.map_or_else(compare::everything, |before| snapshot.unlike(before));
        (snapshot, touched)
    }
}

impl Snapshot {
    /// Takes over what routes and policies say now, and what services they are told with. Gives those of which something is different.
    pub(super) fn take_rules(&mut self, compiled: &Compiled) -> Vec<ServiceName> {
        let before = self.clone();
        let mut builder = Builder { before: Some(&before), resources: HashMap::new() };
        let others = std::iter::once(&before.mesh).chain(before.externals.values());
        builder.resources.extend(others.map(|it| (Arc::clone(&it.name), Arc::clone(it))));
        let mut attached = builder.attached(compiled);
        self.resources = Arc::new(builder.resources);
        let mut unlike = Vec::new();
        for (name, known) in &before.services {
            let attached = attached.remove(name).unwrap_or_default();
            if attached != known.attached {
                let entry = Entry { service: known.service.clone(), attached };
                self.services.insert(name.clone(), Arc::new(entry));
                unlike.push(name.clone());
            }
        }
        unlike
    }
}

pub(in crate::serve) fn encode(model: &ModelResource, version: String) -> Resource {
    let mut wire = convert::encode(model);
    wire.version.clone_from(&version);
    Resource { name: model.name().into(), version: version.into(), bytes: wire.encode_to_vec().into() }
}

struct Builder<'a> {
    before: Option<&'a Snapshot>,
    resources: HashMap<Arc<str>, Arc<Resource>>,
}

impl Builder<'_> {
    /// Services, each with what belongs to it.
    fn services(&mut self, compiled: &Compiled) -> SharedMap<ServiceName, Arc<Entry>> {
        let mut attached = self.attached(compiled);
        let entries = compiled.services.iter_shared().map(|(name, service)| {
            let known = self.before.and_then(|before| before.services.get(name));
            let service = LazyService::new(service, known.map(|known| &known.service));
            let attached = attached.remove(name).unwrap_or_default();
            (name.clone(), Arc::new(Entry { service, attached }))
        });
        entries.collect()
    }

    /// What belongs to each service that is named by a route or policy, there or not.
    fn attached(&mut self, compiled: &Compiled) -> BTreeMap<ServiceName, Attached> {
        let mut services: BTreeMap<ServiceName, Attached> = BTreeMap::new();
        let mut of_routes: BTreeMap<&RouteId, Vec<AttachedPolicy>> = BTreeMap::new();
        for policy in &compiled.policies {
            let resource = self.encode(&ModelResource::Policy((**policy).clone()));
            let asked = policy.settings.global_rate.as_ref().and_then(|rate| service_of(&rate.target));
            let attached = AttachedPolicy { resource, asked };
            for target in &policy.targets {
                let policies = match target {
                    PolicyTarget::Service { service, .. } => {
                        &mut services.entry(service.clone()).or_default().policies
                    }
                    PolicyTarget::Route { route, .. } => of_routes.entry(route).or_default(),
                };
                policies.push(attached.clone());
            }
        }
        for route in &compiled.routes {
            let attached = self.route(route, of_routes.remove(&route.id).unwrap_or_default());
            attach(&mut services, &route.parents, &attached);
        }
        for route in &compiled.streams {
            let attached = self.stream(route);
            attach(&mut services, &route.parents, &attached);
        }
        services
    }

    fn encode(&mut self, model: &ModelResource) -> Arc<Resource> {
        let (name, version) = (model.name(), model.version());
        let known = self.before.and_then(|before| before.resources.get(name.as_str()));
        let resource = match known.filter(|known| *known.version == *version) {
            Some(known) => Arc::clone(known),
            None => Arc::new(encode(model, version)),
        };
        self.resources.insert(Arc::clone(&resource.name), Arc::clone(&resource));
        resource
    }

    fn route(&mut self, route: &Route, policies: Vec<AttachedPolicy>) -> AttachedRoute {
        let resource = self.encode(&ModelResource::Route(route.clone()));
        AttachedRoute {
            resource,
            namespace: route.id.name.namespace().into(),
            backends: backends(route).into(),
            policies: policies.into(),
        }
    }

    fn stream(&mut self, route: &StreamRoute) -> AttachedRoute {
        let mut backends: Vec<ServiceName> =
            route.backends.iter().filter_map(|backend| service_of(&backend.target)).collect();
        backends.sort_unstable();
        backends.dedup();
        AttachedRoute {
            resource: self.encode(&ModelResource::Stream(route.clone())),
            namespace: route.id.name.namespace().into(),
            backends: backends.into(),
            policies: Arc::new([]),
        }
    }
}

/// Puts a route beside each of its parents.
fn attach(services: &mut BTreeMap<ServiceName, Attached>, parents: &[ParentRef], route: &AttachedRoute) {
    let mut parents: Vec<&ServiceName> = parents.iter().map(|parent| &parent.service).collect();
    parents.sort_unstable();
    parents.dedup();
    for parent in parents {
        services.entry(parent.clone()).or_default().routes.push(route.clone());
    }
}

/// The service of a backend, if it has one.
fn service_of(target: &BackendTarget) -> Option<ServiceName> {
    match target {
        BackendTarget::Service { service, .. } => Some(service.clone()),
        BackendTarget::Invalid { .. } => None,
    }
}

/// The services that authorization policies have asked.
pub(super) fn asked_by(authorization: &Authorization) -> HashMap<Arc<str>, ServiceName> {
    let lists = authorization.workloads().map(|(_, policies)| policies);
    let all = lists.chain(authorization.namespaces().map(|(_, policies)| policies)).flatten();
    let asked = |policy: &Arc<AuthorizationPolicy>| {
        let service = service_of(&policy.external.as_ref()?.target)?;
        Some((Arc::from(policy.resource_name()), service))
    };
    all.filter_map(asked).collect()
}

/// Every service that requests of a route, copies of them or questions about them may go to.
fn backends(route: &Route) -> Vec<ServiceName> {
    let of_rules = route.rules.iter().flat_map(|rule| &rule.backends).map(|backend| &backend.target);
    let targets = of_rules.chain(route.mirrors()).chain(route.asked());
    let mut services: Vec<ServiceName> = targets.filter_map(service_of).collect();
    services.sort_unstable();
    services.dedup();
    services
}
