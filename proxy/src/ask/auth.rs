//! Whether a request may go on: a service decides, by Envoy's `ext_authz` API or in plain HTTP. Whatever goes wrong refuses the request. It
//! must not know who has it asked.
//!
//! Sources: GEP-1494 (ExternalAuth); envoy.service.auth.v3.Authorization/Check; RFC 9110 section 7.6.1 for what is of one hop.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::uri::PathAndQuery;
use mesh_model::asking::{AuthProtocol, ExternalAuth};
use mesh_proto::envoy::auth::{self, Question, Verdict};
use mesh_proto::envoy::{HeaderChange, How};
use tokio::time::Instant;

use super::{Answer, Asker, Edits, FRAMING, asking, change, is_open};
use crate::http::{Body, Fault, Frame, Headers, Kind, RequestHead, Response, Wire, kind_of, response_to};
use crate::telemetry::{Event, Failure};

/// The client has this long to send a body that is asked about.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What a service is told of a request beside its head.
#[derive(Debug)]
pub struct About<'a> {
    /// Who calls, `NAMESPACE/NAME`; empty: not known.
    pub source: String,
    /// By its certificate; empty: it has shown none.
    pub source_principal: String,
    /// Where the connection comes from.
    pub address: Option<IpAddr>,
    /// What is called.
    pub destination: String,
    /// Its identity, where it asks itself.
    pub destination_principal: String,
    /// The port that is called.
    pub port: u16,
    /// What of the configuration has it asked: `route` or `policy`, and its name.
    pub by: (&'a str, &'a str),
}

/// A request that may go on.
#[derive(Debug)]
pub struct Allowed {
    /// What is left to send of it.
    pub body: Body,
    /// Changes to the answer.
    pub response: Edits,
}

/// A request that may not.
#[derive(Debug)]
pub enum Stopped {
    /// It cannot be asked about.
    Request(Fault),
    /// Nobody said anything that can be used, and why.
    Unavailable(String),
    /// This is its answer.
    Denied(Response),
}

impl Asker {
    /// Asks, and changes the head as the answer says.
    pub async fn authorize(
        &self,
        external: &ExternalAuth,
        about: &About<'_>,
        head: &mut RequestHead,
        body: Body,
    ) -> Result<Allowed, Stopped> {
        let (kept, body) = match external.max_body {
            0 => (None, body),
            max => {
                let kept = self.collected(body, max).await.map_err(Stopped::Request)?;
                let body = if kept.is_empty() { Body::empty() } else { Body::bytes(kept.clone()) };
                (Some(kept), body)
            }
        };
        let verdict = match self.verdict(external, about, head, kept).await {
            Err(Stopped::Unavailable(why)) => {
                self.worker.telemetry.count(Event::AuthzUnavailable);
                return Err(Stopped::Unavailable(why));
            }
            verdict => verdict?,
        };
        match verdict {
            Verdict::Allow { request, remove, response } => {
                for name in remove.iter().filter(|name| is_open(name)) {
                    head.headers.remove(name);
                }
                change(&mut head.headers, &request);
                // What it is may be decided by what it says now.
                head.kind = kind_of(&head.headers);
                Ok(Allowed { body, response: Edits(response) })
            }
            Verdict::Deny { status, headers, body } => {
                Err(Stopped::Denied(denied(head.kind, status, &headers, body)))
            }
        }
    }

    async fn verdict(
        &self,
        external: &ExternalAuth,
        about: &About<'_>,
        head: &RequestHead,
        body: Option<Bytes>,
    ) -> Result<Verdict, Stopped> {
        let ExternalAuth { target, protocol, timeout, .. } = external;
        match protocol {
            AuthProtocol::Grpc { allowed_headers } => {
                let message =
                    question(about, allowed_headers, head, body.as_deref()).map_err(Stopped::Request)?;
                let answer = self.call(target, auth::CHECK, &message, head, *timeout).await;
                let answer = answer.map_err(Stopped::Unavailable)?;
                auth::verdict(&answer)
                    .map_err(|error| Stopped::Unavailable(format!("its answer cannot be used: {error}")))
            }
            AuthProtocol::Http { path, allowed_headers, allowed_response_headers } => {
                let question = plain(path, allowed_headers, head, body)?;
                let answer = self.exchange(target, question, *timeout).await.map_err(Stopped::Unavailable)?;
                Ok(plain_verdict(&answer, allowed_response_headers))
            }
        }
    }

    /// The whole body, which must not be larger.
    async fn collected(&self, mut body: Body, max: u64) -> Result<Bytes, Fault> {
        let too_large = || {
            self.worker.telemetry.count(Event::BodyTooLarge);
            Fault::new(
                Failure::RequestTooLarge,
                format!("external authorization takes bodies of {max} bytes"),
            )
        };
        if body.size_hint().is_some_and(|size| size > max) {
            return Err(too_large());
        }
        let mut whole = BytesMut::new();
        let end = Instant::now() + BODY_TIME;
        loop {
            let late = |_| {
                Fault::new(
                    Failure::BadRequest,
                    "the body that authorization is asked about did not come in time",
                )
            };
            match tokio::time::timeout_at(end, body.next()).await.map_err(late)? {
                Some(Ok(Frame::Data(data))) if (whole.len() + data.len()) as u64 > max => {
                    return Err(too_large());
                }
                Some(Ok(Frame::Data(data))) => whole.extend_from_slice(&data),
                Some(Ok(Frame::Trailers(_))) => {}
                Some(Err(error)) => {
                    return Err(Fault::new(Failure::BadRequest, format!("the request broke off: {error}")));
                }
                None => return Ok(whole.freeze()),
            }
        }
    }
}

/// A question of Envoy's API. Only text can be asked about: what would be judged otherwise than it is sent is not sent.
fn question(
    about: &About<'_>,
    allowed: &[String],
    head: &RequestHead,
    body: Option<&[u8]>,
) -> Result<Vec<u8>, Fault> {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in head.headers.iter() {
        let name = name.to_ascii_lowercase();
        if !allowed.is_empty() && !allowed.contains(&name) {
            continue;
        }
        let Ok(value) = std::str::from_utf8(value) else {
            let text =
                format!("header `{name}` is no UTF-8, and external authorization is asked about text alone");
            return Err(Fault::new(Failure::BadRequest, text));
        };
        match headers.entry(name) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(value.to_owned());
            }
            std::collections::btree_map::Entry::Occupied(mut there) => {
                there.get_mut().push(',');
                there.get_mut().push_str(value);
            }
        }
    }
    if allowed.is_empty() {
        // Servers made for Envoy look for them there, too.
        let of_head = [
            (":method", head.method.as_str()),
            (":path", head.target.as_str()),
            (":authority", &head.authority),
            (":scheme", "http"),
        ];
        headers.extend(of_head.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    Ok(auth::question(&Question {
        source: about.source.clone(),
        source_principal: about.source_principal.clone(),
        address: about.address,
        destination: about.destination.clone(),
        destination_principal: about.destination_principal.clone(),
        port: about.port,
        method: head.method.as_str(),
        path: head.target.as_str(),
        host: &head.authority,
        protocol: if head.wire == Wire::Http2 { "HTTP/2" } else { "HTTP/1.1" },
        headers,
        body,
        context: &[about.by],
    }))
}

/// The client's own request, with a path before its path, and of its headers those that are allowed.
fn plain(
    prefix: &str,
    allowed: &[String],
    head: &RequestHead,
    body: Option<Bytes>,
) -> Result<(Box<RequestHead>, Bytes), Stopped> {
    let mut headers = Headers::new();
    for (name, value) in head.headers.iter() {
        let name = name.to_ascii_lowercase();
        let sent = matches!(name.as_str(), "authorization" | "traceparent");
        if sent || (allowed.contains(&name) && !FRAMING.contains(&name.as_str())) {
            headers.append(&name, value).expect("it came in a message");
        }
    }
    let path = format!("{}{}", prefix.trim_end_matches('/'), head.target.as_str());
    let no_path = |_| Stopped::Unavailable("the path before that of the request makes none of it".to_owned());
    let target = PathAndQuery::try_from(path).map_err(no_path)?;
    let question =
        RequestHead { authority: head.authority.clone(), ..asking(head.method.clone(), target, headers) };
    Ok((Box::new(question), body.unwrap_or_default()))
}

/// 200 allows, and its headers go on with the request; anything else is the answer.
fn plain_verdict(answer: &Answer, allowed: &[String]) -> Verdict {
    let overwrite = |(name, value): (&str, &[u8])| HeaderChange {
        name: name.to_ascii_lowercase(),
        value: value.to_vec(),
        how: How::Overwrite,
    };
    let mut all: Vec<HeaderChange> = answer.headers.iter().map(overwrite).collect();
    all.retain(|one| is_open(&one.name));
    if answer.status == StatusCode::OK {
        // What describes the answer's own body says nothing of the request's.
        all.retain(|one| {
            let own = one.name.starts_with("content-") || matches!(one.name.as_str(), "date" | "server");
            if allowed.is_empty() { !own } else { allowed.contains(&one.name) }
        });
        return Verdict::Allow { request: repeated(all), remove: vec![], response: vec![] };
    }
    let status = answer.status.as_u16();
    Verdict::Deny {
        // Other answers of success refuse as well, and must not look like success.
        status: if status < 300 { StatusCode::FORBIDDEN.as_u16() } else { status },
        headers: repeated(all),
        body: String::from_utf8_lossy(&answer.body).into_owned(),
    }
}

/// Of headers that are there several times, the first one overwrites and the others are added.
fn repeated(mut changes: Vec<HeaderChange>) -> Vec<HeaderChange> {
    for at in 1..changes.len() {
        let (before, rest) = changes.split_at_mut(at);
        if let Some(one) = rest.first_mut()
            && before.iter().any(|earlier| earlier.name == one.name)
        {
            one.how = How::Append;
        }
    }
    changes
}

/// The answer of a service that does not allow the request. Its code says that it is not the application's.
fn denied(kind: Kind, status: u16, headers: &[HeaderChange], body: String) -> Response {
    let mut response = match kind {
        Kind::Http => {
            let mut response = Response::new(StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN));
            response.body = Body::bytes(body);
            response
        }
        Kind::Grpc => {
            let text = "an authorization service does not allow it";
            response_to(&Fault::new(Failure::AuthzDenied, text), kind)
        }
    };
    let of_grpc = |name: &str| name.starts_with("grpc-") || name == "content-type";
    let meant: Vec<HeaderChange> =
        headers.iter().filter(|one| kind == Kind::Http || !of_grpc(&one.name)).cloned().collect();
    change(&mut response.headers, &meant);
    response
        .headers
        .set("x-mesh-failure", Failure::AuthzDenied.code().as_bytes())
        .expect("codes are letters");
    response
}
