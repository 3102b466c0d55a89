//! What is known of a release: all of it, in whole numbers, as it is written into the object's status. It must not know how it is decided.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::plan::HookPoint;

/// Past releases that are kept.
pub const MAX_PAST: usize = 10;

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// Which version it is about.
    pub version: String,
    /// The mark of what stands for both versions; 0: written when there was none.
    pub sides: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Which step, from 0.
    pub step: usize,
    /// When the first step began, Unix seconds; 0 before.
    pub started: u64,
    /// When this step began.
    pub step_began: u64,
    /// When figures were last looked at.
    pub checked: u64,
    /// Checks that failed so far.
    pub failed_checks: u32,
    /// Requests of the new version in this step.
    pub requests: u64,
    /// What is known of each threshold and then of each comparison in this step.
    pub tests: Vec<Test>,
    /// Why it waits for somebody.
    pub pause: Option<Pause>,
    /// Figures were missing at the last check.
    pub frozen: bool,
    /// What was last decided, and why.
    pub why: Option<Why>,
    /// The mark of the plan that it follows.
    pub plan: u64,
    /// The mark of the weights that routes had of themselves when it began.
    pub own_weights: u64,
    /// Releases before this one, the latest first.
    pub past: Vec<Past>,
    /// Ends that hooks have not been told yet, the first one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<Owed>,
}

/// Ends that wait to be told; more are dropped, the oldest first.
pub const MAX_OWED: usize = 4;

/// An end that hooks have to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owed {
    /// Which hooks.
    pub point: HookPoint,
    /// Which version ended so.
    pub version: String,
    /// Why.
    pub message: String,
    /// How often it was tried.
    pub tries: u32,
}

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing is exposed yet.
    #[default]
    Waiting,
    /// Some share is.
    Progressing,
    /// Some share is, and somebody has to say how it goes on.
    Paused,
    /// All of it is.
    Promoted,
    /// Nothing is any more.
    RolledBack,
}

/// Why a release waits for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pause {
    /// The step ends with a manual gate.
    Gate,
    /// Somebody said so.
    Hand,
    /// Somebody changed the weights in a route: they are in force, and nothing is decided.
    Edited,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// One word for programs.
    pub reason: Reason,
    /// A sentence for people.
    pub message: String,
}

/// One word about a decision; the words are also the reasons of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The first step began.
    Started,
    /// A step passed.
    Advanced,
    /// All steps passed.
    Promoted,
    /// A statistic says that the version is bad.
    EvidenceAgainst,
    /// Too many checks failed.
    TooManyFailedChecks,
    /// It has had no ready endpoint for too many checks.
    NoReadyEndpoints,
    /// It took longer than it may.
    TookTooLong,
    /// Somebody ended it.
    Aborted,
    /// A newer version came.
    Superseded,
    /// A check failed, and more may.
    CheckFailed,
    /// Figures are missing.
    MetricsMissing,
    /// Figures are there again.
    MetricsBack,
    /// The stable version has no ready endpoint.
    StableNotReady,
    /// Somebody paused it, or a gate did.
    Paused,
    /// It goes on.
    Resumed,
    /// Somebody changed weights.
    WeightsEdited,
    /// The plan was changed on the way; its step begins anew.
    PlanChanged,
    /// A hook has not said yes, so it does not go on.
    HookHolds,
    /// A hook could not be told how it ended.
    HookUnheard,
    /// Somebody asked for what cannot be now.
    Ignored,
}

/// A release that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    /// Its version.
    pub version: String,
    /// How it ended.
    pub phase: Phase,
    /// In which step.
    pub step: usize,
    /// When its first step began.
    pub started: u64,
    /// When it ended.
    pub ended: u64,
    /// Why.
    pub why: Why,
}

/// What is known of one threshold or comparison in a step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Test {
    /// What speaks against the version.
    pub evidence: Evidence,
    /// The stable version's bad requests and all.
    pub stable: [u64; 2],
    /// The new version's.
    pub canary: [u64; 2],
    /// Of latency: the bucket above which the stable version's requests are slow. It is chosen before the requests that it judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boundary: Option<u16>,
    /// The stable version's latencies, older ones with less weight.
    #[serde(with = "pairs", skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<u16, u64>,
}

impl Phase {
    /// Whether requests are exposed and more is to come.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Progressing | Self::Paused)
    }

    /// Whether nothing more comes.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Promoted | Self::RolledBack)
    }
}

impl State {
    /// Whether it is about this version of these sides. What was said of another one is not true of this one.
    pub fn is_of(&self, version: &str, sides: u64) -> bool {
        self.version == version && (self.sides == sides || self.sides == 0)
    }

    /// A release of this version that has not begun, after those of `before`.
    pub fn of(version: &str, before: Vec<Past>) -> Self {
        Self { version: version.to_owned(), past: before, ..Self::default() }
    }
}

/// A list of pairs: keys of a JSON object are texts, and not every reader makes numbers of them again.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<u16, u64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u16, u64>, D::Error> {
        Ok(Vec::<(u16, u64)>::deserialize(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an object of Kubernetes is read: by way of what serde buffers.
    #[derive(Debug, Deserialize)]
    struct Around {
        #[serde(flatten)]
        state: State,
    }

    #[test]
    fn a_state_with_latencies_is_read_as_it_was_written_whoever_reads_it() {
        let test = Test { seen: [(101, 7), (133, 1)].into(), boundary: Some(133), ..Test::default() };
        let state = State { tests: vec![test], ..State::of("v2", Vec::new()) };
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        assert_eq!(serde_json::from_str::<Around>(&text).unwrap().state, state);
    }
}
