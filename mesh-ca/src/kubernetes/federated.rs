//! `FederatedTrustDomain`s of the cluster, as they are. It must not know what is in them.

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::Value;

use super::api::{ApiFailure, Cluster, ask};

/// More are not read.
const LIMIT: u32 = 500;

/// Where they are.
pub(crate) struct FederatedObjects(Api<DynamicObject>);

impl FederatedObjects {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let kind = GroupVersionKind::gvk("amime.io", "v1alpha1", "FederatedTrustDomain");
        let resource = ApiResource::from_gvk_with_plural(&kind, "federatedtrustdomains");
        Self(Api::all_with(cluster.client.clone(), &resource))
    }

    /// All of them; none where the cluster does not know the kind.
    pub(crate) async fn list(&self) -> Result<Vec<Value>, ApiFailure> {
        let params = ListParams::default().limit(LIMIT);
        let listed = async {
            match self.0.list(&params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
                Err(error) => Err(error),
                Ok(list) => Ok(list.items),
            }
        };
        let objects = ask(|| "list FederatedTrustDomains".to_owned(), listed).await?;
        Ok(objects.into_iter().filter_map(|object| serde_json::to_value(object).ok()).collect())
    }
}
