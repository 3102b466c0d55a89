//! Pods, as far as the mesh reads them: who they are, where they are, and whether a sidecar is in them. It must not know
//! Services; what is written of a pod beside this is skipped when it is read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

/// The label of a pod that has a sidecar of the mesh, with the value `true`; injection sets it.
pub const INJECTED_LABEL: &str = "amime.io/injected";

/// Pods set this label to the hash in the name of their ReplicaSet.
const HASH_LABEL: &str = "pod-template-hash";

/// A pod. There are very many, and what they say is mostly what others of their Deployment say too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct Pod {
    template: Arc<Template>,
    /// Sorted.
    addresses: Box<[IpAddr]>,
}

/// What pods have from what made them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Template {
    labels: BTreeMap<String, String>,
    account: Arc<str>,
    host_network: bool,
    /// Kind and name.
    controller: Option<(Box<str>, Box<str>)>,
}

impl Pod {
    /// Its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.template.labels
    }

    /// Its service account.
    pub fn account(&self) -> &Arc<str> {
        &self.template.account
    }

    /// Whether a sidecar of the mesh is in it.
    pub fn injected(&self) -> bool {
        let label = self.template.labels.get(INJECTED_LABEL);
        label.is_some_and(|value| value == "true") && !self.template.host_network
    }

    /// The Deployment that it is of, else what else made it.
    pub fn owner(&self, name: &str) -> String {
        let hash = self.template.labels.get(HASH_LABEL);
        let controller = self.template.controller.as_ref().map(|(kind, name)| (&**kind, &**name));
        owner_of_pod(name, controller, hash.map(String::as_str))
    }

    /// Addresses that are this pod's and nobody else's: none once it has ended, since they may be given to another one, and none
    /// where it has those of its node.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Takes over what `same` gives for what it has from what made it.
    pub(crate) fn share(&mut self, same: impl FnOnce(&Arc<Template>) -> Arc<Template>) {
        self.template = same(&self.template);
    }
}

/// A pod as it is written.
#[derive(Debug, Deserialize)]
pub struct Written {
    /// Name, namespace, labels.
    #[serde(default)]
    pub metadata: WrittenMeta,
    #[serde(default)]
    spec: WrittenSpec,
    #[serde(default)]
    status: WrittenStatus,
}

/// What is read of an object's metadata.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WrittenMeta {
    /// Its name.
    pub name: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Changes with every write.
    #[serde(default)]
    pub resource_version: String,
    /// What it can be selected by.
    #[serde(default, deserialize_with = "or_none")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_none")]
    owner_references: Vec<Owner>,
}

#[derive(Debug, Deserialize)]
struct Owner {
    kind: String,
    name: String,
    #[serde(default)]
    controller: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WrittenSpec {
    /// Absent: `default`.
    service_account_name: Option<String>,
    /// Whether it has the addresses of its node.
    host_network: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WrittenStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    phase: Option<String>,
    /// Its first address.
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    /// All of its addresses.
    #[serde(rename = "podIPs")]
    pod_ips: Vec<WrittenIp>,
}

#[derive(Debug, Deserialize)]
struct WrittenIp {
    ip: String,
}

/// Kubernetes writes `null` for what is empty in some places.
fn or_none<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl From<Written> for Pod {
    fn from(written: Written) -> Self {
        let Written { metadata, spec, status } = written;
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let all = status.pod_ips.iter().map(|ip| ip.ip.as_str()).chain(status.pod_ip.as_deref());
        let own = all.filter(|_| !ended && !spec.host_network);
        let mut addresses: Vec<IpAddr> = own.filter_map(|ip| ip.parse().ok()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let account = spec.service_account_name.as_deref().filter(|name| !name.is_empty());
        let controller = metadata.owner_references.into_iter().find(|owner| owner.controller == Some(true));
        let template = Template {
            labels: metadata.labels,
            account: account.unwrap_or("default").into(),
            host_network: spec.host_network,
            controller: controller.map(|owner| (owner.kind.into(), owner.name.into())),
        };
        Self { template: Arc::new(template), addresses: addresses.into() }
    }
}

/// The Deployment of a pod by what the pod says: the name of its ReplicaSet without the hash, or whatever else owns it.
fn owner_of_pod(name: &str, owner: Option<(&str, &str)>, hash: Option<&str>) -> String {
    let set = match owner {
        Some(("ReplicaSet", set)) => set,
        Some((_, other)) => return other.to_owned(),
        // A pod may not say whose it is; the names that a ReplicaSet gives do.
        None => match (hash, name.rsplit_once('-')) {
            (Some(_), Some((set, _))) => set,
            _ => return name.to_owned(),
        },
    };
    let deployment = hash.and_then(|hash| set.strip_suffix(hash)).and_then(|rest| rest.strip_suffix('-'));
    deployment.unwrap_or(set).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: serde_json::Value) -> Pod {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_pod_says_as_whom_and_where_it_runs() {
        let web = pod(serde_json::json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": {"amime.io/injected": "true"}},
            "spec": {"serviceAccountName": "frontend"},
            "status": {"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]},
        }));
        assert_eq!((&**web.account(), web.injected()), ("frontend", true));
        assert_eq!(web.addresses(), ["10.0.0.7".parse::<IpAddr>().unwrap(), "fd00::7".parse().unwrap()]);
    }

    #[test]
    fn an_address_belongs_to_a_pod_while_it_runs_and_has_its_own() {
        for (case, phase, host_network, addresses) in [
            ("pending, but has its address already", "Pending", false, 1),
            ("runs", "Running", false, 1),
            ("a Job that is done: its address may be another pod's by now", "Succeeded", false, 0),
            ("failed", "Failed", false, 0),
            ("the address is the node's", "Running", true, 0),
        ] {
            let it = pod(serde_json::json!({
                "metadata": {"labels": {"amime.io/injected": "true"}},
                "spec": {"hostNetwork": host_network},
                "status": {"phase": phase, "podIP": "10.0.0.7"},
            }));
            assert_eq!(it.addresses().len(), addresses, "{case}");
            assert_eq!(it.injected(), !host_network, "{case}");
            assert_eq!(&**it.account(), "default", "{case}");
        }
    }

    #[test]
    fn a_pod_belongs_to_what_made_it() {
        for (name, owner, hash, told) in [
            ("web-7d9f8-abcde", Some(("ReplicaSet", "web-7d9f8")), Some("7d9f8"), "web"),
            ("web-7d9f8-abcde", None, Some("7d9f8"), "web"),
            ("db-0", Some(("StatefulSet", "db")), None, "db"),
            ("set-abcde", Some(("ReplicaSet", "set")), None, "set"),
            ("alone", None, None, "alone"),
            ("web-1-x", Some(("ReplicaSet", "other-2")), Some("1"), "other-2"),
        ] {
            assert_eq!(owner_of_pod(name, owner, hash), told, "{name}");
        }
    }
}
