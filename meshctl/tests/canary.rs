//! Releases from YAML in a folder, through the controller and real sidecars: a good version is promoted, one that fails and one that ends are
//! taken back, and the controller is killed at every step without another outcome.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[allow(dead_code, reason = "the application can more than is asked of it here")]
#[path = "traffic_features/app.rs"]
mod app;
#[path = "support/mesh.rs"]
mod support;

use std::net::SocketAddr;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use app::{App, ask};
use mesh_lifecycle::tasks::Tasks;
use rustix::process::Signal;
use serde_json::Value;
use support::{Home, Running, free_port, kill, pid_of, restarts_of, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const OBJECTS: &str = "
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {selector: {part: app}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: stable}
spec: {selector: {app: a}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: candidate}
spec: {selector: {app: b}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: front}
spec:
  parentRefs: [{group: '', kind: Service, name: front}]
  rules: [{backendRefs: [{name: stable, port: 80}]}]
---
apiVersion: amime.io/v1alpha1
kind: Canary
metadata: {name: front}
spec:
  stable: stable
  canary: candidate
  version: VERSION
  steps: [{weight: 20}, {weight: 50}]
  analysis:
    interval: 5s
    minRequests: 30
    failedChecks: 1
    compare: {latency: [COMPARED]}
";

/// What the callers do and see.
#[derive(Debug, Default)]
struct Load {
    /// One of five requests asks the new version to fail.
    with_failures: AtomicBool,
    /// Requests take a while, and twice as long at the new version.
    with_delays: AtomicBool,
    sent: AtomicUsize,
    failed: AtomicUsize,
}

async fn call_again_and_again(proxy: SocketAddr, load: Arc<Load>) {
    loop {
        let number = load.sent.fetch_add(1, Ordering::SeqCst);
        let wants_failure = number.is_multiple_of(5) && load.with_failures.load(Ordering::SeqCst);
        let headers: &[(&str, &str)] = match (wants_failure, load.with_delays.load(Ordering::SeqCst)) {
            (true, _) => &[("x-do", "fail-b")],
            (false, true) => &[("x-do", "pace-b")],
            (false, false) => &[],
        };
        let answer = ask(proxy, "GET", "http://front/", headers, "").await;
        if answer.status != 200 {
            load.failed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A mesh with two versions of an application, and a caller.
struct Mesh {
    home: Home,
    candidate: Running,
    load: Arc<Load>,
    me: SocketAddr,
    tasks: Tasks,
    _running: Vec<Running>,
}

impl Mesh {
    async fn start(name: &'static str) -> Self {
        let (home, tasks) = (Home::new(name), Tasks::new());
        let mut up = home.start("up", &["up"]);
        home.ready(&mut up).await;
        let mut versions = vec![];
        for app in [App::new("a"), App::new("b")] {
            let port = free_port();
            let (number, label) = (format!("{port}=http"), format!("app={}", app.name()));
            let args =
                ["run", "--mode", "explicit", "--name", app.name(), "--port", &number, "--label", &label];
            let args = [&args[..], &["--label", "part=app", "--", "sleep", "1000"]].concat();
            versions.push(home.start(app.name(), &args));
            let registered = home.objects().with_file_name("members").join(format!("{}.default", app.name()));
            wait_for("the member to be registered", async || registered.exists().then_some(())).await;
            app.listen(&tasks, port).await;
        }
        let run =
            ["run", "--mode", "explicit", "--name", "me", "--", "sh", "-c", "echo $http_proxy; sleep 1000"];
        let caller = home.start("me", &run);
        let me = wait_for("the caller's proxy", async || {
            caller.stdout().trim().strip_prefix("http://")?.parse().ok()
        })
        .await;
        let candidate = versions.pop().unwrap();
        versions.extend([up, caller]);
        Self { home, candidate, load: Arc::default(), me, tasks, _running: versions }
    }

    /// Begins a release, in the way in which a user does.
    fn release(&self, version: &str) {
        let compared = if version == "slow" { "{quantile: 90, margin: 25}" } else { "" };
        let objects = OBJECTS.replace("VERSION", version).replace("COMPARED", compared);
        std::fs::write(self.home.objects().join("shop.yaml"), objects).unwrap();
    }

    /// Runs a command to its end. The applications and their callers are in this process too: they must not stand still, and so be slow,
    /// while it is waited for.
    async fn output(&self, args: &[&str]) -> Output {
        tokio::process::Command::from(self.home.command(args)).output().await.unwrap()
    }

    async fn status(&self) -> Option<Value> {
        let output = self.output(&["canary", "status", "front", "-o", "json"]).await;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Waits until the release of a version is at a place.
    async fn until(&self, version: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut seen = String::new();
        wait_for(&format!("version {version}: {what}"), async || {
            let status = self.status().await?;
            let found = status["version"] == version && is(&status);
            let now = format!("{} {} {}", status["phase"], status["step"], status["message"]);
            if seen != now {
                // Shown if the test fails.
                eprintln!("{version}: {now}");
                seen = now;
            }
            found.then_some(status)
        })
        .await
    }

    /// The controller ends without a word, and another one begins.
    async fn kill_the_controller(&self) {
        let before = self.home.state().unwrap();
        let restarts = restarts_of(&before, "mesh-controller");
        kill(pid_of(&before, "mesh-controller").unwrap(), Signal::KILL);
        wait_for("the next controller", async || {
            let state = self.home.state()?;
            (restarts_of(&state, "mesh-controller") > restarts).then_some(())
        })
        .await;
    }

    /// Which versions answer.
    async fn answered(&self, requests: u32) -> (u32, u32) {
        let mut counts = (0, 0);
        for _ in 0..requests {
            match ask(self.me, "GET", "http://front/", &[], "").await.head("x-app") {
                "a" => counts.0 += 1,
                "b" => counts.1 += 1,
                other => panic!("{other}\n{}", self.home.logs()),
            }
        }
        counts
    }
}

fn is_running(status: &Value, step: u64) -> bool {
    status["phase"] == "Progressing" && status["step"] == step
}

#[tokio::test]
async fn versions_are_promoted_or_taken_back_by_what_callers_see() {
    let mut mesh = Mesh::start("canary").await;
    mesh.release("good");
    wait_for("the first answers", async || {
        (ask(mesh.me, "GET", "http://front/", &[], "").await.status == 200).then_some(())
    })
    .await;
    for _ in 0..4 {
        mesh.tasks.spawn("caller", call_again_and_again(mesh.me, Arc::clone(&mesh.load)));
    }

    // A good one, with a controller that is killed in each step.
    for step in [0, 1] {
        mesh.until("good", "a step", |status| is_running(status, step) || status["phase"] == "Promoted")
            .await;
        mesh.kill_the_controller().await;
    }
    let promoted = mesh.until("good", "promoted", |status| status["phase"] == "Promoted").await;
    assert_eq!(promoted["past"][0]["reason"], "Promoted", "{promoted}");
    wait_for("all requests to go to it", async || (mesh.answered(20).await == (0, 20)).then_some(())).await;
    assert_eq!(mesh.load.failed.load(Ordering::SeqCst), 0, "of {:?}\n{}", mesh.load, mesh.home.logs());
    mesh.kill_the_controller().await;
    mesh.until("good", "still promoted", |status| status["phase"] == "Promoted").await;
    assert_eq!(mesh.answered(20).await, (0, 20));

    // One that fails a fifth of its requests, with a controller that is killed on the way.
    mesh.load.with_failures.store(true, Ordering::SeqCst);
    mesh.release("failing");
    mesh.until("failing", "begun", |status| status["phase"] != "" && status["started"] != 0).await;
    mesh.kill_the_controller().await;
    let back = mesh.until("failing", "taken back", |status| status["phase"] == "RolledBack").await;
    assert_eq!(back["reason"], "EvidenceAgainst", "{back}");
    wait_for("no request to go to it", async || (mesh.answered(20).await == (20, 0)).then_some(())).await;
    let output = mesh.output(&["canary", "watch", "front"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    mesh.load.with_failures.store(false, Ordering::SeqCst);
    mesh.kill_the_controller().await;
    mesh.until("failing", "still taken back", |status| status["phase"] == "RolledBack").await;

    // One whose p90 and p99 are twice the other's, and that fails nothing (of so few requests a busy machine decides what the p99 is); the
    // controller is killed before it has seen the version.
    mesh.load.with_delays.store(true, Ordering::SeqCst);
    mesh.release("slow");
    mesh.kill_the_controller().await;
    let back = mesh.until("slow", "taken back", |status| status["phase"] == "RolledBack").await;
    assert_eq!(back["reason"], "EvidenceAgainst", "{back}");
    assert!(back["message"].as_str().unwrap().starts_with("p90 beside"), "{back}");
    mesh.load.with_delays.store(false, Ordering::SeqCst);

    // Orders, and one that ends.
    mesh.release("ending");
    mesh.until("ending", "begun", |status| is_running(status, 0)).await;
    let order = async |name: &str| {
        let output = mesh.output(&["canary", name, "default/front"]).await;
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let paused = order("pause").await;
    assert_eq!(paused, (Some(0), "somebody paused it; figures are still looked at\n".to_owned()));
    let refused = order("pause").await;
    assert_eq!(refused.0, Some(2), "{refused:?}");
    assert!(refused.1.contains("does not apply to a release that is Paused"), "{refused:?}");
    mesh.kill_the_controller().await;
    mesh.until("ending", "still paused", |status| status["phase"] == "Paused" && status["pause"] == "Hand")
        .await;
    mesh.candidate.signal(Signal::TERM);
    mesh.candidate.ended().await;
    let back = mesh.until("ending", "taken back", |status| status["phase"] == "RolledBack").await;
    assert_eq!(back["reason"], "NoReadyEndpoints", "{back}");
    assert_eq!(mesh.answered(20).await, (20, 0));
    let history = mesh.output(&["canary", "history", "front", "-o", "json"]).await;
    let history: Value = serde_json::from_slice(&history.stdout).unwrap();
    let ends: Vec<&Value> = history.as_array().unwrap().iter().map(|past| &past["version"]).collect();
    assert_eq!(ends, ["ending", "slow", "failing", "good"]);
}

/// What somebody answers who is asked, and what he was told.
#[derive(Debug, Default)]
struct Gate {
    answer: Mutex<&'static str>,
    told: Mutex<Vec<Value>>,
}

/// Takes what is posted, one connection after the other. Without an answer it says 503.
async fn answer_hooks(listener: TcpListener, gate: Arc<Gate>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut came = Vec::new();
        let letter = loop {
            let head = came.windows(4).position(|four: &[u8]| four == b"\r\n\r\n");
            let body = head.map(|at| &came[at + 4..]).unwrap_or_default();
            if let Ok(letter) = serde_json::from_slice::<Value>(body) {
                break Some(letter);
            }
            if !stream.read_buf(&mut came).await.is_ok_and(|read| read > 0) {
                break None;
            }
        };
        gate.told.lock().unwrap().extend(letter);
        let answer = *gate.answer.lock().unwrap();
        let status = if answer.is_empty() { "503 Not now" } else { "200 OK" };
        let length = answer.len();
        let text =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}");
        // Who asked may have ended meanwhile.
        let _ = stream.write_all(text.as_bytes()).await;
    }
}

const ONE_SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {selector: {part: app}, ports: [{port: 80, targetPort: http}]}
";

/// One Service with both versions and no route; a cohort; a webhook that gives no answer, then says no, then yes.
#[tokio::test]
async fn one_service_is_divided_by_labels_as_far_as_a_webhook_says_yes() {
    let mesh = Mesh::start("canary-one").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}", listener.local_addr().unwrap());
    let gate = Arc::new(Gate::default());
    mesh.tasks.spawn("hooks", answer_hooks(listener, Arc::clone(&gate)));
    std::fs::write(mesh.home.objects().join("shop.yaml"), ONE_SERVICE).unwrap();
    wait_for("both to answer", async || {
        let answer = ask(mesh.me, "GET", "http://front/", &[], "").await;
        (answer.status == 200 && answer.head("x-app") == "b").then_some(())
    })
    .await;
    let (check, told) = (format!("Check={hook}/check"), format!("Promoted={hook}/promoted"));
    let common = ["canary", "create", "front", "--service", "front", "--canary-label", "app=b"];
    let flags = ["--version", "one", "--steps", "50", "--interval", "5s", "--min-requests", "30"];
    let hooks =
        ["--header", "x-group=beta", "--webhook", &check, "--webhook", &told, "--dry-run", "-o", "json"];
    let output = mesh.output(&[&common[..], &flags, &hooks].concat()).await;
    let mut object: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Latencies of a busy machine are not what is tried here.
    object["spec"]["analysis"]["compare"] = serde_json::json!({ "latency": [] });
    std::fs::write(mesh.home.objects().join("canary.yaml"), object.to_string()).unwrap();
    mesh.until("one", "begun", |status| is_running(status, 0)).await;
    for _ in 0..4 {
        mesh.tasks.spawn("caller", call_again_and_again(mesh.me, Arc::clone(&mesh.load)));
    }

    let of_cohort = async || ask(mesh.me, "GET", "http://front/", &[("x-group", "beta")], "").await;
    wait_for("the cohort to get the new version", async || {
        (of_cohort().await.head("x-app") == "b" && mesh.answered(4).await.0 > 0).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(of_cohort().await.head("x-app"), "b");
    }
    let frozen = mesh.until("one", "frozen", |status| status["frozen"] == true).await;
    assert_eq!(frozen["reason"], "MetricsMissing", "{frozen}");
    assert!(frozen["message"].as_str().unwrap().contains("503"), "{frozen}");
    mesh.kill_the_controller().await;
    *gate.answer.lock().unwrap() = r#"{"pass": false, "reason": "two alerts"}"#;
    let failed = mesh.until("one", "failed", |status| status["failed_checks"] == 1).await;
    assert!(failed["message"].as_str().unwrap().contains("webhook-0: two alerts"), "{failed}");
    *gate.answer.lock().unwrap() = r#"{"pass": true}"#;
    mesh.until("one", "promoted", |status| status["phase"] == "Promoted").await;
    wait_for("all requests to go to it", async || (mesh.answered(20).await == (0, 20)).then_some(())).await;
    wait_for("the promotion to be told", async || {
        let told = gate.told.lock().unwrap();
        told.iter().any(|letter| letter["at"] == "Promoted" && letter["version"] == "one").then_some(())
    })
    .await;
    assert_eq!(mesh.load.failed.load(Ordering::SeqCst), 0, "{}", mesh.home.logs());

    // The next one, by the command alone.
    std::fs::remove_file(mesh.home.objects().join("canary.yaml")).unwrap();
    wait_for("the first one to be gone", async || mesh.status().await.is_none().then_some(())).await;
    let next = ["--version", "two", "--strategy", "blue-green"];
    let output = mesh.output(&[&common[..], &next].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    mesh.until("two", "begun", |status| is_running(status, 0)).await;
    wait_for("no request to go to it yet", async || (mesh.answered(20).await == (20, 0)).then_some(())).await;
}
