//! What every process of ours does first: it ties its life to the one that started it, so that none is left behind
//! even when that one is killed by SIGKILL. It must not know which process it is in.

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Tells a child who its parent should be.
pub(crate) const PARENT_VARIABLE: &str = "MESH_PARENT_PID";

/// Whether the process that started us still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    /// It does, or none was named.
    Alive,
    /// It died before we could ask for the signal.
    Gone,
}

/// Asks the kernel for `signal` when the parent dies (PR_SET_PDEATHSIG, prctl(2)). The parent may have died before
/// this call, when no signal comes any more; then the answer is [`Parent::Gone`] and the caller must end.
pub(crate) fn die_with_parent(signal: Signal) -> Parent {
    if set_parent_process_death_signal(Some(signal)).is_err() {
        return Parent::Alive;
    }
    let expected =
        std::env::var(PARENT_VARIABLE).ok().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    match expected {
        Some(expected) if getppid() != Some(expected) => Parent::Gone,
        Some(_) | None => Parent::Alive,
    }
}
