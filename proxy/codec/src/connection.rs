//! The Connection field: what it asks for, and the fields that it names, which are taken off. It must not know what they mean.
//!
//! Source: RFC 9110 section 7.6.1.

use crate::bytes::{TOKEN, trim};
use crate::fields::{is_end_to_end_only, is_hop_by_hop};
use crate::message::{Field, Span, Version};
use crate::refusal::Reason;

/// So many Connection fields are read; a message with more is refused.
const LINES: usize = 4;
/// So many options are read in all of them.
const OPTIONS: usize = 16;

/// The Connection fields of one head.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    lines: [Span; LINES],
    count: usize,
}

/// What they ask for.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Options {
    close: bool,
    keep_alive: bool,
    /// Whether the Upgrade field counts.
    pub(crate) upgrade: bool,
}

impl Options {
    /// Whether the connection stays open after this message (RFC 9112 section 9.3).
    pub(crate) fn is_kept(self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }
}

impl Connection {
    /// Takes one field.
    pub(crate) fn take(&mut self, value: Span) -> Result<(), Reason> {
        *self.lines.get_mut(self.count).ok_or(Reason::ConnectionOption)? = value;
        self.count += 1;
        Ok(())
    }

    fn options<'a>(&self, buf: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.lines;
        (lines.into_iter().take(self.count))
            .flat_map(|line| line.of(buf).split(|byte| *byte == b','))
            .map(trim)
            .filter(|option| !option.is_empty())
    }

    /// Reads all options, and takes the fields that they name off `fields`.
    pub(crate) fn apply(&self, buf: &[u8], fields: &mut Vec<Field>) -> Result<Options, Reason> {
        let mut read = Options::default();
        // What nearly every client sends, or nothing.
        match self.lines.first().filter(|_| self.count == 1).map(|line| line.of(buf)) {
            Some(b"keep-alive" | b"Keep-Alive") => {
                read.keep_alive = true;
                return Ok(read);
            }
            None if self.count == 0 => return Ok(read),
            _ => {}
        }
        let mut nominates = false;
        for (at, option) in self.options(buf).enumerate() {
            if at == OPTIONS || !TOKEN.has_all(option) {
                return Err(Reason::ConnectionOption);
            }
            if option.eq_ignore_ascii_case(b"close") {
                read.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                read.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                read.upgrade = true;
            } else if is_end_to_end_only(option) {
                return Err(Reason::Nominated);
            } else {
                nominates |= !is_hop_by_hop(option);
            }
        }
        if nominates {
            let named = |name: &[u8]| self.options(buf).any(|option| option.eq_ignore_ascii_case(name));
            fields.retain(|field| !named(field.name.of(buf)));
        }
        Ok(read)
    }
}

/// Whether it is a list of protocols as `websocket` or `HTTP/2.0` (RFC 9110 section 7.8).
pub(crate) fn is_upgrade(value: &[u8]) -> bool {
    let is_token = |part: &[u8]| !part.is_empty() && TOKEN.has_all(part);
    let is_protocol = |one: &[u8]| {
        let mut parts = trim(one).splitn(2, |byte| *byte == b'/');
        parts.all(is_token)
    };
    value.split(|byte| *byte == b',').all(is_protocol)
}

/// Whether one of the protocols is HTTP/2 without TLS. It is never changed to: what the client then sends would pass by everything
/// that judges requests.
pub(crate) fn names_h2c(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|one| trim(one).eq_ignore_ascii_case(b"h2c"))
}
