//! `CustomResourceDefinition`s: the controller knows its objects and writes them itself.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::exec::Program;

/// Lets `mesh-controller` write its definitions into `out`.
pub(super) fn generate(controller: &Path, out: &Path) -> Result<()> {
    Program::new(controller, Duration::from_mins(1))
        .args(["crds", "--out"])
        .arg(out)
        .output()
        .context("let mesh-controller write the CRDs")?;
    Ok(())
}
