//! Questions to services of others about a request: whether it may go on ([`auth`]), and whether there were too many ([`rate`]). A question
//! goes through the mesh like any request, has a time, and so many may be under way. It must not know routes, policies or listeners: who
//! is asked, and what about, are arguments.

mod auth;
mod rate;

use std::cell::Cell;
use std::fmt::Debug;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use mesh_identity::Identity;
use mesh_model::name::{ServiceName, WorkloadName};
use mesh_model::route::BackendTarget;
use mesh_proto::envoy::{HeaderChange, How};
use tokio::time::Instant;

pub use self::auth::{About, Allowed, Stopped};
pub use self::rate::{Counting, Said};
use crate::http::{Form, Frame, Headers, Interim, Kind, RequestHead, Response, Wire};
use crate::telemetry::Event;
use crate::worker::Worker;

/// The most that is read of an answer, bytes: a page that tells people why they may not.
const ANSWER: usize = 64 * 1024;

/// Headers that say how a message travels, and not what it says: nobody's to change or to hand on.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
];

/// A head of an answer whose body is read within the same time, or why there is none.
pub type Sent<'a> = Pin<Box<dyn Future<Output = Result<Response, &'static str>> + 'a>>;

/// The way to services of the mesh, balanced and with mutual TLS.
pub trait Way: Debug {
    /// Sends a request to that port of a service.
    fn send<'a>(
        &'a self,
        to: (&'a ServiceName, u16),
        head: Box<RequestHead>,
        body: Bytes,
        end: Instant,
    ) -> Sent<'a>;
}

/// Who asks, on one worker.
#[derive(Debug)]
pub struct Asker {
    worker: Rc<Worker>,
    identity: Identity,
    /// Weak: it holds this one.
    way: Weak<dyn Way>,
    under_way: Rc<Cell<usize>>,
}

/// Counts a question while it lives.
struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// An answer, whole.
struct Answer {
    status: StatusCode,
    headers: Headers,
    body: Bytes,
    /// Of gRPC, in the head or behind the body.
    grpc_status: Option<String>,
}

impl Asker {
    /// Asks by `way`.
    pub fn new(worker: &Rc<Worker>, identity: Identity, way: Weak<dyn Way>) -> Self {
        Self { worker: Rc::clone(worker), identity, way, under_way: Rc::default() }
    }

    /// The identity of this workload.
    pub fn own_identity(&self) -> String {
        self.identity.svid().spiffe_id.to_string()
    }

    /// The name of this workload.
    pub fn own_name(&self) -> String {
        self.worker.own.as_ref().map(WorkloadName::to_string).unwrap_or_default()
    }

    fn place(&self) -> Option<Place> {
        let count = self.under_way.get();
        (count < self.worker.config.limits.questions).then(|| {
            self.under_way.set(count + 1);
            Place(Rc::clone(&self.under_way))
        })
    }

    /// Asks, and reads the whole answer within the time. `Err` is a sentence about who is asked.
    async fn exchange(
        &self,
        target: &BackendTarget,
        (head, body): (Box<RequestHead>, Bytes),
        time: Duration,
    ) -> Result<Answer, String> {
        let (service, port) = match target {
            BackendTarget::Service { service, port } => (service, *port),
            BackendTarget::Invalid { reference, reason } => {
                return Err(format!("{reference} cannot be asked: {reason}"));
            }
        };
        let why = |why: &str| format!("{service}:{port} {why}");
        let Some(_place) = self.place() else {
            self.worker.telemetry.count(Event::QuestionsFull);
            return Err(why("is not asked: too many questions are under way"));
        };
        let Some(way) = self.way.upgrade() else { return Err(why("is not asked: the proxy ends")) };
        let end = Instant::now() + time;
        let whole = async {
            let answer = way.send((service, port), head, body, end).await?;
            read(answer).await
        };
        match tokio::time::timeout_at(end, whole).await {
            Ok(answer) => answer.map_err(why),
            Err(_) => Err(why("did not answer in time")),
        }
    }

    /// Calls a method of gRPC with one message, and gives the message of the answer.
    async fn call(
        &self,
        target: &BackendTarget,
        method: &'static str,
        message: &[u8],
        about: &RequestHead,
        time: Duration,
    ) -> Result<Bytes, String> {
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        frame.extend_from_slice(message);
        let mut headers = Headers::new();
        let trace = about.headers.get_str("traceparent").map(|trace| ("traceparent", trace));
        let words = [("content-type", "application/grpc"), ("te", "trailers")];
        for (name, value) in words.into_iter().chain(trace) {
            headers.set(name, value.as_bytes()).expect("words of ours, and what came in a header");
        }
        let head = RequestHead {
            authority: authority(target),
            wire: Wire::Http2,
            kind: Kind::Grpc,
            ..asking(Method::POST, PathAndQuery::from_static(method), headers)
        };
        let answer = self.exchange(target, (Box::new(head), frame.freeze()), time).await?;
        one_message(answer).map_err(|why| format!("{} {why}", authority(target)))
    }
}

/// As a client of the service would name it.
fn authority(target: &BackendTarget) -> String {
    match target {
        BackendTarget::Service { service, port } => {
            format!("{}.{}:{port}", service.0.name(), service.0.namespace())
        }
        BackendTarget::Invalid { reference, .. } => reference.clone(),
    }
}

/// A head of our own, of HTTP/1 and without an authority.
fn asking(method: Method, target: PathAndQuery, headers: Headers) -> RequestHead {
    RequestHead {
        method,
        target,
        authority: String::new(),
        headers,
        wire: Wire::Http1,
        form: Form::Origin,
        kind: Kind::Http,
        upgrade: None,
        interim: Interim::nowhere(),
    }
}

async fn read(response: Response) -> Result<Answer, &'static str> {
    let Response { status, headers, mut body } = response;
    let mut grpc_status = headers.get_str("grpc-status").map(str::to_owned);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.next().await {
        match frame {
            Ok(Frame::Data(data)) if whole.len() + data.len() <= ANSWER => whole.extend_from_slice(&data),
            Ok(Frame::Data(_)) => return Err("gave an answer that is too large"),
            Ok(Frame::Trailers(trailers)) => {
                grpc_status = trailers.get_str("grpc-status").map(str::to_owned);
            }
            Err(_) => return Err("broke off its answer"),
        }
    }
    Ok(Answer { status, headers, body: whole.freeze(), grpc_status })
}

/// The one message of an answer of gRPC that succeeded.
fn one_message(mut answer: Answer) -> Result<Bytes, &'static str> {
    if answer.status != StatusCode::OK || answer.grpc_status.as_deref() != Some("0") {
        return Err("answered with a failure");
    }
    let size = answer.body.split_first_chunk::<5>().and_then(|(prefix, _)| match prefix {
        [0, size @ ..] => usize::try_from(u32::from_be_bytes(*size)).ok(),
        _ => None,
    });
    if size.is_none_or(|size| size != answer.body.len().saturating_sub(5)) {
        return Err("gave an answer that is not one message");
    }
    Ok(answer.body.split_off(5))
}

/// Whether a service may set, change or take away that header (lower case): not what frames a message, and not what only the mesh says.
fn is_open(name: &str) -> bool {
    !name.starts_with(':') && !name.starts_with("x-mesh-") && !FRAMING.contains(&name)
}

/// Changes to an answer that services want.
#[derive(Debug, Default)]
pub struct Edits(Vec<HeaderChange>);

impl Edits {
    /// Those of both, in this order.
    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Makes them.
    pub fn write(&self, headers: &mut Headers) {
        change(headers, &self.0);
    }
}

/// Changes headers as a service says, as far as they are its to change.
fn change(headers: &mut Headers, changes: &[HeaderChange]) {
    for HeaderChange { name, value, how } in changes.iter().filter(|one| is_open(&one.name)) {
        let there = headers.contains(name);
        let written = match how {
            How::Append => headers.append(name, value),
            How::Overwrite => headers.set(name, value),
            How::IfAbsent if there => Ok(()),
            How::IfPresent if !there => Ok(()),
            How::IfAbsent | How::IfPresent => headers.set(name, value),
        };
        if let Err(error) = written {
            tracing::debug!(name, %error, "a header of a service that was asked cannot be sent");
        }
    }
}

#[cfg(test)]
mod tests;
