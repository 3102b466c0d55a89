//! When a command can be said to be there: it listens on all its ports, and a check of its user's says yes. Asked by the
//! watcher, which sees what the command sees. It must not know who is told.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use mesh_lifecycle::bind;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use super::control::{Said, Voice};
use super::probe::{self, PACE, Readiness};

/// After this long it is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one run of a check may take.
const CHECK: Duration = Duration::from_secs(10);
/// Between two checks: starting a program costs more than looking at a table.
const CHECK_PACE: Duration = Duration::from_millis(250);

/// What has to be so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Openness {
    /// All of them are listened on.
    pub(crate) ports: Vec<u16>,
    /// And this says yes.
    pub(crate) check: Option<Check>,
}

/// A question of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Check {
    /// It ends with code 0.
    Command(Vec<String>),
    /// `GET` of this path is answered with a status below 400.
    Http {
        /// Where.
        port: u16,
        /// Beginning with `/`.
        path: String,
    },
}

/// Says when all is so, and before that, once, what is waited for.
pub(crate) async fn report(wanted: &Openness, voice: &Voice) -> Infallible {
    let began = Instant::now();
    let mut told = false;
    while let Some(missing) = missing(wanted).await {
        if !told && began.elapsed() > PATIENCE {
            voice.say(&Said::Waiting(missing));
            told = true;
        }
        tokio::time::sleep(if wanted.check.is_some() { CHECK_PACE } else { PACE }).await;
    }
    voice.say(&Said::Open);
    std::future::pending().await
}

async fn missing(wanted: &Openness) -> Option<String> {
    // A look at the table of sockets: a connection would be one that the command did not expect.
    let closed = |port: &&u16| !bind::is_listened_on(SocketAddr::from((Ipv4Addr::LOCALHOST, **port)));
    if let Some(port) = wanted.ports.iter().find(closed) {
        return Some(format!("its command does not listen on 127.0.0.1:{port}"));
    }
    match wanted.check.as_ref()? {
        Check::Command(words) => (!succeeds(words).await)
            .then(|| format!("its check `{}` does not end with code 0", words.join(" "))),
        Check::Http { port, path } => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            match probe::page(address, path).await {
                Readiness::Ready => None,
                Readiness::NotYet(why) => {
                    Some(format!("its check of http://127.0.0.1:{port}{path} says no: {why}"))
                }
            }
        }
    }
}

async fn succeeds(words: &[String]) -> bool {
    let Some((program, args)) = words.split_first() else { return true };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let Ok(mut child) = command.spawn() else { return false };
    matches!(timeout(CHECK, child.wait()).await, Ok(Ok(status)) if status.success())
}
