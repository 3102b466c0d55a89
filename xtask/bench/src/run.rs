//! Runs the rows: rounds interleaved over the proxies, so that what disturbs the machine disturbs all of them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_lifecycle::tasks::Tasks;

use crate::lab::Lab;
use crate::load::first::Speaks;
use crate::load::{Kind, bulk, closed, first, idle, open};
use crate::machine::{Scheduling, schedule};
use crate::peers::{OURS, Pipe, Target};
use crate::results::Results;
use crate::rows::{Figure, Row};
use crate::screen;

/// Requests a second of the fixed-rate row, at most; less where the slowest peer would be near its end.
const MOST_RATE: f64 = 4000.0;
/// Share of the slowest proxy's saturation.
const SHARE: f64 = 0.3;
/// Connections of one round of the row of detection.
const CONNECTS: usize = 50;
const PROBE: Duration = Duration::from_millis(700);

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    /// More than of the others: a tail is the first thing that a busy machine spoils.
    pub(crate) latency_rounds: usize,
    pub(crate) latency_window: Duration,
}

impl Pace {
    pub(crate) const QUICK: Self = Self {
        rounds: 3,
        window: Duration::from_secs(1),
        latency_rounds: 5,
        latency_window: Duration::from_millis(1200),
    };
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        window: Duration::from_secs(3),
        latency_rounds: 7,
        latency_window: Duration::from_secs(4),
    };
}

/// Runs `rows` in their order.
pub(crate) async fn rows(lab: &Lab<'_>, rows: &[Row], pace: Pace) -> Results {
    let mut results = Results::default();
    for row in rows {
        screen::line(&format!("   {}", row.title()));
        for (name, place, why) in &lab.missing {
            if row.place() == Some(*place) {
                results.miss(*row, name, why.clone());
            }
        }
        match row {
            Row::Memory => memory(lab, &mut results).await,
            Row::H1 => saturate(&lab.single, *row, Kind::H1, pace, &mut results).await,
            Row::H2 => saturate(&lab.single, *row, Kind::H2, pace, &mut results).await,
            Row::Grpc => saturate(&lab.single, *row, Kind::Grpc, pace, &mut results).await,
            Row::Body64k => saturate(&lab.single, *row, Kind::Large, pace, &mut results).await,
            Row::Mtls => saturate(&lab.pairs, *row, Kind::H1, pace, &mut results).await,
            Row::MtlsH2 => saturate(&lab.pairs, *row, Kind::H2, pace, &mut results).await,
            Row::Tcp1 => carry(&lab.pipes, *row, 1, pace, &mut results).await,
            Row::Tcp8 => carry(&lab.pipes, *row, 8, pace, &mut results).await,
            Row::Detect => detect(lab, pace, &mut results).await,
            Row::Latency => latency(&lab.single, pace, &mut results).await,
            Row::Observability => observability(&lab.observed, pace, &mut results).await,
            Row::Features => saturate(&lab.features, *row, Kind::H1, pace, &mut results).await,
        }
    }
    results
}

fn address(target: &Target, kind: Kind) -> Option<SocketAddr> {
    match kind {
        Kind::H1 | Kind::Large => target.h1,
        Kind::H2 => target.h2,
        Kind::Grpc => target.grpc,
    }
}

async fn saturate(targets: &[Target], row: Row, kind: Kind, pace: Pace, results: &mut Results) {
    for round in 1..=pace.rounds {
        for target in targets {
            let Some(to) = address(target, kind) else {
                results.miss(row, target.name, "does not speak HTTP/2 to its upstreams".to_owned());
                continue;
            };
            match Box::pin(closed::run(to, kind, &target.host, &target.pids(), pace.window)).await {
                Ok(one) => {
                    results.add(row, target.name, Figure::CpuMicroseconds, one.cpu_us);
                    results.add(row, target.name, Figure::RequestsPerSecond, one.rate);
                    screen::line(&format!(
                        "      round {round} {:<8} {:>7.1} us/request {:>8.0} requests/s",
                        target.name, one.cpu_us, one.rate
                    ));
                }
                Err(error) => failed(results, row, target.name, &error),
            }
        }
    }
}

/// Both of one round, one after the other: what the machine does besides is in both.
async fn observability(targets: &[Target], pace: Pace, results: &mut Results) {
    let row = Row::Observability;
    for round in 1..=pace.rounds {
        let mut without = None;
        for target in targets {
            let Some(to) = target.h1 else { continue };
            match Box::pin(closed::run(to, Kind::H1, &target.host, &target.pids(), pace.window)).await {
                Ok(one) => {
                    results.add(row, target.name, Figure::CpuMicroseconds, one.cpu_us);
                    match without {
                        None => without = Some(one.cpu_us),
                        Some(base) => {
                            results.add(row, target.name, Figure::AddedCpuMicroseconds, one.cpu_us - base);
                        }
                    }
                    screen::line(&format!(
                        "      round {round} {:<8} {:>7.2} us/request",
                        target.name, one.cpu_us
                    ));
                }
                Err(error) => failed(results, row, target.name, &error),
            }
        }
    }
}

async fn carry(pipes: &[Pipe], row: Row, connections: usize, pace: Pace, results: &mut Results) {
    for round in 1..=pace.rounds {
        for pipe in pipes {
            match Box::pin(bulk::run(pipe.to, connections, &pipe.pids(), pace.window)).await {
                Ok(one) => {
                    results.add(row, pipe.name, Figure::MibPerSecond, one.mib_per_second);
                    results.add(row, pipe.name, Figure::CpuMillisecondsPerMib, one.cpu_ms_per_mib);
                    screen::line(&format!(
                        "      round {round} {:<8} {:>7.0} MiB/s {:>8.3} ms/MiB",
                        pipe.name, one.mib_per_second, one.cpu_ms_per_mib
                    ));
                }
                Err(error) => failed(results, row, pipe.name, &error),
            }
        }
    }
}

/// A direct connection, one through our sidecar that knows what it carries, one through our sidecar that has to find out.
async fn detect(lab: &Lab<'_>, pace: Pace, results: &mut Results) {
    let Some(bytes) = &lab.bytes else { return };
    let ways = [
        ("direct", (lab.backend.bytes, lab.backend.greets)),
        ("declared", bytes.declared),
        (OURS, bytes.told),
    ];
    for round in 1..=pace.rounds {
        let mut direct = (0.0, 0.0);
        for (name, (client, server)) in ways {
            let asked = async {
                let client = first::run(client, Speaks::Client, CONNECTS).await?;
                Ok((client, first::run(server, Speaks::Server, CONNECTS).await?))
            };
            match asked.await {
                Ok((client, server)) => {
                    results.add(Row::Detect, name, Figure::ClientFirstMilliseconds, client);
                    results.add(Row::Detect, name, Figure::ServerFirstMilliseconds, server);
                    if name == "direct" {
                        direct = (client, server);
                    } else {
                        let added = (client - direct.0, server - direct.1);
                        results.add(Row::Detect, name, Figure::AddedClientFirstMilliseconds, added.0);
                        results.add(Row::Detect, name, Figure::AddedServerFirstMilliseconds, added.1);
                    }
                    screen::line(&format!(
                        "      round {round} {name:<8} client first {client:>6.3} ms, server first {server:>6.3} ms"
                    ));
                }
                Err(error) => failed(results, Row::Detect, name, &error),
            }
        }
    }
}

async fn latency(targets: &[Target], pace: Pace, results: &mut Results) {
    let rate = rate(targets, results).await;
    screen::line(&format!("      {rate:.0} requests/s"));
    let mut all: Vec<u32> = targets.iter().flat_map(Target::pids).collect();
    all.push(std::process::id());
    if !schedule(&all, Scheduling::First) {
        screen::line("      no right to run before other programs: tails show their time slices too");
    }
    fixed_rate(targets, rate, pace, results).await;
    schedule(&all, Scheduling::Usual);
}

async fn fixed_rate(targets: &[Target], rate: f64, pace: Pace, results: &mut Results) {
    for round in 1..=pace.latency_rounds {
        for target in targets {
            let Some(to) = target.h1 else { continue };
            let pids = target.pids();
            match Box::pin(open::run(to, &target.host, &pids, rate, pace.latency_window)).await {
                Ok(one) => {
                    let figures = [
                        (Figure::CpuMicroseconds, one.cpu_us),
                        (Figure::P50Microseconds, one.p50),
                        (Figure::P99Microseconds, one.p99),
                        (Figure::P999Microseconds, one.p999),
                    ];
                    for (figure, value) in figures {
                        results.add(Row::Latency, target.name, figure, value);
                    }
                    screen::line(&format!(
                        "      round {round} {:<8} p50 {:>6.0} p99 {:>7.0} p999 {:>7.0} us",
                        target.name, one.p50, one.p99, one.p999
                    ));
                }
                Err(error) => failed(results, Row::Latency, target.name, &error),
            }
        }
    }
}

/// 30 % of what the slowest takes: from the HTTP/1.1 row, or from a short probe when that was not run.
async fn rate(targets: &[Target], results: &Results) -> f64 {
    let mut slowest = MOST_RATE / SHARE;
    for target in targets {
        let known = results.median(Row::H1, target.name, Figure::RequestsPerSecond);
        let most = match (known, target.h1) {
            (Some(known), _) => Some(known),
            (None, Some(to)) => {
                let pids = target.pids();
                let probe = Box::pin(closed::run(to, Kind::H1, &target.host, &pids, PROBE)).await;
                probe.ok().map(|round| round.rate)
            }
            (None, None) => None,
        };
        slowest = slowest.min(most.unwrap_or(slowest));
    }
    slowest * SHARE
}

async fn memory(lab: &Lab<'_>, results: &mut Results) {
    for target in &lab.single {
        let Some(to) = target.h1 else { continue };
        match Box::pin(idle::run(to, &target.host, &target.pids(), &idle::Way::Plain)).await {
            Ok(growth) => {
                let idle = growth.fresh.private_kib as f64 / 1024.0;
                results.add(Row::Memory, target.name, Figure::IdleMegabytes, idle);
                results.add(Row::Memory, target.name, Figure::ConnectionKib, growth.per_connection());
                screen::line(&format!(
                    "      {:<8} idle {idle:.1} MB, {:.2} KiB for each idle connection",
                    target.name,
                    growth.per_connection()
                ));
            }
            Err(error) => failed(results, Row::Memory, target.name, &error),
        }
    }
    for pair in &lab.pairs {
        match mtls_connections(lab, pair).await {
            Ok(kib) => {
                results.add(Row::Memory, pair.name, Figure::MtlsConnectionKib, kib);
                screen::line(&format!("      {:<8} {kib:.2} KiB for each idle mTLS connection", pair.name));
            }
            Err(error) => failed(results, Row::Memory, pair.name, &error),
        }
    }
}

/// Idle connections with mutual TLS to the server's side of a pair, as a member of the mesh makes them.
async fn mtls_connections(lab: &Lab<'_>, pair: &Target) -> Result<f64> {
    let tasks = Tasks::new();
    let pid = *pair.pids().last().context("a pair has a server's side")?;
    let (to, config) = if pair.name == OURS {
        lab.mesh.member(&tasks).await?
    } else {
        let to = pair.mesh.context("this pair has no mesh port")?;
        (to, lab.certificates.client()?)
    };
    let growth = Box::pin(idle::run(to, &pair.host, &[pid], &idle::Way::Tls(config, to.ip().into()))).await;
    tasks.shutdown(Duration::from_secs(1)).await;
    Ok(growth?.per_connection())
}

fn failed(results: &mut Results, row: Row, name: &'static str, error: &anyhow::Error) {
    let why = format!("{error:#}");
    screen::line(&format!("      {name}: {why}"));
    results.miss(row, name, why);
}
