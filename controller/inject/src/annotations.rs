//! The annotations of a pod that say how its sidecar is: one table, from which they are read and the reference page is written. It must
//! not know where pods come from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::settings::{ApplicationMetrics, Capture, Probes, Sidecar, read};
use crate::{ADDED_ANNOTATION, CNI_ANNOTATION, VERSION_ANNOTATION};

/// What begins all of ours.
pub const PREFIX: &str = "amime.io/";
/// The longest value that is read at all.
const MAX_VALUE: usize = 4096;

/// One annotation.
#[derive(Debug)]
pub struct Annotation {
    /// Its full name.
    pub name: &'static str,
    /// What may be written, for people.
    pub value: &'static str,
    /// The setting of the mesh that is in force without it.
    pub setting: &'static str,
    /// What it does.
    pub about: &'static str,
    read: fn(&str, &mut Sidecar) -> Result<(), String>,
}

/// Every annotation that a user may write on a pod.
pub const ANNOTATIONS: &[Annotation] = &[
    Annotation {
        name: "amime.io/proxy-image",
        value: "image",
        setting: "image",
        about: "The image of the sidecar and of `mesh-init`.",
        read: |text, to| read::image(text).map(|image| to.image = image),
    },
    Annotation {
        name: "amime.io/proxy-cpu-request",
        value: "CPU, as `100m`",
        setting: "cpuRequest",
        about: "CPU that is kept free for the sidecar.",
        read: |text, to| read::amount(text).map(|amount| to.cpu_request = amount),
    },
    Annotation {
        name: "amime.io/proxy-cpu-limit",
        value: "CPU, as `2`",
        setting: "cpuLimit",
        about: "The most CPU that the sidecar gets. Empty: no limit.",
        read: |text, to| read::amount(text).map(|amount| to.cpu_limit = amount),
    },
    Annotation {
        name: "amime.io/proxy-memory-request",
        value: "bytes, as `64Mi`",
        setting: "memoryRequest",
        about: "Memory that is kept free for the sidecar.",
        read: |text, to| read::amount(text).map(|amount| to.memory_request = amount),
    },
    Annotation {
        name: "amime.io/proxy-memory-limit",
        value: "bytes, as `256Mi`",
        setting: "memoryLimit",
        about: "The most memory that the sidecar gets; over it, it is ended and started again. Empty: no limit.",
        read: |text, to| read::amount(text).map(|amount| to.memory_limit = amount),
    },
    Annotation {
        name: "amime.io/log-level",
        value: "`error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter such as `mesh_proxy=debug,info`",
        setting: "logLevel",
        about: "What the sidecar logs.",
        read: |text, to| read::log_level(text).map(|level| to.log_level = level),
    },
    Annotation {
        name: "amime.io/exclude-inbound-ports",
        value: "ports and ranges, as `22,8000-8010`",
        setting: "excludeInboundPorts",
        about: "Ports of the application that callers reach past the sidecar: in the clear, without policy, and unknown to the mesh.",
        read: |text, to| read::list(text).map(|list| to.exclude_inbound_ports = list),
    },
    Annotation {
        name: "amime.io/include-inbound-ports",
        value: "ports and ranges",
        setting: "",
        about: "Only these ports of the application are captured.",
        read: |text, to| read::list(text).map(|list| to.include_inbound_ports = list),
    },
    Annotation {
        name: "amime.io/exclude-outbound-ports",
        value: "ports and ranges, as `25,5432`",
        setting: "excludeOutboundPorts",
        about: "Connections of the application to these ports go past the sidecar.",
        read: |text, to| read::list(text).map(|list| to.exclude_outbound_ports = list),
    },
    Annotation {
        name: "amime.io/include-outbound-ports",
        value: "ports and ranges",
        setting: "",
        about: "Only connections to these ports, or to what `include-outbound-cidrs` names, are captured.",
        read: |text, to| read::list(text).map(|list| to.include_outbound_ports = list),
    },
    Annotation {
        name: "amime.io/exclude-outbound-cidrs",
        value: "addresses and prefixes, as `169.254.169.254,10.8.0.0/16`",
        setting: "excludeOutboundCidrs",
        about: "Connections of the application to these addresses go past the sidecar.",
        read: |text, to| read::list(text).map(|list| to.exclude_outbound_cidrs = list),
    },
    Annotation {
        name: "amime.io/include-outbound-cidrs",
        value: "addresses and prefixes",
        setting: "",
        about: "Only connections to these addresses, or to what `include-outbound-ports` names, are captured.",
        read: |text, to| read::list(text).map(|list| to.include_outbound_cidrs = list),
    },
    Annotation {
        name: "amime.io/drain-seconds",
        value: "seconds, 0 to 3600",
        setting: "drainSeconds",
        about: "How long the sidecar's connections may take to end, after the application has ended.",
        read: |text, to| read::number(text, 0, 3600).map(|seconds| to.drain_seconds = seconds),
    },
    Annotation {
        name: "amime.io/drain-delay",
        value: "seconds, 0 to 600",
        setting: "drainDelaySeconds",
        about: "How long application containers go on serving after the pod was told to end, so that every caller has learnt of it \
                before they stop: a `preStop` of `sleep` for containers that have none, and as much more \
                `terminationGracePeriodSeconds`. 0: nothing is added.",
        read: |text, to| read::number(text, 0, 600).map(|seconds| to.drain_delay = seconds),
    },
    Annotation {
        name: "amime.io/capture",
        value: "`init`, `cni`, `none`",
        setting: "capture",
        about: "Who brings the pod's traffic to the sidecar: an init container with `NET_ADMIN`, the CNI plugin of the node, or somebody else.",
        read: |text, to| {
            read::word(text, &[("init", Capture::Init), ("cni", Capture::Cni), ("none", Capture::None)])
                .map(|capture| to.capture = capture)
        },
    },
    Annotation {
        name: "amime.io/dns",
        value: "`enabled`, `disabled`",
        setting: "dns",
        about: "Whether the sidecar answers the application's questions about names.",
        read: |text, to| read::word(text, &[("enabled", true), ("disabled", false)]).map(|dns| to.dns = dns),
    },
    Annotation {
        name: "amime.io/workload-api",
        value: "`enabled`, `disabled`",
        setting: "workloadApi",
        about: "Whether the application's containers get the SPIFFE Workload API: a socket in a volume of the pod, and \
                `SPIFFE_ENDPOINT_SOCKET`, which says where. Every container of the pod can then get the pod's identity.",
        read: |text, to| {
            read::word(text, &[("enabled", true), ("disabled", false)]).map(|on| to.workload_api = on)
        },
    },
    Annotation {
        name: "amime.io/workers",
        value: "1 to 64",
        setting: "workers",
        about: "Worker threads of the sidecar.",
        read: |text, to| read::number(text, 1, 64).map(|workers| to.workers = workers),
    },
    Annotation {
        name: "amime.io/probes",
        value: "`rewrite`, `keep`",
        setting: "probes",
        about: "Whether the sidecar carries out the kubelet's probes. `keep`: they go to the application's port, where strict mutual \
                TLS refuses them.",
        read: |text, to| {
            read::word(text, &[("rewrite", Probes::Rewrite), ("keep", Probes::Keep)])
                .map(|probes| to.probes = probes)
        },
    },
    Annotation {
        name: "amime.io/application-metrics",
        value: "`merge`, `keep`",
        setting: "applicationMetrics",
        about: "Whether the sidecar serves the application's metrics beside its own, where `prometheus.io/scrape: \"true\"` says that \
                there are some: `prometheus.io/port` and `path` then lead to the sidecar. `keep`: they stay, and strict mutual TLS \
                refuses who follows them.",
        read: |text, to| {
            read::word(text, &[("merge", ApplicationMetrics::Merge), ("keep", ApplicationMetrics::Keep)])
                .map(|metrics| to.application_metrics = metrics)
        },
    },
];

/// An annotation that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("annotation {name}: {message}")]
pub struct AnnotationError {
    /// Which one.
    pub name: String,
    /// Why, and what may be written.
    pub message: String,
}

/// Applies a pod's annotations to what the mesh says. Those of others are not looked at; one of ours that is unknown is an error,
/// since a setting with a typing error would otherwise be silently not in force.
pub fn apply(annotations: &BTreeMap<String, String>, sidecar: &mut Sidecar) -> Result<(), AnnotationError> {
    for (name, value) in
        annotations.range(PREFIX.to_owned()..).take_while(|(name, _)| name.starts_with(PREFIX))
    {
        if [VERSION_ANNOTATION, ADDED_ANNOTATION, CNI_ANNOTATION].contains(&name.as_str()) {
            continue;
        }
        let error = |message: String| AnnotationError { name: read::quote(name), message: plain(&message) };
        let Some(known) = ANNOTATIONS.iter().find(|known| known.name == name) else {
            return Err(error(unknown(name)));
        };
        if value.len() > MAX_VALUE {
            return Err(error(format!("is longer than {MAX_VALUE} bytes")));
        }
        (known.read)(value, sidecar).map_err(error)?;
    }
    sidecar.amounts().map_err(|(setting, message)| {
        let known = ANNOTATIONS.iter().find(|known| known.setting == setting);
        AnnotationError { name: known.map_or(setting, |known| known.name).to_owned(), message }
    })
}

/// One line, whatever the value was.
fn plain(message: &str) -> String {
    let one = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    message.chars().take(300).map(one).collect()
}

fn unknown(name: &str) -> String {
    if name == crate::INJECT_LABEL {
        return "is a label, not an annotation: write it below `labels`".to_owned();
    }
    let words = |text: &str| text.split(['-', '/']).map(str::to_owned).collect::<Vec<_>>();
    let shared = |known: &str| words(known).iter().skip(1).filter(|word| words(name).contains(word)).count();
    let nearest =
        ANNOTATIONS.iter().max_by_key(|known| shared(known.name)).filter(|known| shared(known.name) > 0);
    match nearest {
        Some(known) => format!("is unknown; did you mean {}?", known.name),
        None => "is unknown; the page `Annotations` of the reference lists all".to_owned(),
    }
}

/// The reference page.
pub fn page() -> String {
    let mut page = String::from(
        "<!-- Generated by `cargo xtask gen annotations`. Do not edit. -->\n\
         # Annotations\n\n\
         Annotations of a pod (of the template, for a Deployment) say how its sidecar is. They are read when the pod is created. What \
         is not written is as the mesh's settings say (`injection` in the values of the installation, or the defaults below).\n\n\
         An annotation `amime.io/…` that is unknown or has a value that cannot be read refuses the pod and says why: a limit with a \
         typing error must not be silently not in force.\n\n\
         Whether a pod gets a sidecar at all is said by the label `amime.io/inject`, `enabled` or `disabled`, of its namespace or \
         itself; see [Injection](../tasks/injection.md).\n\n\
         | annotation | value | default | what it does |\n| --- | --- | --- | --- |\n",
    );
    let defaults = serde_json::to_value(crate::Settings::default()).unwrap_or_default();
    for one in ANNOTATIONS {
        let default = match defaults.get(one.setting) {
            Some(serde_json::Value::String(text)) if text.is_empty() => "none".to_owned(),
            Some(serde_json::Value::String(text)) => format!("`{text}`"),
            Some(serde_json::Value::Bool(on)) => format!("`{}`", if *on { "enabled" } else { "disabled" }),
            Some(other) => format!("`{other}`"),
            None => "all".to_owned(),
        };
        // The image's tag is the version of this build, which a page must not depend on.
        let default = default.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        // Writing to a string cannot fail.
        writeln!(page, "| `{}` | {} | {default} | {} |", one.name, one.value, one.about).ok();
    }
    page.push_str(
        "\nWritten by the mesh, never by users: the annotations `amime.io/proxy-version` and `amime.io/added` (what of the \
         application's own was changed), and the label `amime.io/injected: \"true\"` of every pod with a sidecar.\n",
    );
    page
}
