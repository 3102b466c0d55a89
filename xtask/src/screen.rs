//! What xtask prints, and nothing else prints: one place, so that every line comes out whole and in order.

use std::io::Write as _;
use std::time::Duration;

/// One line to standard output. A reader that went away is not our failure.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        // Nobody reads; the exit code still tells.
    }
}

/// `42.1 s` below two minutes, `3 min 07 s` above.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 120 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_said_in_minutes() {
        assert_eq!(elapsed(Duration::from_millis(42_140)), "42.1 s");
        assert_eq!(elapsed(Duration::from_secs(187)), "3 min 07 s");
    }
}
