//! The dashboard as a browser's side sees it, and as pages that are not ours would like to.

use std::fmt::Write as _;
use std::net::SocketAddr;

use mesh_controller::dashboard::review::{AUDIENCE, NotAllowed, review};
use mesh_lifecycle::Tasks;
use mesh_proto::inspect::v1::DashboardRequest;
use mesh_proto::inspect::v1::inspect_service_client::InspectServiceClient;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::api::Api;
use crate::world::{DEADLINE, SHOP, World};

/// What a browser keeps of a session.
pub struct Session {
    address: SocketAddr,
    cookie: String,
    key: String,
}

pub struct Said {
    status: u16,
    head: String,
    body: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn send(address: SocketAddr, text: &str) -> Said {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A server that refuses a request may reset before all was read.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = tokio::time::timeout(DEADLINE, talk).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Said { status, head: head.to_owned(), body: body.to_owned() }
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Said {
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "host") {
        write!(text, "host: {address}\r\n").unwrap();
    }
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    send(address, &format!("{text}\r\n{body}")).await
}

async fn ticket(world: &World) -> (SocketAddr, String) {
    ticket_of(world.inspect()).await
}

/// Where a controller's dashboard is, and a ticket for it.
pub async fn ticket_of(mut client: InspectServiceClient<Channel>) -> (SocketAddr, String) {
    let answer = client.dashboard(DashboardRequest {}).await.unwrap().into_inner();
    (answer.address.parse().unwrap(), answer.ticket)
}

async fn sign_in(address: SocketAddr, proof: &Value) -> Said {
    let origin = format!("http://{address}");
    ask(address, "POST", "/api/session", &[("origin", &origin)], &proof.to_string()).await
}

impl Session {
    async fn open(world: &World) -> Self {
        let (address, ticket) = ticket(world).await;
        Self::by(address, &json!({ "ticket": ticket })).await
    }

    /// Signs in with a ticket or a token.
    pub async fn by(address: SocketAddr, proof: &Value) -> Self {
        let said = sign_in(address, proof).await;
        assert_eq!(said.status, 200, "{}", said.body);
        let cookie = said.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { address, cookie, key: said.json()["key"].as_str().unwrap().to_owned() }
    }

    pub async fn get(&self, path: &str) -> Said {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, more: &[(&str, &str)]) -> Said {
        let mut headers = vec![("cookie", self.cookie.as_str()), ("x-amime-key", self.key.as_str())];
        headers.extend(more);
        ask(self.address, "GET", path, &headers, "").await
    }

    /// A stream that is being read.
    async fn tap(&self) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text = format!(
            "GET /api/tap HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\nx-amime-key: {}\r\n\r\n",
            self.address, self.cookie, self.key
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut head = vec![0; 12];
        tokio::time::timeout(DEADLINE, stream.read_exact(&mut head)).await.expect("an answer").unwrap();
        (stream, String::from_utf8(head).unwrap())
    }
}

// T33
#[tokio::test]
async fn without_a_session_there_is_the_page_and_nothing_else() {
    let world = World::new(SHOP).await;
    let (address, _) = ticket(&world).await;
    assert!(address.ip().is_loopback());
    let page = ask(address, "GET", "/", &[], "").await;
    assert_eq!(page.status, 200);
    for header in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(page.head.contains(header), "{header} in {}", page.head);
    }
    for name in [
        "session",
        "stat?kind=svc",
        "edges",
        "failures",
        "protocols",
        "sync",
        "certs",
        "version",
        "objectives",
        "tap",
        "traces",
    ] {
        let said = ask(
            address,
            "GET",
            &format!("/api/{name}"),
            &[("x-amime-key", "x"), ("cookie", "amime-1=x")],
            "",
        )
        .await;
        assert_eq!(said.status, 401, "{name}: {}", said.body);
        assert!(!said.body.contains("shop"), "{name}: {}", said.body);
    }
    // A workload of the mesh gets no ticket.
    let mut web = InspectServiceClient::new(world.channel("shop", "web"));
    assert_eq!(web.dashboard(DashboardRequest {}).await.unwrap_err().code(), Code::PermissionDenied);
}

// T33
#[tokio::test]
async fn other_pages_and_other_names_get_nothing_with_a_session_too() {
    let world = World::new(SHOP).await;
    let session = Session::open(&world).await;
    assert_eq!(session.get("/api/sync").await.status, 200);
    for more in [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(session.get_with("/api/sync", &[more]).await.status, 403, "{more:?}");
    }
    let cookie = [("cookie", session.cookie.as_str())];
    assert_eq!(ask(session.address, "GET", "/api/sync", &cookie, "").await.status, 401, "the cookie alone");
    let origin = format!("http://{}", session.address);
    for (method, path, wanted) in [
        ("POST", "/api/sync", 405),
        ("PUT", "/api/session", 405),
        ("POST", "/", 405),
        ("GET", "/shutdown", 404),
        ("GET", "/api/shutdown", 404),
        ("GET", "/api/../api/sync", 404),
        ("GET", "//api/sync", 404),
        ("GET", "/%2e%2e/Cargo.toml", 404),
        ("GET", "/api/sync/", 404),
        ("GET", "/api/stat?kind=svc&local_only=1", 400),
    ] {
        let headers =
            [("origin", origin.as_str()), ("cookie", &session.cookie), ("x-amime-key", &session.key)];
        assert_eq!(ask(session.address, method, path, &headers, "").await.status, wanted, "{method} {path}");
    }
    assert_eq!(
        ask(session.address, "DELETE", "/api/session", &cookie, "").await.status,
        403,
        "without an Origin"
    );
    assert_eq!(session.get("/api/sync").await.status, 200, "nobody was signed out");
}

#[tokio::test]
async fn a_ticket_opens_one_session_that_shows_what_meshctl_shows_until_it_is_closed() {
    let world = World::new(SHOP).await;
    let (address, ticket) = ticket(&world).await;
    assert_eq!(sign_in(address, &json!({ "ticket": ticket })).await.status, 200);
    let again = sign_in(address, &json!({ "ticket": ticket })).await;
    assert_eq!(again.status, 403);
    assert!(again.body.contains("meshctl dashboard"), "{}", again.body);
    assert_eq!(sign_in(address, &json!({ "token": "x" })).await.status, 403, "there is no cluster");
    assert_eq!(sign_in(address, &json!({ "tiket": "x" })).await.status, 400);

    let session = Session::open(&world).await;
    assert_eq!(session.get("/api/session").await.json()["viewer"], "meshctl");
    let sync = session.get("/api/sync").await.json();
    let told = mesh_controller::inspect::json::sync(&world.sync().await);
    assert_eq!(sync["objects"], told["objects"]);
    assert_eq!(sync["unanswered"], json!([]));
    let stat = session.get("/api/stat?kind=svc&history=1").await.json();
    assert_eq!((stat["kind"].as_str(), stat["rows"][0]["namespace"].as_str()), (Some("svc"), Some("shop")));
    for name in ["edges?window=600", "failures", "protocols", "certs", "version"] {
        assert_eq!(session.get(&format!("/api/{name}")).await.status, 200, "{name}");
    }
    let unknown = session.get("/api/trace?id=000102030405060708090a0b0c0d0e0f").await;
    assert_eq!(unknown.status, 404);
    let origin = format!("http://{}", session.address);
    let headers = [("origin", origin.as_str()), ("cookie", &session.cookie), ("x-amime-key", &session.key)];
    assert_eq!(ask(session.address, "DELETE", "/api/session", &headers, "").await.status, 200);
    assert_eq!(session.get("/api/sync").await.status, 401);
}

#[tokio::test]
async fn streams_and_sizes_are_bounded_and_places_are_given_back() {
    let world = World::new(SHOP).await;
    let session = Session::open(&world).await;
    let mut streams = Vec::new();
    for _ in 0..16 {
        let (stream, head) = session.tap().await;
        assert_eq!(head, "HTTP/1.1 200");
        streams.push(stream);
    }
    let (_, head) = session.tap().await;
    assert_eq!(head, "HTTP/1.1 503", "the seventeenth");
    let metrics = ask(world.running.metrics_addr, "GET", "/metrics", &[], "").await.body;
    for line in ["mesh_controller_dashboard_streams 16", "mesh_controller_dashboard_streams_refused_total 1"]
    {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    streams.clear();
    let freed = async {
        while session.tap().await.1 != "HTTP/1.1 200" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, freed).await.expect("a place is free again");

    let origin = format!("http://{}", session.address);
    let large = "x".repeat(20 * 1024);
    let said = ask(session.address, "POST", "/api/session", &[("origin", &origin)], &large).await;
    assert_eq!(said.status, 413, "{}", said.body);
    let said = session.get_with("/api/sync", &[("x-more", &large)]).await;
    assert_eq!(said.status, 431, "{}", said.body);
    assert_eq!(session.get(&format!("/api/stat?kind=svc&name={}", "x".repeat(2_100))).await.status, 400);
}

// T39
#[tokio::test]
async fn the_cluster_says_whose_a_token_is_and_who_may_look() {
    let tasks = Tasks::new();
    let api = Api::start(&tasks).await;
    let cluster = api.cluster();
    api.user("good", "ann", AUDIENCE);
    api.user("poor", "bob", AUDIENCE);
    api.user("elsewhere", "ann", "mesh-ca");
    api.allow("ann");
    assert_eq!(review(&cluster, "good").await.unwrap(), "ann");
    assert!(matches!(review(&cluster, "elsewhere").await.unwrap_err(), NotAllowed::Token));
    assert!(matches!(review(&cluster, "unknown").await.unwrap_err(), NotAllowed::Token));
    let poor = review(&cluster, "poor").await.unwrap_err();
    assert!(poor.to_string().starts_with("bob may not look: it takes the verb get on dashboards"), "{poor}");
    api.go_down();
    assert!(matches!(review(&cluster, "good").await.unwrap_err(), NotAllowed::Api(_)));
    tasks.token().cancel();
}
