//! Waiting for a state, with a deadline and a name for what was waited for.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const LOOK: Duration = Duration::from_millis(20);

/// Looks until `reached` says yes; an error when it does not within `limit`. `what` completes "waited in vain until …".
pub fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !reached()? {
        if start.elapsed() > limit {
            bail!("waited {} s in vain until {what}", limit.as_secs());
        }
        pause();
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "polls the state of another process, which cannot be awaited")]
fn pause() {
    std::thread::sleep(LOOK);
}
