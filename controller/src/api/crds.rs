//! The CRDs of our kinds as files. It must not know where they are written.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::{
    AuthenticationPolicy, AuthorizationPolicy, Canary, ExternalService, FederatedTrustDomain, MeshConfig,
    TrafficPolicy, Workload,
};

/// Why a CRD could not be written as text.
#[derive(Debug, thiserror::Error)]
#[error("CRD {name} cannot be written as YAML")]
pub struct CrdError {
    name: String,
    #[source]
    source: serde_saphyr::SerializeError,
}

/// Every CRD: its file name and its YAML.
pub fn crds() -> Result<Vec<(String, String)>, CrdError> {
    [
        MeshConfig::crd(),
        Workload::crd(),
        ExternalService::crd(),
        FederatedTrustDomain::crd(),
        TrafficPolicy::crd(),
        AuthenticationPolicy::crd(),
        AuthorizationPolicy::crd(),
        Canary::crd(),
    ]
    .into_iter()
    .map(|crd| file(&crd))
    .collect()
}

fn file(crd: &CustomResourceDefinition) -> Result<(String, String), CrdError> {
    let name = crd.metadata.name.clone().unwrap_or_default();
    let yaml = serde_saphyr::to_string(crd).map_err(|source| CrdError { name: name.clone(), source })?;
    let head =
        "# Generated from controller/src/api by `mesh-controller crds --out deploy/crds`. Do not edit.\n";
    Ok((format!("{name}.yaml"), format!("{head}{yaml}")))
}
