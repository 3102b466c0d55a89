//! One attempt at one endpoint, and what became of it. It must not decide whether there is another one.

use std::net::SocketAddr;
use std::time::SystemTime;

use mesh_traffic::outlier;
use mesh_traffic::retry::wish::{self, Wish};
use mesh_traffic::retry::{Call, Outcome, Repeatable, UNSEEN};
use tokio::time::Instant;

use super::{Answered, Errand, Moved, Places};
use crate::http::{Body, BodyError, ExchangeFailure, Fault, RequestHead, Returned, Seen, Unreached};
use crate::outbound::backends::Picked;
use crate::outbound::idle::Idle;
use crate::telemetry::{Event, Failure, Reason, Security};
use crate::worker::record;

/// What became of an attempt.
pub(super) enum Tried {
    Answered(Box<Answered>),
    Failed(Failed),
}

/// An attempt without an answer.
pub(super) struct Failed {
    /// `None`: another attempt would not help.
    pub(super) outcome: Option<Outcome>,
    pub(super) fault: Fault,
    /// The request, if nothing of it was read.
    pub(super) back: Option<Returned>,
    /// The endpoint, if it is left alone from now on because of this.
    pub(super) ejected: Option<SocketAddr>,
}

impl Tried {
    /// For the record.
    pub(super) fn told(&self) -> record::Tried {
        match self {
            Self::Answered(answered) => record::Tried {
                status: answered.response.response.status.as_u16(),
                failure: None,
                connected: answered.response.connected,
                ejected: None,
            },
            Self::Failed(failed) => {
                let (failure, ejected) = (Some(failed.fault.failure), failed.ejected);
                record::Tried { failure, ejected, ..record::Tried::default() }
            }
        }
    }
}

impl Failed {
    fn new(outcome: impl Into<Option<Outcome>>, fault: Fault) -> Self {
        Self { outcome: outcome.into(), fault, back: None, ejected: None }
    }
}

/// Sends the request to that endpoint.
pub(super) async fn send(
    errand: &Errand<'_>,
    moved: Moved,
    picked: Picked,
    mut head: Box<RequestHead>,
    body: Body,
) -> Tried {
    let began = Instant::now();
    let (by, late) = errand.limits.attempt_by(began);
    errand.limits.tell(&mut head, began);
    let repeatable = Repeatable::by_method(head.method.as_str());
    let load = picked.load.begin(began.into_std());
    let exchange = picked.payload.exchange(errand.wire, head, body, by, errand.backend);
    let result = match errand.limits.idle {
        None => exchange.await,
        Some(limit) => tokio::select! {
            result = exchange => result,
            () = Idle::new(limit, moved) => {
                let text = format!("{} sent and took nothing for {} s", picked.endpoint.address, limit.as_secs_f64());
                return Tried::Failed(Failed::new(None, Fault::new(Failure::IdleTimeout, text)));
            }
        },
    };
    match result {
        Ok(response) => {
            picked.load.connected();
            Tried::Answered(Box::new(Answered { response, picked, load, places: Places::default(), began }))
        }
        Err(failure) => {
            let failed = match failure {
                ExchangeFailure::Unreached(why, back) => unreached(errand, &picked, why, back),
                ExchangeFailure::Failed { failure, seen, back } => {
                    let mut failed = broke_off(failure, seen, late, repeatable, picked.endpoint.address);
                    let now = Instant::now();
                    if failed.outcome.is_some_and(|outcome| !outcome.is_unseen())
                        || failure == Failure::RequestTimeout
                    {
                        let latency = now.saturating_duration_since(began);
                        let ejected = picked.load.record(outlier::Outcome::Error, latency, now.into_std());
                        failed.ejected = ejected.then(picked.endpoint.address);
                    }
                    Failed { back, ..failed }
                }
                ExchangeFailure::Body(error) => Failed::new(None, body_fault(errand, error)),
            };
            Tried::Failed(failed)
        }
    }
}

fn unreached(errand: &Errand<'_>, picked: &Picked, why: Unreached, back: Returned) -> Failed {
    errand.outbound.unreached(&why);
    let now = std::time::Instant::now();
    let mut ejected = None;
    let outcome = match &why {
        Unreached::Bound | Unreached::Crowded(_) => Some(Outcome::RefusedUnseen),
        // It is reached for every endpoint.
        Unreached::Exceeded(_) => None,
        Unreached::Refused(..) | Unreached::Timeout(_) | Unreached::Tls(..) | Unreached::Protocol(_) => {
            ejected = picked.load.connect_failed(now).then(picked.endpoint.address);
            Some(Outcome::ConnectFailed)
        }
    };
    let (service, port) = (errand.service, errand.port);
    let text = match &why {
        Unreached::Exceeded(_) | Unreached::Crowded(_) => format!("service {service} port {port}: {why}"),
        _ => format!("no endpoint of service {service} port {port} can be reached; last: {why}"),
    };
    let fault = Fault::new(why.failure(), text).because(why.reason());
    Failed { back: Some(back), ejected, ..Failed::new(outcome, fault) }
}

fn broke_off(
    failure: Failure,
    seen: Seen,
    late: Failure,
    repeatable: Repeatable,
    address: SocketAddr,
) -> Failed {
    let (outcome, failure, what) = match (failure, seen) {
        (Failure::RequestTimeout, _) => {
            let outcome = (late == Failure::AttemptTimeout).then_some(Outcome::AttemptTimeout);
            (outcome, late, "did not answer in time")
        }
        (Failure::TlsFailed, _) => (None, failure, "refused our certificate"),
        (_, Seen::No) => (Some(Outcome::RefusedUnseen), failure, "refused the request unseen"),
        (_, Seen::Unlikely) if repeatable == Repeatable::Yes => {
            (Some(Outcome::RefusedUnseen), failure, "closed the connection when the request came")
        }
        (Failure::UpstreamProtocol, _) => (None, failure, "broke its protocol"),
        (_, Seen::Unlikely | Seen::Perhaps) => {
            (Some(Outcome::Reset), failure, "broke off before it answered")
        }
    };
    Failed::new(outcome, Fault::new(failure, format!("{address} {what}")))
}

fn body_fault(errand: &Errand<'_>, error: BodyError) -> Fault {
    match error {
        BodyError::TooLarge => {
            errand.outbound.worker.telemetry.count(Event::BodyTooLarge);
            let bodies = errand.policy.bodies.as_ref();
            let (bound, origin) = bodies.map_or_else(Default::default, |bodies| {
                (bodies.value.request.unwrap_or_default(), bodies.origin.to_string())
            });
            let text = format!("the request's body has more than the {bound} bytes that {origin} allows");
            Fault::new(Failure::RequestTooLarge, text)
        }
        error => {
            Fault::new(Failure::BadRequest, format!("the request broke off: {error}")).because(gone(error))
        }
    }
}

/// What an answer counts as, if it may be a failure.
pub(super) fn outcome_of(answered: &Answered, call: Call) -> Option<Outcome> {
    let response = &answered.response.response;
    // Only a peer of the mesh takes this header off what the application sends.
    if answered.picked.payload.security() == Security::Mtls && response.headers.contains(UNSEEN) {
        return Some(Outcome::RefusedUnseen);
    }
    match call {
        Call::Grpc if response.status.as_u16() == 200 => {
            let status = response.headers.get_str("grpc-status")?.parse().ok()?;
            (status != 0).then_some(Outcome::Grpc(status))
        }
        Call::Grpc | Call::Http => {
            let status = response.status.as_u16();
            (status >= 400).then_some(Outcome::Status(status))
        }
    }
}

/// Whether an answer is what was hoped for.
pub(super) fn is_good(answered: &Answered) -> bool {
    let response = &answered.response.response;
    response.status.as_u16() < 500 && response.headers.get("grpc-status").is_none_or(|status| status == b"0")
}

/// What the server wishes about another attempt.
pub(super) fn wish_of(answered: &Answered, call: Call) -> Option<Wish> {
    let headers = &answered.response.response.headers;
    match call {
        Call::Grpc => headers.get_str("grpc-retry-pushback-ms").map(wish::grpc_pushback),
        Call::Http => {
            headers.get_str("retry-after").and_then(|value| wish::retry_after(value, SystemTime::now()))
        }
    }
}

/// Whether a body broke off because who sends it is gone.
pub(super) fn gone(error: BodyError) -> Option<Reason> {
    (error == BodyError::Sender).then_some(Reason::ClientGone)
}
