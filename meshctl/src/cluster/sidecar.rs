//! One sidecar of a cluster: which Pod is meant, its admin port through the API server, and its log. It must not know what the
//! answers mean.

use std::fmt;
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::io::{AsyncBufRead, AsyncBufReadExt as _};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_identity::Tunnel as _;
use mesh_operate::object::ObjectRef;
use serde_json::Value;

use super::api::{Api, ApiError, LogAsk};
use super::inside::Inside;

const ADMIN_PORT: u16 = 15000;
pub(crate) const CONTAINER: &str = "mesh-proxy";
/// The sidecar answers from memory.
const DEADLINE: Duration = Duration::from_secs(15);
/// A sidecar that uses thousands of services answers in fewer.
const MOST_BYTES: usize = 64 << 20;

/// Why a sidecar cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SidecarError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("there is no {0}; name its namespace with -n")]
    NoSuch(String),
    #[error("{0} has no Pod with a sidecar that runs")]
    NoPodOf(String),
    #[error(
        "Pod {0} has no sidecar: put the label `amime.io/inject: enabled` on its namespace or its template and make the Pod again \
         (`kubectl rollout restart`), or write the sidecar into its file with `meshctl inject --manual`"
    )]
    NoSidecar(String),
    #[error("the sidecar of Pod {pod} does not run ({state}); `kubectl describe pod` says why")]
    NotRunning { pod: String, state: String },
    #[error("the sidecar of Pod {pod} cannot be asked: {why}")]
    Forward { pod: String, why: String },
    #[error("the sidecar of Pod {pod} answers {path} with {status}: {text}")]
    Answer { pod: String, path: String, status: u16, text: String },
}

/// A Pod as users name it: `NAME`, `pod/NAME`, or a workload that has Pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Kind and name of the workload; None: a Pod.
    workload: Option<&'static str>,
    name: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("pod", text));
        let workload = match kind.to_ascii_lowercase().trim_end_matches(".apps") {
            "pod" | "pods" | "po" => None,
            "deploy" | "deployment" | "deployments" => Some("Deployment"),
            "ds" | "daemonset" | "daemonsets" => Some("DaemonSet"),
            "sts" | "statefulset" | "statefulsets" => Some("StatefulSet"),
            _ => return Err(format!("`{kind}` is not pod, deploy, sts or ds")),
        };
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if name.is_empty() || !name.chars().all(fine) {
            return Err(format!("`{name}` is not a name of Kubernetes"));
        }
        Ok(Self { workload, name: name.to_owned() })
    }
}

/// A sidecar that runs.
pub(crate) struct Sidecar {
    inside: Inside,
    pub(crate) namespace: String,
    pub(crate) pod: String,
}

impl fmt::Display for Sidecar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.pod)
    }
}

impl Sidecar {
    /// Finds the Pod, and sees to it that its sidecar runs.
    pub(crate) async fn find(
        api: &Api,
        inside: Inside,
        namespace: &str,
        target: &Target,
    ) -> Result<Self, SidecarError> {
        let pod = match target.workload {
            None => {
                let object = ObjectRef::namespaced("v1", "Pod", namespace, &target.name);
                api.get(&object).await?.ok_or_else(|| SidecarError::NoSuch(object.to_string()))?
            }
            Some(kind) => one_of(api, namespace, kind, &target.name).await?,
        };
        Self::of(inside, &pod)
    }

    /// The sidecar of this Pod.
    pub(crate) fn of(inside: Inside, pod: &Value) -> Result<Self, SidecarError> {
        let text = |path: &str| pod.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let this = Self { inside, namespace: text("/metadata/namespace"), pod: text("/metadata/name") };
        match standing(pod) {
            Standing::Runs => Ok(this),
            Standing::None => Err(SidecarError::NoSidecar(this.to_string())),
            Standing::Not(state) => Err(SidecarError::NotRunning { pod: this.to_string(), state }),
        }
    }

    /// What the admin port shows there.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, SidecarError> {
        let text = self.ask(Method::GET, path).await?;
        serde_json::from_slice(&text).map_err(|error| self.fault(format!("{path} is no JSON: {error}")))
    }

    /// Changes what the sidecar logs, until it ends.
    pub(crate) async fn set_log(&self, filter: &str) -> Result<(), SidecarError> {
        let path = format!("/log?filter={}", percent(filter));
        self.ask(Method::POST, &path).await.map(drop)
    }

    /// The sidecar's log as it is written.
    pub(crate) async fn log(
        &self,
        ask: &LogAsk<'_>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), SidecarError> {
        let mut lines = pin!(self.inside.log(&self.namespace, &self.pod, ask).await?);
        loop {
            let chunk = lines.fill_buf().await.map_err(|error| self.fault(format!("its log: {error}")))?;
            if chunk.is_empty() {
                return Ok(());
            }
            take(chunk);
            let taken = chunk.len();
            lines.as_mut().consume(taken);
        }
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Bytes, SidecarError> {
        let exchange = self.exchange(method, path);
        let answer = tokio::time::timeout(DEADLINE, Box::pin(exchange)).await;
        answer.map_err(|_| self.fault(format!("no answer to {path} within {} s", DEADLINE.as_secs())))?
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<Bytes, SidecarError> {
        let port = self.inside.port_of(&self.namespace, &self.pod, ADMIN_PORT);
        let stream = port.open().await.map_err(|error| self.fault(error.to_string()))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.fault(error.to_string()))?;
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| self.fault(error.to_string()))?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| self.fault(error.to_string()))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
            let body = body.map_err(|error| self.fault(format!("{path}: {error}")))?.to_bytes();
            if status.is_success() {
                return Ok(body);
            }
            let text = String::from_utf8_lossy(&body).trim().chars().take(400).collect();
            let (pod, path, status) = (self.to_string(), path.to_owned(), status.as_u16());
            Err(SidecarError::Answer { pod, path, status, text })
        };
        // The connection moves the bytes; its end, good or bad, reaches the exchange as an answer or an error.
        match select(pin!(exchange), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            Either::Right((_, exchange)) => exchange.await,
        }
    }

    fn fault(&self, why: String) -> SidecarError {
        SidecarError::Forward { pod: self.to_string(), why }
    }
}

async fn one_of(api: &Api, namespace: &str, kind: &str, name: &str) -> Result<Value, SidecarError> {
    let object = format!("{kind} {namespace}/{name}");
    let path = format!("/apis/apps/v1/namespaces/{namespace}/{}s/{name}", kind.to_ascii_lowercase());
    let found = api.read(&object, &path).await?.ok_or_else(|| SidecarError::NoSuch(object.clone()))?;
    let labels = found.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten().filter_map(|(key, value)| Some((key, value.as_str()?)));
    let selector: Vec<String> = labels.map(|(key, value)| percent(&format!("{key}={value}"))).collect();
    if selector.is_empty() {
        return Err(SidecarError::NoPodOf(object));
    }
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let pods = api.list(&pods, &format!("labelSelector={}", selector.join("%2C"))).await?;
    let running = pods.into_iter().find(|pod| standing(pod) == Standing::Runs);
    running.ok_or(SidecarError::NoPodOf(object))
}

/// How the sidecar of a Pod stands.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Runs,
    /// There is none.
    None,
    /// It does not run, and how it is instead.
    Not(String),
}

fn standing(pod: &Value) -> Standing {
    let list = |path: &str| pod.pointer(path).and_then(Value::as_array).into_iter().flatten();
    let named = |value: &&Value| value.get("name").and_then(Value::as_str) == Some(CONTAINER);
    if list("/spec/initContainers").chain(list("/spec/containers")).find(named).is_none() {
        return Standing::None;
    }
    let statuses = list("/status/initContainerStatuses").chain(list("/status/containerStatuses"));
    let state = statuses.filter(named).find_map(|status| status.get("state")?.as_object());
    let Some((state, detail)) = state.and_then(|state| state.iter().next()) else {
        let phase = pod.pointer("/status/phase").and_then(Value::as_str);
        return Standing::Not(phase.unwrap_or("no state yet").to_owned());
    };
    if state == "running" {
        return Standing::Runs;
    }
    let reason = detail.get("reason").and_then(Value::as_str);
    Standing::Not(reason.map_or_else(|| state.clone(), |reason| format!("{state}: {reason}")))
}

/// Text as a value of a query.
fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let each = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(each).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_named_as_for_kubectl() {
        let cases = [
            ("web-1", Some((None, "web-1"))),
            ("pod/web-1", Some((None, "web-1"))),
            ("po/web.1", Some((None, "web.1"))),
            ("deploy/web", Some((Some("Deployment"), "web"))),
            ("deployment.apps/web", Some((Some("Deployment"), "web"))),
            ("sts/db", Some((Some("StatefulSet"), "db"))),
            ("ds/agent", Some((Some("DaemonSet"), "agent"))),
            ("svc/web", None),
            ("pod/", None),
            ("pod/a/b", None),
            ("../x", None),
            ("Web", None),
        ];
        for (text, wanted) in cases {
            let wanted = wanted.map(|(workload, name)| Target { workload, name: name.to_owned() });
            assert_eq!(text.parse::<Target>().ok(), wanted, "{text}");
        }
    }

    #[test]
    fn only_a_sidecar_that_runs_is_asked() {
        let pod = |state: Value| {
            json!({
                "spec": {"initContainers": [{"name": "mesh-init"}, {"name": "mesh-proxy"}], "containers": [{"name": "app"}]},
                "status": {"phase": "Pending", "initContainerStatuses": [{"name": "mesh-proxy", "state": state}]},
            })
        };
        let cases = [
            (json!({"spec": {"containers": [{"name": "app"}]}}), Standing::None),
            (json!({"spec": {"containers": [{"name": "mesh-proxy"}]}}), Standing::Not("no state yet".into())),
            (pod(json!({"running": {}})), Standing::Runs),
            (
                pod(json!({"waiting": {"reason": "ImagePullBackOff"}})),
                Standing::Not("waiting: ImagePullBackOff".into()),
            ),
            (pod(json!({"terminated": {}})), Standing::Not("terminated".into())),
            (pod(json!({})), Standing::Not("Pending".into())),
        ];
        for (pod, wanted) in cases {
            assert_eq!(standing(&pod), wanted, "{pod}");
        }
    }

    #[test]
    fn a_filter_travels_as_one_value() {
        assert_eq!(percent("mesh_proxy=debug,info"), "mesh_proxy%3Ddebug%2Cinfo");
    }
}
