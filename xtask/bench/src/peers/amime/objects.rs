//! The objects of our mesh: a service outside it, one inside, and who calls them. Pure.

use std::net::SocketAddr;

use crate::authority::TRUST_DOMAIN;
use crate::backend::Backend;
use crate::features::FEATURES;

pub(super) const NAMESPACE: &str = "bench";

/// Where the service in the mesh takes mutual TLS, for each protocol behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct MeshPorts {
    pub(super) h1: SocketAddr,
    pub(super) h2: SocketAddr,
    pub(super) bytes: SocketAddr,
}

/// Ports of the service outside the mesh that carry bytes: the client speaks first, the server does; then both once more, declared.
pub(super) const BYTES: [u16; 4] = [83, 84, 85, 86];

pub(super) fn yaml(backend: Backend, mesh: MeshPorts) -> String {
    let (h1, h2, bytes, greets) =
        (backend.h1.port(), backend.h2.port(), backend.bytes.port(), backend.greets.port());
    let settings = format!(
        "apiVersion: amime.io/v1alpha1\nkind: MeshConfig\nmetadata: {{ name: default }}\nspec:\n  trustDomain: {TRUST_DOMAIN}\n"
    );
    let echo = format!(
        "  mesh: false\n  ports:\n    - {{ name: http, port: {h1} }}\n    - {{ name: http2, port: {h2} }}\n    \
        - {{ name: bytes, port: {bytes} }}\n    - {{ name: greets, port: {greets} }}\n"
    );
    let store =
        format!("  ports:\n    - {{ name: bytes, port: {bytes}, meshPort: {} }}\n", mesh.bytes.port());
    let [told, told_greets, declared, declared_greets] = BYTES;
    let vault = format!(
        "  ports:\n    - {{ name: http, port: {h1}, meshPort: {} }}\n    - {{ name: http2, port: {h2}, meshPort: {} }}\n",
        mesh.h1.port(),
        mesh.h2.port()
    );
    [
        settings,
        workload("echo", backend.h1, &echo),
        service(
            "echo",
            &[
                (80, h1, "http"),
                (81, h2, "kubernetes.io/h2c"),
                (82, h2, "grpc"),
                (told, bytes, ""),
                (told_greets, greets, ""),
                (declared, bytes, "tcp"),
                (declared_greets, greets, "tcp"),
            ],
        ),
        workload("store", mesh.bytes, &store),
        service("store", &[(80, bytes, "tcp")]),
        workload("reader", backend.h1, ""),
        workload("curious", backend.h1, ""),
        workload("vault", mesh.h1, &vault),
        service("vault", &[(80, h1, "http"), (81, h2, "kubernetes.io/h2c")]),
        workload("caller", backend.h1, ""),
        workload("buyer", backend.h1, ""),
        workload("featured", backend.h1, ""),
        workload("quiet", backend.h1, ""),
        workload("watched", backend.h1, ""),
    ]
    .into_iter()
    .chain(FEATURES.iter().map(|feature| service_for(&feature.service(), "echo", &[(80, h1, "http")])))
    .chain(FEATURES.iter().flat_map(|feature| feature.objects(NAMESPACE)))
    .collect::<Vec<_>>()
    .join("---\n")
}

fn workload(name: &str, at: SocketAddr, spec: &str) -> String {
    format!(
        "apiVersion: amime.io/v1alpha1\nkind: Workload\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n  \
        labels: {{ app: {name} }}\nspec:\n  address: {}\n{spec}",
        at.ip()
    )
}

fn service(name: &str, ports: &[(u16, u16, &str)]) -> String {
    service_for(name, name, ports)
}

fn service_for(name: &str, app: &str, ports: &[(u16, u16, &str)]) -> String {
    let ports = ports.iter().map(|(port, target, protocol)| {
        let protocol = if protocol.is_empty() { String::new() } else { format!(", appProtocol: {protocol}") };
        format!("    - {{ name: p{port}, port: {port}, targetPort: {target}{protocol} }}\n")
    });
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: {NAMESPACE} }}\nspec:\n  \
        selector: {{ app: {app} }}\n  ports:\n{}",
        ports.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_in_the_mesh_is_reached_at_its_mesh_port_and_the_other_in_plaintext() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let backend = Backend { h1: at(1001), h2: at(1002), bytes: at(1005), greets: at(1006) };
        let text = yaml(backend, MeshPorts { h1: at(1003), h2: at(1004), bytes: at(1007) });
        assert!(text.matches("\n---\n").count() > 6 + FEATURES.len());
        assert!(text.contains("  mesh: false\n  ports:\n    - { name: http, port: 1001 }"));
        assert!(text.contains("{ name: http, port: 1001, meshPort: 1003 }"));
        assert!(text.contains("{ name: http2, port: 1002, meshPort: 1004 }"));
        assert!(text.contains("{ name: p83, port: 83, targetPort: 1005 }"));
        assert!(text.contains("{ name: p86, port: 86, targetPort: 1006, appProtocol: tcp }"));
        assert!(text.contains("{ name: bytes, port: 1005, meshPort: 1007 }"));
        assert!(text.contains("{ name: p82, port: 82, targetPort: 1002, appProtocol: grpc }"));
    }
}
