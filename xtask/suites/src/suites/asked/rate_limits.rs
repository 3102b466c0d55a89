//! Envoy's rate limit service with a Redis of its own, asked by the sidecars of two workloads: what one of them has let through counts for
//! the other.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Answer, request, row, until};
use crate::cli::Suites;
use crate::mesh::Mesh;
use crate::mesh::objects::{self, Mtls, NAMESPACE};
use crate::process::{Process, free_address};
use crate::recorder::Recorder;
use crate::report::Report;
use crate::screen;

const SUITE: &str = "rate-limit";
const ANN: &str = "x-user: ann\r\n";

/// Of the service: three requests a year of each user of each client, so that no time ends while it is tested.
const LIMITS: &str = "domain: suites\ndescriptors:\n  - key: client\n    descriptors:\n      - key: user\n        \
    rate_limit: { name: users, unit: year, requests_per_unit: 3 }\n";

struct Lab {
    /// The two workloads.
    each: [SocketAddr; 2],
    redis: SocketAddr,
    limiter: Process,
    caller: Process,
    _processes: Vec<Process>,
    mesh: Mesh,
}

pub(in crate::suites) async fn run(args: &Suites, tasks: &Tasks, report: &mut Report) -> Result<()> {
    let limiter = args.rate_limit.as_ref().context("the rate limit service was not given (--rate-limit)")?;
    let redis = args.redis.as_ref().context("no redis-server was given (--redis)")?;
    screen::line("   starting Redis, the rate limit service, and a mesh on loopback");
    let mut lab = Box::pin(Lab::start(args, (limiter, redis), tasks)).await?;
    let [one, two] = lab.each;
    let mut got: Vec<Answer> = Vec::new();
    for at in [one, two, one, two, one] {
        got.push(request(at, "GET", "/", ANN, "").await?);
    }
    let said: Vec<String> = got.iter().map(Answer::said).collect();
    let expected = "200 200 200 429 rate_limited 429 rate_limited";
    row(report, &args.row, SUITE, "counts-for-both", expected, Ok(said.join(" ")));
    let told = got.last().map(|answer| {
        let later = answer.header("retry-after").parse::<u32>().is_ok_and(|after| after >= 1);
        format!("{}, {}", answer.header("ratelimit-policy"), if later { "later" } else { "never" })
    });
    row(report, &args.row, SUITE, "headers", "\"users\";q=3;w=31536000, later", told.context("no answer"));
    let other = request(one, "GET", "/", "x-user: bob\r\n", "").await;
    row(report, &args.row, SUITE, "another-user", "200", other.map(|answer| answer.said()));
    let free = request(one, "GET", "/", "", "").await;
    row(report, &args.row, SUITE, "without-descriptor", "200", free.map(|answer| answer.said()));
    // A counter of the first request of all, one of ann and one of bob.
    let keys = keys(lab.redis).await.map(|keys| keys.to_string());
    row(report, &args.row, SUITE, "redis-has-the-counters", "3", keys);
    lab.limiter.end();
    let away = request(one, "GET", "/", ANN, "").await;
    row(report, &args.row, SUITE, "away-passes", "200", away.map(|answer| answer.said()));
    lab.mesh.write("limit.yaml", &policy("failClosed: true, "))?;
    let closed = "503 rate_limit_unavailable";
    let refuses = lab.caller.wait_for("is refused", || until(one, closed, ANN)).await;
    row(report, &args.row, SUITE, "away-fails-closed", closed, refuses.map(|()| closed.to_owned()));
    Ok(())
}

impl Lab {
    async fn start(args: &Suites, (limiter, redis): (&Path, &Path), tasks: &Tasks) -> Result<Self> {
        let app = Recorder::start(None, tasks).await?.address;
        let [redis_at, limiter_at] = [free_address()?, free_address()?];
        let ports = [free_address()?, free_address()?];
        let [one, two] = ports;
        let objects = objects::file(&[
            objects::settings(Mtls::Strict),
            objects::foreign("limiter", limiter_at),
            objects::service("limiter", &[(8081, limiter_at.port(), "grpc")]),
            objects::member("one", app, one),
            objects::service("one", &[(80, app.port(), "http")]),
            objects::member("two", app, two),
            objects::service("two", &[(80, app.port(), "http")]),
            objects::client("asking"),
        ]);
        let mesh = Mesh::start(&args.meshctl, &objects).await?;
        mesh.write("limit.yaml", &policy(""))?;
        let mut redis = redis_server(mesh.folder(), redis, redis_at)?;
        redis.listens(redis_at).await?;
        let mut limiter = limit_service(mesh.folder(), limiter, limiter_at, redis_at)?;
        limiter.listens(limiter_at).await?;
        let mut processes = vec![redis];
        for (name, listen) in [("one", one), ("two", two)] {
            let mut sidecar = mesh.sidecar(name, &format!("--inbound {listen}={app}"))?;
            sidecar.listens(listen).await?;
            processes.push(sidecar);
        }
        let each = [free_address()?, free_address()?];
        let [to_one, to_two] = each;
        let listeners = format!("--outbound {to_one}=one:80 --outbound {to_two}=two:80");
        let mut caller = mesh.sidecar("asking", &listeners)?;
        caller.listens(to_two).await?;
        for at in each {
            // Not before the service counts: its headers say so.
            let counted = || async move {
                let answer = request(at, "GET", "/", "x-user: first\r\n", "").await;
                answer.is_ok_and(|answer| !answer.header("ratelimit-policy").is_empty())
            };
            caller.wait_for("is counted", counted).await?;
        }
        Ok(Self { each, redis: redis_at, limiter, caller, _processes: processes, mesh })
    }
}

/// A limit at each workload.
fn policy(more: &str) -> String {
    let of = |name: &str| {
        format!(
            "apiVersion: amime.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {{ name: {name}, namespace: {NAMESPACE} }}\nspec:\n  \
            targetRefs: [{{ kind: Service, name: {name} }}]\n  globalRateLimit: {{ {more}backendRef: {{ name: limiter, port: 8081 }}, \
            domain: suites, timeout: 10s, descriptors: [{{ entries: [{{ key: client, type: ClientWorkload }}, \
            {{ key: user, type: Header, name: x-user }}] }}] }}\n"
        )
    };
    objects::file(&[of("one"), of("two")])
}

fn redis_server(folder: &Path, program: &Path, at: SocketAddr) -> Result<Process> {
    let (port, dir) = (at.port().to_string(), folder.display().to_string());
    let args = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", &dir];
    Process::start(folder, "redis", program, &args)
}

fn limit_service(folder: &Path, program: &Path, at: SocketAddr, redis: SocketAddr) -> Result<Process> {
    let root = folder.join("limits");
    let config = root.join("suites/config");
    std::fs::create_dir_all(&config).context("make the folder of limits")?;
    std::fs::write(config.join("suites.yaml"), LIMITS).context("write the limits")?;
    let [http, debug] = [free_address()?.port().to_string(), free_address()?.port().to_string()];
    let (grpc, redis, root) = (at.port().to_string(), redis.to_string(), root.display().to_string());
    let env = [
        ("USE_STATSD", "false"),
        ("LOG_LEVEL", "info"),
        ("HOST", "127.0.0.1"),
        ("GRPC_HOST", "127.0.0.1"),
        ("DEBUG_HOST", "127.0.0.1"),
        ("PORT", &http),
        ("GRPC_PORT", &grpc),
        ("DEBUG_PORT", &debug),
        ("REDIS_SOCKET_TYPE", "tcp"),
        ("REDIS_URL", &redis),
        ("RUNTIME_ROOT", &root),
        ("RUNTIME_SUBDIRECTORY", "suites"),
        ("RUNTIME_WATCH_ROOT", "false"),
    ];
    Process::start_with(folder, "ratelimit", program, &[] as &[&str], &env)
}

/// How many keys Redis has. Source: RESP, `DBSIZE`.
async fn keys(redis: SocketAddr) -> Result<u64> {
    let mut stream = TcpStream::connect(redis).await.context("connect to Redis")?;
    stream.write_all(b"DBSIZE\r\n").await?;
    let mut answer = [0; 32];
    let n = stream.read(&mut answer).await?;
    let text = String::from_utf8_lossy(answer.get(..n).unwrap_or_default()).into_owned();
    match text.trim().strip_prefix(':').and_then(|digits| digits.parse().ok()) {
        Some(keys) => Ok(keys),
        None => bail!("Redis says `{}`", text.trim()),
    }
}
