//! Who tells: the attributes of OpenTelemetry's resource. It must not know what is told.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/resource/>, and its pages on services, hosts and Kubernetes.

use mesh_proto::otlp::v1 as wire;

use super::value::Attributes;

/// A workload, as OpenTelemetry describes one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// `service.name`: what all instances share.
    pub service: String,
    /// `service.namespace`.
    pub namespace: String,
    /// The workload's own name.
    pub workload: String,
    /// `service.instance.id`.
    pub instance: String,
    /// `host.name`; in Kubernetes the pod's.
    pub host: String,
    /// Whether the workload is a pod.
    pub is_pod: bool,
}

impl Resource {
    pub(super) fn message(&self) -> wire::Resource {
        let mut attributes = Attributes::default();
        attributes.text("service.name", &self.service);
        attributes.text("service.namespace", &self.namespace);
        attributes.text("service.instance.id", &self.instance);
        if self.is_pod {
            attributes.text("k8s.namespace.name", &self.namespace);
            attributes.text("k8s.pod.name", &self.workload);
        } else {
            attributes.text("host.name", &self.host);
        }
        attributes.text("mesh.workload", &self.workload);
        wire::Resource { attributes: attributes.0 }
    }
}

/// The name of the Deployment that a pod's name goes back to, as far as its form says so: `NAME-HASH-SUFFIX` (a hash of at most ten letters and
/// digits without vowels, and five of the same). Any other name stays what it is.
pub fn app_of_pod(pod: &str) -> &str {
    let is_random = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&text.len()) && text.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b))
    };
    let parts = pod.rsplit_once('-').and_then(|(rest, suffix)| {
        let (name, hash) = rest.rsplit_once('-')?;
        Some((name, hash, suffix))
    });
    match parts {
        Some((name, hash, suffix)) if is_random(hash, 6..=10) && is_random(suffix, 5..=5) => name,
        _ => pod,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_of_a_deployment_is_named_after_it() {
        for (pod, app) in [
            ("web-7d9f8b6c5d-x2x4z", "web"),
            ("shop-web-7d9f8b6c5d-bcdfg", "shop-web"),
            ("db-0", "db-0"),
            ("web", "web"),
            ("node-agent-x2x4z", "node-agent-x2x4z"),
            // Vowels are in no such hash.
            ("my-release-prod-abcde", "my-release-prod-abcde"),
            ("web-7d9f8b6c5d-x2x4za", "web-7d9f8b6c5d-x2x4za"),
        ] {
            assert_eq!(app_of_pod(pod), app, "{pod}");
        }
    }
}
