//! Logging of a daemon: to stderr, filtered by `MESH_LOG`, and by [`set_filter`] while it runs. It must not know what is
//! logged.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::SubscriberBuilder;
use tracing_subscriber::fmt::format::{self, DefaultFields, JsonFields};

use crate::lines::{Counts, Lines};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends the log of this process to stderr. `MESH_LOG` (as `info` or `mesh_ca=debug,warn`) overrides
/// `default_filter`; one that cannot be read is reported and ignored. A second call changes nothing.
pub fn init(default_filter: &str, format: Format) {
    #[allow(clippy::disallowed_methods, reason = "the log must work before any configuration is read")]
    let wanted = std::env::var("MESH_LOG").ok().filter(|text| !text.is_empty());
    let (filter, complaint) = match wanted.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(default_filter), Some(error.to_string())),
        None => (EnvFilter::new(default_filter), None),
    };
    // The first subscriber stays: a library user may have set its own.
    match format {
        Format::Text => {
            let builder = text(ToStderr, io::stderr().is_terminal());
            let builder = builder.with_env_filter(filter).with_filter_reloading();
            let handle = builder.reload_handle();
            if builder.try_init().is_ok() {
                remember(move |filter| handle.reload(filter).is_ok());
            }
        }
        Format::Json => {
            let builder = json(ToStderr).with_env_filter(filter).with_filter_reloading();
            let handle = builder.reload_handle();
            if builder.try_init().is_ok() {
                remember(move |filter| handle.reload(filter).is_ok());
            }
        }
    }
    if let Some(error) = complaint {
        tracing::warn!(%error, "MESH_LOG is not a filter, using {default_filter}");
    }
}

fn text<W>(writer: W, ansi: bool) -> SubscriberBuilder<DefaultFields, format::Format, LevelFilter, W>
where
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt().with_writer(writer).with_ansi(ansi)
}

fn json<W>(writer: W) -> SubscriberBuilder<JsonFields, format::Format<format::Json>, LevelFilter, W>
where
    W: for<'a> MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt().with_writer(writer).json().flatten_event(true)
}

/// Bytes of lines that wait for stderr.
const MAX_WAITING: usize = 256 << 10;
/// What the end of a process gives its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

static DETACHED: OnceLock<Arc<Lines>> = OnceLock::new();

/// stderr, or the queue before it.
#[derive(Debug, Clone, Copy)]
struct ToStderr;

impl<'a> MakeWriter<'a> for ToStderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for ToStderr {
    /// A subscriber writes a whole line at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match DETACHED.get() {
            Some(lines) => lines.push(line),
            None => return io::stderr().write(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From now on nobody who logs waits for stderr: lines wait in a bounded queue, and a thread writes them. Those that find no room are counted
/// in [`counts`]. Keep the answer until the process ends.
pub fn detach() -> io::Result<Detached> {
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let lines = write_apart(stderr)?;
    // The first queue stays.
    let lines = Arc::clone(DETACHED.get_or_init(|| lines));
    Ok(Detached(lines))
}

/// What became of lines since [`detach`].
pub fn counts() -> Option<Arc<Counts>> {
    DETACHED.get().map(|lines| Arc::clone(&lines.counts))
}

/// Dropping it lets the last lines be written, if anybody takes them.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub struct Detached(Arc<Lines>);

impl Drop for Detached {
    fn drop(&mut self) {
        self.0.drained(LAST_LINES);
    }
}

/// A queue, and the thread that writes what is in it.
fn write_apart(mut to: File) -> io::Result<Arc<Lines>> {
    let lines = Arc::new(Lines::new(MAX_WAITING, Arc::default()));
    let queue = Arc::clone(&lines);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || {
        let mut chunk = Vec::new();
        while let Some(count) = queue.take(&mut chunk) {
            let outcome = match to.write_all(&chunk) {
                Ok(()) => &queue.counts.written,
                Err(_) => &queue.counts.failed,
            };
            outcome.fetch_add(count, Ordering::Relaxed);
        }
    })?;
    Ok(lines)
}

/// Puts another filter in force; says whether that went well.
type Reload = dyn Fn(EnvFilter) -> bool + Send + Sync;

static RELOAD: OnceLock<Box<Reload>> = OnceLock::new();

/// Keeps the way to the filter of the one subscriber.
fn remember(reload: impl Fn(EnvFilter) -> bool + Send + Sync + 'static) {
    // Only the first subscriber of the process gets here, so it is empty.
    let _ = RELOAD.set(Box::new(reload));
}

/// Why the log's filter was not changed.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// Not a filter as `MESH_LOG` takes it.
    #[error("`{filter}` is not a log filter; write for example `info` or `mesh_proxy=debug,warn`")]
    Invalid {
        /// As given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// [`init`] has not set this process's log up.
    #[error("the log of this process cannot be changed")]
    NotOurs,
}

/// Changes what is logged from now on; until the process ends or this is called again.
pub fn set_filter(filter: &str) -> Result<(), FilterError> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|source| FilterError::Invalid { filter: filter.chars().take(200).collect(), source })?;
    match RELOAD.get() {
        Some(reload) if reload(parsed) => Ok(()),
        _ => Err(FilterError::NotOurs),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    /// What clients wrote into the logs of others (CVE-2024-45808).
    const HOSTILE: &[&str] = &[
        "a\nforged=\"line\" status=200",
        "a\r\nb",
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "\u{9b}31m",
        "quote \" and \\ backslash",
        "\",\"status\":200,\"x\":\"",
        "nul\0",
        "\u{2028}separator\u{85}",
        "{\"a\":1}",
    ];

    // T57
    #[test]
    fn whoever_logs_does_not_wait_for_a_pipe_that_nobody_reads() {
        let (mut reader, writer) = io::pipe().unwrap();
        let lines = write_apart(File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
        let line = [b"a".repeat(1 << 10), b"\n".to_vec()].concat();
        // More than the pipe and the queue hold.
        (0..2_000).for_each(|_| lines.push(&line));
        let full = lines.counts.full.load(Ordering::Relaxed);
        assert!(full > 0 && !lines.drained(Duration::ZERO), "{full}");
        lines.close();
        let mut read = Vec::new();
        io::Read::read_to_end(&mut reader, &mut read).unwrap();
        let whole = u64::try_from(read.len() / line.len()).unwrap();
        assert_eq!((whole + full, read.len() % line.len()), (2_000, 0), "every line is whole or counted");
    }

    // T31
    #[test]
    fn a_value_is_one_field_of_one_line_whatever_is_in_it() {
        let page = Page::default();
        let writer = page.clone();
        let json = tracing::Dispatch::new(json(move || writer.clone()).finish());
        let writer = page.clone();
        let text = tracing::Dispatch::new(text(move || writer.clone(), false).finish());
        for value in HOSTILE {
            let say = || tracing::info!(target: "access", path = *value, sni = Some(*value), status = 403);
            tracing::dispatcher::with_default(&json, say);
            let line = page.take();
            assert_eq!((line.matches('\n').count(), line.ends_with('\n')), (1, true), "{line:?}");
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!((read["path"].as_str(), read["sni"].as_str()), (Some(*value), Some(*value)));
            assert_eq!(read["status"], 403, "nothing of the value is a field");
            assert!(!line.trim_end().chars().any(|c| c.is_ascii_control()), "{line:?}");
        }
        for value in HOSTILE {
            tracing::dispatcher::with_default(&text, || tracing::info!(path = *value, status = 403));
            let line = page.take();
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(!line.trim_end().chars().any(char::is_control), "{line:?}");
        }
    }
}
