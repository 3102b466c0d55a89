//! The hidden subcommands `__exec` and `__enter`: run the user's command and watch over it. The command shares our
//! terminal and process group, as under `env` or `nice`, so it cannot be ended by group; and it may have children of its
//! own that do not end with it. So this process makes itself their reaper, passes signals on, and when `meshctl` dies,
//! however it dies, ends all of them. It must not know the mesh.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, getppid, set_child_subreaper};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self as signal, SignalKind};

use super::control::{Said, Voice};
use super::openness::{self, Openness};
use super::orphan::{PARENT_VARIABLE, Parent, die_with_parent};
use super::{descendants, network, process};
use crate::output;

/// How long the command may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// The same when nobody is left who could wait for it.
const ORPHAN_GRACE: Duration = Duration::from_secs(3);

/// With this `meshctl` asks for a SIGINT to the command, when it got one that did not come from the terminal.
pub(crate) const INTERRUPT_COMMAND: Signal = Signal::USR1;

/// What a watcher is told, as JSON in its first argument; the command follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// The number of its end of the control socket.
    pub(crate) control: RawFd,
    /// Whether the command gets a network namespace of its own, and what is captured in it.
    pub(crate) capture: Option<network::Capture>,
    /// When the command can be said to be there.
    pub(crate) openness: Openness,
}

/// `__exec WATCH COMMAND`: the exit code is the command's own, or 128 and the number of the signal that ended it, as a
/// shell has it; 127 when it cannot be started.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let Some((watch, command)) = args.split_first() else { return ExitCode::from(2) };
    let Ok(watch) = serde_json::from_str::<Watch>(&watch.to_string_lossy()) else { return ExitCode::from(2) };
    let parent = getppid();
    if die_with_parent(Signal::TERM) == Parent::Gone {
        return ExitCode::FAILURE;
    }
    let voice = Voice::from(inherited(watch.control));
    if let Some(capture) = &watch.capture {
        if let Err(error) = network::enter_new(capture) {
            voice.say(&Said::Impossible(error.to_string()));
            return ExitCode::FAILURE;
        }
        // Whoever changes who he is loses this wish (PR_SET_PDEATHSIG, prctl(2)).
        if die_with_parent(Signal::TERM) == Parent::Gone {
            return ExitCode::FAILURE;
        }
    }
    voice.say(&Said::Prepared);
    if !voice.may_go() {
        return ExitCode::FAILURE;
    }
    let openness = watch.openness;
    in_runtime(async move { self::watch(command, parent, openness::report(&openness, &voice)).await })
}

/// `__enter PID COMMAND`: the same in the namespaces of a running process.
pub(crate) fn enter(args: &[OsString]) -> ExitCode {
    let parent = getppid();
    let Some((pid, command)) = args.split_first() else { return ExitCode::from(2) };
    let Some(pid) = pid.to_str().and_then(|pid| pid.parse().ok()) else { return ExitCode::from(2) };
    if let Err(error) = network::enter_that_of(pid) {
        output::note(&format!("meshctl: {error}"));
        return ExitCode::from(2);
    }
    if die_with_parent(Signal::TERM) == Parent::Gone {
        return ExitCode::FAILURE;
    }
    in_runtime(watch(command, parent, std::future::pending::<Infallible>()))
}

#[expect(unsafe_code, reason = "the number of an inherited descriptor is all that a process gets")]
fn inherited(number: RawFd) -> OwnedFd {
    // SAFETY: `meshctl` left this descriptor open for us alone, and nothing here has opened or closed one since.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn in_runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        tracing::warn!(%error, "cannot become the reaper of the command's children");
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::from(2);
    };
    runtime.block_on(work)
}

async fn watch(
    command: &[OsString],
    parent: Option<Pid>,
    beside: impl Future<Output = Infallible>,
) -> ExitCode {
    let Some((program, args)) = command.split_first() else { return ExitCode::from(2) };
    // Before there is a command: a signal in between would end this process and leave the command behind.
    let signals = Signals::listen().ok();
    let mut child = match Command::new(program).args(args).env_remove(PARENT_VARIABLE).spawn() {
        Ok(child) => child,
        Err(error) => {
            output::note(&format!("meshctl: cannot run `{}`: {error}", program.display()));
            return ExitCode::from(127);
        }
    };
    let status = tokio::select! {
        status = relay(&mut child, parent, signals) => status,
        never = beside => match never {},
    };
    end_descendants().await;
    status.map_or(ExitCode::from(2), exit_code)
}

/// Those that are passed on.
struct Signals {
    term: signal::Signal,
    interrupt: signal::Signal,
    hangup: signal::Signal,
    quit: signal::Signal,
    asked: signal::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal::signal(SignalKind::terminate())?,
            interrupt: signal::signal(SignalKind::interrupt())?,
            hangup: signal::signal(SignalKind::hangup())?,
            quit: signal::signal(SignalKind::quit())?,
            asked: signal::signal(SignalKind::user_defined1())?,
        })
    }
}

/// Waits for the command while passing signals on to it.
async fn relay(child: &mut Child, parent: Option<Pid>, signals: Option<Signals>) -> Option<ExitStatus> {
    let Some(Signals { mut term, mut interrupt, mut hangup, mut quit, mut asked }) = signals else {
        return child.wait().await.ok();
    };
    let mut deadline = None;
    loop {
        let killed = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            status = child.wait() => return status.ok(),
            () = killed => {
                process::signal(child, Signal::KILL);
                deadline = None;
            }
            _ = term.recv() => {
                process::signal(child, Signal::TERM);
                let grace = if getppid() == parent { GRACE } else { ORPHAN_GRACE };
                deadline = Some(tokio::time::Instant::now() + grace);
            }
            // These two come from the terminal, which sent them to the command as well.
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = asked.recv() => process::signal(child, Signal::INT),
            _ = hangup.recv() => process::signal(child, Signal::HUP),
        }
    }
}

/// What the command left behind does not outlive it.
async fn end_descendants() {
    let own = getpid().as_raw_nonzero().get();
    for pid in descendants::of(own).into_iter().filter_map(Pid::from_raw) {
        rustix::process::kill_process(pid, Signal::TERM).ok();
    }
    let ended = async {
        while !descendants::of(own).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(ORPHAN_GRACE, ended).await.is_err() {
        descendants::kill_all(own);
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_becomes_128_and_its_number() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), ExitCode::from(7));
        assert_eq!(exit_code(ExitStatus::from_raw(15)), ExitCode::from(143));
    }
}
