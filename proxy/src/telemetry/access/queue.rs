//! Lines on their way from the workers to the one thread that writes them. A worker holds the lock for as long as it takes to copy a line, and
//! never waits for the sink: what finds no room is dropped and counted. It must not know sinks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of lines that wait. As many again may be on their way to the sink.
pub(super) const MAX_WAITING: usize = 1 << 20;

/// What became of lines, since the proxy began.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// The sink took them.
    pub(crate) written: AtomicU64,
    /// The sink was slower than the traffic, and there was no room.
    pub(crate) full: AtomicU64,
    /// The sink refused them.
    pub(crate) failed: AtomicU64,
}

impl Counts {
    /// By what they are called in metrics.
    pub(crate) fn all(&self) -> [(&'static str, u64); 3] {
        [("written", &self.written), ("full", &self.full), ("failed", &self.failed)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

/// The queue of one sink.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
    pub(super) counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: u64,
    closed: bool,
}

impl Queue {
    pub(super) fn new(counts: Arc<Counts>) -> Self {
        Self { waiting: Mutex::default(), more: Condvar::new(), counts }
    }

    /// Takes nothing.
    pub(super) fn closed(counts: Arc<Counts>) -> Self {
        let queue = Self::new(counts);
        queue.close();
        queue
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // What waits is whole lines, whatever panicked.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line over, or counts that there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.closed || waiting.bytes.len() + line.len() > MAX_WAITING {
            drop(waiting);
            self.counts.full.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        waiting.lines += 1;
        drop(waiting);
        if was_empty {
            self.more.notify_one();
        }
    }

    /// Waits for lines and takes all there are; how many. `None`: there will be no more. For the writer's own thread.
    pub(super) fn take(&self, into: &mut Vec<u8>) -> Option<u64> {
        into.clear();
        let mut waiting = self.lock();
        while waiting.bytes.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.bytes, into);
        Some(std::mem::take(&mut waiting.lines))
    }

    /// No more lines come; those that wait are still taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_went_in_and_a_closed_queue_ends() {
        let queue = Queue::new(Arc::default());
        queue.push(b"a\n");
        queue.push(b"b\n");
        let mut chunk = b"old".to_vec();
        assert_eq!((queue.take(&mut chunk), chunk.as_slice()), (Some(2), &b"a\nb\n"[..]));
        queue.push(b"c\n");
        queue.close();
        queue.push(b"d\n");
        assert_eq!((queue.take(&mut chunk), chunk.as_slice()), (Some(1), &b"c\n"[..]));
        assert_eq!((queue.take(&mut chunk), chunk.len()), (None, 0));
        assert_eq!(queue.counts.all(), [("written", 0), ("full", 1), ("failed", 0)]);
    }

    // INV-10
    #[test]
    fn lines_that_find_no_room_are_counted() {
        let queue = Queue::new(Arc::default());
        let line = [b'a'; 1 << 10];
        (0..1_030).for_each(|_| queue.push(&line));
        assert_eq!(queue.counts.all(), [("written", 0), ("full", 6), ("failed", 0)]);
        let mut chunk = Vec::new();
        assert_eq!((queue.take(&mut chunk), chunk.len()), (Some(1_024), MAX_WAITING));
    }
}
