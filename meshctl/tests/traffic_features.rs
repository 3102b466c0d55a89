//! Routes and policies as a user writes them, from YAML in a folder through the controller and real sidecars: that each feature is in
//! force for real requests. One mesh is started; every feature has a service of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "traffic_features/app.rs"]
mod app;
#[path = "support/mesh.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use app::{Answer, App, ask};
use mesh_lifecycle::tasks::Tasks;
use serde_json::Value;
use support::{Home, Running, free_port, wait_for};

const OBJECTS: &str = include_str!("traffic_features/objects.yaml");

/// A mesh with two applications, two callers, and the objects.
struct Mesh {
    home: Home,
    tasks: Tasks,
    a: App,
    b: App,
    me: SocketAddr,
    you: SocketAddr,
    /// Codes of the failures that were seen.
    failures: BTreeSet<String>,
    _running: Vec<Running>,
}

impl Mesh {
    async fn start() -> Self {
        let (home, tasks) = (Home::new("features"), Tasks::new());
        let mut up = home.start("up", &["up"]);
        home.ready(&mut up).await;
        let mut running = vec![up];
        let (a, b) = (App::new("a"), App::new("b"));
        for (app, zone) in [(&a, "east"), (&b, "west")] {
            let port = free_port();
            let number = format!("{port}=http");
            let name = app.name();
            let label = format!("app={name}");
            let member = ["run", "--mode", "explicit", "--name", name, "--port", &number];
            let labels = ["--label", &label, "--label", "part=app", "--zone", zone, "--", "sleep", "1000"];
            let args = [&member[..], &labels].concat();
            running.push(home.start(name, &args));
            // It refuses a port that is in use before it registers.
            let registered = home.objects().with_file_name("members").join(format!("{name}.default"));
            wait_for("the member to be registered", async || registered.exists().then_some(())).await;
            app.listen(&tasks, port).await;
        }
        let mut proxies = vec![];
        for name in ["me", "you"] {
            let run = ["run", "--mode", "explicit", "--name", name, "--zone", "east"];
            let args = [&run[..], &["--", "sh", "-c", "echo $http_proxy; sleep 1000"]].concat();
            let caller = home.start(name, &args);
            let proxy = wait_for("the caller's proxy", async || {
                caller.stdout().trim().strip_prefix("http://")?.parse().ok()
            });
            proxies.push(proxy.await);
            running.push(caller);
        }
        std::fs::write(home.objects().join("features.yaml"), OBJECTS).unwrap();
        let (me, you) = (proxies[0], proxies[1]);
        Self { home, tasks, a, b, me, you, failures: BTreeSet::new(), _running: running }
    }

    /// Waits until a request is answered with that header.
    async fn until_header(&self, url: &str, header: &str) {
        wait_for(&format!("`{header}` on {url}"), async || {
            let answer = ask(self.me, "GET", url, &[("x-shop", "warm")], "").await;
            (!answer.head(header).is_empty()).then_some(())
        })
        .await;
    }

    async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.me, "GET", url, headers, "").await
    }

    /// A GET that has to fail with that status and code.
    async fn fails(&mut self, url: &str, headers: &[(&str, &str)], want: (u16, &str)) -> Answer {
        let answer = self.get(url, headers).await;
        self.failed(&answer, want);
        answer
    }

    fn failed(&mut self, answer: &Answer, want: (u16, &str)) {
        assert_eq!((answer.status, answer.head("x-mesh-failure")), want, "{answer:?}\n{}", self.home.logs());
        self.failures.insert(want.1.to_owned());
    }

    /// A request that is answered only when `release` is called.
    async fn hold(&self, url: &'static str) {
        let (proxy, before) = (self.me, self.a.held());
        self.tasks.spawn("held", async move {
            ask(proxy, "GET", url, &[("x-do", "hold")], "").await;
        });
        wait_for("the request to arrive", async || (self.a.held() > before).then_some(())).await;
    }
}

#[tokio::test]
async fn what_a_folder_says_is_what_requests_meet() {
    let mut mesh = Mesh::start().await;
    mesh.until_header("http://only-a/exact", "x-rule").await;
    wait_for("both applications", async || {
        (mesh.get("http://only-b/", &[]).await.status == 200).then_some(())
    })
    .await;
    matching(&mut mesh).await;
    filters(&mut mesh).await;
    rules(&mut mesh).await;
    grpc(&mut mesh).await;
    attempts(&mut mesh).await;
    disturbed(&mut mesh).await;
    balancing(&mut mesh).await;
    health(&mut mesh).await;
    bounds(&mut mesh).await;
    called_side(&mut mesh).await;
    copies(&mut mesh).await;
    for code in &mesh.failures {
        let explained = mesh.home.output(&["error", code]);
        assert_eq!(explained.status.code(), Some(0), "{code}");
    }
}

async fn matching(mesh: &mut Mesh) {
    let none: &[(&str, &str)] = &[];
    let table = [
        ("GET", "/exact", none, "exact"),
        ("GET", "/prefix/more", none, "prefix"),
        ("GET", "/re/42", none, "regex"),
        ("PUT", "/m", none, "method"),
        ("GET", "/m?q=1", none, "query"),
        ("GET", "/m", &[("x-h", "abc")][..], "header"),
    ];
    for (method, path, headers, rule) in table {
        let answer = ask(mesh.me, method, &format!("http://only-a{path}"), headers, "").await;
        assert_eq!((answer.status, answer.head("x-rule")), (200, rule), "{path}: {answer:?}");
    }
    for path in ["/exact/more", "/prefixes", "/re/x", "/m"] {
        mesh.fails(&format!("http://only-a{path}"), &[], (404, "no_route")).await;
    }
}

async fn filters(mesh: &mut Mesh) {
    let edited = mesh.get("http://only-a/edit/x?y=1", &[("x-gone", "1")]).await;
    assert!(edited.body.contains(" GET /edited/x?y=1\n"), "{edited:?}");
    for part in ["host: inner.example\n", "x-set: rule\n", "x-backend: 1\n"] {
        assert!(edited.body.contains(part), "{part}: {edited:?}");
    }
    assert!(!edited.body.contains("x-gone") && edited.head("x-app").is_empty(), "{edited:?}");

    let moved = mesh.get("http://only-a/go", &[]).await;
    assert_eq!((moved.status, moved.head("location")), (301, "http://other.example/there"), "{moved:?}");

    let answer = mesh.get("http://only-a/copy", &[]).await;
    assert_eq!((answer.status, answer.head("x-app")), (200, "a"));
    wait_for("the copy", async || (mesh.b.seen("/copy") == 1).then_some(())).await;

    let from = ("origin", "https://shop.example");
    let first =
        ask(mesh.me, "OPTIONS", "http://only-a/cors", &[from, ("access-control-request-method", "PUT")], "")
            .await;
    assert_eq!(first.head("access-control-allow-methods"), "PUT", "{first:?}");
    let across = mesh.get("http://only-a/cors", &[from]).await;
    assert_eq!(
        (across.head("x-app"), across.head("access-control-allow-origin")),
        ("a", from.1),
        "{across:?}"
    );
    assert_eq!(mesh.a.seen("/cors"), 1, "the first one was answered by the mesh");

    let packed = mesh.get("http://only-a/exact", &[("x-do", "gzip"), ("accept-encoding", "gzip")]).await;
    assert_eq!((packed.head("content-encoding"), packed.body.as_str()), ("gzip", app::PACKED), "left alone");
}

/// Fields of a rule, and policies of a named one.
async fn rules(mesh: &mut Mesh) {
    mesh.fails("http://only-a/slow", &[("x-do", "hold")], (504, "request_timeout")).await;
    assert_eq!(mesh.get("http://only-a/again", &[("x-do", "flaky-rule")]).await.status, 200);
    mesh.fails("http://only-a/broken", &[], (500, "backend_invalid")).await;
    let closed = mesh.get("http://only-a/closed", &[]).await;
    assert_eq!((closed.status, closed.body.as_str(), mesh.a.seen("/closed")), (418, "closed for today", 0));

    let first = mesh.get("http://only-a/sticky", &[]).await;
    let cookie = first.head("set-cookie").split(';').next().unwrap();
    assert!(cookie.starts_with("basket="), "{first:?}");
    for _ in 0..10 {
        let next = mesh.get("http://only-a/sticky", &[("cookie", cookie)]).await;
        assert_eq!(next.head("x-app"), first.head("x-app"));
    }
}

async fn grpc(mesh: &mut Mesh) {
    let kind = ("content-type", "application/grpc");
    let call = async |url| ask(mesh.me, "POST", url, &[kind, ("te", "trailers")], "").await;
    let answer = call("http://calls/shop.Cart/Get").await;
    assert_eq!((answer.head("grpc-status"), answer.head("x-rule")), ("0", "get"), "{answer:?}");
    let unmatched = call("http://calls/shop.Cart/Put").await;
    assert_eq!((unmatched.status, unmatched.head("grpc-status")), (200, "12"), "{unmatched:?}");
    // A policy may say what is spoken to a Service that does not.
    let answer = mesh.get("http://two/", &[]).await;
    assert!(answer.body.starts_with("a HTTP/2.0 "), "{answer:?}");
}

async fn attempts(mesh: &mut Mesh) {
    let before = mesh.a.seen("/tried") + mesh.b.seen("/tried");
    let answer = mesh.get("http://retried/tried", &[("x-do", "flaky-policy")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(mesh.a.seen("/tried") + mesh.b.seen("/tried") - before, 2);
    for _ in 0..4 {
        assert_eq!(mesh.get("http://hedged/", &[("x-do", "hold-b")]).await.head("x-app"), "a");
    }
}

async fn disturbed(mesh: &mut Mesh) {
    mesh.fails("http://faulty/", &[("x-fault", "yes")], (503, "fault_injected")).await;
    assert_eq!(mesh.get("http://faulty/", &[]).await.status, 200);
    let large = ask(mesh.me, "POST", "http://faulty/", &[], "12345").await;
    mesh.failed(&large, (413, "request_too_large"));
    mesh.fails("http://faulty/", &[("x-do", "big")], (502, "response_too_large")).await;
}

async fn balancing(mesh: &mut Mesh) {
    let mut by_turns: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..10 {
        let answer = mesh.get("http://turns/", &[]).await;
        *by_turns.entry(answer.head("x-app").to_owned()).or_default() += 1;
    }
    assert_eq!(by_turns.into_values().collect::<Vec<_>>(), [5, 5]);

    let mut seen = BTreeSet::new();
    for user in 0..20 {
        let user = user.to_string();
        let first = mesh.get("http://ring/", &[("x-user", &user)]).await.head("x-app").to_owned();
        for _ in 0..2 {
            assert_eq!(mesh.get("http://ring/", &[("x-user", &user)]).await.head("x-app"), first);
        }
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "users are spread");

    for _ in 0..10 {
        assert_eq!(mesh.get("http://both/", &[]).await.head("x-app"), "a", "the own zone comes first");
    }

    let first = mesh.get("http://table/", &[]).await;
    let seat = first.head("set-cookie").split(';').next().unwrap();
    assert!(seat.starts_with("seat="), "{first:?}");
    for _ in 0..6 {
        assert_eq!(mesh.get("http://table/", &[("cookie", seat)]).await.head("x-app"), first.head("x-app"));
    }
}

async fn health(mesh: &mut Mesh) {
    let mut errors = 0;
    for _ in 0..20 {
        errors += u32::from(mesh.get("http://outlier/", &[("x-do", "fail-b")]).await.status == 500);
    }
    assert_eq!(errors, 2, "then it is left alone");

    mesh.b.sick(true);
    until_answered_by(mesh, &["a"]).await;
    mesh.b.sick(false);
    until_answered_by(mesh, &["a", "b"]).await;
}

/// Waits until the applications that probes call healthy are these.
async fn until_answered_by(mesh: &Mesh, want: &[&str]) {
    wait_for("the probes", async || {
        let mut seen = BTreeSet::new();
        for _ in 0..6 {
            seen.insert(mesh.get("http://probed/", &[]).await.head("x-app").to_owned());
        }
        seen.iter().eq(want).then_some(())
    })
    .await;
}

async fn bounds(mesh: &mut Mesh) {
    mesh.hold("http://breaker/").await;
    let refused = mesh.fails("http://breaker/", &[], (503, "circuit_open")).await;
    assert!(refused.body.contains("circuitBreaker"), "{refused:?}");
    mesh.a.release();
}

/// What the sidecar of the called workload keeps.
async fn called_side(mesh: &mut Mesh) {
    mesh.until_header("http://limited/", "ratelimit-policy").await;
    let shop = [("x-shop", "real")];
    for left in ["1", "0"] {
        let answer = mesh.get("http://limited/", &shop).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head("ratelimit").contains(&format!(";r={left};")), "{answer:?}");
    }
    let refused = mesh.fails("http://limited/", &shop, (429, "rate_limited")).await;
    assert!(!refused.head("retry-after").is_empty(), "{refused:?}");
    let other = ask(mesh.you, "GET", "http://limited/", &shop, "").await;
    assert_eq!(other.status, 200, "another identity has a bucket of its own: {other:?}");

    mesh.until_header("http://bound/", "ratelimit-policy").await;
    mesh.hold("http://bound/").await;
    mesh.fails("http://bound/", &[], (503, "shed")).await;
    mesh.a.release();
    wait_for("its turn", async || (mesh.get("http://bound/", &[]).await.status == 200).then_some(())).await;
}

/// Answers to copies are compared with those that callers get; what differs by itself is noise.
async fn copies(mesh: &mut Mesh) {
    let verdicts = |name: &str| {
        let output = mesh.home.output(&["canary", "diff", name, "-o", "json"]);
        let told: Value = serde_json::from_slice(&output.stdout).ok()?;
        let all =
            told["comparisons"].as_array()?.iter().find(|it| it["stable"]["name"] != "candidate")?.clone();
        let differences = all["differences"].as_array()?.iter();
        let one = |it: &Value| {
            (it["place"].as_str().unwrap().to_owned(), it["verdict"].as_str().unwrap().to_owned())
        };
        Some((differences.map(one).collect::<BTreeMap<_, _>>(), all, output.status.code()))
    };
    let json = &[("x-do", "json")];
    // The release begins when both versions have endpoints.
    wait_for("copies of the release", async || {
        mesh.get("http://compared/released", json).await;
        verdicts("released")
    })
    .await;
    for name in ["only-b", "released"] {
        let path = if name == "released" { "/released" } else { "/" };
        let (places, all, code) = wait_for(&format!("enough comparisons of {name}"), async || {
            for _ in 0..5 {
                let answer = mesh.get(&format!("http://compared{path}"), json).await;
                assert_eq!(answer.head("x-app"), "a", "{answer:?}");
            }
            verdicts(name)
                .filter(|(places, ..)| places.get("$.items[*].price").is_some_and(|it| it == "differs"))
        })
        .await;
        assert_eq!(code, Some(1), "a difference is a finding: {all}");
        assert_eq!(places["$.at"], "noise", "{all}");
        assert_eq!(places["$.items[*].id"], "noise", "{all}");
        let price = all["differences"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["place"] == "$.items[*].price")
            .unwrap();
        let (host, header, stable) = match name {
            "released" => (Some("differs"), None, "7.5"),
            _ => (None, Some("differs"), "number"),
        };
        assert_eq!(places.get("$.host").map(String::as_str), host, "ignored where that is said: {all}");
        assert_eq!(places.get("header x-version").map(String::as_str), header, "{all}");
        assert_eq!((price["kind"].as_str(), price["stable"].as_str()), (Some("type"), Some(stable)), "{all}");
        assert!(!places.contains_key("header content-type") && !places.contains_key("status"), "{all}");
    }
    let output = mesh.home.output(&["canary", "diff", "released"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("default/candidate:80 beside default/stable:80"), "{text}");
    assert!(!text.contains("$.at"), "noise is not shown: {text}");
    let output = mesh.home.output(&["canary", "diff", "nobody"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("docs/tasks/shadow.md"), "{output:?}");
}
