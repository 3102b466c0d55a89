//! Logging of a daemon: to stderr, filtered by `MESH_LOG`, and by [`set_filter`] while it runs. It must not know what is
//! logged.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

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
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr);
    // The first subscriber stays: a library user may have set its own.
    match format {
        Format::Text => {
            let builder = builder.with_ansi(std::io::stderr().is_terminal());
            let builder = builder.with_env_filter(filter).with_filter_reloading();
            let handle = builder.reload_handle();
            if builder.try_init().is_ok() {
                remember(move |filter| handle.reload(filter).is_ok());
            }
        }
        Format::Json => {
            let builder = builder.json().flatten_event(true).with_env_filter(filter).with_filter_reloading();
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
