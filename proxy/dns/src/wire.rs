//! Messages of DNS as far as a forwarder reads them. What is forwarded stays as it came: only its id, the case of its question and its
//! lifetimes are changed in place, so that record types nobody here knows pass unharmed.
//!
//! Compressed names are skipped and never followed, so that no message can send a reader in circles.
//!
//! Source: RFC 1035 section 4, RFC 2181 section 8, RFC 2308, RFC 6891.

mod build;
mod name;
mod query;
mod reply;

#[cfg(test)]
mod tests;

pub use build::{Answer, answer, failure, patch, truncated};
pub(crate) use build::{set, with_edns};
pub use name::Name;
pub use query::{Edns, Query, Refusal};
pub use reply::{BadReply, Reply};

/// Bytes of a header.
pub(crate) const HEADER: usize = 12;

/// Bytes of a message over UDP to a client that promises nothing else.
pub const PLAIN_UDP: usize = 512;

/// Bytes of a message over UDP, whatever a client promises.
pub const MAX_UDP: usize = 4096;

/// Bytes of a message over TCP.
pub const MAX_TCP: usize = u16::MAX as usize;

/// Record types that are treated in some way of their own; all others pass.
pub mod kind {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// Another name of the same.
    pub const CNAME: u16 = 5;
    /// Start of a zone; says how long it is known that there is nothing.
    pub const SOA: u16 = 6;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// EDNS.
    pub const OPT: u16 = 41;
    /// How a service is reached, with addresses inside.
    pub const SVCB: u16 = 64;
    /// The same for HTTPS.
    pub const HTTPS: u16 = 65;
    /// Everything.
    pub const ANY: u16 = 255;
}

/// The class of the Internet.
pub const IN: u16 = 1;

/// Response codes.
pub mod rcode {
    /// No error.
    pub const OK: u16 = 0;
    /// The query cannot be read.
    pub const FORMAT: u16 = 1;
    /// The server failed.
    pub const FAILED: u16 = 2;
    /// There is no such name.
    pub const NO_NAME: u16 = 3;
    /// The operation is not implemented.
    pub const NOT_IMPLEMENTED: u16 = 4;
    /// This client is not answered.
    pub const REFUSED: u16 = 5;
    /// The version of EDNS is not implemented.
    pub const BAD_VERSION: u16 = 16;
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_be_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

/// Header flags of a message, as one number.
pub(crate) mod flag {
    pub(crate) const RESPONSE: u16 = 0x8000;
    pub(crate) const OPCODE: u16 = 0x7800;
    pub(crate) const AUTHORITATIVE: u16 = 0x0400;
    pub(crate) const TRUNCATED: u16 = 0x0200;
    pub(crate) const RECURSION_DESIRED: u16 = 0x0100;
    pub(crate) const RECURSION_AVAILABLE: u16 = 0x0080;
    pub(crate) const CHECKING_DISABLED: u16 = 0x0010;
    pub(crate) const RCODE: u16 = 0x000F;
}

/// One resource record, as far as it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) start: usize,
    pub(crate) kind: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    pub(crate) ttl_at: usize,
    pub(crate) data_at: usize,
    pub(crate) end: usize,
}

impl Record {
    /// The record that begins at `start`.
    pub(crate) fn read(message: &[u8], start: usize) -> Option<Self> {
        let fixed = name::skip(message, start)?;
        let length = usize::from(u16_at(message, fixed + 8)?);
        let data_at = fixed + 10;
        let end = data_at + length;
        message.get(data_at..end)?;
        Some(Self {
            start,
            kind: u16_at(message, fixed)?,
            class: u16_at(message, fixed + 2)?,
            ttl: u32_at(message, fixed + 4)?,
            ttl_at: fixed + 4,
            data_at,
            end,
        })
    }

    /// The lifetime; one with the highest bit means none (RFC 2181 section 8).
    pub(crate) fn lifetime(&self) -> u32 {
        if self.ttl > i32::MAX as u32 { 0 } else { self.ttl }
    }
}
