//! A mesh with members for all examples, into which one example after the other is put: its Services lead to these members, and callers
//! with the identities of its tests ask. It must not know what an answer should be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_lifecycle::tasks::Tasks;
use mesh_token::testing::Issuer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::{App, ask};
use crate::examples::{Example, Got, Row, full_name, text};
use crate::support::{DEADLINE, Home, Running, wait_for};

/// Most ports of a member.
const MAX_PORTS: usize = 14;

/// Behind a Service.
struct Place {
    member: String,
    /// Of the member's port.
    port: String,
    app: App,
}

pub(crate) struct Mesh {
    pub(crate) home: Home,
    tasks: Tasks,
    running: Vec<Running>,
    /// By `NS/SERVICE`.
    places: BTreeMap<String, Place>,
    /// Services of examples with tests keep their selectors, for policies select by them: by example, Service and port of the pod.
    ports: BTreeMap<(String, String, u64), u16>,
    /// HTTP proxies of callers, by account.
    callers: BTreeMap<String, SocketAddr>,
    /// Ports that stand for Services, by `SERVICE.NS:PORT`.
    to: BTreeMap<String, u16>,
    login: Issuer,
    number: AtomicUsize,
    free: Free,
}

/// Ports for dozens of applications: below those that the system gives connections, or one of these would be in the way now and then.
struct Free {
    next: u16,
    end: u16,
}

impl Free {
    fn new() -> Self {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let end: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
        // Others test at the same time.
        let first = end / 2 + u16::try_from(std::process::id() * 97 % u32::from(end / 3)).unwrap();
        Self { next: first, end }
    }

    fn port(&mut self) -> u16 {
        loop {
            assert!(self.next < self.end, "no port is free");
            self.next += 1;
            if std::net::TcpListener::bind(("127.0.0.1", self.next)).is_ok() {
                return self.next;
            }
        }
    }
}

/// An example with what came of it.
pub(crate) struct Tried {
    pub(crate) example: Example,
    pub(crate) migration: Value,
}

impl Mesh {
    pub(crate) async fn start(all: &[Tried]) -> Self {
        let (home, tasks) = (Home::new("migrated"), Tasks::new());
        let mut up = home.start("up", &["up"]);
        home.ready(&mut up).await;
        let mut mesh = Self {
            home,
            tasks,
            running: vec![up],
            places: BTreeMap::new(),
            ports: BTreeMap::new(),
            callers: BTreeMap::new(),
            to: BTreeMap::new(),
            login: Issuer::new("2026"),
            number: AtomicUsize::new(0),
            free: Free::new(),
        };
        let mut listening = mesh.plain(all);
        listening.extend(mesh.protected(all));
        mesh.callers(all);
        for (member, app, port) in listening {
            // It looks whether its ports are free before it registers.
            let registered = mesh.home.objects().with_file_name("members").join(&member);
            wait_for("the member to be registered", async || registered.exists().then_some(())).await;
            app.listen(&mesh.tasks, port).await;
        }
        let accounts: Vec<String> = mesh.callers.keys().cloned().collect();
        for account in accounts {
            let stdout = mesh.home.path().join(format!("{}.stdout", caller_file(&account)));
            let proxy = wait_for("the caller's proxy", async || {
                std::fs::read_to_string(&stdout).ok()?.trim().strip_prefix("http://")?.parse().ok()
            });
            mesh.callers.insert(account, proxy.await);
        }
        mesh
    }

    fn member(&mut self, namespace: &str, name: &str, more: &[String]) -> String {
        let mut args = vec!["run", "--mode", "explicit", "-n", namespace, "--name", name];
        args.extend(more.iter().map(String::as_str));
        args.extend(["--", "sleep", "1000"]);
        let member = format!("{name}.{namespace}");
        self.running.push(self.home.start(&member, &args));
        member
    }

    /// Members for all Services of examples without tests: one for many.
    fn plain(&mut self, all: &[Tried]) -> Vec<(String, App, u16)> {
        let mut services: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for tried in all.iter().filter(|tried| tried.example.tests.is_none()) {
            let objects = tried.example.objects(&tried.migration);
            for name in objects.iter().filter(|one| one["kind"] == "Service").map(full_name) {
                services.entry(name.split_once('/').unwrap().0.to_owned()).or_default().insert(name);
            }
        }
        let mut listening = Vec::new();
        for (namespace, names) in services {
            let names: Vec<String> = names.into_iter().collect();
            for (at, names) in names.chunks(MAX_PORTS).enumerate() {
                let member = format!("at-{at}");
                let mut ports = Vec::new();
                for (number, name) in names.iter().enumerate() {
                    let (app, port) = (App::new(Box::leak(name.clone().into_boxed_str())), self.free.port());
                    ports.push(format!("--port={port}=s{number}"));
                    listening.push((format!("{member}.{namespace}"), app.clone(), port));
                    let place = Place { member: member.clone(), port: format!("s{number}"), app };
                    self.places.insert(name.clone(), place);
                }
                self.member(&namespace, &member, &ports);
            }
        }
        listening
    }

    /// A member for each Service that policies protect, with the labels that it selects.
    fn protected(&mut self, all: &[Tried]) -> Vec<(String, App, u16)> {
        let mut listening = Vec::new();
        for (number, tried) in all.iter().enumerate().filter(|(_, tried)| tried.example.tests.is_some()) {
            let objects = tried.example.objects(&tried.migration);
            for service in objects.iter().filter(|one| one["kind"] == "Service") {
                let (namespace, name) = (&service["metadata"]["namespace"], &service["metadata"]["name"]);
                let (namespace, name) = (namespace.as_str().unwrap(), name.as_str().unwrap());
                let member = format!("of-{number}-{name}");
                let mut more = Vec::new();
                for target in service["spec"]["ports"].as_array().unwrap().iter().map(target) {
                    let app = App::new(Box::leak(full_name(service).into_boxed_str()));
                    let port = self.free.port();
                    self.ports.insert((tried.example.name.clone(), full_name(service), target), port);
                    more.push(format!("--port={port}"));
                    listening.push((format!("{member}.{namespace}"), app, port));
                }
                let labels = service["spec"]["selector"].as_object().unwrap();
                more.extend(
                    labels.iter().map(|(key, value)| format!("--label={key}={}", value.as_str().unwrap())),
                );
                self.member(namespace, &member, &more);
            }
        }
        listening
    }

    fn callers(&mut self, all: &[Tried]) {
        let mut accounts: BTreeSet<String> = all.iter().flat_map(|tried| tried.example.accounts()).collect();
        accounts.insert("default/caller".to_owned());
        let places: BTreeSet<String> =
            all.iter().flat_map(|tried| &tried.example.rows).filter_map(|row| place_of(&row.url)).collect();
        self.to = places.into_iter().map(|place| (place, self.free.port())).collect();
        let to: Vec<String> = self.to.iter().map(|(place, port)| format!("--to={port}={place}")).collect();
        for account in accounts {
            let (namespace, name) = account.split_once('/').unwrap();
            let mut args = vec!["run", "--mode", "explicit", "-n", namespace, "--name", name];
            if account == "default/caller" {
                args.extend(to.iter().map(String::as_str));
            }
            args.extend(["--", "sh", "-c", "echo $http_proxy; sleep 1000"]);
            self.running.push(self.home.start(&caller_file(&account), &args));
            self.callers.insert(account, SocketAddr::from(([0; 4], 0)));
        }
    }

    /// Puts an example in the place of the one before. Ports and selectors of Services are those of the members.
    pub(crate) fn put(&self, tried: &Tried) {
        let mut objects = tried.example.objects(&tried.migration);
        // The settings of the mesh are one object; the example's are not what is tried here.
        objects.retain(|one| one["kind"] != "MeshConfig");
        for service in objects.iter_mut().filter(|one| one["kind"] == "Service") {
            let name = full_name(service);
            let is_protected = tried.example.tests.is_some();
            let place = (!is_protected).then(|| &self.places[&name]);
            if let Some(place) = place {
                service["spec"]["selector"] = json!({ "app": place.member });
            }
            for port in service["spec"]["ports"].as_array_mut().unwrap() {
                port["targetPort"] = match place {
                    Some(place) => json!(place.port),
                    None => json!(self.ports[&(tried.example.name.clone(), name.clone(), target(port))]),
                };
            }
        }
        let services: Vec<Value> = objects.iter().filter(|one| one["kind"] == "Service").cloned().collect();
        for policy in objects.iter_mut().filter(|one| is_policy(one)) {
            let meant: BTreeSet<String> =
                services.iter().filter(|service| is_for(policy, service)).map(full_name).collect();
            let known = |port: u64| {
                let mut all = self.ports.iter();
                all.find(|((example, service, of), _)| {
                    *example == tried.example.name && meant.contains(service) && *of == port
                })
                .map(|(_, port)| *port)
            };
            ported(&mut policy["spec"], &self.login, &known);
        }
        let folder = self.home.objects();
        let (new, file) = (folder.join(".example"), folder.join("example.yaml"));
        std::fs::write(&new, text(&objects)).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// Sends the request of a row.
    pub(crate) async fn send(&self, row: &Row) -> Got {
        let number = self.number.fetch_add(1, Ordering::Relaxed).to_string();
        let headers: Vec<(&str, String)> =
            row.headers.iter().map(|(name, value)| (name.as_str(), value.replace('#', &number))).collect();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let before = self.seen();
        let mut got = match place_of(&row.url) {
            Some(place) if row.method == "TCP" => self.connect(&place).await,
            Some(place) => self.call(&place, row, &headers).await,
            None => self.ask(row, &headers).await,
        };
        got.tries = self.seen() - before;
        got
    }

    async fn ask(&self, row: &Row, headers: &[(&str, &str)]) -> Got {
        let answer = ask(self.callers["default/caller"], &row.method, &row.url, headers, "").await;
        let by = answer.head("x-app").to_owned();
        Got { status: answer.status, by, headers: answer.headers, body: answer.body, tries: 0 }
    }

    /// How often an application was asked anything.
    fn seen(&self) -> usize {
        self.places.values().map(|place| place.app.asked()).sum()
    }

    /// How often that Service's application was asked.
    pub(crate) fn asked(&self, service: &str) -> usize {
        self.places[service].app.asked()
    }

    /// Who answered how many of so many requests.
    pub(crate) async fn shares(&self, row: &Row, count: usize) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        if place_of(&row.url).is_some() {
            for _ in 0..count {
                *shares.entry(self.send(row).await.by).or_default() += 1;
            }
            return shares;
        }
        let stream = TcpStream::connect(self.callers["default/caller"]).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.tasks.spawn("a caller's connection", async move {
            connection.await.ok();
        });
        let host = row.url.trim_start_matches("http://").split('/').next().unwrap();
        for _ in 0..count {
            let mut request =
                Request::builder().method(row.method.as_str()).uri(&row.url).header("host", host);
            for (name, value) in &row.headers {
                request = request.header(name, value);
            }
            sender.ready().await.unwrap();
            let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
            let by = answer.headers().get("x-app").map_or("", |value| value.to_str().unwrap()).to_owned();
            answer.into_body().collect().await.unwrap();
            *shares.entry(by).or_default() += 1;
        }
        shares
    }

    /// A call of gRPC.
    async fn call(&self, place: &str, row: &Row, headers: &[(&str, &str)]) -> Got {
        let path = row.url.trim_start_matches("grpc://").split_once('/').unwrap().1;
        let mut request = Request::post(format!("http://{place}/{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let call = async {
            let stream = TcpStream::connect(("127.0.0.1", self.to[place])).await.ok()?;
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .ok()?;
            self.tasks.spawn("a call's connection", async move {
                connection.await.ok();
            });
            let answer = sender.send_request(request).await.ok()?;
            let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
            let headers =
                answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            let by = answer.headers().get("x-app").map(text).unwrap_or_default();
            let status = answer.status().as_u16();
            answer.into_body().collect().await.ok();
            Some(Got { status, by, headers, ..Got::default() })
        };
        tokio::time::timeout(DEADLINE, call).await.unwrap().unwrap_or_default()
    }

    /// A connection that is carried as bytes: the application behind speaks HTTP in it, of which nobody on the way knows.
    async fn connect(&self, place: &str) -> Got {
        let call = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.to[place])).await.ok()?;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.ok()?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.ok();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let by =
                text.lines().find_map(|line| line.strip_prefix("x-app: ")).unwrap_or_default().to_owned();
            Some(Got { status: if by.is_empty() { 0 } else { 200 }, by, ..Got::default() })
        };
        tokio::time::timeout(DEADLINE, call).await.unwrap().unwrap_or_default()
    }

    /// Sends what a test asks about; whether it came to the application. `None`: it cannot be sent from here.
    pub(crate) async fn asked_for(&self, tried: &Tried, test: &Value) -> Option<bool> {
        let from = &test["from"];
        if from.get("ip").is_some() {
            return None;
        }
        let request = &test["request"];
        let (service, path) =
            (test["to"]["service"].as_str().unwrap(), request["path"].as_str().unwrap_or("/"));
        let objects = tried.example.objects(&tried.migration);
        let object =
            objects.iter().find(|one| one["kind"] == "Service" && full_name(one) == service).unwrap();
        let ports = object["spec"]["ports"].as_array().unwrap();
        let port = test["to"].get("port").unwrap_or(&ports[0]["port"]);
        let (namespace, name) = service.split_once('/').unwrap();
        let token = request.get("claims").map(|claims| self.token(claims, &objects));
        let mut headers: Vec<(&str, &str)> = vec![];
        let given = request["headers"].as_object().into_iter().flatten();
        headers.extend(given.map(|(name, value)| (name.as_str(), value.as_str().unwrap())));
        headers.extend(token.as_deref().map(|token| ("authorization", token)));
        let method = request["method"].as_str().unwrap_or("GET");
        let (to, url) = match from["serviceAccount"].as_str() {
            Some(account) => (self.callers[account], format!("http://{name}.{namespace}:{port}{path}")),
            // Past every sidecar of a caller, to where the called one takes connections.
            None => {
                let port = ports.iter().find(|one| one["port"] == *port).unwrap();
                let port = self.ports[&(tried.example.name.clone(), service.to_owned(), target(port))];
                let at = self.inbound(namespace, port);
                (at, format!("http://{at}{path}"))
            }
        };
        let answer = ask(to, method, &url, &headers, "").await;
        Some(answer.status == 200 && answer.head("x-app") == service)
    }

    fn token(&self, claims: &Value, objects: &[Value]) -> String {
        let mut claims = claims.clone();
        let mut issuers = objects
            .iter()
            .filter(|one| one["kind"] == "AuthenticationPolicy")
            .flat_map(|one| one["spec"]["jwt"]["issuers"].as_array().unwrap());
        let issuer = issuers.find(|issuer| issuer["issuer"] == claims["iss"]).unwrap();
        claims["aud"] = issuer["audiences"][0].clone();
        claims["exp"] = json!(4_000_000_000_u64);
        format!("Bearer {}", self.login.token(&claims))
    }

    /// Where the sidecar takes connections for that port of its application.
    fn inbound(&self, namespace: &str, port: u16) -> SocketAddr {
        let files = std::fs::read_dir(self.home.objects()).unwrap().map(|file| file.unwrap().path());
        let texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
        let documents: Vec<Value> = texts
            .flat_map(|text| {
                text.split("---\n").filter_map(|part| serde_saphyr::from_str(part).ok()).collect::<Vec<_>>()
            })
            .collect();
        let found = documents.iter().filter(|one: &&Value| one["kind"] == "Workload").find_map(|workload| {
            let ports = workload["spec"]["ports"].as_array()?;
            let found = ports.iter().find(|one| one["port"] == port)?;
            (workload["metadata"]["namespace"] == namespace).then(|| {
                let address = workload["spec"]["address"].as_str().unwrap();
                format!("{address}:{}", found["meshPort"]).parse().unwrap()
            })
        });
        found.unwrap()
    }
}

impl Example {
    /// Assertions of the file beside it.
    pub(crate) fn assertions(&self) -> Vec<Value> {
        let text = self.tests.as_ref().map(|file| std::fs::read_to_string(file).unwrap());
        let file: Option<Value> = text.map(|text| serde_saphyr::from_str(&text).unwrap());
        file.map(|file| file["tests"].as_array().unwrap().clone()).unwrap_or_default()
    }

    fn accounts(&self) -> BTreeSet<String> {
        let tests = self.assertions();
        let sent = tests.iter().filter(|test| test["from"].get("ip").is_none());
        sent.filter_map(|test| Some(test["from"]["serviceAccount"].as_str()?.to_owned())).collect()
    }
}

fn caller_file(account: &str) -> String {
    format!("as-{}", account.replace('/', "."))
}

/// `SERVICE.NS:PORT` of what is not asked through an HTTP proxy.
fn place_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("grpc://").or_else(|| url.strip_prefix("tcp://"))?;
    Some(rest.split('/').next().unwrap().to_owned())
}

/// The number of the port of the pod.
fn target(port: &Value) -> u64 {
    port.get("targetPort").and_then(Value::as_u64).unwrap_or_else(|| port["port"].as_u64().unwrap())
}

/// Whether a policy is for the pods of a Service.
fn is_for(policy: &Value, service: &Value) -> bool {
    if policy["metadata"]["namespace"] != service["metadata"]["namespace"] {
        return false;
    }
    let spec = &policy["spec"];
    match (spec.pointer("/selector/matchLabels"), spec["targetRefs"].as_array()) {
        (Some(labels), _) => *labels == service["spec"]["selector"],
        (None, Some(targets)) => targets.iter().any(|target| target["name"] == service["metadata"]["name"]),
        (None, None) => true,
    }
}

/// Ports of pods are others here, and keys of issuers are ours.
fn ported(value: &mut Value, login: &Issuer, known: &impl Fn(u64) -> Option<u16>) {
    match value {
        Value::Object(map) => {
            if map.remove("jwksUri").is_some() {
                map.insert("jwks".to_owned(), json!(login.jwks().to_string()));
            }
            for (key, value) in map {
                match value {
                    Value::Number(_) if key == "port" => renumber(value, known),
                    Value::Array(ports) if key == "ports" => {
                        for port in ports {
                            renumber(port, known);
                            ported(port, login, known);
                        }
                    }
                    _ => ported(value, login, known),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| ported(value, login, known)),
        _ => {}
    }
}

fn renumber(port: &mut Value, known: &impl Fn(u64) -> Option<u16>) {
    if let Some(known) = port.as_u64().and_then(known) {
        *port = json!(known);
    }
}

fn is_policy(object: &Value) -> bool {
    ["AuthorizationPolicy", "AuthenticationPolicy"].contains(&object["kind"].as_str().unwrap())
}
