//! Pods, as far as the mesh reads them: who they are, where they are, and whether a sidecar is in them. It must not know
//! Services; what is written of a pod beside this is skipped when it is read.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// The label of a pod that has a sidecar of the mesh, with the value `true`; injection sets it.
pub const INJECTED_LABEL: &str = "amime.io/injected";

/// Pods set this label to the hash in the name of their ReplicaSet.
const HASH_LABEL: &str = "pod-template-hash";

/// A pod.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Pod {
    /// Name, namespace, labels.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// As whom it runs.
    #[serde(default)]
    pub spec: PodSpec,
    /// Where it runs.
    #[serde(default)]
    pub status: PodStatus,
}

/// As whom a pod runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Its service account; absent: `default`.
    pub service_account_name: Option<String>,
    /// Whether it has the addresses of its node.
    pub host_network: bool,
}

/// Where a pod runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: Option<String>,
    /// Its first address.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    /// All of its addresses.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
}

/// An address of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

impl Pod {
    /// Its service account.
    pub fn account(&self) -> &str {
        self.spec.service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default")
    }

    /// Whether a sidecar of the mesh is in it.
    pub fn injected(&self) -> bool {
        let label = self.metadata.labels.as_ref().and_then(|labels| labels.get(INJECTED_LABEL));
        label.is_some_and(|value| value == "true") && !self.spec.host_network
    }

    /// The Deployment that it is of, else what else made it.
    pub fn owner(&self, name: &str) -> String {
        let hash = self.metadata.labels.as_ref().and_then(|labels| labels.get(HASH_LABEL));
        let mut owners = self.metadata.owner_references.iter().flatten();
        let controller = owners.find(|owner| owner.controller == Some(true));
        let controller = controller.map(|owner| (owner.kind.as_str(), owner.name.as_str()));
        owner_of_pod(name, controller, hash.map(String::as_str))
    }

    /// Addresses that are this pod's and nobody else's: none once it has ended, since they may be given to another one, and none
    /// where it has those of its node.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let ended = matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if ended || self.spec.host_network {
            return Vec::new();
        }
        let all = self.status.pod_ips.iter().map(|ip| ip.ip.as_str()).chain(self.status.pod_ip.as_deref());
        let mut all: Vec<IpAddr> = all.filter_map(|ip| ip.parse().ok()).collect();
        all.sort_unstable();
        all.dedup();
        all
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
        assert_eq!((web.account(), web.injected()), ("frontend", true));
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
            assert_eq!(it.account(), "default", "{case}");
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
