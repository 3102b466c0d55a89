//! How long a request and each attempt at it may take. It must not read a clock: the time that has passed is an argument.
//!
//! Source: Gateway API v1.6, HTTPRouteTimeouts.

use std::time::Duration;

use super::Timeouts;

/// Which limit an attempt runs into first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// That of the whole request.
    Request,
    /// That of the single attempt.
    BackendRequest,
}

/// Why limits do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the backend request timeout ({} ms) is longer than the request timeout ({} ms)", backend_request.as_millis(), request.as_millis())]
pub struct InvalidTimeouts {
    /// Limit of the whole request.
    pub request: Duration,
    /// Limit of one attempt.
    pub backend_request: Duration,
}

impl Timeouts {
    /// From what a user wrote: zero is no limit. An attempt may not be allowed more than the whole request.
    pub fn new(
        request: Option<Duration>,
        backend_request: Option<Duration>,
    ) -> Result<Self, InvalidTimeouts> {
        let limit = |given: Option<Duration>| given.filter(|duration| !duration.is_zero());
        match (limit(request), limit(backend_request)) {
            (Some(request), Some(backend_request)) if backend_request > request => {
                Err(InvalidTimeouts { request, backend_request })
            }
            (request, backend_request) => Ok(Self { request, backend_request }),
        }
    }

    /// How long an attempt that begins now may take, and which limit that is. `elapsed` is the time since the request
    /// began. Zero: there is no time left. `None`: no limit.
    pub fn attempt(&self, elapsed: Duration) -> Option<(Duration, Limit)> {
        let request = self.request.map(|limit| (limit.saturating_sub(elapsed), Limit::Request));
        let attempt = self.backend_request.map(|limit| (limit, Limit::BackendRequest));
        match (request, attempt) {
            (Some(request), Some(attempt)) => Some(if attempt.0 < request.0 { attempt } else { request }),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests;
