//! `cargo xtask mutants`: changes the code that decides what is safe, one expression at a time, and asks whether a test notices. It
//! must not know what the code does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::config::{Workspace, cargo};
use crate::exec::Program;
use crate::screen;

const VERSION: &str = "27.1.0";

/// Package, files, and what names of the tests hold that have to notice: where a mistake would let somebody through.
const GUARDED: &[Guarded] = &[
    Guarded {
        package: "mesh-http1",
        files: &["proxy/codec/src/canonical/*.rs"],
        tests: &["tests::paths", "tests::hosts"],
    },
    Guarded {
        package: "mesh-model",
        files: &["mesh-proto/model/src/policy.rs", "mesh-proto/model/src/policy/**/*.rs"],
        tests: &["policy::"],
    },
];

/// What no test can notice: `NoRequest` has no values, so its functions are never called.
const UNREACHABLE: &str = "impl HeadView for NoRequest";

struct Guarded {
    package: &'static str,
    files: &'static [&'static str],
    tests: &'static [&'static str],
}

/// Which of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this package; all without it.
    #[arg(long, value_name = "PACKAGE")]
    package: Option<String>,
}

/// Of a hundred mutants, how many must be caught.
const WANTED: usize = 90;

/// What `cargo mutants` says of a run.
#[derive(Debug, Deserialize)]
struct Outcomes {
    caught: usize,
    missed: usize,
    timeout: usize,
    unviable: usize,
}

impl Outcomes {
    /// In percent; one that never ends is noticed as well.
    fn rate(&self) -> usize {
        let noticed = self.caught + self.timeout;
        (noticed * 100).checked_div(noticed + self.missed).unwrap_or(0)
    }
}

/// False when too few are caught.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let wanted = |guarded: &&Guarded| args.package.as_deref().is_none_or(|name| name == guarded.package);
    let chosen: Vec<_> = GUARDED.iter().filter(wanted).collect();
    if chosen.is_empty() {
        let names: Vec<_> = GUARDED.iter().map(|guarded| guarded.package).collect();
        bail!("--package names nothing that is guarded; there are {}", names.join(", "));
    }
    let program = install(workspace)?;
    let mut fine = true;
    for guarded in chosen {
        fine &= tried(workspace, &program, guarded)?;
    }
    Ok(fine)
}

fn tried(workspace: &Workspace, program: &Path, guarded: &Guarded) -> Result<bool> {
    let Guarded { package, files, tests } = guarded;
    let files = files.iter().copied();
    let output = workspace.target.join("mutants").join(package);
    fs::create_dir_all(&output).with_context(|| format!("make {}", output.display()))?;
    screen::line(&format!("   {package}: {}", files.clone().collect::<Vec<_>>().join(", ")));
    let code = Program::new(program, Duration::from_mins(50))
        .args(["mutants", "--no-shuffle", "--colors", "never", "--package", package])
        .args(files.flat_map(|file| ["--file", file]))
        .args(["--exclude-re", UNREACHABLE, "--minimum-test-timeout", "30", "--output"])
        .arg(&output)
        .args(["--", "--lib", "--"])
        .args(*tests)
        .dir(&workspace.root)
        .env("CARGO", cargo())
        .code()
        .context("run cargo mutants")?;
    // 0: all caught; 2: some missed; 3: some took too long. Anything else is no run at all.
    ensure!(matches!(code, 0 | 2 | 3), "cargo mutants ended with {code}; see what it says above");
    let folder = output.join("mutants.out");
    let file = folder.join("outcomes.json");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let outcomes: Outcomes = serde_json::from_str(&text).context("read what cargo mutants found")?;
    for missed in fs::read_to_string(folder.join("missed.txt")).unwrap_or_default().lines() {
        screen::line(&format!("   missed   {missed}"));
    }
    let Outcomes { caught, missed, timeout, unviable } = outcomes;
    let rate = outcomes.rate();
    screen::line(&format!(
        "   {package}: {caught} caught, {timeout} never ended, {missed} missed, {unviable} do not compile: {rate} % (at least {WANTED} %)"
    ));
    ensure!(caught > 0, "no mutant was made of {package}; do the files exist?");
    Ok(rate >= WANTED)
}

fn install(workspace: &Workspace) -> Result<std::path::PathBuf> {
    let tools = workspace.tools();
    let program = tools.join("bin/cargo-mutants");
    let there = Program::new(&program, Duration::from_mins(1)).args(["mutants", "--version"]).capture();
    if there.is_ok_and(|there| there.stdout.trim().ends_with(VERSION)) {
        return Ok(program);
    }
    screen::line(&format!("   installing cargo-mutants {VERSION}; this once takes minutes"));
    Program::new(cargo(), Duration::from_mins(20))
        .args(["install", "--quiet", "--locked", "--root"])
        .arg(&tools)
        .arg(format!("cargo-mutants@{VERSION}"))
        .env("CARGO_TARGET_DIR", workspace.target.join("tools"))
        .run()
        .context("install cargo-mutants")?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_that_never_ends_is_noticed_and_one_that_does_not_compile_counts_for_nothing() {
        let of = |caught, missed, timeout, unviable| Outcomes { caught, missed, timeout, unviable }.rate();
        assert_eq!(of(89, 10, 1, 50), 90);
        assert_eq!(of(88, 11, 1, 0), 89);
        assert_eq!(of(0, 0, 0, 7), 0);
    }
}
