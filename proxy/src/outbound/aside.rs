//! Requests of our own beside that of the application: copies for mirrors, and questions about it. They are balanced like any, go to another
//! endpoint where one takes no connection, and have a record of their own. It must not know what they are for.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use mesh_model::name::ServiceName;
use mesh_traffic::balance::Ask;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::Outbound;
use crate::ask::{Sent, Way};
use crate::config::CONNECT_ATTEMPTS;
use crate::http::{Body, ExchangeFailure, RequestHead, Response, Unreached};
use crate::telemetry::{AppProtocol, Failure, Side};
use crate::worker::record::Record;
use crate::worker::wire;

/// Sends it. The answer has its record with it. `Err` says why there is none.
pub(super) async fn send(
    outbound: &Outbound,
    (service, port): (&ServiceName, u16),
    label: Option<&Arc<str>>,
    (head, body): (Box<RequestHead>, Bytes),
    end: Instant,
) -> Result<Response, &'static str> {
    let worker = &outbound.worker;
    let kind = head.kind;
    let mut record = Record::new(worker, Side::Outbound, AppProtocol::from(kind));
    record.source(worker.own.clone());
    record.shows(&head);
    record.service(service.clone(), port);
    if let Some(label) = label {
        record.route(label);
    }
    let snapshot = worker.snapshot();
    let Some(backend) = outbound.backends.backend(&snapshot, service, port) else {
        record.failure(Failure::NoEndpoints);
        return Err("is not known here");
    };
    let wire = wire::upstream(&head, wire::declared(&backend.policy(), &snapshot, service, port));
    let mut tried = SmallVec::<[SocketAddr; CONNECT_ATTEMPTS]>::new();
    loop {
        let now = std::time::Instant::now();
        let Ok(picked) = backend.pick(&Ask::new(now, &tried), |n| worker.random_below(n)) else {
            record.failure(if tried.is_empty() { Failure::NoEndpoints } else { Failure::ConnectFailed });
            return Err("has no endpoint that takes requests");
        };
        let (address, workload) = (picked.endpoint.address, picked.endpoint.workload.clone());
        record.server(&picked.endpoint.transport);
        record.attempt(address, workload, picked.payload.security(), false);
        let load = picked.load.begin(now);
        let whole = if body.is_empty() { Body::empty() } else { Body::bytes(body.clone()) };
        match picked.payload.exchange(wire, head.clone(), whole, end, &*backend).await {
            Ok(answer) => {
                picked.load.connected();
                record.answered(Some(load));
                let response = record.attach(answer.response, kind);
                return Ok(response.map_body(|body| body.until(Some(end))));
            }
            Err(ExchangeFailure::Unreached(why, _)) => {
                tracing::debug!(%service, error = %why, "an endpoint takes no request of ours");
                outbound.unreached(&why);
                if !matches!(why, Unreached::Bound | Unreached::Crowded(_) | Unreached::Exceeded(_)) {
                    let ejected = picked.load.connect_failed(std::time::Instant::now());
                    record.ejected(ejected.then(picked.endpoint.address));
                }
                tried.push(picked.endpoint.address);
                if tried.len() >= CONNECT_ATTEMPTS || matches!(why, Unreached::Exceeded(_)) {
                    record.failure(why.failure());
                    return Err("cannot be reached");
                }
            }
            Err(error) => {
                tracing::debug!(%service, ?error, "a request of ours was not answered");
                record.failure(Failure::UpstreamReset);
                return Err("broke off before it answered");
            }
        }
    }
}

impl Way for Outbound {
    fn send<'a>(
        &'a self,
        to: (&'a ServiceName, u16),
        head: Box<RequestHead>,
        body: Bytes,
        end: Instant,
    ) -> Sent<'a> {
        Box::pin(send(self, to, None, (head, body), end))
    }
}
