//! Gateway API's conformance suite, and our own cases for what its mesh tests leave unchecked.

mod case;
mod cases;
mod own;
mod reply;
mod suite;
mod verdict;

use anyhow::{Result, ensure};

use crate::cli::{ConformanceArgs, Profile};
use crate::report::Report;
use crate::{scenarios, screen};

/// Installs the mesh and runs what is asked for; false when something failed or was left out.
pub(crate) fn run(args: &ConformanceArgs) -> Result<bool> {
    let is_known = |name: &&String| suite::TESTS.contains(&name.as_str()) || own::is_case(name);
    if let Some(unknown) = args.user.only.iter().find(|name| !is_known(name)) {
        anyhow::bail!("there is no test or case `{unknown}`");
    }
    if !args.installed {
        screen::line("installs the mesh");
        scenarios::install(&args.user)?;
    }
    let mut report = Report::default();
    if args.profile != Profile::Own {
        suite::run(args, &mut report)?;
    }
    if args.profile != Profile::Mesh {
        own::run(args, &mut report)?;
    }
    ensure!(report.is_begun(), "nothing of that is in this profile");
    report.end(args.user.output)
}

/// Names the cases of our own.
pub(crate) fn list() {
    for case in cases::all() {
        screen::line(&format!("{:28} {}", case.name, case.about));
    }
}
