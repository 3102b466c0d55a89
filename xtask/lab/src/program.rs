//! Programs in a namespace: each has a deadline, its output is kept, and it ends with the value that stands for it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Namespace, wait_until};

/// Lines of output that an error shows.
const TAIL: usize = 25;
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// As whom a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Root of the lab.
    Root,
    /// Somebody with this number and no rights but that to read any file. Where the lab itself is a user namespace it is a name for root: what the kernel
    /// compares (file owners, `meta skuid`) is root then.
    Plain(u32),
}

/// A program that is yet to start.
#[derive(Debug)]
pub struct Program {
    words: Vec<std::ffi::OsString>,
    environment: Vec<(String, String)>,
    shown: String,
    /// Of its pod and of itself, for the files of its output.
    name: String,
    logs: PathBuf,
    limit: Duration,
}

/// What a program has printed.
#[derive(Debug)]
pub struct Printed {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Program {
    pub(crate) fn new(namespace: &Namespace, user: User, logs: &Path, program: &OsStr) -> Self {
        let mut words: Vec<std::ffi::OsString> = namespace.words().map(Into::into).into();
        if let User::Plain(number) = user {
            words.extend(as_plain(number).into_iter().map(Into::into));
        }
        words.push(program.to_owned());
        let shown = format!("{}: {}", namespace.name(), program.to_string_lossy());
        let own = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
        let name = format!("{}-{own}", namespace.name());
        Self {
            words,
            environment: Vec::new(),
            shown,
            name,
            logs: logs.to_path_buf(),
            limit: Duration::from_secs(40),
        }
    }

    /// One argument more.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&arg.as_ref().to_string_lossy());
        self.words.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// How long it may run, for [`Self::run`] and what is built on it. 40 s unless said otherwise.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts it and goes on at once.
    pub fn start(self) -> Result<Running> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let [out, err] =
            ["out", "err"].map(|kind| self.logs.join(format!("{serial:03}-{}.{kind}", self.name)));
        let (first, rest) = self.words.split_first().context("there is always a first word")?;
        let mut command = Command::new(first);
        command.args(rest).stdin(Stdio::null());
        // A proxy that the machine itself needs is nothing of the lab's.
        for name in
            ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "MESH_LOG"]
        {
            command.env_remove(name);
        }
        command.envs(self.environment).stdout(create(&out)?).stderr(create(&err)?);
        let child = command.spawn().with_context(|| format!("start `{}`", self.shown))?;
        Ok(Running { child, out, err, shown: self.shown, limit: self.limit })
    }

    /// Runs it to its end, whatever its exit code is.
    pub fn run(self) -> Result<Printed> {
        self.start()?.end()
    }

    /// Runs it to its end, which must be a good one, and gives what it printed.
    pub fn output(self) -> Result<String> {
        let shown = self.shown.clone();
        let printed = self.run()?;
        ensure!(
            printed.status.success(),
            "`{shown}` failed: {}\n{}{}",
            printed.status,
            tail(&printed.out),
            tail(&printed.err)
        );
        Ok(printed.out)
    }
}

fn as_plain(number: u32) -> Vec<String> {
    let number_is = |option: &str| format!("--{option}={number}");
    if lab_has_all_users() {
        // It may read everything, since the tester's tools may lie in a home folder that is closed to others.
        let may_read = ["inh-caps", "ambient-caps"].map(|set| format!("--{set}=+dac_read_search"));
        let words =
            ["setpriv".to_owned(), number_is("reuid"), number_is("regid"), "--clear-groups".to_owned()];
        words.into_iter().chain(may_read).chain(["--".to_owned()]).collect()
    } else {
        vec!["unshare".into(), "--user".into(), number_is("map-user"), number_is("map-group"), "--".into()]
    }
}

/// Whether user numbers other than root's exist here; they do not in a user namespace that one user made for itself.
pub(crate) fn lab_has_all_users() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_ascii_whitespace()
        .nth(2)
        .and_then(|count| count.parse::<u32>().ok())
        .is_some_and(|count| count > 1)
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("create {}", path.display()))
}

/// A running program; dropping it ends it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    shown: String,
    limit: Duration,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Standard output and error so far.
    pub fn printed(&self) -> String {
        read(&self.out) + &read(&self.err)
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `reached`; the program's end and a deadline are errors that show its output.
    pub fn wait_until(&mut self, what: &str, mut reached: impl FnMut() -> bool) -> Result<()> {
        let limit = self.limit;
        let shown = self.shown.clone();
        wait_until(&format!("`{shown}` {what}"), limit, || {
            if reached() {
                return Ok(true);
            }
            match self.child.try_wait().context("look whether it still runs")? {
                Some(status) => bail!("`{shown}` ended with {status} instead"),
                None => Ok(false),
            }
        })
        .with_context(|| format!("its output ends with:\n{}", tail(&self.printed())))
    }

    /// Waits until it has printed `text`.
    pub fn prints(&mut self, text: &str) -> Result<()> {
        let (out, err) = (self.out.clone(), self.err.clone());
        self.wait_until(&format!("prints `{text}`"), || {
            read(&out).contains(text) || read(&err).contains(text)
        })
    }

    /// Waits for its end.
    pub fn end(mut self) -> Result<Printed> {
        let mut status = None;
        let what = format!("`{}` ends", self.shown);
        wait_until(&what, self.limit, || {
            status = self.child.try_wait().context("look whether it still runs")?;
            Ok(status.is_some())
        })
        .with_context(|| format!("its output ends with:\n{}", tail(&self.printed())))?;
        let status = status.context("a program that has ended has a status")?;
        Ok(Printed { status, out: read(&self.out), err: read(&self.err) })
    }

    /// Ends it at once, as a crash would: nothing of it is told.
    pub fn crash(mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("end `{}`", self.shown))?;
        self.child.wait().map(|_| ()).with_context(|| format!("wait for `{}`", self.shown))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let rest = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
    rest.iter().fold(String::new(), |all, line| all + "    " + line + "\n")
}
