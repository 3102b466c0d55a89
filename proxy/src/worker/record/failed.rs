//! What is told of a request that failed: one example of each kind, with what is known of the way in which it failed. It must not decide
//! whether it failed.

use std::time::{Duration, SystemTime};

use mesh_model::policy::By;

use super::{CLIENT_CLOSED, Entry};
use crate::telemetry::{ExampleRecord, Failure, PolicyVerdict, Reason, SeriesKey, Way};

impl Entry {
    /// One example of each kind of failure is kept. Statistics count what the callee's proxy answered as an answer; the example has its code.
    pub(super) fn tell_failure(&self, latency: Duration, has_failed: bool) {
        let telemetry = &self.worker.telemetry;
        let gone = self.key.failure.is_none() && self.key.status == CLIENT_CLOSED;
        let why = Way {
            reason: self.way().or(gone.then_some(Reason::ClientGone)),
            policy: self.denied_by().map(|by| by.policy.name.clone()),
            by_callee: self.by_callee.is_some(),
        };
        match (self.key.failure, self.by_callee) {
            (None, Some(_)) => {
                let key = SeriesKey { failure: self.by_callee, ..self.key.clone() };
                telemetry.failed(&key, why, || self.example(latency));
            }
            (Some(_), _) => telemetry.failed(&self.key, why, || self.example(latency)),
            (None, None) if gone || has_failed => {
                telemetry.failed(&self.key, why, || self.example(latency));
            }
            (None, None) => {}
        }
    }

    /// Who refused it, if a policy did.
    fn denied_by(&self) -> Option<&By> {
        let judged = self.judged.as_ref()?;
        let denies = matches!(judged.verdict, PolicyVerdict::Deny | PolicyVerdict::Undecided);
        (denies && self.key.failure.is_some()).then_some(&judged.by)
    }

    fn way(&self) -> Option<Reason> {
        let denied = || match (self.key.failure?, self.denied_by()?.rule) {
            (Failure::PolicyDenied, None) => Some(Reason::NotAllowed),
            (Failure::PolicyDenied, Some(_)) => Some(Reason::DenyRule),
            _ => None,
        };
        self.reason.or_else(denied)
    }

    fn example(&self, duration: Duration) -> ExampleRecord {
        ExampleRecord {
            rule: self.denied_by().and_then(|by| by.rule).map_or(0, |rule| rule + 1),
            attempts: self.attempts,
            at: SystemTime::now(),
            method: self.asked.method().to_owned(),
            path: self.asked.path().to_owned(),
            detail: self.detail.as_deref().unwrap_or_default().to_owned(),
            trace_id: self.context.map(|context| *context.trace_id()),
            endpoint: self.endpoint,
            duration,
            count: 1,
        }
    }
}
