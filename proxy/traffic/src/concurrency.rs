//! A bound on what a workload works on at once, which follows its latency: while answers take about as long as without load the bound
//! grows, and when they take longer it shrinks. In front of it is a short queue; what finds that full is refused at once. It must not
//! know how waiting is done.
//!
//! The bound moves once per window, by the gradient `tolerance * unloaded / measured`, where `measured` is the window's mean and
//! `unloaded` the least mean that was seen since a calm time. Without a sign of queueing it grows by its square root, but only if it was
//! in use: a quiet time teaches nothing.
//!
//! Source: "Performance Under Load" (Netflix, 2018), gradient; TCP Vegas.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use mesh_model::traffic::AdaptiveConcurrency;

/// A window ends after this time, if it has answers enough.
const WINDOW: Duration = Duration::from_millis(100);

/// Answers that a window needs.
const SAMPLES: u32 = 10;

/// A window that stays short of answers ends after this time all the same.
const LONGEST: Duration = Duration::from_secs(5);

/// Share of a measured latency above the unloaded one that the latter takes on per calm window. Only few requests at once tell how long
/// one takes without load; so a workload that has become slower for good first gets the lowest bound, and what is measured there is
/// the new measure.
const FORGET: f64 = 0.1;

/// How far the bound moves towards where it should be, per window.
const SMOOTHING: f64 = 0.3;

/// The bound of one workload.
#[derive(Debug)]
pub struct Concurrency {
    policy: AdaptiveConcurrency,
    limit: f64,
    in_flight: u32,
    waiting: u32,
    /// Seconds; `None` until the first window.
    unloaded: Option<f64>,
    window: Window,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    samples: u32,
    sum: f64,
    peak: u32,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It goes on. [`Concurrency::ended`] must follow.
    Now,
    /// It waits for its turn. [`Concurrency::turn`] or [`Concurrency::gave_up`] must follow.
    Wait,
    /// The queue is full.
    Shed,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With an answer, after so long.
    Answered(Duration),
    /// Otherwise: that teaches nothing about the workload's latency.
    Broken,
}

impl Concurrency {
    /// Begins in the middle between the bounds, nearer to the lower one.
    pub fn new(policy: AdaptiveConcurrency, now: Instant) -> Self {
        let policy = sane(policy);
        let start = f64::from(policy.min).max(20.0).min(f64::from(policy.max));
        let window = Window { began: now, samples: 0, sum: 0.0, peak: 0 };
        Self { policy, limit: start, in_flight: 0, waiting: 0, unloaded: None, window }
    }

    /// Other bounds are in force; what was learnt stays.
    pub fn set_policy(&mut self, policy: AdaptiveConcurrency) {
        self.policy = sane(policy);
        self.limit = self.limit.clamp(f64::from(self.policy.min), f64::from(self.policy.max));
    }

    /// Asks for a new request.
    pub fn admit(&mut self) -> Admission {
        if self.in_flight < self.limit() && self.waiting == 0 {
            self.begin();
            Admission::Now
        } else if self.waiting < self.policy.queue {
            self.waiting += 1;
            Admission::Wait
        } else {
            Admission::Shed
        }
    }

    /// Lets one waiting request begin, if there is room: to be asked after [`Concurrency::ended`], until it says no.
    pub fn turn(&mut self) -> bool {
        let turn = self.waiting > 0 && self.in_flight < self.limit();
        if turn {
            self.waiting -= 1;
            self.begin();
        }
        turn
    }

    /// A waiting request went away.
    pub fn gave_up(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// A request that had begun has ended.
    pub fn ended(&mut self, ended: Ended, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Ended::Answered(latency) = ended {
            self.window.samples += 1;
            self.window.sum += latency.as_secs_f64();
        }
        self.close_window(now);
    }

    /// Requests that may be under way.
    pub fn limit(&self) -> u32 {
        // Between two u32, so it is one.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to two u32")]
        let limit = self.limit as u32;
        limit.max(1)
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Requests that wait.
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    fn begin(&mut self) {
        self.in_flight += 1;
        self.window.peak = self.window.peak.max(self.in_flight);
    }

    fn close_window(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.window.began);
        let full = age >= WINDOW && self.window.samples >= SAMPLES;
        if !full && age < LONGEST {
            return;
        }
        if self.window.samples > 0 {
            let measured = self.window.sum / f64::from(self.window.samples);
            self.learn(measured, self.window.peak);
        }
        self.window = Window { began: now, samples: 0, sum: 0.0, peak: self.in_flight };
    }

    fn learn(&mut self, measured: f64, peak: u32) {
        let used = f64::from(peak) * 2.0 >= self.limit;
        let calm = !used || self.limit < f64::from(self.policy.min) + 1.0;
        let unloaded = match self.unloaded {
            Some(known) if measured > known && calm => known + (measured - known) * FORGET,
            Some(known) if measured > known => known,
            _ => measured,
        };
        self.unloaded = Some(unloaded);
        let good = unloaded * f64::from(self.policy.tolerance) / 1000.0;
        let gradient = if measured > 0.0 { (good / measured).clamp(0.5, 1.0) } else { 1.0 };
        let wanted = if gradient < 1.0 { self.limit * gradient } else { self.limit + self.limit.sqrt() };
        if wanted > self.limit && !used {
            return;
        }
        let moved = self.limit + (wanted - self.limit) * SMOOTHING;
        self.limit = moved.clamp(f64::from(self.policy.min), f64::from(self.policy.max));
    }
}

/// At least one request, and an order of the bounds.
fn sane(policy: AdaptiveConcurrency) -> AdaptiveConcurrency {
    let min = policy.min.max(1);
    AdaptiveConcurrency { min, max: policy.max.max(min), tolerance: policy.tolerance.max(1000), ..policy }
}
