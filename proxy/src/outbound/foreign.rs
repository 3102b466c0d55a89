//! Requests to hosts outside the mesh: no policy, plaintext, another address while nothing has left. It must not know routes.

use tokio::time::Instant;

use super::Host;
use super::call::Call;
use crate::config::CONNECT_ATTEMPTS;
use crate::http::{
    Body, ExchangeFailure, Fault, OwnBounds, RequestHead, Response, Unreached, Upgrade, UpstreamResponse,
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
    let (mut head, mut body) = (head, body);
    let mut last = None;
    for address in outbound.resolve(host).await?.into_iter().take(CONNECT_ATTEMPTS) {
        let upstream = outbound.backends.foreign(address)?;
        record.attempt(None, upstream.security());
        match upstream.exchange(wire, head, body, by, &OwnBounds).await {
            Ok(answer) => return Ok(answer),
            Err(ExchangeFailure::Unreached(why, back)) => {
                outbound.unreached(&why);
                (head, body) = *back;
                last = Some(why);
            }
            Err(ExchangeFailure::Failed { failure, .. }) => {
                return Err(Fault::new(failure, format!("{address} broke off before it answered")));
            }
            Err(ExchangeFailure::Body(error)) => {
                return Err(Fault::new(Failure::BadRequest, format!("the request broke off: {error}")));
            }
        }
    }
    let failure = last.as_ref().map_or(Failure::ConnectFailed, Unreached::failure);
    let why = last.map(|why| format!(": {why}")).unwrap_or_default();
    Err(Fault::new(failure, format!("{host} outside the mesh cannot be reached{why}")))
}
