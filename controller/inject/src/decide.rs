//! Whether a pod gets a sidecar, and why not, in words. Pure rules over one pod and the labels of its namespace. It must not know how
//! the sidecar is written.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};

use crate::annotations::AnnotationError;
use crate::settings::{Capture, Settings, Sidecar, read};
use crate::{INIT_CONTAINER, INJECT_LABEL, PROXY_CONTAINER, PROXY_UID, VALIDATE_CONTAINER, containers};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Namespaces that are never injected into, besides the mesh's own.
const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// The label of a namespace that says what its pods may do.
const POD_SECURITY_LABEL: &str = "pod-security.kubernetes.io/enforce";
/// The annotation of pods that a kubelet has started from a file.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
/// Ports that the sidecar listens on.
const OWN_PORTS: [(i32, &str); 5] = [
    (15000, "administration"),
    (15001, "outbound"),
    (15006, "inbound"),
    (15020, "metrics and probes"),
    (15053, "names"),
];
/// Sidecars of others, by the name of their container.
const OTHER_SIDECARS: [(&str, &str); 4] = [
    ("istio-proxy", "Istio"),
    ("linkerd-proxy", "Linkerd"),
    ("kuma-sidecar", "Kuma"),
    ("consul-dataplane", "Consul"),
];

/// Who asks for a sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The label of the namespace: pods that cannot have one are left alone.
    Namespace,
    /// The pod's own label, or a user by hand.
    Pod,
}

/// Why a pod gets no sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Neither the pod nor its namespace asks.
    NotAsked,
    /// A label says `disabled`.
    OptedOut(&'static str),
    /// A label says neither `enabled` nor `disabled`.
    BadLabel(&'static str, String),
    /// Never there.
    SystemNamespace(String),
    /// It is on the network of its node.
    HostNetwork,
    /// It runs on Windows.
    Windows,
    /// A kubelet runs it from a file of its own.
    Mirror,
    /// It has no containers.
    NoContainers,
    /// It has the sidecar of another mesh: mesh and sign.
    OtherMesh(&'static str, String),
    /// Its namespace forbids what the capture init container needs: the level in force.
    PodSecurity(String),
    /// Something in it runs as the sidecar's user: the field.
    UserClash(String),
    /// It has something with the name of ours: the field and the name.
    NameTaken(String, &'static str),
    /// A container listens on a port of the sidecar: field, port, and what it is for.
    PortTaken(String, i32, &'static str),
    /// It has everything.
    AlreadyInjected,
    /// An annotation cannot be used.
    Annotation(AnnotationError),
    /// It cannot be read.
    NotAPod(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => write!(
                f,
                "neither the pod nor its namespace has the label {INJECT_LABEL}=enabled"
            ),
            Self::OptedOut(whose) => write!(f, "the label {INJECT_LABEL} of the {whose} is `disabled`"),
            Self::BadLabel(whose, value) => {
                write!(f, "the label {INJECT_LABEL} of the {whose} is `{value}`; write `enabled` or `disabled`")
            }
            Self::SystemNamespace(name) => write!(f, "pods in {name} never get a sidecar"),
            Self::HostNetwork => f.write_str(
                "spec.hostNetwork is true: capture would take all traffic of the node; take hostNetwork away, or leave the pod out \
                 with the label amime.io/inject=disabled",
            ),
            Self::Windows => f.write_str("it runs on Windows, for which there is no sidecar"),
            Self::Mirror => f.write_str("it is a static pod, which its kubelet runs from a file that we cannot change"),
            Self::NoContainers => f.write_str("spec.containers is empty"),
            Self::OtherMesh(mesh, sign) => write!(
                f,
                "{sign}: {mesh} is in it already, and two meshes would capture the same traffic; take the pod out of one of them \
                 (here: the label {INJECT_LABEL}=disabled)"
            ),
            Self::PodSecurity(level) => write!(
                f,
                "its namespace enforces Pod Security `{level}`, which forbids {INIT_CONTAINER} the capability NET_ADMIN; install the \
                 CNI plugin and set `capture: cni` in the settings or the annotation amime.io/capture: cni on the pod, or label the \
                 namespace {POD_SECURITY_LABEL}=privileged"
            ),
            Self::UserClash(field) => write!(
                f,
                "{field} is {PROXY_UID}, the user of the sidecar: its traffic would not be captured; use another user"
            ),
            Self::NameTaken(field, name) => write!(f, "{field} is named `{name}`, as a part of the sidecar is; rename it"),
            Self::PortTaken(field, port, what) => {
                write!(f, "{field} is {port}, where the sidecar listens ({what}); use another port")
            }
            Self::AlreadyInjected => f.write_str("it has the sidecar already"),
            Self::Annotation(error) => error.fmt(f),
            Self::NotAPod(error) => write!(f, "it is not a pod that can be read: {error}"),
        }
    }
}

impl Reason {
    /// Whether a pod that asked may go on without a sidecar and nobody be told; otherwise it is refused.
    pub fn passes(&self, asked: Asked) -> bool {
        match self {
            Self::NotAsked
            | Self::OptedOut(_)
            | Self::SystemNamespace(_)
            | Self::Mirror
            | Self::AlreadyInjected
            // The API server says it best.
            | Self::NoContainers => true,
            Self::HostNetwork | Self::Windows => asked == Asked::Namespace,
            Self::BadLabel(..)
            | Self::OtherMesh(..)
            | Self::PodSecurity(_)
            | Self::UserClash(_)
            | Self::NameTaken(..)
            | Self::PortTaken(..)
            | Self::Annotation(_)
            | Self::NotAPod(_) => false,
        }
    }
}

/// Who asks, by the labels; the pod's wins.
pub fn asked(pod: Option<&Labels>, namespace: Option<&Labels>) -> Result<Asked, Reason> {
    for (labels, whose, asked) in [(pod, "pod", Asked::Pod), (namespace, "namespace", Asked::Namespace)] {
        match labels.and_then(|labels| labels.get(INJECT_LABEL)).map(String::as_str) {
            None => {}
            Some("enabled") => return Ok(asked),
            Some("disabled") => return Err(Reason::OptedOut(whose)),
            Some(other) => return Err(Reason::BadLabel(whose, read::quote(other))),
        }
    }
    Err(Reason::NotAsked)
}

/// Whether a namespace is left alone whatever its labels say.
pub fn is_system(namespace: &str, settings: &Settings) -> bool {
    SYSTEM_NAMESPACES.contains(&namespace) || namespace == settings.mesh_namespace
}

/// What speaks against a sidecar in this pod, apart from its annotations.
pub(crate) fn obstacle(template: &PodTemplateSpec, spec: &PodSpec) -> Option<Reason> {
    let metadata = template.metadata.as_ref();
    if metadata.and_then(|m| m.annotations.as_ref()).is_some_and(|a| a.contains_key(MIRROR_ANNOTATION)) {
        return Some(Reason::Mirror);
    }
    if spec.containers.is_empty() {
        return Some(Reason::NoContainers);
    }
    if spec.host_network == Some(true) {
        return Some(Reason::HostNetwork);
    }
    if is_windows(spec) {
        return Some(Reason::Windows);
    }
    other_mesh(template, spec)
        .or_else(|| user_clash(spec))
        .or_else(|| name_taken(spec))
        .or_else(|| port_taken(spec))
}

/// What the namespace forbids.
pub(crate) fn forbidden(namespace: Option<&Labels>, sidecar: &Sidecar) -> Option<Reason> {
    let level = namespace?.get(POD_SECURITY_LABEL)?;
    let strict = level == "restricted" || level == "baseline";
    (strict && sidecar.capture == Capture::Init).then(|| Reason::PodSecurity(level.clone()))
}

fn is_windows(spec: &PodSpec) -> bool {
    spec.os.as_ref().is_some_and(|os| os.name == "windows")
        || spec
            .node_selector
            .as_ref()
            .is_some_and(|selector| selector.get("kubernetes.io/os").is_some_and(|os| os == "windows"))
}

fn other_mesh(template: &PodTemplateSpec, spec: &PodSpec) -> Option<Reason> {
    for (field, container) in all(spec) {
        if let Some((_, mesh)) = OTHER_SIDECARS.iter().find(|(name, _)| *name == container.name) {
            return Some(Reason::OtherMesh(mesh, format!("{field}.name is `{}`", container.name)));
        }
    }
    let labels = template.metadata.as_ref()?.labels.as_ref()?;
    let (label, mesh) = ("istio.io/dataplane-mode", "Istio's ambient mode");
    let ambient = labels.get(label).is_some_and(|mode| mode == "ambient");
    ambient.then(|| Reason::OtherMesh(mesh, format!("the label {label} is `ambient`")))
}

/// Every container, with its field; ours too.
fn all(spec: &PodSpec) -> impl Iterator<Item = (String, &Container)> {
    let init = spec.init_containers.iter().flatten().enumerate();
    let init = init.map(|(index, container)| (format!("spec.initContainers[{index}]"), container));
    let main = spec.containers.iter().enumerate();
    init.chain(main.map(|(index, container)| (format!("spec.containers[{index}]"), container)))
}

/// Every container that is not ours.
fn others(spec: &PodSpec) -> impl Iterator<Item = (String, &Container)> {
    all(spec).filter(|(field, container)| !(field.starts_with("spec.init") && containers::is_ours(container)))
}

fn user_clash(spec: &PodSpec) -> Option<Reason> {
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    if of_pod == Some(PROXY_UID) {
        return Some(Reason::UserClash("spec.securityContext.runAsUser".to_owned()));
    }
    others(spec)
        .find(|(_, c)| c.security_context.as_ref().and_then(|context| context.run_as_user) == Some(PROXY_UID))
        .map(|(field, _)| Reason::UserClash(format!("{field}.securityContext.runAsUser")))
}

fn name_taken(spec: &PodSpec) -> Option<Reason> {
    let ours = [PROXY_CONTAINER, INIT_CONTAINER, VALIDATE_CONTAINER];
    others(spec).find_map(|(field, container)| {
        let name = ours.into_iter().find(|name| *name == container.name)?;
        Some(Reason::NameTaken(field, name))
    })
}

fn port_taken(spec: &PodSpec) -> Option<Reason> {
    others(spec).find_map(|(field, container)| {
        container.ports.iter().flatten().enumerate().find_map(|(index, port)| {
            let (number, what) = OWN_PORTS.into_iter().find(|(number, _)| *number == port.container_port)?;
            Some(Reason::PortTaken(format!("{field}.ports[{index}].containerPort"), number, what))
        })
    })
}
