//! `HOST:PORT` as people write it. It must not know how a host is looked up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use mesh_dns::wire::Name;

/// Where somebody listens: a name, whose addresses may change, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Host {
    Address(SocketAddr),
    Name(Arc<str>),
}

impl HostPort {
    /// The address, if it is written as one.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.host {
            Host::Address(address) => Some(*address),
            Host::Name(_) => None,
        }
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Address(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Address(address), port: address.port() }
    }
}

impl FromStr for HostPort {
    type Err = InvalidHostPort;

    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(InvalidHostPort::Port) } else { Ok(address.into()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or(InvalidHostPort::NoPort)?;
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            // `::1` has colons and no port.
            let bare = text.parse::<IpAddr>().is_ok();
            return Err(if bare { InvalidHostPort::NoPort } else { InvalidHostPort::Port });
        }
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(InvalidHostPort::Port)?;
        if host.contains(':') {
            return Err(InvalidHostPort::Brackets);
        }
        let is_name = Name::parse(host).is_some_and(|name| name.text().is_some());
        // `10.0.0` and `1.2.3.4.5` are mistyped addresses: no public name ends in digits alone.
        let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        if !is_name || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidHostPort::Host(host.chars().take(80).collect()));
        }
        Ok(Self { host: Host::Name(host.to_ascii_lowercase().into()), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Why a text is no `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostPort {
    /// Nothing behind a colon.
    #[error("the port is missing; write HOST:PORT")]
    NoPort,
    /// Not 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// An IPv6 address without brackets.
    #[error("an IPv6 address needs brackets: [ADDRESS]:PORT")]
    Brackets,
    /// Neither an address nor a name.
    #[error("`{0}` is neither an IP address nor the name of a host")]
    Host(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_read_and_written_alike() {
        for (text, shown) in [
            ("10.0.0.1:15012", "10.0.0.1:15012"),
            ("[fd00::1]:15012", "[fd00::1]:15012"),
            ("mesh-ca.amime-system.svc:15012", "mesh-ca.amime-system.svc:15012"),
            ("Mesh-CA.:1", "mesh-ca.:1"),
            ("localhost:65535", "localhost:65535"),
        ] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_neither_says_what_is_wrong() {
        for (text, why) in [
            ("mesh-ca", InvalidHostPort::NoPort),
            ("::1", InvalidHostPort::Brackets),
            ("fd00::abc", InvalidHostPort::NoPort),
            ("fd00::1:15012", InvalidHostPort::Brackets),
            ("mesh-ca:", InvalidHostPort::Port),
            ("mesh-ca:0", InvalidHostPort::Port),
            ("10.0.0.1:0", InvalidHostPort::Port),
            ("mesh-ca:+1", InvalidHostPort::Port),
            ("mesh-ca:65536", InvalidHostPort::Port),
            ("10.0.0:1", InvalidHostPort::Host("10.0.0".into())),
            ("a b:1", InvalidHostPort::Host("a b".into())),
            (":1", InvalidHostPort::Host(String::new())),
            ("a..b:1", InvalidHostPort::Host("a..b".into())),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(why), "{text}");
        }
    }
}
