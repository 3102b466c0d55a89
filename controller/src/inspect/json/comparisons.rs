//! Answers to copies beside those of the backend, as JSON. Pure.

use mesh_compare::verdict::{Verdict, share, verdict};
use mesh_proto::inspect::v1::ComparisonsResponse;
use mesh_proto::report::v1::{Comparison, Difference, DifferenceKind};
use serde_json::{Value, json};

/// What a difference is worth.
pub fn worth(comparison: &Comparison, difference: &Difference) -> Verdict {
    verdict((difference.raw, comparison.compared), (difference.noise, comparison.twins))
}

/// A kind in a word.
pub fn difference_kind(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Unspecified => "unknown",
        DifferenceKind::Value => "value",
        DifferenceKind::Type => "type",
        DifferenceKind::Missing => "missing",
        DifferenceKind::Added => "added",
        DifferenceKind::Length => "length",
    }
}

/// Comparisons for programs.
pub fn comparisons(answer: &ComparisonsResponse) -> Value {
    json!({
        "comparisons": answer.comparisons.iter().map(comparison).collect::<Vec<_>>(),
        "dropped": answer.dropped,
        "unanswered": answer.unanswered,
    })
}

fn comparison(comparison: &Comparison) -> Value {
    let it = comparison;
    let difference = |one: &Difference| {
        json!({
            "place": one.place,
            "kind": difference_kind(one.kind()),
            "raw": one.raw,
            "raw_share": share(one.raw, it.compared),
            "noise": one.noise,
            "noise_share": share(one.noise, it.twins),
            "verdict": worth(it, one).word(),
            "stable": one.stable,
            "candidate": one.candidate,
        })
    };
    json!({
        "route": it.route,
        "stable": { "namespace": it.stable_namespace, "name": it.stable, "port": it.stable_port },
        "candidate": { "namespace": it.candidate_namespace, "name": it.candidate, "port": it.candidate_port },
        "compared": it.compared,
        "equal": it.equal,
        "twins": it.twins,
        "dropped": it.dropped,
        "differences": it.differences.iter().map(difference).collect::<Vec<_>>(),
    })
}
