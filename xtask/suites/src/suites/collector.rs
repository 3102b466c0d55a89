//! A real collector of OpenTelemetry's, built of its own receiver and its exporter to files, is sent traces, metrics and logs by the sidecars
//! of a chain of services under load, by gRPC and by HTTP. What it understood is what is judged: traces join the spans of all services, as
//! many as were sampled; metrics agree with `meshctl stat`; and one that takes nothing costs records, and no request.

mod lab;
mod told;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_lifecycle::tasks::Tasks;
use tokio::time::Instant;

use self::lab::{Lab, Way};
use self::told::{Spans, Told};
use super::asked::{request, row};
use crate::cli::Suites;
use crate::screen;

const SUITE: &str = "collector";
/// Requests through the whole chain, of each protocol.
const REQUESTS: u64 = 400;
/// One in so many fails at the end of the chain.
const FAILS: u64 = 10;
/// A request to a fan makes five spans at one sidecar: more than 4,000 that wait and what is under way.
const FANS: u64 = 1_100;
/// Between two looks at what comes to rest.
const LOOK: Duration = Duration::from_millis(500);
const REST: Duration = Duration::from_mins(1);

pub(super) async fn run(args: &Suites, tasks: &Tasks, report: &mut super::Report) -> Result<()> {
    let program = args.collector.as_ref().context("the collector was not given (--collector)")?;
    screen::line("   starting a mesh of four services in a chain, and a collector");
    let lab = Box::pin(Lab::start(&args.meshctl, program, tasks)).await?;
    let mut sent = 0;
    for way in [Way::Grpc, Way::Http] {
        lab.tell(way)?;
        let got = whole_traces(&lab, way, &mut sent).await;
        row(report, &args.row, SUITE, &format!("traces {}", way.label()), "whole", got);
    }
    let got = agrees(&lab, sent).await;
    row(report, &args.row, SUITE, "metrics agree", "equal", got);
    let got = logs(&lab, sent).await;
    row(report, &args.row, SUITE, "logs of the caller", "one a request", got);
    let got = blocked(&lab).await;
    row(report, &args.row, SUITE, "blocked", "records are lost, and no request", got);
    Ok(())
}

/// Sends requests through the chain; what they were answered, in a row: good ones and those that failed as they should.
async fn load(lab: &Lab) -> Result<()> {
    let next = AtomicU64::new(0);
    let lane = || async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= REQUESTS {
                return Ok(());
            }
            let (path, wanted) = if number.is_multiple_of(FAILS) { ("/fail", 503) } else { ("/", 200) };
            let answer = request(lab.entry, "GET", path, "", "").await?;
            ensure!(answer.status == wanted, "{path} was answered {}: {}", answer.status, answer.text);
        }
    };
    let [a, b, c, d] = [lane(), lane(), lane(), lane()];
    for done in <[Result<()>; 4]>::from(tokio::join!(a, b, c, d)) {
        done?;
    }
    Ok(())
}

/// Every trace that was sampled, and every one that failed, is there with the spans of all services, and no other.
async fn whole_traces(lab: &Lab, way: Way, sent: &mut u64) -> Result<String> {
    // The setting has come to every sidecar when a failure is told: the first one of this way.
    lab.until_told(way).await?;
    let (known, begun) = (lab.traces(way)?.ids(), lab.seen());
    load(lab).await?;
    *sent += REQUESTS + lab.warm();
    let seen = lab.seen().since(&begun);
    ensure!(!seen.sampled.is_empty(), "nothing was sampled");
    let wanted: BTreeSet<String> = seen.sampled.union(&seen.failed).cloned().collect();
    let new = |spans: &Spans| -> BTreeSet<String> { spans.ids().difference(&known).cloned().collect() };
    let spans = settled(|| lab.traces(way), |spans| new(spans) == wanted && spans.all_whole(&wanted)).await?;
    let found = new(&spans);
    let (lacks, extra) = (wanted.difference(&found).count(), found.difference(&wanted).count());
    ensure!(
        lacks == 0 && extra == 0,
        "of {} traces {lacks} are not there, and {extra} should not be",
        wanted.len()
    );
    for id in &wanted {
        spans.is_whole(id).with_context(|| format!("trace {id}"))?;
    }
    let (sampled, failed) = (seen.sampled.len(), seen.failed.difference(&seen.sampled).count());
    screen::line(&format!(
        "        {}: {sampled} sampled of {REQUESTS}, and {failed} that failed; {} spans each",
        way.label(),
        told::SPANS
    ));
    Ok("whole".to_owned())
}

/// Looks until it is so, or no more time is left: then what was there last.
async fn settled<T>(mut look: impl FnMut() -> Result<T>, so: impl Fn(&T) -> bool) -> Result<T> {
    let begin = Instant::now();
    loop {
        let now = look()?;
        if so(&now) || begin.elapsed() > REST {
            return Ok(now);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What the collector counts, what `meshctl stat` counts and what was sent are the same.
async fn agrees(lab: &Lab, sent: u64) -> Result<String> {
    let told = settled(|| lab.metrics(), |told: &Told| told.requests_of("caller") == sent).await?;
    let begin = Instant::now();
    let stat = loop {
        let stat = lab.stat().await?;
        if stat == sent || begin.elapsed() > REST {
            break stat;
        }
        tokio::time::sleep(LOOK).await;
    };
    let counted = told.requests_of("caller");
    screen::line(&format!("        sent {sent}, collector {counted}, meshctl stat {stat}"));
    ensure!(counted == sent && stat == sent, "sent {sent}, collector {counted}, meshctl stat {stat}");
    let histogram = told.durations_of("http.client.request.duration", "caller");
    ensure!(histogram == sent, "http.client.request.duration counts {histogram}");
    Ok("equal".to_owned())
}

/// The access log of the caller's sidecar has a record of each request.
async fn logs(lab: &Lab, sent: u64) -> Result<String> {
    let counted = settled(|| lab.log_records("caller"), |counted| *counted == sent).await?;
    ensure!(counted == sent, "{counted} records of {sent} requests");
    Ok("one a request".to_owned())
}

/// A collector that takes connections and says nothing, and one that is gone.
async fn blocked(lab: &Lab) -> Result<String> {
    lab.tell(Way::Blocked)?;
    lab.until_failing().await?;
    let next = AtomicU64::new(0);
    let lane = || async {
        while next.fetch_add(1, Ordering::Relaxed) < FANS {
            let header =
                format!("traceparent: 00-{:032x}-{:016x}-01\r\n", fastrand::u128(1..), fastrand::u64(1..));
            let answer = request(lab.entry, "GET", "/fan", &header, "").await?;
            ensure!(answer.status == 200, "a request was answered {}: {}", answer.status, answer.text);
        }
        Ok(())
    };
    let [a, b, c, d] = [lane(), lane(), lane(), lane()];
    for done in <[Result<()>; 4]>::from(tokio::join!(a, b, c, d)) {
        done?;
    }
    let begin = Instant::now();
    loop {
        let dropped = lab.counter("mesh_otlp_items_total", "signal=\"traces\",outcome=\"dropped\"").await?;
        if dropped > 0 {
            screen::line(&format!("        {FANS} requests, {dropped} spans were dropped and counted"));
            return Ok("records are lost, and no request".to_owned());
        }
        ensure!(begin.elapsed() < REST, "no span was dropped");
        tokio::time::sleep(LOOK).await;
    }
}
