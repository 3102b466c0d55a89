//! `meshctl top`: the same as `stat`, live. On a terminal a full screen that can be scrolled; else plain text again and
//! again.

use std::io::IsTerminal;
use std::time::Duration;

use mesh_controller::inspect::json;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::inspect::v1::StatResponse;

use super::stat::Filter;
use super::{Outcome, inspect, traffic};
use crate::client::inspect::Inspect;
use crate::cluster::ClusterArgs;
use crate::output::{self, Format, Paint};

mod screen;

/// Arguments of `meshctl top`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Seconds that each refresh looks back
    #[arg(short = 't', long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    window: u32,
    /// Print once and end
    #[arg(long)]
    once: bool,
    /// In which form; JSON is one document a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Between two refreshes.
const PERIOD: Duration = Duration::from_secs(1);

/// Runs until the user leaves.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let inspect = inspect(mesh, &args.cluster, tasks).await?;
    if args.once {
        print(&ask(&inspect, &args).await?, args.output)?;
        return Ok(Outcome::Fine);
    }
    if args.output == Format::Table && std::io::stdout().is_terminal() {
        let mut terminal = ratatui::try_init()?;
        let ended = full_screen(&mut terminal, &inspect, &args, mesh).await;
        ratatui::try_restore()?;
        return ended.map(|()| Outcome::Fine);
    }
    let end = mesh_lifecycle::signal::shutdown();
    tokio::pin!(end);
    loop {
        print(&ask(&inspect, &args).await?, args.output)?;
        tokio::select! {
            () = &mut end => return Ok(Outcome::Fine),
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn ask(inspect: &Inspect, args: &Args) -> anyhow::Result<StatResponse> {
    Ok(inspect.stat(args.filter.request(args.window)).await?)
}

fn print(answer: &StatResponse, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::json_line(&json::stat(answer))?,
        Format::Table => output::line(&traffic::table(answer).render(Paint::stdout())),
    }
    Ok(())
}

async fn full_screen(
    terminal: &mut ratatui::DefaultTerminal,
    inspect: &Inspect,
    args: &Args,
    mesh: &str,
) -> anyhow::Result<()> {
    let mut view = screen::View::new(mesh, args.window);
    let mut clock = tokio::time::interval(Duration::from_millis(50));
    let mut refresh = tokio::time::Instant::now();
    let end = mesh_lifecycle::signal::shutdown();
    tokio::pin!(end);
    loop {
        if tokio::time::Instant::now() >= refresh {
            // One answer that does not come is shown, not fatal: the controller may be on its way back.
            view.update(ask(inspect, args).await);
            refresh = tokio::time::Instant::now() + PERIOD;
        }
        terminal.draw(|frame| view.draw(frame))?;
        if screen::keys(&mut view)? == screen::Wish::Leave {
            return Ok(());
        }
        tokio::select! {
            () = &mut end => return Ok(()),
            _ = clock.tick() => {}
        }
    }
}
