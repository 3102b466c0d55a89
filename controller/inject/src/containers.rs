//! The containers and volumes that a pod gets, as typed values. It must not know the pod.

use std::collections::BTreeMap;
use std::fmt::Display;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, HTTPGetAction, KeyToPath, ObjectFieldSelector, PodSpec, Probe, ProjectedVolumeSource,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, ServiceAccountTokenProjection,
    Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::probes::{self, Table};
use crate::settings::{Capture, Settings, Sidecar};
use crate::{INIT_CONTAINER, PROXY_CONTAINER, PROXY_UID, VALIDATE_CONTAINER};

/// The volume with the token for the certificate authority.
pub(crate) const TOKEN_VOLUME: &str = "amime-token";
/// The volume with the socket of the Workload API.
pub(crate) const WORKLOAD_API_VOLUME: &str = "amime-workload-api";
/// What says to the libraries of SPIFFE where the socket is.
pub(crate) const WORKLOAD_API_VARIABLE: &str = "SPIFFE_ENDPOINT_SOCKET";
/// The volume with the roots of the mesh.
pub(crate) const ROOTS_VOLUME: &str = "amime-roots";
/// The volume with headers for a collector.
pub(crate) const OTLP_VOLUME: &str = "amime-otlp";
/// The volume where the sidecar keeps its configuration for a restart.
pub(crate) const STATE_VOLUME: &str = "amime-state";
/// The largest state twice, as it is replaced whole, and room to spare.
const STATE_SIZE: &str = "32Mi";
/// Whom the token is for.
const AUDIENCE: &str = "mesh-ca";
/// The kubelet renews the token long before.
const TOKEN_SECONDS: i64 = 3600;
/// The ConfigMap with the roots, which the controller puts into every namespace.
const ROOTS_CONFIG_MAP: &str = "amime-ca-roots";
/// Whoever is not the sidecar.
const VALIDATE_UID: i64 = 65532;
const TOKEN_FOLDER: &str = "/var/run/secrets/amime";
const ROOTS_FOLDER: &str = "/var/run/amime/roots";
/// Where the sidecar looks unless it is told (`--otlp-secrets`).
const OTLP_FOLDER: &str = "/etc/amime/otlp";
const STATE_FOLDER: &str = "/var/run/amime/state";
const WORKLOAD_API_FOLDER: &str = "/var/run/amime/workload-api";

/// Whether an init container is one of ours.
pub(crate) fn is_ours(container: &Container) -> bool {
    container.name == INIT_CONTAINER
        || container.name == VALIDATE_CONTAINER
        || (container.name == PROXY_CONTAINER && container.restart_policy.as_deref() == Some("Always"))
}

/// The place of our sidecar among the init containers.
pub(crate) fn existing(spec: &PodSpec) -> Option<usize> {
    let ours = |container: &Container| is_ours(container) && container.name == PROXY_CONTAINER;
    spec.init_containers.iter().flatten().position(ours)
}

/// The sidecar.
pub(crate) fn proxy(sidecar: &Sidecar, settings: &Settings, table: &Table) -> Container {
    let mut env = vec![
        from_field("POD_NAMESPACE", "metadata.namespace"),
        from_field("POD_NAME", "metadata.name"),
        from_field("POD_IP", "status.podIP"),
        text("MESH_LOG", sidecar.log_level.clone()),
    ];
    if !table.is_empty() {
        env.push(text(probes::VARIABLE, probes::to_variable(table)));
    }
    Container {
        name: PROXY_CONTAINER.to_owned(),
        image: Some(sidecar.image.clone()),
        image_pull_policy: Some(settings.image_pull_policy.as_str().to_owned()),
        restart_policy: Some("Always".to_owned()),
        args: Some(proxy_args(sidecar, settings)),
        env: Some(env),
        ports: Some(vec![ContainerPort {
            name: Some("mesh-metrics".to_owned()),
            container_port: probes::PORT.into(),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: resources(sidecar),
        security_context: Some(restricted(PROXY_UID)),
        // Nothing after it starts before it serves. Ten minutes: an authority that is away is waited for, not restarted against.
        startup_probe: Some(ready(1, 600)),
        readiness_probe: Some(ready(5, 3)),
        volume_mounts: Some(mounts(sidecar)),
        ..Container::default()
    }
}

fn mounts(sidecar: &Sidecar) -> Vec<VolumeMount> {
    let mut mounts = vec![
        mount(TOKEN_VOLUME, TOKEN_FOLDER),
        mount(ROOTS_VOLUME, ROOTS_FOLDER),
        VolumeMount { read_only: None, ..mount(STATE_VOLUME, STATE_FOLDER) },
    ];
    if sidecar.otlp_secret.is_some() {
        mounts.push(mount(OTLP_VOLUME, OTLP_FOLDER));
    }
    if sidecar.workload_api {
        let writable = mount(WORKLOAD_API_VOLUME, WORKLOAD_API_FOLDER);
        mounts.push(VolumeMount { read_only: None, ..writable });
    }
    mounts
}

/// Where the application finds the Workload API.
pub(crate) fn workload_api_env() -> EnvVar {
    text(WORKLOAD_API_VARIABLE, format!("unix://{WORKLOAD_API_FOLDER}/api.sock"))
}

/// How the socket comes into a container of the application.
pub(crate) fn workload_api_mount() -> VolumeMount {
    mount(WORKLOAD_API_VOLUME, WORKLOAD_API_FOLDER)
}

fn proxy_args(sidecar: &Sidecar, settings: &Settings) -> Vec<String> {
    let mut args: Vec<String> = vec!["sidecar".to_owned()];
    let mut flag = |name: &str, value: &dyn Display| args.extend([format!("--{name}"), value.to_string()]);
    flag("namespace", &"$(POD_NAMESPACE)");
    flag("workload", &"$(POD_NAME)");
    flag("controller", &settings.controller);
    flag("ca", &settings.ca);
    flag("ca-roots", &format_args!("{ROOTS_FOLDER}/roots.pem"));
    flag("jwt-file", &format_args!("{TOKEN_FOLDER}/token"));
    flag("capture-outbound", &15001);
    flag("capture-inbound", &15006);
    flag("metrics", &format_args!("0.0.0.0:{}", probes::PORT));
    flag("admin", &"127.0.0.1:15000");
    if sidecar.dns {
        flag("dns", &"127.0.0.1:15053");
    }
    if sidecar.workload_api {
        flag("workload-api", &format_args!("{WORKLOAD_API_FOLDER}/api.sock"));
        // The volume is the pod's: whoever reaches the socket is of this pod, whatever its user.
        flag("workload-api-peers", &"anybody");
    }
    if sidecar.workers != 1 {
        flag("workers", &sidecar.workers);
    }
    flag("drain-seconds", &sidecar.drain_seconds);
    flag("state-dir", &STATE_FOLDER);
    args
}

/// What writes the capture rules, and is then gone. Root, since a capability that is added is in force for root alone; one capability,
/// and nothing else of root's.
pub(crate) fn init(sidecar: &Sidecar, settings: &Settings) -> Container {
    let context = SecurityContext {
        run_as_non_root: Some(false),
        capabilities: Some(Capabilities {
            add: Some(vec!["NET_ADMIN".to_owned()]),
            drop: Some(vec!["ALL".to_owned()]),
        }),
        ..restricted(0)
    };
    once(INIT_CONTAINER, capture_args(sidecar, &["init"]), context, sidecar, settings)
}

/// What fails where the CNI plugin has not written the rules, so that nothing of the pod runs uncaptured. No privilege, and another user
/// than the sidecar's, whose connections are not captured.
pub(crate) fn validate(sidecar: &Sidecar, settings: &Settings) -> Container {
    once(
        VALIDATE_CONTAINER,
        capture_args(sidecar, &["init", "--check"]),
        restricted(VALIDATE_UID),
        sidecar,
        settings,
    )
}

fn once(
    name: &str,
    args: Vec<String>,
    context: SecurityContext,
    sidecar: &Sidecar,
    settings: &Settings,
) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(sidecar.image.clone()),
        image_pull_policy: Some(settings.image_pull_policy.as_str().to_owned()),
        args: Some(args),
        resources: Some(ResourceRequirements {
            requests: amounts([("cpu", Some("10m")), ("memory", Some("16Mi"))]),
            limits: amounts([("cpu", Some("1")), ("memory", Some("64Mi"))]),
            ..ResourceRequirements::default()
        }),
        security_context: Some(context),
        ..Container::default()
    }
}

/// The flags of capture: for who writes the rules and for who checks them alike.
pub(crate) fn capture_args(sidecar: &Sidecar, before: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = before.iter().map(ToString::to_string).collect();
    args.extend(["--proxy-uid".to_owned(), PROXY_UID.to_string()]);
    if sidecar.dns {
        args.push("--dns".to_owned());
    }
    let mut list = |name: &str, entries: Vec<String>| {
        if !entries.is_empty() {
            args.extend([format!("--{name}"), entries.join(",")]);
        }
    };
    list("exclude-inbound-port", texts(&sidecar.exclude_inbound_ports));
    list("include-inbound-port", texts(&sidecar.include_inbound_ports));
    list("exclude-outbound-port", texts(&sidecar.exclude_outbound_ports));
    list("include-outbound-port", texts(&sidecar.include_outbound_ports));
    list("exclude-outbound-cidr", texts(&sidecar.exclude_outbound_cidrs));
    list("include-outbound-cidr", texts(&sidecar.include_outbound_cidrs));
    args
}

/// The init containers in the order in which they start.
pub(crate) fn all(sidecar: &Sidecar, settings: &Settings, table: &Table) -> Vec<Container> {
    let proxy = proxy(sidecar, settings, table);
    match sidecar.capture {
        Capture::Init => vec![init(sidecar, settings), proxy],
        Capture::Cni => vec![validate(sidecar, settings), proxy],
        Capture::None => vec![proxy],
    }
}

/// Where among them the sidecar is.
pub(crate) fn place(sidecar: &Sidecar) -> usize {
    usize::from(sidecar.capture != Capture::None)
}

/// The volumes.
pub(crate) fn volumes(sidecar: &Sidecar) -> Vec<Volume> {
    let token = ServiceAccountTokenProjection {
        audience: Some(AUDIENCE.to_owned()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".to_owned(),
    };
    let token = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
    let roots = KeyToPath { key: "roots.pem".to_owned(), path: "roots.pem".to_owned(), mode: None };
    let mut volumes = vec![
        Volume {
            name: TOKEN_VOLUME.to_owned(),
            projected: Some(ProjectedVolumeSource { sources: Some(vec![token]), default_mode: Some(0o644) }),
            ..Volume::default()
        },
        Volume {
            name: ROOTS_VOLUME.to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: ROOTS_CONFIG_MAP.to_owned(),
                items: Some(vec![roots]),
                default_mode: Some(0o644),
                optional: Some(false),
            }),
            ..Volume::default()
        },
        // In memory: nothing of it is left on the node, and no node keeps a Pod for its sake, as autoscalers do for folders on disk.
        Volume {
            name: STATE_VOLUME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: Some(Amount(STATE_SIZE.to_owned())),
            }),
            ..Volume::default()
        },
    ];
    if let Some(name) = &sidecar.otlp_secret {
        volumes.push(Volume {
            name: OTLP_VOLUME.to_owned(),
            // A namespace without it has pods all the same; the sidecar says which file is missing. It runs as a user of its own, and no
            // other container has the volume.
            secret: Some(SecretVolumeSource {
                secret_name: Some(name.clone()),
                default_mode: Some(0o444),
                optional: Some(true),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        });
    }
    if sidecar.workload_api {
        volumes.push(Volume {
            name: WORKLOAD_API_VOLUME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: Some(Amount("1Mi".to_owned())),
            }),
            ..Volume::default()
        });
    }
    volumes
}

/// What every container of ours is held to: the restricted Pod Security standard, but for the user.
fn restricted(uid: i64) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        run_as_user: Some(uid),
        run_as_group: Some(uid),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..SecurityContext::default()
    }
}

fn ready(period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/readyz".to_owned()),
            port: IntOrString::Int(probes::PORT.into()),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn resources(sidecar: &Sidecar) -> Option<ResourceRequirements> {
    let text = |amount: &Option<crate::quantity::Quantity>| amount.as_ref().map(|a| a.as_str().to_owned());
    let requests = [("cpu", text(&sidecar.cpu_request)), ("memory", text(&sidecar.memory_request))];
    let limits = [("cpu", text(&sidecar.cpu_limit)), ("memory", text(&sidecar.memory_limit))];
    let (requests, limits) = (amounts(requests), amounts(limits));
    let any = requests.is_some() || limits.is_some();
    any.then(|| ResourceRequirements { requests, limits, ..ResourceRequirements::default() })
}

fn amounts<T: Into<String>>(given: [(&str, Option<T>); 2]) -> Option<BTreeMap<String, Amount>> {
    let given =
        given.into_iter().filter_map(|(name, amount)| Some((name.to_owned(), Amount(amount?.into()))));
    Some(given.collect::<BTreeMap<_, _>>()).filter(|amounts| !amounts.is_empty())
}

fn texts<T: Display>(entries: &[T]) -> Vec<String> {
    entries.iter().map(ToString::to_string).collect()
}

fn from_field(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: path.to_owned() };
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
    }
}

fn text(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value), value_from: None }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}
