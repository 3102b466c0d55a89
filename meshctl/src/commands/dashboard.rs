//! `meshctl dashboard`: a ticket for the dashboard of the controller, a way to it, and the browser.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::Context as _;
use mesh_lifecycle::tasks::Tasks;
use serde_json::json;

use super::{Outcome, inspect};
use crate::client::forward::{Forward, MAX_CONNECTIONS};
use crate::cluster::ClusterArgs;
use crate::output::{self, Format};

/// Arguments of `meshctl dashboard`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where browsers of this machine reach the dashboard of a cluster, on loopback; without it port 15080, or a free one
    #[arg(long, value_name = "ADDR", value_parser = loopback)]
    address: Option<SocketAddr>,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
    /// In which form the URL is told
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Who reaches it needs a ticket all the same, but it is plain HTTP.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let wanted = "a loopback address with a port, as 127.0.0.1:15080";
    let address: SocketAddr = text.parse().map_err(|_| wanted.to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err(wanted.to_owned()) }
}

/// The port that is tried first, so that bookmarks stay good.
const PORT: u16 = 15080;

/// Prints the URL. Of a mesh on this machine that is all; to a cluster connections are carried until the user leaves.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let (answer, way) = inspect(mesh, &args.cluster, tasks).await?.dashboard().await?;
    let there: SocketAddr =
        answer.address.parse().with_context(|| format!("the controller's address `{}`", answer.address))?;
    let forward = match way {
        None => None,
        Some(pod) => Some(listen(args.address, there)?.through(pod.at(there.port()))),
    };
    let address = forward.as_ref().map_or(there, Forward::address);
    let url = format!("http://{address}/#/signin?ticket={}", answer.ticket);
    match args.output {
        Format::Json => output::json_line(
            &json!({ "url": url, "address": address, "ticket_seconds": answer.ticket_seconds }),
        )?,
        Format::Table => {
            output::line(&url);
            output::note(&format!(
                "open it within {} s; it signs in once, and the dashboard then stays at http://{address}/",
                answer.ticket_seconds
            ));
        }
    }
    if !args.no_open && args.output == Format::Table && std::io::stdout().is_terminal() {
        open(&url);
    }
    if let Some(forward) = forward {
        output::note(&format!(
            "connections are carried to {forward}, {MAX_CONNECTIONS} at once; Ctrl-C stops it"
        ));
        tokio::select! {
            () = mesh_lifecycle::signal::shutdown() => {}
            () = forward.run(tasks) => {}
        }
    }
    Ok(Outcome::Fine)
}

fn listen(
    wanted: Option<SocketAddr>,
    there: SocketAddr,
) -> anyhow::Result<crate::client::forward::Listening> {
    use crate::client::forward::Listening;
    if let Some(address) = wanted {
        return Ok(Listening::at(address)?);
    }
    let here = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let first = if there.port() == 0 { PORT } else { there.port() };
    Ok(Listening::at(here(first)).or_else(|_| Listening::at(here(0)))?)
}

/// A browser that cannot be opened is no error: the URL is there to be read.
fn open(url: &str) {
    let opened = std::process::Command::new("xdg-open")
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = opened {
        tracing::debug!(%error, "no browser is opened");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_loopback_is_listened_on() {
        for good in ["127.0.0.1:15080", "127.3.2.1:0", "[::1]:15080"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:15080", "10.0.0.1:1", "localhost:15080", "127.0.0.1", ""] {
            assert!(loopback(bad).is_err(), "{bad}");
        }
    }
}
