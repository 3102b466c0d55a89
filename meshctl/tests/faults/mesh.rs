//! A mesh in which each fault is seeded, and what sends the traffic that meets it. It must not know what `meshctl why` has to say.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use mesh_lifecycle::tasks::Tasks;
use mesh_token::testing::Issuer;
use rcgen::SanType;
use rustix::process::Signal;
use serde_json::{Value, json};
use socket2::Socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::app;
use crate::support::{DEADLINE, Home, Running, free_port, kill, pid_of, wait_for};
use crate::table::{Fault, Header, Traffic};
use crate::tls::Authority;

const OBJECTS: &str = include_str!("objects.yaml");
const REGISTRY_ONLY: &str = "apiVersion: amime.io/v1alpha1
kind: MeshConfig
metadata: { name: default }
spec: { trustDomain: mesh.local, mtls: { mode: Strict }, outbound: { mode: RegistryOnly } }
";

pub(crate) struct Mesh {
    pub(crate) home: Home,
    /// Kept as long as the applications.
    _tasks: Tasks,
    /// The caller's sidecar, as an HTTP proxy.
    me: SocketAddr,
    /// Where the sidecar of `app` takes connections.
    app: SocketAddr,
    login: Issuer,
    state: Value,
    _running: Vec<Running>,
    _black_hole: Vec<Socket>,
}

/// What came back.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    failure: String,
    text: String,
}

/// For a fault to be met; reached only when something is wrong.
const MEETING: Duration = Duration::from_secs(20);

impl Mesh {
    pub(crate) async fn start() -> Self {
        let (home, tasks) = (Home::new("faults"), Tasks::new());
        let mut up = home.start("up", &["up"]);
        let state = home.ready(&mut up).await;
        let (mut running, down) = (vec![up], CancellationToken::new());
        let names = ["web", "closed", "shut", "denied", "users"];
        let ports = names.map(|_| free_port());
        let members = [
            ("app", "http", names.into_iter().zip(ports).collect::<Vec<_>>()),
            ("bytes", "tcp", vec![("bytes", free_port()), ("mixed", free_port())]),
            ("down", "http", vec![("web", free_port())]),
        ];
        for (name, protocol, ports) in &members {
            let ports: Vec<String> =
                ports.iter().map(|(name, port)| format!("--port={port}={name}")).collect();
            let mut args = vec!["run", "--mode", "explicit", "--name", name, "--protocol", protocol];
            args.extend(ports.iter().map(String::as_str));
            args.extend(["--", "sleep", "1000"]);
            running.push(home.start(name, &args));
        }
        let caller =
            ["run", "--mode", "explicit", "--name", "me", "--", "sh", "-c", "echo $http_proxy; sleep 1000"];
        running.push(home.start("me", &caller));
        for (name, _, ports) in &members {
            // It refuses a port that is in use before it registers.
            let registered = home.objects().with_file_name("members").join(format!("{name}.default"));
            wait_for("the member to be registered", async || registered.exists().then_some(())).await;
            for (_, port) in ports {
                let until = if *name == "down" { down.clone() } else { CancellationToken::new() };
                app::listen(&tasks, *port, until).await;
            }
        }
        let me = wait_for("the caller's proxy", async || {
            running.last()?.stdout().trim().strip_prefix("http://")?.parse().ok()
        });
        let me: SocketAddr = me.await;
        let workload =
            async |name: &str| wait_for("the member's object", async || workload(&home, name)).await;
        let (app, _) = (workload("app").await, (workload("bytes").await, workload("down").await));
        // From now on nobody listens behind its sidecar.
        down.cancel();
        let address = app["spec"]["address"].as_str().unwrap().to_owned();
        let mesh_port = app["spec"]["ports"][0]["meshPort"].as_u64().unwrap();
        let login = Issuer::new("2026");
        let (good, other) = (Authority::new(), Authority::new());
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let stranger =
            SanType::URI("spiffe://other.example/ns/default/sa/wrong-trust-domain".try_into().unwrap());
        let (full, black_hole) = app::black_hole();
        let plain = app::listen(&tasks, 0, CancellationToken::new()).await;
        let fill = [
            (
                "$EXPIRED_PORT",
                good.serve(&tasks, dns("outside-expired.example"), true, &[]).await.to_string(),
            ),
            (
                "$UNTRUSTED_PORT",
                other.serve(&tasks, dns("outside-untrusted.example"), false, &[]).await.to_string(),
            ),
            (
                "$STRANGER_PORT",
                other
                    .serve(&tasks, stranger, false, &["amime/h1", "amime/h1s", "amime/h2", "amime/tcp"])
                    .await
                    .to_string(),
            ),
            ("$PLAIN_PORT", plain.to_string()),
            ("$CLOSED_PORT", free_port().to_string()),
            ("$FULL_PORT", full.to_string()),
            ("$APP_MESH_PORT", mesh_port.to_string()),
            ("$APP_PORT", members[0].2[0].1.to_string()),
            ("$APP_ADDRESS", address.clone()),
            ("$USERS_PORT", members[0].2[4].1.to_string()),
            ("$ROOT", serde_json::to_string(&good.pem()).unwrap()),
            ("$JWKS", login.jwks().to_string()),
        ];
        let objects = fill.iter().fold(OBJECTS.to_owned(), |text, (name, value)| text.replace(name, value));
        std::fs::write(home.objects().join("faults.yaml"), objects).unwrap();
        read(&home).await;
        let app = format!("{address}:{mesh_port}").parse().unwrap();
        Self { home, _tasks: tasks, me, app, login, state, _running: running, _black_hole: black_hole }
    }

    /// Only hosts that objects name may be called from now on.
    pub(crate) fn registry_only(&self) {
        std::fs::write(self.home.objects().join("mesh.yaml"), REGISTRY_ONLY).unwrap();
    }

    /// Stops a part of the mesh, without anybody starting it again.
    pub(crate) fn signal(&self, part: &str, signal: Signal) {
        kill(pid_of(&self.state, part).unwrap(), signal);
    }

    /// Sends what meets the fault, until it is answered as it should be.
    pub(crate) async fn meet(&self, fault: &Fault) {
        let name = fault.name;
        let what = format!("{name} to be met");
        match fault.traffic {
            Traffic::Get(status, failure) => self.until(fault, name, "", 0, (status, failure)).await,
            Traffic::GetOf(host, status, failure) => self.until(fault, host, "", 0, (status, failure)).await,
            Traffic::Post(size, status, failure) => {
                self.until(fault, name, "", size, (status, failure)).await;
            }
            Traffic::With(header, status, failure) => {
                let header = self.header(header);
                self.until(fault, name, &header, 0, (status, failure)).await;
            }
            Traffic::Bytes => {
                wait_for(&what, async || self.tunnel(&format!("{name}:9000")).await.then_some(())).await;
            }
            Traffic::Crowd(status, failure) => {
                let one = |path: String| async move {
                    let text = request("GET", name, &path, "", 0);
                    (ask(self.me, &text).await, path)
                };
                // Two that are held, and others until one of all finds no place.
                let paths = ["/hold".to_owned(), "/hold".to_owned(), format!("/{name}")];
                let mut crowd: FuturesUnordered<_> = paths.into_iter().map(one).collect();
                let full = async {
                    while let Some((answer, path)) = crowd.next().await {
                        if (answer.status, answer.failure.as_str()) == (status, failure) {
                            return;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        crowd.push(one(path));
                    }
                };
                if tokio::time::timeout(MEETING, full).await.is_err() {
                    eprintln!("{name}: nobody was turned away");
                }
            }
            Traffic::Leave => {
                let mut stream = TcpStream::connect(self.me).await.unwrap();
                stream.write_all(request("GET", name, &format!("/{name}"), "", 0).as_bytes()).await.unwrap();
                // Long enough for it to have gone on is when another one is answered.
                ask(self.me, &request("GET", name, "/", "", 0)).await;
                stream.set_zero_linger().unwrap();
            }
            Traffic::Plaintext => {
                let mut stream = TcpStream::connect(self.app).await.unwrap();
                stream.write_all(b"GET /plaintext HTTP/1.1\r\nhost: app\r\n\r\n").await.unwrap();
                let mut nothing = Vec::new();
                tokio::time::timeout(DEADLINE, stream.read_to_end(&mut nothing)).await.unwrap().ok();
            }
            Traffic::None | Traffic::Stopped(_) => {}
        }
    }

    /// A request whose destination nobody can tell.
    pub(crate) async fn meet_without_controller(&self, fault: &Fault) {
        self.until(fault, fault.name, "", 0, (503, "config_unavailable")).await;
    }

    async fn until(&self, fault: &Fault, host: &str, header: &str, size: usize, want: (u16, &str)) {
        let method = if size > 0 { "POST" } else { "GET" };
        let text = request(method, host, &format!("/{}", fault.name), header, size);
        let mut last = Answer::default();
        let mut ask = async || {
            last = ask(self.me, &text).await;
            let meant = fault.cause != "registry_only" || last.text.contains("RegistryOnly");
            (meant && (last.status, last.failure.as_str()) == want).then_some(())
        };
        let met = tokio::time::timeout(MEETING, async {
            while ask().await.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        if met.await.is_err() {
            // It is not met as it should be: that it is not named is what the test then says.
            eprintln!("{}: wanted {want:?}, the last answer was {last:?}", fault.name);
        }
    }

    fn header(&self, header: Header) -> String {
        let claims = |exp: u64| json!({ "iss": "login", "aud": "shop", "sub": "ann", "exp": exp });
        match header {
            Header::Large => format!("x-large: {}\r\n", "x".repeat(100_000)),
            Header::Ambiguous => "content-length: 4\r\ntransfer-encoding: chunked\r\n".to_owned(),
            Header::OldToken => {
                format!("authorization: Bearer {}\r\n", self.login.token(&claims(1_000_000_000)))
            }
            // Of the same name, and with another key.
            Header::ForgedToken => {
                format!("authorization: Bearer {}\r\n", Issuer::new("2026").token(&claims(4_000_000_000)))
            }
        }
    }

    /// Bytes through a tunnel; whether it broke.
    async fn tunnel(&self, to: &str) -> bool {
        let call = async {
            let mut stream = TcpStream::connect(self.me).await?;
            stream.write_all(format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n").as_bytes()).await?;
            let mut head = [0; 12];
            stream.read_exact(&mut head).await?;
            if &head != b"HTTP/1.1 200" {
                return Ok(false);
            }
            let mut answer = Vec::new();
            stream.write_all(b"hello\r\n\r\n").await?;
            stream.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(!answer.windows(4).any(|part| part == b"HTTP"))
        };
        matches!(tokio::time::timeout(Duration::from_secs(5), call).await, Ok(Ok(true) | Err(_)))
    }
}

/// The `Workload` that `meshctl run` wrote for a member.
fn workload(home: &Home, name: &str) -> Option<Value> {
    let files = std::fs::read_dir(home.objects()).ok()?.flatten().map(|entry| entry.path());
    let texts = files.filter_map(|path| std::fs::read_to_string(path).ok());
    texts
        .flat_map(|text| {
            text.split("---\n")
                .filter_map(|one| serde_saphyr::from_str::<Value>(one).ok())
                .collect::<Vec<_>>()
        })
        .find(|one| {
            one["kind"] == "Workload" && one["metadata"]["name"] == name && one["spec"]["ports"].is_array()
        })
}

fn request(method: &str, host: &str, path: &str, header: &str, size: usize) -> String {
    let mut text =
        format!("{method} http://{host}{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{header}");
    if size > 0 {
        write!(text, "content-length: {size}\r\n").unwrap();
    }
    text + "\r\n" + &"x".repeat(size)
}

/// One request through an HTTP proxy, on a connection of its own.
async fn ask(proxy: SocketAddr, text: &str) -> Answer {
    let call = async {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        stream.write_all(text.as_bytes()).await.ok();
        let mut bytes = Vec::new();
        // A reset after the answer is an end like another.
        stream.read_to_end(&mut bytes).await.ok();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let text = tokio::time::timeout(DEADLINE, call).await.unwrap_or_default();
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_default();
    let failure = lines.find_map(|line| line.strip_prefix("x-mesh-failure: ")).unwrap_or_default();
    Answer { status, failure: failure.to_owned(), text: text.clone() }
}

/// Until the controller has read the faults.
async fn read(home: &Home) {
    wait_for("the controller to have read the faults", async || {
        let sync = home.output(&["sync", "-o", "json"]);
        String::from_utf8_lossy(&sync.stdout).contains("default/never-asked").then_some(())
    })
    .await;
}
