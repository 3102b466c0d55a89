//! Runs programs: every run has a deadline, and everything it started is found and ended with it.
//!
//! A program's descendants are recognised by a marker in their environment, not by their parent: a process that was
//! orphaned or moved to a group of its own is found all the same, and nobody else's process ever is.

mod leftovers;
mod output;

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub(crate) use self::leftovers::Marker;
pub(crate) use self::output::tail;

/// A program to run.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
    shown: String,
    limit: Duration,
    marker: Marker,
}

/// What a captured run printed and how it ended.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// `limit` is how long the program may take before it and its descendants are ended.
    pub(crate) fn new(program: impl AsRef<OsStr>, limit: Duration) -> Self {
        let marker = Marker::fresh();
        let mut command = Command::new(&program);
        let (name, value) = marker.variable();
        command.env(name, value).stdin(Stdio::null());
        // Once a day `go` starts a process that writes its statistics and outlives it, which would be taken for something left behind. This
        // is what that process itself gives to the programs that it starts.
        command.env("GO_TELEMETRY_CHILD", "2");
        Self { command, shown: program.as_ref().to_string_lossy().into_owned(), limit, marker }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    pub(crate) fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it with our own output as its output; an exit code other than 0 is an error.
    pub(crate) fn run(mut self) -> Result<()> {
        let child = self.command.spawn().with_context(|| format!("start `{}`", self.shown))?;
        let status = self.wait(child)?;
        if status.success() { Ok(()) } else { bail!("`{}` failed: {status}", self.shown) }
    }

    /// Runs it with our own output as its output, and says its exit code.
    pub(crate) fn code(mut self) -> Result<i32> {
        let child = self.command.spawn().with_context(|| format!("start `{}`", self.shown))?;
        let status = self.wait(child)?;
        status.code().with_context(|| format!("`{}` was ended: {status}", self.shown))
    }

    /// Runs it and keeps what it prints, whatever its exit code is.
    pub(crate) fn capture(mut self) -> Result<Captured> {
        let folder = tempfile::tempdir().context("make a folder for output")?;
        let (out, err) = (folder.path().join("out"), folder.path().join("err"));
        self.command.stdout(create(&out)?).stderr(create(&err)?);
        let child = self.command.spawn().with_context(|| format!("start `{}`", self.shown))?;
        let status = self.wait(child)?;
        Ok(Captured { status, stdout: output::read(&out), stderr: output::read(&err) })
    }

    /// Like [`Self::capture`], and an exit code other than 0 is an error that shows the end of what was printed.
    pub(crate) fn output(self) -> Result<String> {
        let shown = self.shown.clone();
        let captured = self.capture()?;
        if captured.status.success() {
            return Ok(captured.stdout);
        }
        bail!("`{shown}` failed: {}\n{}{}", captured.status, tail(&captured.stdout), tail(&captured.stderr))
    }

    /// Starts it and returns at once; its output goes to `log`.
    pub(crate) fn background(mut self, log: &Path) -> Result<Background> {
        let out = create(log)?;
        let err = out.try_clone().context("share the log file")?;
        let child = self.command.stdout(out).stderr(err).spawn();
        let child = child.with_context(|| format!("start `{}`", self.shown))?;
        Ok(Background {
            child,
            shown: self.shown,
            log: log.to_path_buf(),
            marker: self.marker,
            limit: self.limit,
        })
    }

    fn wait(&self, mut child: Child) -> Result<ExitStatus> {
        let (done, ended) = sync_channel(1);
        let pid = child.id();
        let limit = self.limit;
        let status = std::thread::scope(|scope| {
            scope.spawn(move || done.send(child.wait()));
            match ended.recv_timeout(limit) {
                Ok(status) => Some(status),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    leftovers::signal(pid, leftovers::Signal::Kill);
                    self.marker.end_all();
                    None
                }
            }
        });
        let left = self.marker.end_all();
        match status {
            None => bail!("`{}` was ended: it took longer than {} s", self.shown, limit.as_secs()),
            Some(_) if !left.is_empty() => {
                bail!("`{}` left processes behind: {}", self.shown, left.join(", "))
            }
            Some(status) => status.with_context(|| format!("wait for `{}`", self.shown)),
        }
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("create {}", path.display()))
}

/// A program that runs beside us. Dropping it ends it and everything it started.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    shown: String,
    log: PathBuf,
    marker: Marker,
    limit: Duration,
}

impl Background {
    /// Waits until the log holds `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> Result<()> {
        let shown = self.shown.clone();
        wait_until(&format!("`{shown}` prints `{text}`"), self.limit, || {
            if output::read(&self.log).contains(text) {
                return Ok(true);
            }
            match self.child.try_wait().context("look whether it still runs")? {
                Some(status) => {
                    bail!("`{shown}` ended with {status} instead\n{}", tail(&output::read(&self.log)))
                }
                None => Ok(false),
            }
        })
        .with_context(|| format!("its output ends with:\n{}", tail(&output::read(&self.log))))
    }

    /// What it printed so far.
    pub(crate) fn printed(&self) -> String {
        output::read(&self.log)
    }

    /// Interrupts it as Ctrl-C would and waits for its end; processes that it leaves behind are an error.
    pub(crate) fn interrupt(mut self) -> Result<ExitStatus> {
        leftovers::signal(self.child.id(), leftovers::Signal::Interrupt);
        let mut status = None;
        let what = format!("`{}` ends after an interrupt", self.shown);
        wait_until(&what, self.limit, || {
            status = self.child.try_wait().context("look whether it still runs")?;
            Ok(status.is_some())
        })?;
        let left = self.marker.end_all();
        match status {
            Some(status) if left.is_empty() => Ok(status),
            _ => bail!("`{}` left processes behind: {}", self.shown, left.join(", ")),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.marker.end_all();
        if self.child.wait().is_err() {
            // It was waited for already.
        }
    }
}

/// Looks until `reached` says yes; the one way anything here waits for a state of another process.
pub(crate) fn wait_until(
    what: &str,
    limit: Duration,
    mut reached: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    while !reached()? {
        if start.elapsed() > limit {
            bail!("waited {} s in vain until {what}", limit.as_secs());
        }
        pause();
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "polls the state of another process, which cannot be awaited")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

#[cfg(test)]
mod tests;
