//! The objects of a mesh of ours, as YAML. Pure.

use std::net::SocketAddr;

pub(crate) const TRUST_DOMAIN: &str = "suites.local";
pub(crate) const NAMESPACE: &str = "suites";

/// What a mesh port takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mtls {
    Strict,
    Permissive,
}

/// Documents of one file.
pub(crate) fn file(documents: &[String]) -> String {
    documents.join("---\n")
}

/// The settings of the mesh.
pub(crate) fn settings(mtls: Mtls) -> String {
    format!(
        "apiVersion: amime.io/v1alpha1\nkind: MeshConfig\nmetadata: {{ name: default }}\nspec:\n  \
        trustDomain: {TRUST_DOMAIN}\n  mtls: {{ mode: {mtls:?} }}\n  outbound: {{ mode: RegistryOnly }}\n"
    )
}

/// A workload that only calls.
pub(crate) fn client(name: &str) -> String {
    workload(name, "127.0.0.1", "")
}

/// A service that is in no mesh: it is called in plaintext.
pub(crate) fn foreign(name: &str, at: SocketAddr) -> String {
    let ports = format!("  mesh: false\n  ports:\n    - {{ name: p, port: {} }}\n", at.port());
    workload(name, &at.ip().to_string(), &ports)
}

/// A service behind a sidecar: `app` is where the application listens, `mesh_port` where its sidecar does.
pub(crate) fn member(name: &str, app: SocketAddr, mesh_port: SocketAddr) -> String {
    let (port, mesh_port) = (app.port(), mesh_port.port());
    let ports = format!("  ports:\n    - {{ name: p, port: {port}, meshPort: {mesh_port} }}\n");
    workload(name, &app.ip().to_string(), &ports)
}

fn workload(name: &str, address: &str, spec: &str) -> String {
    format!(
        "apiVersion: amime.io/v1alpha1\nkind: Workload\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n  \
        labels: {{ app: {name} }}\nspec:\n  address: {address}\n{spec}"
    )
}

/// A service with ports: number, port of the workload, protocol.
pub(crate) fn service(name: &str, ports: &[(u16, u16, &str)]) -> String {
    let ports = ports.iter().map(|(port, target, protocol)| {
        format!("    - {{ name: p{port}, port: {port}, targetPort: {target}, appProtocol: {protocol} }}\n")
    });
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: {NAMESPACE} }}\nspec:\n  \
        selector: {{ app: {name} }}\n  ports:\n{}",
        ports.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_reached_at_its_mesh_port_and_a_foreigner_in_plaintext() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let text =
            file(&[settings(Mtls::Strict), foreign("a", at(1)), member("b", at(2), at(3)), client("c")]);
        assert_eq!(text.matches("\n---\n").count(), 3);
        assert!(text.contains("  mesh: false\n  ports:\n    - { name: p, port: 1 }"));
        assert!(text.contains("{ name: p, port: 2, meshPort: 3 }"));
        assert!(text.contains("mtls: { mode: Strict }"));
        assert!(service("a", &[(82, 1, "grpc")]).contains("port: 82, targetPort: 1, appProtocol: grpc"));
    }
}
