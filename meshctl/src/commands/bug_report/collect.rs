//! What goes into a report: objects, logs, what our own commands say, and dumps of sidecars. One thing that cannot be had keeps nothing else
//! out.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use mesh_controller::inspect::json;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::StatRequest;
use serde_json::{Value, json};

use super::report::Report;
use crate::client::inspect::Inspect;
use crate::cluster::{Api, ApiError, CONTAINER, Inside, LogAsk, Sidecar};
use crate::commands::cluster_check;
use crate::output;

/// Groups whose objects configure the mesh.
const GROUPS: [&str; 3] = ["amime.io", "gateway.networking.k8s.io", "gateway.networking.x-k8s.io"];
/// What of the mesh's namespace is taken: API, plural and kind.
const OWN: [(&str, &str, &str); 12] = [
    ("/api/v1", "pods", "Pod"),
    ("/api/v1", "services", "Service"),
    ("/api/v1", "configmaps", "ConfigMap"),
    ("/api/v1", "serviceaccounts", "ServiceAccount"),
    ("/api/v1", "events", "Event"),
    ("/apis/apps/v1", "deployments", "Deployment"),
    ("/apis/apps/v1", "replicasets", "ReplicaSet"),
    ("/apis/apps/v1", "daemonsets", "DaemonSet"),
    ("/apis/discovery.k8s.io/v1", "endpointslices", "EndpointSlice"),
    ("/apis/coordination.k8s.io/v1", "leases", "Lease"),
    ("/apis/policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    ("/apis/networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"),
];
const WEBHOOKS: [(&str, &str); 2] = [
    ("mutatingwebhookconfigurations", "amime-injector"),
    ("validatingwebhookconfigurations", "amime-validator"),
];
const INIT_CONTAINER: &str = "mesh-init";
const DUMPS: [&str; 4] = ["config", "endpoints", "certs", "dns"];
/// Of one log.
const MOST_LINES: u32 = 10_000;
const MOST_BYTES: usize = 2 << 20;
const STAT_SECONDS: u32 = 300;

pub(super) struct Collector {
    pub(super) api: Api,
    pub(super) inside: Inside,
    pub(super) mesh_namespace: String,
    pub(super) report: Report,
}

impl Collector {
    /// Objects and logs.
    pub(super) async fn installation(&mut self) -> anyhow::Result<()> {
        output::note("objects of the mesh and of Gateway API");
        for group in GROUPS {
            self.group(group).await?;
        }
        let namespace = self.mesh_namespace.clone();
        output::note(&format!("objects and events of {namespace}"));
        for (api, plural, kind) in OWN {
            let path = format!("{api}/namespaces/{namespace}/{plural}");
            let found = self.api.list(&path, "").await;
            let found = found.map(|all| all.into_iter().map(|object| typed(object, api, kind)).collect());
            self.objects(&format!("{namespace}/{plural}.yaml"), found)?;
        }
        for (plural, name) in WEBHOOKS {
            let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{name}");
            let found = self.api.read(name, &path).await;
            self.objects(&format!("webhooks/{name}.yaml"), found.map(|found| found.into_iter().collect()))?;
        }
        self.nodes().await?;
        self.secrets(&namespace).await?;
        output::note(&format!("logs of {namespace}"));
        let pods = self.api.list(&format!("/api/v1/namespaces/{namespace}/pods"), "").await;
        for pod in pods.unwrap_or_default() {
            for (container, restarts) in containers(&pod) {
                self.log(&format!("{namespace}/logs"), &pod, &container, restarts > 0).await?;
            }
        }
        Ok(())
    }

    fn objects(&mut self, name: &str, found: Result<Vec<Value>, ApiError>) -> anyhow::Result<()> {
        match found {
            Ok(objects) => self.report.yaml(name, objects),
            Err(error) => {
                self.report.leave_out(name, error);
                Ok(())
            }
        }
    }

    /// Every object of every kind that the group has there.
    async fn group(&mut self, group: &str) -> anyhow::Result<()> {
        let found = match self.api.read(group, &format!("/apis/{group}")).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.report.leave_out(group, error);
                return Ok(());
            }
        };
        let mut seen = BTreeSet::new();
        for version in versions(&found) {
            let kinds = match self.api.read(&version, &format!("/apis/{version}")).await {
                Ok(kinds) => kinds.unwrap_or_default(),
                Err(error) => {
                    self.report.leave_out(&version, error);
                    continue;
                }
            };
            for plural in plurals(&kinds) {
                if seen.insert(plural.clone()) {
                    let objects = self.api.list(&format!("/apis/{version}/{plural}"), "").await;
                    self.objects(&format!("objects/{group}/{plural}.yaml"), objects)?;
                }
            }
        }
        Ok(())
    }

    /// Kernel, kubelet and runtime of every node.
    async fn nodes(&mut self) -> anyhow::Result<()> {
        match self.api.list("/api/v1/nodes", "").await {
            Ok(nodes) => {
                let shown = nodes.iter().map(|node| {
                    let conditions = node.pointer("/status/conditions");
                    json!({ "name": node.pointer("/metadata/name"), "info": node.pointer("/status/nodeInfo"), "conditions": conditions })
                });
                let shown = shown.collect();
                self.report.json("nodes.json", shown)
            }
            Err(error) => {
                self.report.leave_out("nodes.json", error);
                Ok(())
            }
        }
    }

    /// Their names alone, and nothing else is asked for.
    async fn secrets(&mut self, namespace: &str) -> anyhow::Result<()> {
        let name = format!("{namespace}/secrets.txt");
        match self.api.list_metadata(&format!("/api/v1/namespaces/{namespace}/secrets"), "").await {
            Ok(secrets) => {
                let mut lines = String::new();
                for secret in &secrets {
                    writeln!(lines, "{}", text(secret, "/metadata/name")).ok();
                }
                self.report.text(&name, &lines)
            }
            Err(error) => {
                self.report.leave_out(&name, error);
                Ok(())
            }
        }
    }

    async fn log(
        &mut self,
        under: &str,
        pod: &Value,
        container: &str,
        restarted: bool,
    ) -> anyhow::Result<()> {
        let (namespace, pod) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        for previous in [false, true] {
            if previous && !restarted {
                continue;
            }
            let (tail, most_bytes) = (MOST_LINES, Some(MOST_BYTES));
            let ask = LogAsk { container, tail, most_bytes, previous, follow: false };
            let name = format!("{under}/{pod}-{container}{}.log", if previous { "-previous" } else { "" });
            match self.api.log(&namespace, &pod, &ask).await {
                Ok(log) => self.report.text(&name, &log)?,
                Err(error) => self.report.leave_out(&name, error),
            }
        }
        Ok(())
    }

    /// What `check`, `sync`, `certs`, `stat` and `version` say.
    pub(super) async fn judgements(&mut self, server: (u32, u32), tasks: &Tasks) -> anyhow::Result<()> {
        output::note("check, sync, certs, stat and version");
        let (api, inside) = (&self.api, &self.inside);
        let report = Box::pin(cluster_check::report(api, inside, &self.mesh_namespace, tasks)).await;
        self.answer("check.json", report)?;
        let mut versions = json!({
            "client": env!("CARGO_PKG_VERSION"),
            "kubernetes": format!("{}.{}", server.0, server.1),
        });
        match Box::pin(Inspect::inside(&self.inside, tasks)).await {
            Ok(inspect) => {
                let sync = inspect.sync().await;
                self.answer("sync.json", sync.map(|answer| json::sync(&answer)))?;
                let certs = inspect.certs().await;
                self.answer("certs.json", certs.map(|answer| json::certs(&answer)))?;
                let request = StatRequest { window_seconds: STAT_SECONDS, ..StatRequest::default() };
                let stat = inspect.stat(request).await;
                self.answer("stat.json", stat.map(|answer| json::stat(&answer)))?;
                if let (Ok(answer), Some(map)) = (inspect.version().await, versions.as_object_mut()) {
                    let proxies =
                        answer.proxies.iter().map(|p| json!({ "version": p.version, "count": p.count }));
                    map.insert("proxies".to_owned(), proxies.collect());
                    map.insert("controller".to_owned(), answer.version.into());
                }
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                self.report.leave_out("sync.json, certs.json, stat.json", format_args!("{error:#}"));
            }
        }
        self.report.json("versions.json", versions)
    }

    fn answer<E: Into<anyhow::Error>>(&mut self, name: &str, answer: Result<Value, E>) -> anyhow::Result<()> {
        match answer {
            Ok(value) => self.report.json(name, value),
            Err(error) => {
                self.report.leave_out(name, format_args!("{:#}", error.into()));
                Ok(())
            }
        }
    }

    /// Pod, dumps and log of some sidecars.
    pub(super) async fn sidecars(&mut self, namespace: Option<&str>, most: u32) -> anyhow::Result<()> {
        let path = namespace.map_or_else(
            || "/api/v1/pods".to_owned(),
            |namespace| format!("/api/v1/namespaces/{namespace}/pods"),
        );
        let mut pods = match self.api.list(&path, "labelSelector=amime.io%2Finjected%3Dtrue").await {
            Ok(pods) => pods,
            Err(error) => {
                self.report.leave_out("sidecars", error);
                return Ok(());
            }
        };
        pods.sort_by_key(urgency);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if pods.len() > most {
            let why = format!("{} of {}; --sidecars COUNT takes more", pods.len() - most, pods.len());
            self.report.leave_out("sidecars", why);
            pods.truncate(most);
        }
        for pod in pods {
            self.sidecar(pod).await?;
        }
        Ok(())
    }

    async fn sidecar(&mut self, pod: Value) -> anyhow::Result<()> {
        let (namespace, name) = (text(&pod, "/metadata/namespace"), text(&pod, "/metadata/name"));
        output::note(&format!("sidecar of {namespace}/{name}"));
        let under = format!("sidecars/{namespace}/{name}");
        // Ours alone: what applications log is theirs.
        for (container, restarts) in containers(&pod) {
            if container == CONTAINER || container == INIT_CONTAINER {
                self.log(&under, &pod, &container, restarts > 0).await?;
            }
        }
        match Sidecar::of(self.inside.clone(), &pod) {
            Ok(sidecar) => {
                for dump in DUMPS {
                    match sidecar.get(&format!("/{dump}")).await {
                        Ok(value) => self.report.json(&format!("{under}/{dump}.json"), value)?,
                        Err(error) => {
                            // The others would wait as long and find the same.
                            self.report.leave_out(&format!("{under}/{dump}.json and what follows"), error);
                            break;
                        }
                    }
                }
            }
            Err(error) => self.report.leave_out(&format!("{under}/*.json"), error),
        }
        self.report.yaml(&format!("{under}/pod.yaml"), vec![typed(pod, "/api/v1", "Pod")])
    }
}

/// An object of a list, which does not say what it is.
fn typed(mut object: Value, api: &str, kind: &str) -> Value {
    let version = api.trim_start_matches("/apis/").trim_start_matches("/api/");
    if let Some(map) = object.as_object_mut() {
        map.entry("apiVersion").or_insert_with(|| version.into());
        map.entry("kind").or_insert_with(|| kind.into());
    }
    object
}

fn text(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

/// Versions of a group, the preferred one first.
fn versions(group: &Value) -> Vec<String> {
    let preferred = group.pointer("/preferredVersion/groupVersion").into_iter();
    let all = list(group, "/versions").filter_map(|version| version.get("groupVersion"));
    preferred.chain(all).filter_map(|version| version.as_str().map(str::to_owned)).collect()
}

/// Kinds that can be listed, without their parts.
fn plurals(kinds: &Value) -> Vec<String> {
    let listed = |kind: &&Value| list(kind, "/verbs").any(|verb| verb == "list");
    let names = list(kinds, "/resources").filter(listed).map(|kind| text(kind, "/name"));
    names.filter(|name| !name.contains('/')).collect()
}

/// Containers that have run, and how often they began again.
fn containers(pod: &Value) -> Vec<(String, u64)> {
    let statuses = list(pod, "/status/initContainerStatuses").chain(list(pod, "/status/containerStatuses"));
    let restarts = |status: &Value| status.get("restartCount").and_then(Value::as_u64).unwrap_or_default();
    statuses.map(|status| (text(status, "/name"), restarts(status))).collect()
}

/// Small comes first: Pods that are not ready, then those whose containers began again, then by name.
fn urgency(pod: &Value) -> (bool, bool, String, String) {
    let ready =
        list(pod, "/status/conditions").any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True");
    let calm = containers(pod).iter().all(|(_, restarts)| *restarts == 0);
    (ready, calm, text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_in_trouble_come_first() {
        let pod = |name: &str, ready: &str, restarts: u64| {
            json!({"metadata": {"name": name, "namespace": "shop"}, "status": {
                "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [{"name": "app", "restartCount": restarts}]}})
        };
        let mut pods =
            [pod("b", "True", 0), pod("a", "True", 0), pod("again", "True", 3), pod("down", "False", 0)];
        pods.sort_by_key(urgency);
        let names: Vec<_> = pods.iter().map(|pod| text(pod, "/metadata/name")).collect();
        assert_eq!(names, ["down", "again", "a", "b"]);
    }

    #[test]
    fn kinds_are_found_by_what_the_server_says() {
        let group = json!({"preferredVersion": {"groupVersion": "g/v1"},
            "versions": [{"groupVersion": "g/v1"}, {"groupVersion": "g/v1alpha2"}]});
        assert_eq!(versions(&group), ["g/v1", "g/v1", "g/v1alpha2"]);
        let kinds = json!({"resources": [
            {"name": "httproutes", "verbs": ["get", "list"]}, {"name": "httproutes/status", "verbs": ["get", "list"]},
            {"name": "reviews", "verbs": ["create"]}]});
        assert_eq!(plurals(&kinds), ["httproutes"]);
        assert!(versions(&Value::Null).is_empty() && plurals(&Value::Null).is_empty());
    }
}
