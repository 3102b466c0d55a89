//! Hands tapped requests to one reader: those of this replica's proxies and of the others'. Proxies report them for as long as it reads.

use std::time::Duration;

use mesh_lifecycle::Tasks;
use mesh_proto::inspect::v1::{TapRequest, TapResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::others::{Client, Others};
use crate::clock::now_ms;
use crate::observe::Observatory;
use crate::observe::taps::{Refused, Session, seconds};

/// Events that wait to be written to this reader, besides those of its sessions.
const QUEUE: usize = 64;
/// A reader that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(30);
/// For another replica to begin.
const DEADLINE: Duration = Duration::from_secs(3);

type Answer = Result<TapResponse, Status>;

/// Opens the sessions and sends their events until the reader leaves, has as many as it wanted, or the time is over.
pub fn follow(
    observatory: &Observatory,
    others: &Others,
    request: TapRequest,
    tasks: &Tasks,
) -> Result<ReceiverStream<Answer>, Status> {
    let session = observatory.taps().open(&request, now_ms()).map_err(|refused| match refused {
        Refused::Full => Status::resource_exhausted(refused.to_string()),
        Refused::Filter { .. } => Status::invalid_argument(refused.to_string()),
    })?;
    let clients = if request.local_only { Vec::new() } else { others.clients() };
    let (out, answers) = mpsc::channel(QUEUE);
    let token = tasks.token();
    tasks.spawn("tap reader", async move {
        let over = Duration::from_secs(seconds(&request).into());
        let work = send(session, clients, request, &out);
        tokio::select! {
            () = token.cancelled() => {}
            () = out.closed() => {}
            () = tokio::time::sleep(over) => {}
            () = work => {}
        }
    });
    Ok(ReceiverStream::new(answers))
}

async fn send(
    mut session: Session,
    clients: Vec<(std::net::SocketAddr, Client)>,
    request: TapRequest,
    out: &mpsc::Sender<Answer>,
) {
    let (all, mut events) = mpsc::channel::<TapResponse>(QUEUE);
    let elsewhere = clients.into_iter().map(|(address, client)| {
        let (all, request) = (all.clone(), TapRequest { local_only: true, limit: 0, ..request.clone() });
        async move {
            if let Err(status) = relay(client, request, all).await {
                tracing::debug!(%address, %status, "another replica does not tap");
            }
        }
    });
    let elsewhere = futures_util::future::join_all(elsewhere);
    let here = async {
        while let Some(event) = session.next().await {
            if all.send(event).await.is_err() {
                return;
            }
        }
    };
    let hand_on = async {
        let mut sent = 0;
        while request.limit == 0 || sent < request.limit {
            let Some(event) = events.recv().await else { return };
            if out.send_timeout(Ok(event), STALLED).await.is_err() {
                return;
            }
            sent += 1;
        }
    };
    // The reader's end is the end of all; a replica that goes takes only its own events with it.
    tokio::select! {
        () = hand_on => {}
        () = async { tokio::join!(here, elsewhere); } => {}
    }
}

async fn relay(
    mut client: Client,
    request: TapRequest,
    all: mpsc::Sender<TapResponse>,
) -> Result<(), Status> {
    let opened = tokio::time::timeout(DEADLINE, client.tap(request)).await;
    let mut events = opened.map_err(|_| Status::deadline_exceeded("no answer in 3 s"))??.into_inner();
    while let Some(event) = events.message().await? {
        if all.send(event).await.is_err() {
            break;
        }
    }
    Ok(())
}
