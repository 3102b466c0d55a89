//! One HTTP connection on the mesh port, and each of its requests on the way to the application.

use std::rc::Rc;

use mesh_model::name::WorkloadName;
use mesh_model::spiffe::SpiffeId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Inbound;
use crate::http::{
    Body, ExchangeFailure, Fault, Handler, Headers, Kind, Request, RequestHead, Response, Upgrade, UpstreamResponse,
    Wire, response_to,
};
use crate::telemetry::{AppProtocol, Event, Failure};
use crate::worker::record::Record;

/// A connection's place under the bound, shared by what it becomes.
pub(super) type Permit = Rc<OwnedSemaphorePermit>;

/// A connection.
pub(super) struct Call {
    inbound: Rc<Inbound>,
    peer: Option<SpiffeId>,
    wire: Wire,
    permit: Permit,
}

/// Headers by which somebody could claim to be somebody: only the certificate says who calls.
const IDENTITY_HEADERS: [&str; 4] =
    ["x-forwarded-client-cert", "l5d-client-id", "x-envoy-peer-metadata", "x-envoy-peer-metadata-id"];

impl Call {
    pub(super) fn new(inbound: Rc<Inbound>, peer: Option<SpiffeId>, wire: Wire, permit: Permit) -> Self {
        Self { inbound, peer, wire, permit }
    }

    /// The phases of a request.
    async fn forward(&self, mut head: RequestHead, body: Body, client: Upgrade) -> Response {
        let kind = head.kind;
        let mut record = self.inbound.record(AppProtocol::from(kind), self.peer.as_ref());
        strip_identity(&mut head.headers);
        Self::trace(&mut record, &mut head);
        let body = body.counted(record.bytes_in());
        match self.send(&mut record, head, body).await {
            Ok(answer) => self.answer(record, answer, client, kind),
            Err(fault) => {
                record.failure(fault.failure);
                record.attach(response_to(&fault, kind), kind)
            }
        }
    }

    fn trace(record: &mut Record, head: &mut RequestHead) {
        let context = record.trace(head);
        head.headers
            .set("traceparent", context.header().as_bytes())
            .expect("hexadecimal digits and hyphens are a value");
    }

    async fn send(
        &self,
        record: &mut Record,
        head: RequestHead,
        body: Body,
    ) -> Result<UpstreamResponse, Fault> {
        let app = &self.inbound.app;
        let wire = if head.upgrade.is_some() { Wire::Http1 } else { self.wire };
        let deadline = Instant::now() + self.inbound.worker.config.timeouts.tunnel_idle;
        match app.exchange(wire, head, body, deadline).await {
            Ok(answer) => Ok(answer),
            Err(ExchangeFailure::Unreached(why, _)) => {
                let failure = why.failure();
                let telemetry = &self.inbound.worker.telemetry;
                telemetry.count(if failure == Failure::Overload {
                    Event::Overload
                } else {
                    Event::ConnectFailed
                });
                record.failure(failure);
                Err(Fault::new(failure, format!("the application does not take the request: {why}")))
            }
            Err(ExchangeFailure::Failed { failure, .. }) => Err(Fault::new(
                failure,
                format!("the application at {} broke off before it answered", app.address()),
            )),
            Err(ExchangeFailure::Body(error)) => {
                Err(Fault::new(Failure::BadRequest, format!("the request broke off: {error}")))
            }
        }
    }

    fn answer(&self, mut record: Record, answer: UpstreamResponse, client: Upgrade, kind: Kind) -> Response {
        let UpstreamResponse { response, upgrade } = answer;
        match upgrade {
            Some(server) => {
                record.head(&response, kind);
                self.inbound.worker.splice(record, client, server, Rc::clone(&self.permit));
                response.with_body(Body::empty())
            }
            None => {
                record.answered(None);
                record.attach(response, kind)
            }
        }
    }
}

impl Handler for Call {
    async fn handle(self: Rc<Self>, request: Request) -> Response {
        match request.head {
            Ok(head) => self.forward(head, request.body, request.upgrade).await,
            Err(bad) => {
                let mut record = self.inbound.record(AppProtocol::Http, self.peer.as_ref());
                record.failure(Failure::BadRequest);
                record.attach(
                    response_to(&Fault::new(Failure::BadRequest, bad.to_string()), Kind::Http),
                    Kind::Http,
                )
            }
        }
    }
}

/// The workload that an identity stands for: outside Kubernetes they have the same name.
pub(super) fn workload(identity: &SpiffeId) -> Option<WorkloadName> {
    WorkloadName::new(identity.namespace(), identity.service_account()).ok()
}

fn strip_identity(headers: &mut Headers) {
    headers.remove_where(|name| name.starts_with("x-mesh-") || IDENTITY_HEADERS.contains(&name));
}
