//! What people read about a cluster.

use std::io::Write as _;

use mesh_cluster::Status;

/// One line to standard output. A reader that went away is not our failure.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        // Nobody reads; the exit code still tells.
    }
}

/// Nodes, programs, and where the kubeconfig is.
pub(crate) fn status(status: &Status) {
    line(&format!("cluster {} is Kubernetes {}", status.name, status.version));
    for node in &status.nodes {
        let ready = if node.ready { "ready" } else { "not ready" };
        line(&format!("  node {}: {ready}, kubelet {}, {}", node.name, node.version, node.runtime));
    }
    for (node, programs) in &status.components {
        let ended = programs.as_object().into_iter().flatten().filter(|(_, state)| *state != "running");
        for (program, state) in ended {
            line(&format!("  {program} on {node} {}", state.as_str().unwrap_or("is in an unknown state")));
        }
    }
    line(&format!("kubeconfig {}", status.kubeconfig.display()));
}
