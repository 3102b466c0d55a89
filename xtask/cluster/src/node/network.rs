//! The network of the nodes: a namespace with a bridge, one namespace for each node, and routes between their pods. No default route, no
//! link to the machine's own network.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::folders::Name;
use crate::program::Program;

use super::plan::{Node, SERVICES, prefix, switch};

const FOLDER: &str = "/run/netns";

pub(super) fn path(node: &Node) -> PathBuf {
    PathBuf::from(FOLDER).join(&node.namespace)
}

/// The first node's.
pub(super) fn first(cluster: &Name) -> PathBuf {
    PathBuf::from(FOLDER).join(format!("{}-n1", prefix(cluster)))
}

pub(super) fn make(cluster: &Name, nodes: &[Node]) -> Result<()> {
    for words in commands(&switch(cluster), nodes) {
        Program::new("ip").args(words.split(' ')).output().context("make the network of the nodes")?;
    }
    Ok(())
}

/// The calls of `ip`, in order.
fn commands(switch: &str, nodes: &[Node]) -> Vec<String> {
    let mut all = vec![
        format!("netns add {switch}"),
        format!("-n {switch} link add br0 type bridge"),
        format!("-n {switch} link set br0 up"),
    ];
    for Node { number, namespace, address, .. } in nodes {
        all.push(format!("netns add {namespace}"));
        all.push(format!("-n {switch} link add vn{number} type veth peer name eth0 netns {namespace}"));
        all.push(format!("-n {switch} link set vn{number} master br0 up"));
        all.push(format!("-n {namespace} link set lo up"));
        all.push(format!("-n {namespace} addr add {address}/24 dev eth0"));
        all.push(format!("-n {namespace} link set eth0 up"));
        // A service's address has to have a route, or a node's own process has nothing that kube-proxy could rewrite.
        all.push(format!("-n {namespace} route add {SERVICES} dev eth0"));
        for other in nodes.iter().filter(|other| other.number != *number) {
            all.push(format!("-n {namespace} route add {} via {}", other.pods, other.address));
        }
    }
    all
}

/// The cluster's namespaces that are there, whether a whole run or half of one left them.
pub(super) fn namespaces(cluster: &Name) -> Result<Vec<String>> {
    let Ok(entries) = std::fs::read_dir(FOLDER) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.context("list network namespaces")?.file_name().to_string_lossy().into_owned();
        if is_of(cluster, &name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// Takes them away.
pub(super) fn remove(cluster: &Name) -> Result<()> {
    for name in namespaces(cluster)? {
        Program::new("ip").args(["netns", "delete", &name]).output()?;
    }
    // The first namespace makes `ip` mount the folder onto itself, and that stays; with a namespace of somebody else it is busy.
    if std::fs::read_dir(FOLDER).is_ok_and(|mut entries| entries.next().is_none()) {
        let _ = rustix::mount::unmount(FOLDER, rustix::mount::UnmountFlags::empty());
    }
    Ok(())
}

/// Cluster `a` has `amime-a-n1` but not `amime-a-b-n1`.
fn is_of(cluster: &Name, namespace: &str) -> bool {
    let rest = namespace.strip_prefix(&prefix(cluster)).and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| {
        rest == "switch"
            || rest
                .strip_prefix('n')
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::plan::nodes;
    use super::*;

    #[test]
    fn nodes_reach_each_others_pods_and_nothing_leads_out() {
        let all = commands("s", &nodes(&Name::new("a").unwrap(), 2));
        assert!(all.contains(&"-n amime-a-n1 route add 10.244.2.0/24 via 10.89.0.12".to_owned()), "{all:?}");
        assert!(all.contains(&"-n amime-a-n2 route add 10.244.1.0/24 via 10.89.0.11".to_owned()), "{all:?}");
        assert!(!all.iter().any(|words| words.contains("default")), "{all:?}");
    }

    #[test]
    fn a_cluster_knows_its_own_namespaces() {
        let name = Name::new("a").unwrap();
        assert!(is_of(&name, "amime-a-switch") && is_of(&name, "amime-a-n12"));
        for other in ["amime-a-b-n1", "amime-ab-n1", "amime-a-", "amime-a-n", "amime-b-n1", "x"] {
            assert!(!is_of(&name, other), "{other}");
        }
    }
}
