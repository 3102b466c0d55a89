//! The Secret with the keys of tokens, which replicas share. Every write says what it replaces. It must not know what is in it.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};

use super::api::{ApiFailure, Cluster, ask};

/// Its name. Made empty by the installation.
const NAME: &str = "amime-ca-jwt";

/// Where the keys of tokens are.
pub(crate) struct JwtSecret {
    api: Api<Secret>,
    name: String,
}

/// The object as it was read; by default there was none.
#[derive(Default)]
pub(crate) struct SecretVersion(Option<Box<Secret>>);

impl JwtSecret {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let name = format!("Secret {}/{NAME}", cluster.namespace);
        Self { api: Api::namespaced(cluster.client.clone(), &cluster.namespace), name }
    }

    /// For people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What stands at `key`, if anything does.
    pub(crate) async fn read(&self, key: &str) -> Result<(Option<String>, SecretVersion), ApiFailure> {
        let found = ask(|| format!("read {}", self.name), self.api.get_opt(NAME)).await?.map(Box::new);
        let text = found.as_ref().and_then(|secret| {
            let bytes = &secret.data.as_ref()?.get(key)?.0;
            Some(String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.trim().is_empty())
        });
        Ok((text, SecretVersion(found)))
    }

    /// False: somebody else was faster.
    pub(crate) async fn write(
        &self,
        key: &str,
        text: &str,
        version: SecretVersion,
    ) -> Result<bool, ApiFailure> {
        let params = PostParams::default();
        let value = ByteString(text.to_owned().into_bytes());
        let written = if let Some(mut secret) = version.0 {
            secret.data.get_or_insert_default().insert(key.to_owned(), value);
            ask(|| format!("update {}", self.name), self.api.replace(NAME, &params, &secret)).await
        } else {
            let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
            let data = Some([(key.to_owned(), value)].into());
            let secret = Secret { metadata, data, ..Secret::default() };
            ask(|| format!("create {}", self.name), self.api.create(&params, &secret)).await
        };
        match written {
            Ok(_) => Ok(true),
            Err(ApiFailure::Conflict { .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}
