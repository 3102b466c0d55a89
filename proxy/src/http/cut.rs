//! A notice that something under way is allowed no longer: given once, from outside, to whatever carries it. It must not know why.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use crate::telemetry::Failure;

/// The notice.
#[derive(Debug, Default)]
pub struct Cut {
    failure: Cell<Option<Failure>>,
    /// Of the bodies and tunnels that wait for it.
    waiting: RefCell<Vec<Waker>>,
}

impl Cut {
    /// Gives it. What was said first counts.
    pub fn give(&self, failure: Failure) {
        if self.failure.get().is_none() {
            self.failure.set(Some(failure));
        }
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// What was said, if it was.
    pub fn given(&self) -> Option<Failure> {
        self.failure.get()
    }

    /// As [`Cut::given`]; wakes the task when it comes.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<Failure> {
        if let Some(failure) = self.failure.get() {
            return Poll::Ready(failure);
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            // Who waited longest is woken in vain, and waits anew if it is still there.
            if waiting.len() >= WAITING {
                waiting.remove(0).wake();
            }
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits for it.
    pub async fn happens(&self) -> Failure {
        poll_fn(|cx| self.poll(cx)).await
    }
}

/// Tasks that wait for one notice: those of the two bodies of a request, or of a tunnel.
const WAITING: usize = 4;

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken_and_the_first_word_counts() {
        let cut = Rc::new(Cut::default());
        assert_eq!(cut.given(), None);
        let waits = async { (cut.happens().await, cut.happens().await) };
        let gives = async {
            tokio::task::yield_now().await;
            cut.give(Failure::PolicyDenied);
            cut.give(Failure::PolicyUndecided);
        };
        let (waited, ()) = tokio::join!(waits, gives);
        assert_eq!(waited, (Failure::PolicyDenied, Failure::PolicyDenied));
        assert_eq!(cut.given(), Some(Failure::PolicyDenied));
    }
}
