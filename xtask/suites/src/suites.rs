//! The protocol suites: what standards, and the programs of others, say a proxy must do. They run through sidecars; what each
//! suite expects is its own.

mod asked;
mod collector;
mod grpc;
mod h2spec;
mod lab;
mod prometheus;
mod spiffe;
mod tls;
mod websocket;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use mesh_lifecycle::tasks::Tasks;
use serde_json::json;

use self::lab::Lab;
use crate::cli::{Suite, Suites};
use crate::report::{Outcome, Report};
use crate::screen;

/// Runs the suites that were asked for.
pub(crate) async fn run(args: &Suites) -> Result<ExitCode> {
    let (begin, tasks) = (Instant::now(), Tasks::new());
    let is_wanted = |suite| args.suites.is_empty() || args.suites.contains(&suite);
    let lab = Lab::start(args, &tasks).await?;
    let mut report = Report::new("suites", args.output);
    if is_wanted(Suite::H2spec) {
        screen::line("\n── h2spec: a port that is HTTP/2 only");
        let result = h2spec::run(&lab, args, &mut report).await;
        told(&mut report, "h2spec", result);
    }
    if is_wanted(Suite::Grpc) {
        screen::line("\n── gRPC interop: client, sidecar, mutual TLS, sidecar, server");
        let result = grpc::run(&lab, args, &mut report).await;
        told(&mut report, "grpc", result);
    }
    if is_wanted(Suite::Websocket) {
        screen::line("\n── WebSocket: client, sidecar, mutual TLS, sidecar, server");
        let result = websocket::run(&lab, args, &mut report).await;
        told(&mut report, "websocket", result);
    }
    if is_wanted(Suite::Spiffe) {
        screen::line("\n── SPIFFE: other people's clients at a sidecar's Workload API");
        let result = spiffe::run(args, &mut report).await;
        told(&mut report, "spiffe", result);
    }
    if is_wanted(Suite::ExtAuthz) {
        screen::line("\n── external authorization: OPA, asked by sidecars by Envoy's API");
        let result = Box::pin(asked::authorization(args, &tasks, &mut report)).await;
        told(&mut report, "ext-authz", result);
    }
    if is_wanted(Suite::RateLimit) {
        screen::line("\n── global rate limits: Envoy's rate limit service with Redis, asked by sidecars");
        let result = Box::pin(asked::rate_limits(args, &tasks, &mut report)).await;
        told(&mut report, "rate-limit", result);
    }
    if is_wanted(Suite::Prometheus) {
        screen::line("\n── Prometheus: scrapes a mesh under load, and agrees with meshctl stat");
        let result = Box::pin(prometheus::run(args, &tasks, &mut report)).await;
        told(&mut report, "prometheus", result);
    }
    if is_wanted(Suite::Collector) {
        screen::line("\n── OpenTelemetry: a collector is sent traces, metrics and logs of a mesh under load");
        let result = Box::pin(collector::run(args, &tasks, &mut report)).await;
        told(&mut report, "collector", result);
    }
    if is_wanted(Suite::Tls) {
        screen::line("\n── TLS: Go's client with one offer at a time, and sslyze");
        let result = tls::run(&lab, args, &mut report).await;
        told(&mut report, "tls", result);
    }
    screen::line(&format!("suites: {} s", begin.elapsed().as_secs()));
    let code = report.close(&json!({ "seconds": begin.elapsed().as_secs() }));
    drop(lab);
    Ok(code)
}

/// A suite that could not be run is a failed row of its own.
fn told(report: &mut Report, suite: &str, result: Result<()>) {
    if let Err(error) = result {
        report.row(suite, "runs", "the suite", "it runs", &Outcome::failed(format!("{error:#}")));
    }
}

/// The WebSocket server, for others that need one.
pub(crate) async fn socket_server(tasks: &Tasks) -> Result<std::net::SocketAddr> {
    websocket::server::start(tasks).await
}

/// Whether a WebSocket can be opened at `at`.
pub(crate) async fn socket_opens(at: std::net::SocketAddr) -> bool {
    websocket::opens(at).await
}

/// Opens a WebSocket at `at`, sends `bytes`, and wants them back.
pub(crate) async fn socket_echo(at: std::net::SocketAddr, bytes: &[u8]) -> Result<()> {
    websocket::echo(at, bytes).await
}
