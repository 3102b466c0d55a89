//! What objects say about mutual TLS: who has a sidecar, which mode counts, who serves a Service. It must not know traffic.

use std::collections::{BTreeMap, BTreeSet};

use mesh_controller::api::ObjectKey;
use mesh_model::authentication::Authentication;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::settings::MtlsMode;

use super::super::explain::objects::Objects;

/// Of one workload.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) said: Authentication,
    pub(super) sidecar: Sidecar,
}

/// Whether somebody is there who could use mutual TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sidecar {
    There,
    None,
}

/// Of the mesh.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    members: BTreeMap<WorkloadName, Member>,
    services: BTreeMap<ServiceName, BTreeSet<WorkloadName>>,
}

impl Member {
    /// The mode that lets the most in, with its source and, if it counts at one port only, that port. The port of a request is not on
    /// record.
    pub(super) fn loosest(&self) -> (MtlsMode, &str, Option<u16>) {
        let rest = (self.said.mtls.mode, self.said.mtls.source.as_str(), None);
        let ports = self.said.ports.iter().map(|(port, rule)| (rule.mode, rule.source.as_str(), Some(*port)));
        ports.chain([rest]).min_by_key(|(mode, _, port)| (mode.strictness(), port.is_some())).unwrap_or(rest)
    }
}

impl Facts {
    /// As the controller compiles them.
    pub(super) fn of(objects: &Objects) -> Self {
        let compiled = &objects.compiled;
        let mut facts = Self::default();
        let workload = |key: &ObjectKey| Some(WorkloadName(key.model_name()?));
        let pods = objects.index.pods.store.iter().map(|(key, pod)| (key, pod.object.injected()));
        let others = objects.index.workloads.store.iter().map(|(key, one)| (key, one.object.spec.mesh));
        for (key, sidecar) in others.chain(pods) {
            let Some(name) = workload(key) else { continue };
            let said = Authentication::clone(compiled.authentication.of_workload(&name));
            let sidecar = if sidecar { Sidecar::There } else { Sidecar::None };
            facts.members.insert(name, Member { said, sidecar });
        }
        for (service, (_, endpoints)) in &compiled.services {
            let all = endpoints.ports.iter().flat_map(|port| &port.endpoints);
            let named = all.filter_map(|endpoint| endpoint.workload.clone()).collect();
            facts.services.insert(service.clone(), named);
        }
        facts
    }

    pub(super) fn member(&self, namespace: &str, workload: &str) -> Option<&Member> {
        self.members.get(&WorkloadName::new(namespace, workload).ok()?)
    }

    /// Who serves it; `None`: there is no such Service.
    pub(super) fn serving(&self, service: &ServiceName) -> Option<&BTreeSet<WorkloadName>> {
        self.services.get(service)
    }

    #[cfg(test)]
    pub(super) fn from_yaml(yaml: &str) -> Self {
        use mesh_controller::sources::state::{Contents, DirState};
        let file = (std::sync::Arc::from("f.yaml"), Contents::Bytes(yaml.as_bytes().to_vec()));
        let objects = Objects::of(DirState::default(), vec![file], "a test".to_owned()).unwrap();
        assert!(objects.problems.is_empty(), "{:?}", objects.problems);
        Self::of(&objects)
    }
}
