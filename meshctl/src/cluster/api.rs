//! One API server: get, list in pages, apply, delete. Every call has a deadline and an error that names the object.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use mesh_operate::install::MANAGER;
use mesh_operate::object::ObjectRef;
use serde_json::Value;

use super::ClusterArgs;

/// For one call.
const DEADLINE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// Objects in one page of a list.
const PAGE: usize = 500;
/// More pages than this are not asked for.
const MOST_PAGES: usize = 400;
/// Most bytes of an answer that is small.
const SMALL: usize = 64 << 10;
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(
        "there is no cluster to talk to: {0}; name one with --kubeconfig and --context, or set KUBECONFIG"
    )]
    NoCluster(String),
    #[error("{what}: the API server does not answer: {text}")]
    Unreachable { what: String, text: String },
    #[error("{what}: no answer within {} s", DEADLINE.as_secs())]
    Slow { what: String },
    #[error("{what}: {message}")]
    Refused { what: String, code: u16, message: String },
    #[error("{0}: meshctl does not know this kind")]
    UnknownKind(ObjectRef),
}

impl ApiError {
    /// The HTTP status with which the API server refused.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// What applying an object did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    Created,
    Configured,
    Unchanged,
}

impl Applied {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Whether anything is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dry {
    Yes,
    No,
}

/// An API server.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
}

impl Api {
    /// Reads the kubeconfig; nothing is sent yet.
    pub(crate) async fn connect(args: &ClusterArgs) -> Result<Self, ApiError> {
        let mut config = config(args).await?;
        config.read_timeout = Some(DEADLINE);
        let client = Client::try_from(config).map_err(|error| ApiError::NoCluster(error.to_string()))?;
        Ok(Self { client })
    }

    /// Major and minor version of the server.
    pub(crate) async fn version(&self) -> Result<(u32, u32), ApiError> {
        Ok(self.version_and_time().await?.0)
    }

    /// The server's version, and what time it is there (Unix).
    pub(crate) async fn version_and_time(&self) -> Result<((u32, u32), Option<i64>), ApiError> {
        let what = "the version of the API server".to_owned();
        let unreachable = |what: String, text: String| ApiError::Unreachable { what, text };
        let request = Request::get("/version").body(Body::from(Vec::new()));
        let request = request.map_err(|error| unreachable(what.clone(), error.to_string()))?;
        let answer = tokio::time::timeout(DEADLINE, self.client.send(request)).await;
        let answer = answer.map_err(|_| ApiError::Slow { what: what.clone() })?;
        let answer = answer.map_err(|error| unreachable(what.clone(), causes(&error)))?;
        if !answer.status().is_success() {
            let code = answer.status().as_u16();
            return Err(ApiError::Refused {
                what,
                code,
                message: format!("the answer is {}", answer.status()),
            });
        }
        let time = answer.headers().get("date").and_then(|date| date.to_str().ok()).and_then(unix);
        let body = tokio::time::timeout(DEADLINE, Limited::new(answer.into_body(), SMALL).collect()).await;
        let body = body.map_err(|_| ApiError::Slow { what: what.clone() })?;
        let body = body.map_err(|error| unreachable(what, error.to_string()))?.to_bytes();
        let info: Value = serde_json::from_slice(&body).unwrap_or_default();
        let part = |key: &str| {
            let text = info.get(key).and_then(Value::as_str).unwrap_or_default();
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or_default()
        };
        Ok(((part("major"), part("minor")), time))
    }

    /// The object, if it is there.
    pub(crate) async fn get(&self, object: &ObjectRef) -> Result<Option<Value>, ApiError> {
        let path = object.path().ok_or_else(|| ApiError::UnknownKind(object.clone()))?;
        found(self.call(&object.to_string(), Method::GET, &path, None).await)
    }

    /// The same, for calls that are made together.
    pub(crate) async fn get_boxed(&self, object: ObjectRef) -> Result<Option<Value>, ApiError> {
        Box::pin(self.get(&object)).await
    }

    /// Every object of a collection, in pages; none where the kind is not there.
    pub(crate) async fn list(&self, path: &str, query: &str) -> Result<Vec<Value>, ApiError> {
        self.pages(path, query, None).await
    }

    /// The same, without anything but metadata.
    pub(crate) async fn list_metadata(&self, path: &str, query: &str) -> Result<Vec<Value>, ApiError> {
        self.pages(path, query, Some(METADATA_ONLY)).await
    }

    async fn pages(&self, path: &str, query: &str, accept: Option<&str>) -> Result<Vec<Value>, ApiError> {
        let mut items = Vec::new();
        let mut next = String::new();
        for _ in 0..MOST_PAGES {
            let and = if query.is_empty() { "" } else { "&" };
            let from = if next.is_empty() { String::new() } else { format!("&continue={next}") };
            let url = format!("{path}?{query}{and}limit={PAGE}{from}");
            let mut request = Request::get(url);
            if let Some(accept) = accept {
                request = request.header("accept", accept);
            }
            let answer = self.send(path, request.body(Vec::new())).await;
            let Some(mut page) = found(answer)? else { return Ok(items) };
            if let Some(Value::Array(part)) = page.get_mut("items").map(Value::take) {
                items.extend(part);
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => token.clone_into(&mut next),
                _ => break,
            }
        }
        Ok(items)
    }

    /// Makes the fields of this object what it says, as their owner.
    pub(crate) async fn apply(&self, object: &Value, dry: Dry) -> Result<Applied, ApiError> {
        let name = ObjectRef::of(object).ok_or_else(nameless)?;
        let before = self.get(&name).await?;
        if before.is_none() && dry == Dry::Yes {
            // Its namespace or kind may not be there yet, without which nothing can be tried.
            return Ok(Applied::Created);
        }
        let after = self.patch(&name, object, dry).await?;
        Ok(match before {
            None => Applied::Created,
            Some(before) if content(&before) == content(&after) => Applied::Unchanged,
            Some(_) => Applied::Configured,
        })
    }

    /// The object as it is and as it would be; None where it is not there.
    pub(crate) async fn preview(&self, object: &Value) -> Result<Option<(Value, Value)>, ApiError> {
        let name = ObjectRef::of(object).ok_or_else(nameless)?;
        match self.get(&name).await? {
            None => Ok(None),
            Some(before) => Ok(Some((before, self.patch(&name, object, Dry::Yes).await?))),
        }
    }

    async fn patch(&self, name: &ObjectRef, object: &Value, dry: Dry) -> Result<Value, ApiError> {
        let path = name.path().ok_or_else(|| ApiError::UnknownKind(name.clone()))?;
        let mode = if dry == Dry::Yes { "&dryRun=All" } else { "" };
        let url = format!("{path}?fieldManager={MANAGER}&force=true{mode}");
        let request = Request::patch(url)
            .header("content-type", "application/apply-patch+yaml")
            .body(object.to_string().into_bytes());
        self.send(&name.to_string(), request).await
    }

    /// Removes an object; false if it was not there.
    pub(crate) async fn delete(&self, object: &ObjectRef) -> Result<bool, ApiError> {
        let path = object.path().ok_or_else(|| ApiError::UnknownKind(object.clone()))?;
        let answer = self.call(&object.to_string(), Method::DELETE, &path, None).await;
        Ok(found(answer)?.is_some())
    }

    /// Sends an object for creation.
    pub(crate) async fn create(&self, what: &str, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(what, Method::POST, path, Some(object)).await
    }

    /// What is at a path that no kind stands for, if it is there.
    pub(crate) async fn read(&self, what: &str, path: &str) -> Result<Option<Value>, ApiError> {
        found(self.call(what, Method::GET, path, None).await)
    }

    /// The namespace that the context names.
    pub(crate) fn default_namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// A part of a container's log that is bounded in bytes.
    pub(crate) async fn log(&self, namespace: &str, pod: &str, ask: &LogAsk<'_>) -> Result<String, ApiError> {
        let what = format!("the log of Pod {namespace}/{pod}, container {}", ask.container);
        let unreachable = |what: String, text: String| ApiError::Unreachable { what, text };
        let request = Request::get(ask.path(namespace, pod)).body(Vec::new());
        let request = request.map_err(|error| unreachable(what.clone(), error.to_string()))?;
        match tokio::time::timeout(DEADLINE, self.client.request_text(request)).await {
            Err(_) => Err(ApiError::Slow { what }),
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(refusal(what, &error)),
        }
    }

    /// The last lines of a container's log; of the run before, if there was one.
    pub(crate) async fn last_words(&self, namespace: &str, pod: &str) -> Option<String> {
        for previous in ["&previous=true", ""] {
            let url = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?tailLines=5{previous}");
            let request = Request::get(url).body(Vec::new()).ok()?;
            let answer = tokio::time::timeout(DEADLINE, self.client.request_text(request)).await;
            let Ok(Ok(text)) = answer else { continue };
            if let Some(line) = text.lines().rev().find(|line| !line.trim().is_empty()) {
                return Some(line.trim().to_owned());
            }
        }
        None
    }

    async fn call(
        &self,
        what: &str,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder().method(method).uri(url).header("content-type", "application/json");
        self.send(what, request.body(body)).await
    }

    async fn send(&self, what: &str, request: http::Result<Request<Vec<u8>>>) -> Result<Value, ApiError> {
        let what = what.to_owned();
        let unreachable = |what: String, text: String| ApiError::Unreachable { what, text };
        let request = request.map_err(|error| unreachable(what.clone(), error.to_string()))?;
        match tokio::time::timeout(DEADLINE, self.client.request::<Value>(request)).await {
            Err(_) => Err(ApiError::Slow { what }),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(refusal(what, &error)),
        }
    }
}

/// What a call that failed says to users.
pub(super) fn refusal(what: String, error: &kube::Error) -> ApiError {
    match error {
        kube::Error::Api(status) => {
            ApiError::Refused { what, code: status.code, message: status.message.clone() }
        }
        error => ApiError::Unreachable { what, text: causes(error) },
    }
}

/// Which part of a container's log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogAsk<'a> {
    pub(crate) container: &'a str,
    /// The last lines, not more.
    pub(crate) tail: u32,
    /// Not more than these, counted from the first line.
    pub(crate) most_bytes: Option<usize>,
    /// Of the run before.
    pub(crate) previous: bool,
    /// And what is written from now on.
    pub(crate) follow: bool,
}

impl LogAsk<'_> {
    pub(super) fn path(&self, namespace: &str, pod: &str) -> String {
        let bound = self.most_bytes.map(|most| format!("&limitBytes={most}")).unwrap_or_default();
        format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={}&tailLines={}&previous={}&follow={}{bound}",
            self.container, self.tail, self.previous, self.follow
        )
    }
}

fn nameless() -> ApiError {
    let what = "an object of the chart".to_owned();
    ApiError::Refused { what, code: 0, message: "has no kind or name".to_owned() }
}

/// The cluster that the flags, the kubeconfig or, in a Pod, the environment name.
pub(crate) async fn config(args: &ClusterArgs) -> Result<Config, ApiError> {
    let options = KubeConfigOptions { context: args.context.clone(), ..KubeConfigOptions::default() };
    let fault = |error: &dyn std::fmt::Display| ApiError::NoCluster(error.to_string());
    let mut config = match &args.kubeconfig {
        Some(file) => {
            let kubeconfig = Kubeconfig::read_from(file).map_err(|error| fault(&error))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| fault(&error))?
        }
        None if args.is_named() => Config::from_kubeconfig(&options).await.map_err(|error| fault(&error))?,
        None => Config::infer().await.map_err(|error| fault(&error))?,
    };
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(DEADLINE);
    Ok(config)
}

/// Whether there is a kubeconfig that can be read.
pub(crate) fn has_kubeconfig() -> bool {
    Kubeconfig::read().is_ok_and(|file| !file.contexts.is_empty())
}

/// Whether there is a cluster without a name: of a kubeconfig, or the one whose Pod this is.
pub(crate) fn has_cluster() -> bool {
    has_kubeconfig() || Config::incluster().is_ok()
}

/// Nothing is no error.
fn found(answer: Result<Value, ApiError>) -> Result<Option<Value>, ApiError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The time of an HTTP date.
fn unix(date: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(parsed.timestamp().as_second())
}

/// An error with what caused it, each said once.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// What an object says, without what changes by itself.
fn content(object: &Value) -> BTreeMap<String, Value> {
    let mut content: BTreeMap<String, Value> =
        object.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    content.remove("status");
    if let Some(Value::Object(metadata)) = content.get_mut("metadata") {
        for own in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(own);
        }
    }
    content
}
