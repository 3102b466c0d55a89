//! What a version of the application does wrong: the same for the same number of the request, so that a share is a share. It must not know HTTP
//! beyond a status.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;

use crate::cli::{ServeArgs, Slow};

/// Of one server.
#[derive(Debug)]
pub(crate) struct Faults {
    fail: u32,
    slow: Option<Slow>,
    crash_at: Option<u64>,
    seen: AtomicU64,
}

impl Faults {
    pub(crate) fn new(args: &ServeArgs) -> Self {
        Self { fail: args.fail, slow: args.slow, crash_at: args.crash_at, seen: AtomicU64::new(0) }
    }

    /// What becomes of the next request.
    pub(crate) async fn next(&self) -> StatusCode {
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if self.crash_at.is_some_and(|at| number >= at) {
            std::process::abort();
        }
        if let Some(slow) = self.slow.filter(|slow| is_one_of(number, slow.percent)) {
            sleep(Duration::from_millis(slow.millis)).await;
        }
        if is_one_of(number, self.fail) { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
    }
}

/// Whether the request with this number, from 1, is one of so many per cent.
fn is_one_of(number: u64, percent: u32) -> bool {
    let until = |number: u64| number * u64::from(percent) / 100;
    until(number) > until(number - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_spread_evenly_and_is_a_share() {
        for percent in [0, 1, 2, 50, 99, 100] {
            let hit: Vec<u64> = (1..=1000).filter(|number| is_one_of(*number, percent)).collect();
            assert_eq!(hit.len(), percent as usize * 10);
            let within_hundred = hit.iter().filter(|number| **number <= 100).count();
            assert_eq!(within_hundred, percent as usize);
        }
    }
}
