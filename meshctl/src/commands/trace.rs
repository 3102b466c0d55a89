//! `meshctl trace`: requests as trees across services, as they happen.

use mesh_controller::inspect::json;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::TraceRequest;

use super::stat::bare;
use super::{Outcome, inspect};
use crate::cluster::ClusterArgs;
use crate::output::{self, Format, Paint};

pub(crate) mod spent;
pub(crate) mod tree;
pub(crate) mod view;

/// Arguments of `meshctl trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only requests that pass this workload or service
    #[arg(value_name = "NAME", default_value = "", hide_default_value = true, value_parser = bare)]
    through: String,
    /// Only this trace, also when it was shown in the last minutes
    #[arg(long, value_name = "TRACE ID", value_parser = trace_id)]
    id: Option<TraceId>,
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
    #[arg(long, default_value = "100", value_name = "PER CENT", value_parser = parts_per_million)]
    sample: u32,
    /// In which form; JSON is one document a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Per cent as parts per million, exactly: four digits after the point are what there is.
fn parts_per_million(text: &str) -> Result<u32, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    let wanted = "a number above 0 and up to 100, with at most four digits after the point";
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return Err(wanted.to_owned());
    }
    let ppm = format!("{whole}{part:0<4}").parse().map_err(|_| wanted.to_owned())?;
    if (1..=1_000_000).contains(&ppm) { Ok(ppm) } else { Err(wanted.to_owned()) }
}

/// The id of a trace.
#[derive(Debug, Clone, Copy)]
struct TraceId([u8; 16]);

fn trace_id(text: &str) -> Result<TraceId, String> {
    let wrong = || "32 hexadecimal digits".to_owned();
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    u128::from_str_radix(text, 16).map(|id| TraceId(id.to_be_bytes())).map_err(|_| wrong())
}

/// Runs until the user leaves or the number is reached.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let inspect = inspect(mesh, &args.cluster, tasks).await?;
    let request = TraceRequest {
        sample_ppm: args.sample,
        limit: args.number,
        failed_only: args.failed,
        slower_than_ms: args.slower_than,
        local_only: false,
        through: args.through,
        trace_id: args.id.map(|id| id.0.to_vec()).unwrap_or_default(),
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
            Format::Json => output::json_line(&json::trace(&trace))?,
            Format::Table => output::line(&view::text(&trace, Paint::stdout())),
        }
        left -= 1;
    }
    Ok(Outcome::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_in_per_cent_is_exact() {
        assert_eq!(
            ["100", "2", "0.5", "12.5", "0.0001"].map(parts_per_million),
            [1_000_000, 20_000, 5000, 125_000, 1].map(Ok)
        );
        for bad in ["0", "101", "", "-1", "1e2", "x", "0.00001", "100.0001", ".5"] {
            assert!(parts_per_million(bad).is_err(), "{bad}");
        }
    }
}
