//! Sums of one set of metrics by series, in a bounded table. Pure: it must not know what a series means, and time comes as an argument.
//!
//! - A series without traffic for [`IDLE`] is not shown. It keeps its place and its sum, so that it goes on where it was when traffic
//!   comes back.
//! - When there is no room for a new series, those that are not shown give theirs; when there are none, the new one is folded into the
//!   series that stands for many.

use std::collections::HashMap;
use std::time::Duration;

use super::SeriesKey;
use super::worker::SeriesDelta;

#[cfg(test)]
mod tests;

/// How long a series is shown after its last traffic.
pub(crate) const IDLE: Duration = Duration::from_mins(10);

/// Whether an addition found the place it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Yes.
    Own,
    /// It is in a series that stands for many.
    Folded,
}

#[derive(Debug)]
struct Row {
    sum: SeriesDelta,
    /// When it had traffic, since the start.
    last: Duration,
}

/// A bounded table of sums.
#[derive(Debug)]
pub(crate) struct Table {
    limit: usize,
    rows: HashMap<SeriesKey, Row>,
    /// No series can be idle before that.
    next_sweep: Duration,
}

impl Table {
    /// With room for so many series, beside those that stand for many.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, rows: HashMap::new(), next_sweep: IDLE }
    }

    /// Adds to the key's series.
    pub(crate) fn add(&mut self, key: &SeriesKey, added: &SeriesDelta, now: Duration) -> Place {
        if let Some(row) = self.rows.get_mut(key) {
            row.sum.merge(added);
            row.last = now;
            return Place::Own;
        }
        if self.rows.len() >= self.limit {
            self.sweep(now);
        }
        let (key, place) = if self.rows.len() < self.limit {
            (key.clone(), Place::Own)
        } else {
            (key.overflow(), Place::Folded)
        };
        let row = self.rows.entry(key).or_insert_with(|| Row { sum: SeriesDelta::default(), last: now });
        row.sum.merge(added);
        row.last = now;
        place
    }

    /// Forgets what is not shown. Looks at all rows no more often than it can find something.
    fn sweep(&mut self, now: Duration) {
        if now < self.next_sweep {
            return;
        }
        self.rows.retain(|_, row| shown(row, now));
        let oldest = self.rows.values().map(|row| row.last).min();
        self.next_sweep = oldest.unwrap_or(now) + IDLE;
    }

    /// The series that had traffic lately.
    pub(crate) fn shown(&self, now: Duration) -> impl Iterator<Item = (&SeriesKey, &SeriesDelta)> {
        self.rows.iter().filter(move |(_, row)| shown(row, now)).map(|(key, row)| (key, &row.sum))
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.rows = HashMap::new();
        self.next_sweep = IDLE;
    }
}

fn shown(row: &Row, now: Duration) -> bool {
    now.saturating_sub(row.last) < IDLE
}
