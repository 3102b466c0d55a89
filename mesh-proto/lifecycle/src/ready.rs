//! Readiness: what has to happen before a daemon serves, by name, and the drain after which it never is ready
//! again. It must not know how readiness is asked for; `admin` answers that.

use std::sync::Arc;

use tokio::sync::watch;

/// Is ready once all its gates are open and it does not drain. Clones are handles of the same state.
#[derive(Debug, Clone)]
pub struct Ready {
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Every closed gate: its number and name, in the order they were made.
    closed: Vec<(u64, &'static str)>,
    next: u64,
    draining: bool,
}

/// One condition of readiness; opening or dropping it fulfils the condition.
#[derive(Debug)]
pub struct Gate {
    state: Arc<watch::Sender<State>>,
    number: u64,
}

impl Default for Ready {
    fn default() -> Self {
        Self::new()
    }
}

impl Ready {
    /// Without a gate, so ready.
    pub fn new() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::default())) }
    }

    /// Adds a condition; `name` is what `/readyz` lists until it is fulfilled.
    pub fn gate(&self, name: &'static str) -> Gate {
        let mut number = 0;
        self.state.send_modify(|state| {
            number = state.next;
            state.next += 1;
            state.closed.push((number, name));
        });
        Gate { state: Arc::clone(&self.state), number }
    }

    /// What readiness waits for; `draining` for ever after [`Ready::begin_drain`].
    pub fn pending(&self) -> Vec<&'static str> {
        let state = self.state.borrow();
        let draining = state.draining.then_some("draining");
        draining.into_iter().chain(state.closed.iter().map(|(_, name)| *name)).collect()
    }

    /// Whether nothing is pending.
    pub fn is_ready(&self) -> bool {
        self.state.borrow().is_ready()
    }

    /// Ends once ready; never when draining.
    pub async fn wait(&self) {
        let mut changes = self.state.subscribe();
        // The sender lives as long as `self`, so this ends only by the state.
        let _ = changes.wait_for(State::is_ready).await;
    }

    /// Not ready from now on, for ever: first step of every shutdown.
    pub fn begin_drain(&self) {
        self.state.send_modify(|state| state.draining = true);
    }
}

impl State {
    fn is_ready(&self) -> bool {
        !self.draining && self.closed.is_empty()
    }
}

impl Gate {
    /// The condition is fulfilled; the same as dropping the gate.
    pub fn open(self) {
        drop(self);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.state.send_modify(|state| state.closed.retain(|(number, _)| *number != self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_lists_the_gates_that_are_closed() {
        let ready = Ready::new();
        let (identity, config) = (ready.gate("identity"), ready.gate("configuration"));
        assert_eq!(ready.pending(), ["identity", "configuration"]);
        identity.open();
        assert_eq!(ready.pending(), ["configuration"]);
        drop(config);
        assert!(ready.is_ready());
    }

    #[test]
    fn gates_of_the_same_name_are_different_gates() {
        let ready = Ready::new();
        let (one, _two) = (ready.gate("worker"), ready.gate("worker"));
        one.open();
        assert_eq!(ready.pending(), ["worker"]);
    }

    #[tokio::test]
    async fn wait_ends_when_the_last_gate_opens() {
        let ready = Ready::new();
        let gate = ready.gate("identity");
        let ((), ()) = tokio::join!(ready.wait(), async { gate.open() });
    }

    #[test]
    fn draining_is_not_ready_for_ever() {
        let ready = Ready::new();
        ready.begin_drain();
        ready.gate("late").open();
        assert_eq!(ready.pending(), ["draining"]);
    }
}
