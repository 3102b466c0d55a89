//! Whether the other end of a connection is still there: a ping after some time of silence. It must not know which end we are.

use std::task::{Context, Poll};
use std::time::Duration;

use super::link::Driver;
use crate::http::deadline::Deadline;

/// Watches one connection.
#[derive(Debug)]
pub(super) struct Alive {
    /// Silence before it is asked.
    quiet: Duration,
    /// For the answer.
    patience: Duration,
    deadline: Deadline,
    /// Bytes read at the last look.
    read: u64,
    asked: bool,
}

impl Alive {
    pub(super) fn new(quiet: Duration, patience: Duration) -> Self {
        let mut deadline = Deadline::never();
        deadline.set_after(quiet);
        Self { quiet, patience, deadline, read: 0, asked: false }
    }

    /// Ready when the other end answers no more.
    pub(super) fn poll(&mut self, driver: &Driver, cx: &mut Context<'_>) -> Poll<()> {
        if self.asked && driver.link().codec().is_there() {
            self.asked = false;
            self.deadline.set_after(self.quiet);
        }
        while self.deadline.poll(cx).is_ready() {
            if std::mem::replace(&mut self.read, driver.read()) != driver.read() {
                self.deadline.set_after(self.quiet);
            } else if self.asked {
                return Poll::Ready(());
            } else {
                driver.link().codec().ping();
                self.asked = true;
                self.deadline.set_after(self.patience);
            }
        }
        Poll::Pending
    }
}
