//! Runs every command of the getting-started page, in its order, as somebody who follows it literally: in the checkout,
//! with an empty home. The page is the test; what is to be seen stands beside each command. CI has built `meshctl` already, and puts that where
//! the reader's own build would.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::config::{Workspace, path_with, toolchain_homes};
use crate::exec::{Background, Program, tail, wait_until};
use crate::screen;

use super::Binaries;
use super::script::{self, Action, Way};

const PAGE: &str = "docs/getting-started.md";
/// The command that builds.
const INSTALL: &str = "cargo install --locked --path meshctl";
/// One command. What takes long to build is built before.
const LIMIT: Duration = Duration::from_mins(20);
/// Until something that was asked for is seen.
const PATIENCE: Duration = Duration::from_mins(1);

/// Follows the page; an error names the line that did not do what the page says. With `built` nothing is built.
pub(crate) fn book_test(workspace: &Workspace, built: Option<&Binaries>) -> Result<bool> {
    let text = std::fs::read_to_string(workspace.root.join(PAGE)).with_context(|| format!("read {PAGE}"))?;
    let actions = script::actions(&text).with_context(|| PAGE.to_owned())?;
    ensure!(!actions.is_empty(), "{PAGE} has no command");
    let installs = |action: &Action| matches!(action, Action::Run { script, .. } if script == INSTALL);
    ensure!(actions.iter().any(installs), "{PAGE} does not build by `{INSTALL}`");
    let mut reader = Reader::new(workspace)?;
    for action in &actions {
        match built.filter(|_| installs(action)) {
            Some(built) => reader.install(built)?,
            None => reader.follow(action)?,
        }
    }
    if let Some((line, _)) = reader.running.last() {
        bail!("{PAGE}:{line}: the page starts this and never says how to stop it");
    }
    screen::line(&format!("book: {} commands of {PAGE} did what the page says", actions.len()));
    Ok(true)
}

struct Reader<'a> {
    workspace: &'a Workspace,
    home: tempfile::TempDir,
    running: Vec<(usize, Background)>,
}

impl<'a> Reader<'a> {
    fn new(workspace: &'a Workspace) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("book").tempdir().context("make a home for the reader")?;
        Ok(Self { workspace, home, running: Vec::new() })
    }

    /// What [`INSTALL`] does, with a program that is built.
    fn install(&self, built: &Binaries) -> Result<()> {
        let folder = self.installed();
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let from = &built.meshctl;
        std::fs::copy(from, folder.join("meshctl")).with_context(|| format!("copy {}", from.display()))?;
        Ok(())
    }

    fn installed(&self) -> PathBuf {
        self.home.path().join(".cargo/bin")
    }

    fn follow(&mut self, action: &Action) -> Result<()> {
        match action {
            Action::Interrupt { line } => {
                screen::line(&format!("   {PAGE}:{line}: Ctrl-C"));
                let (_, program) =
                    self.running.pop().with_context(|| format!("{PAGE}:{line}: nothing runs"))?;
                program.interrupt().with_context(|| format!("{PAGE}:{line}"))?;
                Ok(())
            }
            Action::Run { line, script, way, until, expect } => {
                screen::line(&format!("   {PAGE}:{line}: {}", script.lines().collect::<Vec<_>>().join("; ")));
                let printed = self
                    .run(*line, script, *way, until.as_deref())
                    .with_context(|| format!("{PAGE}:{line}"))?;
                for wanted in expect {
                    ensure!(
                        printed.contains(wanted),
                        "{PAGE}:{line}: `{wanted}` is not in:\n{}",
                        tail(&printed)
                    );
                }
                Ok(())
            }
        }
    }

    fn run(&mut self, line: usize, script: &str, way: Way, until: Option<&str>) -> Result<String> {
        match (way, until) {
            (Way::Plain, None) => self.shell(script, LIMIT)?.output(),
            (Way::Plain, Some(wanted)) => {
                let mut printed = String::new();
                let waited = wait_until(&format!("it prints `{wanted}`"), PATIENCE, || {
                    printed = self.shell(script, LIMIT)?.output()?;
                    Ok(printed.contains(wanted))
                });
                waited.with_context(|| format!("it printed last:\n{}", tail(&printed)))?;
                Ok(printed)
            }
            (Way::Background | Way::Watch, until) => {
                let log = self.home.path().join(format!("line-{line}.log"));
                let mut program = self.shell(script, LIMIT)?.background(&log)?;
                if let Some(wanted) = until {
                    program.wait_for(wanted)?;
                }
                let printed = program.printed();
                if way == Way::Watch {
                    program.interrupt()?;
                } else {
                    self.running.push((line, program));
                }
                Ok(printed)
            }
        }
    }

    /// A shell in the checkout with an empty home; only the toolchain and what is built already are the machine's.
    fn shell(&self, script: &str, limit: Duration) -> Result<Program> {
        let home = self.home.path();
        let program = Program::new("bash", limit)
            .args(["-euo", "pipefail", "-c", script])
            .dir(&self.workspace.root)
            .env("HOME", home)
            .env("PATH", path_with(&[self.installed()])?)
            .env("CARGO_INSTALL_ROOT", home.join(".cargo"))
            .env("CARGO_TARGET_DIR", &self.workspace.target)
            .env("NO_COLOR", "1")
            .without_env("MESH_HOME")
            .without_env("XDG_STATE_HOME")
            .without_env("MESH_LOG");
        Ok(toolchain_homes().into_iter().fold(program, |program, (name, folder)| program.env(name, folder)))
    }
}
