//! The processes that a suite starts, each with its output in a log file. They end with the value that stands for them, by
//! their process id; nobody else's process is ever touched.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpStream;

/// A start on a machine at full load takes seconds.
const START: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);
const PAGE: u64 = 4096;

/// A running process; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: std::process::Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its log in `folder`. It must be called on the thread that lives as long as the process: parts of
    /// the mesh end with the thread that started them.
    pub(crate) fn start<A: AsRef<OsStr>>(
        folder: &Path,
        name: &str,
        program: &Path,
        args: &[A],
    ) -> Result<Self> {
        Self::start_with(folder, name, program, args, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn start_with<A: AsRef<OsStr>>(
        folder: &Path,
        name: &str,
        program: &Path,
        args: &[A],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let err = out.try_clone().context("share the log")?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(out).stderr(err).env_remove("MESH_LOG");
        command.envs(env.iter().copied());
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

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
            if let Some(status) = self.ended() {
                bail!("{} ended with {status}:\n{}", self.name, self.printed());
            }
            if begin.elapsed() > START {
                bail!("{} does not come to where it {what}:\n{}", self.name, self.printed());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The end of its log.
    pub(crate) fn printed(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(15)).fold(String::new(), |all, line| all + line + "\n")
    }
}

impl Process {
    /// Ends it; no handler runs.
    pub(crate) fn end(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Bytes of memory that a process has in RAM; None when it is gone. Source: proc(5), `statm`, second field, in pages.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * PAGE)
}

/// Time that a process has spent on processors; None when it is gone. Source: proc(5), `schedstat`, of each of its threads, nanoseconds.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let spent = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse::<u64>().ok()
    });
    Some(Duration::from_nanos(spent.sum()))
}

/// A loopback address that nobody listens on at this moment.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_memory_and_one_that_never_was_has_none() {
        assert!(resident(std::process::id()).unwrap() > PAGE);
        assert_eq!(resident(u32::MAX), None);
    }
}
