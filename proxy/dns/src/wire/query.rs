//! A query as a client sends it. It must not know its answer.

use super::{HEADER, Name, PLAIN_UDP, Record, flag, kind, rcode, u16_at};

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The client's number.
    pub id: u16,
    pub(super) flags: u16,
    /// The name, in lower case.
    pub name: Name,
    /// Record type.
    pub kind: u16,
    /// Class.
    pub class: u16,
    /// What the client says of itself.
    pub edns: Option<Edns>,
    /// Where the question ends in the message.
    pub(super) question_end: usize,
}

/// The client's extension (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// Bytes of a message that it takes over UDP.
    pub payload: u16,
    /// Whether it wants signatures.
    pub dnssec_ok: bool,
    /// Whether it sends options that may change the answer: all but cookies, padding and keep-alive.
    pub has_options: bool,
}

/// Why a message is no query that is answered or forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too short, or an answer: whatever one would send back might be answered in turn.
    #[error("not a query")]
    NotAQuery,
    /// A query that cannot be read.
    #[error("malformed")]
    Malformed,
    /// Neither a query nor anything that a forwarder could pass on (NOTIFY, UPDATE).
    #[error("not a standard query")]
    NotStandard,
    /// A version of EDNS that is not 0.
    #[error("unknown version of EDNS")]
    Version,
}

impl Refusal {
    /// What the client is told; `None`: nothing.
    pub fn rcode(self) -> Option<u16> {
        match self {
            Self::NotAQuery => None,
            Self::Malformed => Some(rcode::FORMAT),
            Self::NotStandard => Some(rcode::NOT_IMPLEMENTED),
            Self::Version => Some(rcode::BAD_VERSION),
        }
    }
}

/// Options of EDNS that are between two neighbours and change no answer.
const HARMLESS: [u16; 3] = [10, 11, 12];

impl Query {
    /// Reads a query.
    pub fn parse(message: &[u8]) -> Result<Self, Refusal> {
        let header = |word: usize| u16_at(message, word * 2).ok_or(Refusal::NotAQuery);
        let (id, flags) = (header(0)?, header(1)?);
        let (questions, answers, authorities, additional) = (header(2)?, header(3)?, header(4)?, header(5)?);
        if flags & flag::RESPONSE != 0 {
            return Err(Refusal::NotAQuery);
        }
        if flags & flag::OPCODE != 0 {
            return Err(Refusal::NotStandard);
        }
        if questions != 1 || answers != 0 || message.len() > super::MAX_TCP {
            return Err(Refusal::Malformed);
        }
        let (name, at) = Name::read(message, HEADER).ok_or(Refusal::Malformed)?;
        let kind = u16_at(message, at).ok_or(Refusal::Malformed)?;
        let class = u16_at(message, at + 2).ok_or(Refusal::Malformed)?;
        let question_end = at + 4;
        let mut edns = None;
        let mut at = question_end;
        for number in 0..u32::from(authorities) + u32::from(additional) {
            let record = Record::read(message, at).ok_or(Refusal::Malformed)?;
            at = record.end;
            if record.kind == kind::OPT {
                if edns.is_some() || number < u32::from(authorities) {
                    return Err(Refusal::Malformed);
                }
                edns = Some(Edns::read(message, &record)?);
            }
        }
        if at != message.len() {
            return Err(Refusal::Malformed);
        }
        Ok(Self { id, flags, name, kind, class, edns, question_end })
    }

    /// A query of our own, as bytes with id 0.
    pub fn build(name: &Name, kind: u16) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER + name.wire().len() + 4 + 11);
        for word in [0, flag::RECURSION_DESIRED, 1, 0, 0, 1] {
            message.extend(word.to_be_bytes());
        }
        message.extend(name.wire());
        message.extend(kind.to_be_bytes());
        message.extend(super::IN.to_be_bytes());
        // EDNS with the size that passes everywhere without fragments.
        message.extend([0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]);
        message
    }

    /// Whether the resolver's own checks of signatures are not wanted.
    pub fn checking_disabled(&self) -> bool {
        self.flags & flag::CHECKING_DISABLED != 0
    }

    /// Whether the client wants its names followed to the end.
    pub fn recursion_desired(&self) -> bool {
        self.flags & flag::RECURSION_DESIRED != 0
    }

    /// Bytes that the client takes over UDP.
    pub fn udp_limit(&self) -> usize {
        self.edns.map_or(PLAIN_UDP, |edns| usize::from(edns.payload).clamp(PLAIN_UDP, super::MAX_UDP))
    }
}

impl Edns {
    fn read(message: &[u8], record: &Record) -> Result<Self, Refusal> {
        // Its name is the root; its "lifetime" is extended code, version and flags.
        if message.get(record.start) != Some(&0) {
            return Err(Refusal::Malformed);
        }
        let [_, version, flags, _] = record.ttl.to_be_bytes();
        if version != 0 {
            return Err(Refusal::Version);
        }
        let mut at = record.data_at;
        let mut has_options = false;
        while at < record.end {
            let code = u16_at(message, at).ok_or(Refusal::Malformed)?;
            let length = u16_at(message, at + 2).ok_or(Refusal::Malformed)?;
            has_options |= !HARMLESS.contains(&code);
            at += 4 + usize::from(length);
        }
        if at != record.end {
            return Err(Refusal::Malformed);
        }
        Ok(Self { payload: record.class, dnssec_ok: flags & 0x80 != 0, has_options })
    }
}
