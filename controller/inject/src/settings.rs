//! What the mesh says about sidecars ([`Settings`], a file of the operator), and what is in force for one pod ([`Sidecar`], after its
//! annotations). It must not know pods.

use mesh_capture::range::{Cidr, Ports};
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// What an operator says about injection; unknown fields are errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Image of the sidecar and of the capture init container.
    pub image: String,
    /// When the image is pulled.
    pub image_pull_policy: PullPolicy,
    /// Names of Secrets for pulling, for pods that name none.
    pub image_pull_secrets: Vec<String>,
    /// Where sidecars find the controller.
    pub controller: String,
    /// Where sidecars find the certificate authority.
    pub ca: String,
    /// Namespace of the mesh, never injected into.
    pub mesh_namespace: String,
    /// How traffic comes to the sidecar.
    pub capture: Capture,
    /// Whether the sidecar answers names.
    pub dns: bool,
    /// Whether the application gets the SPIFFE Workload API.
    pub workload_api: bool,
    /// Log filter of the sidecar.
    pub log_level: String,
    /// Worker threads of the sidecar.
    pub workers: u16,
    /// CPU that the sidecar asks for; empty: none.
    pub cpu_request: String,
    /// Most CPU; empty: no limit.
    pub cpu_limit: String,
    /// Memory that the sidecar asks for; empty: none.
    pub memory_request: String,
    /// Most memory; empty: no limit.
    pub memory_limit: String,
    /// How long the sidecar's connections may take to end.
    pub drain_seconds: u32,
    /// How long application containers without a `preStop` go on after the pod was told to end.
    pub drain_delay_seconds: u32,
    /// What is done with the kubelet's probes.
    pub probes: Probes,
    /// What is done with metrics of the application.
    pub application_metrics: ApplicationMetrics,
    /// Ports of applications that are not captured.
    pub exclude_inbound_ports: String,
    /// Ports of others that are not captured.
    pub exclude_outbound_ports: String,
    /// Destinations that are not captured.
    pub exclude_outbound_cidrs: String,
    /// What happens to a pod that is opted in and cannot get a sidecar.
    pub on_refusal: OnRefusal,
    /// The Secret with headers for a collector. The MeshConfig says it, and no file of settings.
    #[serde(skip)]
    pub otlp_secret: Option<String>,
}

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// Where the node does not have it.
    #[default]
    IfNotPresent,
    /// The node has it.
    Never,
}

impl PullPolicy {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// How traffic comes to the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capture {
    /// An init container with `NET_ADMIN` writes the rules.
    #[default]
    Init,
    /// The CNI plugin of the node writes them; the pod needs no privilege.
    Cni,
    /// Somebody else does.
    None,
}

/// What is done with the kubelet's probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Probes {
    /// The sidecar carries them out, so that they work under strict mutual TLS.
    #[default]
    Rewrite,
    /// They stay as they are.
    Keep,
}

/// What is done with metrics of the application that the pod's annotations `prometheus.io/…` lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplicationMetrics {
    /// The sidecar serves them beside its own, and the annotations lead to it.
    #[default]
    Merge,
    /// The annotations stay as they are.
    Keep,
}

/// What happens to a pod that is opted in and cannot get a sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRefusal {
    /// It is not created, and who creates it is told why.
    #[default]
    Deny,
    /// It is created without, with a warning.
    Admit,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image: format!("ghcr.io/amime-mesh/mesh-proxy:{}", env!("CARGO_PKG_VERSION")),
            image_pull_policy: PullPolicy::default(),
            image_pull_secrets: Vec::new(),
            controller: "mesh-controller.amime-system.svc:15010".to_owned(),
            ca: "mesh-ca.amime-system.svc:15012".to_owned(),
            mesh_namespace: "amime-system".to_owned(),
            capture: Capture::default(),
            dns: true,
            workload_api: false,
            log_level: "info".to_owned(),
            workers: 1,
            cpu_request: "10m".to_owned(),
            cpu_limit: String::new(),
            memory_request: "32Mi".to_owned(),
            memory_limit: "256Mi".to_owned(),
            drain_seconds: 10,
            // The way of a deletion through the API server, the EndpointSlice and the controller takes well below a second; five
            // leave room for a busy control plane, and for callers outside of the mesh.
            drain_delay_seconds: 5,
            probes: Probes::default(),
            application_metrics: ApplicationMetrics::default(),
            exclude_inbound_ports: String::new(),
            exclude_outbound_ports: String::new(),
            exclude_outbound_cidrs: String::new(),
            on_refusal: OnRefusal::default(),
            otlp_secret: None,
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct SettingsError {
    /// As in the file.
    pub field: &'static str,
    /// Why.
    pub message: String,
}

/// What is in force for the sidecar of one pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Sidecar {
    pub(crate) image: String,
    pub(crate) cpu_request: Option<Quantity>,
    pub(crate) cpu_limit: Option<Quantity>,
    pub(crate) memory_request: Option<Quantity>,
    pub(crate) memory_limit: Option<Quantity>,
    pub(crate) log_level: String,
    pub(crate) exclude_inbound_ports: Vec<Ports>,
    pub(crate) include_inbound_ports: Vec<Ports>,
    pub(crate) exclude_outbound_ports: Vec<Ports>,
    pub(crate) include_outbound_ports: Vec<Ports>,
    pub(crate) exclude_outbound_cidrs: Vec<Cidr>,
    pub(crate) include_outbound_cidrs: Vec<Cidr>,
    pub(crate) drain_seconds: u32,
    pub(crate) drain_delay: u32,
    pub(crate) capture: Capture,
    pub(crate) dns: bool,
    pub(crate) workload_api: bool,
    pub(crate) workers: u16,
    pub(crate) probes: Probes,
    pub(crate) application_metrics: ApplicationMetrics,
    pub(crate) otlp_secret: Option<String>,
}

impl Settings {
    /// What is in force for a pod without annotations; the first setting that cannot be used is the error.
    pub fn sidecar(&self) -> Result<Sidecar, SettingsError> {
        let at = |field| move |message| SettingsError { field, message };
        for (field, value) in [("controller", &self.controller), ("ca", &self.ca)] {
            read::host_port(value).map_err(at(field))?;
        }
        let sidecar = Sidecar {
            image: read::image(&self.image).map_err(at("image"))?,
            cpu_request: read::amount(&self.cpu_request).map_err(at("cpuRequest"))?,
            cpu_limit: read::amount(&self.cpu_limit).map_err(at("cpuLimit"))?,
            memory_request: read::amount(&self.memory_request).map_err(at("memoryRequest"))?,
            memory_limit: read::amount(&self.memory_limit).map_err(at("memoryLimit"))?,
            log_level: read::log_level(&self.log_level).map_err(at("logLevel"))?,
            exclude_inbound_ports: read::list(&self.exclude_inbound_ports)
                .map_err(at("excludeInboundPorts"))?,
            include_inbound_ports: Vec::new(),
            exclude_outbound_ports: read::list(&self.exclude_outbound_ports)
                .map_err(at("excludeOutboundPorts"))?,
            include_outbound_ports: Vec::new(),
            exclude_outbound_cidrs: read::list(&self.exclude_outbound_cidrs)
                .map_err(at("excludeOutboundCidrs"))?,
            include_outbound_cidrs: Vec::new(),
            drain_seconds: read::in_range(self.drain_seconds, 0, 3600).map_err(at("drainSeconds"))?,
            drain_delay: read::in_range(self.drain_delay_seconds, 0, 600).map_err(at("drainDelaySeconds"))?,
            capture: self.capture,
            dns: self.dns,
            workload_api: self.workload_api,
            workers: read::in_range(self.workers, 1, 64).map_err(at("workers"))?,
            probes: self.probes,
            application_metrics: self.application_metrics,
            otlp_secret: self.otlp_secret.clone(),
        };
        sidecar.amounts().map_err(|(field, message)| SettingsError { field, message })?;
        Ok(sidecar)
    }
}

impl Sidecar {
    /// What is asked for may not be over the limit. The error names the setting.
    pub(crate) fn amounts(&self) -> Result<(), (&'static str, String)> {
        let pairs = [
            ("cpuRequest", &self.cpu_request, &self.cpu_limit),
            ("memoryRequest", &self.memory_request, &self.memory_limit),
        ];
        for (field, request, limit) in pairs {
            if let (Some(request), Some(limit)) = (request, limit)
                && request > limit
            {
                let message =
                    format!("`{}` is over the limit, which is `{}`", request.as_str(), limit.as_str());
                return Err((field, message));
            }
        }
        Ok(())
    }
}

/// How single values are read, for settings and annotations alike.
pub(crate) mod read {
    use std::fmt::Display;
    use std::str::FromStr;

    use super::Quantity;

    /// Most entries of a list; capture takes 512 in all.
    const MAX_ENTRIES: usize = 64;
    /// The longest name of an image.
    const MAX_IMAGE: usize = 512;
    /// The longest log filter.
    const MAX_FILTER: usize = 256;

    /// Empty text is no amount.
    pub(crate) fn amount(text: &str) -> Result<Option<Quantity>, String> {
        if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
    }

    pub(crate) fn list<T: FromStr<Err = String>>(text: &str) -> Result<Vec<T>, String> {
        let entries = || text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        if entries().count() > MAX_ENTRIES {
            return Err(format!("more than {MAX_ENTRIES} entries; use ranges"));
        }
        entries().map(|entry| short(entry)?.parse()).collect()
    }

    pub(crate) fn number<T: FromStr + PartialOrd + Display + Copy>(
        text: &str,
        least: T,
        most: T,
    ) -> Result<T, String> {
        let number = short(text)?.parse().map_err(|_| format!("`{text}` is not a whole number"))?;
        in_range(number, least, most)
    }

    pub(crate) fn in_range<T: PartialOrd + Display + Copy>(
        number: T,
        least: T,
        most: T,
    ) -> Result<T, String> {
        if least <= number && number <= most {
            Ok(number)
        } else {
            Err(format!("{number} is not from {least} to {most}"))
        }
    }

    /// A reference such as `registry:5000/path/name:tag@sha256:…`; the container runtime reads it in full.
    pub(crate) fn image(text: &str) -> Result<String, String> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if text.len() <= MAX_IMAGE && starts && text.chars().all(fine) {
            Ok(text.to_owned())
        } else {
            Err(format!("`{}` is not the name of an image", quote(text)))
        }
    }

    /// `info`, `debug`, or directives such as `mesh_proxy=debug,info`.
    pub(crate) fn log_level(text: &str) -> Result<String, String> {
        let level = |text: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&text);
        let directive = |text: &str| match text.split_once('=') {
            Some((target, wanted)) => {
                let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
                !target.is_empty() && target.chars().all(fine) && level(wanted)
            }
            None => level(text),
        };
        if text.len() <= MAX_FILTER && text.split(',').all(directive) {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "`{}` is not a log filter; use off, error, warn, info, debug, trace, or as in mesh_proxy=debug,info",
                quote(text)
            ))
        }
    }

    pub(crate) fn host_port(text: &str) -> Result<(), String> {
        let (host, port) = text.rsplit_once(':').unwrap_or_default();
        let fine = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        if !host.is_empty() && host.chars().all(fine) && port.parse::<u16>().is_ok_and(|port| port != 0) {
            Ok(())
        } else {
            Err(format!("`{}` is not HOST:PORT", quote(text)))
        }
    }

    /// One of the words.
    pub(crate) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
        words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("`{}` is not one of {}", quote(text), known.join(", "))
        })
    }

    /// As much of a user's text as a message holds.
    pub(crate) fn quote(text: &str) -> String {
        text.chars().take(80).collect::<String>().escape_debug().to_string()
    }

    fn short(text: &str) -> Result<&str, String> {
        if text.len() <= 64 { Ok(text) } else { Err(format!("`{}…` is too long", quote(text))) }
    }
}
