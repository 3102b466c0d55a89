//! The developer entry: `cargo xtask <command>`.

use anyhow::{Context, Result, bail};

mod generate;

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("gen") => generate::run(),
        other => bail!("unknown command {other:?}"),
    }
    .context("xtask failed")
}
