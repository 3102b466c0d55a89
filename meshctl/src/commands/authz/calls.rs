//! Calls of the last while as called sidecars have reported them, by caller and workload. Pure. It must not know policies.

use std::collections::BTreeMap;

use mesh_model::name::{Name, WorkloadName};
use mesh_proto::inspect::v1::{StatResponse, StatRow};

/// Codes of calls that were refused for who called or with which token.
const REFUSED: [&str; 4] = ["policy_denied", "policy_undecided", "token_missing", "token_invalid"];

/// How many there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Those that went on.
    pub(super) allowed: u64,
    pub(super) refused: u64,
}

/// All of them. A caller without a certificate is `None`.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) seconds: u32,
    by: BTreeMap<(Option<Name>, WorkloadName), Count>,
}

impl Calls {
    pub(super) fn of(answer: &StatResponse) -> Self {
        let mut calls = Self { seconds: answer.window_seconds, by: BTreeMap::new() };
        for row in &answer.rows {
            let workload = WorkloadName::new(&row.destination_namespace, &row.destination_workload);
            let Ok(workload) = workload else { continue };
            let source = Name::new(&row.source_namespace, &row.source_workload).ok();
            let (allowed, refused) = split(row);
            let count = calls.by.entry((source, workload)).or_default();
            count.allowed += allowed;
            count.refused += refused;
        }
        calls
    }

    /// From one caller to any of these workloads.
    pub(super) fn between(&self, source: Option<&Name>, workloads: &[WorkloadName]) -> Count {
        let mut sum = Count::default();
        for ((from, to), count) in &self.by {
            if from.as_ref() == source && workloads.contains(to) {
                sum.allowed += count.allowed;
                sum.refused += count.refused;
            }
        }
        sum
    }
}

fn split(row: &StatRow) -> (u64, u64) {
    let refused = row.failure_codes.iter().filter(|it| REFUSED.contains(&it.code.as_str()));
    let refused: u64 = refused.map(|it| it.count).sum();
    (row.requests.saturating_sub(refused), refused)
}
