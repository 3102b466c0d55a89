//! Runs programs to their end, each with a deadline, and waits for states. Knows nothing of clusters.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

const TAIL: usize = 30;
const SECOND: Duration = Duration::from_secs(1);
/// A node's programs find their parts here, whatever the caller's environment says.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A proxy that the machine itself needs for the world outside leads to no cluster.
const PROXIES: [&str; 6] =
    ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"];

/// A program to run.
#[derive(Debug)]
pub struct Program {
    command: Command,
    words: Vec<OsString>,
    limit: Duration,
    input: Option<PathBuf>,
}

/// What a program printed and how it ended.
#[derive(Debug)]
pub struct Printed {
    /// Its exit.
    pub status: ExitStatus,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Program {
    /// A program that may take a minute, unless [`Self::limit`] says otherwise.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(&program);
        command.stdin(Stdio::null());
        Self { command, words: vec![program.as_ref().to_owned()], limit: 60 * SECOND, input: None }
    }

    /// One argument more.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.words.push(arg.as_ref().to_owned());
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args(self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// With nothing of the caller's environment but these folders for programs, and in a process group of its own: what ends the caller
    /// does not end it.
    pub(crate) fn alone(mut self, path: &str) -> Self {
        use std::os::unix::process::CommandExt as _;
        self.command.env_clear().env("PATH", path).env("HOME", "/root").current_dir("/").process_group(0);
        self
    }

    /// Takes the machine's own proxies for HTTP out of its environment.
    pub fn without_proxies(mut self) -> Self {
        for name in PROXIES {
            self.command.env_remove(name);
        }
        self
    }

    /// The folder it runs in.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// A file as its standard input.
    pub fn input(mut self, file: &Path) -> Self {
        self.input = Some(file.to_path_buf());
        self
    }

    /// How long it may run.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Program and arguments as one line, for messages.
    pub fn shown(&self) -> String {
        self.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    /// Program and arguments.
    pub fn words(&self) -> &[OsString] {
        &self.words
    }

    /// Runs it to its end, whatever its exit is, and gives what it printed.
    pub fn run(self) -> Result<Printed> {
        self.watched(&mut |_| ())
    }

    /// As [`Self::run`]; `each_second` hears how long it has run.
    pub(crate) fn watched(mut self, each_second: &mut dyn FnMut(Duration)) -> Result<Printed> {
        let folder = tempfile::tempdir().context("make a folder for output")?;
        let (out, err) = (folder.path().join("out"), folder.path().join("err"));
        self.command.stdout(create(&out)?).stderr(create(&err)?);
        let status = self.end(each_second);
        let status = status.with_context(|| tail(&read(&err)))?;
        Ok(Printed { status, out: read(&out), err: read(&err) })
    }

    /// Runs it with our own input and output, without a deadline: a person looks at it.
    pub fn interactive(mut self) -> Result<ExitStatus> {
        let shown = self.shown();
        self.command.stdin(Stdio::inherit()).status().with_context(|| format!("start `{shown}`"))
    }

    /// Runs it to its end, which must be a good one, and gives its standard output.
    pub fn output(self) -> Result<String> {
        let shown = self.shown();
        let printed = self.run()?;
        ensure!(printed.status.success(), "`{shown}` failed: {}\n{}", printed.status, printed.tail());
        Ok(printed.out)
    }

    /// Starts it and goes on; output goes to the file.
    pub fn start(mut self, log: &Path) -> Result<Child> {
        let out = create(log)?;
        self.command.stdout(out.try_clone().context("share the log")?).stderr(out);
        self.spawn()
    }

    fn spawn(&mut self) -> Result<Child> {
        if let Some(input) = &self.input {
            let file = File::open(input).with_context(|| format!("open {}", input.display()))?;
            self.command.stdin(file);
        }
        self.command.spawn().with_context(|| format!("start `{}`", self.shown()))
    }

    fn end(&mut self, each_second: &mut dyn FnMut(Duration)) -> Result<ExitStatus> {
        let (limit, shown, start) = (self.limit, self.shown(), Instant::now());
        let mut child = self.spawn()?;
        let (mut status, mut told) = (None, Duration::ZERO);
        let waited = wait_until(&format!("`{shown}` ends"), limit, || {
            status = child.try_wait().context("look whether it still runs")?;
            if start.elapsed() >= told + SECOND {
                told = start.elapsed();
                each_second(told);
            }
            Ok(status.is_some())
        });
        if waited.is_err() {
            child.kill().with_context(|| format!("end `{shown}`"))?;
            child.wait().with_context(|| format!("wait for `{shown}`"))?;
            bail!("`{shown}` was ended: it took longer than {} s", limit.as_secs());
        }
        status.context("a program that has ended has a status")
    }
}

impl Printed {
    /// The end of what it printed, for messages.
    pub fn tail(&self) -> String {
        tail(&format!("{}{}", self.out, self.err))
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("create {}", path.display()))
}

/// The file's text; a missing file is empty.
pub(crate) fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// The last lines, indented, so that they stand out in an error.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(TAIL);
    lines.iter().skip(skipped).fold(String::new(), |shown, line| shown + "  | " + line + "\n")
}

/// The first program of that name where Debian and the caller keep programs.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(std::env::split_paths(PATH))
        .chain([PathBuf::from("/usr/local/go/bin")])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Looks until `reached` says yes; the one way anything here waits for a state of another process.
pub fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !reached()? {
        ensure!(start.elapsed() <= limit, "waited {} s in vain until {what}", limit.as_secs());
        pause();
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "polls the state of another process, which cannot be awaited")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
