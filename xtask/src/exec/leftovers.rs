//! Finds the processes of one run by the marker in their environment and ends them. Knows nothing of why they run.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{self, Pid};

const VARIABLE: &str = "AMIME_XTASK_RUN";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What to send to a process.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    Interrupt,
    Kill,
}

/// The mark that all processes of one run carry.
#[derive(Debug, Clone)]
pub(crate) struct Marker(String);

impl Marker {
    /// A mark that no other run on this machine has.
    pub(super) fn fresh() -> Self {
        Self(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    pub(super) fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.0)
    }

    /// Kills every process that carries the mark and names them (`name (pid)`).
    pub(super) fn end_all(&self) -> Vec<String> {
        let mut ended = Vec::new();
        // A process may fork while we look, so look until a pass finds nobody new; three passes bound the effort.
        for _ in 0..3 {
            let found = self.processes();
            if found.is_empty() {
                break;
            }
            for (pid, name) in found {
                signal(pid, Signal::Kill);
                let shown = format!("{name} ({pid})");
                if !ended.contains(&shown) {
                    ended.push(shown);
                }
            }
        }
        ended
    }

    fn processes(&self) -> Vec<(u32, String)> {
        let mark = format!("{VARIABLE}={}", self.0);
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .filter(|pid| *pid != std::process::id())
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
            })
            .map(|pid| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                (pid, name.trim().to_owned())
            })
            .collect()
    }
}

/// Sends a signal; that the process is gone already is fine.
pub(super) fn signal(pid: u32, signal: Signal) {
    let signal = match signal {
        Signal::Interrupt => process::Signal::INT,
        Signal::Kill => process::Signal::KILL,
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if pid.is_some_and(|pid| process::kill_process(pid, signal).is_err()) {
        // Gone before we came.
    }
}
