//! Logging of a daemon: to stderr, filtered by `MESH_LOG`, and by [`set_filter`] while it runs. It must not know what is
//! logged.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::SubscriberBuilder;
use tracing_subscriber::fmt::format::{self, DefaultFields, JsonFields};

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
            let builder = text(std::io::stderr, std::io::stderr().is_terminal());
            let builder = builder.with_env_filter(filter).with_filter_reloading();
            let handle = builder.reload_handle();
            if builder.try_init().is_ok() {
                remember(move |filter| handle.reload(filter).is_ok());
            }
        }
        Format::Json => {
            let builder = json(std::io::stderr).with_env_filter(filter).with_filter_reloading();
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
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt().with_writer(writer).with_ansi(ansi)
}

fn json<W>(writer: W) -> SubscriberBuilder<JsonFields, format::Format<format::Json>, LevelFilter, W>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + 'static,
{
    tracing_subscriber::fmt().with_writer(writer).json().flatten_event(true)
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
