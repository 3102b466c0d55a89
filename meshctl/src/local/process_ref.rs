//! A process that was started in another life of ours: its number, and when it began, since numbers are used again. It
//! must not know what the process is for.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process, whether it lives or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRef {
    pub(crate) pid: u32,
    /// Clock ticks from the machine's start to its own (field 22 of `/proc/PID/stat`, proc_pid_stat(5)).
    started: u64,
}

impl ProcessRef {
    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: started(pid)? })
    }

    /// This process.
    pub(crate) fn ours() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs.
    pub(crate) fn lives(self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// Sends it a signal, if it still runs.
    pub(crate) fn signal(self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).filter(|_| self.lives());
        if let Some(pid) = pid {
            // It may have ended by itself since we looked.
            kill_process(pid, signal).ok();
        }
    }
}

fn started(pid: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// None for a zombie: it only waits to be noticed.
fn parse(stat: &str) -> Option<u64> {
    // The name in brackets may hold anything, so fields are counted from the last bracket.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (state != "Z" && state != "X").then_some(started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_the_22nd_field() {
        let fields = (4..=30).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(parse(&format!("7 (a) b) S {fields}")), Some(22));
        assert_eq!(parse(&format!("7 (x) Z {fields}")), None);
        assert_eq!(parse("7 (x) S 1"), None);
    }

    #[test]
    fn another_process_with_the_same_number_is_not_the_one() {
        let ours = ProcessRef::ours().unwrap();
        assert!(ours.lives());
        let other = ProcessRef { started: ours.started + 1, ..ours };
        assert!(!other.lives());
        // It would end this test.
        other.signal(Signal::KILL);
    }
}
