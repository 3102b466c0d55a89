//! What this program prints, and nothing else prints: one place, so that every line comes out whole and in order.

use std::io::Write as _;

/// What happens at the moment, to standard error: what a command answers stays alone on standard output.
pub(crate) fn step(text: &str) {
    let mut err = std::io::stderr().lock();
    if writeln!(err, "   {text}").is_err() {
        // Nobody reads; the exit code still tells.
    }
}
