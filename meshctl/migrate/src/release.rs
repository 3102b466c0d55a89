//! The release of a version as other tools write it. The mesh's own Canary is not one of the objects yet: what a release says is told as
//! without counterpart. It must not know routes.

use crate::Context;
use crate::ledger::{Effect, Node};

const WHY: &str = "releases step by step are not made by this command";
const INSTEAD: &str = "move the weights of the HTTPRoute: docs/tasks/traffic-splitting.md";

/// Flagger's analysis.
pub(crate) fn flagger(_: &mut Context<'_>, spec: &Node<'_>, _: &str, _: &str, _: &[String; 2], _: &str) {
    for key in ["analysis", "canaryAnalysis", "skipAnalysis"] {
        spec.lost_field(key, Effect::Behaviour, WHY, INSTEAD);
    }
}

/// Argo's steps.
pub(crate) fn rollout(
    _: &mut Context<'_>,
    canary: &Node<'_>,
    _: &str,
    _: &str,
    _: [Option<String>; 2],
    _: &str,
) {
    for key in ["steps", "analysis"] {
        canary.lost_field(key, Effect::Behaviour, WHY, INSTEAD);
    }
}

/// Two Services that change places.
pub(crate) fn blue_green(_: &mut Context<'_>, node: &Node<'_>, _: &str, _: &str, _: &str) {
    node.lost(Effect::Behaviour, WHY, INSTEAD);
}
