//! Which nodes a cluster has and which addresses and names are theirs. Decides; touches nothing.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::folders::Name;

/// Addresses of pods, services and the cluster's DNS. They exist in the nodes' namespaces only, so every cluster has the same.
pub(crate) const PODS: &str = "10.244.0.0/16";
pub(crate) const SERVICES: &str = "10.96.0.0/16";
pub(crate) const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
pub(crate) const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
pub(crate) const API_PORT: u16 = 6443;

/// How much of a cluster there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// etcd and the API server alone, where the nodes are ours.
    Api,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// `n1`
    pub(crate) name: String,
    pub(crate) number: u8,
    /// The first node has the control plane too.
    pub(crate) is_first: bool,
    pub(crate) address: Ipv4Addr,
    /// Addresses of its pods.
    pub(crate) pods: String,
    /// Below each controller's root, without a slash at its head.
    pub(crate) control_group: String,
    pub(crate) namespace: String,
}

/// All that the first process of a node has to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) node: Node,
    pub(crate) state: PathBuf,
    /// What was built once. The next two are below it.
    pub(crate) built: PathBuf,
    pub(crate) programs: PathBuf,
    pub(crate) archives: Vec<PathBuf>,
    pub(crate) plugins: PathBuf,
    /// How much of a node it is.
    pub(crate) extent: Extent,
}

/// What the names of everything that a cluster has on the machine begin with.
pub(crate) fn prefix(cluster: &Name) -> String {
    format!("amime-{}", cluster.as_str())
}

/// The network namespace of the bridge.
pub(crate) fn switch(cluster: &Name) -> String {
    format!("{}-switch", prefix(cluster))
}

pub(crate) fn nodes(cluster: &Name, count: u8) -> Vec<Node> {
    (1..=count)
        .map(|number| Node {
            name: format!("n{number}"),
            number,
            is_first: number == 1,
            address: Ipv4Addr::new(10, 89, 0, 10 + number),
            pods: format!("10.244.{number}.0/24"),
            control_group: format!("{}/n{number}", prefix(cluster)),
            namespace: format!("{}-n{number}", prefix(cluster)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_share_nothing_but_the_cluster() {
        let two = nodes(&Name::new("a").unwrap(), 2);
        assert_eq!(two.len(), 2);
        assert_eq!(two[0].address, Ipv4Addr::new(10, 89, 0, 11));
        assert_eq!((two[0].is_first, two[1].is_first), (true, false));
        assert_eq!(two[1].pods, "10.244.2.0/24");
        assert_eq!(two[1].control_group, "amime-a/n2");
        assert_eq!(two[1].namespace, "amime-a-n2");
    }
}
