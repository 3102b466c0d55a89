//! A command on its way to run: its watcher is started first and makes the surroundings, the sidecar comes next, and then
//! the command itself. It must not know what else belongs to a workload.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use mesh_lifecycle::bind::{self, BindError, ReusePort};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use super::control::{self, Control, Said};
use super::exec::Watch;
use super::member::{Member, Place};
use super::network::Capture;
use super::openness::Openness;
use super::process;
use super::spec::{self, WorkloadSpec};
use super::state::MeshState;

/// How long it may take to make a namespace and its rules.
const PREPARE: Duration = Duration::from_secs(10);

/// How a command's traffic comes to its sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// `namespace` where the system lets us, else `explicit`
    #[default]
    Auto,
    /// A network namespace of its own: everything it connects to goes through the sidecar, without settings
    Namespace,
    /// By `HTTP_PROXY` and by ports of `--to`
    Explicit,
}

/// What is run, and how.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) command: Vec<OsString>,
    /// Beside what is ours and what the command gets from us.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) output: Output,
    pub(crate) openness: Openness,
    pub(crate) mode: Mode,
    /// How the user chooses other ports.
    pub(crate) port_option: &'static str,
}

/// Where a command reads and writes.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// Where we do; it is in our process group too.
    Ours,
    /// It writes into this file and reads nothing; it is in a process group of its own.
    Log(PathBuf),
}

/// Why a command does not come to run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error("there is no network namespace for it: {0}; or leave it out with the mode `explicit`")]
    NoNamespace(String),
    #[error(transparent)]
    Port(#[from] BindError),
    #[error("cannot start the command's watcher")]
    Watcher(#[source] io::Error),
    #[error("the command's watcher ended before the command began: {0}")]
    Ended(String),
}

/// A watcher that waits for the word to start its command. Dropped, it starts nothing.
#[derive(Debug)]
pub(crate) struct Prepared {
    watcher: Child,
    control: Control,
    place: Place,
    /// Why there is no namespace although one was wanted.
    pub(crate) without: Option<String>,
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Running {
    watcher: Child,
    control: Option<Control>,
}

impl Program {
    /// Whether the ports are free that it is to have on this machine for certain. To be asked before anything is taken for it, and not
    /// again: who listens there later may be the command's own.
    pub(crate) fn ports_are_free(&self) -> Result<(), BindError> {
        match self.mode {
            Mode::Explicit => ports_are_free(&self.openness.ports, self.port_option),
            Mode::Auto | Mode::Namespace => Ok(()),
        }
    }

    /// Makes the surroundings of the command.
    pub(crate) async fn prepare(
        &self,
        mesh: &MeshState,
        spec: &WorkloadSpec,
        address: Ipv4Addr,
    ) -> Result<Prepared, ProgramError> {
        let start = |place| self.watcher(mesh, &spec.member(address, place));
        let without = match self.mode {
            Mode::Explicit => None,
            Mode::Auto | Mode::Namespace => match start(Place::Namespace { pid: 0 })?.prepared().await? {
                Ok(prepared) => return Ok(prepared),
                Err(reason) if self.mode == Mode::Namespace => return Err(ProgramError::NoNamespace(reason)),
                Err(reason) => Some(reason),
            },
        };
        if without.is_some() {
            ports_are_free(&self.openness.ports, self.port_option)?;
        }
        match start(Place::Host)?.prepared().await? {
            Ok(prepared) => Ok(Prepared { without, ..prepared }),
            Err(reason) => Err(ProgramError::Ended(reason)),
        }
    }

    fn watcher(&self, mesh: &MeshState, member: &Member) -> Result<Prepared, ProgramError> {
        let (control, theirs) = control::pair().map_err(ProgramError::Watcher)?;
        let capture = match member.place {
            Place::Host => None,
            Place::Namespace { .. } => Some(Capture { not: member.local_ports() }),
        };
        let watch = Watch { control: theirs.number(), capture, openness: self.openness.clone() };
        let mut command = process::ourselves();
        command
            .arg("__exec")
            .arg(serde_json::to_string(&watch).map_err(|error| ProgramError::Watcher(error.into()))?);
        command.args(&self.command).kill_on_drop(true);
        for name in spec::removed(member.place) {
            command.env_remove(name);
        }
        command.envs(spec::environment(mesh, member)).envs(self.environment.iter().cloned());
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        self.output.give(&mut command).map_err(ProgramError::Watcher)?;
        let watcher = theirs.during(|| command.spawn()).map_err(ProgramError::Watcher)?;
        Ok(Prepared { watcher, control, place: member.place, without: None })
    }
}

impl Output {
    fn give(&self, command: &mut Command) -> io::Result<()> {
        let Self::Log(path) = self else { return Ok(()) };
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let errors = log.try_clone()?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        Ok(())
    }
}

/// The command has to be able to listen there; better to say now who is in its way, and with which `option` another port is
/// chosen, than to wait for it.
fn ports_are_free(ports: &[u16], option: &'static str) -> Result<(), BindError> {
    for port in ports {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        bind::tcp(address, ReusePort::No).map_err(|error| error.with_option(option))?;
    }
    Ok(())
}

impl Prepared {
    /// Waits for the surroundings; the inner error is the reason why there are none.
    async fn prepared(mut self) -> Result<Result<Self, String>, ProgramError> {
        let said = tokio::time::timeout(PREPARE, self.control.next()).await;
        match said {
            Ok(Some(Said::Prepared)) => {}
            Ok(Some(Said::Impossible(reason))) => return Ok(Err(reason)),
            Ok(Some(Said::Open | Said::Waiting(_)) | None) => {
                let status = self.watcher.wait().await.map_err(ProgramError::Watcher)?;
                return Err(ProgramError::Ended(process::describe(status)));
            }
            Err(_) => return Ok(Err(format!("it was not made within {} s", PREPARE.as_secs()))),
        }
        if let Place::Namespace { pid } = &mut self.place {
            *pid = self.watcher.id().unwrap_or_default();
        }
        Ok(Ok(self))
    }

    /// Where the command will run.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Starts the command.
    pub(crate) fn go(self) -> Result<Running, ProgramError> {
        self.control.go().map_err(ProgramError::Watcher)?;
        Ok(Running { watcher: self.watcher, control: Some(self.control) })
    }
}

impl Running {
    /// The watcher's process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.watcher.id()
    }

    /// What happens next: it is heard from, or it ends. Cancel-safe.
    pub(crate) async fn next(&mut self) -> io::Result<Event> {
        let Self { watcher, control } = self;
        let heard = async {
            match control {
                Some(control) => control.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            status = watcher.wait() => Ok(Event::Ended(status?)),
            said = heard => match said {
                Some(said) => Ok(Event::Said(said)),
                None => {
                    *control = None;
                    Ok(Event::Ended(watcher.wait().await?))
                }
            }
        }
    }

    /// Passes a signal on to the command.
    pub(crate) fn signal(&self, signal: Signal) {
        process::signal(&self.watcher, signal);
    }
}

/// What happens to a command.
#[derive(Debug)]
pub(crate) enum Event {
    Said(Said),
    Ended(ExitStatus),
}
