//! From the index to resources of the model and to what is to be said about each object. Pure: the same index gives the same
//! result. It must not know streams, files or the wire.
//!
//! [`settings`] fills in the MeshConfig's defaults, [`authentication`] says whom each workload lets in, [`services`] and [`endpoints`]
//! follow selectors and slices, [`rules`] are what follows of routes, releases and policies: [`routes`] resolves parents and backends, [`canary`] lays releases over their weights, [`streams`] those of connections, [`policies`] attaches policies
//! and settles their conflicts, [`affinity`] adds what Services say themselves, [`authorization`] finds whom
//! policies protect, [`own`] turns endpoints round: what
//! each workload serves, and [`addresses`] finds what each IP address is, [`names`] what host names are. [`incremental`] keeps the result
//! and brings it to what it is after a change.

pub mod addresses;
pub mod affinity;
pub mod authentication;
pub mod authorization;
pub mod canary;
pub mod endpoints;
mod federation;
pub mod incremental;
pub mod names;
pub mod own;
pub mod policies;
pub mod routes;
pub mod rules;
pub mod services;
pub mod settings;
pub mod streams;
mod targets;

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_model::endpoint::Transport;
use mesh_model::external::ExternalService;
use mesh_model::name::{Name, WorkloadName};
use mesh_model::route::Route;
use mesh_model::settings::{MeshSettings, MtlsMode};
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use mesh_model::stream::StreamRoute;
use mesh_model::traffic::TrafficPolicy;

use self::addresses::{Addresses, Residents};
use self::authentication::Authentications;
use self::authorization::Authorization;
use self::canary::Release;
use self::names::Names;
use self::own::Own;
use self::services::Services;
use crate::api::ObjectKey;
use crate::index::Index;
use crate::shared::SharedMap;
use crate::status::{Condition, ObjectReport};

/// Everything that proxies can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// Settings of the mesh.
    pub mesh: MeshSettings,
    /// Services with their endpoints.
    pub services: Services,
    /// Routes, ordered by id.
    pub routes: Vec<Arc<Route>>,
    /// Releases, ordered by name; what follows from them lies over `routes`.
    pub canaries: Vec<Release>,
    /// Routes of connections, ordered by id.
    pub streams: Vec<Arc<StreamRoute>>,
    /// Policies that count somewhere, ordered by name, each with the targets where it does.
    pub policies: Vec<Arc<TrafficPolicy>>,
    /// What policies promise where they count.
    pub promises: Vec<policies::Promise>,
    /// Whom each workload lets in unauthenticated.
    pub authentication: Arc<Authentications>,
    /// Who may call which workload.
    pub authorization: Arc<Authorization>,
    /// What each workload serves; those that serve nothing are not there.
    pub own: Own,
    /// What each IP address is.
    pub addresses: Addresses,
    /// Hosts outside the mesh.
    pub externals: BTreeMap<Name, Arc<ExternalService>>,
    /// What host names stand for that are no Service's.
    pub names: Arc<Names>,
    /// What is to be said about each object.
    pub objects: SharedMap<ObjectKey, ObjectReport>,
}

/// What decides how a member is spoken to.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    /// Of every identity.
    pub domain: &'a TrustDomain,
    /// Where mutual TLS is disabled.
    pub authentication: &'a Authentications,
}

impl Trust<'_> {
    /// How a member with that service account is spoken to at a port, or at those that no policy names: it shows its identity, except
    /// where mutual TLS is disabled.
    fn transport(
        self,
        workload: &WorkloadName,
        account: &Arc<str>,
        port: Option<u16>,
        foreign: Option<TrustDomain>,
    ) -> Transport {
        let said = self.authentication.of_workload(workload);
        if port.map_or(said.mtls.mode, |port| said.mode(port)) == MtlsMode::Disabled {
            return Transport::Plain;
        }
        SpiffeId::shared(
            foreign.unwrap_or_else(|| self.domain.clone()),
            workload.0.shared_namespace(),
            account,
        )
        .map_or(Transport::Plain, Transport::Mesh)
    }
}

/// What compiling adds up for one object.
#[derive(Debug, Default)]
pub struct Reports {
    objects: BTreeMap<ObjectKey, ObjectReport>,
}

impl Reports {
    /// The object is there; conditions follow.
    pub fn object(&mut self, key: &ObjectKey, origin: &Arc<str>, resource: Option<String>) {
        let report = self.objects.entry(key.clone()).or_default();
        report.origin = Arc::clone(origin);
        report.resource = resource;
    }

    /// It goes to proxies as this resource.
    fn carried_by(&mut self, key: &ObjectKey, resource: String) {
        self.objects.entry(key.clone()).or_default().resource = Some(resource);
    }

    /// Something is to be said about it.
    pub fn say(&mut self, key: &ObjectKey, condition: Condition) {
        self.objects.entry(key.clone()).or_default().conditions.push(condition);
    }
}

/// Compiles everything. `trust_domain` is the certificate authority's.
pub fn compile(index: &Index, trust_domain: &TrustDomain) -> Compiled {
    whole(index, trust_domain).0
}

/// Compiles everything; says also who is at each address, which what is changed later asks for.
fn whole(index: &Index, trust_domain: &TrustDomain) -> (Compiled, Residents) {
    let mut reports = Reports::default();
    let mesh = settings::compile(index, trust_domain, &mut reports);
    let authentication = authentication::compile(index, &mesh, &mut reports);
    let trust = Trust { domain: &mesh.trust_domain, authentication: &authentication };
    let mut services = services::compile(index, trust, &mut reports);
    let (externals, names) = names::compile(index, &mut services, &mut reports);
    let names = Arc::new(names);
    let rules = rules::compile(index, &services, &mut reports);
    let authorization = authorization::compile(index, &services, &mut reports);
    for (key, entry) in index.namespaces.store.iter() {
        reports.object(key, &entry.origin, None);
    }
    for (key, entry) in index.workloads.store.iter() {
        reports.object(key, &entry.origin, None);
    }
    federation::compile(index, trust_domain, &mut reports);
    let own = own::compile(&services, &mut reports);
    let (addresses, residents) = addresses::compile(index, trust, &services, &mut reports);
    services.append(&rules.versions);
    let compiled = Compiled {
        mesh,
        services,
        routes: rules.routes,
        canaries: rules.canaries,
        streams: rules.streams,
        policies: rules.policies,
        promises: rules.promises,
        authentication: Arc::new(authentication),
        authorization: Arc::new(authorization),
        own,
        addresses,
        externals,
        names,
        objects: reports.objects.into_iter().collect(),
    };
    (compiled, residents)
}

#[cfg(test)]
mod tests;
