//! The API server of the cluster that the controller runs in: requests with deadlines, and what may go wrong with them. It must not
//! know what objects mean, who asks, or why.
//!
//! Objects travel as JSON. What they say is read where objects of a folder are read too (`sources::documents`), so that the two cannot
//! disagree, and a field that a newer API server knows is no error here.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use http::{Method, Request, StatusCode};
use kube::Client;
use kube::core::WatchEvent;
use percent_encoding::{AsciiSet, PercentEncode};
use serde::Deserialize;
use serde_json::Value;

/// For every request but the body of a watch.
const DEADLINE: Duration = Duration::from_secs(15);
/// Objects of one page of a list.
const PAGE: usize = 500;

/// Where objects of a kind are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    pub api: &'static str,
    /// As in paths: `services`.
    pub plural: &'static str,
}

/// Which objects of a resource are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// All of the cluster.
    All,
    /// Those of that name, in whichever namespace.
    Named(&'static str),
}

/// One object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its resource.
    pub resource: Resource,
    /// Empty for objects of the cluster.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// There is no such object, or the kind is not served at all.
    #[error("not found")]
    NotFound,
    /// The version is too old to go on from; everything has to be read anew.
    #[error("the version is too old")]
    Expired,
    /// Somebody else changed the object, or made it.
    #[error("it was changed meanwhile")]
    Conflict,
    /// The API server said no.
    #[error("the API server answers {code}: {message}")]
    Refused {
        /// HTTP's code.
        code: u16,
        /// In its words.
        message: String,
    },
    /// No answer in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
    /// No answer.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
}

/// Some objects of a list.
#[derive(Debug)]
pub struct Page {
    /// The objects.
    pub items: Vec<Value>,
    /// From where to watch, once the last page is there.
    pub version: String,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
}

/// What a watch says.
#[derive(Debug)]
pub enum Seen {
    /// An object is new or different.
    Put(Value),
    /// It is gone.
    Gone(Value),
    /// Nothing happened up to this version.
    UpTo(String),
}

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Made; it must not be there.
    Create,
    /// The whole object in place of the one of the same version.
    Replace,
    /// Merged into what is there.
    Merge,
    /// Merged into the status of what is there.
    MergeStatus,
}

/// A client. Clones share connections.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// The cluster cannot be told, or its credentials cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("no cluster: {0}; run in a pod with a service account, or set KUBECONFIG")]
pub struct NoCluster(String);

/// Some objects of a list as the API server says it.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    /// Of the list.
    pub metadata: ListMeta,
    /// The objects.
    #[serde(default = "Vec::new")]
    pub items: Vec<T>,
}

/// What a list says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    /// From where to watch.
    pub resource_version: String,
    /// Where the next page begins; empty after the last.
    #[serde(rename = "continue")]
    pub next: String,
}

impl Cluster {
    /// The cluster of the pod that this runs in, else the one that a kubeconfig says.
    pub async fn infer() -> Result<Self, NoCluster> {
        let config = kube::Config::infer().await.map_err(|error| NoCluster(error.to_string()))?;
        Self::of(config)
    }

    /// A cluster as `config` says.
    pub fn of(config: kube::Config) -> Result<Self, NoCluster> {
        let client = Client::try_from(config).map_err(|error| NoCluster(error.to_string()))?;
        Ok(Self { client })
    }

    /// Reads a page of a list; the first one without `next`.
    pub async fn list(
        &self,
        resource: Resource,
        selection: Selection,
        next: Option<&str>,
    ) -> Result<Page, Failed> {
        let page = self.page(resource, selection, next).await?;
        let list: List<Value> = serde_json::from_str(&page).map_err(|error| Failed::unread(&error))?;
        let next = Some(list.metadata.next).filter(|next| !next.is_empty());
        Ok(Page { items: list.items, version: list.metadata.resource_version, next })
    }

    /// The same, as the API server says it.
    pub async fn page(
        &self,
        resource: Resource,
        selection: Selection,
        next: Option<&str>,
    ) -> Result<String, Failed> {
        let mut query = format!("limit={PAGE}{}", selection.query());
        if let Some(next) = next {
            query.push_str("&continue=");
            query.extend(encoded(next));
        }
        let path = format!("{}/{}?{query}", resource.api, resource.plural);
        let request = request(Method::GET, &path, None)?;
        let answer = tokio::time::timeout(DEADLINE, self.client.request_text(request)).await;
        answer.map_err(|_| Failed::Deadline)?.map_err(|error| failed(&error))
    }

    /// Watches from `version` on, for at most `seconds`; the stream ends then, and the caller goes on from the last version.
    pub async fn watch(
        &self,
        resource: Resource,
        selection: Selection,
        version: &str,
        seconds: u32,
    ) -> Result<impl Stream<Item = Result<Seen, Failed>> + Send + use<>, Failed> {
        let path = format!(
            "{}/{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={}{}",
            resource.api,
            resource.plural,
            encoded(version),
            selection.query()
        );
        let request = request(Method::GET, &path, None)?;
        let asked = self.client.request_events::<Value>(request);
        let events = tokio::time::timeout(DEADLINE, asked).await.map_err(|_| Failed::Deadline)?;
        let events = events.map_err(|error| failed(&error))?;
        Ok(events.map(|event: Result<WatchEvent<Value>, kube::Error>| {
            Ok(match event.map_err(|error| failed(&error))? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => Seen::Put(object),
                WatchEvent::Deleted(object) => Seen::Gone(object),
                WatchEvent::Bookmark(bookmark) => Seen::UpTo(bookmark.metadata.resource_version),
                WatchEvent::Error(status) => return Err(refused(status.code, &status.message)),
            })
        }))
    }

    /// Reads one object.
    pub async fn get(&self, place: Place<'_>) -> Result<Value, Failed> {
        self.ask(Method::GET, &place.path(""), None).await
    }

    /// Writes one object, and gives it as it is then.
    pub async fn write(&self, place: Place<'_>, how: Write, body: &Value) -> Result<Value, Failed> {
        let (method, path) = match how {
            Write::Create => (Method::POST, place.folder()),
            Write::Replace => (Method::PUT, place.path("")),
            Write::Merge => (Method::PATCH, place.path("")),
            Write::MergeStatus => (Method::PATCH, place.path("/status")),
        };
        self.ask(method, &path, Some(body)).await
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failed> {
        let request = request(method, path, body)?;
        let answer = tokio::time::timeout(DEADLINE, self.client.request::<T>(request)).await;
        answer.map_err(|_| Failed::Deadline)?.map_err(|error| failed(&error))
    }
}

impl Failed {
    /// An answer that is not what was asked for.
    pub fn unread(error: &serde_json::Error) -> Self {
        Self::Unreachable(format!("its answer cannot be read: {error}"))
    }
}

impl Selection {
    fn query(self) -> String {
        match self {
            Self::All => String::new(),
            Self::Named(name) => format!("&fieldSelector=metadata.name%3D{}", encoded(name)),
        }
    }
}

impl Place<'_> {
    fn folder(&self) -> String {
        let Resource { api, plural } = self.resource;
        if self.namespace.is_empty() {
            format!("{api}/{plural}")
        } else {
            format!("{api}/namespaces/{}/{plural}", encoded(self.namespace))
        }
    }

    fn path(&self, part: &str) -> String {
        format!("{}/{}{part}", self.folder(), encoded(self.name))
    }
}

/// What is not unreserved (RFC 3986) is encoded: names and tokens come from a server.
const RESERVED: &AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encoded(text: &str) -> PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(text, RESERVED)
}

fn request(method: Method, path: &str, body: Option<&Value>) -> Result<Request<Vec<u8>>, Failed> {
    let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
    let request = Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, kind);
    request.body(body).map_err(|error| Failed::Unreachable(error.to_string()))
}

fn failed(error: &kube::Error) -> Failed {
    match error {
        kube::Error::Api(status) => refused(status.code, &status.message),
        error => Failed::Unreachable(whole(error)),
    }
}

/// An error with all that it says about its causes, each once.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = next.source();
    }
    text
}

fn refused(code: u16, message: &str) -> Failed {
    match StatusCode::from_u16(code) {
        Ok(StatusCode::NOT_FOUND) => Failed::NotFound,
        Ok(StatusCode::GONE) => Failed::Expired,
        Ok(StatusCode::CONFLICT) => Failed::Conflict,
        _ => Failed::Refused { code, message: message.chars().take(300).collect() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        let routes = Resource { api: "/apis/gateway.networking.k8s.io/v1", plural: "httproutes" };
        let route = Place { resource: routes, namespace: "shop", name: "web" };
        assert_eq!(
            route.path("/status"),
            "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/web/status"
        );
        let node =
            Place { resource: Resource { api: "/api/v1", plural: "nodes" }, namespace: "", name: "n1" };
        assert_eq!((node.folder(), node.path("")), ("/api/v1/nodes".into(), "/api/v1/nodes/n1".into()));
        assert_eq!(encoded("a/b c=&").to_string(), "a%2Fb%20c%3D%26");
        assert_eq!(Selection::Named("x").query(), "&fieldSelector=metadata.name%3Dx");
    }

    #[test]
    fn answers_that_decide_what_to_do_have_names() {
        assert!(matches!(refused(404, ""), Failed::NotFound));
        assert!(matches!(refused(410, ""), Failed::Expired));
        assert!(matches!(refused(409, ""), Failed::Conflict));
        assert_eq!(
            refused(403, "pods is forbidden").to_string(),
            "the API server answers 403: pods is forbidden"
        );
    }
}
