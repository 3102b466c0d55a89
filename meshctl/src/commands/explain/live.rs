//! `meshctl explain --live`: the same request, sent once for real through the caller's own sidecar with a trace of its own, and what both
//! sidecars measured of it beside what was explained. Only a caller whose sidecar has an HTTP proxy port can be spoken for: where traffic is
//! captured, nobody but the application calls as the application.

mod view;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mesh_model::head::HeadView as _;
use mesh_proto::inspect::v1::TraceRequest;
use mesh_proto::report::v1::{Side, Span};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::caller::Caller;
use super::objects::Objects;
use super::question::Question;
use crate::client::inspect::Inspect;
use crate::commands::callee::standing;
use crate::local::member::PROXY_PORT;

pub(super) use view::{json, text};

/// A request and its answer have this long; a slower answer is one that did not come.
const DEADLINE: Duration = Duration::from_secs(30);
/// Sidecars report every few seconds, and the controller waits a while for the other side.
const REPORTED: Duration = Duration::from_secs(25);
/// Its head is what counts.
const MAX_ANSWER: u64 = 64 * 1024;

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Live {
    pub(super) trace_id: [u8; 16],
    /// The caller's sidecar.
    pub(super) through: String,
    /// Of the answer; 0: there was none.
    pub(super) status: u32,
    /// The code of the mesh, if it was not the application that answered.
    pub(super) failure: String,
    pub(super) outbound: Option<Span>,
    pub(super) inbound: Option<Span>,
    /// What is not as it was explained.
    pub(super) differs: Vec<String>,
}

/// Where the caller's sidecar takes requests for its application.
pub(super) fn proxy_of(objects: &Objects, caller: &Caller) -> anyhow::Result<SocketAddr> {
    let Some(workload) = &caller.workload else {
        bail!("--live sends the request as a workload: name one with --from NAME");
    };
    let known = standing::known(objects);
    let name = |one: &mesh_model::name::WorkloadName| {
        one.0.name() == workload && one.0.namespace() == caller.namespace
    };
    let (_, peer) =
        known.iter().find(|(one, _)| name(one)).with_context(|| format!("no workload `{workload}` runs"))?;
    if peer.identity.is_none() {
        bail!("{workload} has no sidecar through which it could be sent");
    }
    let address = peer.address.with_context(|| format!("where {workload} is, is not known"))?;
    Ok(SocketAddr::new(address, PROXY_PORT))
}

/// Sends it, and waits for what the sidecars report.
pub(super) async fn send(
    through: SocketAddr,
    question: &Question,
    inspect: &Inspect,
) -> anyhow::Result<Live> {
    let (trace_id, parent) = (fastrand::u128(1..).to_be_bytes(), fastrand::u64(1..).to_be_bytes());
    // From before it is sent, so that nothing is missed.
    let mut traces = inspect
        .trace(TraceRequest {
            limit: 1,
            trace_id: trace_id.to_vec(),
            sample_ppm: 1,
            ..TraceRequest::default()
        })
        .await?;
    let text = request(question, &trace_id, parent);
    let answer = tokio::time::timeout(DEADLINE, exchange(through, &text)).await;
    let answer = match answer {
        Ok(answer) => answer.with_context(|| {
            format!(
                "nobody takes a request for its application at {through}: where a member's traffic is captured (a network \
                 namespace, a Pod), nobody but it can call as itself; send the request from there and look at `meshctl trace`"
            )
        })?,
        Err(_) => Vec::new(),
    };
    let (status, failure) = read(&answer);
    let spans = match tokio::time::timeout(REPORTED, traces.next()).await {
        Ok(trace) => trace?.map(|trace| trace.spans).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let (outbound, inbound) = hop(spans, &parent);
    Ok(Live {
        trace_id,
        through: through.to_string(),
        status,
        failure,
        outbound,
        inbound,
        differs: Vec::new(),
    })
}

fn request(question: &Question, trace_id: &[u8; 16], parent: [u8; 8]) -> String {
    let hex = |bytes: &[u8]| mesh_controller::inspect::json::hex(bytes);
    let query = question.query().map(|query| format!("?{query}")).unwrap_or_default();
    let (method, authority, path) = (question.method(), question.authority(), question.path());
    let headers = question.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers = headers.collect::<Vec<_>>().concat();
    // The last byte says that it is to be told.
    let trace = format!("traceparent: 00-{}-{}-01\r\n", hex(trace_id), hex(&parent));
    let end = "content-length: 0\r\nconnection: close\r\n\r\n";
    format!("{method} http://{authority}{path}{query} HTTP/1.1\r\nhost: {authority}\r\n{trace}{headers}{end}")
}

async fn exchange(to: SocketAddr, text: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(text.as_bytes()).await?;
    let mut answer = Vec::new();
    // A connection that is reset has said what it had to say.
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await.ok();
    Ok(answer)
}

/// Status and failure code.
fn read(answer: &[u8]) -> (u32, String) {
    let text = String::from_utf8_lossy(answer);
    let mut lines = text.split("\r\n\r\n").next().unwrap_or_default().lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_default();
    let failure = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-mesh-failure").then(|| value.trim().to_owned())
    });
    (status, failure.unwrap_or_default())
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
        differs.push("the caller's sidecar did not report it in time".to_owned());
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
