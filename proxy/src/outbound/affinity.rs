//! What keeps a request with an endpoint: the token of its session, and the hash of what the balancer's policy names. It must not know
//! how an endpoint is picked.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use mesh_model::name::ServiceName;
use mesh_model::traffic::effective::{BackendPolicy, RequestPolicy};
use mesh_model::traffic::{Algorithm, HashKey, SessionKind, SessionPersistence};
use mesh_traffic::hash::hash_of;
use mesh_traffic::session::{self, Mark, Say, Token};

use crate::http::{Headers, RequestHead};
use crate::state::Snapshot;

/// What keeps a request with an endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Affinity {
    pub(super) hash: Option<u64>,
    pub(super) sticky: Option<SocketAddr>,
    /// The token that came with the request.
    pub(super) token: Option<Token>,
    /// A cookie to be set so that the client's next requests have the same hash.
    pub(super) cookie: Option<String>,
}

/// The token that the request carries, if a session is to be kept.
pub(super) fn token(policy: &RequestPolicy, head: &RequestHead) -> Option<Token> {
    let session = &policy.session.as_ref()?.value;
    let text = match session.kind {
        SessionKind::Header => head.header(&session.name)?,
        SessionKind::SessionCookie | SessionKind::PermanentCookie => cookie(head, &session.name)?,
    };
    session::read(text, session, now())
}

/// The endpoint of the service's port that the token means, if it is still there.
pub(super) fn locate(
    snapshot: &Snapshot,
    service: &ServiceName,
    port: u16,
    token: &Token,
) -> Option<SocketAddr> {
    let mut addresses = snapshot.endpoints(service)?.port(port).iter().map(|endpoint| endpoint.address);
    addresses.find(|address| is_meant(token, service, port, *address))
}

/// Whether the token means that endpoint of the backend.
pub(super) fn is_meant(token: &Token, service: &ServiceName, port: u16, address: SocketAddr) -> bool {
    Mark::of(service, port, address) == token.endpoint
}

/// The hash that the backend's policy wants of the request. `client` is who sent it; `random` makes a cookie up.
pub(super) fn hash(
    affinity: &mut Affinity,
    policy: &BackendPolicy,
    head: &RequestHead,
    client: IpAddr,
    random: impl FnOnce() -> u64,
) {
    let key = match &policy.balancing.value.algorithm {
        Algorithm::RingHash { key, .. } | Algorithm::Maglev { key, .. } => key,
        Algorithm::PeakEwma | Algorithm::LeastRequest { .. } | Algorithm::RoundRobin | Algorithm::Random => {
            return;
        }
    };
    affinity.hash = match key {
        HashKey::Header(name) => head.headers.get(name).map(|value| hash_of([value])),
        HashKey::Cookie { name, ttl } => match (cookie(head, name), ttl) {
            (Some(value), _) => Some(hash_of([value.as_bytes()])),
            (None, Some(ttl)) => {
                let value = format!("{:016x}", random());
                let hash = hash_of([value.as_bytes()]);
                affinity.cookie =
                    Some(session::set_cookie(name, &value, Some(*ttl).filter(|ttl| !ttl.is_zero())));
                Some(hash)
            }
            (None, None) => None,
        },
        HashKey::SourceAddress => Some(match client {
            IpAddr::V4(ip) => hash_of([ip.octets().as_slice()]),
            IpAddr::V6(ip) => hash_of([ip.octets().as_slice()]),
        }),
    };
}

/// Tells the client what to bring next time.
pub(super) fn tell(
    affinity: &Affinity,
    session: Option<&SessionPersistence>,
    (service, port, address): (&ServiceName, u16, SocketAddr),
    headers: &mut Headers,
) {
    let said = session
        .map(|policy| session::say(policy, affinity.token.as_ref(), Mark::of(service, port, address), now()));
    let written = match said {
        Some(Say::Header { name, value }) if name == "set-cookie" => headers.append(&name, value.as_bytes()),
        Some(Say::Header { name, value }) => headers.set(&name, value.as_bytes()),
        Some(Say::Nothing) | None => Ok(()),
    };
    let cookie =
        affinity.cookie.as_ref().map_or(Ok(()), |cookie| headers.append("set-cookie", cookie.as_bytes()));
    if let Err(error) = written.and(cookie) {
        tracing::debug!(%error, "the name of a session's cookie or header cannot be sent");
    }
}

/// A cookie's value.
fn cookie<'a>(head: &'a RequestHead, name: &str) -> Option<&'a str> {
    let lines = head.headers.get_all("cookie").filter_map(|line| std::str::from_utf8(line).ok());
    let mut values = lines.filter_map(|line| session::cookie_value(line, name));
    values.next()
}

/// Unix seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
