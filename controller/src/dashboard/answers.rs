//! Answers of `inspect` as the JSON of `meshctl -o json`. Where a replica knows only its own proxies, the others are asked here and their
//! answers put together. It must not know HTTP.

use std::time::Duration;

use mesh_proto::inspect::v1::inspect_service_server::InspectService as _;
use mesh_proto::inspect::v1::{CertsRequest, SyncRequest, TraceRequest, VersionRequest};
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Response, Status};

use super::routes::Ask;
use crate::access::sessions::SignedIn;
use crate::inspect::{Inspector, json as told, together};

/// For one answer, those of other replicas in it.
const DEADLINE: Duration = Duration::from_secs(8);
/// A trace that is wanted by its id is there at once or not at all.
const KNOWN: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The question cannot be answered.
    #[error("{0}")]
    Wrong(String),
    /// It is not there (any more).
    #[error("{0}")]
    Gone(&'static str),
    /// Too much is asked for at once.
    #[error("{0}")]
    Busy(String),
    /// It did not come in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Late,
    /// Something is wrong here.
    #[error("{0}")]
    Failed(String),
}

impl From<Status> for NoAnswer {
    fn from(status: Status) -> Self {
        let text = status.message().to_owned();
        match status.code() {
            Code::InvalidArgument => Self::Wrong(text),
            Code::ResourceExhausted => Self::Busy(text),
            _ => Self::Failed(text),
        }
    }
}

/// A question of who is signed in.
pub fn asked<T>(message: T, proof: &SignedIn) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(proof.clone());
    request
}

/// Answers what is no stream.
pub async fn answer(inspector: &Inspector, ask: Ask, proof: &SignedIn) -> Result<Value, NoAnswer> {
    tokio::time::timeout(DEADLINE, find(inspector, ask, proof)).await.map_err(|_| NoAnswer::Late)?
}

async fn find(inspector: &Inspector, ask: Ask, proof: &SignedIn) -> Result<Value, NoAnswer> {
    Ok(match ask {
        Ask::Stat(request) => {
            let (group, by_source) = (request.group(), !request.to.is_empty());
            let answer = inspector.stat(asked(request, proof)).await?.into_inner();
            told::golden(&answer, group, by_source)
        }
        Ask::Edges(request) => told::edges(&inspector.edges(asked(request, proof)).await?.into_inner()),
        Ask::Failures(request) => {
            told::failures(&inspector.failures(asked(request, proof)).await?.into_inner())
        }
        Ask::Protocols(request) => {
            told::protocols(&inspector.protocols(asked(request, proof)).await?.into_inner())
        }
        Ask::Sync => {
            let here = inspector.sync(asked(SyncRequest::default(), proof)).await?;
            let there =
                inspector.others.ask(|mut client| async move { client.sync(SyncRequest::default()).await });
            let (all, unanswered) = with(here, there.await);
            named(told::sync(&together::sync(all)), unanswered)
        }
        Ask::Certs => {
            let here = inspector.certs(asked(CertsRequest {}, proof)).await?;
            let there = inspector.others.ask(|mut client| async move { client.certs(CertsRequest {}).await });
            let (all, unanswered) = with(here, there.await);
            named(told::certs(&together::certs(all)), unanswered)
        }
        Ask::Version => {
            let here = inspector.version(asked(VersionRequest {}, proof)).await?;
            let there =
                inspector.others.ask(|mut client| async move { client.version(VersionRequest {}).await });
            let (all, unanswered) = with(here, there.await);
            let all = together::version(all);
            let proxies = all.proxies.iter().map(|one| json!({ "version": one.version, "count": one.count }));
            let proxies: Vec<Value> = proxies.collect();
            named(json!({ "controller": all.version, "proxies": proxies }), unanswered)
        }
        Ask::Objectives(request) => {
            told::objectives(&inspector.objectives(asked(request, proof)).await?.into_inner())
        }
        Ask::Canaries(request) => {
            let answer = inspector.canaries(asked(request, proof)).await?.into_inner();
            json!({ "canaries": answer.canaries.iter().map(told::canary).collect::<Vec<_>>() })
        }
        Ask::Comparisons(request) => {
            told::comparisons(&inspector.comparisons(asked(request, proof)).await?.into_inner())
        }
        Ask::Trace(request) => trace(inspector, request, proof).await?,
        Ask::Tap(_) | Ask::Traces(_) => return Err(NoAnswer::Wrong("that is a stream".to_owned())),
    })
}

fn with<T>(here: Response<T>, (mut there, unanswered): (Vec<T>, Vec<String>)) -> (Vec<T>, Vec<String>) {
    there.insert(0, here.into_inner());
    (there, unanswered)
}

fn named(mut answer: Value, unanswered: Vec<String>) -> Value {
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("unanswered".to_owned(), unanswered.into());
    }
    answer
}

/// One that was finished in the last minutes.
async fn trace(inspector: &Inspector, request: TraceRequest, proof: &SignedIn) -> Result<Value, NoAnswer> {
    let mut traces = inspector.trace(asked(request, proof)).await?.into_inner();
    match tokio::time::timeout(KNOWN, traces.next()).await {
        Ok(Some(trace)) => Ok(told::trace(&trace?)),
        Ok(None) | Err(_) => Err(NoAnswer::Gone(
            "this trace is not known here: the last 500 that somebody followed are kept for some minutes",
        )),
    }
}
