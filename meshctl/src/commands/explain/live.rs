//! `meshctl explain --live`: the same request, sent once for real by the caller's own sidecar as its application would send it, with a trace of
//! its own, and what both sidecars measured of it beside what was explained. The controller asks the sidecar: nobody else can.

mod view;

use std::time::Duration;

use anyhow::bail;
use mesh_model::head::HeadView as _;
use mesh_proto::inspect::v1::{SendTrialRequest, TraceRequest};
use mesh_proto::report::v1::{Header, Side, Span, Trial, TrialWay};
use serde_json::Value;

use super::caller::Caller;
use super::question::Question;
use crate::client::inspect::Inspect;

pub(super) use view::{json, text};

/// Sidecars report every few seconds, and the controller waits a while for the other side.
const REPORTED: Duration = Duration::from_secs(25);
/// What can be sent without a body and asks for something only; a gRPC call without a message is a POST.
const METHODS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];
/// Nothing of a URL; what is framed, and which trace it is, is the sidecar's to say.
const NOT_OURS: [&str; 4] = ["traceparent", "tracestate", "b3", "content-length"];

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Live {
    pub(super) trace_id: [u8; 16],
    /// Who sent it: the caller's workload.
    pub(super) workload: String,
    pub(super) way: TrialWay,
    /// Where the connection of the application goes, if it is captured.
    pub(super) address: String,
    /// Of the answer; 0: there was none.
    pub(super) status: u32,
    /// The code of the mesh, if it was not the application that answered.
    pub(super) failure: String,
    pub(super) outbound: Option<Span>,
    pub(super) inbound: Option<Span>,
    /// What is not as it was explained.
    pub(super) differs: Vec<String>,
}

/// Who is to send it.
pub(super) fn workload_of(caller: &Caller) -> anyhow::Result<&str> {
    match &caller.workload {
        Some(workload) => Ok(workload),
        None => {
            bail!("--live sends the request as a workload: name one with --from NAME, in a cluster a Pod")
        }
    }
}

/// The request for the sidecar; refused what must not be sent, or cannot be.
pub(super) fn trial(question: &Question, trace_id: [u8; 16], parent: [u8; 8]) -> anyhow::Result<Trial> {
    let is_grpc =
        |(name, value): &(String, String)| name == "content-type" && value.starts_with("application/grpc");
    let method = question.method();
    let is_call = method == "POST" && question.headers.iter().any(is_grpc);
    if !METHODS.contains(&method) && !is_call {
        bail!(
            "--live sends nothing that may change something: GET, HEAD, OPTIONS, or a grpc:// call without a message; \
             without --live {method} is explained"
        );
    }
    let given = |name: &str| question.headers.iter().any(|(known, _)| known == name);
    if let Some(name) = NOT_OURS.into_iter().find(|name| given(name)) {
        bail!("--live: header `{name}` is the sidecar's to write; leave it out");
    }
    let header = |(name, value): &(String, String)| Header {
        name: name.clone(),
        value: value.clone(),
        redacted: false,
    };
    let query = question.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(Trial {
        // The controller's to choose.
        id: 0,
        method: method.to_owned(),
        authority: question.authority().to_owned(),
        target: format!("{}{query}", question.path()),
        headers: question.headers.iter().map(header).collect(),
        trace_id: trace_id.to_vec(),
        parent_span_id: parent.to_vec(),
    })
}

/// Has it sent, and waits for what the sidecars report.
pub(super) async fn send(caller: &Caller, question: &Question, inspect: &Inspect) -> anyhow::Result<Live> {
    let workload = workload_of(caller)?;
    let (trace_id, parent) = (fastrand::u128(1..).to_be_bytes(), fastrand::u64(1..).to_be_bytes());
    let trial = Some(trial(question, trace_id, parent)?);
    // From before it is sent, so that nothing is missed.
    let mut traces = inspect
        .trace(TraceRequest {
            limit: 1,
            trace_id: trace_id.to_vec(),
            sample_ppm: 1,
            ..TraceRequest::default()
        })
        .await?;
    let namespace = caller.namespace.clone();
    let request = SendTrialRequest { namespace, workload: workload.to_owned(), trial, local_only: false };
    let tried = inspect.send_trial(request).await?;
    if !tried.refused.is_empty() {
        bail!("{workload}.{} did not send it: {}", caller.namespace, tried.refused);
    }
    let spans = match tokio::time::timeout(REPORTED, traces.next()).await {
        Ok(trace) => trace?.map(|trace| trace.spans).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let (outbound, inbound) = hop(spans, &parent);
    Ok(Live {
        trace_id,
        workload: format!("{workload}.{}", caller.namespace),
        way: tried.way(),
        address: tried.address,
        status: tried.status,
        failure: tried.failure,
        outbound,
        inbound,
        differs: Vec::new(),
    })
}

/// What the two sidecars of our own request saw; what the application asked of others meanwhile has the same trace.
fn hop(spans: Vec<Span>, parent: &[u8]) -> (Option<Span>, Option<Span>) {
    let outbound =
        spans.iter().find(|span| span.side() == Side::Outbound && span.parent_span_id == parent).cloned();
    let inbound = outbound.as_ref().and_then(|outbound| {
        let ours = |span: &&Span| span.side() == Side::Inbound && span.parent_span_id == outbound.span_id;
        // Of several attempts the last one.
        spans.iter().filter(ours).max_by_key(|span| span.start_us).cloned()
    });
    (outbound, inbound)
}

/// What is not as it was explained. `explained` is the answer as JSON.
pub(super) fn differences(live: &Live, explained: &Value) -> Vec<String> {
    let mut differs = Vec::new();
    let result = &explained["result"];
    let refused = explained["authorization"].as_array().into_iter().flatten().any(|one| {
        one["mirror"] == false && one["verdict"].as_str().is_some_and(|verdict| verdict == "refused")
    });
    let code = result["code"].as_str().unwrap_or_default();
    match (code, live.failure.as_str()) {
        ("", "") => {}
        ("", failure) if refused && matches!(failure, "policy_denied" | "policy_undecided") => {}
        ("", failure) => differs.push(format!("the mesh failed it: {failure}; `meshctl why` says from what")),
        (code, "") => differs.push(format!("{code} was explained, and the answer is {}", live.status)),
        (code, failure) if code != failure => {
            differs.push(format!("{code} was explained, and it was {failure}"));
        }
        _ => {}
    }
    if refused && live.failure.is_empty() {
        differs.push("policies were explained to refuse it, and it was let in".to_owned());
    }
    let Some(span) = &live.outbound else {
        differs.push(
            "the caller's sidecar reported no request of it in time: `meshctl protocols` shows whether the port carries bytes"
                .to_owned(),
        );
        return differs;
    };
    let route = explained.pointer("/route/taken/rule").and_then(Value::as_str).unwrap_or_default();
    if !explained["route"].is_null() && route != span.route {
        let route = if route.is_empty() { "none" } else { route };
        let took = if span.route.is_empty() { "none" } else { span.route.as_str() };
        differs.push(format!("route {route} was explained, and {took} was taken"));
    }
    if live.inbound.is_none()
        && live.failure.is_empty()
        && span.security() == mesh_proto::report::v1::Security::Mtls
    {
        differs.push("the callee's sidecar did not report it in time".to_owned());
    }
    differs
}

#[cfg(test)]
mod tests;
