//! Metrics of the application that a Prometheus would scrape by the pod's annotations: under strict mutual TLS it cannot, so the sidecar
//! serves them beside its own, and the annotations lead to it. This module must not know the rest of the patch.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;

use crate::probes::PORT;
use crate::settings::{ApplicationMetrics, Sidecar};

/// The environment variable that tells the sidecar where they are: `PORT/PATH`.
pub(crate) const VARIABLE: &str = "MESH_APPLICATION_METRICS";
/// Where the sidecar serves all of them.
const PATH: &str = "/metrics";
/// The longest path that is believed.
const MAX_PATH: usize = 1024;

const SCRAPE: &str = "prometheus.io/scrape";
const SCHEME: &str = "prometheus.io/scheme";
const PORT_ANNOTATION: &str = "prometheus.io/port";
const PATH_ANNOTATION: &str = "prometheus.io/path";

/// Annotations, or those of them that were changed with what they were before; `None`: they were not there.
pub(crate) type Before = BTreeMap<String, Option<String>>;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merge {
    /// Of [`VARIABLE`].
    pub(crate) value: String,
    /// Annotations to set.
    pub(crate) annotations: Vec<(&'static str, String)>,
    /// What they are now.
    pub(crate) before: Before,
}

/// `None`: nobody is to scrape the pod, it is so already, what is scraped is behind TLS, or it is not said where it is.
pub(crate) fn merge(
    annotations: &BTreeMap<String, String>,
    spec: &PodSpec,
    sidecar: &Sidecar,
) -> Option<Merge> {
    let said = |name: &str| annotations.get(name).map(String::as_str);
    let wanted = sidecar.application_metrics == ApplicationMetrics::Merge && said(SCRAPE) == Some("true");
    if !wanted || said(SCHEME).is_some_and(|scheme| scheme != "http") {
        return None;
    }
    let port = match said(PORT_ANNOTATION) {
        Some(port) => port.parse().ok(),
        None => only_port(spec),
    };
    let port = port.filter(|port: &u16| *port != 0 && *port != PORT)?;
    let path = said(PATH_ANNOTATION).unwrap_or(PATH);
    if !path.starts_with('/') || path.len() > MAX_PATH || path.chars().any(char::is_control) {
        return None;
    }
    let mut changed = vec![(PORT_ANNOTATION, PORT.to_string())];
    if path != PATH {
        changed.push((PATH_ANNOTATION, PATH.to_owned()));
    }
    let before = changed.iter().map(|(name, _)| ((*name).to_owned(), annotations.get(*name).cloned()));
    // Kubernetes replaces `$(NAME)` in it; `$$` stands for one dollar.
    let value = format!("{port}{path}").replace('$', "$$");
    Some(Merge { value, before: before.collect(), annotations: changed })
}

/// The port of a pod that has one.
fn only_port(spec: &PodSpec) -> Option<u16> {
    let mut ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let first = ports.next()?;
    ports.next().is_none().then(|| u16::try_from(first.container_port).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Container, ContainerPort};

    use super::*;
    use crate::Settings;

    fn spec(ports: &[i32]) -> PodSpec {
        let ports =
            ports.iter().map(|port| ContainerPort { container_port: *port, ..ContainerPort::default() });
        let container = Container { ports: Some(ports.collect()), ..Container::default() };
        PodSpec { containers: vec![container], ..PodSpec::default() }
    }

    fn told(pairs: &[(&str, &str)], ports: &[i32]) -> Option<String> {
        let annotations =
            pairs.iter().map(|(name, value)| (format!("prometheus.io/{name}"), (*value).to_owned()));
        let sidecar = Settings::default().sidecar().unwrap();
        let merge = merge(&annotations.collect(), &spec(ports), &sidecar)?;
        Some(format!(
            "{} {:?}",
            merge.value,
            merge
                .annotations
                .iter()
                .map(|(name, _)| name.trim_start_matches("prometheus.io/"))
                .collect::<Vec<_>>()
        ))
    }

    #[test]
    fn what_is_asked_of_the_application_and_what_of_the_sidecar() {
        for (pairs, ports, expected) in [
            (&[("scrape", "true"), ("port", "8080")][..], &[][..], Some(r#"8080/metrics ["port"]"#)),
            (
                &[("scrape", "true"), ("port", "8080"), ("path", "/m?x=$(A)")],
                &[],
                Some(r#"8080/m?x=$$(A) ["port", "path"]"#),
            ),
            (&[("scrape", "true"), ("scheme", "http")], &[9090], Some(r#"9090/metrics ["port"]"#)),
            // Which of the two is not said.
            (&[("scrape", "true")], &[9090, 9091], None),
            (&[("scrape", "true")], &[], None),
            (&[("port", "8080")], &[], None),
            (&[("scrape", "false"), ("port", "8080")], &[], None),
            (&[("scrape", "true"), ("port", "8443"), ("scheme", "https")], &[], None),
            // It was done before.
            (&[("scrape", "true"), ("port", "15020")], &[], None),
            (&[("scrape", "true"), ("port", "0")], &[], None),
            (&[("scrape", "true"), ("port", "web")], &[], None),
            (&[("scrape", "true"), ("port", "80"), ("path", "metrics")], &[], None),
            (&[("scrape", "true"), ("port", "80"), ("path", "/a\nb")], &[], None),
        ] {
            assert_eq!(told(pairs, ports).as_deref(), expected, "{pairs:?}");
        }
    }
}
