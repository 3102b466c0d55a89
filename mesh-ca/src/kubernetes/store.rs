//! What replicas share: a Secret with the vault, and a ConfigMap in which each of them tells what it knows of members. Every write says
//! what it replaces, so that of two replicas one is first and the other one reads. It must not know what keys are good for.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, PostParams};

use super::api::{ApiFailure, Cluster, ask, labelled};
use super::roots::Roots;
use crate::members::View;
use crate::store::{Found, Held, StoreError, Version};
use crate::vault::{self, BadKeys, Vault};

/// The Secret.
const NAME: &str = "amime-ca-issuer";
/// The ConfigMap.
const MEMBERS: &str = "amime-ca-members";
/// Others write their views at the same time, but not for long.
const ATTEMPTS: usize = 8;
const OTHERWISE: &str =
    "delete it and restart mesh-ca, which makes a new root, and then restart every workload";

pub(crate) struct Shared {
    secrets: Api<Secret>,
    members: Api<ConfigMap>,
    roots: Roots,
    place: String,
}

impl Shared {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let (client, namespace) = (&cluster.client, &cluster.namespace);
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            members: Api::namespaced(client.clone(), namespace),
            roots: Roots::new(cluster),
            place: format!("Secret {namespace}/{NAME}"),
        }
    }

    /// For people.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn broken(&self, why: BadKeys) -> StoreError {
        StoreError::Broken { place: self.place.clone(), otherwise: OTHERWISE, why }
    }

    pub(crate) async fn read(&self, leaf_life: u64, now: u64) -> Result<Found, StoreError> {
        let found = ask(|| format!("read {}", self.place), self.secrets.get_opt(NAME)).await?;
        let Some(secret) = found.map(Box::new) else { return Ok(Found::Nothing(Version::Object(None))) };
        let text = |bytes: &ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
        let entries = secret.data.iter().flatten().map(|(name, bytes)| (name.clone(), text(bytes))).collect();
        let vault = Vault::from_entries(&entries, leaf_life, now).map_err(|why| self.broken(why))?;
        let version = Version::Object(Some(secret));
        Ok(match vault {
            Some(vault) => Found::Held(Held { vault, version }),
            None => Found::Nothing(version),
        })
    }

    /// Other keys of the Secret, and its labels, stay. False: it is not as it was read.
    pub(crate) async fn write(&self, object: Option<&Secret>, vault: &Vault) -> Result<bool, StoreError> {
        let params = PostParams::default();
        let mut secret = match object {
            Some(object) => object.clone(),
            None => Secret { metadata: labelled(NAME), ..Secret::default() },
        };
        let data = secret.data.get_or_insert_default();
        data.retain(|name, _| !vault::NAMES.contains(&name.as_str()));
        let entries = vault.entries().into_iter();
        data.extend(entries.map(|(name, text)| (name, ByteString(text.into_bytes()))));
        let written = if object.is_some() {
            let call = self.secrets.replace(NAME, &params, &secret);
            ask(|| format!("update {}", self.place), call).await
        } else {
            let call = self.secrets.create(&params, &secret);
            ask(|| format!("create {}", self.place), call).await
        };
        match written {
            Ok(_) => Ok(true),
            Err(ApiFailure::Conflict { .. }) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    pub(crate) async fn publish(&self, bundle: &str) -> Result<(), StoreError> {
        Ok(self.roots.publish(bundle).await?)
    }

    pub(crate) async fn views(&self) -> Result<Vec<View>, StoreError> {
        let found = ask(|| format!("read ConfigMap {MEMBERS}"), self.members.get_opt(MEMBERS)).await?;
        Ok(found.map(|map| views_of(&map)).unwrap_or_default())
    }

    pub(crate) async fn share(&self, view: &View, leaf_life: u64, now: u64) -> Result<Vec<View>, StoreError> {
        let text = serde_json::to_string(view).map_err(|error| StoreError::Views(error.to_string()))?;
        let params = PostParams::default();
        for _ in 0..ATTEMPTS {
            let found = ask(|| format!("read ConfigMap {MEMBERS}"), self.members.get_opt(MEMBERS)).await?;
            let is_new = found.is_none();
            let mut map =
                found.unwrap_or_else(|| ConfigMap { metadata: labelled(MEMBERS), ..ConfigMap::default() });
            let mut views = views_of(&map);
            views.retain(|other| other.replica != view.replica && !other.is_over(leaf_life, now));
            views.push(view.clone());
            let data = map.data.get_or_insert_default();
            data.insert(view.replica.clone(), text.clone());
            // Also what cannot be read: nobody can do anything with it.
            data.retain(|replica, _| views.iter().any(|view| view.replica == *replica));
            let written = if is_new {
                let call = self.members.create(&params, &map);
                ask(|| format!("create ConfigMap {MEMBERS}"), call).await
            } else {
                let call = self.members.replace(MEMBERS, &params, &map);
                ask(|| format!("update ConfigMap {MEMBERS}"), call).await
            };
            match written {
                Ok(_) => return Ok(views),
                Err(ApiFailure::Conflict { .. }) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(StoreError::Views(format!("ConfigMap {MEMBERS} changed {ATTEMPTS} times meanwhile")))
    }
}

/// A view that cannot be read is dropped: knowing less waits longer at most when its replica writes a new one, which it does within seconds.
fn views_of(map: &ConfigMap) -> Vec<View> {
    map.data.iter().flatten().filter_map(|(_, text)| serde_json::from_str(text).ok()).collect()
}
