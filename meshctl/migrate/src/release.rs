//! The release of a version as other tools write it, as a Canary. The version is the one of the first release: a new text begins another one.
//! It must not know routes.

use serde_json::{Map, Value, json};

use crate::Context;
use crate::ledger::{Effect, Node};
use crate::out::named;
use crate::parts::{duration, milliseconds};

/// The version that a Canary names until somebody releases one.
const FIRST: &str = "migrated";
/// Most steps of a release.
const MAX_STEPS: usize = 32;

const FIGURES: &str = "a release is judged by the mesh's own figures: success, latency, failure codes, and the stable version's";

/// A duration within bounds of milliseconds, and whether that is as it was.
fn within(text: &str, least: u64, most: u64) -> Option<(String, bool)> {
    let found = milliseconds(text)?;
    let kept = found.clamp(least, most);
    Some((duration(kept), kept == found))
}

fn put(
    context: &mut Context<'_>,
    (namespace, name): (&str, &str),
    mut spec: Map<String, Value>,
    from: &str,
    services: &[String; 2],
) {
    spec.insert("stable".to_owned(), json!(services[0]));
    spec.insert("canary".to_owned(), json!(services[1]));
    spec.insert("version".to_owned(), json!(FIRST));
    let text = "its Canary names the version `migrated`, and a release of it begins at once: apply the Canary with the first new version, or give it the text of what serves";
    context.note(from, Effect::Edge, text);
    context.out.put("Canary", namespace, name, Value::Object(spec), from);
}

/// Flagger's analysis.
pub(crate) fn flagger(
    context: &mut Context<'_>,
    spec: &Node<'_>,
    namespace: &str,
    wanted: &str,
    services: &[String; 2],
    from: &str,
) {
    spec.lost_field(
        "skipAnalysis",
        Effect::Behaviour,
        "a release is always judged",
        "apply no Canary, and move the weights of the HTTPRoute",
    );
    let Some(analysis) = spec.get("analysis").or_else(|| spec.get("canaryAnalysis")) else { return };
    let (name, label) = named(context, "Canary", namespace, wanted);
    let (mut ours, mut judged) = (Map::new(), Map::new());
    let steps = flagger_steps(&analysis, &label);
    for (key, part) in analysis.fields() {
        match key {
            "interval" => {
                let found = part.text().and_then(|text| within(text, 5_000, 1_800_000));
                if let Some((text, same)) = found {
                    if same {
                        part.to(&label, "spec.analysis.interval");
                    } else {
                        part.changed(&label, "spec.analysis.interval", Effect::Edge, "5s to 30m is possible");
                    }
                    judged.insert(key.to_owned(), json!(text));
                }
            }
            "threshold" => {
                part.to(&label, "spec.analysis.failedChecks");
                judged.insert("failedChecks".to_owned(), json!(part.integer().unwrap_or(5).max(1)));
            }
            "metrics" => part.items().iter().for_each(|metric| self::metric(metric, &label, &mut judged)),
            "match" => part.lost(
                Effect::Behaviour,
                "requests are shared out by weight",
                "splitOn of a TrafficPolicy keeps a user with a version",
            ),
            "webhooks" => part.lost(
                Effect::Behaviour,
                "nobody is asked about a release",
                "a step with `gate: Manual`, and `meshctl canary promote`",
            ),
            "alerts" => part.lost(
                Effect::None,
                "the mesh sends no messages",
                "an alert of Prometheus on the Canary's state",
            ),
            "sessionAffinity" => part.lost(
                Effect::Behaviour,
                "is not carried over",
                "splitOn of a TrafficPolicy keeps a user with a version",
            ),
            "primaryReadyThreshold" | "canaryReadyThreshold" => {
                part.lost(Effect::None, "no request goes to a version without ready endpoints", "nothing");
            }
            _ => {}
        }
    }
    if !judged.is_empty() {
        ours.insert("analysis".to_owned(), Value::Object(judged));
    }
    ours.insert("steps".to_owned(), json!(steps));
    put(context, (namespace, &name), ours, from, services);
}

/// By weights that are written, by equal ones, or by a number of checks.
fn flagger_steps(analysis: &Node<'_>, label: &str) -> Vec<Value> {
    let field = "spec.steps";
    let number = |key: &str| analysis.get(key).and_then(|node| node.integer());
    for key in ["maxWeight", "stepWeight", "iterations", "stepWeightPromotion"] {
        if let Some(node) = analysis.get(key) {
            if key == "stepWeightPromotion" {
                node.lost(Effect::None, "a release that is promoted gets all requests at once", "nothing");
            } else if key == "iterations" {
                node.changed(label, field, Effect::Edge, "a tenth of the requests is shared out, so that there are figures; checks are as many as it takes");
            } else {
                node.to(label, field);
            }
        }
    }
    if let Some(weights) = analysis.get("stepWeights") {
        weights.whole(label, field);
        return weights
            .items()
            .iter()
            .filter_map(Node::integer)
            .map(|weight| json!({ "weight": weight }))
            .take(MAX_STEPS)
            .collect();
    }
    let mut steps = Vec::new();
    if let Some(mirror) = analysis.get("mirror") {
        mirror.to(label, "spec.steps[0].shadow");
        if let Some(share) = analysis.get("mirrorWeight") {
            share.to(label, "spec.steps[0].shadow");
        }
        if mirror.is_true() {
            steps.push(json!({ "shadow": number("mirrorWeight").unwrap_or(100).clamp(1, 100) }));
        }
    }
    let (most, by) = (number("maxWeight").unwrap_or(100).clamp(1, 100), number("stepWeight"));
    if let Some(by) = by.filter(|by| *by > 0) {
        let by = usize::try_from(by).unwrap_or(1);
        let weights = (1..=most)
            .step_by(by)
            .map(|from| from - 1 + i64::try_from(by).unwrap_or(1))
            .filter(|weight| *weight <= most);
        steps.extend(weights.map(|weight| json!({ "weight": weight })));
    }
    if steps.iter().all(|step| step.get("weight").is_none()) {
        // Checks without weights: everything goes over at once, when they are good.
        steps.push(json!({ "weight": if steps.is_empty() { 10 } else { 100 } }));
    }
    steps.truncate(MAX_STEPS);
    steps
}

fn metric(metric: &Node<'_>, label: &str, judged: &mut Map<String, Value>) {
    metric.lost_field(
        "interval",
        Effect::None,
        "figures are those of the analysis's own interval",
        "nothing",
    );
    let limit = |key: &str| metric.at(&["thresholdRange", key]).and_then(|node| node.number());
    let told = |field: &str| {
        if let Some(name) = metric.get("name") {
            name.to(label, field);
        }
        for (_, bound) in metric.get("thresholdRange").map(|range| range.fields()).unwrap_or_default() {
            bound.to(label, field);
        }
        if let Some(bound) = metric.get("threshold") {
            bound.to(label, field);
        }
    };
    let old = metric.get("threshold").and_then(|node| node.number());
    match (metric.text_of("name"), limit("min").or(old), limit("max").or(old)) {
        (Some("request-success-rate"), Some(least), _) => {
            told("spec.analysis.successRate");
            judged.insert("successRate".to_owned(), json!(least.clamp(0.0, 100.0)));
        }
        (Some("request-duration"), _, Some(most)) => {
            told("spec.analysis.latency");
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
            let most = duration((most.max(1.0) as u64).min(3_600_000));
            judged.insert("latency".to_owned(), json!([{ "quantile": 99, "atMost": most }]));
        }
        _ => metric.lost(Effect::Behaviour, FIGURES, "Canary: analysis.successRate, latency, failureCodes"),
    }
}

/// Argo's steps.
pub(crate) fn rollout(
    context: &mut Context<'_>,
    canary: &Node<'_>,
    namespace: &str,
    wanted: &str,
    services: [Option<String>; 2],
    from: &str,
) {
    canary.lost_field(
        "analysis",
        Effect::Behaviour,
        FIGURES,
        "Canary: analysis.successRate, latency, failureCodes",
    );
    let [Some(stable), Some(tried)] = services else {
        canary.lost_field(
            "steps",
            Effect::Behaviour,
            "without a stableService and a canaryService there is nothing to share requests out to",
            "give the Rollout both",
        );
        return;
    };
    let (name, label) = named(context, "Canary", namespace, wanted);
    let mut steps: Vec<Value> = Vec::new();
    let mut highest = 0.0;
    for step in &canary.list("steps") {
        let field = format!("spec.steps[{}]", steps.len());
        for (key, part) in step.fields() {
            match key {
                "setWeight" => {
                    let weight = part.number().unwrap_or(0.0).clamp(0.0, 100.0);
                    if weight < highest {
                        part.lost(Effect::Behaviour, "steps only grow", "leave the step out");
                        continue;
                    }
                    highest = weight;
                    part.to(&label, format!("{field}.weight"));
                    steps.push(json!({ "weight": weight }));
                }
                "pause" => pause(&part, &label, steps.last_mut()),
                "setMirrorRoute" => mirror(&part, &label, &field, &mut steps),
                "setCanaryScale" => part.inert("about pods and their number, not about traffic"),
                "setHeaderRoute" => part.lost(
                    Effect::Behaviour,
                    "requests are shared out by weight",
                    "a rule of the HTTPRoute for the header",
                ),
                "analysis" | "experiment" => {
                    part.lost(Effect::Behaviour, FIGURES, "Canary: analysis; every step is judged by it");
                }
                _ => part.lost(Effect::Behaviour, "is no step here", "a step with `gate: Manual`"),
            }
        }
    }
    if steps.is_empty() {
        return;
    }
    steps.truncate(MAX_STEPS);
    let spec = Map::from_iter([("steps".to_owned(), json!(steps))]);
    put(context, (namespace, &name), spec, from, &[stable, tried]);
}

/// A pause belongs to the step before it: for a time, or until somebody says so.
fn pause(part: &Node<'_>, label: &str, last: Option<&mut Value>) {
    let Some(step) = last else {
        part.lost(Effect::Edge, "a release begins with a step", "a first step with a small weight");
        return;
    };
    match part.get("duration") {
        Some(time) => {
            let text = time.text().map_or_else(
                || format!("{}s", time.integer().unwrap_or(1)),
                |text| {
                    if text.bytes().all(|b| b.is_ascii_digit()) {
                        format!("{text}s")
                    } else {
                        text.to_owned()
                    }
                },
            );
            time.to(label, "spec.steps[].hold");
            if let Some((hold, _)) = within(&text, 1_000, 604_800_000) {
                step["hold"] = json!(hold);
            }
        }
        None => {
            part.to(label, "spec.steps[].gate");
            step["gate"] = json!("Manual");
        }
    }
}

fn mirror(part: &Node<'_>, label: &str, field: &str, steps: &mut Vec<Value>) {
    part.inert_field("name", "a name of Argo's own");
    part.lost_field("match", Effect::Edge, "copies are a share of all requests", "nothing");
    if let Some(share) = part.get("percentage") {
        share.to(label, format!("{field}.shadow"));
        steps.push(json!({ "shadow": share.number().unwrap_or(100.0).clamp(1.0, 100.0) }));
    }
}

/// Two Services that change places.
pub(crate) fn blue_green(
    context: &mut Context<'_>,
    node: &Node<'_>,
    namespace: &str,
    wanted: &str,
    from: &str,
) {
    let texts = ["activeService", "previewService"].map(|key| node.text_of(key).map(str::to_owned));
    let [Some(active), Some(preview)] = texts else {
        node.lost(
            Effect::Behaviour,
            "without an activeService and a previewService there is nothing to change over",
            "give the Rollout both",
        );
        return;
    };
    let (name, label) = named(context, "Canary", namespace, wanted);
    let by_hand = node.get("autoPromotionEnabled").is_some_and(|auto| !auto.is_true());
    for (key, part) in node.fields() {
        match key {
            "activeService" | "previewService" => {}
            "autoPromotionEnabled" => part.to(&label, "spec.steps[0].gate"),
            "autoPromotionSeconds" => part.to(&label, "spec.steps[0].hold"),
            "prePromotionAnalysis" | "postPromotionAnalysis" => {
                part.lost(Effect::Behaviour, FIGURES, "Canary: analysis.successRate, latency, failureCodes");
            }
            _ => part.inert("about pods and their number, not about traffic"),
        }
    }
    // Copies first, so that there are figures before everything changes over.
    let mut first = json!({ "shadow": 100 });
    if by_hand {
        first["gate"] = json!("Manual");
    }
    if let Some(seconds) =
        node.get("autoPromotionSeconds").and_then(|node| node.integer()).filter(|seconds| *seconds > 0)
    {
        first["hold"] = json!(format!("{}s", seconds.min(86_400)));
    }
    let spec = Map::from_iter([("steps".to_owned(), json!([first, { "weight": 100 }]))]);
    let text = "before the new version gets all requests it gets copies of all of them, which Argo does not do: where they must not be answered twice, write a small weight instead of the shadow";
    context.note(from, Effect::Behaviour, text);
    put(context, (namespace, &name), spec, from, &[active, preview]);
}
