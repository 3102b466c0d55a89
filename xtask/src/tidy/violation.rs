//! One thing that is not as it should be: where, which rule, why the rule is, what to do.

use std::fmt;
use std::path::PathBuf;

/// Whether it stops a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Warning,
    Error,
}

/// A rule that is broken at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) level: Level,
    pub(super) path: PathBuf,
    pub(super) line: usize,
    pub(super) rule: &'static str,
    pub(super) what: String,
    pub(super) why: String,
    pub(super) remedy: String,
}

impl Violation {
    /// An error; `why` and `remedy` follow with [`Self::because`] and [`Self::instead`].
    pub(super) fn error(
        path: impl Into<PathBuf>,
        line: usize,
        rule: &'static str,
        what: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Error,
            path: path.into(),
            line,
            rule,
            what: what.into(),
            why: String::new(),
            remedy: String::new(),
        }
    }

    pub(super) fn because(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    pub(super) fn instead(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    pub(super) fn only_warning(mut self) -> Self {
        self.level = Level::Warning;
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Warning => "warning: ",
            Level::Error => "",
        };
        writeln!(f, "{}:{}: {level}[{}] {}", self.path.display(), self.line, self.rule, self.what)?;
        writeln!(f, "  why: {}", self.why)?;
        write!(f, "  do:  {}", self.remedy)
    }
}
