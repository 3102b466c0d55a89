//! What a cluster has before an installation, and what of it forbids one. Pure.

use serde_json::Value;

use super::{Inventory, Plan};

/// The oldest Kubernetes whose containers may be sidecars by themselves.
const OLDEST: (u32, u32) = (1, 29);

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Existing {
    /// What meshctl remembers of an installation.
    pub inventory: Option<Inventory>,
    /// The controller's Deployment in the namespace of the mesh.
    pub controller: Option<Value>,
    /// The injector's webhook configuration.
    pub injector: Option<Value>,
    /// The trust domain that members have, if one is known.
    pub trust_domain: Option<String>,
    /// The namespace of the mesh.
    pub namespace: Option<Value>,
    /// What the API server says about its version: major and minor.
    pub server: (u32, u32),
}

/// A verb that fits what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// The same version, or none.
    Install,
    /// From any version.
    Upgrade,
}

impl Existing {
    /// Who installed the mesh that is there, if it was not meshctl.
    pub fn foreign_manager(&self) -> Option<&str> {
        label(self.controller.as_ref(), "app.kubernetes.io/managed-by")
            .filter(|manager| *manager != super::MANAGER)
    }

    /// Whether the namespace was there before meshctl.
    pub fn foreign_namespace(&self) -> bool {
        let ours = label(self.namespace.as_ref(), "app.kubernetes.io/managed-by") == Some(super::MANAGER);
        self.namespace.is_some() && !ours
    }

    /// Every reason not to go on, each with what to do instead.
    pub fn contradictions(&self, plan: &Plan, namespace: &str, version: &str, intent: Intent) -> Vec<String> {
        let mut found = Vec::new();
        let (major, minor) = self.server;
        if self.server < OLDEST {
            found.push(format!(
                "the cluster is Kubernetes {major}.{minor}, whose Pods cannot have sidecars that end with them; \
                 1.{} is the oldest that can: upgrade the cluster first",
                OLDEST.1
            ));
        }
        if let Some(other) = self.foreign_manager() {
            found.push(format!(
                "the mesh in {namespace} was installed by {other}: change it there (such as with `helm upgrade`), or \
                 uninstall it there first"
            ));
        }
        let elsewhere = self.injector.as_ref().and_then(|injector| {
            injector.pointer("/webhooks/0/clientConfig/service/namespace").and_then(Value::as_str)
        });
        if let Some(other) = elsewhere.filter(|other| *other != namespace) {
            found.push(format!(
                "a mesh is already in namespace {other}, and a cluster has one: use --mesh-namespace {other}, or \
                 uninstall that one first"
            ));
        }
        let installed = self.inventory.as_ref().map(|inventory| inventory.version.as_str());
        if let Some(installed) = installed.filter(|i| *i != version && intent == Intent::Install) {
            found.push(format!(
                "version {installed} is installed and this is meshctl {version}: `meshctl upgrade` shows what changes \
                 and goes on"
            ));
        }
        let wanted = plan.trust_domain();
        if let Some(current) = self.trust_domain.as_deref().filter(|current| *current != wanted) {
            found.push(format!(
                "members have identities of trust domain {current}, and the values say {wanted}: members of both would \
                 refuse each other; leave trustDomain as it is, or uninstall first"
            ));
        }
        found
    }
}

fn label<'a>(object: Option<&'a Value>, name: &str) -> Option<&'a str> {
    object?.pointer("/metadata/labels")?.get(name)?.as_str()
}

/// What to do about the definitions of Gateway API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gateway {
    /// None is there: all are applied.
    Apply,
    /// Some are there, of this bundle: whoever put them there goes on to.
    Keep {
        /// `v1.6.3`.
        bundle: String,
    },
}

/// Decides from the definitions that a cluster has. What is there is never changed: it may be newer, and belongs to others.
pub fn gateway_plan(crds: &[Value]) -> Gateway {
    let bundle = crds.iter().find_map(|crd| {
        let name = crd.pointer("/metadata/name")?.as_str()?;
        if !name.ends_with(".gateway.networking.k8s.io") {
            return None;
        }
        let bundle = crd.pointer("/metadata/annotations")?.get("gateway.networking.k8s.io/bundle-version");
        Some(bundle.and_then(Value::as_str).unwrap_or("unknown").to_owned())
    });
    bundle.map_or(Gateway::Apply, |bundle| Gateway::Keep { bundle })
}

/// The trust domain that an authority's Deployment says.
pub fn trust_domain_of(ca: &Value) -> Option<String> {
    let containers = ca.pointer("/spec/template/spec/containers")?.as_array()?;
    let arguments = containers.iter().filter_map(|container| container.get("args")?.as_array()).flatten();
    let said =
        arguments.filter_map(Value::as_str).find_map(|argument| argument.strip_prefix("--trust-domain="));
    said.map(ToOwned::to_owned)
}

/// Whether every webhook of a configuration has the roots by which the API server trusts it.
pub fn webhook_is_ready(configuration: &Value) -> bool {
    let webhooks = configuration.get("webhooks").and_then(Value::as_array);
    webhooks.is_some_and(|webhooks| {
        let bundle =
            |webhook: &Value| webhook.pointer("/clientConfig/caBundle").and_then(Value::as_str).is_some();
        !webhooks.is_empty() && webhooks.iter().all(bundle)
    })
}
