//! Cores, priority and limits of this process and its children. Asks the kernel for nothing that it may refuse for good:
//! where a wish is not granted the bench runs all the same, and says so.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Descriptors for 20,000 streams of simulated proxies, with room.
const DESCRIPTORS: u64 = 32_000;
/// Above the compilers that developers run meanwhile.
const NICE: i32 = -10;

/// Which core does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cores {
    /// Load generator, back end, control plane.
    pub(crate) load: usize,
    /// The proxies, which run one after the other.
    pub(crate) proxy: usize,
}

impl Cores {
    /// The first two cores that this process may use; with one core, both are the same.
    pub(crate) fn find() -> Result<Self> {
        let set = sched_getaffinity(None).context("ask which cores this process may use")?;
        Self::among((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)))
    }

    fn among(mut usable: impl Iterator<Item = usize>) -> Result<Self> {
        let load = usable.next().context("the kernel names no core for this process")?;
        Ok(Self { load, proxy: usable.next().unwrap_or(load) })
    }

    /// Binds the calling thread, and with it the processes that it starts from now on.
    pub(crate) fn bind(core: usize) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(core);
        sched_setaffinity(None, &set).with_context(|| format!("bind to core {core}"))
    }
}

/// Raises priority and the number of descriptors where that is allowed; says what was not.
pub(crate) fn prepare() -> Vec<String> {
    let mut refused = Vec::new();
    if setpriority_process(None, NICE).is_err() {
        refused.push("no right to raise the priority: other programs disturb more".to_owned());
    }
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.current.is_none_or(|current| current >= DESCRIPTORS);
    let wanted = Rlimit { current: Some(DESCRIPTORS), maximum: limit.maximum };
    if !enough && setrlimit(Resource::Nofile, wanted).is_err() {
        refused.push(format!("fewer than {DESCRIPTORS} descriptors: rows with idle connections may fail"));
    }
    refused
}

/// Whether a process yields to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheduling {
    Usual,
    /// Before all usual processes. For the fixed-rate row alone, which leaves most of both cores to others: a tail of
    /// milliseconds would else be a compiler's time slice, not the proxy.
    First,
}

/// Changes all threads of these processes; false when that is not allowed.
pub(crate) fn schedule(pids: &[u32], scheduling: Scheduling) -> bool {
    let policy = match scheduling {
        Scheduling::Usual => ["--other", "0"],
        Scheduling::First => ["--fifo", "1"],
    };
    pids.iter().all(|pid| {
        let [policy, priority] = policy;
        let mut command = Command::new("chrt");
        command.args(["--all-tasks", policy, "--pid", priority, &pid.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_get_the_second_core_if_there_is_one() {
        assert_eq!(Cores::among([2, 5, 7].into_iter()).unwrap(), Cores { load: 2, proxy: 5 });
        assert_eq!(Cores::among([3].into_iter()).unwrap(), Cores { load: 3, proxy: 3 });
        assert!(Cores::among(std::iter::empty()).is_err());
    }
}
