//! One HTTP connection of the application, and each of its requests on the way to a backend.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::{Method, StatusCode};
use mesh_model::name::ServiceName;
use mesh_model::route::edit::edit_headers;
use mesh_model::route::{HeaderEdit, Timeouts};
use mesh_model::service::Protocol;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::destination::Found;
use super::plan::{Outcome, Plan, plan};
use super::{Host, Outbound, Permit};
use crate::config::CONNECT_ATTEMPTS;
use crate::http::{
    Body, BodyError, ExchangeFailure, Fault, Handler, HeaderEdits, Kind, Request, RequestHead, Response, Unreached,
    Upgrade, UpstreamResponse, Wire, response_to,
};
use crate::telemetry::{AppProtocol, Event, Failure, Side};
use crate::worker::record::Record;

/// A connection. `host` is its destination; on the HTTP proxy port each request names its own.
pub(super) struct Call {
    outbound: Rc<Outbound>,
    host: Option<Rc<Host>>,
    permit: Permit,
}

/// A request on its way.
struct Sending {
    head: RequestHead,
    body: Body,
    deadline: Deadline,
}

/// When a request must have been answered, and whether a rule says so.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    /// Only a rule's timeout ends a body; the other one is for the head alone.
    body: Option<Instant>,
}

impl Call {
    pub(super) fn new(outbound: Rc<Outbound>, host: Option<Rc<Host>>, permit: Permit) -> Self {
        Self { outbound, host, permit }
    }

    /// The phases of a request.
    async fn forward(&self, record: &mut Record, request: Checked) -> Result<Answer, Fault> {
        let Checked { mut head, body } = request;
        let host = self.host(&head)?;
        Self::trace(record, &mut head);
        let found = self.outbound.discover(&host).await?;
        match found {
            Found::Foreign => {
                let deadline = self.deadline(record, Timeouts::default());
                let answer = self.send_foreign(record, &host, Sending { head, body, deadline }).await?;
                Ok(Answer::Upstream(Box::new(answer), Vec::new(), deadline.body))
            }
            Found::Service { destination, port } => {
                let service = destination.service.name.clone();
                record.service(service.clone(), port);
                let table = destination.table(port).map(AsRef::as_ref);
                let plan = plan(table, &service, port, &mut head, self.outbound.worker.random());
                self.carry_out(record, plan, head, body).await
            }
        }
    }

    async fn carry_out(
        &self,
        record: &mut Record,
        plan: Plan,
        head: RequestHead,
        body: Body,
    ) -> Result<Answer, Fault> {
        if let Some(label) = &plan.label {
            record.route(label);
        }
        let deadline = self.deadline(record, plan.timeouts);
        match plan.outcome {
            Outcome::Fault(fault) => Err(fault),
            Outcome::Redirect(answer) => Ok(Answer::Redirect(answer.status, answer.location, plan.response)),
            Outcome::Backend { service, port } => {
                let answer = self.send(record, &service, port, Sending { head, body, deadline }).await?;
                Ok(Answer::Upstream(Box::new(answer), plan.response, deadline.body))
            }
        }
    }

    /// The destination: the listener's, or what the request names.
    fn host(&self, head: &RequestHead) -> Result<Rc<Host>, Fault> {
        match &self.host {
            Some(host) => Ok(Rc::clone(host)),
            None => Host::parse(&head.authority).map(Rc::new),
        }
    }

    fn trace(record: &mut Record, head: &mut RequestHead) {
        let context = record.trace(head);
        head.headers
            .set("traceparent", context.header().as_bytes())
            .expect("hexadecimal digits and hyphens are a value");
    }

    fn deadline(&self, record: &Record, timeouts: Timeouts) -> Deadline {
        let limit = [timeouts.request, timeouts.backend_request]
            .into_iter()
            .flatten()
            .filter(|limit| *limit > Duration::ZERO)
            .min();
        let started = Instant::from_std(record.started());
        match limit {
            Some(limit) => Deadline { at: started + limit, body: Some(started + limit) },
            None => Deadline { at: started + self.outbound.worker.config.timeouts.tunnel_idle, body: None },
        }
    }

    /// Balance, connect, forward. Another endpoint is tried while nothing of the request has left.
    async fn send(
        &self,
        record: &mut Record,
        service: &ServiceName,
        port: u16,
        sending: Sending,
    ) -> Result<UpstreamResponse, Fault> {
        let worker = &self.outbound.worker;
        let snapshot = worker.snapshot();
        let declared =
            snapshot.service(service).and_then(|service| service.port(port)).and_then(|port| port.protocol);
        let wire = upstream_wire(&sending.head, declared);
        let deadline = sending.deadline.at;
        let (mut head, mut body) = (sending.head, sending.body);
        let mut tried = SmallVec::<[SocketAddr; CONNECT_ATTEMPTS]>::new();
        let mut last = None;
        while tried.len() < CONNECT_ATTEMPTS {
            let random = |n| worker.random_below(n);
            let Some(slot) = self.outbound.backends.pick(&snapshot, service, port, &tried, random) else {
                break;
            };
            record.destination(slot.endpoint.workload.clone(), slot.payload.security());
            let in_flight = slot.load.begin(std::time::Instant::now());
            match slot.payload.exchange(wire, head, body, deadline).await {
                Ok(answer) => {
                    slot.load.connected();
                    record.answered(Some(in_flight));
                    return Ok(answer);
                }
                Err(ExchangeFailure::Unreached(why, back)) => {
                    self.outbound.unreached(&why);
                    if !matches!(why, Unreached::Bound) {
                        slot.load.connect_failed(std::time::Instant::now());
                    }
                    tried.push(slot.endpoint.address);
                    (head, body) = *back;
                    last = Some(why);
                }
                Err(ExchangeFailure::Failed { failure, .. }) => {
                    return Err(broke_off(failure, slot.endpoint.address));
                }
                Err(ExchangeFailure::Body(error)) => return Err(body_broke_off(error)),
            }
        }
        Err(not_reached(service, port, last))
    }

    async fn send_foreign(
        &self,
        record: &mut Record,
        host: &Host,
        sending: Sending,
    ) -> Result<UpstreamResponse, Fault> {
        let wire = upstream_wire(&sending.head, None);
        let (mut head, mut body) = (sending.head, sending.body);
        let mut last = None;
        for address in self.outbound.resolve(host).await?.into_iter().take(CONNECT_ATTEMPTS) {
            let upstream = self.outbound.backends.foreign(address)?;
            match upstream.exchange(wire, head, body, sending.deadline.at).await {
                Ok(answer) => {
                    record.answered(None);
                    return Ok(answer);
                }
                Err(ExchangeFailure::Unreached(why, back)) => {
                    self.outbound.unreached(&why);
                    (head, body) = *back;
                    last = Some(why);
                }
                Err(ExchangeFailure::Failed { failure, .. }) => return Err(broke_off(failure, address)),
                Err(ExchangeFailure::Body(error)) => return Err(body_broke_off(error)),
            }
        }
        let failure = last.as_ref().map_or(Failure::ConnectFailed, Unreached::failure);
        let why = last.map(|why| format!(": {why}")).unwrap_or_default();
        Err(Fault::new(failure, format!("{host} outside the mesh cannot be reached{why}")))
    }

    /// `CONNECT`: a tunnel, which is served like a listener for that destination.
    async fn connect(&self, record: Record, head: &RequestHead, client: Upgrade) -> Response {
        let found = match Host::parse(&head.authority) {
            Ok(host) => self.outbound.discover(&host).await.map(|_| host),
            Err(fault) => Err(fault),
        };
        match found {
            Err(fault) => fail(record, &fault, head.kind),
            Ok(host) => {
                // What goes through the tunnel has records of its own; this one would count it twice.
                record.forget();
                let outbound = Rc::clone(&self.outbound);
                let permit = Rc::clone(&self.permit);
                self.outbound.worker.connections.spawn_local("connect tunnel", async move {
                    match client.stream(outbound.worker.config.timeouts.head).await {
                        Ok(client) => outbound.carry(client.stream, Rc::new(host), permit).await,
                        Err(error) => tracing::debug!(%error, "a CONNECT tunnel did not open"),
                    }
                });
                Response::new(StatusCode::OK)
            }
        }
    }

    fn answer(&self, mut record: Record, answer: Answer, client: Upgrade, kind: Kind) -> Response {
        match answer {
            Answer::Redirect(status, location, edits) => {
                let mut response = Response::new(StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND));
                if let Err(error) = response.headers.set("location", location.as_bytes()) {
                    tracing::debug!(%error, location, "a redirect without a location");
                }
                edit_response(&mut response, &edits);
                record.attach(response, kind)
            }
            Answer::Upstream(answer, edits, until) => {
                let UpstreamResponse { mut response, upgrade } = *answer;
                edit_response(&mut response, &edits);
                match upgrade {
                    Some(server) => {
                        record.head(&response, kind);
                        self.outbound.worker.splice(record, client, server, Rc::clone(&self.permit));
                        response.with_body(Body::empty())
                    }
                    None => {
                        record.attach(response.map_body(|body| body.until(until)), kind)
                    }
                }
            }
        }
    }
}

/// A request whose head was accepted.
struct Checked {
    head: RequestHead,
    body: Body,
}

enum Answer {
    Redirect(u16, String, Vec<HeaderEdit>),
    Upstream(Box<UpstreamResponse>, Vec<HeaderEdit>, Option<Instant>),
}

impl Handler for Call {
    async fn handle(self: Rc<Self>, request: Request) -> Response {
        let Request { head, body, upgrade } = request;
        let protocol = head.as_ref().map_or(AppProtocol::Http, |head| head.kind.into());
        let mut record = Record::new(&self.outbound.worker, Side::Outbound, protocol);
        record.source(self.outbound.worker.own.clone());
        let head = match head {
            Ok(head) => head,
            Err(bad) => return fail(record, &Fault::new(Failure::BadRequest, bad.to_string()), Kind::Http),
        };
        if head.method == Method::CONNECT {
            return self.connect(record, &head, upgrade).await;
        }
        let kind = head.kind;
        let body = body.counted(record.bytes_in());
        match self.forward(&mut record, Checked { head, body }).await {
            Ok(answer) => self.answer(record, answer, upgrade, kind),
            Err(fault) => {
                if fault.failure == Failure::Overload {
                    self.outbound.worker.telemetry.count(Event::Overload);
                }
                fail(record, &fault, kind)
            }
        }
    }
}

fn fail(mut record: Record, fault: &Fault, kind: Kind) -> Response {
    record.failure(fault.failure);
    record.attach(response_to(fault, kind), kind)
}

fn edit_response(response: &mut Response, edits: &[HeaderEdit]) {
    for edit in edits {
        edit_headers(edit, &mut HeaderEdits::new(&mut response.headers));
    }
}

/// Declared beats what the client speaks; an upgrade needs HTTP/1, gRPC needs HTTP/2.
fn upstream_wire(head: &RequestHead, declared: Option<Protocol>) -> Wire {
    match declared {
        _ if head.upgrade.is_some() => Wire::Http1,
        _ if head.kind == Kind::Grpc => Wire::Http2,
        Some(Protocol::Http2 | Protocol::Grpc) => Wire::Http2,
        Some(Protocol::Http1) => Wire::Http1,
        Some(Protocol::Tcp | Protocol::Tls) | None => head.wire,
    }
}

fn broke_off(failure: Failure, address: SocketAddr) -> Fault {
    let what = match failure {
        Failure::RequestTimeout => "did not answer in time",
        Failure::TlsFailed => "refused our certificate",
        _ => "broke off before it answered",
    };
    Fault::new(failure, format!("{address} {what}"))
}

fn body_broke_off(error: BodyError) -> Fault {
    Fault::new(Failure::BadRequest, format!("the request broke off: {error}"))
}

fn not_reached(service: &ServiceName, port: u16, last: Option<Unreached>) -> Fault {
    match last {
        Some(why) => Fault::new(
            why.failure(),
            format!("no endpoint of service {service} port {port} can be reached; last: {why}"),
        ),
        None => {
            Fault::new(Failure::NoEndpoints, format!("service {service} has no endpoint for port {port}"))
        }
    }
}
