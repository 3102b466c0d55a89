//! Requests to hosts outside the mesh: no policy, plaintext, another address while nothing has left. It must not know routes.

use std::net::SocketAddr;

use tokio::time::Instant;

use super::call::Call;
use super::{Host, Outbound};
use crate::http::{
    Body, ExchangeFailure, Fault, OwnBounds, RequestHead, Response, Unreached, Upgrade, UpstreamResponse,
    Wire,
};
use crate::telemetry::Failure;
use crate::worker::record::Record;
use crate::worker::wire;

/// Sends the request there and gives the answer.
pub(super) async fn forward(
    call: &Call,
    mut record: Record,
    host: &Host,
    head: RequestHead,
    body: Body,
    client: Upgrade,
) -> Response {
    let kind = head.kind;
    match send(call, &mut record, host, head, body).await {
        Err(fault) => call.fail(record, &fault, kind),
        Ok(UpstreamResponse { response, upgrade }) => {
            record.answered(None);
            match upgrade {
                Some(server) => {
                    record.head(&response, kind);
                    let permit = std::rc::Rc::clone(&call.permit);
                    call.outbound.worker.splice(record, client, server, permit);
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
    host: &Host,
    head: RequestHead,
    body: Body,
) -> Result<UpstreamResponse, Fault> {
    let outbound = &call.outbound;
    let by = Instant::from_std(record.started()) + outbound.worker.config.timeouts.tunnel_idle;
    let wire = wire::upstream(&head, None);
    let address = reach(outbound, host, wire).await?;
    let upstream = outbound.backends.foreign(address)?;
    record.attempt(None, upstream.security());
    match upstream.exchange(wire, head, body, by, &OwnBounds).await {
        Ok(answer) => Ok(answer),
        Err(ExchangeFailure::Unreached(why, _)) => {
            outbound.unreached(&why);
            Err(unreached(host, Some(why)))
        }
        Err(ExchangeFailure::Failed { failure, .. }) => {
            Err(Fault::new(failure, format!("{address} broke off before it answered")))
        }
        Err(ExchangeFailure::Body(error)) => {
            Err(Fault::new(Failure::BadRequest, format!("the request broke off: {error}")))
        }
    }
}

/// The address that the request goes to: one with a connection, or the first that can be reached, which then has one.
async fn reach(outbound: &Outbound, host: &Host, wire: Wire) -> Result<SocketAddr, Fault> {
    let addresses = outbound.resolve(host).await?;
    let warm = |address: &&SocketAddr| {
        outbound.backends.known_foreign(**address).is_some_and(|upstream| upstream.is_warm(wire))
    };
    // Nothing is to be won by a choice of one.
    if let Some(address) = addresses.iter().find(warm).or(addresses.first().filter(|_| addresses.len() == 1))
    {
        return Ok(*address);
    }
    let dial = async |address| {
        let upstream = outbound.backends.foreign(address).map_err(|_| Unreached::Bound)?;
        upstream.warm(wire, &OwnBounds).await
    };
    let reached = outbound.first_reached(addresses, dial).await;
    reached.map(|(address, ())| address).map_err(|why| unreached(host, why))
}

fn unreached(host: &Host, why: Option<Unreached>) -> Fault {
    let failure = why.as_ref().map_or(Failure::ConnectFailed, Unreached::failure);
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Fault::new(failure, format!("{host} outside the mesh cannot be reached{why}"))
}
