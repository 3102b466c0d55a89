//! The ConfigMap that tells members which roots to trust. All replicas write the same, so that it does not matter which one does. It
//! must not know keys.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};

use super::api::{ApiFailure, Cluster, ask, labelled};

/// Its name.
const NAME: &str = "amime-ca-roots";
/// Its key.
const KEY: &str = "roots.pem";

pub(super) struct Roots {
    api: Api<ConfigMap>,
    name: String,
}

impl Roots {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let name = format!("ConfigMap {}/{NAME}", cluster.namespace);
        Self { api: Api::namespaced(cluster.client.clone(), &cluster.namespace), name }
    }

    /// Makes it say `pem`; what else is in it stays. Nothing is written when it does already.
    pub(super) async fn publish(&self, pem: &str) -> Result<(), ApiFailure> {
        let found = ask(|| format!("read {}", self.name), self.api.get_opt(NAME)).await?;
        let params = PostParams::default();
        let written = match found {
            None => {
                let metadata = labelled(NAME);
                let data = Some(BTreeMap::from([(KEY.to_owned(), pem.to_owned())]));
                let map = ConfigMap { metadata, data, ..ConfigMap::default() };
                let call = self.api.create(&params, &map);
                ask(|| format!("create {}", self.name), call).await
            }
            Some(map) if map.data.as_ref().and_then(|data| data.get(KEY)).is_some_and(|held| held == pem) => {
                return Ok(());
            }
            Some(mut map) => {
                map.data.get_or_insert_default().insert(KEY.to_owned(), pem.to_owned());
                // With its resourceVersion: what others wrote meanwhile is not lost.
                let call = self.api.replace(NAME, &params, &map);
                ask(|| format!("update {}", self.name), call).await
            }
        };
        match written {
            Ok(_) => {
                tracing::info!(object = self.name, "roots published");
                Ok(())
            }
            // Another replica wrote it; the next look sees whether that is the same.
            Err(ApiFailure::Conflict { .. }) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}
