//! What a client carries so that its requests go to the same endpoint again. It must not know endpoints beyond their addresses.
//!
//! A token is `HASH.BEGUN.SEEN`: a keyed hash of service, port and address, and two times in Unix seconds, all in hexadecimal. It shows
//! no address. It is not signed: who makes one up can but choose among the endpoints that the balancer may pick anyway, or stay with one
//! for longer. The key is the same for every proxy of the mesh, so that a token outlives each of them; it is made from names, not from a
//! secret, so who knows those can find an address by trying them all. GEP-1619 asks for no more.
//!
//! Source: GEP-1619, RFC 6265 (cookies), SipHash-2-4 (Aumasson and Bernstein, 2012).

mod cookie;
mod siphash;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mesh_model::name::ServiceName;
use mesh_model::traffic::{SessionKind, SessionPersistence};

pub use self::cookie::{cookie_value, set_cookie};

/// A token as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Which endpoint.
    pub endpoint: Mark,
    /// When the session began, Unix seconds.
    pub begun: u64,
    /// When it was last refreshed, Unix seconds.
    pub seen: u64,
}

/// The hash of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark(u64);

impl Mark {
    /// Of an endpoint of a service's port.
    pub fn of(service: &ServiceName, port: u16, address: SocketAddr) -> Self {
        let mut bytes = Vec::with_capacity(96);
        for name in [service.0.namespace(), service.0.name()] {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(&port.to_be_bytes());
        match address.ip() {
            IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
        }
        bytes.extend_from_slice(&address.port().to_be_bytes());
        Self(siphash::hash(KEY, &bytes))
    }
}

/// The key: "mesh session v1" and a number, so that the hash is used for nothing else.
const KEY: [u64; 2] = [0x6d65_7368_2073_6573, 0x7369_6f6e_2076_3101];

/// What a response says to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// Nothing: the client has a token that is good for a while.
    Nothing,
    /// This header.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// Reads a token. `None` if it is malformed or its session is over.
pub fn read(text: &str, policy: &SessionPersistence, now: u64) -> Option<Token> {
    if text.len() > 64 || !text.bytes().all(|b| b == b'.' || b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    {
        return None;
    }
    let mut parts = text.split('.').map(|part| u64::from_str_radix(part, 16).ok());
    let token = Token { endpoint: Mark(parts.next()??), begun: parts.next()??, seen: parts.next()?? };
    let over = |since: u64, limit: Option<Duration>| {
        limit.is_some_and(|limit| now.saturating_sub(since) >= limit.as_secs().max(1))
    };
    let ended = over(token.begun, policy.absolute_timeout) || over(token.seen, policy.idle_timeout);
    (parts.next().is_none() && !ended).then_some(token)
}

/// The token's text.
pub fn write(token: &Token) -> String {
    format!("{:016x}.{:x}.{:x}", token.endpoint.0, token.begun, token.seen)
}

/// What to tell the client whose request went to `endpoint`, given the token that it came with.
pub fn say(policy: &SessionPersistence, had: Option<&Token>, endpoint: Mark, now: u64) -> Say {
    let same = had.filter(|token| token.endpoint == endpoint);
    // An idle timeout is told anew once a quarter of it is over; nothing else changes in a token.
    let stale = |token: &Token| {
        policy.idle_timeout.is_some_and(|idle| now.saturating_sub(token.seen) >= idle.as_secs().div_ceil(4))
    };
    if same.is_some_and(|token| !stale(token)) {
        return Say::Nothing;
    }
    let begun = same.map_or(now, |token| token.begun);
    let text = write(&Token { endpoint, begun, seen: now });
    match policy.kind {
        SessionKind::Header => Say::Header { name: policy.name.clone(), value: text },
        SessionKind::SessionCookie => {
            Say::Header { name: "set-cookie".into(), value: set_cookie(&policy.name, &text, None) }
        }
        SessionKind::PermanentCookie => {
            let left = policy
                .absolute_timeout
                .map(|all| Duration::from_secs(all.as_secs().saturating_sub(now.saturating_sub(begun))));
            Say::Header { name: "set-cookie".into(), value: set_cookie(&policy.name, &text, left) }
        }
    }
}
