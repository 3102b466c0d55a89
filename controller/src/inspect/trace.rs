//! Follows traces for one reader: only those that it asked for, and proxies report them for as long as it reads.

use std::sync::Arc;
use std::time::Duration;

use mesh_lifecycle::Tasks;
use mesh_proto::inspect::v1::{TraceRequest, TraceResponse};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::observe::Observatory;
use crate::observe::stats::is_failure;
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
    let mut sent = 0;
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
        if out.send_timeout(Ok(response(&trace)), STALLED).await.is_err() {
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
    (!request.failed_only || failed()) && (request.slower_than_ms == 0 || slow())
}

fn response(trace: &Arc<Assembled>) -> TraceResponse {
    TraceResponse {
        trace_id: trace.trace_id.to_vec(),
        spans: trace.spans.clone(),
        complete: trace.missing.is_empty(),
        missing: trace.missing.clone(),
    }
}
