//! Lines on their way from whoever has something to say to the one thread that writes them. Whoever says something holds a lock for as long as it
//! takes to copy a line, and never waits for where lines go: what finds no room is dropped and counted. It must not know what lines are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What became of lines.
#[derive(Debug, Default)]
pub struct Counts {
    /// They were taken.
    pub written: AtomicU64,
    /// They came faster than they were taken, and there was no room.
    pub full: AtomicU64,
    /// They were refused.
    pub failed: AtomicU64,
}

impl Counts {
    /// By what they are called in metrics.
    pub fn all(&self) -> [(&'static str, u64); 3] {
        [("written", &self.written), ("full", &self.full), ("failed", &self.failed)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

/// A bounded queue of whole lines.
#[derive(Debug)]
pub struct Lines {
    bound: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// What became of them.
    pub counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: u64,
    /// The writer has some in its hands.
    under_way: bool,
    closed: bool,
}

impl Lines {
    /// At most `bound` bytes wait; as many again may be in the writer's hands.
    pub fn new(bound: usize, counts: Arc<Counts>) -> Self {
        Self { bound, waiting: Mutex::default(), changed: Condvar::new(), counts }
    }

    /// Takes nothing.
    pub fn closed(counts: Arc<Counts>) -> Self {
        let lines = Self::new(0, counts);
        lines.close();
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // What waits is whole lines, whatever panicked.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line over, or counts that there is no room.
    pub fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.closed || waiting.bytes.len() + line.len() > self.bound {
            drop(waiting);
            self.counts.full.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        waiting.lines += 1;
        drop(waiting);
        if was_empty {
            self.changed.notify_all();
        }
    }

    /// Waits for lines and takes all there are; how many. `None`: there will be no more. For the writer's own thread.
    pub fn take(&self, into: &mut Vec<u8>) -> Option<u64> {
        into.clear();
        let mut waiting = self.lock();
        if std::mem::take(&mut waiting.under_way) {
            self.changed.notify_all();
        }
        while waiting.bytes.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.bytes, into);
        waiting.under_way = true;
        Some(std::mem::take(&mut waiting.lines))
    }

    /// No more lines come; those that wait are still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits until everything has been written, for at most `patience`; whether it has. It blocks: for the end of a process.
    pub fn drained(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut waiting = self.lock();
        while !waiting.bytes.is_empty() || waiting.under_way {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (waiting, _) = self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_went_in_and_a_closed_queue_ends() {
        let lines = Lines::new(100, Arc::default());
        lines.push(b"a\n");
        lines.push(b"b\n");
        let mut chunk = b"old".to_vec();
        assert_eq!((lines.take(&mut chunk), chunk.as_slice()), (Some(2), &b"a\nb\n"[..]));
        lines.push(b"c\n");
        lines.close();
        lines.push(b"d\n");
        assert_eq!((lines.take(&mut chunk), chunk.as_slice()), (Some(1), &b"c\n"[..]));
        assert_eq!((lines.take(&mut chunk), chunk.len()), (None, 0));
        assert_eq!(lines.counts.all(), [("written", 0), ("full", 1), ("failed", 0)]);
    }

    // INV-10
    #[test]
    fn lines_that_find_no_room_are_counted() {
        let lines = Lines::new(10, Arc::default());
        (0..8).for_each(|_| lines.push(b"1234\n"));
        assert_eq!(lines.counts.all(), [("written", 0), ("full", 6), ("failed", 0)]);
        let mut chunk = Vec::new();
        assert_eq!((lines.take(&mut chunk), chunk.len()), (Some(2), 10));
    }

    #[test]
    fn an_end_waits_for_what_is_under_way_and_not_for_ever() {
        let lines = Arc::new(Lines::new(10, Arc::default()));
        assert!(lines.drained(Duration::ZERO));
        lines.push(b"1\n");
        assert!(!lines.drained(Duration::from_millis(1)), "nobody takes it");
        let mut chunk = Vec::new();
        lines.take(&mut chunk);
        assert!(!lines.drained(Duration::from_millis(1)), "it is being written");
        let writer = Arc::clone(&lines);
        let thread = std::thread::spawn(move || writer.take(&mut Vec::new()));
        assert!(lines.drained(Duration::from_secs(30)));
        lines.close();
        assert_eq!(thread.join().unwrap(), None);
    }
}
