//! What `meshctl stat -o json` says about who called whom. Pure.

use serde_json::Value;

/// A caller and a service that have to be seen with at least so many requests.
#[derive(Debug)]
pub(super) struct Edge {
    source: &'static str,
    service: &'static str,
    requests: u64,
}

impl Edge {
    pub(super) fn new(source: &'static str, service: &'static str, requests: u64) -> Self {
        Self { source, service, requests }
    }
}

/// What is not as it should be; empty when every edge is there and nothing went in plaintext.
pub(super) fn complaints(answer: &Value, wanted: &[Edge]) -> Vec<String> {
    let rows: &[Value] = answer.get("rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let plain = rows
        .iter()
        .filter(|row| text(row, "/security") != "mtls" && count(row, "/requests") > 0 && !went_nowhere(row))
        .map(|row| format!("not mTLS: {row}"));
    let missing = wanted.iter().filter_map(|edge| {
        let seen: u64 = rows
            .iter()
            .filter(|row| text(row, "/side") == "outbound")
            .filter(|row| {
                text(row, "/source/workload") == edge.source && text(row, "/service/name") == edge.service
            })
            .map(|row| count(row, "/requests"))
            .sum();
        (seen < edge.requests)
            .then(|| format!("{} → {}: {seen} of {} requests seen", edge.source, edge.service, edge.requests))
    });
    plain.chain(missing).collect()
}

/// Requests that the caller's own sidecar answered, for instance before the service was published: no byte of them left.
fn went_nowhere(row: &Value) -> bool {
    text(row, "/security") == "unknown"
}

fn text<'a>(row: &'a Value, pointer: &str) -> &'a str {
    row.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn count(row: &Value, pointer: &str) -> u64 {
    row.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(source: &str, service: &str, security: &str, requests: u64) -> Value {
        json!({ "side": "outbound", "source": { "workload": source }, "service": { "name": service }, "security": security, "requests": requests })
    }

    #[test]
    fn a_request_that_never_left_is_no_plaintext() {
        let of = |security| complaints(&json!({ "rows": [row("client", "", security, 1)] }), &[]).len();
        assert_eq!([of("unknown"), of("plaintext"), of("")], [0, 1, 1]);
    }

    #[test]
    fn an_edge_with_too_few_requests_or_in_plaintext_is_told() {
        let answer = json!({ "rows": [row("a", "b", "mtls", 3), row("a", "b", "mtls", 4), row("c", "b", "plaintext", 1)] });
        assert_eq!(complaints(&answer, &[Edge::new("a", "b", 7)]).len(), 1);
        let found = complaints(&answer, &[Edge::new("a", "b", 8), Edge::new("x", "b", 1)]);
        assert_eq!(found.len(), 3);
        assert_eq!(found.get(1).map(String::as_str), Some("a → b: 7 of 8 requests seen"));
    }
}
