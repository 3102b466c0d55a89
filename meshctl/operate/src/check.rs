//! `meshctl check`: what may be wrong with a mesh in a cluster, as pure functions over what was collected ([`State`]). Each
//! check has an id that never changes its meaning, a sentence that says what is well if it passes, and an explanation that
//! needs no network. It must not know how anything is collected.

use std::fmt;

mod certificate;
mod control_plane;
mod definitions;
mod facts;
mod identity;
mod injection;
mod members;
mod plugin;
mod report;
mod state;

pub use report::{Line, Report};
pub use state::{Access, DryRun, Plugin, Proxies, Proxy, State};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, and may not for long, or not as one thinks.
    Warning,
    /// Something does not work.
    Error,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Passed,
    /// It cannot be said, and why.
    Skipped(String),
    /// What is wrong, each with the object.
    Found(Severity, Vec<String>),
}

impl Verdict {
    /// Passed, if nothing was found.
    fn of(severity: Severity, found: Vec<String>) -> Self {
        if found.is_empty() { Self::Passed } else { Self::Found(severity, found) }
    }

    fn errors(found: Vec<String>) -> Self {
        Self::of(Severity::Error, found)
    }

    fn warnings(found: Vec<String>) -> Self {
        Self::of(Severity::Warning, found)
    }

    fn skipped(why: &str) -> Self {
        Self::Skipped(why.to_owned())
    }
}

/// When a check is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before an installation, and after it.
    Before,
    /// Once something is installed.
    Installed,
    /// Of members, one by one.
    Members,
}

/// One check.
pub struct Check {
    /// `AMC001`.
    pub id: &'static str,
    /// Of which group: the heading under which it is shown.
    pub group: &'static str,
    /// When it is made.
    pub stage: Stage,
    /// What is well if it passes.
    pub title: &'static str,
    /// What it means if it does not.
    pub meaning: &'static str,
    /// What to do then.
    pub remedy: &'static str,
    judge: fn(&State) -> Verdict,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("id", &self.id).field("title", &self.title).finish_non_exhaustive()
    }
}

/// Which checks to make.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Before an installation only.
    pub before: bool,
    /// Those of members too.
    pub members: bool,
    /// Only these ids, if any are named.
    pub only: Vec<String>,
    /// Not these.
    pub skip: Vec<String>,
}

impl Selection {
    fn takes(&self, check: &Check) -> bool {
        let named = |ids: &[String]| ids.iter().any(|id| id.eq_ignore_ascii_case(check.id));
        if !self.only.is_empty() {
            return named(&self.only);
        }
        let stage = match check.stage {
            Stage::Before => true,
            Stage::Installed => !self.before,
            Stage::Members => !self.before && self.members,
        };
        stage && !named(&self.skip)
    }
}

/// Every check, in the order in which they are shown.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [definitions::CHECKS, control_plane::CHECKS, identity::CHECKS, injection::CHECKS, members::CHECKS]
        .into_iter()
        .flatten()
}

/// The check of that id.
pub fn find(id: &str) -> Option<&'static Check> {
    all().find(|check| check.id.eq_ignore_ascii_case(id))
}

/// Makes the selected checks.
pub fn run(state: &State, selection: &Selection) -> Report {
    let lines = all().filter(|check| selection.takes(check));
    Report { lines: lines.map(|check| Line { check, verdict: (check.judge)(state) }).collect() }
}

/// Text that Kubernetes keeps in base64, such as a certificate of a Secret.
pub fn decoded(text: &str) -> Option<String> {
    String::from_utf8(crate::base64::decode(text)?).ok()
}

#[cfg(test)]
mod tests;
