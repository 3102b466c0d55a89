//! Annotations of routes and Services that say retries, timeouts, circuit breaking and balancing. They must not know policies of servers.

use serde_json::{Map, Value, json};

use crate::Context;
use crate::ledger::{Effect, Node};
use crate::out::named;
use crate::parts::{duration, duration_of, integer_of, milliseconds, retry_words};

const HOUR: u64 = 3_600_000;

/// Those of a route.
pub(super) fn of_route(context: &mut Context<'_>, at: usize, kind: &str, route: (&str, &str)) {
    let Some(document) = context.documents.get(at) else { return };
    let Some(node) =
        context.ledger.root(context.documents, at).and_then(|root| root.at(&["metadata", "annotations"]))
    else {
        return;
    };
    let (name, policy) = named(context, "TrafficPolicy", route.0, route.1);
    let mut spec = request(&node, &policy);
    if spec.is_empty() {
        return;
    }
    spec.insert("targetRefs".to_owned(), json!([{ "kind": kind, "name": route.1 }]));
    context.out.put("TrafficPolicy", route.0, &name, Value::Object(spec), &document.label());
}

/// Those of a Service.
pub(super) fn of_service(context: &mut Context<'_>, at: usize) {
    let Some(document) = context.documents.get(at) else { return };
    let Some(node) =
        context.ledger.root(context.documents, at).and_then(|root| root.at(&["metadata", "annotations"]))
    else {
        return;
    };
    if !node.fields().iter().any(|(key, _)| key.contains("linkerd.io/")) {
        return;
    }
    let (name, policy) = named(context, "TrafficPolicy", document.namespace(), document.name());
    let mut spec = request(&node, &policy);
    if let Some(outlier) = accrual(&node, &policy) {
        spec.insert("outlierDetection".to_owned(), outlier);
    }
    if let Some(ports) = node.get("config.linkerd.io/opaque-ports") {
        ports.lost(
            Effect::Behaviour,
            "what is spoken at a port is said by its appProtocol",
            "Service: ports[].appProtocol: tcp, or TrafficPolicy: protocol: TCP; without it the first bytes tell",
        );
    }
    if spec.is_empty() {
        return;
    }
    spec.insert("targetRefs".to_owned(), json!([{ "kind": "Service", "name": document.name() }]));
    context.out.put("TrafficPolicy", document.namespace(), &name, Value::Object(spec), &document.label());
}

/// Retries and timeouts.
fn request(node: &Node<'_>, object: &str) -> Map<String, Value> {
    let (mut spec, mut timeouts, mut retries) = (Map::new(), Map::new(), Map::new());
    for (key, part) in node.fields() {
        match key {
            "timeout.linkerd.io/request" => {
                if let Some(found) = duration_of(&part, object, "spec.timeouts.request", (0, 8_760 * HOUR)) {
                    timeouts.insert("request".to_owned(), json!(found));
                }
            }
            "timeout.linkerd.io/idle" => {
                if let Some(found) = duration_of(&part, object, "spec.timeouts.idle", (0, 8_760 * HOUR)) {
                    timeouts.insert("idle".to_owned(), json!(found));
                }
            }
            "timeout.linkerd.io/response" => {
                part.changed(
                    object,
                    "spec.timeouts.attempt",
                    Effect::Edge,
                    "the time of an attempt runs from its beginning, not from the end of the request's body",
                );
                if let Some(found) = part.text().and_then(milliseconds) {
                    timeouts.insert("attempt".to_owned(), json!(duration(found)));
                }
            }
            "retry.linkerd.io/http" | "retry.linkerd.io/grpc" => {
                let words: Vec<String> =
                    part.text().unwrap_or_default().split(',').flat_map(expanded).collect();
                let (found, lost) = retry_words(words.iter().map(String::as_str));
                if lost.is_empty() {
                    part.to(object, "spec.retries");
                } else {
                    part.changed(
                        object,
                        "spec.retries",
                        Effect::Behaviour,
                        format!("there is no counterpart of {}", lost.join(", ")),
                    );
                }
                for (key, value) in found {
                    let known = retries.get(&key).and_then(Value::as_array).cloned().unwrap_or_default();
                    let more = value.as_array().cloned().unwrap_or_default();
                    retries.insert(key, json!([known, more].concat()));
                }
                retries.insert("methods".to_owned(), json!("All"));
                retries.entry("attempts").or_insert(json!(1));
            }
            "retry.linkerd.io/limit" => {
                if let Some(limit) = integer_of(&part, object, "spec.retries.attempts", (0, 10)) {
                    retries.insert("attempts".to_owned(), json!(limit));
                }
            }
            "retry.linkerd.io/timeout" => {
                if let Some(found) = duration_of(&part, object, "spec.retries.perTryTimeout", (1, HOUR)) {
                    retries.insert("perTryTimeout".to_owned(), json!(found));
                }
            }
            _ => {}
        }
    }
    if !timeouts.is_empty() {
        spec.insert("timeouts".to_owned(), Value::Object(timeouts));
    }
    if !retries.is_empty() {
        spec.insert("retries".to_owned(), Value::Object(retries));
    }
    spec
}

/// `500-504` as its statuses.
fn expanded(word: &str) -> Vec<String> {
    let range = word
        .trim()
        .split_once('-')
        .and_then(|(from, to)| Some((from.parse::<u16>().ok()?, to.parse::<u16>().ok()?)));
    match range {
        Some((from, to)) if from <= to && to - from < 32 => {
            (from..=to).map(|code| code.to_string()).collect()
        }
        _ => vec![word.trim().to_owned()],
    }
}

/// Circuit breaking by errors in a row.
fn accrual(node: &Node<'_>, object: &str) -> Option<Value> {
    let prefix = "balancer.linkerd.io/failure-accrual";
    let kind = node.get(prefix)?;
    if kind.text() != Some("consecutive") {
        kind.lost(
            Effect::Behaviour,
            "endpoints are left alone after errors in a row",
            "TrafficPolicy: outlierDetection",
        );
        return None;
    }
    kind.to(object, "spec.outlierDetection.consecutiveErrors");
    // Linkerd's own defaults, where nothing is written.
    let mut json = json!({ "consecutiveErrors": 7, "baseEjectionTime": "1s", "maxEjectionTime": "1m", "maxEjectionPercent": 100 });
    if let Some(count) = node.get(&format!("{prefix}-consecutive-max-failures"))
        && let Some(found) = integer_of(&count, object, "spec.outlierDetection.consecutiveErrors", (1, 1_000))
    {
        json["consecutiveErrors"] = json!(found);
    }
    for (suffix, field) in [("min-penalty", "baseEjectionTime"), ("max-penalty", "maxEjectionTime")] {
        if let Some(penalty) = node.get(&format!("{prefix}-consecutive-{suffix}"))
            && let Some(found) =
                duration_of(&penalty, object, &format!("spec.outlierDetection.{field}"), (100, HOUR))
        {
            json[field] = json!(found);
        }
    }
    if let Some(jitter) = node.get(&format!("{prefix}-consecutive-jitter-ratio")) {
        jitter.lost(Effect::None, "times of ejection have no jitter that could be set", "nothing");
    }
    Some(json)
}
