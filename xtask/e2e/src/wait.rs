//! Waiting for a state, with an end.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);

/// Until `look` gives something; after `limit`, what it said last.
pub(crate) fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(error) if began.elapsed() > limit => {
                return Err(error).with_context(|| format!("{what} within {} s", limit.as_secs()));
            }
            Err(_) => thread::park_timeout(LOOK),
        }
    }
}

/// As long as it takes for load to be load: nothing is waited for but that time goes by under it.
pub(crate) fn under_load(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}
