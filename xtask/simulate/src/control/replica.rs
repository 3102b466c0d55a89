//! One controller: its cores, who waits for them, and the streams that it has. Admission is the mesh's own.

use std::time::Duration;

use mesh_controller::serve::admission::{Full, Key, Streams};
use mesh_identity::incoming::HANDSHAKES;
use mesh_lifecycle::bind::BACKLOG;

/// Most proxies of a replica: the default of `--max-proxies`.
const MAX_PROXIES: usize = 10_000;
/// A connection whose client has gone by the time that it is looked at costs this share of one that is served.
const IN_VAIN: f64 = 0.1;

#[derive(Debug)]
pub(crate) struct Replica {
    /// When each core has done what it was given.
    cores: Vec<f64>,
    streams: Streams,
    /// Ends of connections that are being made, soonest first.
    making: std::collections::VecDeque<f64>,
    pub(crate) open: usize,
    pub(crate) alive: bool,
    pub(crate) busy_s: f64,
    pub(crate) most_open: usize,
    pub(crate) most_making: usize,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Attempt {
    /// It is served, at that time.
    Served(f64),
    /// It is told at that time that there is no place.
    Full(f64, Full),
    /// It hears nothing.
    Nothing,
}

impl Replica {
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            cores: vec![0.0; cores],
            streams: Streams::new(MAX_PROXIES),
            making: std::collections::VecDeque::new(),
            open: 0,
            alive: false,
            busy_s: 0.0,
            most_open: 0,
            most_making: 0,
        }
    }

    /// Anew, with nothing known.
    pub(crate) fn start(&mut self, now: f64) {
        self.alive = true;
        self.cores.fill(now);
    }

    pub(crate) fn kill(&mut self) {
        self.alive = false;
        self.streams = Streams::new(MAX_PROXIES);
        self.making.clear();
        self.open = 0;
    }

    /// Gives work to the core that is free first; when it is done.
    pub(crate) fn work(&mut self, now: f64, seconds: f64) -> f64 {
        let core = self.cores.iter_mut().min_by(|a, b| a.total_cmp(b));
        let Some(core) = core else { return now };
        *core = core.max(now) + seconds;
        self.busy_s += seconds;
        *core
    }

    /// How long work that comes now waits.
    pub(crate) fn wait(&self, now: f64) -> f64 {
        self.cores.iter().map(|free| (free - now).max(0.0)).fold(f64::INFINITY, f64::min)
    }

    /// A connection with its stream, which takes `seconds` and is given up by its client after `patience`.
    pub(crate) fn attempt(&mut self, workload: &Key, now: f64, seconds: f64, patience: f64) -> Attempt {
        while self.making.front().is_some_and(|end| *end <= now) {
            self.making.pop_front();
        }
        // So many are shaking hands, and so many wait in the kernel's queue; whoever comes then is not answered.
        if self.making.len() >= HANDSHAKES + usize::try_from(BACKLOG).unwrap_or_default() {
            return Attempt::Nothing;
        }
        if self.wait(now) > patience {
            let end = self.work(now, seconds * IN_VAIN);
            self.making.push_back(end);
            return Attempt::Nothing;
        }
        let end = self.work(now, seconds);
        self.making.push_back(end);
        self.most_making = self.most_making.max(self.making.len());
        match self.streams.enter(workload, Duration::from_secs_f64(now)) {
            Ok(()) => {
                self.open += 1;
                self.most_open = self.most_open.max(self.open);
                Attempt::Served(end)
            }
            Err(full) => Attempt::Full(end, full),
        }
    }

    pub(crate) fn leave(&mut self, workload: &Key, now: f64) {
        self.streams.leave(workload, Duration::from_secs_f64(now));
        self.open = self.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        ("shop".into(), number.to_string().into())
    }

    #[test]
    fn cores_work_side_by_side_and_what_comes_later_waits() {
        let mut replica = Replica::new(2);
        replica.start(1.0);
        let ends: Vec<f64> = (0..4).map(|_| replica.work(1.0, 0.5)).collect();
        assert_eq!(ends, [1.5, 1.5, 2.0, 2.0]);
        assert!((replica.wait(1.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn who_does_not_fit_is_told_and_who_waits_too_long_has_gone() {
        let mut replica = Replica::new(1);
        replica.start(0.0);
        for number in 0..MAX_PROXIES {
            let now = number as f64;
            assert!(matches!(replica.attempt(&key(number), now, 0.001, 5.0), Attempt::Served(_)));
        }
        let now = MAX_PROXIES as f64;
        assert!(matches!(replica.attempt(&key(MAX_PROXIES), now, 0.001, 5.0), Attempt::Full(_, Full::All)));
        replica.leave(&key(0), now);
        assert!(matches!(replica.attempt(&key(MAX_PROXIES), now + 1.0, 10.0, 5.0), Attempt::Served(_)));
        assert_eq!(replica.attempt(&key(1), now + 2.0, 0.001, 5.0), Attempt::Nothing);
    }
}
