//! A command in our place: which signals are passed on to it, and how its end becomes ours. It must not know what is run.

use std::io::{self, IsTerminal};
use std::process::ExitStatus;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::local::exec::INTERRUPT_COMMAND;

/// What the command's watcher is to get for a signal of ours; None where the command has it already.
pub(super) fn to_pass_on(signal: Signal) -> Option<Signal> {
    // A Ctrl-C in the terminal has reached the command without us: it is in the same process group.
    let from_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
    match signal {
        Signal::INT if from_terminal => None,
        Signal::INT => Some(INTERRUPT_COMMAND),
        other => Some(other),
    }
}

/// Of the command, or as a shell has it.
pub(super) fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The signals that are the command's business.
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on they do not end us.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.hangup.recv() => Signal::HUP,
        }
    }
}
