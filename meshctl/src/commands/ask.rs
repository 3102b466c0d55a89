//! Questions to the person at the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::bail;

/// Asks; only `y` and `yes` are yes. Without a terminal nobody answers, which is an error that says what to do.
pub(crate) fn yes(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("nobody is there to ask: say --yes to go on without asking");
    }
    let mut screen = io::stderr().lock();
    write!(screen, "{question} (y/N) ")?;
    screen.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
