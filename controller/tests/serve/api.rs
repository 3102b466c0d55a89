//! An API server for tests, as far as the controller speaks with one: lists in pages, watches from a version, patches of status against a
//! version, and everything that goes wrong on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mesh_controller::cluster::Cluster;
use mesh_lifecycle::{CancellationToken, Tasks};
use serde_json::{Value as Json, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// Handles of one server.
#[derive(Clone)]
pub struct Api {
    state: Arc<Mutex<State>>,
    url: String,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By collection, then by namespace and name.
    objects: BTreeMap<String, BTreeMap<(String, String), Json>>,
    /// What happened: version, collection, event.
    history: Vec<(u64, String, Json)>,
    /// History up to this version is forgotten.
    compacted: u64,
    watchers: Vec<(String, mpsc::Sender<Json>)>,
    absent: BTreeSet<String>,
    /// Every connection ends at once.
    down: bool,
    connections: CancellationToken,
    /// `METHOD PATH` of every write.
    writes: Vec<String>,
    /// So many writes of status are answered as if somebody else had been faster.
    conflicts: u32,
    /// Tokens with whose they are and whom they are for.
    tokens: BTreeMap<String, (String, String)>,
    /// Who may look at the dashboard.
    allowed: BTreeSet<String>,
}

type Body = BoxBody<Bytes, Infallible>;

impl Api {
    /// Serves on a port of its own until `tasks` end.
    pub async fn start(tasks: &Tasks) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let api = Self { state: Arc::default(), url };
        let (server, owner) = (api.clone(), tasks.clone());
        tasks.spawn("api server", async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (down, cut) = server.with(|state| (state.down, state.connections.clone()));
                if down {
                    continue;
                }
                owner.spawn("api connection", server.clone().connection(socket, cut));
            }
        });
        api
    }

    async fn connection(self, socket: TcpStream, cut: CancellationToken) {
        let answer = service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
        tokio::select! {
            _ = connection => {}
            () = cut.cancelled() => {}
        }
    }

    /// A client of it.
    pub fn cluster(&self) -> Cluster {
        Cluster::of(kube::Config::new(self.url.parse().unwrap())).unwrap()
    }

    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        work(&mut self.state.lock().unwrap())
    }

    /// Makes or replaces an object, and gives its version. Its generation grows if its spec is different.
    pub fn put(&self, collection: &str, object: Json) -> u64 {
        self.with(|state| state.put(collection, object))
    }

    /// Takes an object away.
    pub fn delete(&self, collection: &str, namespace: &str, name: &str) {
        self.with(|state| {
            let gone = state.objects.get_mut(collection).unwrap().remove(&(namespace.into(), name.into()));
            state.happened(collection, "DELETED", gone.unwrap());
        });
    }

    /// An object as it is.
    pub fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Json> {
        self.with(|state| state.objects.get(collection)?.get(&(namespace.into(), name.into())).cloned())
    }

    /// The kind is not known (any more), or is.
    pub fn known(&self, collection: &str, known: bool) {
        self.with(|state| {
            if known {
                state.absent.remove(collection);
            } else {
                state.absent.insert(collection.to_owned());
                state.objects.remove(collection);
                state.watchers.retain(|(watched, _)| watched != collection);
            }
        });
    }

    /// Ends every connection, and takes none.
    pub fn go_down(&self) {
        self.with(|state| {
            state.down = true;
            state.watchers.clear();
            std::mem::take(&mut state.connections).cancel();
        });
    }

    /// Is there again, and has forgotten what happened before.
    pub fn come_back(&self) {
        self.with(|state| {
            state.down = false;
            state.compacted = state.version;
        });
    }

    /// Answers so many writes of status as if somebody else had been faster.
    pub fn refuse_writes(&self, conflicts: u32) {
        self.with(|state| state.conflicts = conflicts);
    }

    /// A token, whose it is, and whom it is for.
    pub fn user(&self, token: &str, name: &str, audience: &str) {
        self.with(|state| state.tokens.insert(token.into(), (name.into(), audience.into())));
    }

    /// Who may look at the dashboard.
    pub fn allow(&self, name: &str) {
        self.with(|state| state.allowed.insert(name.into()));
    }

    /// `METHOD PATH` of every write so far.
    pub fn writes(&self) -> Vec<String> {
        self.with(|state| state.writes.clone())
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Json = serde_json::from_slice(&body).unwrap_or(Json::Null);
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let query = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let path = Path::of(parts.uri.path());
        self.with(|state| {
            if state.absent.contains(&path.collection) {
                return status(404, "the server could not find the requested resource");
            }
            if parts.method != Method::GET {
                state.writes.push(format!("{} {}", parts.method, parts.uri.path()));
            }
            match (&parts.method, &path.name) {
                (&Method::GET, None) if query("watch").is_some() => {
                    state.watch(&path.collection, &query("resourceVersion").unwrap())
                }
                (&Method::GET, None) => {
                    let named = query("fieldSelector").map(|field| field.replace("metadata.name%3D", ""));
                    state.list(&path.collection, &query("limit").unwrap(), query("continue"), named)
                }
                (&Method::GET, Some(name)) => state.get(&path, name),
                (&Method::POST, None) if path.collection.ends_with("tokenreviews") => {
                    let known = state.tokens.get(body["spec"]["token"].as_str().unwrap());
                    let status = known.map(|(name, audience)| {
                        json!({"authenticated": true, "audiences": [audience], "user": {"username": name}})
                    });
                    json_answer(&json!({"status": status.unwrap_or_else(|| json!({"authenticated": false}))}))
                }
                (&Method::POST, None) if path.collection.ends_with("subjectaccessreviews") => {
                    let spec = &body["spec"];
                    let right = &spec["resourceAttributes"];
                    let dashboards = right["group"] == "amime.io"
                        && right["resource"] == "dashboards"
                        && right["verb"] == "get";
                    let allowed = dashboards && state.allowed.contains(spec["user"].as_str().unwrap());
                    json_answer(&json!({"status": {"allowed": allowed}}))
                }
                (&Method::POST, None) => state.create(&path, body),
                (&Method::PUT, Some(_)) => state.replace(&path, body),
                (&Method::PATCH, Some(name)) => state.patch(&path, name, body),
                _ => status(405, "not here"),
            }
        })
    }
}

struct Path {
    collection: String,
    namespace: String,
    name: Option<String>,
    status: bool,
}

impl Path {
    fn of(path: &str) -> Self {
        let mut parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let groups = if parts[0] == "api" { 2 } else { 3 };
        let mut namespace = String::new();
        if parts.len() > groups + 2 && parts[groups] == "namespaces" {
            parts[groups + 1].clone_into(&mut namespace);
            parts.drain(groups..groups + 2);
        }
        Self {
            collection: format!("/{}", parts[..=groups].join("/")),
            namespace,
            name: parts.get(groups + 1).map(|name| (*name).to_owned()),
            status: parts.get(groups + 2) == Some(&"status"),
        }
    }
}

impl State {
    fn put(&mut self, collection: &str, mut object: Json) -> u64 {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let key = (text("namespace"), text("name"));
        let objects = self.objects.entry(collection.to_owned()).or_default();
        let before = objects.get(&key).cloned();
        let generation =
            before.as_ref().and_then(|b| b["metadata"]["generation"].as_i64()).unwrap_or_default();
        let same = before.as_ref().is_some_and(|before| before["spec"] == object["spec"]);
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["metadata"]["generation"] = json!(if same { generation } else { generation + 1 });
        objects.insert(key, object.clone());
        self.happened(collection, if before.is_some() { "MODIFIED" } else { "ADDED" }, object);
        self.version
    }

    fn happened(&mut self, collection: &str, kind: &str, mut object: Json) {
        if kind == "DELETED" {
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        }
        let event = json!({"type": kind, "object": object});
        self.history.push((self.version, collection.to_owned(), event.clone()));
        self.watchers.retain(|(watched, out)| watched != collection || out.try_send(event.clone()).is_ok());
    }

    fn list(
        &self,
        collection: &str,
        limit: &str,
        next: Option<String>,
        named: Option<String>,
    ) -> Response<Body> {
        let from: usize = next.map_or(0, |next| next.parse().unwrap());
        let limit: usize = limit.parse().unwrap();
        let all = self.objects.get(collection).into_iter().flatten();
        let all: Vec<&Json> = all
            .map(|(_, object)| object)
            .filter(|object| named.as_ref().is_none_or(|name| object["metadata"]["name"] == *name.as_str()))
            .collect();
        let page: Vec<&&Json> = all.iter().skip(from).take(limit).collect();
        let more = from + page.len() < all.len();
        let next = if more { (from + page.len()).to_string() } else { String::new() };
        json_answer(&json!({"kind": "List", "apiVersion": "v1",
            "metadata": {"resourceVersion": self.version.to_string(), "continue": next}, "items": page}))
    }

    fn watch(&mut self, collection: &str, from: &str) -> Response<Body> {
        let from: u64 = from.parse().unwrap();
        let (out, events) = mpsc::channel(10_000);
        if from < self.compacted {
            let error = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
            out.try_send(json!({"type": "ERROR", "object": error})).unwrap();
        } else {
            let missed = self.history.iter().filter(|(version, of, _)| *version > from && of == collection);
            missed.for_each(|(_, _, event)| out.try_send(event.clone()).unwrap());
            let meta = json!({"kind": "x", "apiVersion": "v1", "metadata": {"resourceVersion": self.version.to_string()}});
            out.try_send(json!({"type": "BOOKMARK", "object": meta})).unwrap();
            self.watchers.push((collection.to_owned(), out));
        }
        let frames = ReceiverStream::new(events)
            .map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{event}\n")))));
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    }

    fn get(&self, path: &Path, name: &str) -> Response<Body> {
        let key = (path.namespace.clone(), name.to_owned());
        match self.objects.get(&path.collection).and_then(|objects| objects.get(&key)) {
            Some(object) => json_answer(object),
            None => status(404, "not found"),
        }
    }

    fn create(&mut self, path: &Path, body: Json) -> Response<Body> {
        let name = body["metadata"]["name"].as_str().unwrap().to_owned();
        let key = (path.namespace.clone(), name);
        if self.objects.get(&path.collection).is_some_and(|objects| objects.contains_key(&key)) {
            return status(409, "already exists");
        }
        self.put(&path.collection, body.clone());
        json_answer(&body)
    }

    fn replace(&mut self, path: &Path, body: Json) -> Response<Body> {
        let key = (path.namespace.clone(), path.name.clone().unwrap());
        let before = self.objects.get(&path.collection).and_then(|objects| objects.get(&key));
        match before {
            None => status(404, "not found"),
            Some(before) if before["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => {
                status(409, "the object has been modified")
            }
            Some(_) => {
                self.put(&path.collection, body.clone());
                json_answer(&body)
            }
        }
    }

    fn patch(&mut self, path: &Path, name: &str, body: Json) -> Response<Body> {
        let key = (path.namespace.clone(), name.to_owned());
        let Some(mut object) = self.objects.get(&path.collection).and_then(|o| o.get(&key)).cloned() else {
            return status(404, "not found");
        };
        let version = &body["metadata"]["resourceVersion"];
        if !version.is_null() && *version != object["metadata"]["resourceVersion"] {
            return status(409, "the object has been modified");
        }
        if path.status && self.conflicts > 0 {
            self.conflicts -= 1;
            return status(409, "the object has been modified");
        }
        let fields = if path.status { vec!["status"] } else { vec!["data", "spec"] };
        for field in fields {
            for (part, value) in body[field].as_object().into_iter().flatten() {
                object[field][part] = value.clone();
            }
        }
        self.put(&path.collection, object);
        json_answer(self.objects.get(&path.collection).unwrap().get(&key).unwrap())
    }
}

fn json_answer(body: &Json) -> Response<Body> {
    Response::new(Full::new(Bytes::from(body.to_string())).boxed())
}

fn status(code: u16, message: &str) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": "x", "metadata": {}});
    let mut response = json_answer(&body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}
