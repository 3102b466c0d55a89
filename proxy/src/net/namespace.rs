//! The network namespace of the application, where that is not our own: a thread that lives in it makes sockets for those that do
//! not. A socket belongs for ever to the namespace that its maker was in, so whoever gets it uses it like any other. It must not
//! know what the sockets are for.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use mesh_lifecycle::dial;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::Socket;
use tokio::sync::oneshot;

/// Sockets asked for and not yet made. Each takes microseconds, so that only a machine that hangs comes here.
const WAITING: usize = 256;

type Job = Box<dyn FnOnce() + Send>;

/// A handle of the thread; the thread ends when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Namespace {
    jobs: SyncSender<Job>,
}

/// Why a namespace cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// Most often the process is gone.
    #[error("cannot open `{path}`: does the process still run, and does it belong to this user?")]
    Open {
        /// The link in `/proc`.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not allowed.
    #[error("cannot enter the {kind} namespace of process {pid}")]
    Enter {
        /// `network` or `user`.
        kind: &'static str,
        /// Whose it is.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// It has panicked.
    #[error("the thread in the namespace of process {0} is gone")]
    Gone(u32),
}

/// Moves this process into the user namespace of `pid`, if it has another one: only from there may a user who is not root enter the
/// network namespace. To be called before any thread exists, as the kernel demands (setns(2)).
pub fn join_user_namespace(pid: u32) -> Result<(), NamespaceError> {
    let theirs = link(pid, "user");
    if same(&theirs, &link(std::process::id(), "user")) {
        return Ok(());
    }
    enter(pid, theirs, "user", LinkNameSpaceType::User)
}

/// Moves the calling thread into the network namespace of `pid`, if it is in another one.
pub fn join_network_namespace(pid: u32) -> Result<(), NamespaceError> {
    let theirs = link(pid, "net");
    if same(&theirs, Path::new("/proc/thread-self/ns/net")) {
        return Ok(());
    }
    enter(pid, theirs, "network", LinkNameSpaceType::Network)
}

fn link(pid: u32, kind: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/{kind}"))
}

fn same(one: &Path, other: &Path) -> bool {
    std::fs::read_link(one).ok().zip(std::fs::read_link(other).ok()).is_some_and(|(a, b)| a == b)
}

fn enter(pid: u32, path: PathBuf, kind: &'static str, of: LinkNameSpaceType) -> Result<(), NamespaceError> {
    let file = File::open(&path).map_err(|source| NamespaceError::Open { path, source })?;
    move_into_link_name_space(file.as_fd(), Some(of)).map_err(|error| NamespaceError::Enter {
        kind,
        pid,
        source: error.into(),
    })
}

impl Namespace {
    /// Starts a thread in the network namespace of `pid`.
    pub fn enter(pid: u32) -> Result<Self, NamespaceError> {
        let (jobs, queue) = sync_channel::<Job>(WAITING);
        let (said, entered) = sync_channel(1);
        let live = move || {
            let result = join_network_namespace(pid);
            let go_on = result.is_ok();
            // The other end waits for it.
            let told = said.send(result);
            if go_on && told.is_ok() {
                work(&queue);
            }
        };
        std::thread::Builder::new()
            .name("namespace".into())
            .stack_size(256 * 1024)
            .spawn(live)
            .map_err(NamespaceError::Thread)?;
        entered.recv().map_err(|_| NamespaceError::Gone(pid))??;
        Ok(Self { jobs })
    }

    /// Does `work` on the thread and waits for it; only for what is done once, at the start. `None`: the thread is gone.
    pub fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = sync_channel(1);
        let job = Box::new(move || drop(done.send(work())));
        self.jobs.send(job).ok()?;
        result.recv().ok()
    }

    /// A socket that can reach `address`; only its making needs the thread.
    pub(super) async fn socket(&self, address: SocketAddr) -> io::Result<Socket> {
        self.run(move || dial::socket(address)).await?
    }

    /// Does `work` on the thread. It must not block.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (done, made) = oneshot::channel();
        // Who asked may have given up meanwhile.
        let job = Box::new(move || drop(done.send(work())));
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => io::Error::other(format!("{WAITING} sockets are waited for already")),
            TrySendError::Disconnected(_) => io::Error::other("the thread in the namespace is gone"),
        })?;
        made.await.map_err(|_| io::Error::other("the thread in the namespace is gone"))
    }
}

fn work(queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        job();
    }
}

#[cfg(test)]
mod tests;
