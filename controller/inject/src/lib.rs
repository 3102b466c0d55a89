//! Injection: a pod, the labels of its namespace and the settings of the mesh in; a decision in words and a JSON patch out.
//!
//! [`decide`] says whether a pod gets a sidecar and why not; [`patch`] writes it. A patch is made of typed values, never of text, and
//! touches nothing but what it is for: what this version of Kubernetes' types does not know stays as it is. Injecting twice is
//! injecting once. This package performs no I/O and must not know who asks: the webhook and `meshctl inject` do.

pub mod annotations;
mod containers;
pub mod decide;
mod editor;
mod eject;
mod lifecycle;
pub mod patch;
pub mod probes;
pub mod quantity;
mod scrape;
pub mod settings;
pub mod workload;
mod workload_api;

pub use decide::{Asked, Reason};
pub use editor::Op;
pub use eject::eject;
pub use patch::{Decision, Injected, Subject, inject};
pub use settings::Settings;

/// Label by which a namespace or pod opts in (`enabled`) or out (`disabled`); the pod's wins.
pub const INJECT_LABEL: &str = "amime.io/inject";
/// Label of a pod that has our sidecar: its endpoints are called with mutual TLS.
pub const INJECTED_LABEL: &str = "amime.io/injected";
/// Annotation that says which version of the sidecar a pod has.
pub const VERSION_ANNOTATION: &str = "amime.io/proxy-version";
/// Annotation that says what injection changed of what is not its own.
pub const ADDED_ANNOTATION: &str = "amime.io/added";
/// Annotation by which the CNI plugin of the node knows what to capture: the flags of `mesh-proxy init`.
pub const CNI_ANNOTATION: &str = "amime.io/cni";
/// The sidecar.
pub const PROXY_CONTAINER: &str = "mesh-proxy";
/// The init container that writes the capture rules.
pub const INIT_CONTAINER: &str = "mesh-init";
/// The init container that fails where the CNI plugin has written no rules; its flags say which.
pub const VALIDATE_CONTAINER: &str = "mesh-validate";
/// The user and group of the sidecar. What this user sends is not captured.
pub const PROXY_UID: i64 = 1337;
