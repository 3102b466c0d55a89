//! WebSocket through two sidecars. A proxy is transparent to it, so there are three questions: is the handshake carried, also where
//! the client speaks HTTP/2 (RFC 8441); do all bytes pass unchanged, also those that break the protocol; and does a client see
//! from a server behind it what RFC 6455 says. The cases follow the groups of the Autobahn suite.

pub(super) mod server;

mod autobahn;
mod cases;
mod frame;
mod handshake;
mod tunnel;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use self::cases::{Case, Seen};
use self::tunnel::{Carrier, Tunnel};
use super::lab::Lab;
use crate::cli::Suites;
use crate::report::{Outcome, Report, wanted};

/// For a case; megabytes take a while in debug builds.
const LIMIT: Duration = Duration::from_mins(1);

pub(super) async fn run(lab: &Lab, args: &Suites, report: &mut Report) -> Result<()> {
    handshake::run(lab.websocket, &args.row, report).await;
    for carrier in [Carrier::Http1, Carrier::Http2] {
        let opens = Tunnel::open(lab.websocket, carrier, "/mirror").await;
        let outcome = match &opens {
            Ok(_) => Outcome::passed("it opens"),
            Err(error) => Outcome::failed(format!("{error:#}; its cases were not run")),
        };
        let name = format!("{} opens", carrier.name());
        report.row("websocket", &name, "the handshake", "a connection to the server", &outcome);
        if opens.is_err() {
            continue;
        }
        for case in cases::all() {
            let name = format!("{} {}", carrier.name(), case.name);
            if wanted(&args.row, &name) {
                let outcome = both(lab.websocket, carrier, &case).await;
                report.row("websocket", &name, &case.about, &case.expected(), &outcome);
            }
        }
    }
    if let Some(program) = &args.autobahn {
        autobahn::run(lab, program, &args.row, report).await?;
    }
    Ok(())
}

/// Whether the way stands: the sidecars may still be waiting for their configuration.
pub(super) async fn opens(at: SocketAddr) -> bool {
    Tunnel::open(at, Carrier::Http1, "/mirror").await.is_ok()
}

/// `bytes` there and back.
pub(super) async fn echo(at: SocketAddr, bytes: &[u8]) -> Result<()> {
    let tunnel = Tunnel::open(at, Carrier::Http1, "/mirror").await?;
    let got = tunnel.exchange(bytes, usize::MAX, bytes.len()).await?;
    anyhow::ensure!(got == bytes, "{} of {} bytes came back", got.len(), bytes.len());
    Ok(())
}

/// The bytes unchanged, then what the server makes of them.
async fn both(at: SocketAddr, carrier: Carrier, case: &Case) -> Outcome {
    let checks = async {
        mirrored(at, carrier, case).await?;
        answered(at, carrier, case).await
    };
    match tokio::time::timeout(LIMIT, Box::pin(checks)).await {
        Err(_) => Outcome::failed(format!("does not end within {} s", LIMIT.as_secs())),
        Ok(Err(error)) => Outcome::failed(format!("{error:#}")),
        Ok(Ok(outcome)) => outcome,
    }
}

async fn mirrored(at: SocketAddr, carrier: Carrier, case: &Case) -> Result<()> {
    let tunnel = Tunnel::open(at, carrier, "/mirror").await?;
    let sent = case.bytes.clone();
    let got = tunnel.exchange(&sent, case.piece, sent.len()).await?;
    let same = sent.iter().zip(&got).take_while(|(a, b)| a == b).count();
    anyhow::ensure!(
        got == sent,
        "of {} bytes {} came back, the first {same} unchanged",
        sent.len(),
        got.len()
    );
    Ok(())
}

async fn answered(at: SocketAddr, carrier: Carrier, case: &Case) -> Result<Outcome> {
    let tunnel = Tunnel::open(at, carrier, "/frames").await?;
    let got = tunnel.exchange(&case.bytes, case.piece, usize::MAX).await?;
    let seen = Seen::read(&got);
    Ok(if seen == case.seen { Outcome::passed(seen.shown()) } else { Outcome::failed(seen.shown()) })
}
