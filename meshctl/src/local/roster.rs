//! `local.json`: the programs of `meshctl local up` and how they are, for the commands that ask about them and for the one
//! that cleans up. It must not know how they are kept running.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::composition::Task;
use super::paths::MeshPaths;
use super::process_ref::ProcessRef;
use super::state;

/// All programs of a file, and who keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Roster {
    pub(crate) file: PathBuf,
    pub(crate) keeper: ProcessRef,
    pub(crate) entries: Vec<Entry>,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// The workload of the file, of which there may be several.
    pub(crate) service: String,
    pub(crate) job: bool,
    pub(crate) state: State,
    /// Ports that others call.
    pub(crate) ports: Vec<u16>,
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) traffic: Option<Traffic>,
    /// Why it is not captured although that was wanted.
    pub(crate) without: Option<String>,
    /// The watcher of the command; it is in the command's namespaces.
    pub(crate) watcher: Option<ProcessRef>,
    pub(crate) sidecar: Option<ProcessRef>,
    pub(crate) restarts: u32,
    /// Unix milliseconds of the latest change of its state.
    pub(crate) since_ms: u64,
    pub(crate) log: PathBuf,
}

/// How a program's traffic comes to its sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Traffic {
    Captured,
    Explicit,
}

/// How a program is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub(crate) enum State {
    /// For a program that it depends on.
    Waiting {
        /// `NAME.NAMESPACE`
        on: String,
    },
    Starting,
    /// It runs, and is not in the mesh yet.
    Opening {
        /// What is waited for, once that takes long.
        why: Option<String>,
    },
    Ready,
    /// A job that runs.
    Working,
    /// It ended, or could not be started, and will be started again.
    Failing {
        /// Why.
        why: String,
    },
    Ending,
    /// A job did its work.
    Done,
    /// A job did not.
    Failed {
        /// Why.
        why: String,
    },
}

impl State {
    /// Whether nothing more is to be expected of `local up`: it is there, or something is wrong.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self, Self::Ready | Self::Done) || self.is_bad()
    }

    /// Whether something is wrong.
    pub(crate) fn is_bad(&self) -> bool {
        matches!(self, Self::Failing { .. } | Self::Failed { .. })
    }

    /// Whether who depends on it may start.
    pub(crate) fn serves(&self) -> bool {
        matches!(self, Self::Done | Self::Ready)
    }

    /// One word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Starting => "starting",
            Self::Opening { .. } => "opening",
            Self::Ready => "ready",
            Self::Working => "working",
            Self::Failing { .. } => "failing",
            Self::Ending => "ending",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
        }
    }

    /// More about it.
    pub(crate) fn detail(&self) -> Option<String> {
        match self {
            Self::Waiting { on } => Some(format!("for {on}")),
            Self::Opening { why } => why.clone(),
            Self::Failing { why } | Self::Failed { why } => Some(why.clone()),
            Self::Starting | Self::Ready | Self::Working | Self::Ending | Self::Done => None,
        }
    }
}

impl Entry {
    pub(crate) fn new(task: &Task, paths: &MeshPaths) -> Self {
        Self {
            name: task.spec.name.clone(),
            namespace: task.spec.namespace.clone(),
            service: task.spec.service.clone(),
            job: task.job,
            state: State::Starting,
            ports: task.spec.ports.iter().map(|port| port.service).collect(),
            address: None,
            traffic: None,
            without: None,
            watcher: None,
            sidecar: None,
            restarts: 0,
            since_ms: now_ms(),
            log: paths.logs().join(format!("{}.log", task.spec.full_name())),
        }
    }

    /// `NAME.NAMESPACE`
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }

    /// Whether the user means it by `name`: `NAME` or `NAME.NAMESPACE`, of the program or of its workload.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        match name.split_once('.') {
            Some((name, namespace)) => {
                self.namespace == namespace && (self.name == name || self.service == name)
            }
            None => self.name == name || self.service == name,
        }
    }

    /// Its processes, as far as they are known.
    pub(crate) fn processes(&self) -> impl Iterator<Item = ProcessRef> {
        self.watcher.into_iter().chain(self.sidecar)
    }
}

impl Roster {
    /// What the file says; None without one.
    pub(crate) fn load(paths: &MeshPaths) -> io::Result<Option<Self>> {
        match std::fs::read_to_string(paths.roster()) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it for others to find.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        state::replace(path, &serde_json::to_string_pretty(self).map_err(io::Error::other)?)
    }
}

/// The roster of the process that keeps it. Clones are handles of the same.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    entries: Arc<Mutex<Vec<Entry>>>,
    changed: Arc<watch::Sender<()>>,
}

impl Board {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        Self { entries: Arc::new(Mutex::new(entries)), changed: Arc::new(watch::Sender::new(())) }
    }

    /// Changes the entry with that number.
    pub(crate) fn change(&self, number: usize, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.locked().get_mut(number) {
            let before = entry.state.clone();
            change(entry);
            if entry.state != before {
                entry.since_ms = now_ms();
            }
        }
        self.changed.send_replace(());
    }

    /// Changes its state alone.
    pub(crate) fn state(&self, number: usize, state: State) {
        self.change(number, |entry| entry.state = state);
    }

    /// All entries as of now.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.locked().clone()
    }

    /// Told after every change.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Entry>> {
        // The data are plain values that are consistent after every statement.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_lets_others_start_at_its_end_and_a_service_once_it_is_ready() {
        let why = String::new;
        for (state, serves, settled, bad) in [
            (State::Waiting { on: why() }, false, false, false),
            (State::Starting, false, false, false),
            (State::Opening { why: None }, false, false, false),
            (State::Ready, true, true, false),
            (State::Working, false, false, false),
            (State::Failing { why: why() }, false, true, true),
            (State::Ending, false, false, false),
            (State::Done, true, true, false),
            (State::Failed { why: why() }, false, true, true),
        ] {
            let found = (state.serves(), state.is_settled(), state.is_bad());
            assert_eq!(found, (serves, settled, bad), "{state:?}");
        }
    }
}
