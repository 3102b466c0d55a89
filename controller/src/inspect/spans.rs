//! Spans from replica to replica: a trace is put together where it is read, also when its proxies report to several replicas. Here
//! both ends: what this one hands to others, and what it asks of them while somebody reads.

use std::net::SocketAddr;
use std::time::Duration;

use mesh_lifecycle::Tasks;
use mesh_proto::inspect::v1::{SpansRequest, SpansResponse};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::others::{Client, Others};
use crate::clock::now_ms;
use crate::observe::Observatory;

/// Messages that wait to be written to another replica, besides those in the common queue.
const QUEUE: usize = 16;
/// A replica that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(10);
/// For another replica to begin.
const DEADLINE: Duration = Duration::from_secs(3);
/// Between looks at who the others are, and before one that went is asked again.
const EVERY: Duration = Duration::from_secs(2);
/// Every trace.
const ALL_PPM: u32 = 1_000_000;

type Answer = Result<SpansResponse, Status>;

/// Hands spans of this replica's proxies to another one until it leaves.
pub fn follow(observatory: Observatory, request: SpansRequest, tasks: &Tasks) -> ReceiverStream<Answer> {
    let (out, answers) = mpsc::channel(QUEUE);
    let token = tasks.token();
    tasks.spawn("span reader", async move {
        let mut spans = observatory.follow_spans();
        let _wanted = observatory.demand().want(request.sample_ppm.min(ALL_PPM));
        let work = async {
            loop {
                let spans = match spans.recv().await {
                    Ok(spans) => Vec::clone(&spans),
                    Err(RecvError::Lagged(missed)) => {
                        observatory.lagged(missed);
                        continue;
                    }
                    Err(RecvError::Closed) => return,
                };
                if out.send_timeout(Ok(SpansResponse { spans }), STALLED).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = out.closed() => {}
            () = work => {}
        }
    });
    ReceiverStream::new(answers)
}

/// Asks the others for spans for as long as somebody reads traces here.
pub async fn gather(observatory: Observatory, others: Others) {
    let mut wanted = observatory.elsewhere().largest();
    loop {
        let ppm = *wanted.borrow_and_update();
        let over = async {
            // An error means that nobody can want anything any more.
            if wanted.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        if ppm == 0 {
            over.await;
            continue;
        }
        tokio::select! {
            () = over => {}
            () = from_all(&observatory, &others, ppm) => {}
        }
    }
}

/// Until the list of replicas changes.
async fn from_all(observatory: &Observatory, others: &Others, ppm: u32) {
    let clients = others.clients();
    let asked: Vec<SocketAddr> = clients.iter().map(|(address, _)| *address).collect();
    let each = clients.into_iter().map(|(address, client)| from_one(observatory, address, client, ppm));
    let all = futures_util::future::join_all(each);
    let changed = async {
        while others.addresses() == asked {
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = changed => {}
        () = async { all.await; std::future::pending::<()>().await } => {}
    }
}

async fn from_one(observatory: &Observatory, address: SocketAddr, client: Client, ppm: u32) {
    loop {
        if let Err(status) = read(observatory, client.clone(), ppm).await {
            tracing::debug!(%address, %status, "another replica hands on no spans");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn read(observatory: &Observatory, mut client: Client, sample_ppm: u32) -> Result<(), Status> {
    let opened = tokio::time::timeout(DEADLINE, client.spans(SpansRequest { sample_ppm })).await;
    let mut spans = opened.map_err(|_| Status::deadline_exceeded("no answer in 3 s"))??.into_inner();
    while let Some(SpansResponse { spans }) = spans.message().await? {
        observatory.merge_spans(spans, now_ms());
    }
    Ok(())
}
