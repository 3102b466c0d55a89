//! Starting and ending one process. It must not know what the process is for, nor whether it is started again.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use super::orphan::PARENT_VARIABLE;

/// A process of ours: this binary under a hidden subcommand, in a process group of its own so that a Ctrl-C in the
/// terminal reaches `meshctl` alone, which ends the others in order.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// The subcommand and its arguments.
    pub(crate) args: Vec<OsString>,
    /// Standard output and standard error go there.
    pub(crate) log: PathBuf,
}

impl Launch {
    /// Starts it.
    pub(crate) fn spawn(&self) -> io::Result<Child> {
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log)?;
        let errors = log.try_clone()?;
        let mut command = ourselves();
        command.args(&self.args).stdin(Stdio::null()).stdout(log).stderr(errors);
        command.process_group(0).kill_on_drop(true).spawn()
    }
}

/// This binary, told who its parent is.
pub(crate) fn ourselves() -> Command {
    let mut command = alone();
    command.env(PARENT_VARIABLE, std::process::id().to_string());
    command
}

/// This binary, to live on when we do not.
pub(crate) fn alone() -> Command {
    // The link still leads to the running binary after a new one was built in its place.
    let path = std::env::current_exe().ok().filter(|path| path.exists());
    let mut command = Command::new(path.unwrap_or_else(|| PathBuf::from("/proc/self/exe")));
    command.arg0("meshctl").env_remove(PARENT_VARIABLE);
    command
}

/// Sends a signal to the process and everything in its group.
pub(crate) fn signal_group(child: &Child, signal: Signal) {
    if let Some(pid) = pid_of(child) {
        // An error means that it has ended in the meantime, which is what most callers want.
        kill_process_group(pid, signal).ok();
    }
}

/// Sends a signal to the process alone.
pub(crate) fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = pid_of(child) {
        kill_process(pid, signal).ok();
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    // None once it was waited for: its number may belong to somebody else by then.
    child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
}

/// Asks the process to end, and makes it end after `grace`. Nothing of its group is left.
pub(crate) async fn end(child: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
    signal_group(child, Signal::TERM);
    if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
        return status;
    }
    signal_group(child, Signal::KILL);
    child.wait().await
}

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown reason".to_owned(),
    }
}

/// The last lines of a log, for a message about a process that would not start.
pub(crate) fn last_words(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = all.iter().skip(all.len().saturating_sub(lines));
    if all.is_empty() {
        return " none".to_owned();
    }
    tail.fold(String::new(), |text, line| text + "\n    " + line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_last_lines_that_say_something() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("x.log");
        fs::write(&log, "one\ntwo\n\nthree\n\n").unwrap();
        assert_eq!(last_words(&log, 2), "\n    two\n    three");
        assert_eq!(last_words(&dir.path().join("absent"), 2), " none");
    }

    #[test]
    fn the_end_of_a_process_is_told_by_code_or_signal() {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), "exit code 3");
        assert_eq!(describe(ExitStatus::from_raw(9)), "signal 9");
    }
}
