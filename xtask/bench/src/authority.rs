//! The certificate authority of a bench, and the one-time tokens by which parts of its mesh join. It must not know who joins for what.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process::{Process, Side, Starter, free_address};

pub(crate) const TRUST_DOMAIN: &str = "bench.local";

/// A running authority; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Authority {
    program: PathBuf,
    pub(crate) listen: SocketAddr,
    socket: PathBuf,
    pub(crate) roots: PathBuf,
    _process: Process,
}

impl Authority {
    /// Starts it on the load's core and waits until it takes connections.
    pub(crate) async fn start(starter: &Starter, program: &Path) -> Result<Self> {
        let (listen, state) = (free_address()?, starter.folder.join("ca"));
        let socket = starter.folder.join("ca.sock");
        let args = format!(
            "__ca serve --listen {listen} --metrics {} --admin-socket {} --state-dir {} --trust-domain {TRUST_DOMAIN}",
            free_address()?,
            socket.display(),
            state.display(),
        );
        let mut process = starter.start(Side::Load, "mesh-ca", program, &words(&args))?;
        process.listens(listen).await?;
        let roots = state.join("root.pem");
        Ok(Self { program: program.to_path_buf(), listen, socket, roots, _process: process })
    }

    /// A file with a one-time token.
    pub(crate) fn token(&self, starter: &Starter, namespace: &str, account: &str) -> Result<PathBuf> {
        let mut command = Command::new(&self.program);
        command.args(["__ca", "token", "--namespace", namespace, "--service-account", account]);
        let made = command.arg("--admin-socket").arg(&self.socket).stdin(Stdio::null()).output();
        let made = made.context("ask for a join token")?;
        if !made.status.success() {
            bail!("no join token for {account}: {}", String::from_utf8_lossy(&made.stderr));
        }
        starter.write(&format!("{namespace}-{account}.token"), &String::from_utf8(made.stdout)?)
    }
}

/// None of the paths has a space: they lie in a folder that the bench made.
pub(crate) fn words(text: &str) -> Vec<&str> {
    text.split_ascii_whitespace().collect()
}
