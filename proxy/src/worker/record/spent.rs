//! Where the time of a request goes: stages and attempts, kept only where somebody is told of the request. It must not decide anything.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mesh_model::name::WorkloadName;

use super::Entry;
use crate::http::Connected;
use crate::telemetry::{AttemptRecord, Failure, MAX_ATTEMPTS, Security, Spent, failed};

/// What a request waits for, besides upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// What the destination stands for.
    Discover,
    /// Somebody else's word.
    Check,
    /// A fault on purpose.
    Fault,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tried {
    /// Of its answer; 0: there was none.
    pub status: u16,
    /// Why there was none.
    pub failure: Option<Failure>,
    /// A connection was made for it.
    pub connected: Option<Connected>,
    /// The endpoint, if it is left alone from now on because of this.
    pub ejected: Option<SocketAddr>,
}

/// Measures what happens where the record is not at hand.
#[derive(Debug, Default)]
pub struct Stopwatch {
    runs: bool,
    queue: Cell<Duration>,
    upstream: Cell<Duration>,
    connected: Cell<Option<Connected>>,
}

impl Stopwatch {
    /// Now, if anybody wants to know.
    pub fn now(&self) -> Option<Instant> {
        self.runs.then(Instant::now)
    }

    /// It was its turn.
    pub fn queued(&self, since: Option<Instant>) {
        self.queue.set(elapsed(since));
    }

    /// It was answered, perhaps on a connection that was made for it.
    pub fn answered(&self, since: Option<Instant>, connected: Option<Connected>) {
        self.upstream.set(elapsed(since).saturating_sub(connected.map(|c| c.total).unwrap_or_default()));
        self.connected.set(connected);
    }
}

fn elapsed(since: Option<Instant>) -> Duration {
    since.map(|since| since.elapsed()).unwrap_or_default()
}

impl Entry {
    /// Now, if anybody is told where the time goes.
    pub fn clock(&self) -> Option<Instant> {
        self.about.is_some().then(Instant::now)
    }

    /// A stage is over.
    pub fn stage(&mut self, stage: Stage, since: Option<Instant>) {
        let Some(about) = &mut self.about else { return };
        let place = match stage {
            Stage::Discover => &mut about.spent.discover,
            Stage::Check => &mut about.spent.check,
            Stage::Fault => &mut about.spent.fault,
        };
        *place += elapsed(since);
    }

    /// Begins to measure elsewhere.
    pub fn stopwatch(&self) -> Stopwatch {
        Stopwatch { runs: self.about.is_some(), ..Stopwatch::default() }
    }

    /// What was measured elsewhere.
    pub fn stopped(&mut self, watch: &Stopwatch) {
        let Some(about) = &mut self.about else { return };
        about.spent.queue += watch.queue.get();
        about.spent.upstream += watch.upstream.get();
        if let Some(connected) = watch.connected.get() {
            about.spent.connect += connected.total;
            about.spent.tls += connected.tls;
        }
    }

    /// An attempt goes there; `hedged`: beside another one. Gives its number, for when it has ended.
    pub fn attempt(
        &mut self,
        endpoint: SocketAddr,
        workload: Option<WorkloadName>,
        security: Security,
        hedged: bool,
    ) -> usize {
        let number = usize::try_from(self.attempts).unwrap_or(usize::MAX);
        self.attempts += 1;
        self.endpoint = Some(endpoint);
        let start = self.started;
        if let Some(about) = self.about.as_mut().filter(|about| about.attempts.len() < MAX_ATTEMPTS) {
            about.attempts.push(AttemptRecord {
                endpoint,
                workload: workload.clone(),
                start: start.elapsed(),
                duration: None,
                status: 0,
                failure: None,
                connect: Duration::ZERO,
                tls: Duration::ZERO,
                hedged,
            });
        }
        self.destination(workload, security);
        number
    }

    /// The attempt with that number has ended.
    pub fn tried(&mut self, number: usize, how: Tried) {
        self.ejected(how.ejected);
        self.begin_late(number, how);
        let now = match &self.about {
            Some(_) => self.started.elapsed(),
            None => return,
        };
        let attempt = self.about.as_mut().and_then(|about| about.attempts.get_mut(number));
        if let Some(attempt) = attempt {
            attempt.duration = Some(now.saturating_sub(attempt.start));
            (attempt.status, attempt.failure) = (how.status, how.failure);
            if let Some(connected) = how.connected {
                (attempt.connect, attempt.tls) = (connected.total, connected.tls);
            }
        }
    }
}

impl Entry {
    /// The first attempt failed: where failed requests are told, it is kept from here on how the others go.
    fn begin_late(&mut self, number: usize, how: Tried) {
        let has_failed = how.failure.is_some() || failed(how.status, None);
        if number > 0 || !has_failed || !self.tail.failed || self.about.is_some() {
            return;
        }
        let Some(endpoint) = self.endpoint else { return };
        let mut about = self.worker.spares.late(&self.asked, self.started);
        about.attempts.push(AttemptRecord {
            endpoint,
            workload: self.key.destination.clone(),
            start: Duration::ZERO,
            duration: None,
            status: 0,
            failure: None,
            connect: Duration::ZERO,
            tls: Duration::ZERO,
            hedged: false,
        });
        self.about = Some(about);
    }
}

/// What attempts add to where the time went. The one that was passed on is the last that was answered.
pub(super) fn of_attempts(
    mut spent: Spent,
    attempts: &[AttemptRecord],
    first_byte: Option<Duration>,
) -> Spent {
    let Some(first) = attempts.first() else { return spent };
    spent.connect += attempts.iter().map(|one| one.connect).sum::<Duration>();
    spent.tls += attempts.iter().map(|one| one.tls).sum::<Duration>();
    let passed_on = attempts.iter().rfind(|one| one.status > 0).or(attempts.last());
    if let Some(passed_on) = passed_on {
        let earlier: Duration =
            attempts.iter().take_while(|one| one.start < passed_on.start).map(|one| one.connect).sum();
        spent.retry += passed_on.start.saturating_sub(first.start).saturating_sub(earlier);
        if let Some(first_byte) = first_byte {
            spent.upstream += first_byte.saturating_sub(passed_on.start).saturating_sub(passed_on.connect);
        }
    }
    spent
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn attempt(start: u32, status: u16, connect: u32) -> AttemptRecord {
        AttemptRecord {
            endpoint: SocketAddr::from(([10, 0, 0, 1], 80)),
            workload: None,
            start: MS * start,
            duration: Some(MS * 5),
            status,
            failure: None,
            connect: MS * connect,
            tls: MS,
            hedged: false,
        }
    }

    #[test]
    fn the_parts_add_up_to_the_first_byte() {
        // Found after 2 ms; the first attempt connects for 3 and fails at 10; the second one begins at 12, connects for 4, and answers at 30.
        let spent = Spent { discover: MS * 2, ..Spent::default() };
        let spent = of_attempts(spent, &[attempt(2, 0, 3), attempt(12, 200, 4)], Some(MS * 30));
        assert_eq!(
            (spent.retry, spent.connect, spent.upstream, spent.tls),
            (MS * 7, MS * 7, MS * 14, MS * 2)
        );
        assert_eq!(spent.discover + spent.retry + spent.connect + spent.upstream, MS * 30);
    }

    #[test]
    fn without_an_answer_there_is_no_upstream() {
        let spent = of_attempts(Spent::default(), &[attempt(0, 0, 1), attempt(9, 0, 1)], None);
        assert_eq!((spent.retry, spent.upstream), (MS * 8, Duration::ZERO));
        assert_eq!(of_attempts(Spent::default(), &[], Some(MS)), Spent::default());
    }
}
