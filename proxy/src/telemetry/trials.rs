//! Trials: requests that an operator has this proxy send as its application would (`meshctl explain --live`). Here they are let in, at a
//! bounded rate, wait for the worker that carries them out, and what came of them goes back. It must not know how one is sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mesh_dns::budget::Budget;
use tokio::sync::mpsc;

/// Those that wait for a worker.
const WAITING: usize = 4;
/// So many at once, and the time for one more: a person looks at each.
const BURST: u32 = 5;
const EACH: Duration = Duration::from_secs(1);
/// Outcomes that wait to be reported: all that can be under way, and those that were refused meanwhile.
const REPORTED: usize = 16;

/// One request to be sent, as the controller says it: nothing of it is checked yet.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Of whom it is told what came of it.
    pub id: u64,
    /// Method.
    pub method: String,
    /// `HOST` or `HOST:PORT`.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// Name and value.
    pub headers: Vec<(String, String)>,
    /// Its trace.
    pub trace_id: Vec<u8>,
    /// The span above it.
    pub parent_id: Vec<u8>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// Nothing was sent.
    Refused(String),
    /// It was sent.
    Sent {
        /// How it came to this proxy.
        way: TrialWay,
        /// Status of the answer; 0: there was none.
        status: u16,
        /// The mesh's failure code, if it was not the application that answered.
        failure: String,
    },
}

/// How a connection of the application comes to its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialWay {
    /// It is captured on its way to that address.
    Capture(std::net::SocketAddr),
    /// The application knows of the HTTP proxy port.
    HttpProxy,
}

/// A trial on its way through a worker.
#[derive(Debug)]
pub struct Begun {
    /// What is asked.
    pub trial: Trial,
    done: mpsc::Sender<(u64, Tried)>,
}

impl Begun {
    /// Tells what came of it.
    pub fn done(self, tried: Tried) {
        // Without room, or with the reports gone, whoever asked has given up or soon will.
        let _ = self.done.try_send((self.trial.id, tried));
    }
}

/// The trials of this proxy: the control thread's end.
#[derive(Debug)]
pub(super) struct Trials {
    budget: Mutex<Budget>,
    out: mpsc::Sender<Begun>,
    /// Taken once, by the worker that carries them out.
    waiting: Mutex<Option<mpsc::Receiver<Begun>>>,
    let_in: AtomicU64,
    refused: AtomicU64,
}

/// Where outcomes arrive.
pub(super) type Outcomes = (mpsc::Sender<(u64, Tried)>, mpsc::Receiver<(u64, Tried)>);

/// For one that reports.
pub(super) fn outcomes() -> Outcomes {
    mpsc::channel(REPORTED)
}

impl Trials {
    pub(super) fn new(now: Instant) -> Self {
        let (out, waiting) = mpsc::channel(WAITING);
        Self {
            budget: Mutex::new(Budget::new(BURST, EACH, now)),
            out,
            waiting: Mutex::new(Some(waiting)),
            let_in: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Those that were let in, for the worker that carries them out; once.
    pub(super) fn take(&self) -> Option<mpsc::Receiver<Begun>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lets one in, or refuses it; what came of it is told to `done`.
    pub(super) fn begin(&self, trial: Trial, now: Instant, done: &mpsc::Sender<(u64, Tried)>) {
        let begun = Begun { trial, done: done.clone() };
        // The lock is held for a subtraction.
        let in_time = self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        let refused = if in_time {
            match self.out.try_send(begun) {
                Ok(()) => {
                    self.let_in.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(mpsc::error::TrySendError::Full(begun)) => {
                    (begun, format!("{WAITING} requests of this kind wait there already; try again"))
                }
                Err(mpsc::error::TrySendError::Closed(begun)) => (begun, "the sidecar ends".to_owned()),
            }
        } else {
            let text = format!(
                "its sidecar sends at most one request of this kind a second, {BURST} at once; try again"
            );
            (begun, text)
        };
        self.refused.fetch_add(1, Ordering::Relaxed);
        let (begun, why) = refused;
        begun.done(Tried::Refused(why));
    }

    /// By what became of them: a label and a count.
    pub(super) fn counts(&self) -> [(&'static str, u64); 2] {
        [("let_in", self.let_in.load(Ordering::Relaxed)), ("refused", self.refused.load(Ordering::Relaxed))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(id: u64) -> Trial {
        Trial { id, method: "GET".into(), ..Trial::default() }
    }

    #[test]
    fn a_burst_is_let_in_and_what_is_beyond_it_is_refused_and_counted() {
        let start = Instant::now();
        let trials = Trials::new(start);
        let mut waiting = trials.take().unwrap();
        assert!(trials.take().is_none(), "one worker carries them out");
        let (done, mut told) = outcomes();
        for id in 0..7 {
            trials.begin(trial(id), start, &done);
            if id < 3 {
                waiting.try_recv().unwrap();
            }
        }
        assert_eq!(trials.counts(), [("let_in", 5), ("refused", 2)]);
        let refused: Vec<u64> = std::iter::from_fn(|| told.try_recv().ok()).map(|(id, _)| id).collect();
        assert_eq!(refused, [5, 6]);
        trials.begin(trial(7), start + EACH, &done);
        assert_eq!(trials.counts(), [("let_in", 6), ("refused", 2)]);
    }

    #[test]
    fn those_that_nobody_carries_out_are_refused_and_so_are_those_of_a_proxy_that_ends() {
        let start = Instant::now();
        let trials = Trials::new(start);
        let (done, mut told) = outcomes();
        for id in 0..5 {
            trials.begin(trial(id), start, &done);
        }
        let (id, Tried::Refused(why)) = told.try_recv().unwrap() else { panic!("it has no room") };
        assert!(id == 4 && why.contains("wait there already"), "{why}");
        drop(trials.take());
        trials.begin(trial(9), start + EACH * 9, &done);
        assert_eq!(told.try_recv().unwrap(), (9, Tried::Refused("the sidecar ends".into())));
        assert_eq!(trials.counts(), [("let_in", 4), ("refused", 2)]);
    }

    #[test]
    fn what_came_of_one_is_told_to_who_asked() {
        let trials = Trials::new(Instant::now());
        let mut waiting = trials.take().unwrap();
        let (done, mut told) = outcomes();
        trials.begin(trial(3), Instant::now(), &done);
        let sent = Tried::Sent { way: TrialWay::HttpProxy, status: 200, failure: String::new() };
        waiting.try_recv().unwrap().done(sent.clone());
        assert_eq!(told.try_recv().unwrap(), (3, sent));
    }
}
