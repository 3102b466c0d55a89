//! Keeps the processes of a mesh running: starts them, starts again what dies, ends all in reverse order. It must not
//! know what the processes do.
//!
//! A process that needs an identity gets a fresh join token for every start, because a token is good for one use.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mesh_ca::admin_client::create_join_token;
use mesh_lifecycle::backoff::Backoff;
use mesh_lifecycle::tasks::Tasks;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::probe::{self, Readiness};
use super::process::{self, Launch};

/// A process that lived this long before it died is started again without delay.
const STEADY: Duration = Duration::from_secs(10);
/// A process that dies this often while it is waited for will not come.
const FAILED_STARTS: u32 = 3;

/// What a process is, which decides when it is ended: members first, the certificate authority last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Ca,
    Controller,
    Sidecar,
    App,
}

/// What is needed to start a process, again and again.
#[derive(Debug, Clone)]
pub(crate) struct ChildSpec {
    /// Unique within the supervisor.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) launch: Launch,
    /// Where it says that it is ready; a process without such a place is not waited for.
    pub(crate) ready: Option<std::net::SocketAddr>,
    /// Who it is to become.
    pub(crate) token: Option<TokenFor>,
    /// How long it may take to end after SIGTERM.
    pub(crate) grace: Duration,
}

/// A join token that is made before each start and handed over in a file.
#[derive(Debug, Clone)]
pub(crate) struct TokenFor {
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    /// The CA's admin socket.
    pub(crate) socket: PathBuf,
    /// The file that the process reads.
    pub(crate) file: PathBuf,
}

/// A process as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChildState {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// None while it is not running.
    pub(crate) pid: Option<u32>,
    /// Unix milliseconds of the latest start.
    pub(crate) started_ms: u64,
    /// Starts after the first.
    pub(crate) restarts: u32,
    pub(crate) log: PathBuf,
}

/// Why a process is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReady {
    #[error("`{name}` does not start: {reason}; its last words:{words}\n  the whole log: {log}")]
    Dies { name: String, reason: String, words: String, log: String },
    #[error(
        "`{name}` is not ready after {seconds} s: {pending}; its last words:{words}\n  the whole log: {log}"
    )]
    Late { name: String, seconds: u64, pending: String, words: String, log: String },
}

/// The processes of one mesh, or of one member. Clones are handles of the same set.
#[derive(Debug, Clone)]
pub(crate) struct Supervisor {
    tasks: Tasks,
    children: Arc<Mutex<Vec<Arc<Child>>>>,
    changed: Arc<watch::Sender<()>>,
}

#[derive(Debug)]
struct Child {
    spec: ChildSpec,
    stop: CancellationToken,
    ended: CancellationToken,
    life: Mutex<Life>,
}

#[derive(Debug, Default)]
struct Life {
    pid: Option<u32>,
    started_ms: u64,
    starts: u32,
    /// Why it ended, or could not be started, the last time.
    end: Option<String>,
}

impl Supervisor {
    /// Nothing runs yet.
    pub(crate) fn new(tasks: &Tasks) -> Self {
        Self { tasks: tasks.clone(), children: Arc::default(), changed: Arc::new(watch::Sender::new(())) }
    }

    /// Starts a process and keeps it running.
    pub(crate) fn start(&self, spec: ChildSpec) {
        // Ends with the set of tasks too, should nobody call `stop`.
        let stop = self.tasks.token().child_token();
        let child = Arc::new(Child { spec, stop, ended: CancellationToken::new(), life: Mutex::default() });
        locked(&self.children).push(Arc::clone(&child));
        let changed = Arc::clone(&self.changed);
        self.tasks.spawn("supervise", async move {
            keep_running(&child, &changed).await;
            child.ended.cancel();
        });
    }

    /// Waits until `name` says that it is ready.
    pub(crate) async fn ready(&self, name: &str, deadline: Duration) -> Result<(), NotReady> {
        let Some(child) = self.child(name) else { return Ok(()) };
        let Some(address) = child.spec.ready else { return Ok(()) };
        let until = Instant::now() + deadline;
        loop {
            let pending = match probe::ready(address).await {
                Readiness::Ready if locked(&child.life).pid.is_some() => return Ok(()),
                Readiness::Ready => "somebody else answers at its address".to_owned(),
                Readiness::NotYet(pending) => pending,
            };
            let (starts, end) = {
                let life = locked(&child.life);
                (life.starts, life.end.clone())
            };
            let log = &child.spec.launch.log;
            let (name, words) = (name.to_owned(), process::last_words(log, 5));
            let log = log.display().to_string();
            if let Some(reason) = end.filter(|_| starts >= FAILED_STARTS) {
                return Err(NotReady::Dies { name, reason, words, log });
            }
            if Instant::now() > until {
                return Err(NotReady::Late { name, seconds: deadline.as_secs(), pending, words, log });
            }
            tokio::time::sleep(probe::PACE).await;
        }
    }

    /// All processes, in the order in which they were started.
    pub(crate) fn snapshot(&self) -> Vec<ChildState> {
        let children = locked(&self.children).clone();
        children.iter().map(|child| child.state()).collect()
    }

    /// Told after every start and end of a process.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Ends all processes: members first, then the controller, the certificate authority last. None is left.
    pub(crate) async fn stop(&self) {
        for kind in [Kind::App, Kind::Sidecar, Kind::Controller, Kind::Ca] {
            let children: Vec<_> =
                locked(&self.children).iter().filter(|c| c.spec.kind == kind).cloned().collect();
            for child in &children {
                child.stop.cancel();
            }
            for child in &children {
                child.ended.cancelled().await;
            }
        }
    }

    fn child(&self, name: &str) -> Option<Arc<Child>> {
        locked(&self.children).iter().find(|child| child.spec.name == name).cloned()
    }
}

impl Child {
    fn state(&self) -> ChildState {
        let life = locked(&self.life);
        ChildState {
            name: self.spec.name.clone(),
            kind: self.spec.kind,
            pid: life.pid,
            started_ms: life.started_ms,
            restarts: life.starts.saturating_sub(1),
            log: self.spec.launch.log.clone(),
        }
    }

    fn died(&self, reason: String) {
        let mut life = locked(&self.life);
        life.pid = None;
        life.end = Some(reason);
    }
}

async fn keep_running(child: &Child, changed: &watch::Sender<()>) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    loop {
        let began = Instant::now();
        let ended = tokio::select! {
            biased;
            () = child.stop.cancelled() => return,
            started = launch(&child.spec) => match started {
                Ok(process) => live(child, process, changed).await,
                Err(reason) => {
                    locked(&child.life).starts += 1;
                    Some(reason)
                }
            }
        };
        let Some(reason) = ended else { return };
        tracing::warn!(process = child.spec.name, reason, "a process ended and is started again");
        child.died(reason);
        changed.send_replace(());
        if began.elapsed() > STEADY {
            backoff.reset();
        }
        tokio::select! {
            () = child.stop.cancelled() => return,
            () = tokio::time::sleep(backoff.next()) => {}
        }
    }
}

/// Watches a running process; None when it was ended because we asked for it.
async fn live(
    child: &Child,
    mut process: tokio::process::Child,
    changed: &watch::Sender<()>,
) -> Option<String> {
    {
        let mut life = locked(&child.life);
        life.pid = process.id();
        life.started_ms = now_ms();
        life.starts += 1;
    }
    changed.send_replace(());
    tokio::select! {
        biased;
        () = child.stop.cancelled() => {
            if let Err(error) = process::end(&mut process, child.spec.grace).await {
                tracing::warn!(process = child.spec.name, %error, "cannot tell whether a process ended");
            }
            child.died("it was stopped".to_owned());
            None
        }
        status = process.wait() => Some(status.map_or_else(|error| error.to_string(), process::describe)),
    }
}

async fn launch(spec: &ChildSpec) -> Result<tokio::process::Child, String> {
    if let Some(token) = &spec.token {
        let made = create_join_token(&token.socket, &token.namespace, &token.service_account, None).await;
        let text = made.map_err(|error| error.to_string())?;
        write_private(&token.file, &text)
            .map_err(|error| format!("cannot write {}: {error}", token.file.display()))?;
    }
    spec.launch.spawn().map_err(|error| format!("cannot start it: {error}"))
}

/// A file that only its owner may read, from its first byte on.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data are plain values that are consistent after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
