//! What people and scripts read: tables, JSON, colours, and the one place that writes to standard output and standard
//! error. It must not know what the tables are about.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod units;

/// In which form a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document, stable for scripts.
    Json,
}

/// Whether colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// ANSI colours.
    Colour,
    /// Plain text: not a terminal, or the user set `NO_COLOR`.
    Plain,
}

impl Paint {
    /// Colours when standard output is a terminal and nobody asked for none (<https://no-color.org>).
    pub(crate) fn stdout() -> Self {
        Self::of(io::stdout().is_terminal())
    }

    fn of(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if terminal && !refused { Self::Colour } else { Self::Plain }
    }

    /// The text in that tone.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        match (self, tone.code()) {
            (Self::Colour, Some(code)) => format!("\x1b[{code}m{text}\x1b[0m"),
            (Self::Colour | Self::Plain, _) => text.to_owned(),
        }
    }
}

/// What a text means; the colour follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Strong,
    Faint,
    Good,
    Warning,
    Bad,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Faint => Some("2"),
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// Writes to standard output. A reader that went away (`| head`) is no error of ours: the text is dropped.
pub(crate) fn print(text: &str) {
    write_to(io::stdout().lock(), text);
}

/// Writes a line to standard output.
pub(crate) fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// Writes a line to standard error: progress, advice and what went wrong.
pub(crate) fn note(text: &str) {
    write_to(io::stderr().lock(), &format!("{text}\n"));
}

/// Writes one JSON document, indented.
pub(crate) fn json(value: &impl Serialize) -> Result<(), serde_json::Error> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?));
    Ok(())
}

/// Writes one JSON document on one line, for streams and for a last line that a script reads.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), serde_json::Error> {
    print(&format!("{}\n", serde_json::to_string(value)?));
    Ok(())
}

fn write_to(mut out: impl Write, text: &str) {
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        tracing::debug!("the reader of our output went away");
    }
}
