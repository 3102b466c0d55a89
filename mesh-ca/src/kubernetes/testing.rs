//! An API server that the test plays: Secrets and ConfigMaps with versions, and token reviews as told. It must not be in a release: the
//! feature `testing` belongs into tools for developers.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "for tests, where a panic is the answer"
)]

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mesh_lifecycle::Tasks;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

#[cfg(test)]
use super::Cluster;

#[derive(Debug, Default)]
struct State {
    /// By path.
    objects: BTreeMap<String, Value>,
    version: u64,
    /// What is answered to whom; of others it is said that they are not valid.
    tokens: HashMap<String, Review>,
    /// In tests of this package.
    asked: Vec<String>,
    /// Answers 403 to all that begins so.
    forbidden: Option<String>,
    /// Answers nothing any more.
    silent: bool,
}

/// How a review of a token is answered.
#[derive(Debug, Clone)]
pub enum Review {
    /// An account, and the pod that its token is bound to.
    Of(String, Option<String>),
    /// Not at all.
    Silence,
    /// With an error of the API server's own.
    Broken,
}

impl Review {
    /// An account whose token is bound to a pod.
    pub fn pod(account: &str, pod: &str) -> Self {
        Self::Of(account.to_owned(), Some(pod.to_owned()))
    }
}

/// The API server; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
}

impl FakeApi {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves on loopback.
    pub async fn listen(&self, tasks: &Tasks) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (api, set) = (self.clone(), tasks.clone());
        tasks.spawn("fake API server", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                set.spawn("fake API connection", api.clone().serve(stream));
            }
        });
        address
    }

    /// Serves, and gives a client of it.
    #[cfg(test)]
    pub(crate) async fn start(&self, tasks: &Tasks) -> Cluster {
        let url = format!("http://{}", self.listen(tasks).await).parse().unwrap();
        let mut config = kube::Config::new(url);
        config.default_retry = false;
        let client = kube::Client::try_from(config).unwrap();
        Cluster { client, namespace: "amime-system".to_owned(), replica: "mesh-ca-0".to_owned() }
    }

    async fn serve(self, stream: TcpStream) {
        let service = service_fn(move |request| {
            let api = self.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        let http = hyper::server::conn::http1::Builder::new();
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    }

    /// From now on a token is answered so.
    pub fn token(&self, token: &str, review: Review) {
        self.state().tokens.insert(token.to_owned(), review);
    }

    #[cfg(test)]
    pub(crate) fn forbid(&self, begins: &str) {
        self.state().forbidden = Some(begins.to_owned());
    }

    #[cfg(test)]
    pub(crate) fn silence(&self) {
        self.state().silent = true;
    }

    /// An object by its path.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    #[cfg(test)]
    pub(crate) fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        state.objects.insert(path.to_owned(), object);
    }

    #[cfg(test)]
    pub(crate) fn remove(&self, path: &str) {
        self.state().objects.remove(path);
    }

    /// Requests so far, as `GET /path`.
    #[cfg(test)]
    pub(crate) fn asked(&self, begins: &str) -> usize {
        self.state().asked.iter().filter(|one| one.starts_with(begins)).count()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let line = format!("{method} {path}");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (silent, forbidden) = {
            let mut state = self.state();
            if cfg!(test) {
                state.asked.push(line.clone());
            }
            (state.silent, state.forbidden.as_ref().is_some_and(|begins| line.starts_with(begins)))
        };
        if silent {
            std::future::pending::<()>().await;
        }
        if forbidden {
            return failed(403, "is forbidden: User cannot do this");
        }
        if path.ends_with("/tokenreviews") {
            return self.review(&body).await;
        }
        self.change(&method, &path, body)
    }

    async fn review(&self, body: &Value) -> Response<Full<Bytes>> {
        let token = body["spec"]["token"].as_str().unwrap_or_default();
        let asked = body["spec"]["audiences"].clone();
        let found = self.state().tokens.get(token).cloned();
        let status = match found {
            None => json!({"authenticated": false, "error": "token is not known"}),
            Some(Review::Of(user, pod)) => {
                let pod: BTreeMap<_, _> = pod
                    .map(|pod| ("authentication.kubernetes.io/pod-name".to_owned(), vec![pod]))
                    .into_iter()
                    .collect();
                json!({"authenticated": true, "audiences": asked, "user": {"username": user, "extra": pod}})
            }
            Some(Review::Silence) => std::future::pending().await,
            Some(Review::Broken) => return failed(500, "etcd is away"),
        };
        said(
            201,
            &json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
                "spec": body["spec"], "status": status
            }),
        )
    }

    fn change(&self, method: &Method, path: &str, mut body: Value) -> Response<Full<Bytes>> {
        let mut state = self.state();
        let path = match *method {
            Method::POST => format!("{path}/{}", body["metadata"]["name"].as_str().unwrap()),
            _ => path.to_owned(),
        };
        let held = state.objects.get(&path).cloned();
        match (method, held) {
            (&Method::GET, Some(held)) => said(200, &held),
            (&Method::GET | &Method::PUT | &Method::DELETE, None) => failed(404, "not found"),
            (&Method::POST, Some(_)) => failed(409, "already exists"),
            (&Method::PUT, Some(held))
                if body["metadata"]["resourceVersion"] != held["metadata"]["resourceVersion"] =>
            {
                failed(409, "the object has been modified")
            }
            (&Method::DELETE, Some(held)) => {
                state.objects.remove(&path);
                said(200, &held)
            }
            (&Method::POST | &Method::PUT, _) => {
                state.version += 1;
                body["metadata"]["resourceVersion"] = state.version.to_string().into();
                state.objects.insert(path, body.clone());
                said(200, &body)
            }
            _ => failed(405, "not here"),
        }
    }
}

fn said(code: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn failed(code: u16, message: &str) -> Response<Full<Bytes>> {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "",
    };
    said(
        code,
        &json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "code": code
        }),
    )
}
