//! Authorities: `host[:port]` as clients write it, and the service that a host may stand for. They must not know which
//! services exist.
//!
//! Source: RFC 3986 section 3.2; names of services as Kubernetes' DNS specification gives them.

use std::net::IpAddr;

use crate::name::ServiceName;

/// A parsed authority.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    /// Lower case, without brackets and without a final dot.
    pub host: String,
    /// `None` if the client wrote none.
    pub port: Option<u16>,
}

/// Why a text is no authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a host with an optional port: {reason}")]
pub struct InvalidAuthority {
    /// The text as given, cut at 160 characters.
    pub text: String,
    /// Why not.
    pub reason: &'static str,
}

impl Authority {
    /// Parses `host`, `host:port`, `[v6]` and `[v6]:port`. User information (`user@host`) is refused, since what
    /// stands there differs between readers.
    pub fn parse(text: &str) -> Result<Self, InvalidAuthority> {
        let fail = |reason| InvalidAuthority { text: text.chars().take(160).collect(), reason };
        let (host, port) = split(text);
        let port = match port {
            None | Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse::<u16>() {
                Ok(port) if port != 0 => Some(port),
                _ => return Err(fail("the port is not between 1 and 65535")),
            },
            Some(_) => return Err(fail("the port is not a number")),
        };
        let host = match host.strip_prefix('[') {
            Some(inner) => {
                let inner = inner.strip_suffix(']').ok_or_else(|| fail("the bracket is not closed"))?;
                inner
                    .parse::<std::net::Ipv6Addr>()
                    .map_err(|_| fail("there is no IPv6 address in the brackets"))?;
                inner
            }
            None => {
                let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
                if !host.bytes().all(good) {
                    return Err(fail("the host has a character that hosts do not have"));
                }
                host.strip_suffix('.').unwrap_or(host)
            }
        };
        if host.is_empty() {
            return Err(fail("the host is empty"));
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

/// Host and port as written, without checks: the part before the last colon outside brackets, and the part after it.
pub fn split(authority: &str) -> (&str, Option<&str>) {
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority.rfind(':') {
        Some(colon) if colon >= after_brackets => {
            let (host, rest) = authority.split_at(colon);
            (host, rest.strip_prefix(':'))
        }
        _ => (authority, None),
    }
}

/// The port that a scheme implies.
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// The authority without a port that its scheme implies, so that `a:80` and `a` are the same for `http`.
pub fn without_default_port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    match split(authority) {
        (host, Some("")) => host,
        (host, Some(port)) if port.parse().ok() == default_port(scheme) && default_port(scheme).is_some() => {
            host
        }
        _ => authority,
    }
}

/// The DNS domain of services' long names, as clusters have it unless somebody changed it.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// What a host may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidates {
    /// No service can have this name: an IP address, `localhost`, or a host of the outer world.
    None,
    /// `name` or `name.ns`: that service if it exists, else perhaps a host of the outer world (`example.com` could be
    /// service `example` of namespace `com`).
    Perhaps(ServiceName),
    /// `name.ns.svc` or `name.ns.svc.CLUSTER-DOMAIN`: that service or nothing.
    Only(ServiceName),
}

impl Candidates {
    /// The service to look for.
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::None => None,
            Self::Perhaps(service) | Self::Only(service) => Some(service),
        }
    }
}

/// The service that a host (without port) may stand for, as a client in `own_namespace` writes it. Case and a final
/// dot mean nothing. `cluster_domain` is such as `cluster.local`.
pub fn service_of(authority_host: &str, own_namespace: &str, cluster_domain: &str) -> Candidates {
    let host = authority_host.strip_suffix('.').unwrap_or(authority_host).to_ascii_lowercase();
    if host.parse::<IpAddr>().is_ok() || host == "localhost" {
        return Candidates::None;
    }
    let in_domain = host
        .strip_suffix(cluster_domain)
        .and_then(|rest| rest.strip_suffix(".svc."))
        .filter(|_| !cluster_domain.is_empty());
    let qualified = in_domain.or_else(|| host.strip_suffix(".svc"));
    let name = |namespace: &str, name: &str| {
        // A Service's name is a single label: dots are for other objects.
        (!name.contains('.')).then(|| ServiceName::new(namespace, name).ok()).flatten()
    };
    let found = match (qualified, host.split_once('.')) {
        (Some(qualified), _) => qualified
            .split_once('.')
            .and_then(|(service, namespace)| name(namespace, service))
            .map(Candidates::Only),
        (None, Some((service, namespace))) => name(namespace, service).map(Candidates::Perhaps),
        (None, None) => name(own_namespace, &host).map(Candidates::Perhaps),
    };
    found.unwrap_or(Candidates::None)
}

#[cfg(test)]
mod tests;
