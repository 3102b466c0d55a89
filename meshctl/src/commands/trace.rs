//! `meshctl trace`: requests as trees across services, as they happen.

use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::TraceRequest;

use super::{Outcome, inspect};
use crate::output::{self, Format, Paint};

pub(crate) mod tree;
mod view;

/// Arguments of `meshctl trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only requests with a failed hop
    #[arg(long)]
    failed: bool,
    /// Only requests that took longer
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0, hide_default_value = true)]
    slower_than: u32,
    /// End after so many
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    number: u32,
    /// Share of requests to trace while this command runs, in per cent
    #[arg(long, default_value_t = 100.0, value_parser = percent)]
    sample: f64,
    /// In which form; JSON is one document a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

fn percent(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if share > 0.0 && share <= 100.0 { Ok(share) } else { Err("more than 0 and at most 100".to_owned()) }
}

/// Runs until the user leaves or the number is reached.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let inspect = inspect(mesh, tasks).await?;
    let request = TraceRequest {
        // At most 1,000,000 by the check above.
        sample_ppm: (args.sample * 10_000.0).round().max(1.0) as u32,
        limit: args.number,
        failed_only: args.failed,
        slower_than_ms: args.slower_than,
    };
    let mut traces = inspect.trace(request).await?;
    let end = mesh_lifecycle::signal::shutdown();
    tokio::pin!(end);
    let mut left = if args.number == 0 { u32::MAX } else { args.number };
    while left > 0 {
        let trace = tokio::select! {
            () = &mut end => break,
            trace = traces.next() => trace?,
        };
        let Some(trace) = trace else { break };
        match args.output {
            Format::Json => output::json_line(&view::json(&trace))?,
            Format::Table => output::line(&view::text(&trace, Paint::stdout())),
        }
        left -= 1;
    }
    Ok(Outcome::Fine)
}
