//! The YAML objects that `meshctl` writes: pure text. Everything that goes in was checked to be a name, a number or an
//! address, or is quoted. It must not know where the text is written to.

use std::fmt::Write;
use std::net::Ipv4Addr;

/// A port of a workload and of the Service in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortObject {
    pub(crate) name: String,
    /// Where the application listens.
    pub(crate) app: u16,
    /// Where its sidecar takes connections for it.
    pub(crate) mesh: u16,
    /// What clients call.
    pub(crate) service: u16,
    pub(crate) protocol: Protocol,
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// HTTP/1.1
    #[default]
    Http,
    /// HTTP/2 without TLS
    Http2,
    /// gRPC
    Grpc,
    /// Anything else: bytes are passed on as they are
    Tcp,
}

impl Protocol {
    /// The value of a Service port's `appProtocol`.
    pub(crate) fn app_protocol(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Http2 => "kubernetes.io/h2c",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }

    /// The name that a port has when the user gave none.
    pub(crate) fn port_name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }
}

/// A member of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkloadObject {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Its service account, where that is not its name.
    pub(crate) account: Option<String>,
    pub(crate) address: Ipv4Addr,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) ports: Vec<PortObject>,
    pub(crate) zone: Option<String>,
}

/// A name that clients call and the workloads behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceObject {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) selector: Vec<(String, String)>,
    pub(crate) ports: Vec<PortObject>,
}

/// Settings of a mesh on this machine: mutual TLS everywhere.
pub(crate) fn mesh_config(trust_domain: &str) -> String {
    format!(
        "apiVersion: amime.io/v1alpha1\n\
         kind: MeshConfig\n\
         metadata:\n  name: default\n\
         spec:\n  trustDomain: {trust_domain}\n  mtls:\n    mode: Strict\n"
    )
}

/// A `Workload`, as one YAML document.
pub(crate) fn workload(workload: &WorkloadObject) -> String {
    let mut out = format!(
        "---\napiVersion: amime.io/v1alpha1\nkind: Workload\nmetadata:\n  name: {}\n  namespace: {}\n",
        workload.name, workload.namespace
    );
    map(&mut out, "  labels", "    ", &workload.labels);
    line(&mut out, format_args!("spec:\n  address: {}", workload.address));
    if let Some(account) = &workload.account {
        line(&mut out, format_args!("  serviceAccount: {account}"));
    }
    if let Some(zone) = &workload.zone {
        line(&mut out, format_args!("  zone: {}", quoted(zone)));
    }
    if !workload.ports.is_empty() {
        line(&mut out, format_args!("  ports:"));
    }
    for port in &workload.ports {
        line(
            &mut out,
            format_args!(
                "    - name: {}\n      port: {}\n      meshPort: {}",
                port.name, port.app, port.mesh
            ),
        );
    }
    out
}

/// A `Service`, as one YAML document.
pub(crate) fn service(service: &ServiceObject) -> String {
    let mut out = format!(
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n",
        service.name, service.namespace
    );
    map(&mut out, "  selector", "    ", &service.selector);
    line(&mut out, format_args!("  ports:"));
    for port in &service.ports {
        line(
            &mut out,
            format_args!(
                "    - name: {}\n      port: {}\n      targetPort: {}\n      appProtocol: {}",
                port.name,
                port.service,
                port.app,
                port.protocol.app_protocol()
            ),
        );
    }
    out
}

fn map(out: &mut String, key: &str, indent: &str, entries: &[(String, String)]) {
    if entries.is_empty() {
        return;
    }
    line(out, format_args!("{key}:"));
    for (name, value) in entries {
        line(out, format_args!("{indent}{}: {}", quoted(name), quoted(value)));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(out, "{text}").ok();
}

/// Plain where YAML reads it as the same string, else as a JSON string, which is YAML too. `1` and `true` are quoted.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '/'))
        && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> PortObject {
        PortObject { name: "http".into(), app: 8080, mesh: 15006, service: 80, protocol: Protocol::Http }
    }

    fn labels() -> Vec<(String, String)> {
        vec![
            ("app".into(), "web".into()),
            ("version".into(), "1".into()),
            ("note".into(), "a: \"b\"\n#c".into()),
        ]
    }

    #[test]
    fn a_workload_is_yaml_that_reads_back_as_it_was_meant() {
        let text = workload(&WorkloadObject {
            namespace: "shop".into(),
            name: "web".into(),
            account: None,
            address: Ipv4Addr::new(127, 1, 2, 3),
            labels: labels(),
            ports: vec![port()],
            zone: Some("1".into()),
        });
        insta::assert_snapshot!(text);
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(value["metadata"]["labels"]["note"], "a: \"b\"\n#c");
        assert_eq!(value["metadata"]["labels"]["version"], "1");
        assert_eq!(value["spec"]["ports"][0]["meshPort"], 15006);
        assert_eq!(value["spec"]["zone"], "1");
    }

    #[test]
    fn a_service_is_yaml_that_reads_back_as_it_was_meant() {
        let text = service(&ServiceObject {
            namespace: "shop".into(),
            name: "web".into(),
            selector: labels(),
            ports: vec![port()],
        });
        insta::assert_snapshot!(text);
        let value: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(value["spec"]["selector"]["app"], "web");
        assert_eq!(value["spec"]["ports"][0]["targetPort"], 8080);
    }

    #[test]
    fn words_that_yaml_takes_for_something_else_are_quoted() {
        for word in ["true", "no", "1", "1e3", "", "~", "Null", "a b", "-x"] {
            assert!(quoted(word).starts_with('"'), "{word}");
        }
        assert_eq!(quoted("web-1.example/x"), "web-1.example/x");
    }

    #[test]
    fn mesh_settings_ask_for_strict_mutual_tls() {
        let value: serde_json::Value = serde_saphyr::from_str(&mesh_config("mesh.local")).unwrap();
        assert_eq!(value["spec"]["mtls"]["mode"], "Strict");
        assert_eq!(value["spec"]["trustDomain"], "mesh.local");
    }
}
