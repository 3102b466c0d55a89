//! `host[:port]`, exactly one, without user information. It must not know where it stood.
//!
//! Sources: RFC 3986 sections 3.2.2 and 6.2.2; RFC 9110 sections 4.2.3 and 7.2.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use crate::bytes::{HOST, decimal};
use crate::refusal::{Reason, Refusal};

/// The default port of `http`.
const HTTP_PORT: u16 = 80;
/// Longest name of a host (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;
/// Longest label of a name.
const MAX_LABEL: usize = 63;

/// An authority, taken apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    host: Host<'a>,
    pub(crate) port: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
enum Host<'a> {
    /// A name or an IPv4 address, without the dot of the root.
    Name(&'a [u8]),
    /// What stood between brackets.
    V6(Ipv6Addr),
}

/// The canonical authority: lower case, without the dot of the root, without port 80; an IPv6 address as RFC 5952 writes it.
pub fn authority(raw: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    let parts = check(raw)?;
    Ok(parts.text(raw, parts.port.filter(|port| *port != HTTP_PORT)))
}

/// As [`authority()`] for the target of CONNECT: there is a port, and it stays.
pub fn host_and_port(raw: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    let parts = check(raw)?;
    if parts.port.is_none() {
        return Err(Reason::TargetForm.into());
    }
    Ok(parts.text(raw, parts.port))
}

impl<'a> Parts<'a> {
    /// Puts it together again, out of `raw` itself if that is the same text.
    fn text(&self, raw: &'a [u8], port: Option<u16>) -> Cow<'a, str> {
        let borrowed = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
        match (self.host, port) {
            (Host::Name(name), None) if !name.iter().any(u8::is_ascii_uppercase) => {
                borrowed(name).unwrap_or_default()
            }
            (Host::Name(name), Some(_))
                if !name.iter().any(u8::is_ascii_uppercase) && !is_rooted(raw, name) =>
            {
                borrowed(raw).unwrap_or_default()
            }
            (Host::Name(name), port) => {
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                Cow::Owned(port.map(|port| format!("{name}:{port}")).unwrap_or(name))
            }
            (Host::V6(address), None) => Cow::Owned(format!("[{address}]")),
            (Host::V6(address), Some(port)) => Cow::Owned(format!("[{address}]:{port}")),
        }
    }
}

/// Whether `raw` has a dot behind `name`.
fn is_rooted(raw: &[u8], name: &[u8]) -> bool {
    raw.get(name.len()) == Some(&b'.')
}

/// Takes an authority apart; nothing is allocated.
pub(crate) fn check(raw: &[u8]) -> Result<Parts<'_>, Reason> {
    if let [b'[', rest @ ..] = raw {
        let close = rest.iter().position(|byte| *byte == b']').ok_or(Reason::Authority)?;
        let text = rest.get(..close).and_then(|inner| std::str::from_utf8(inner).ok());
        // A zone (`%eth0`) is of one machine and does not parse.
        let address = text.and_then(|text| text.parse().ok()).ok_or(Reason::Authority)?;
        let port = port(rest.get(close + 1..).unwrap_or_default())?;
        return Ok(Parts { host: Host::V6(address), port });
    }
    let end = HOST.run(raw);
    let (host, behind) = raw.split_at_checked(end).ok_or(Reason::Authority)?;
    let port = port(behind)?;
    let name = host.strip_suffix(b".").unwrap_or(host);
    let is_label = |label: &[u8]| !label.is_empty() && label.len() <= MAX_LABEL;
    if name.len() > MAX_HOST || !name.split(|byte| *byte == b'.').all(is_label) {
        return Err(Reason::Authority);
    }
    Ok(Parts { host: Host::Name(name), port })
}

/// The port behind a host: nothing, or `:` and a number from 1 without leading zeros.
fn port(behind: &[u8]) -> Result<Option<u16>, Reason> {
    match behind {
        [] => Ok(None),
        [b':', digits @ ..] if !digits.starts_with(b"0") => {
            let port = decimal(digits).and_then(|port| u16::try_from(port).ok());
            port.map(Some).ok_or(Reason::Authority)
        }
        _ => Err(Reason::Authority),
    }
}
