//! `meshctl demo`: a mesh with a shop in it and a visitor who walks around; what to look at and what to try.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mesh_lifecycle::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use super::{Outcome, check};
use crate::local::control_plane::{ControlPlane, Options};
use crate::local::probe;
use crate::output::{self, Format, Paint, Tone};
use crate::shop::install;
use crate::shop::tally::{Tally, Visit};
use crate::shop::upstream::Upstream;
use crate::shop::visitor::Visitor;

mod text;

/// Arguments of `meshctl demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests that the visitor makes a second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=2000))]
    rps: u32,
    /// Measure instead of show: run under load, change the weights, count, judge, end; exit code 1 if something is wrong
    #[arg(long)]
    check: bool,
    /// In which form the check answers; JSON is one document on the last line
    #[arg(short, long, value_enum, default_value_t, requires = "check")]
    output: Format,
}

/// How long the first page may take to come on a machine that does other things as well.
const FIRST_PAGE_DEADLINE: Duration = Duration::from_mins(1);

/// Runs until Ctrl-C or SIGTERM.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks, began: Instant) -> anyhow::Result<Outcome> {
    let end = mesh_lifecycle::signal::shutdown();
    tokio::pin!(end);
    let plane = tokio::select! {
        biased;
        () = &mut end => return Ok(Outcome::Fine),
        plane = ControlPlane::start(mesh, Options::default(), tasks) => plane?,
    };
    // From here on everything ends by `stop`, whatever happens.
    let outcome = tokio::select! {
        biased;
        () = &mut end => Ok(interrupted(&args)),
        outcome = Box::pin(with_plane(&args, &plane, tasks, began)) => outcome,
    };
    plane.stop().await;
    outcome
}

/// A demo is ended by a signal; a check that ends so has not judged anything, which a shell calls 128 + SIGINT.
fn interrupted(args: &Args) -> Outcome {
    if std::io::stdout().is_terminal() {
        // The live line has no end of its own.
        output::line("");
    }
    output::note("meshctl: stopping the shop");
    if args.check { Outcome::Code(130) } else { Outcome::Fine }
}

async fn with_plane(
    args: &Args,
    plane: &ControlPlane,
    tasks: &Tasks,
    began: Instant,
) -> anyhow::Result<Outcome> {
    let (visitor, first_request) = open(plane, began).await?;
    if args.check {
        return check::run(plane, &visitor, first_request, args.output, tasks).await;
    }
    output::print(&text::summary(plane, first_request, Paint::stdout()));
    show(&visitor, args.rps).await;
    Ok(Outcome::Fine)
}

/// Starts the shop and waits for its first page.
async fn open(plane: &ControlPlane, began: Instant) -> anyhow::Result<(Visitor, Duration)> {
    let progress = progress();
    progress.set_message("control plane ready, opening the shop");
    let member = install::start(plane, |name| {
        progress.inc(1);
        progress.set_message(format!("{name} is ready"));
    })
    .await?;
    progress.set_message("waiting for the first page");
    let visitor = Visitor::new(Upstream::new(member.outbound_proxy()));
    let until = Instant::now() + FIRST_PAGE_DEADLINE;
    while let Visit::Failed(reason) = visitor.look().await {
        anyhow::ensure!(
            Instant::now() < until,
            "the shop serves no page after {} s: {reason}; the logs are in {}",
            FIRST_PAGE_DEADLINE.as_secs(),
            plane.paths().logs().display()
        );
        tokio::time::sleep(probe::PACE).await;
    }
    let first_request = began.elapsed();
    progress.finish_and_clear();
    let members = install::members(plane.subnet());
    plane.publish(members.iter().map(crate::local::member::Member::state).collect(), true)?;
    Ok((visitor, first_request))
}

/// On a terminal something moves while the shop opens.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} [{bar:24}] {pos}/{len} {msg}");
    let bar = ProgressBar::new(crate::shop::WORKLOADS.len() as u64 + 1);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Lets the visitor walk and tells how it fares: on a terminal in one line that changes, else now and then.
async fn show(visitor: &Visitor, rps: u32) {
    let terminal = std::io::stdout().is_terminal();
    let period = Duration::from_secs(if terminal { 1 } else { 10 });
    let mut clock = tokio::time::interval(period);
    let never = CancellationToken::new();
    let walk = visitor.walk(rps, never);
    tokio::pin!(walk);
    loop {
        tokio::select! {
            () = &mut walk => return,
            _ = clock.tick() => {
                let line = live_line(&visitor.tally());
                if terminal {
                    output::print(&format!("\r\x1b[2K{line}"));
                } else {
                    output::line(&line);
                }
            }
        }
    }
}

fn live_line(tally: &Tally) -> String {
    let paint = Paint::stdout();
    let good = tally.requests() - tally.failed();
    let success = output::units::share(good, tally.requests());
    let tone = if tally.failed() == 0 { Tone::Good } else { Tone::Bad };
    let versions: Vec<String> =
        tally.versions().map(|(version, count)| format!("{version} {count}")).collect();
    format!(
        "visitor: {} pages, {} served, p50 {}, reviews {}   Ctrl-C stops it all",
        tally.requests(),
        paint.tone(tone, &success),
        output::units::millis(tally.quantile_ms(0.5)),
        versions.join(" / "),
    )
}
