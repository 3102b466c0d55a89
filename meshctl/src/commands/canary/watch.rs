//! `meshctl canary watch`: a line whenever something changed, until the release is over.

use mesh_controller::inspect::json;
use std::time::Duration;

use anyhow::bail;
use mesh_proto::inspect::v1::CanaryRelease;

use super::{Which, now, one, view};
use crate::client::inspect::Inspect;
use crate::cluster::ClusterArgs;
use crate::commands::Outcome;
use crate::output::{self, Format, Paint};

/// Between looks.
const TICK: Duration = Duration::from_secs(1);

/// Arguments of `meshctl canary watch`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Seconds after which it is no longer waited for, with exit code 2; without, as long as it takes
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// In which form; json is one object a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
}

/// Follows it to its end.
pub(super) async fn run(args: &Args, client: &Inspect) -> anyhow::Result<Outcome> {
    let began = now();
    let mut shown: Option<CanaryRelease> = None;
    loop {
        let release = one(client, &args.which).await?;
        if shown.as_ref() != Some(&release) {
            match args.output {
                Format::Json => output::json_line(&json::canary(&release))?,
                Format::Table => output::line(&view::line(&release, Paint::stdout())),
            }
            shown = Some(release.clone());
        }
        if matches!(release.phase.as_str(), "Promoted" | "RolledBack") {
            return Ok(view::outcome(&release));
        }
        if args.timeout.is_some_and(|most| now().saturating_sub(began) >= most) {
            let (namespace, name) = args.which.split();
            bail!("the release of {namespace}/{name} is not over: {}", release.message);
        }
        tokio::time::sleep(TICK).await;
    }
}
