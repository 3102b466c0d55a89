//! Asks an API server for everything that checks look at: lists in pages, metadata where that is enough, what does not depend
//! on each other at the same time. What may not be read is left out, and the checks say that they could not look.

use std::collections::BTreeMap;
use std::future::Future;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use mesh_operate::check::{Access, DryRun, Plugin, State};
use mesh_operate::install::{self, INVENTORY, Inventory, Options};
use mesh_operate::object::{Kind, ObjectRef};
use serde_json::{Value, json};
use tokio::try_join;

use crate::cluster::{Api, ApiError};
use crate::commands::install::VERSION;

/// Calls under way at once.
const AT_ONCE: usize = 16;
/// What an installation makes, and where.
const RIGHTS: [(&str, &str, bool); 8] = [
    ("", "namespaces", false),
    ("apiextensions.k8s.io", "customresourcedefinitions", false),
    ("rbac.authorization.k8s.io", "clusterroles", false),
    ("rbac.authorization.k8s.io", "clusterrolebindings", false),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", false),
    ("apps", "deployments", true),
    ("", "secrets", true),
    ("", "configmaps", true),
];

/// Collects. Only what nothing can be said without is an error.
pub(super) async fn state(api: &Api, namespace: &str, before: bool) -> anyhow::Result<State> {
    let asked = std::time::SystemTime::now();
    let (server, server_time) = api.version_and_time().await?;
    let now = asked.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let start = State {
        now: i64::try_from(now).unwrap_or_default(),
        server_time,
        version: VERSION.to_owned(),
        mesh_namespace: namespace.to_owned(),
        server,
        ..State::default()
    };
    let cluster = cluster(api, namespace, start);
    if before {
        return Ok(cluster.await?);
    }
    let (mut state, installation, members) = try_join!(cluster, installation(api, namespace), members(api))?;
    installation.into_state(&mut state);
    (state.members, state.opted_in) = members;
    Ok(state)
}

/// What may be refused to who asks: nothing is known of it then.
async fn optional<T: Default>(answer: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    match answer.await {
        Err(error) if matches!(error.code(), Some(401 | 403 | 404)) => Ok(T::default()),
        other => other,
    }
}

async fn cluster(api: &Api, namespace: &str, start: State) -> Result<State, ApiError> {
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let deployment = |name| ObjectRef::namespaced("apps/v1", "Deployment", namespace, name);
    let (nodes, crds, namespaces, access, ca, controller) = try_join!(
        optional(api.list("/api/v1/nodes", "")),
        optional(api.list_metadata(crds, "")),
        optional(api.list_metadata("/api/v1/namespaces", "")),
        access(api, namespace),
        api.get_boxed(deployment("mesh-ca")),
        api.get_boxed(deployment("mesh-controller")),
    )?;
    let parts = [("mesh-ca", ca), ("mesh-controller", controller)];
    let deployments = parts.into_iter().filter_map(|(name, found)| Some((name.to_owned(), found?)));
    Ok(State { nodes, crds, namespaces, access, deployments: deployments.collect(), ..start })
}

/// Asks whether an installation would be allowed.
async fn access(api: &Api, namespace: &str) -> Result<Vec<Access>, ApiError> {
    let ask = |(group, resource, inside): (&'static str, &'static str, bool)| async move {
        let mut attributes = json!({"group": group, "resource": resource, "verb": "create"});
        if inside && let Some(map) = attributes.as_object_mut() {
            map.insert("namespace".to_owned(), namespace.into());
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = api.create("what you may do", path, &review).await?;
        let allowed = answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true);
        Ok(Access { what: format!("create {resource}"), allowed })
    };
    join_all(RIGHTS.map(ask)).await.into_iter().collect()
}

/// What belongs to the mesh itself.
struct Installation {
    own_crds: Vec<Value>,
    control_pods: Vec<Value>,
    warnings: Vec<Value>,
    slices: Vec<Value>,
    missing: Vec<ObjectRef>,
    inventory: bool,
    roles: Vec<(String, Option<Value>, Value)>,
    webhooks: BTreeMap<String, Value>,
    webhook_certificate: Option<String>,
    dry_run: Option<DryRun>,
    lease: Option<Value>,
    mesh_configs: Vec<Value>,
    roots: Vec<Value>,
    injection: Option<Value>,
    quotas: Vec<Value>,
    limit_ranges: Vec<Value>,
    plugin: Plugin,
}

impl Installation {
    fn into_state(self, state: &mut State) {
        state.own_crds = self.own_crds;
        state.control_pods = self.control_pods;
        state.warnings = self.warnings;
        state.slices = self.slices;
        state.missing = self.missing;
        state.inventory = self.inventory;
        state.roles = self.roles;
        state.webhooks = self.webhooks;
        state.webhook_certificate = self.webhook_certificate;
        state.dry_run = self.dry_run;
        state.lease = self.lease;
        state.mesh_configs = self.mesh_configs;
        state.roots = self.roots;
        state.injection = self.injection;
        state.quotas = self.quotas;
        state.limit_ranges = self.limit_ranges;
        state.plugin = self.plugin;
    }
}

async fn installation(api: &Api, namespace: &str) -> Result<Installation, ApiError> {
    let inside = |plural: &str| format!("/api/v1/namespaces/{namespace}/{plural}");
    let named = |kind: &str, name: &str| ObjectRef::namespaced("v1", kind, namespace, name);
    let (pods, events, slices) = (
        inside("pods"),
        inside("events"),
        format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"),
    );
    let lease = ObjectRef::namespaced("coordination.k8s.io/v1", "Lease", namespace, "mesh-controller");
    let roots = "fieldSelector=metadata.name%3Damime-ca-roots";
    let lists = async {
        try_join!(
            optional(api.list(&pods, "")),
            optional(api.list(&events, "fieldSelector=type%3DWarning")),
            optional(api.list(&slices, "")),
            optional(api.list("/apis/amime.io/v1alpha1/meshconfigs", "")),
            optional(api.list("/api/v1/configmaps", roots)),
            optional(api.list("/api/v1/resourcequotas", "")),
            optional(api.list("/api/v1/limitranges", "")),
        )
    };
    let single = async {
        try_join!(
            optional(api.get_boxed(named("ConfigMap", "amime-injection"))),
            optional(api.get_boxed(named("Secret", "amime-webhook"))),
            optional(api.get_boxed(lease)),
            optional(api.get_boxed(named("ConfigMap", INVENTORY))),
        )
    };
    let (lists, single, webhooks, own_crds, dry_run, mut plugin) = try_join!(
        Box::pin(lists),
        Box::pin(single),
        webhooks(api),
        own_crds(api),
        dry_run(api),
        plugin(api)
    )?;
    let (control_pods, warnings, slices, mesh_configs, roots, quotas, limit_ranges) = lists;
    let (injection, secret, lease, inventory) = single;
    let inventory = inventory.as_ref().and_then(|object| Inventory::read(object).ok());
    plugin.external = inventory.as_ref().map(|inventory| {
        inventory.given.pointer("/cni/external").and_then(Value::as_bool).unwrap_or_default()
    });
    let (missing, roles) = match &inventory {
        Some(inventory) => try_join!(missing(api, inventory), roles(api, namespace, inventory))?,
        None => (Vec::new(), Vec::new()),
    };
    let webhook_certificate = secret.as_ref().and_then(certificate);
    Ok(Installation {
        own_crds,
        control_pods,
        warnings,
        slices,
        missing,
        inventory: inventory.is_some(),
        roles,
        webhooks,
        webhook_certificate,
        dry_run,
        lease,
        mesh_configs,
        roots,
        injection,
        quotas,
        limit_ranges,
        plugin,
    })
}

/// The CNI plugin's DaemonSet and its Pods, in their own namespace.
async fn plugin(api: &Api) -> Result<Plugin, ApiError> {
    let set = ObjectRef::namespaced("apps/v1", "DaemonSet", "amime-cni", "mesh-cni");
    let pods = "/api/v1/namespaces/amime-cni/pods";
    let (set, pods) = try_join!(optional(api.get_boxed(set)), optional(api.list(pods, "")))?;
    Ok(Plugin { set, pods, external: None })
}

/// The certificate of a Secret, never its key.
fn certificate(secret: &Value) -> Option<String> {
    let encoded = secret.pointer("/data").and_then(|data| data.get("tls.crt")?.as_str())?;
    mesh_operate::check::decoded(encoded).filter(|pem| !pem.is_empty())
}

async fn webhooks(api: &Api) -> Result<BTreeMap<String, Value>, ApiError> {
    let group = "admissionregistration.k8s.io/v1";
    let get = |kind, name| optional(api.get_boxed(ObjectRef::cluster(group, kind, name)));
    let (injector, validator) = try_join!(
        get("MutatingWebhookConfiguration", "amime-injector"),
        get("ValidatingWebhookConfiguration", "amime-validator"),
    )?;
    let found = [("amime-injector", injector), ("amime-validator", validator)];
    Ok(found.into_iter().filter_map(|(name, object)| Some((name.to_owned(), object?))).collect())
}

async fn own_crds(api: &Api) -> Result<Vec<Value>, ApiError> {
    let crds = mesh_chart::Chart::embedded().crds().unwrap_or_default();
    let names = crds.into_iter().filter_map(|crd| ObjectRef::of(&crd.object));
    Ok(get_all(api, names.collect()).await?.into_iter().filter_map(|(_, object)| object).collect())
}

/// Many objects, a bounded number at once.
async fn get_all(api: &Api, names: Vec<ObjectRef>) -> Result<Vec<(ObjectRef, Option<Value>)>, ApiError> {
    let calls = names.into_iter().map(|name| async move {
        let object = optional(api.get_boxed(name.clone())).await?;
        Ok((name, object))
    });
    stream::iter(calls).buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
}

async fn missing(api: &Api, inventory: &Inventory) -> Result<Vec<ObjectRef>, ApiError> {
    let all = get_all(api, inventory.objects.clone()).await?;
    Ok(all.into_iter().filter(|(_, object)| object.is_none()).map(|(name, _)| name).collect())
}

/// Roles as they are, beside what the chart makes of the values that were given.
async fn roles(
    api: &Api,
    namespace: &str,
    inventory: &Inventory,
) -> Result<Vec<(String, Option<Value>, Value)>, ApiError> {
    let options = Options {
        files: vec![inventory.given.clone()],
        namespace: namespace.to_owned(),
        ..Options::default()
    };
    let Ok(plan) = install::plan(&options) else { return Ok(Vec::new()) };
    let wanted = plan.objects.into_iter().map(|document| document.object);
    let wanted: Vec<(ObjectRef, Value)> = wanted
        .filter_map(|object| Some((ObjectRef::of(&object)?, object)))
        .filter(|(name, _)| matches!(name.kind.as_str(), "Role" | "ClusterRole"))
        .collect();
    let live = get_all(api, wanted.iter().map(|(name, _)| name.clone()).collect()).await?;
    let pairs = live.into_iter().zip(wanted);
    Ok(pairs.map(|((name, live), (_, wanted))| (name.to_string(), live, wanted)).collect())
}

/// Sends a Pod that opts in, which the API server does not store.
async fn dry_run(api: &Api) -> Result<Option<DryRun>, ApiError> {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "amime-check-", "namespace": "default", "labels": {"amime.io/inject": "enabled"}},
        "spec": {"containers": [{"name": "app", "image": "amime.invalid/check"}]},
    });
    let path = "/api/v1/namespaces/default/pods?dryRun=All";
    match api.create("a Pod for a trial", path, &pod).await {
        Ok(pod) => Ok(Some(DryRun::Pod(Box::new(pod)))),
        Err(ApiError::Refused { code: 403, message, .. }) if !message.contains("webhook") => {
            tracing::debug!(message, "the trial was not allowed");
            Ok(None)
        }
        Err(ApiError::Refused { message, .. }) => Ok(Some(DryRun::Refused(message))),
        Err(error) => Err(error),
    }
}

/// Pods with a sidecar, and the metadata of those in namespaces that opted in.
async fn members(api: &Api) -> Result<(Vec<Value>, Vec<Value>), ApiError> {
    let enabled = "labelSelector=amime.io%2Finject%3Denabled";
    let pods =
        Kind::find("v1", "Pod").map_or_else(|| "/api/v1/pods".to_owned(), |kind| kind.collection(None));
    let injected = optional(api.list(&pods, "labelSelector=amime.io%2Finjected%3Dtrue"));
    let opted_in = async {
        let namespaces = optional(api.list_metadata("/api/v1/namespaces", enabled)).await?;
        let names = namespaces.iter().filter_map(|namespace| namespace.pointer("/metadata/name")?.as_str());
        let paths: Vec<String> = names.map(|name| format!("/api/v1/namespaces/{name}/pods")).collect();
        let calls = paths.iter().map(|path| optional(api.list_metadata(path, "")));
        let found: Vec<_> = stream::iter(calls).buffered(AT_ONCE).collect().await;
        let mut all = Vec::new();
        for pods in found {
            all.extend(pods?);
        }
        // Pods that ask for it themselves are looked at whole: their network is of interest.
        all.extend(optional(api.list(&pods, enabled)).await?);
        Ok(all)
    };
    try_join!(injected, opted_in)
}
