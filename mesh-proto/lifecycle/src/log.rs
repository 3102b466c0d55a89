//! Logging of a daemon: to stderr, filtered by `MESH_LOG`. It must not know what is logged.

use std::io::IsTerminal;

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
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // The first subscriber stays: a library user may have set its own.
    let _ = match format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Some(error) = complaint {
        tracing::warn!(%error, "MESH_LOG is not a filter, using {default_filter}");
    }
}
