//! What keeps a request with an endpoint: the token of its session, and the hash of what the balancer's policy names. It must not know
//! how an endpoint is picked.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_model::name::ServiceName;
use mesh_model::traffic::effective::{BackendPolicy, RequestPolicy};
use mesh_model::traffic::{Algorithm, HashKey, SessionKind, SessionPersistence};
use mesh_traffic::cohort::place;
use mesh_traffic::hash::hash_of;
use mesh_traffic::session::{self, Mark, Say, Token};
use smallvec::SmallVec;

use crate::http::{Headers, RequestHead};
use crate::state::Snapshot;

/// Where a request falls in a split, and what the client is given so that its next ones fall there too.
#[derive(Debug, Clone, Default)]
pub(super) struct Lot {
    pub(super) place: u64,
    pub(super) cookie: Option<Fresh>,
}

/// A cookie that was made up for a client that has none.
#[derive(Debug, Clone)]
pub(super) struct Fresh {
    name: String,
    value: String,
    ttl: Duration,
}

impl Fresh {
    fn header(&self) -> String {
        session::set_cookie(&self.name, &self.value, Some(self.ttl).filter(|ttl| !ttl.is_zero()))
    }
}

/// What keeps a request with an endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Affinity {
    pub(super) hash: Option<u64>,
    pub(super) sticky: Option<SocketAddr>,
    /// The token that came with the request.
    pub(super) token: Option<Token>,
    /// Cookies to be set so that the client's next requests have the same hashes.
    pub(super) cookies: SmallVec<[Fresh; 1]>,
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
    affinity.hash = keyed(key, head, client, |bytes| hash_of([bytes]));
    if let (None, HashKey::Cookie { name, ttl: Some(ttl) }) = (affinity.hash, key) {
        // A cookie of that name that the split has made up is the client's from now on.
        let given = affinity.cookies.iter().find(|fresh| fresh.name == *name);
        let fresh = given.cloned().unwrap_or_else(|| made_up(name, *ttl, random()));
        affinity.hash = Some(hash_of([fresh.value.as_bytes()]));
        if given.is_none() {
            affinity.cookies.push(fresh);
        }
    }
}

/// Where the request falls in splits of the called service: where its key says, or where chance has it.
pub(super) fn lot(
    policy: &RequestPolicy,
    service: &ServiceName,
    head: &RequestHead,
    client: IpAddr,
    random: impl FnOnce() -> u64,
) -> Lot {
    let Some(key) = policy.split.as_ref().map(|split| &split.value) else {
        return Lot { place: random(), cookie: None };
    };
    match (keyed(key, head, client, |bytes| place(service, bytes)), key) {
        (Some(place), _) => Lot { place, cookie: None },
        (None, HashKey::Cookie { name, ttl: Some(ttl) }) => {
            let fresh = made_up(name, *ttl, random());
            Lot { place: place(service, fresh.value.as_bytes()), cookie: Some(fresh) }
        }
        (None, HashKey::Cookie { .. } | HashKey::Header(_) | HashKey::SourceAddress) => {
            Lot { place: random(), cookie: None }
        }
    }
}

fn made_up(name: &str, ttl: Duration, random: u64) -> Fresh {
    Fresh { name: name.to_owned(), value: format!("{random:016x}"), ttl }
}

/// The hash of what the key names, if the request has it.
fn keyed(key: &HashKey, head: &RequestHead, client: IpAddr, hash: impl FnOnce(&[u8]) -> u64) -> Option<u64> {
    match key {
        HashKey::Header(name) => head.headers.get(name).map(hash),
        HashKey::Cookie { name, .. } => cookie(head, name).map(|value| hash(value.as_bytes())),
        HashKey::SourceAddress => Some(match client {
            IpAddr::V4(ip) => hash(&ip.octets()),
            IpAddr::V6(ip) => hash(&ip.octets()),
        }),
    }
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
    let cookies =
        affinity.cookies.iter().try_for_each(|fresh| headers.append("set-cookie", fresh.header().as_bytes()));
    if let Err(error) = written.and(cookies) {
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
