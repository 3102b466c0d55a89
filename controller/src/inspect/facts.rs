//! What objects say that traffic is told together with: who is behind a service, which pods are of which Deployment, what ports are
//! declared to speak, where mutual TLS is off. Taken over from compiling without a copy; what costs is found when it is first asked for.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use mesh_model::endpoint::Endpoints;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::service::{Protocol, Service};
use mesh_model::settings::MtlsMode;

use crate::api::{Pod, Workload};
use crate::compile::authentication::Authentications;
use crate::compile::canary::is_version;
use crate::compile::services::Services;
use crate::index::Index;
use crate::index::store::Store;
use crate::observe::members::{Member, Members};
use crate::observe::stats::group::Behind;

/// What objects say at one revision.
#[derive(Debug, Default)]
pub struct Facts {
    services: Services,
    authentication: Option<Arc<Authentications>>,
    pods: Store<Pod>,
    /// Workloads that are no pods.
    others: Store<Workload>,
    members: OnceLock<Members>,
}

/// Where mutual TLS is off: the object that says so, and the port if it says so of one only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// As in `AuthenticationPolicy shop/cart`; empty: the default of the mesh.
    pub source: String,
    /// `None`: of every port that is not named.
    pub port: Option<u16>,
}

impl Facts {
    /// Of what was read and compiled.
    pub fn new(index: &Index, services: Services, authentication: Arc<Authentications>) -> Self {
        Self {
            services,
            authentication: Some(authentication),
            pods: index.pods.store.clone(),
            others: index.workloads.store.clone(),
            members: OnceLock::new(),
        }
    }

    /// All workloads.
    pub fn members(&self) -> &Members {
        self.members.get_or_init(|| {
            let mut members = Members::default();
            for (key, entry) in self.pods.iter() {
                members.add(&key.namespace, &key.name, member(&key.name, &entry.object));
            }
            for (key, entry) in self.others.iter() {
                let (owner, account) = (key.name.to_string(), key.name.to_string());
                members.add(
                    &key.namespace,
                    &key.name,
                    Member { owner, account, sidecar: entry.object.spec.mesh },
                );
            }
            members
        })
    }

    /// Who is behind which service.
    pub fn behind(&self) -> Behind<'_> {
        let each = self.services().map(|(service, endpoints)| {
            ((service.name.0.namespace(), service.name.0.name()), workloads(endpoints))
        });
        each.collect()
    }

    /// Who is behind one service, which may be a version of one.
    pub fn behind_one(&self, service: &ServiceName) -> BTreeSet<(&str, &str)> {
        self.services.get(service).map(|(_, endpoints)| workloads(endpoints)).unwrap_or_default()
    }

    /// Services and who is behind them, in order; without versions, which are parts of others.
    pub fn services(&self) -> impl Iterator<Item = &(Service, Endpoints)> {
        self.services.values().filter(|(service, _)| !is_version(&service.name))
    }

    /// Ports of services and what they are declared to speak, in order.
    pub fn ports(&self) -> impl Iterator<Item = (&ServiceName, u16, Option<Protocol>)> {
        self.services().flat_map(|(service, _)| {
            service.ports.iter().map(move |port| (&service.name, port.port, port.protocol))
        })
    }

    /// Whether mutual TLS is off at a workload, at some port at least.
    pub fn disabled(&self, namespace: &str, workload: &str) -> Option<Disabled> {
        let name = WorkloadName::new(namespace, workload).ok()?;
        let said = self.authentication.as_ref()?.of_workload(&name);
        if said.mtls.mode == MtlsMode::Disabled {
            return Some(Disabled { source: said.mtls.source.clone(), port: None });
        }
        let (port, rule) = said.ports.iter().find(|(_, rule)| rule.mode == MtlsMode::Disabled)?;
        Some(Disabled { source: rule.source.clone(), port: Some(*port) })
    }

    /// Who lets plaintext in there, in words.
    pub fn open_by(&self, namespace: &str, workload: &str) -> Option<String> {
        let name = WorkloadName::new(namespace, workload).ok()?;
        let said = self.authentication.as_ref()?.of_workload(&name);
        let ports = said.ports.iter().map(|(port, rule)| (rule, Some(*port)));
        let all = ports.chain([(&said.mtls, None)]);
        let (rule, port) = all.min_by_key(|(rule, port)| (rule.mode.strictness(), port.is_some()))?;
        let at = port.map(|port| format!(" at port {port}")).unwrap_or_default();
        let source = if rule.source.is_empty() { "the default" } else { rule.source.as_str() };
        Some(format!("{}{at} by {source}", rule.mode.as_str()))
    }
}

fn workloads(endpoints: &Endpoints) -> BTreeSet<(&str, &str)> {
    let all = endpoints.ports.iter().flat_map(|port| &port.endpoints);
    let named = all.filter_map(|endpoint| endpoint.workload.as_ref());
    named.map(|workload| (workload.0.namespace(), workload.0.name())).collect()
}

fn member(name: &str, pod: &Pod) -> Member {
    Member { owner: pod.owner(name), account: pod.account().to_string(), sidecar: pod.injected() }
}
