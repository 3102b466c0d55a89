//! Messages that are made here, and changes to those that pass. They must not know why.

use std::net::IpAddr;

use super::{HEADER, IN, Name, Query, Reply, flag, kind, rcode};

/// The name of the question, as a pointer to it.
const QUESTION: [u8; 2] = [0xC0, 0x0C];

/// What is answered about a name of the mesh.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// What the name is another name of; the addresses are that one's.
    pub alias: Option<&'a Name>,
    /// Addresses of the asked family. None, and no alias: there is the name, but nothing of this type.
    pub addresses: &'a [IpAddr],
    /// Lifetime in seconds.
    pub ttl: u32,
}

/// The answer to `query`, whose bytes are `asked`, in at most `limit` bytes; what does not fit is left out and the client told to ask
/// over TCP.
pub fn answer(asked: &[u8], query: &Query, said: &Answer<'_>, limit: usize) -> Vec<u8> {
    let mut message = begin(asked, query, flag::AUTHORITATIVE | flag::RECURSION_AVAILABLE, rcode::OK);
    let reserved = edns_bytes(query);
    let mut owner = QUESTION;
    let mut count = 0_u16;
    if let Some(alias) = said.alias {
        record(&mut message, QUESTION, kind::CNAME, said.ttl, alias.wire());
        count += 1;
        // Names of 255 bytes after a header and a question: always within reach of a pointer.
        let at = u16::try_from(message.len() - alias.wire().len()).unwrap_or_default();
        owner = (0xC000 | at).to_be_bytes();
    }
    let mut truncated = 0;
    for address in said.addresses {
        let size = if address.is_ipv4() { 16 } else { 28 };
        if message.len() + size + reserved > limit {
            truncated = flag::TRUNCATED;
            break;
        }
        match address {
            IpAddr::V4(v4) => record(&mut message, owner, kind::A, said.ttl, &v4.octets()),
            IpAddr::V6(v6) => record(&mut message, owner, kind::AAAA, said.ttl, &v6.octets()),
        }
        count += 1;
    }
    set(&mut message, 6, count);
    if count == 0 && truncated == 0 {
        nothing(&mut message, said.ttl);
    }
    raise(&mut message, truncated);
    edns(&mut message, query, rcode::OK);
    message
}

/// Says how long it is known that there is nothing (RFC 2308 section 2.2): a zone of this one name.
fn nothing(message: &mut Vec<u8>, ttl: u32) {
    let mut data = Vec::with_capacity(24);
    data.extend(QUESTION);
    data.extend(QUESTION);
    for number in [1, 3600, 600, 86_400, ttl] {
        data.extend(u32::to_be_bytes(number));
    }
    record(message, QUESTION, kind::SOA, ttl, &data);
    set(message, 8, 1);
}

/// An answer that only says why there is none. `query`: what could be read of `asked`.
pub fn failure(asked: &[u8], query: Option<&Query>, code: u16) -> Vec<u8> {
    if let Some(query) = query {
        let mut message = begin(asked, query, flag::RECURSION_AVAILABLE, code);
        edns(&mut message, query, code);
        return message;
    }
    let flags = super::u16_at(asked, 2).unwrap_or_default() & (flag::OPCODE | flag::RECURSION_DESIRED);
    let mut message = asked.get(..2).unwrap_or(&[0, 0]).to_vec();
    message.extend((flag::RESPONSE | flags | (code & flag::RCODE)).to_be_bytes());
    message.extend([0; 8]);
    if code > flag::RCODE {
        extension(&mut message, code, 0);
    }
    message
}

/// The beginning of an answer that is too long for UDP.
pub fn truncated(asked: &[u8], query: &Query) -> Vec<u8> {
    let mut message = begin(asked, query, flag::RECURSION_AVAILABLE | flag::TRUNCATED, rcode::OK);
    edns(&mut message, query, rcode::OK);
    message
}

/// Makes a resolver's reply an answer to `query`, whose bytes are `asked`: its number and the letters' case of its question are the
/// client's, and each lifetime is what `ttl` makes of it.
pub fn patch(message: &mut [u8], reply: &Reply, asked: &[u8], query: &Query, ttl: impl Fn(u32) -> u32) {
    set(message, 0, query.id);
    let questions = super::u16_at(message, 4) == Some(1);
    if let (true, Some(theirs), Some(ours)) =
        (questions, message.get_mut(HEADER..query.question_end), asked.get(HEADER..query.question_end))
    {
        theirs.copy_from_slice(ours);
    }
    for at in &reply.ttls {
        let at = usize::from(*at);
        if let Some(bytes) = message.get_mut(at..at + 4) {
            let was = bytes.try_into().map_or(0, u32::from_be_bytes);
            let was = if was > i32::MAX as u32 { 0 } else { was };
            bytes.copy_from_slice(&ttl(was).to_be_bytes());
        }
    }
}

/// A kept reply without its EDNS record, to which the client's own is added.
pub(crate) fn with_edns(body: &[u8], query: &Query) -> Vec<u8> {
    let mut message = Vec::with_capacity(body.len() + 11);
    message.extend(body);
    edns(&mut message, query, rcode::OK);
    message
}

fn begin(asked: &[u8], query: &Query, flags: u16, code: u16) -> Vec<u8> {
    let question = asked.get(HEADER..query.question_end).unwrap_or_default();
    let mut message = Vec::with_capacity(HEADER + question.len() + 96);
    let kept = query.flags & (flag::RECURSION_DESIRED | flag::CHECKING_DISABLED);
    for word in [query.id, flag::RESPONSE | kept | flags | (code & flag::RCODE), 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    message.extend(question);
    message
}

fn record(message: &mut Vec<u8>, owner: [u8; 2], kind: u16, ttl: u32, data: &[u8]) {
    message.extend(owner);
    message.extend(kind.to_be_bytes());
    message.extend(IN.to_be_bytes());
    message.extend(ttl.to_be_bytes());
    message.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    message.extend(data);
}

fn edns_bytes(query: &Query) -> usize {
    if query.edns.is_some() { 11 } else { 0 }
}

/// Our own extension, where the client has one.
fn edns(message: &mut Vec<u8>, query: &Query, code: u16) {
    if let Some(edns) = query.edns {
        extension(message, code, if edns.dnssec_ok { 0x80 } else { 0 });
    }
}

fn extension(message: &mut Vec<u8>, code: u16, flags: u8) {
    let upper = u8::try_from(code >> 4).unwrap_or_default();
    let size = u16::try_from(super::MAX_UDP).unwrap_or(u16::MAX).to_be_bytes();
    message.extend([0, 0, 41, size[0], size[1], upper, 0, flags, 0, 0, 0]);
    let additional = super::u16_at(message, 10).unwrap_or_default();
    set(message, 10, additional.saturating_add(1));
}

pub(crate) fn set(message: &mut [u8], at: usize, value: u16) {
    if let Some(bytes) = message.get_mut(at..at + 2) {
        bytes.copy_from_slice(&value.to_be_bytes());
    }
}

fn raise(message: &mut [u8], flags: u16) {
    let now = super::u16_at(message, 2).unwrap_or_default();
    set(message, 2, now | flags);
}
