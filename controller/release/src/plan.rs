//! What a user wants of a release: steps, analysis, gates, windows. It must not know how a state came about.

use serde::{Deserialize, Serialize};

use crate::window::Window;

/// A share in parts per million.
pub type Ppm = u32;
/// All of it.
pub const ALL: Ppm = 1_000_000;

/// Most steps of a plan.
pub const MAX_STEPS: usize = 32;
/// Most thresholds and comparisons of a plan.
pub const MAX_RULES: usize = 16;

/// A release from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In order; at least one. After the last one the version is promoted.
    pub steps: Vec<Step>,
    /// How figures are judged.
    pub analysis: Analysis,
    /// The longest that it may take from the first step to the promotion, seconds. `None`: no end.
    pub max_duration: Option<u64>,
    /// When the exposure may grow. Empty: always. Taking back is always allowed.
    pub windows: Vec<Window>,
    /// Whose word is asked for, and who is told.
    pub hooks: Vec<Hook>,
    /// A mark of what the versions and the cohort are: with another one a step begins anew.
    pub who: u64,
}

/// Most hooks of a plan.
pub const MAX_HOOKS: usize = 16;

/// One step of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What the new version is exposed to.
    pub exposure: Exposure,
    /// How long at least, seconds.
    pub hold: u64,
    /// What comes after it.
    pub gate: Gate,
}

/// What a version is exposed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// This share of the requests.
    Weight(Ppm),
    /// Copies of this share of the requests; their answers reach nobody.
    Shadow(Ppm),
    /// The requests of the cohort that the plan's owner names by header or cookie, and nobody else's.
    Cohort,
}

/// What comes after a step that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The next step.
    Open,
    /// Somebody has to say that it goes on.
    Manual,
}

/// Somebody else who is asked, or told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Who.
    pub name: String,
    /// When.
    pub point: HookPoint,
}

/// A point at which somebody else is asked, or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HookPoint {
    /// Before the first step: as long as the answer is no yes, nothing begins.
    Start,
    /// With every check: no is a failed check, and no answer freezes.
    Check,
    /// Before every further step: as long as the answer is no yes, the step stays.
    Step,
    /// Before the promotion: as long as the answer is no yes, the last step stays.
    Promotion,
    /// After the promotion; the answer decides nothing.
    Promoted,
    /// After it was taken back; the answer decides nothing.
    RolledBack,
}

/// How figures are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// Seconds between checks.
    pub interval: u64,
    /// Requests that the new version must have answered in a step before it passes.
    pub min_requests: u64,
    /// Checks that may fail in a release; one more takes the version back.
    pub failed_checks: u32,
    /// The chance that a version is taken back by evidence although it is as good as it must be, over the whole release.
    pub false_alarm: Ppm,
    /// What must hold for the new version by itself.
    pub thresholds: Vec<Threshold>,
    /// What must hold beside the stable version.
    pub comparisons: Vec<Comparison>,
}

/// At most this share of the new version's requests is bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    /// What is bad.
    pub bad: Bad,
    /// At most so many.
    pub at_most: Ppm,
}

/// What makes a request bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bad {
    /// It failed.
    Failed,
    /// It took longer than so many microseconds.
    SlowerThan(u64),
    /// It failed with one of these codes of the mesh.
    Codes(Vec<String>),
}

/// The new version is not worse than the stable one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// In the share of failures. A difference of at most `margin` is none.
    Failures {
        /// By how much the share may be higher.
        margin: Ppm,
    },
    /// In a quantile of latency. A quantile that is longer by at most `margin` is not worse.
    Latency {
        /// Which quantile: 990,000 is p99.
        quantile: Ppm,
        /// By how much, relative to the stable version's, it may be longer.
        margin: Ppm,
    },
}

/// Why a plan cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// The field and what is wrong.
    #[error("{field}: {why}")]
    Field {
        /// As in the object.
        field: String,
        /// What is wrong and what to write.
        why: String,
    },
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            interval: 60,
            min_requests: 500,
            failed_checks: 3,
            false_alarm: 5_000,
            thresholds: vec![Threshold { bad: Bad::Failed, at_most: 10_000 }],
            comparisons: vec![
                Comparison::Failures { margin: 2_000 },
                Comparison::Latency { quantile: 990_000, margin: 250_000 },
            ],
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        let step =
            |percent: u32| Step { exposure: Exposure::Weight(percent * 10_000), hold: 60, gate: Gate::Open };
        Self {
            steps: [5, 10, 25, 50].map(step).to_vec(),
            analysis: Analysis::default(),
            max_duration: None,
            windows: Vec::new(),
            hooks: Vec::new(),
            who: 0,
        }
    }
}

impl Plan {
    /// Whether it can be followed; all that is wrong.
    pub fn check(&self) -> Result<(), Vec<InvalidPlan>> {
        let mut wrong = Vec::new();
        let mut refuse = |field: &str, why: &str| {
            wrong.push(InvalidPlan::Field { field: field.to_owned(), why: why.to_owned() });
        };
        if self.steps.is_empty() {
            refuse("steps", "there is none; a release has at least one");
        }
        if self.steps.len() > MAX_STEPS {
            refuse("steps", "there are more than 32");
        }
        let mut last = 0;
        for (at, step) in self.steps.iter().enumerate() {
            match step.exposure {
                Exposure::Weight(weight) if weight > ALL => {
                    refuse(&format!("steps[{at}].weight"), "is more than 100 %");
                }
                Exposure::Weight(weight) if weight < last => {
                    refuse(
                        &format!("steps[{at}].weight"),
                        "is lower than the step's before; steps only grow",
                    );
                }
                Exposure::Weight(weight) => last = weight,
                Exposure::Shadow(share) if share == 0 || share > ALL => {
                    refuse(&format!("steps[{at}].shadow"), "is not between 0 and 100 %");
                }
                Exposure::Shadow(_) | Exposure::Cohort => {}
            }
        }
        let analysis = &self.analysis;
        if analysis.interval < 5 {
            refuse("analysis.interval", "is shorter than 5s; proxies report every second or two");
        }
        if analysis.interval > 1_800 {
            refuse("analysis.interval", "is longer than 30m; figures are kept for an hour");
        }
        if analysis.false_alarm == 0 || analysis.false_alarm > 200_000 {
            refuse("analysis.falseAlarm", "is not above 0 and at most 20 %");
        }
        if analysis.thresholds.len() + analysis.comparisons.len() > MAX_RULES {
            refuse("analysis", "there are more than 16 thresholds and comparisons");
        }
        let asks = self.hooks.iter().any(|hook| hook.point == HookPoint::Check);
        if analysis.thresholds.is_empty() && analysis.comparisons.is_empty() && !asks {
            refuse("analysis", "nothing is looked at: every version would be promoted");
        }
        for comparison in &analysis.comparisons {
            if let Comparison::Latency { quantile, margin } = comparison {
                if !(1..ALL).contains(quantile) {
                    refuse("analysis.compare.latency", "a quantile is between 0 and 100, both excluded");
                }
                if *margin > 10 * ALL {
                    refuse("analysis.compare.latency", "a margin is at most 1000 %");
                }
            }
        }
        if self.hooks.len() > MAX_HOOKS {
            refuse("hooks", "there are more than 16 with the queries");
        }
        if self.windows.iter().any(|window| !window.is_valid()) {
            refuse("windows", "a window begins and ends within a day and has at least one day");
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// What a chance of a false alarm is left for one test in one step, all together keeping to the plan's.
    pub(crate) fn alarm_of_one_test(&self) -> f64 {
        let tests = self.analysis.thresholds.len() + self.analysis.comparisons.len();
        let looks = (tests.max(1) * self.steps.len().max(1)) as f64;
        f64::from(self.analysis.false_alarm) / f64::from(ALL) / looks
    }
}
