//! Reading of objects that several checks share.

use serde_json::Value;

use super::state::State;

/// Where a namespace or Pod says whether it opts in.
pub(super) const INJECT: &str = "amime.io/inject";
/// Namespaces that nobody's Pods join from.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// More subjects than these are counted, not named.
const NAMED: usize = 5;

pub(super) fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    object.pointer(path).and_then(Value::as_str)
}

pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name").unwrap_or_default()
}

pub(super) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace").unwrap_or_default()
}

/// `namespace/name`.
pub(super) fn full_name(object: &Value) -> String {
    format!("{}/{}", namespace(object), name(object))
}

pub(super) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}

pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

pub(super) fn list<'a>(object: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

/// The image of a container.
pub(super) fn image<'a>(pod_spec: &'a Value, container: &str) -> Option<&'a str> {
    ["/initContainers", "/containers"]
        .into_iter()
        .flat_map(|path| list(pod_spec, path))
        .find(|candidate| text(candidate, "/name") == Some(container))
        .and_then(|found| text(found, "/image"))
}

/// The tag of an image, without a digest.
pub(super) fn tag(image: &str) -> Option<&str> {
    let image = image.split('@').next()?;
    let (_, last) = image.rsplit_once('/').unwrap_or(("", image));
    last.split_once(':').map(|(_, tag)| tag)
}

/// Major and minor of `0.1.0`; None for what is no version.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim_start_matches('v').split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The first subjects by name, the rest as a number.
pub(super) fn some(mut subjects: Vec<String>, why: &str) -> Vec<String> {
    let more = subjects.len().saturating_sub(NAMED);
    subjects.truncate(NAMED);
    let mut found: Vec<String> = subjects.into_iter().map(|subject| format!("{subject}: {why}")).collect();
    if more > 0 {
        found.push(format!("and {more} more: {why}"));
    }
    found
}

impl State {
    /// Namespaces whose Pods join unless they say otherwise.
    pub(super) fn opted_in_namespaces(&self) -> impl Iterator<Item = &Value> {
        self.namespaces.iter().filter(|namespace| {
            let name = name(namespace);
            label(namespace, INJECT) == Some("enabled")
                && !SYSTEM.contains(&name)
                && name != self.mesh_namespace
        })
    }

    /// The namespace of that name.
    pub(super) fn namespace(&self, wanted: &str) -> Option<&Value> {
        self.namespaces.iter().find(|namespace| name(namespace) == wanted)
    }

    /// Whether anything of the mesh is there.
    pub(super) fn is_installed(&self) -> bool {
        !self.deployments.is_empty() || self.inventory
    }

    /// A setting of the injector.
    pub(super) fn injection_setting(&self, key: &str) -> Option<String> {
        let values = text(self.injection.as_ref()?, "/data/values.yaml")?;
        let values: Value = serde_saphyr::from_str(values).ok()?;
        values.get(key)?.as_str().map(ToOwned::to_owned)
    }
}
