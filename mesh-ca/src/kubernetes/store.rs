//! The Secret that keeps root and issuer for all replicas. Every write says what it replaces, so that of two replicas one is first and
//! the other one reads. It must not know what keys are good for.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};

use super::api::{ApiFailure, Cluster, ask};
use crate::authority::{AuthorityError, BadKeys, Keys};

/// Its name.
const NAME: &str = "amime-ca-issuer";
/// Its keys, called as the files of a state directory.
const ROOT_CERT: &str = "root.pem";
const ROOT_KEY: &str = "root.key";
const ISSUER: &str = "issuer.pem";

pub(super) struct Store {
    api: Api<Secret>,
    name: String,
}

/// What there is.
pub(super) enum Found {
    /// No such Secret.
    Nothing,
    /// One without any of the keys: somebody made room.
    Empty(Box<Secret>),
    Keys(Held),
}

/// Keys, and the object that they are in.
pub(super) struct Held {
    pub(super) keys: Keys,
    secret: Box<Secret>,
}

/// Why the CA has no keys.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// What is in the Secret.
    #[error(
        "{secret} cannot be used; restore it from a backup. Only if it is lost: delete it and restart mesh-ca, which makes a new root, and then restart every workload"
    )]
    Broken {
        /// Which Secret.
        secret: String,
        /// What is wrong.
        #[source]
        why: BadKeys,
    },
    /// No keys could be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl Store {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let name = format!("Secret {}/{NAME}", cluster.namespace);
        Self { api: Api::namespaced(cluster.client.clone(), &cluster.namespace), name }
    }

    /// For people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn broken(&self, why: BadKeys) -> StoreError {
        StoreError::Broken { secret: self.name.clone(), why }
    }

    pub(super) async fn read(&self) -> Result<Found, StoreError> {
        let found = ask(|| format!("read {}", self.name), self.api.get_opt(NAME)).await?;
        let Some(secret) = found.map(Box::new) else { return Ok(Found::Nothing) };
        let text = |key: &str| {
            let bytes = &secret.data.as_ref()?.get(key)?.0;
            Some(String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.trim().is_empty())
        };
        let missing = |key: &str| format!("key `{key}` is missing");
        let keys = match (text(ROOT_CERT), text(ROOT_KEY), text(ISSUER)) {
            (None, None, None) => return Ok(Found::Empty(secret)),
            (Some(root_cert), Some(root_key), Some(issuer)) => Keys { root_cert, root_key, issuer },
            (None, ..) => return Err(self.broken(BadKeys::Root(missing(ROOT_CERT)))),
            (_, None, _) => return Err(self.broken(BadKeys::Root(missing(ROOT_KEY)))),
            (.., None) => return Err(self.broken(BadKeys::Issuer(missing(ISSUER)))),
        };
        Ok(Found::Keys(Held { keys, secret }))
    }

    /// Puts the first keys there. False: somebody else did.
    pub(super) async fn begin(&self, found: &Found, keys: &Keys) -> Result<bool, StoreError> {
        let params = PostParams::default();
        let written = if let Found::Empty(secret) = found {
            let secret = Secret { data: Some(data(keys)), ..(**secret).clone() };
            let call = self.api.replace(NAME, &params, &secret);
            ask(|| format!("update {}", self.name), call).await
        } else {
            let labels = [
                ("app.kubernetes.io/name", "mesh-ca"),
                ("app.kubernetes.io/part-of", "amime"),
                ("app.kubernetes.io/managed-by", "mesh-ca"),
            ];
            let metadata = ObjectMeta {
                name: Some(NAME.to_owned()),
                labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
                ..ObjectMeta::default()
            };
            let secret = Secret { metadata, data: Some(data(keys)), ..Secret::default() };
            let call = self.api.create(&params, &secret);
            ask(|| format!("create {}", self.name), call).await
        };
        won(written)
    }

    /// Puts another issuer there. False: the Secret is not as it was read.
    pub(super) async fn replace_issuer(&self, held: &Held, issuer: &str) -> Result<bool, StoreError> {
        let keys = Keys { issuer: issuer.to_owned(), ..held.keys.clone() };
        let mut secret = (*held.secret).clone();
        secret.data.get_or_insert_default().extend(data(&keys));
        let params = PostParams::default();
        let call = self.api.replace(NAME, &params, &secret);
        won(ask(|| format!("update {}", self.name), call).await)
    }
}

fn won(written: Result<Secret, ApiFailure>) -> Result<bool, StoreError> {
    match written {
        Ok(_) => Ok(true),
        Err(ApiFailure::Conflict { .. }) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

fn data(keys: &Keys) -> BTreeMap<String, ByteString> {
    [(ROOT_CERT, &keys.root_cert), (ROOT_KEY, &keys.root_key), (ISSUER, &keys.issuer)]
        .map(|(key, text)| (key.to_owned(), ByteString(text.clone().into_bytes())))
        .into()
}
