//! `cargo xtask gen`: everything in the repository that a program writes, written by that program (INV-12).
//!
//! Each part fills a folder of its own; what is compared and what is written is the same tree. Knows nothing of what
//! the parts mean.

mod annotations;
mod crds;
mod errors;
mod help;
mod protobuf;
mod tree;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::config::{Workspace, cargo};
use crate::exec::Program;
use crate::screen;

/// Whether files are written or compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// Something that is generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Rust code of the protobuf contracts.
    Protobuf,
    /// `CustomResourceDefinition`s of our objects.
    Crds,
    /// The reference page of the command line.
    Cli,
    /// The reference page of failure codes.
    Errors,
    /// The reference page of a pod's annotations.
    Annotations,
}

/// What to generate, how, and with whose programs.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) mode: Mode,
    /// Empty: all parts.
    pub(crate) parts: Vec<Part>,
    /// A folder that holds `mesh-controller` and `meshctl`; without it they are built.
    pub(crate) bin_dir: Option<PathBuf>,
}

/// Writes or compares; false when something is stale.
pub(crate) fn run(workspace: &Workspace, request: &Request) -> Result<bool> {
    let parts = if request.parts.is_empty() { Part::value_variants() } else { &request.parts };
    let mut fine = true;
    for part in parts {
        let scratch = tempfile::tempdir().context("make a folder for generated files")?;
        let place = part.generate(workspace, request, scratch.path())?;
        let home = workspace.root.join(place);
        match request.mode {
            Mode::Write => tree::write(scratch.path(), &home, part.owns())?,
            Mode::Check => {
                for difference in tree::compare(scratch.path(), &home, part.owns())? {
                    fine = false;
                    screen::line(&format!("{place}/{difference}"));
                }
            }
        }
    }
    if !fine {
        screen::line("  why: what is committed must be what the programs write (INV-12)");
        screen::line("  do:  cargo xtask gen, look at the difference, commit it");
    }
    Ok(fine)
}

impl Part {
    /// Fills `out`; returns the folder of the repository that `out` stands for.
    fn generate(self, workspace: &Workspace, request: &Request, out: &Path) -> Result<&'static str> {
        let program = |package: &str| program(workspace, request.bin_dir.as_deref(), package);
        match self {
            Self::Protobuf => {
                protobuf::generate(&workspace.root.join("mesh-proto/proto"), out)?;
                Ok("mesh-proto/src/generated")
            }
            Self::Crds => {
                crds::generate(&program("mesh-controller")?, out)?;
                Ok("deploy/crds")
            }
            Self::Cli => {
                help::generate(&program("meshctl")?, out)?;
                Ok("docs/reference")
            }
            Self::Errors => {
                errors::generate(&program("meshctl")?, out)?;
                Ok("docs/reference")
            }
            Self::Annotations => {
                annotations::generate(&program("mesh-controller")?, out)?;
                Ok("docs/reference")
            }
        }
    }

    /// Whether every file of the folder is generated, or only the files that we write.
    fn owns(self) -> tree::Owns {
        match self {
            Self::Protobuf | Self::Crds => tree::Owns::Folder,
            Self::Cli | Self::Errors | Self::Annotations => tree::Owns::Files,
        }
    }
}

fn program(workspace: &Workspace, bin_dir: Option<&Path>, package: &str) -> Result<PathBuf> {
    if let Some(folder) = bin_dir {
        return Ok(folder.join(package));
    }
    Program::new(cargo(), Duration::from_mins(30))
        .args(["build", "--quiet", "--locked", "--package", package])
        .dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .run()
        .with_context(|| format!("build {package}, which writes what is generated"))?;
    Ok(workspace.target.join("debug").join(package))
}
