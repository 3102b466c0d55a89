//! The one batch of metrics that is under way. Pure; it must not know streams, and time comes as an argument.

use std::time::{Duration, Instant};

use mesh_proto::report::v1::Metrics;

/// Keeps a batch until it is confirmed. A controller that never confirms anything is taken at its word: what was sent to
/// it is received.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    sequence: u64,
    batch: Option<Metrics>,
    /// Since when what is in the batch was counted.
    since: Option<Instant>,
    /// When the batch was sent on the present stream.
    sent: Option<Instant>,
    confirms: bool,
}

impl Outbox {
    /// Whether there is room for a batch.
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_none()
    }

    /// Takes a batch in, of what was counted since then, and numbers it. Only when empty.
    pub(super) fn put(&mut self, metrics: Metrics, since: Instant) {
        debug_assert!(self.batch.is_none(), "one batch at a time");
        self.sequence += 1;
        self.batch = Some(Metrics { sequence: self.sequence, ..metrics });
        self.since = Some(since);
        self.sent = None;
    }

    /// The batch, if it is still to be sent on this stream.
    pub(super) fn next_to_send(&mut self, now: Instant) -> Option<Metrics> {
        if self.sent.is_some() {
            return None;
        }
        let batch = if self.confirms {
            self.sent = self.batch.is_some().then_some(now);
            self.batch.clone()
        } else {
            self.batch.take()
        };
        let age = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        batch.map(|batch| {
            let late = age.saturating_sub(Duration::from_millis(batch.interval_ms));
            Metrics { late_ms: u64::try_from(late.as_millis()).unwrap_or(u64::MAX), ..batch }
        })
    }

    /// The controller has everything up to that number.
    pub(super) fn received(&mut self, sequence: u64) {
        self.confirms = true;
        if self.batch.as_ref().is_some_and(|batch| batch.sequence <= sequence) {
            self.batch = None;
            self.sent = None;
        }
    }

    /// Whether the confirmation is missing for that long.
    pub(super) fn is_overdue(&self, now: Instant, deadline: Duration) -> bool {
        self.sent.is_some_and(|sent| now.saturating_duration_since(sent) >= deadline)
    }

    /// A new stream: what was not confirmed is sent again, under its number.
    pub(super) fn restart(&mut self) {
        self.sent = None;
        self.confirms = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(requests: u64) -> Metrics {
        Metrics { interval_ms: requests, ..Metrics::default() }
    }

    #[test]
    fn a_batch_is_sent_once_a_stream_until_it_is_confirmed() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        outbox.received(0);
        outbox.put(batch(1), now);
        assert_eq!(outbox.next_to_send(now).map(|m| m.sequence), Some(1));
        assert_eq!(outbox.next_to_send(now), None);
        outbox.restart();
        outbox.received(0);
        assert_eq!(outbox.next_to_send(now).map(|m| (m.sequence, m.interval_ms)), Some((1, 1)));
        outbox.received(1);
        assert!(outbox.is_empty());
        outbox.put(batch(2), now);
        assert_eq!(outbox.next_to_send(now).map(|m| m.sequence), Some(2));
    }

    #[test]
    fn without_confirmations_what_was_sent_is_received() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        outbox.put(batch(1), now);
        assert!(outbox.next_to_send(now).is_some());
        assert!(
            outbox.is_empty() && !outbox.is_overdue(now + Duration::from_mins(1), Duration::from_secs(10))
        );
    }

    #[test]
    fn a_missing_confirmation_is_noticed() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        outbox.received(0);
        outbox.put(batch(1), now);
        assert!(!outbox.is_overdue(now + Duration::from_mins(1), Duration::from_secs(10)), "not sent yet");
        outbox.next_to_send(now);
        assert!(!outbox.is_overdue(now + Duration::from_secs(9), Duration::from_secs(10)));
        assert!(outbox.is_overdue(now + Duration::from_secs(10), Duration::from_secs(10)));
    }

    #[test]
    fn a_batch_says_how_late_it_is() {
        let now = Instant::now();
        let at = |secs| now + Duration::from_secs(secs);
        let mut outbox = Outbox::default();
        outbox.received(0);
        outbox.put(batch(2_000), now);
        assert_eq!(outbox.next_to_send(at(2)).map(|metrics| metrics.late_ms), Some(0));
        outbox.restart();
        outbox.received(0);
        assert_eq!(outbox.next_to_send(at(9)).map(|metrics| metrics.late_ms), Some(7_000));
    }

    #[test]
    fn an_old_confirmation_confirms_nothing_new() {
        let now = Instant::now();
        let mut outbox = Outbox::default();
        outbox.received(0);
        outbox.put(batch(1), now);
        outbox.received(1);
        outbox.put(batch(2), now);
        outbox.received(1);
        assert!(!outbox.is_empty());
    }
}
