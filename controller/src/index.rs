//! The objects in force, found by name and by what refers to them. Synchronous: a change is applied when the call returns.
//! It must not know files (`sources`) or what objects make together (`compile`).

pub mod dirty;
pub mod keys;
pub mod namespaces;
pub mod pods;
pub mod policies;
pub mod routes;
pub mod services;
pub mod settings;
pub mod slices;
pub mod store;
pub mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::name::WorkloadName;

use crate::api::{Kind, Object, ObjectKey};

/// What happened to one object.
#[derive(Debug, Clone)]
pub enum Change {
    /// It is new or different.
    Apply {
        /// Which object.
        key: ObjectKey,
        /// Its new form.
        object: Object,
        /// Where it was read: `PATH:LINE`.
        origin: Arc<str>,
    },
    /// It is no more.
    Delete {
        /// Which object.
        key: ObjectKey,
    },
}

impl Change {
    /// Which object it is about.
    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::Apply { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Every object in force, and how new that is.
#[derive(Debug, Default)]
pub struct Index {
    /// Services.
    pub services: services::Services,
    /// EndpointSlices.
    pub slices: slices::Slices,
    /// Namespaces.
    pub namespaces: namespaces::Namespaces,
    /// Routes of every kind.
    pub routes: routes::Routes,
    /// The MeshConfig.
    pub settings: settings::Settings,
    /// Workloads.
    pub workloads: workloads::Workloads,
    /// Policies of every kind.
    pub policies: policies::Policies,
    /// ExternalServices.
    pub externals: store::Store<crate::api::ExternalService>,
    /// FederatedTrustDomains: for their conditions; the authority follows them.
    pub federated: store::Store<crate::api::FederatedTrustDomain>,
    /// Canaries.
    pub canaries: store::Store<crate::api::Canary>,
    /// Pods.
    pub pods: pods::Pods,
    /// GatewayClasses.
    pub gateway_classes: store::Store<crate::api::Announcement>,
    /// XMeshes.
    pub meshes: store::Store<crate::api::Announcement>,
    /// Objects that are there and of which nothing is in force, since they cannot be read.
    pub refused: BTreeSet<ObjectKey>,
    /// Keys that were fetched.
    pub keys: Arc<keys::FetchedKeys>,
    /// States of releases that this process keeps itself; without, they are in the status of the objects.
    pub releases: Option<Arc<BTreeMap<ObjectKey, mesh_release::state::State>>>,
    dirty: dirty::Dirty,
    revision: u64,
    time_ms: u64,
}

impl Index {
    /// Applies the changes that a source gave at one moment, and counts one revision.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>, time_ms: u64) {
        for change in changes {
            match change {
                Change::Apply { key, object, origin } => {
                    self.note(&key);
                    self.put(&key, object, &origin);
                    self.note(&key);
                }
                Change::Delete { key } => {
                    self.note(&key);
                    self.delete(&key);
                    self.note(&key);
                }
            }
        }
        self.revision += 1;
        self.time_ms = self.time_ms.max(time_ms);
    }

    /// Grows by one with every [`Index::apply`]; 0 before the first.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When the source gave that revision, Unix milliseconds.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// What has changed since this was last called.
    pub fn take_dirty(&mut self) -> dirty::Dirty {
        std::mem::take(&mut self.dirty)
    }

    /// Notes whom an object concerns as it is now: before a change and after it.
    fn note(&mut self, key: &ObjectKey) {
        match key.kind {
            Kind::EndpointSlice => {
                let service = self.slices.find(key).and_then(|(_, service)| service);
                self.dirty.services.extend(service.cloned());
                self.dirty.slices.insert(key.clone());
            }
            Kind::Pod => self.note_pod(key),
            Kind::HttpRoute
            | Kind::GrpcRoute
            | Kind::TcpRoute
            | Kind::TlsRoute
            | Kind::UdpRoute
            | Kind::TrafficPolicy
            | Kind::XBackendTrafficPolicy
            | Kind::Canary => {
                self.dirty.stages.insert(dirty::Stage::Rules);
            }
            Kind::AuthorizationPolicy => {
                self.dirty.stages.insert(dirty::Stage::Authorization);
            }
            Kind::Service
            | Kind::Namespace
            | Kind::MeshConfig
            | Kind::Workload
            | Kind::ExternalService
            | Kind::FederatedTrustDomain
            | Kind::AuthenticationPolicy
            | Kind::GatewayClass
            | Kind::XMesh => self.dirty.others = dirty::Others::Changed,
        }
    }

    fn note_pod(&mut self, key: &ObjectKey) {
        // Where there is none at all, slices that name pods are read in another way.
        if self.pods.store.is_empty() {
            self.dirty.others = dirty::Others::Changed;
        }
        let Some(name) = key.model_name().map(WorkloadName) else {
            self.dirty.others = dirty::Others::Changed;
            return;
        };
        self.dirty.services.extend(self.slices.naming(&name).cloned());
        let addresses = self.dirty.pods.entry(name).or_default();
        if let Some(entry) = self.pods.store.find(key) {
            addresses.extend(entry.object.addresses().iter().map(IpAddr::to_canonical));
        }
    }

    fn put(&mut self, key: &ObjectKey, object: Object, origin: &Arc<str>) {
        match object {
            Object::Service(object) => self.services.apply(key, object, origin),
            Object::EndpointSlice(object) => self.slices.apply(key, object, origin),
            Object::Namespace(object) => self.namespaces.store.apply(key, object, origin),
            Object::HttpRoute(object) => self.routes.http.apply(key, object, origin),
            Object::GrpcRoute(object) => self.routes.grpc.apply(key, object, origin),
            Object::TcpRoute(object) => self.routes.tcp.apply(key, object, origin),
            Object::TlsRoute(object) => self.routes.tls.apply(key, object, origin),
            Object::UdpRoute(object) => self.routes.udp.apply(key, object, origin),
            Object::MeshConfig(object) => self.settings.store.apply(key, object, origin),
            Object::Workload(object) => self.workloads.store.apply(key, object, origin),
            Object::ExternalService(object) => self.externals.apply(key, object, origin),
            Object::FederatedTrustDomain(object) => self.federated.apply(key, object, origin),
            Object::TrafficPolicy(object) => self.policies.traffic.apply(key, object, origin),
            Object::AuthorizationPolicy(object) => self.policies.authorization.apply(key, object, origin),
            Object::XBackendTrafficPolicy(object) => self.policies.backend.apply(key, object, origin),
            Object::AuthenticationPolicy(object) => self.policies.authentication.apply(key, object, origin),
            Object::Canary(object) => self.canaries.apply(key, object, origin),
            Object::Pod(object) => self.pods.store.apply(key, object, origin),
            Object::GatewayClass(object) => self.gateway_classes.apply(key, object, origin),
            Object::XMesh(object) => self.meshes.apply(key, object, origin),
        }
    }

    fn delete(&mut self, key: &ObjectKey) {
        match key.kind {
            Kind::Service => self.services.delete(key, |key| self.policies.names_service(key)),
            Kind::EndpointSlice => self.slices.delete(key),
            Kind::Namespace => self.namespaces.store.delete(key),
            Kind::HttpRoute => self.routes.http.delete(key),
            Kind::GrpcRoute => self.routes.grpc.delete(key),
            Kind::TcpRoute => self.routes.tcp.delete(key),
            Kind::TlsRoute => self.routes.tls.delete(key),
            Kind::UdpRoute => self.routes.udp.delete(key),
            Kind::MeshConfig => self.settings.store.delete(key),
            Kind::Workload => self.workloads.store.delete(key),
            Kind::ExternalService => self.externals.delete(key),
            Kind::FederatedTrustDomain => self.federated.delete(key),
            Kind::TrafficPolicy => self.policies.traffic.delete(key),
            Kind::AuthorizationPolicy => self.policies.authorization.delete(key),
            Kind::XBackendTrafficPolicy => self.policies.backend.delete(key),
            Kind::AuthenticationPolicy => self.policies.authentication.delete(key),
            Kind::Canary => self.canaries.delete(key),
            Kind::Pod => self.pods.store.delete(key),
            Kind::GatewayClass => self.gateway_classes.delete(key),
            Kind::XMesh => self.meshes.delete(key),
        }
    }
}

#[cfg(test)]
mod tests;
