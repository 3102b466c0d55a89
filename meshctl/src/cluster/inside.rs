//! The way to the mesh's own parts inside a cluster: the roots that they show, a token that proves who asks, and connections to their
//! Pods through the API server, which needs no other program and no port that is open to the outside. It must not know what is said
//! on them.

use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::io::AsyncBufRead;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use mesh_identity::{Bytes, Opening, Tunnel};

use super::ClusterArgs;
use super::api::{ApiError, LogAsk, causes, config, refusal};

/// The API server has this long for one answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// A token is used at once and never again.
const TOKEN_SECONDS: i64 = 600;
const AUDIENCE: &str = "mesh-ca";
const ACCOUNT: &str = "meshctl";
const ROOTS: &str = "amime-ca-roots";
const ROOTS_KEY: &str = "roots.pem";

/// Why the mesh's parts cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InsideError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(
        "no mesh in namespace {namespace} of the cluster at {server}: there is no {missing}; install one with `meshctl install`, or name its namespace with --mesh-namespace"
    )]
    NoMesh { namespace: String, server: String, missing: String },
    #[error(
        "you may not {what} in namespace {namespace}: {why}; the page \"meshctl and clusters\" lists the rights that meshctl needs"
    )]
    Forbidden { what: String, namespace: String, why: String },
    #[error("cannot {what}: {why}")]
    Failed { what: String, why: String },
    #[error("no Pod of {app} is ready in namespace {namespace} ({states}); `meshctl check` says why")]
    NotReady { app: &'static str, namespace: String, states: String },
}

/// A cluster with a mesh in it.
#[derive(Clone)]
pub(crate) struct Inside {
    client: Client,
    server: String,
    namespace: String,
}

impl Inside {
    /// Nothing is asked yet.
    pub(crate) async fn connect(args: &ClusterArgs) -> Result<Self, InsideError> {
        // Without a limit on silence: connections through the API server are quiet for long.
        let config = config(args).await?;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| ApiError::NoCluster(causes(&error)))?;
        Ok(Self { client, server, namespace: args.mesh_namespace.clone() })
    }

    /// PEM of the roots that the mesh's parts show.
    pub(crate) async fn roots(&self) -> Result<String, InsideError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let map = self.ask("read ConfigMap amime-ca-roots", maps.get_opt(ROOTS)).await?;
        let pem = map.and_then(|map| map.data?.remove(ROOTS_KEY));
        pem.ok_or_else(|| self.no_mesh(format!("ConfigMap {ROOTS}")))
    }

    /// A token of the account that meshctl has in the mesh, for its certificate authority alone.
    pub(crate) async fn token(&self) -> Result<String, InsideError> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let spec = TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            expiration_seconds: Some(TOKEN_SECONDS),
            bound_object_ref: None,
        };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let what = "request a token for ServiceAccount meshctl";
        let params = PostParams::default();
        let asked = self.ask(what, accounts.create_token_request(ACCOUNT, &params, &request)).await;
        let answer = match asked {
            Err(InsideError::Api(ApiError::Refused { code: 404, .. })) => {
                return Err(self.no_mesh(format!("ServiceAccount {ACCOUNT}")));
            }
            answered => answered?,
        };
        answer.status.map(|status| status.token).ok_or_else(|| InsideError::Failed {
            what: what.to_owned(),
            why: "the API server answers without one".to_owned(),
        })
    }

    /// A port of every Pod of `app` that is ready: at least one.
    pub(crate) async fn pods(&self, app: &'static str, port: u16) -> Result<Vec<PodPort>, InsideError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let wanted = ListParams::default().labels(&format!("app.kubernetes.io/name={app}")).limit(500);
        let found = self.ask(&format!("list the Pods of {app}"), pods.list(&wanted)).await?.items;
        if found.is_empty() {
            return Err(self.no_mesh(format!("Pod of {app}")));
        }
        let mut ready: Vec<_> = found.iter().filter(|pod| is_ready(pod)).filter_map(name).collect();
        ready.sort();
        if ready.is_empty() {
            let states: Vec<_> = found.iter().take(5).map(state).collect();
            let (namespace, states) = (self.namespace.clone(), states.join(", "));
            return Err(InsideError::NotReady { app, namespace, states });
        }
        Ok(ready.into_iter().map(|pod| self.port_of(&self.namespace, &pod, port)).collect())
    }

    /// A port of any Pod.
    pub(crate) fn port_of(&self, namespace: &str, pod: &str, port: u16) -> PodPort {
        let (client, namespace) = (self.client.clone(), namespace.to_owned());
        PodPort { client, namespace, pod: pod.to_owned(), port }
    }

    /// A container's log as a stream, which may be silent for long.
    pub(crate) async fn log(
        &self,
        namespace: &str,
        pod: &str,
        ask: &LogAsk<'_>,
    ) -> Result<impl AsyncBufRead + use<>, ApiError> {
        let what = format!("the log of Pod {namespace}/{pod}, container {}", ask.container);
        let request = http::Request::get(ask.path(namespace, pod)).body(Vec::new());
        let request =
            request.map_err(|error| ApiError::Unreachable { what: what.clone(), text: error.to_string() })?;
        match tokio::time::timeout(DEADLINE, self.client.request_stream(request)).await {
            Err(_) => Err(ApiError::Slow { what }),
            Ok(answer) => answer.map_err(|error| refusal(what, &error)),
        }
    }

    fn no_mesh(&self, missing: String) -> InsideError {
        InsideError::NoMesh { namespace: self.namespace.clone(), server: self.server.clone(), missing }
    }

    async fn ask<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, InsideError> {
        let what = what.to_owned();
        match tokio::time::timeout(DEADLINE, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => {
                let (namespace, why) = (self.namespace.clone(), status.message.clone());
                Err(InsideError::Forbidden { what, namespace, why })
            }
            Ok(Err(kube::Error::Api(status))) => {
                Err(ApiError::Refused { what, code: status.code, message: status.message.clone() }.into())
            }
            Ok(Err(error)) => Err(InsideError::Failed { what, why: causes(&error) }),
            Err(_) => {
                let why = format!("{} does not answer in {} s", self.server, DEADLINE.as_secs());
                Err(InsideError::Failed { what, why })
            }
        }
    }
}

fn name(pod: &Pod) -> Option<String> {
    pod.metadata.name.clone()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
    ready && pod.metadata.deletion_timestamp.is_none()
}

fn state(pod: &Pod) -> String {
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
    let phase =
        if pod.metadata.deletion_timestamp.is_some() { Some("Terminating".to_owned()) } else { phase };
    format!("{}: {}", name(pod).unwrap_or_default(), phase.unwrap_or_else(|| "unknown".to_owned()))
}

/// A port of a Pod, reached through the API server.
#[derive(Clone)]
pub(crate) struct PodPort {
    client: Client,
    namespace: String,
    pod: String,
    port: u16,
}

impl PodPort {
    /// Another port of the same Pod.
    pub(crate) fn at(&self, port: u16) -> Self {
        Self { port, ..self.clone() }
    }
}

impl fmt::Debug for PodPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PodPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pod {}/{} port {}", self.namespace, self.pod, self.port)
    }
}

impl Tunnel for PodPort {
    fn open(&self) -> Opening {
        let this = self.clone();
        Box::pin(async move {
            let pods: Api<Pod> = Api::namespaced(this.client.clone(), &this.namespace);
            let ports = [this.port];
            let opened = tokio::time::timeout(DEADLINE, pods.portforward(&this.pod, &ports)).await;
            let opened = opened.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))?;
            let mut forwarder = opened.map_err(|error| io::Error::other(refused(&error, &this.namespace)))?;
            let stream = forwarder.take_stream(this.port).ok_or(io::ErrorKind::NotConnected)?;
            Ok(Box::new(stream) as Bytes)
        })
    }
}

/// The API server's refusal to forward comes as its own words, or as a failed upgrade.
fn refused(error: &kube::Error, namespace: &str) -> String {
    let (forbidden, text) = match error {
        kube::Error::Api(status) => (status.code == 403, status.message.clone()),
        error => {
            let text = causes(error);
            (text.contains("403"), text)
        }
    };
    if forbidden {
        return format!(
            "you may not forward ports of Pods: it takes the verbs create and get on pods/portforward in namespace {namespace} ({text})"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: &serde_json::Value, deleted: bool) -> Pod {
        let mut pod = json!({"metadata": {"name": "a"}, "status": status});
        if deleted {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn only_a_pod_that_is_ready_and_stays_is_asked() {
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let not = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]});
        assert!(is_ready(&pod(&ready, false)));
        assert!(!is_ready(&pod(&ready, true)));
        assert!(!is_ready(&pod(&not, false)));
        assert!(!is_ready(&pod(&json!({"phase": "Pending"}), false)));
        assert_eq!(state(&pod(&not, false)), "a: Running");
        assert_eq!(state(&pod(&ready, true)), "a: Terminating");
    }
}
