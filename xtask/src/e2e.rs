//! The mesh as its users run it: the release build of `meshctl`, real programs, the commands of the book.

mod book;
mod demo;
mod real_software;
mod script;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::config::{Workspace, cargo};
use crate::exec::Program;

pub(crate) use self::book::book_test;
pub(crate) use self::demo::demo;
pub(crate) use self::real_software::real_software;

/// The built programs that the tests run.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    pub(crate) meshctl: PathBuf,
}

impl Binaries {
    /// Builds `meshctl` as README's first command does.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self> {
        Program::new(cargo(), Duration::from_mins(40))
            .args(["build", "--locked", "--release", "--package", "meshctl"])
            .dir(&workspace.root)
            .env("CARGO_TARGET_DIR", &workspace.target)
            .run()
            .context("build meshctl")?;
        Ok(Self { meshctl: workspace.target.join("release/meshctl") })
    }

    /// Those that the tests are built with.
    pub(crate) fn of_tests(workspace: &Workspace) -> Self {
        Self { meshctl: workspace.target.join("ci/meshctl") }
    }

    /// `meshctl` with its files in `home`, whatever the caller's environment says.
    fn meshctl(&self, home: &Path, limit: Duration) -> Program {
        Program::new(&self.meshctl, limit)
            .env("HOME", home)
            .env("MESH_HOME", home.join("mesh"))
            .env("NO_COLOR", "1")
            .without_env("XDG_STATE_HOME")
            .without_env("MESH_LOG")
    }
}

/// A port that nobody listens on at this moment.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(listener.local_addr()?.port())
}
