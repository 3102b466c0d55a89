//! How long a request may take: policy and the caller's own deadline as points in time, and what of it the next hop is told. It must
//! not know who is called.

#[cfg(test)]
mod tests;

use std::time::Duration;

use mesh_model::traffic::effective::RequestPolicy;
use mesh_traffic::deadline;
use tokio::time::Instant;

use crate::http::{Body, Kind, RequestHead};
use crate::telemetry::Failure;

/// The limits of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// When the head of the answer must be there at the latest: there is always such a time.
    pub(super) head_by: Instant,
    /// When all of the answer must be there.
    pub(super) all_by: Option<Instant>,
    /// For one attempt, to the end of its answer.
    pub(super) attempt: Option<Duration>,
    /// Without a byte in either direction.
    pub(super) idle: Option<Duration>,
    /// When a stream ends at the latest.
    pub(super) stream_by: Option<Instant>,
}

impl Limits {
    /// Of a request that began at `started`; `most` is for the head where nothing else says so.
    pub(super) fn of(policy: &RequestPolicy, head: &RequestHead, started: Instant, most: Duration) -> Self {
        let timeouts = &policy.timeouts.value;
        let callers = match head.kind {
            Kind::Grpc => head.header("grpc-timeout").and_then(deadline::grpc),
            Kind::Http => head.header(deadline::TIMEOUT_MS).and_then(deadline::mesh),
        };
        let all = deadline::shortest(&[timeouts.request, callers]);
        let of_retries = policy.retries.as_ref().and_then(|retries| retries.value.attempt_timeout);
        let after = |limit: Duration| started.checked_add(limit);
        Self {
            head_by: all.and_then(after).unwrap_or(started + most),
            all_by: all.and_then(after),
            attempt: deadline::shortest(&[timeouts.attempt, of_retries]),
            idle: deadline::shortest(&[timeouts.idle]),
            stream_by: deadline::shortest(&[timeouts.stream]).and_then(after),
        }
    }

    /// When the head of the answer to an attempt that begins now must be there, and what it failed with if it is not.
    pub(super) fn attempt_by(&self, now: Instant) -> (Instant, Failure) {
        let attempt = self.attempt.and_then(|attempt| now.checked_add(attempt));
        match attempt {
            Some(attempt) if attempt < self.head_by => (attempt, Failure::AttemptTimeout),
            _ => match self.stream_by {
                Some(stream) if stream < self.head_by => (stream, Failure::StreamTimeout),
                _ => (self.head_by, Failure::RequestTimeout),
            },
        }
    }

    /// Until the request must have been answered, if anybody says so.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.all_by.map(|by| by.saturating_duration_since(now))
    }

    /// Tells the next hop how long it is waited for.
    pub(super) fn tell(&self, head: &mut RequestHead, now: Instant) {
        let Some(by) = self.all_by else { return };
        let left = by.saturating_duration_since(now);
        let written = match head.kind {
            Kind::Grpc => head.headers.set("grpc-timeout", deadline::to_grpc(left).as_bytes()),
            Kind::Http => head.headers.set(deadline::TIMEOUT_MS, deadline::to_mesh(left).as_bytes()),
        };
        written.expect("digits and a unit are a value");
    }

    /// When the body of the answer to an attempt that began at `began` ends at the latest, and what it then failed with.
    pub(super) fn body_by(&self, began: Instant) -> Option<(Instant, Failure)> {
        let attempt = self.attempt.and_then(|attempt| began.checked_add(attempt));
        [
            (self.all_by, Failure::RequestTimeout),
            (attempt, Failure::AttemptTimeout),
            (self.stream_by, Failure::StreamTimeout),
        ]
        .into_iter()
        .filter_map(|(by, failure)| by.map(|by| (by, failure)))
        .min_by_key(|(by, _)| *by)
    }
}

/// The body with its end, if it has one.
pub(super) fn bounded(body: Body, by: Option<(Instant, Failure)>) -> Body {
    match by {
        Some((by, _)) => body.until(Some(by)),
        None => body,
    }
}
