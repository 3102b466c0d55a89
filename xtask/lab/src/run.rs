//! Chooses the tests, gives each a lab of its own, and says what came of them.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use mesh_lab::{Limits, enter, folder};

use crate::cases::{CASES, Case};
use crate::cli::{Cli, Command};
use crate::screen;
use crate::tools::Tools;

pub(crate) fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        Command::List => {
            for case in CASES {
                screen::line(&format!("{:22} {}", case.name, case.about));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { only, tools } => all(&chosen(only)?, tools),
        Command::Case { name, tools } => one(name, tools),
    }
}

/// Refuses a name that begins no test's: a typo must not pass as success.
fn chosen(only: &[String]) -> Result<Vec<&'static Case>> {
    for name in only {
        ensure!(
            CASES.iter().any(|case| case.name.starts_with(name)),
            "no test's name begins with `{name}`; `cargo xtask lab-test --list` names them"
        );
    }
    let wanted = |case: &&Case| match case.when_named {
        _ if only.is_empty() => !case.when_named,
        true => only.iter().any(|name| name == case.name),
        false => only.iter().any(|name| case.name.starts_with(name)),
    };
    Ok(CASES.iter().filter(wanted).collect())
}

/// Labs know nothing of each other, and most of a test is waiting: so many run at once.
const TOGETHER: usize = 2;

fn all(cases: &[&Case], tools: &Tools) -> Result<ExitCode> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut came = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            came.push((case.name, tried(case, tools)?));
        }
        Ok::<_, anyhow::Error>(came)
    };
    let mut came = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..TOGETHER).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            came.extend(worker.join().map_err(|_| anyhow!("a worker has panicked"))??);
        }
        Ok::<_, anyhow::Error>(())
    })?;
    for (name, _) in came.iter().filter(|(_, came)| *came == Came::Failed) {
        screen::line(&format!("failed: {name}"));
    }
    let count = |wanted| came.iter().filter(|(_, came)| *came == wanted).count();
    let (passed, failed) = (count(Came::Passed), count(Came::Failed));
    screen::line(&format!("{passed} passed, {failed} failed"));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Runs one test in a lab of its own and tells what came of it, in one piece.
fn tried(case: &Case, tools: &Tools) -> Result<Came> {
    let start = Instant::now();
    let args = ["case".into(), case.name.into()].into_iter().chain(tools.arguments());
    let outcome = enter(args, Limits { time: case.limit })?;
    let took = start.elapsed().as_secs_f32();
    let passed = outcome.status.is_some_and(|status| status.success());
    let word = if passed { "passed" } else { "FAILED" };
    let mut text = format!("{word} {took:6.1} s  {:22} {}", case.name, case.about);
    if outcome.status.is_none() {
        text = format!("{text}\n        ended after {} s", case.limit.as_secs());
    }
    for line in outcome.printed.lines() {
        match line.strip_prefix(NOTE) {
            Some(note) => text = format!("{text}\n                 {note}"),
            None if passed => {}
            None => text = format!("{text}\n        {line}"),
        }
    }
    screen::line(&text);
    Ok(if passed { Came::Passed } else { Came::Failed })
}

/// What came of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Passed,
    Failed,
}

/// Before a line that is worth showing when the test passed.
const NOTE: &str = "note: ";

/// A figure or a fact that a reader of the run wants to see.
pub(crate) fn note(text: &str) {
    screen::line(&format!("{NOTE}{text}"));
}

fn one(name: &str, tools: &Tools) -> Result<ExitCode> {
    let here = folder().with_context(|| format!("`case` runs inside a lab; use `run --only {name}`"))?;
    let case = CASES.iter().find(|case| case.name == name);
    let Some(case) = case else { anyhow::bail!("there is no test `{name}`") };
    match (case.run)(tools) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            screen::line(&format!("error: {error:#}"));
            show_parts(&here)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The ends of what the parts of the mesh have said.
fn show_parts(folder: &Path) -> Result<()> {
    let mut files: Vec<_> = fs::read_dir(folder.join("logs"))?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        if !PARTS.iter().any(|part| name.ends_with(part)) || text.is_empty() {
            continue;
        }
        screen::line(&format!("{name}:"));
        let lines: Vec<&str> = text.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(SHOWN)) {
            screen::line(&format!("    {line}"));
        }
    }
    Ok(())
}

/// Programs whose output is shown when a test fails. A sidecar with bounds is started by `prlimit`.
const PARTS: [&str; 2] = ["meshctl.err", "prlimit.err"];
const SHOWN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_a_typo_is_refused() {
        let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
        let usual = CASES.iter().filter(|case| !case.when_named).count();
        assert_eq!(chosen(&[]).unwrap().len(), usual);
        assert!(chosen(&["no such test".to_owned()]).is_err());
        assert!(!chosen(&["curl".to_owned()]).unwrap().is_empty());
    }
}
