//! What the tests print, and nothing else prints: one place, so that every line comes out whole and in order.

use std::io::Write as _;

/// One line to standard output. A reader that went away is not our failure.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        // Nobody reads; the exit code still tells.
    }
}
