//! A resolver's reply, as far as a forwarder reads it. It must not know who sent it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{HEADER, Name, Query, Record, flag, kind, rcode, u16_at, u32_at};

/// Addresses that are taken from one reply.
const ADDRESSES: usize = 64;

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// With the upper bits that EDNS adds.
    pub rcode: u16,
    /// Whether there is more than fits.
    pub truncated: bool,
    /// The least lifetime of its records, in seconds. `None`: it has none.
    pub least_ttl: Option<u32>,
    /// Of a reply that says that there is nothing: how long that is known (RFC 2308). `None`: it does not say.
    pub negative_ttl: Option<u32>,
    /// Addresses among its answers, at most 64.
    pub addresses: Vec<IpAddr>,
    /// Where lifetimes stand.
    pub(crate) ttls: Vec<u16>,
    /// Whether it has an EDNS record.
    pub(crate) has_edns: bool,
    /// Where its EDNS record begins, if that is the last one, or where it ends, if it has none. `None`: EDNS is in its midst.
    pub(crate) body_end: Option<usize>,
}

/// Why a message is not taken for the answer to a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// Of another query, or made up: wait for the right one.
    #[error("it answers another question")]
    Foreign,
    /// It cannot be read.
    #[error("it cannot be read")]
    Malformed,
}

impl Reply {
    /// Reads what answers `query`, sent with the number `id`.
    pub fn scan(message: &[u8], query: &Query, id: u16) -> Result<Self, BadReply> {
        let header = |word: usize| u16_at(message, word * 2).ok_or(BadReply::Foreign);
        let (its_id, flags) = (header(0)?, header(1)?);
        let (questions, answers, authorities, additional) = (header(2)?, header(3)?, header(4)?, header(5)?);
        if its_id != id || flags & flag::RESPONSE == 0 || flags & flag::OPCODE != 0 {
            return Err(BadReply::Foreign);
        }
        let code = flags & flag::RCODE;
        let mut reply = Self {
            rcode: code,
            truncated: flags & flag::TRUNCATED != 0,
            least_ttl: None,
            negative_ttl: None,
            addresses: Vec::new(),
            ttls: Vec::new(),
            has_edns: false,
            body_end: Some(message.len()),
        };
        if questions == 0 && code != rcode::OK {
            // Servers that cannot read a question do not repeat it.
            return Ok(reply);
        }
        let (name, at) = Name::read(message, HEADER).ok_or(BadReply::Foreign)?;
        let same = questions == 1
            && name == query.name
            && u16_at(message, at) == Some(query.kind)
            && u16_at(message, at + 2) == Some(query.class);
        if !same {
            return Err(BadReply::Foreign);
        }
        if reply.truncated {
            // It may end anywhere.
            return Ok(reply);
        }
        let counts = [answers, authorities, additional];
        reply.records(message, at + 4, counts).ok_or(BadReply::Malformed)?;
        Ok(reply)
    }

    fn records(&mut self, message: &[u8], start: usize, counts: [u16; 3]) -> Option<()> {
        let mut at = start;
        let mut opt = None;
        for (section, count) in counts.into_iter().enumerate() {
            for _ in 0..count {
                let record = Record::read(message, at)?;
                at = record.end;
                if record.kind == kind::OPT {
                    let [upper, ..] = record.ttl.to_be_bytes();
                    self.rcode |= u16::from(upper) << 4;
                    opt = Some(record);
                    continue;
                }
                let ttl = record.lifetime();
                self.least_ttl = Some(self.least_ttl.map_or(ttl, |least| least.min(ttl)));
                self.ttls.push(u16::try_from(record.ttl_at).ok()?);
                match (section, record.kind) {
                    (0, _) => self.address(message, &record),
                    (1, kind::SOA) => {
                        let minimum = u32_at(message, record.end.checked_sub(4)?)?;
                        self.negative_ttl = Some(ttl.min(minimum));
                    }
                    _ => {}
                }
            }
        }
        self.has_edns = opt.is_some();
        self.body_end = match opt {
            None => Some(at),
            Some(record) => (record.end == at).then_some(record.start),
        };
        (at <= message.len()).then_some(())
    }

    fn address(&mut self, message: &[u8], record: &Record) {
        let data = message.get(record.data_at..record.end).unwrap_or_default();
        let address = match record.kind {
            kind::A => <[u8; 4]>::try_from(data).ok().map(|bytes| IpAddr::from(Ipv4Addr::from(bytes))),
            kind::AAAA => <[u8; 16]>::try_from(data).ok().map(|bytes| IpAddr::from(Ipv6Addr::from(bytes))),
            _ => None,
        };
        if self.addresses.len() < ADDRESSES && record.class == super::IN {
            self.addresses.extend(address);
        }
    }

    /// Whether it says that the name, or records of that type, do not exist.
    pub fn is_negative(&self) -> bool {
        self.rcode == rcode::NO_NAME || (self.rcode == rcode::OK && self.negative_ttl.is_some())
    }

    /// Whether the resolver has done its work; else another one may be asked.
    pub fn is_answer(&self) -> bool {
        matches!(self.rcode, rcode::OK | rcode::NO_NAME)
    }
}
