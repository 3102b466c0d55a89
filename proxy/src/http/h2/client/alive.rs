//! Whether the other end of a connection is still there: a ping after some time of silence. It must not know which end we are.

use std::task::{Context, Poll};
use std::time::Duration;

use ::h2::{Ping, PingPong};

use crate::http::deadline::Deadline;
use crate::http::h2::meter::Gauge;

/// Watches one connection.
#[derive(Debug)]
pub(in crate::http::h2) struct Alive {
    ping: Option<PingPong>,
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
    pub(in crate::http::h2) fn new(ping: Option<PingPong>, quiet: Duration, patience: Duration) -> Self {
        let mut deadline = Deadline::never();
        deadline.set_after(quiet);
        Self { ping, quiet, patience, deadline, read: 0, asked: false }
    }

    /// Ready when the other end answers no more.
    pub(in crate::http::h2) fn poll(&mut self, gauge: &Gauge, cx: &mut Context<'_>) -> Poll<()> {
        let Some(ping) = &mut self.ping else { return Poll::Pending };
        if self.asked {
            // Takes the answer off, so that there can be another question.
            if ping.poll_pong(cx).is_ready() {
                self.asked = false;
                self.deadline.set_after(self.quiet);
            }
        }
        while self.deadline.poll(cx).is_ready() {
            if std::mem::replace(&mut self.read, gauge.read()) != gauge.read() {
                self.deadline.set_after(self.quiet);
            } else if self.asked {
                return Poll::Ready(());
            } else {
                self.asked = ping.send_ping(Ping::opaque()).is_ok();
                self.deadline.set_after(self.patience);
            }
        }
        Poll::Pending
    }
}
