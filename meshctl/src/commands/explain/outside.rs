//! What the mesh says of a host that is no service: a host of an ExternalService, another name, or members of a service. Pure.

use mesh_controller::api::{Kind, ObjectKey};
use mesh_model::external::HostMeaning;
use mesh_model::failure::Failure;
use mesh_model::host::Host;

use super::objects::Objects;

/// What is known of such a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outside {
    /// To be read after the host.
    pub(crate) words: String,
    /// Why it may not be called all the same.
    pub(crate) refused: Option<(Failure, String)>,
    /// The object that says so.
    pub(crate) key: Option<ObjectKey>,
}

/// What a host stands for, as the proxy is told it.
fn meaning(objects: &Objects, host: &str, namespace: &str) -> Option<HostMeaning> {
    let compiled = &objects.compiled;
    compiled.names.meaning(&Host::parse(host)?, namespace, |name| compiled.services.contains_key(name))
}

/// The host itself, or the one that it is another name for.
pub(crate) fn meant(objects: &Objects, host: &str, namespace: &str) -> String {
    match meaning(objects, host, namespace) {
        Some(HostMeaning::Alias(alias)) => alias.to_string(),
        Some(HostMeaning::Service(_) | HostMeaning::Endpoints(_) | HostMeaning::External(_)) | None => {
            host.to_owned()
        }
    }
}

/// What is known of a host that is no service. The rules are those of the proxy (`outbound::outside`).
pub(crate) fn find(objects: &Objects, host: &str, port: u16, namespace: &str) -> Option<Outside> {
    let plain = |words| Some(Outside { words, refused: None, key: None });
    match meaning(objects, host, namespace)? {
        HostMeaning::Service(_) => None,
        HostMeaning::Alias(alias) => {
            plain(format!("is another name for {alias} (a Service of type ExternalName)"))
        }
        HostMeaning::Endpoints(ips) => {
            let ips: Vec<String> = ips.iter().map(ToString::to_string).collect();
            plain(format!("is a member of a Service, at {}", ips.join(" and ")))
        }
        HostMeaning::External(name) => {
            let external = objects.compiled.externals.get(&name)?;
            let refused = match external.port(port) {
                None => {
                    let ports: Vec<String> =
                        external.ports.iter().map(|port| port.port.to_string()).collect();
                    let why =
                        format!("ExternalService {name} has no port {port}; it has {}", ports.join(", "));
                    Some((Failure::NoEndpoints, why))
                }
                Some(_) => None,
            };
            let key = ObjectKey::new(Kind::ExternalService, name.namespace(), name.name());
            let mut words = format!("is a host of ExternalService {name}");
            if let Some(tls) = external.port(port).and_then(|port| port.tls.as_ref()) {
                let asked = tls.sni.as_ref().map_or_else(|| host.to_string(), ToString::to_string);
                words = format!("{words}; the sidecar begins TLS, as {asked}");
            }
            Some(Outside { words, refused, key: Some(key) })
        }
    }
}
