//! Services of others that are asked about requests: whether one may go on (Envoy's `ext_authz`, or plain HTTP), and whether there were too
//! many (Envoy's rate limit service). Who is asked, what is sent, and what a descriptor says. They must not know how a question travels.
//!
//! Source: GEP-1494 (HTTPRoute filter ExternalAuth), envoy.service.auth.v3, envoy.service.ratelimit.v3.

use std::time::Duration;

use crate::head::HeadView;
use crate::policy::Claims;
use crate::route::BackendTarget;
use crate::spiffe::SpiffeId;

/// Who is asked whether requests may go on, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExternalAuth {
    /// Who. An invalid one refuses every request.
    pub target: BackendTarget,
    /// How.
    pub protocol: AuthProtocol,
    /// Bodies are sent along, and larger ones are refused; 0: they are not.
    pub max_body: u64,
    /// How long the service has for its answer. Without one in time the request is refused.
    pub timeout: Duration,
}

impl ExternalAuth {
    /// The time for an answer where nobody says another.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
}

/// How an authorization service is asked. Names of headers are lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AuthProtocol {
    /// By Envoy's `ext_authz` API.
    Grpc {
        /// The request's headers that are sent; none: all.
        allowed_headers: Vec<String>,
    },
    /// By the request itself, without its body: 200 allows.
    Http {
        /// Before the request's path.
        path: String,
        /// The request's headers that are sent beside `Host` and `Authorization`.
        allowed_headers: Vec<String>,
        /// The answer's headers that go on with the request; none: all.
        allowed_response_headers: Vec<String>,
    },
}

/// A limit that a service counts for all proxies together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GlobalRate {
    /// Who counts.
    pub target: BackendTarget,
    /// Which of its configurations counts.
    pub domain: String,
    /// What requests are told apart by; each list is one descriptor.
    pub descriptors: Vec<Vec<Entry>>,
    /// How long the service has for its answer.
    pub timeout: Duration,
    /// What becomes of requests without an answer.
    pub unanswered: Unanswered,
}

impl GlobalRate {
    /// The time for an answer where nobody says another.
    pub const TIMEOUT: Duration = Duration::from_millis(200);
}

/// What becomes of requests while a service that counts gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Unanswered {
    /// They go on: a limit is no verdict about who may call.
    #[default]
    Pass,
    /// They are refused.
    Refuse,
}

/// A part of a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// By which the service's configuration names it.
    pub key: String,
    /// Where the value comes from.
    pub value: Part,
}

/// A property of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// Always this text.
    Literal(String),
    /// The value of this header (lower case name).
    Header(String),
    /// Method.
    Method,
    /// Path, without the query.
    Path,
    /// Host, without the port that is usual.
    Host,
    /// The rule that the request takes.
    Route,
    /// Who calls, from the certificate.
    ClientIdentity,
    /// The namespace of who calls.
    ClientNamespace,
    /// `NAMESPACE/NAME` of who calls.
    ClientWorkload,
    /// A claim of the caller's token: its name, or from `/` on a pointer into it.
    Claim(String),
}

/// What is known of a request when it is counted.
#[derive(Debug)]
pub struct Known<'a, H: ?Sized> {
    /// The request, as it goes on.
    pub head: &'a H,
    /// Who calls, by its certificate.
    pub peer: Option<&'a SpiffeId>,
    /// The rule that it takes; empty: none.
    pub route: &'a str,
    /// Claims of a token that was verified.
    pub claims: Option<&'a Claims>,
}

impl GlobalRate {
    /// The descriptors of a request. One of which a part is not there is left out; if all are, nothing is to be counted.
    pub fn describe<H: HeadView + ?Sized>(&self, known: &Known<'_, H>) -> Vec<Vec<(String, String)>> {
        let entry = |entry: &Entry| Some((entry.key.clone(), entry.value.of(known)?));
        let descriptors = self.descriptors.iter().map(|entries| entries.iter().map(entry).collect());
        descriptors.collect::<Vec<Option<Vec<_>>>>().into_iter().flatten().collect()
    }
}

impl Part {
    /// `None`: the request does not have it.
    fn of<H: HeadView + ?Sized>(&self, known: &Known<'_, H>) -> Option<String> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        match self {
            Self::Literal(value) => Some(value.clone()),
            Self::Header(name) => {
                let mut joined: Option<String> = None;
                known.head.header_values(name, &mut |value| {
                    let value = String::from_utf8_lossy(value);
                    match &mut joined {
                        Some(joined) => *joined = format!("{joined},{value}"),
                        None => joined = Some(value.into_owned()),
                    }
                });
                joined.filter(|value| !value.is_empty())
            }
            Self::Method => text(known.head.method()),
            Self::Path => text(known.head.path()),
            Self::Host => text(known.head.authority()),
            Self::Route => text(known.route),
            Self::ClientIdentity => known.peer.map(ToString::to_string),
            Self::ClientNamespace => known.peer.map(|peer| peer.namespace().to_owned()),
            Self::ClientWorkload => {
                known.peer.map(|peer| format!("{}/{}", peer.namespace(), peer.service_account()))
            }
            Self::Claim(path) => known.claims.and_then(|claims| claims.text(path)),
        }
    }
}

#[cfg(test)]
mod tests;
