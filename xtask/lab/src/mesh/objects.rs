//! The objects of the lab's mesh, as YAML. Pure.

use std::net::IpAddr;

pub(crate) const TRUST_DOMAIN: &str = "lab.local";
pub(crate) const NAMESPACE: &str = "lab";

/// A port of a service and of its workload; what is spoken there is said by nobody unless `protocol` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) protocol: Option<&'static str>,
}

impl Port {
    /// A port of which nothing is said: the mesh has to find out.
    pub(crate) const fn undeclared(number: u16) -> Self {
        Self { number, protocol: None }
    }
}

/// The settings of the mesh: what is not mutual TLS is refused, and so is what the mesh does not know. Whatever arrives all the same has
/// passed the sidecars by.
pub(crate) fn settings() -> String {
    format!(
        "apiVersion: amime.io/v1alpha1\nkind: MeshConfig\nmetadata: {{ name: default }}\nspec:\n  \
        trustDomain: {TRUST_DOMAIN}\n  mtls: {{ mode: Strict }}\n  outbound: {{ mode: RegistryOnly }}\n"
    )
}

/// A member whose traffic is captured: it is reached at its own address and ports.
pub(crate) fn workload(name: &str, ip: IpAddr, ports: &[Port]) -> String {
    let listed: Vec<String> =
        ports.iter().map(|port| format!("    - {{ name: p{0}, port: {0} }}\n", port.number)).collect();
    let ports = if listed.is_empty() { String::new() } else { "  ports:\n".to_owned() + &listed.concat() };
    format!(
        "apiVersion: amime.io/v1alpha1\nkind: Workload\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n  \
        labels: {{ app: {name} }}\nspec:\n  address: \"{ip}\"\n{ports}"
    )
}

/// A service with virtual addresses in front of the workload of its name.
pub(crate) fn service(name: &str, addresses: &[IpAddr], ports: &[Port]) -> String {
    let first = addresses.first().map(ToString::to_string).unwrap_or_default();
    let all: Vec<String> = addresses.iter().map(|ip| format!("\"{ip}\"")).collect();
    let ports: Vec<String> = ports
        .iter()
        .map(|port| {
            let protocol = port.protocol.map(|name| format!(", appProtocol: {name}")).unwrap_or_default();
            format!("    - {{ name: p{0}, port: {0}, targetPort: {0}{protocol} }}\n", port.number)
        })
        .collect();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: {NAMESPACE} }}\nspec:\n  \
        selector: {{ app: {name} }}\n  clusterIP: \"{first}\"\n  clusterIPs: [{}]\n  ports:\n{}",
        all.join(", "),
        ports.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_declared_unless_asked_for() {
        let ip: IpAddr = "fd96::1".parse().unwrap();
        let ports = [Port::undeclared(80), Port { number: 81, protocol: Some("grpc") }];
        let text = service("a", &[ip], &ports);
        assert!(text.contains("{ name: p80, port: 80, targetPort: 80 }"), "{text}");
        assert!(text.contains("appProtocol: grpc"), "{text}");
        assert!(text.contains("clusterIPs: [\"fd96::1\"]"), "{text}");
        assert!(workload("a", ip, &ports).contains("  ports:\n    - { name: p80, port: 80 }"));
        assert!(!workload("a", ip, &[]).contains("ports"));
    }
}
