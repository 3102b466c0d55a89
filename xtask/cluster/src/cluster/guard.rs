//! Takes a cluster away when whoever wants it ends, whatever ended it: a process of its own waits for that end.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::folders::Folders;
use crate::screen;

const DONE: &str = "done";
/// The mark by which xtask finds what a command of its own left behind; the guard has to outlive that.
const MARK: &str = "AMIME_XTASK_RUN";

/// Held while a cluster is made or used. Dropping it without [`Self::done`] takes the cluster away, and waits for that.
#[derive(Debug)]
pub(super) struct Guard {
    process: Child,
    /// The guard waits for it.
    lock: Option<File>,
}

impl Guard {
    pub(super) fn start(folders: &Folders, lock: File) -> Result<Self> {
        let me = std::env::current_exe().context("find this program")?;
        let process = Command::new(me)
            .arg("--cache")
            .arg(folders.cache())
            .args(["guard", "--name", folders.name().as_str()])
            .env_remove(MARK)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the guard of the cluster")?;
        Ok(Self { process, lock: Some(lock) })
    }

    /// The cluster is to stay: the guard goes.
    pub(super) fn done(mut self) -> Result<()> {
        let mut pipe = self.process.stdin.take().context("the guard has a pipe")?;
        pipe.write_all(DONE.as_bytes()).context("tell the guard")?;
        drop(pipe);
        self.process.wait().context("wait for the guard's end")?;
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.lock.take());
        // It says itself what it could not do.
        let _ = self.process.wait();
    }
}

/// What the guard does: nothing, if it is told that the cluster is to stay; else it takes it away.
pub fn watch(folders: &Folders) -> Result<()> {
    let mut said = String::new();
    std::io::stdin().read_to_string(&mut said).context("wait for whoever wants the cluster")?;
    if said != DONE {
        screen::step("taking the cluster away");
        super::Cluster::down(folders)?;
    }
    Ok(())
}
