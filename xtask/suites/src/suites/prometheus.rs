//! Prometheus, as Debian has it, scrapes sidecars under load: what it then knows is what `meshctl stat` says, and its own tool finds
//! nothing wrong with what they serve, nor with the rules that we ship.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_lifecycle::tasks::Tasks;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::Instant;

use super::asked::{request, row, until};
use crate::cli::Suites;
use crate::mesh::objects::{self, Mtls, TRUST_DOMAIN};
use crate::mesh::{Authority, Mesh};
use crate::process::{Process, free_address};
use crate::recorder::Recorder;
use crate::screen;

const SUITE: &str = "prometheus";
/// When each alert fires, and when not.
const RULE_TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/tests.yaml");
/// How long requests are sent.
const LOAD: Duration = Duration::from_secs(15);
/// Requests at once, of each kind.
const LANES: usize = 2;
/// Between two looks at numbers that are to come to rest.
const LOOK: Duration = Duration::from_secs(2);
/// Scrapes and reports come every second.
const REST: Duration = Duration::from_mins(1);
/// For a program that asks and ends.
const LIMIT: Duration = Duration::from_secs(30);
/// What the two may differ by, in parts of a hundred.
const WITHIN: u64 = 2;

/// What one of the two knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    requests: u64,
    failures: u64,
    /// Of those, by the mesh itself.
    mesh_failures: u64,
}

struct Lab {
    good: SocketAddr,
    broken: SocketAddr,
    caller: SocketAddr,
    called: SocketAddr,
    prometheus: SocketAddr,
    meshctl: PathBuf,
    mesh: Mesh,
    _processes: Vec<Process>,
    _lock: File,
}

pub(super) async fn run(args: &Suites, tasks: &Tasks, report: &mut super::Report) -> Result<()> {
    let program = args.prometheus.as_ref().context("prometheus was not given (--prometheus)")?;
    let tool = args.promtool.as_ref().context("promtool was not given (--promtool)")?;
    let rules = args.prometheus_rules.as_ref().context("no rules were given (--prometheus-rules)")?;
    screen::line("   starting a mesh on loopback and a Prometheus that scrapes it");
    let lab = Box::pin(Lab::start(args, program, tasks)).await?;
    let agreed = lab.agree().await;
    for (at, name) in ["requests", "failures", "mesh-failures"].into_iter().enumerate() {
        let got =
            agreed.as_ref().map_err(|error| anyhow::anyhow!("{error:#}")).and_then(|(before, after)| {
                let ([prometheus, stat], [prometheus_before, stat_before]) = (after, before);
                let prometheus = figure(prometheus, at) - figure(prometheus_before, at);
                let stat = figure(stat, at) - figure(stat_before, at);
                ensure!(prometheus > 0, "Prometheus saw nothing");
                screen::line(&format!("        {name}: Prometheus {prometheus}, meshctl stat {stat}"));
                let near = prometheus.abs_diff(stat) * 100 <= prometheus.max(stat) * WITHIN;
                Ok(if near {
                    "within 2 %".to_owned()
                } else {
                    format!("Prometheus {prometheus}, stat {stat}")
                })
            });
        row(report, &args.row, SUITE, &format!("agrees {name}"), "within 2 %", got);
    }
    for (name, at) in [("caller", lab.caller), ("called", lab.called)] {
        let got = checked_metrics(tool, at).await;
        row(report, &args.row, SUITE, &format!("check-metrics {name}"), "nothing wrong", got);
    }
    let rules = rules.display().to_string();
    let got = tool_says(tool, &["check", "rules", &rules], "").await;
    row(report, &args.row, SUITE, "check-rules", "nothing wrong", got);
    let got = tool_says(tool, &["test", "rules", RULE_TESTS], "").await;
    row(report, &args.row, SUITE, "test-rules", "nothing wrong", got);
    row(report, &args.row, SUITE, "application metrics", "7", lab.orders().await);
    Ok(())
}

fn figure(known: &Known, at: usize) -> u64 {
    [known.requests, known.failures, known.mesh_failures].get(at).copied().unwrap_or_default()
}

impl Lab {
    async fn start(args: &Suites, program: &Path, tasks: &Tasks) -> Result<Self> {
        let app = Recorder::start(None, tasks).await?.address;
        let [good_port, gone, gone_port] = [free_address()?, free_address()?, free_address()?];
        let objects = objects::file(&[
            objects::settings(Mtls::Strict),
            objects::member("good", app, good_port),
            objects::service("good", &[(80, app.port(), "http")]),
            // Nobody listens there: each request fails in the mesh.
            objects::member("gone", gone, gone_port),
            objects::service("gone", &[(80, gone.port(), "http")]),
            objects::client("caller"),
        ]);
        let mesh = Mesh::start_with(&args.meshctl, &objects, Authority::default()).await?;
        let [caller, called] = [free_address()?, free_address()?];
        let metrics = application(tasks).await?;
        let options =
            format!("--inbound {good_port}={app} --metrics {called} --application-metrics {metrics}/m");
        let mut server = mesh.sidecar("good", &options)?;
        server.listens(good_port).await?;
        let [good, broken] = [free_address()?, free_address()?];
        let options = format!("--outbound {good}=good:80 --outbound {broken}=gone:80 --metrics {caller}");
        let mut client = mesh.sidecar("caller", &options)?;
        client.listens(broken).await?;
        client.wait_for("reaches the service", || until(good, "200", "")).await?;
        let prometheus = free_address()?;
        let mut scraping = scraper(&mesh, program, prometheus, [caller, called])?;
        let ready = || async move {
            let answer = request(prometheus, "GET", "/-/ready", "", "").await;
            answer.is_ok_and(|answer| answer.status == 200)
        };
        scraping.wait_for("is ready", ready).await?;
        let lock = findable(&mesh)?;
        let processes = vec![server, client, scraping];
        let meshctl = args.meshctl.clone();
        Ok(Self {
            good,
            broken,
            caller,
            called,
            prometheus,
            meshctl,
            mesh,
            _processes: processes,
            _lock: lock,
        })
    }

    /// What Prometheus and `meshctl stat` know before the load, and after it.
    async fn agree(&self) -> Result<([Known; 2], [Known; 2])> {
        let before = self.settled().await?;
        let end = Instant::now() + LOAD;
        let lanes = std::array::from_fn::<_, { LANES * 2 }, _>(|lane| async move {
            let at = if lane % 2 == 0 { self.good } else { self.broken };
            let mut sent = 0_u64;
            while Instant::now() < end {
                // What it is answered is what the two are asked about.
                if request(at, "GET", "/", "", "").await.is_ok() {
                    sent += 1;
                }
            }
            sent
        });
        let [a, b, c, d] = lanes;
        let sent: u64 = <[u64; 4]>::from(tokio::join!(a, b, c, d)).iter().sum();
        screen::line(&format!("        {sent} requests in {} s", LOAD.as_secs()));
        let after = self.settled().await?;
        let ([_, after_stat], [_, before_stat]) = (&after, &before);
        let counted = after_stat.requests - before_stat.requests;
        ensure!(counted == sent, "{sent} requests were sent, and meshctl stat counts {counted}");
        Ok((before, after))
    }

    /// Both, once neither changes any more and both have something.
    async fn settled(&self) -> Result<[Known; 2]> {
        let (begin, mut last) = (Instant::now(), None);
        loop {
            let now = [self.prometheus().await?, self.stat().await?];
            if last == Some(now) && now.iter().all(|known| known.requests > 0) {
                return Ok(now);
            }
            ensure!(begin.elapsed() < REST, "the numbers do not come to rest: {now:?}");
            last = Some(now);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What Prometheus knows of the application behind the called sidecar.
    async fn orders(&self) -> Result<String> {
        let path = "/api/v1/query?query=sum(shop_orders_total)";
        let answer = request(self.prometheus, "GET", path, "", "").await?;
        let body = answer.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let value: Value = serde_json::from_str(body).with_context(|| answer.text.clone())?;
        let orders = value.pointer("/data/result/0/value/1").and_then(Value::as_str);
        orders.map(str::to_owned).context("Prometheus has none")
    }

    async fn prometheus(&self) -> Result<Known> {
        let of_caller = "side=%22outbound%22,source_workload=%22caller%22";
        let ask = async |query: String| -> Result<u64> {
            let path = format!("/api/v1/query?query={query}");
            let answer = request(self.prometheus, "GET", &path, "", "").await?;
            let body = answer.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let value: Value = serde_json::from_str(body).with_context(|| answer.text.clone())?;
            // No series is no result.
            let text = value.pointer("/data/result/0/value/1").and_then(Value::as_str).unwrap_or("0");
            text.parse().with_context(|| format!("a count of Prometheus: {text}"))
        };
        Ok(Known {
            requests: ask(format!("sum(mesh_requests_total%7B{of_caller}%7D)")).await?,
            failures: ask(format!("sum(mesh_requests_total%7B{of_caller},status=~%225..%22%7D)")).await?,
            mesh_failures: ask(format!("sum(mesh_requests_total%7B{of_caller},failure!=%22%22%7D)")).await?,
        })
    }

    async fn stat(&self) -> Result<Known> {
        let answer = stat(&self.meshctl, &self.mesh, "caller").await?;
        Ok(Known {
            requests: sum(&answer, "/requests"),
            failures: sum(&answer, "/failures"),
            mesh_failures: sum(&answer, "/mesh_failures"),
        })
    }
}

/// Requests of a workload, as `meshctl stat` has them.
pub(super) async fn requests_by_stat(meshctl: &Path, mesh: &Mesh, from: &str) -> Result<u64> {
    Ok(sum(&stat(meshctl, mesh, from).await?, "/requests"))
}

async fn stat(meshctl: &Path, mesh: &Mesh, from: &str) -> Result<Vec<Value>> {
    let mut command = Command::new(meshctl);
    command.args(["stat", "-t", "3600", "--from", from, "-o", "json"]);
    command.env("MESH_HOME", mesh.folder().join("home")).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("meshctl stat")??;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "meshctl stat: {error}");
    let answer: Value = serde_json::from_slice(&output.stdout).context("read meshctl stat")?;
    let rows = answer.get("rows").and_then(Value::as_array).context("meshctl stat has no rows")?;
    Ok(rows.clone())
}

fn sum(rows: &[Value], field: &str) -> u64 {
    rows.iter().filter_map(|row| row.pointer(field)?.as_u64()).sum()
}

/// Serves metrics of its own, with a name of the mesh's that is not believed, and an order of lines that Prometheus takes no offence at;
/// gives the port.
async fn application(tasks: &Tasks) -> Result<u16> {
    const METRICS: &str = "# HELP shop_orders_total Orders.\n# TYPE shop_orders_total counter\nshop_orders_total{kind=\"tea\"} 3\n\
        shop_orders_total{kind=\"c\\\\offee\"} 4\nmesh_requests_total{side=\"outbound\",source_workload=\"caller\"} 1000000\n";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("listen for metrics")?;
    let port = listener.local_addr()?.port();
    tasks.spawn("metrics of an application", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{METRICS}", METRICS.len());
            let mut head = [0; 1024];
            // Who does not ask gets nothing, and who has left misses nothing.
            if stream.read(&mut head).await.is_ok_and(|count| count > 0) {
                drop(stream.write_all(answer.as_bytes()).await);
            }
        }
    });
    Ok(port)
}

/// A Prometheus that scrapes these every second.
fn scraper(mesh: &Mesh, program: &Path, at: SocketAddr, targets: [SocketAddr; 2]) -> Result<Process> {
    let folder = mesh.folder();
    let file = folder.join("prometheus.yml");
    let targets = targets.map(|target| format!("'{target}'")).join(", ");
    let config = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n  - job_name: sidecars\n    \
        static_configs: [{{ targets: [{targets}] }}]\n"
    );
    std::fs::write(&file, config).context("write Prometheus's configuration")?;
    let options = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", folder.join("prometheus").display()),
        format!("--web.listen-address={at}"),
    ];
    Process::start(folder, "prometheus", program, &options)
}

/// Lets `meshctl` find the mesh: what `meshctl up` writes, and the lock that it holds.
pub(super) fn findable(mesh: &Mesh) -> Result<File> {
    let home = mesh.folder().join("home/default");
    std::fs::create_dir_all(&home).context("make a home for meshctl")?;
    let state = json!({
        "name": "default",
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "trust_domain": TRUST_DOMAIN,
        "subnet": "127.0.0.0",
        "objects": mesh.folder().join("objects"),
        "root_pem": mesh.roots(),
        "ca": { "address": mesh.authority(), "metrics": mesh.authority(), "admin_socket": mesh.admin_socket() },
        "controller": { "address": mesh.controller(), "metrics": mesh.controller() },
        "members": [],
        "ready": true,
        "children": [],
    });
    std::fs::write(home.join("mesh.json"), state.to_string()).context("write mesh.json")?;
    let lock = File::create(home.join("lock")).context("make the lock of a mesh")?;
    lock.try_lock().context("lock the mesh")?;
    Ok(lock)
}

/// What promtool says of the scrape of a sidecar.
async fn checked_metrics(tool: &Path, at: SocketAddr) -> Result<String> {
    let scrape = request(at, "GET", "/metrics", "accept: text/plain;version=0.0.4\r\n", "").await?;
    let (_, body) = scrape.text.split_once("\r\n\r\n").context("a scrape without a body")?;
    ensure!(body.contains("mesh_requests_total{"), "there is no traffic in the scrape");
    tool_says(tool, &["check", "metrics"], body).await
}

async fn tool_says(tool: &Path, args: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(tool);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().context("start promtool")?;
    let mut stdin = child.stdin.take().context("promtool has no input")?;
    let said = async {
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(LIMIT, said).await.context("promtool does not end")??;
    if output.status.success() {
        return Ok("nothing wrong".to_owned());
    }
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    Ok(format!("{out}{err}"))
}
