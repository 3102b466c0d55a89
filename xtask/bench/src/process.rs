//! The processes that the bench starts, each bound to a core, its output in a log file. They end with the value that
//! stands for them, by their process id; nobody else's process is ever touched.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpStream;

use crate::machine::Cores;

/// A start on a machine at full load takes seconds.
const START: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// Where a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Load,
    Proxy,
}

/// A running process; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: std::process::Child,
    log: PathBuf,
}

/// Starts processes and keeps their files.
#[derive(Debug)]
pub(crate) struct Starter {
    pub(crate) cores: Cores,
    /// Configuration, sockets and logs.
    pub(crate) folder: PathBuf,
}

impl Starter {
    /// Starts `program` on a core. It must be called on the thread that lives as long as the process: parts of the mesh end
    /// with the thread that started them.
    pub(crate) fn start<A: AsRef<OsStr>>(
        &self,
        side: Side,
        name: &str,
        program: &Path,
        args: &[A],
    ) -> Result<Process> {
        let log = self.folder.join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let err = out.try_clone().context("share the log")?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(out).stderr(err).env_remove("MESH_LOG");
        if side == Side::Proxy {
            Cores::bind(self.cores.proxy)?;
        }
        let child = command.spawn().with_context(|| format!("start {}", program.display()));
        Cores::bind(self.cores.load)?;
        Ok(Process { name: name.to_owned(), child: child?, log })
    }

    /// Writes a file below the folder and names it.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it takes connections at `address`.
    pub(crate) async fn listens(&mut self, address: SocketAddr) -> Result<()> {
        self.wait_for(&format!("listens on {address}"), || async move {
            TcpStream::connect(address).await.is_ok()
        })
        .await
    }

    /// Waits until `seen`; the end of the process and a deadline are errors that show its log.
    pub(crate) async fn wait_for<F>(&mut self, what: &str, mut seen: impl FnMut() -> F) -> Result<()>
    where
        F: Future<Output = bool>,
    {
        let begin = Instant::now();
        while !seen().await {
            self.runs()?;
            if begin.elapsed() > START {
                bail!("{} does not come to where it {what}:\n{}", self.name, self.printed());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// An error with its log when it has ended.
    pub(crate) fn runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.printed()),
        }
    }

    /// The end of its log.
    pub(crate) fn printed(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(15)).fold(String::new(), |all, line| all + line + "\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that nobody listens on at this moment.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?)
}
