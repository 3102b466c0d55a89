//! Waiting for one's turn at the workload: the decisions are those of [`Concurrency`], this is the queue with its wakers. First come,
//! first served; who goes away leaves no trace. It must not know what is waited with.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use mesh_model::traffic::AdaptiveConcurrency;
use mesh_traffic::concurrency::{Admission, Concurrency, Ended};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The longest that a request waits: who waited for longer is better off elsewhere.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

/// The bound of one workload with its queue.
#[derive(Debug)]
pub(super) struct Gate {
    state: RefCell<Concurrency>,
    queue: RefCell<VecDeque<(u64, oneshot::Sender<Turn>)>>,
    next: Cell<u64>,
}

/// A request's turn; dropping it without [`Turn::answered`] teaches nothing about the workload.
#[derive(Debug)]
pub(super) struct Turn {
    gate: Rc<Gate>,
    began: Instant,
    ended: Option<Ended>,
}

/// The queue was full, or the wait too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many wait as may.
    Full,
    /// It waited for so long in vain.
    Late,
}

/// How a request got its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// At once.
    None,
    /// After a while.
    Some,
}

impl Gate {
    pub(super) fn new(policy: AdaptiveConcurrency) -> Rc<Self> {
        let state = Concurrency::new(policy, std::time::Instant::now());
        Rc::new(Self { state: RefCell::new(state), queue: RefCell::default(), next: Cell::new(0) })
    }

    pub(super) fn set_policy(&self, policy: AdaptiveConcurrency) {
        self.state.borrow_mut().set_policy(policy);
    }

    /// Requests that may be under way now.
    pub(super) fn limit(&self) -> u32 {
        self.state.borrow().limit()
    }

    /// Waits for a turn, at most so long.
    pub(super) async fn turn(self: &Rc<Self>, longest: Duration) -> Result<(Turn, Wait), Refused> {
        let admission = self.state.borrow_mut().admit();
        match admission {
            Admission::Now => Ok((self.begin(), Wait::None)),
            Admission::Shed => Err(Refused::Full),
            Admission::Wait => {
                let number = self.next.get();
                self.next.set(number + 1);
                let (sender, turn) = oneshot::channel();
                self.queue.borrow_mut().push_back((number, sender));
                let place = Place { gate: self, number };
                let turn = tokio::time::timeout(longest, turn).await;
                drop(place);
                turn.ok().and_then(Result::ok).map(|turn| (turn, Wait::Some)).ok_or(Refused::Late)
            }
        }
    }

    fn begin(self: &Rc<Self>) -> Turn {
        Turn { gate: Rc::clone(self), began: Instant::now(), ended: None }
    }

    /// Lets those begin for whom there is room.
    fn wake(self: &Rc<Self>) {
        while self.state.borrow_mut().turn() {
            let first = self.queue.borrow_mut().pop_front();
            let Some((_, waiter)) = first else { return };
            // Who went away in this very moment gives the turn back by dropping it.
            drop(waiter.send(self.begin()));
        }
    }
}

/// A place in the queue; left by dropping it.
struct Place<'a> {
    gate: &'a Rc<Gate>,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queue = self.gate.queue.borrow_mut();
        if let Some(at) = queue.iter().position(|(number, _)| *number == self.number) {
            queue.remove(at);
            self.gate.state.borrow_mut().gave_up();
        }
    }
}

impl Turn {
    /// The workload has answered.
    pub(super) fn answered(mut self) {
        self.ended = Some(Ended::Answered(self.began.elapsed()));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let ended = self.ended.unwrap_or(Ended::Broken);
        self.gate.state.borrow_mut().ended(ended, std::time::Instant::now());
        self.gate.wake();
    }
}
