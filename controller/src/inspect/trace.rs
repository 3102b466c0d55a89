//! Follows traces for one reader: only those that it asked for, and proxies report them for as long as it reads.

use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::Tasks;
use mesh_proto::inspect::v1::{Dropping, TraceRequest, TraceResponse};
use mesh_proto::report::v1::{Side, Span};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::observe::Observatory;
use crate::observe::stats::{is_failure, named};
use crate::observe::traces::Assembled;

/// Traces that wait to be written to this reader, besides those in the common queue.
const QUEUE: usize = 16;
/// A reader that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// Every trace.
const ALL_PPM: u32 = 1_000_000;

/// Sends traces until the reader leaves or has as many as it wanted.
pub fn follow(
    observatory: Observatory,
    request: TraceRequest,
    tasks: &Tasks,
) -> ReceiverStream<Result<TraceResponse, Status>> {
    let (out, answers) = mpsc::channel(QUEUE);
    let token = tasks.token();
    tasks.spawn("trace reader", async move {
        let work = send(observatory, request, &out);
        tokio::select! {
            () = token.cancelled() => {}
            () = out.closed() => {}
            () = work => {}
        }
    });
    ReceiverStream::new(answers)
}

async fn send(
    observatory: Observatory,
    request: TraceRequest,
    out: &mpsc::Sender<Result<TraceResponse, Status>>,
) {
    let ppm = if request.sample_ppm == 0 { ALL_PPM } else { request.sample_ppm.min(ALL_PPM) };
    let mut traces = observatory.follow_traces();
    let _wanted = observatory.demand().want(ppm);
    let _elsewhere = (!request.local_only).then(|| observatory.elsewhere().want(ppm));
    let mut sent = 0;
    if let Some(known) = observatory.finished(&request.trace_id) {
        // The reader's end is seen at the next send.
        let _ = out.send_timeout(Ok(response(&observatory, &known)), STALLED).await;
        return;
    }
    while request.limit == 0 || sent < request.limit {
        let trace = match traces.recv().await {
            Ok(trace) => trace,
            Err(RecvError::Lagged(missed)) => {
                observatory.lagged(missed);
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        if !wanted(&request, &trace) {
            continue;
        }
        if out.send_timeout(Ok(response(&observatory, &trace)), STALLED).await.is_err() {
            return;
        }
        sent += 1;
    }
}

/// Whether a trace is what the reader asked for.
fn wanted(request: &TraceRequest, trace: &Assembled) -> bool {
    let failed = || trace.spans.iter().any(|span| is_failure(span.status, span.grpc_status, &span.failure));
    let begin = trace.spans.iter().map(|span| span.start_us).min().unwrap_or(0);
    let end =
        trace.spans.iter().map(|span| span.start_us.saturating_add(span.duration_us)).max().unwrap_or(0);
    let slow = || end.saturating_sub(begin) > u64::from(request.slower_than_ms) * 1000;
    let through = |wanted: &str| {
        trace.spans.iter().any(|span| {
            named(wanted, &span.source_namespace, &span.source_workload)
                || named(wanted, &span.destination_namespace, &span.destination_workload)
                || named(wanted, &span.service_namespace, &span.service)
        })
    };
    (!request.failed_only || failed())
        && (request.slower_than_ms == 0 || slow())
        && (request.through.is_empty() || through(&request.through))
        && (request.trace_id.is_empty() || *request.trace_id == trace.trace_id)
}

fn response(observatory: &Observatory, trace: &Arc<Assembled>) -> TraceResponse {
    let begins = |span: &Span| span.side() == Side::Outbound && span.parent_span_id.is_empty();
    let of_it = |one: &Dropping| {
        trace.spans.iter().any(|span| {
            let asked = span.side() == Side::Inbound
                && (&span.destination_namespace, &span.destination_workload)
                    == (&one.namespace, &one.workload);
            let began = begins(span)
                && (&span.source_namespace, &span.source_workload) == (&one.namespace, &one.workload);
            asked || began
        })
    };
    TraceResponse {
        dropping: observatory.dropping().into_iter().filter(of_it).collect(),
        trace_id: trace.trace_id.to_vec(),
        spans: trace.spans.clone(),
        complete: trace.missing.is_empty(),
        missing: trace.missing.clone(),
    }
}
