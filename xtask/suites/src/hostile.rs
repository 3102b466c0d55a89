//! The hostile suite: rows of bytes that a proxy must refuse or make canonical, and floods that it must outlive. It knows what is
//! expected; the proxy under test knows nothing of it.
//!
//! Every row is sent on each way to the proxy. What was refused must not have reached the recorder: a barrier, a request of
//! our own, follows on another connection, and what the proxy let through before it would have been noted by then.

mod check;
mod floods;
mod framing;
mod hosts;
mod injection;
mod lab;
mod paths;
mod pool;
mod responses;
mod row;
mod slow;
mod upgrade;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use mesh_lifecycle::tasks::Tasks;
use serde_json::json;

use self::lab::Lab;
use self::row::Row;
use crate::cli::{Hostile, Role};
use crate::report::{Report, wanted};
use crate::screen;
use crate::way::{Port, Way};

/// Runs all rows that were asked for.
pub(crate) async fn run(args: &Hostile) -> Result<ExitCode> {
    let (begin, tasks) = (Instant::now(), Tasks::new());
    let lab = Lab::start(args, &tasks).await?;
    let mut report = Report::new("hostile", args.output);
    if lab.ways.iter().any(|(role, _)| *role == Role::Gateway) {
        report.note("there is no gateway yet: its rows run against the destination port of a sidecar");
    }
    for (_, way) in &lab.ways {
        screen::line(&format!("\n── {}: {} as {}", way.name, way.address, way.host));
        rows(way, args, &mut report).await?;
    }
    screen::line("\n── slow clients, on all ways at once");
    slow::run(&lab.ways, &args.row, &mut report).await;
    let mut ways = Vec::new();
    for (_, way) in &lab.ways {
        ways.push(json!({ "name": way.name, "address": way.address.to_string(), "pid": way.pid }));
    }
    ensure!(begin.elapsed().as_secs() < 600, "the suite took longer than ten minutes");
    screen::line(&format!("hostile: {} s", begin.elapsed().as_secs()));
    let code = report.close(&json!({ "seconds": begin.elapsed().as_secs(), "ways": ways }));
    drop(lab);
    Ok(code)
}

async fn rows(way: &Way, args: &Hostile, report: &mut Report) -> Result<()> {
    let mut rows: Vec<Row> = framing::rows(&way.host);
    rows.extend(paths::rows(&way.host));
    rows.extend(hosts::rows(way));
    if way.port == Port::Proxy {
        // The codec is the one of the destination port; what differs is who is asked for the host.
        rows.retain(|row| row.group == hosts::GROUP);
    }
    for row in rows.iter().filter(|row| wanted(&args.row, &row.name)) {
        let outcome = check::run(way, row).await;
        report.row(&way.name, &row.name, &row.shown(), &row.expect.shown(), &outcome);
    }
    if way.port == Port::Proxy {
        return Ok(());
    }
    responses::run(way, &args.row, report).await;
    upgrade::run(way, &args.row, report).await;
    injection::run(way, &args.row, report).await;
    pool::run(way, &args.row, report).await;
    floods::run(way, &args.row, report).await;
    Ok(())
}
