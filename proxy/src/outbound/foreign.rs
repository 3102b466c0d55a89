//! Requests to hosts outside the mesh, and to an endpoint by its own address: no routes, no balancing, another address of the host
//! while nothing has left. It must not know routes.

use std::net::SocketAddr;
use std::rc::Rc;

use mesh_model::address::Direct;
use mesh_model::service::Protocol;
use tokio::time::Instant;

use super::call::Call;
use super::{Host, Outbound};
use crate::http::{
    Body, ExchangeFailure, Fault, OwnBounds, RequestHead, Response, Unreached, Upgrade, Upstream,
    UpstreamResponse, Wire,
};
use crate::state::Snapshot;
use crate::telemetry::Failure;
use crate::worker::record::{Record, Tried};
use crate::worker::wire;

/// Where a request goes.
#[derive(Clone, Copy)]
pub(super) struct To<'a> {
    pub(super) host: &'a Host,
    /// The one endpoint that it may go to, if it is a member of the mesh.
    pub(super) direct: Option<&'a Direct>,
}

/// Sends the request there and gives the answer.
pub(super) async fn forward(
    call: &Call,
    mut record: Record,
    to: To<'_>,
    head: Box<RequestHead>,
    body: Body,
    client: Upgrade,
) -> Response {
    let kind = head.kind;
    match send(call, &mut record, to, head, body).await {
        Err(fault) => call.fail(record, &fault, kind),
        Ok(UpstreamResponse { response, upgrade, .. }) => {
            record.answered(None);
            match upgrade {
                Some(server) => {
                    record.head(&response, kind);
                    let permit = Rc::clone(&call.permit);
                    call.outbound.worker.splice(record, client, server, permit, std::future::pending());
                    response.with_body(Body::empty())
                }
                None => record.attach(response, kind),
            }
        }
    }
}

async fn send(
    call: &Call,
    record: &mut Record,
    to: To<'_>,
    head: Box<RequestHead>,
    body: Body,
) -> Result<UpstreamResponse, Fault> {
    let outbound = &call.outbound;
    let by = Instant::from_std(record.started()) + outbound.worker.config.timeouts.tunnel_idle;
    let snapshot = outbound.worker.snapshot();
    let declared = match to.direct {
        Some(direct) => declared(&snapshot, direct),
        None => outbound.spoken(to.host),
    };
    let wire = wire::upstream(&head, declared);
    let (upstream, workload) = match to.direct {
        Some(direct) => {
            let upstream = outbound.backends.direct(&direct.endpoint, &snapshot)?;
            (upstream, direct.endpoint.workload.clone())
        }
        None => (reach(outbound, to.host, wire).await?, None),
    };
    let address = upstream.address();
    let number = record.attempt(address, workload, upstream.security(), false);
    let result = upstream.exchange(wire, head, body, by, &OwnBounds).await;
    record.tried(number, told(&result));
    match result {
        Ok(answer) => Ok(answer),
        Err(ExchangeFailure::Unreached(why, _)) => {
            outbound.unreached(&why);
            Err(unreached(to, Some(why)))
        }
        Err(ExchangeFailure::Failed { failure, .. }) => {
            Err(Fault::new(failure, format!("{address} broke off before it answered")))
        }
        Err(ExchangeFailure::Body(error)) => {
            Err(Fault::new(Failure::BadRequest, format!("the request broke off: {error}")))
        }
    }
}

/// For the record.
fn told(result: &Result<UpstreamResponse, ExchangeFailure>) -> Tried {
    match result {
        Ok(answer) => {
            Tried { status: answer.response.status.as_u16(), connected: answer.connected, ..Tried::default() }
        }
        Err(ExchangeFailure::Unreached(why, _)) => Tried { failure: Some(why.failure()), ..Tried::default() },
        Err(ExchangeFailure::Failed { failure, .. }) => Tried { failure: Some(*failure), ..Tried::default() },
        Err(ExchangeFailure::Body(_)) => Tried { failure: Some(Failure::BadRequest), ..Tried::default() },
    }
}

/// The address that the request goes to: one with a connection, or the first that can be reached, which then has one.
async fn reach(outbound: &Outbound, host: &Host, wire: Wire) -> Result<Rc<Upstream>, Fault> {
    let (addresses, hop) = (outbound.resolve(host).await?, outbound.hop(host)?);
    let warm = |address: &&SocketAddr| {
        outbound.backends.known_foreign(**address, &hop).is_some_and(|upstream| upstream.is_warm(wire))
    };
    // Nothing is to be won by a choice of one.
    if let Some(address) = addresses.iter().find(warm).or(addresses.first().filter(|_| addresses.len() == 1))
    {
        return outbound.backends.foreign(*address, &hop);
    }
    let dial = async |address| {
        let upstream = outbound.backends.foreign(address, &hop).map_err(|_| Unreached::Bound)?;
        upstream.warm(wire, &OwnBounds).await
    };
    let reached = outbound.first_reached(addresses, dial).await;
    match reached {
        Ok((address, ())) => outbound.backends.foreign(address, &hop),
        Err(why) => Err(unreached(To { host, direct: None }, why)),
    }
}

fn unreached(to: To<'_>, why: Option<Unreached>) -> Fault {
    let (failure, reason) =
        why.as_ref().map_or((Failure::ConnectFailed, None), |why| (why.failure(), why.reason()));
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let what = if to.direct.is_some() { "" } else { " outside the mesh" };
    Fault::new(failure, format!("{}{what} cannot be reached{why}", to.host)).because(reason)
}

fn declared(snapshot: &Snapshot, direct: &Direct) -> Option<Protocol> {
    let (service, port) = direct.service.as_ref()?;
    wire::declared(&snapshot.backend_policy(service, *port), snapshot, service, *port)
}
