//! The reference page of annotations: injection knows them and writes the page itself.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::exec::Program;

/// Lets `mesh-controller` write its page into `out`.
pub(super) fn generate(controller: &Path, out: &Path) -> Result<()> {
    Program::new(controller, Duration::from_mins(1))
        .args(["annotations", "--out"])
        .arg(out)
        .output()
        .context("let mesh-controller write the page of annotations")?;
    Ok(())
}
