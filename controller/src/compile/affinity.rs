//! What a Service itself says about its clients: `sessionAffinity: ClientIP`, as a policy below all that users wrote. It must not know
//! endpoints.
//!
//! kube-proxy remembers per client which endpoint it took, for `timeoutSeconds`. A ring needs no memory: the same address leads to the
//! same endpoint while it is there, in every proxy and after every restart, so there is nothing that could time out.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service as KubeService;
use mesh_model::name::{Name, ServiceName};
use mesh_model::traffic::{
    Algorithm, Balancing, HashKey, PolicyTarget, SERVICE_PREFIX, TrafficPolicy, TrafficSettings,
};

use super::services::Services;
use crate::index::Index;

/// As where a TrafficPolicy says nothing.
const RING_SIZE: u32 = 1_024;

/// The policies of Services that ask for it.
pub fn compile(index: &Index, services: &Services) -> Vec<Arc<TrafficPolicy>> {
    let asks = index.services.store.iter().filter(|(_, entry)| is_asked(&entry.object));
    let policies = asks.filter_map(|(key, entry)| {
        let service = key.model_name().map(ServiceName).filter(|name| services.contains_key(name))?;
        let name = Name::new(&key.namespace, &format!("{SERVICE_PREFIX}{}", key.name)).ok()?;
        let algorithm =
            Algorithm::RingHash { key: HashKey::SourceAddress, ring_size: RING_SIZE, bounded_load: None };
        let balancing = Balancing { algorithm, ..Balancing::default() };
        Some(Arc::new(TrafficPolicy {
            name,
            targets: vec![PolicyTarget::Service { service, port: None }],
            created: 0,
            origin: entry.origin.to_string(),
            settings: TrafficSettings { balancing: Some(balancing), ..TrafficSettings::default() },
        }))
    });
    policies.collect()
}

fn is_asked(service: &KubeService) -> bool {
    let affinity = service.spec.as_ref().and_then(|spec| spec.session_affinity.as_deref());
    affinity == Some("ClientIP")
}
