//! Heads of responses. As strict as with requests: a server that can be brought to answer ambiguously would poison the answers of
//! others on its connection. It must not know what is done with a response.
//!
//! Sources: RFC 9112 sections 4, 6.3, 9.3; RFC 9110 sections 6.4.1, 8.6, 15.

use http::Method;

use crate::bytes::value_run;
use crate::connection::{Connection, is_upgrade};
use crate::framing::Content;
use crate::known::Known;
use crate::line::{self, Lines, Section};
use crate::message::{Field, Framing, Limits, ResponseLine, Span, Underscores, Version};
use crate::refusal::{Reason, Refusal};

/// Reads the head of a response to a request with `method` at the start of `buf`. `fields` is cleared and gets the end-to-end fields
/// in their order, as for [`crate::request()`].
///
/// `None` means that more bytes are needed. After a refusal, and after any response whose `keep_alive` is false, the connection is
/// not used for another request.
pub fn response(
    buf: &[u8],
    method: &Method,
    limits: &Limits,
    fields: &mut Vec<Field>,
) -> Result<Option<ResponseLine>, Refusal> {
    fields.clear();
    let mut lines = Lines { buf, at: 0, limit: limits.head_bytes, over: Reason::HeadTooLarge };
    let Some(start) = status_line(&mut lines)? else { return Ok(None) };
    let mut facts = Facts::default();
    let take = |field| facts.take(buf, field, limits.underscores);
    if lines.fields((limits.fields, Reason::TooManyFields), fields, take)? == Section::Incomplete {
        return Ok(None);
    }
    Ok(Some(facts.finish(buf, start, method, lines.at, fields)?))
}

#[derive(Debug, Clone, Copy)]
struct Start {
    status: u16,
    version: Version,
}

/// Reads the status line. The space before an empty reason phrase may be missing, as many servers leave it out; nothing else may.
fn status_line(lines: &mut Lines<'_>) -> Result<Option<Start>, Refusal> {
    let start = lines.at;
    let version = match lines.rest(start).first_chunk::<9>() {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        _ => return refuse(lines, start, wrong_version(lines.rest(start))),
    };
    let Some((digits, rest)) = lines.rest(start + 9).split_first_chunk::<3>() else {
        return refuse(lines, start + 9, Reason::StatusLine);
    };
    let Some(status) = status_of(*digits) else { return refuse(lines, start + 9, Reason::StatusLine) };
    let reason = value_run(rest);
    if reason > 0 && rest.first() != Some(&b' ') {
        return refuse(lines, start + 12, Reason::StatusLine);
    }
    let end = start + 12 + reason;
    match (lines.buf.get(end), lines.buf.get(end + 1)) {
        (Some(b'\r'), Some(b'\n')) => lines.advance(end + 2)?,
        (Some(b'\r'), _) => return refuse(lines, end, Reason::BareCr),
        (Some(b'\n'), _) => return refuse(lines, end, Reason::BareLf),
        _ => return refuse(lines, end, Reason::StatusLine),
    }
    Ok(Some(Start { status, version }))
}

#[cold]
fn refuse(lines: &Lines<'_>, at: usize, reason: Reason) -> Result<Option<Start>, Refusal> {
    lines.wrong(at, reason).map(|_| None)
}

#[cold]
fn wrong_version(rest: &[u8]) -> Reason {
    match rest {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ', ..]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Reason::Version
        }
        _ => Reason::StatusLine,
    }
}

/// Three digits, at least 100.
fn status_of(digits: [u8; 3]) -> Option<u16> {
    let value = digits
        .iter()
        .try_fold(0u16, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u16::from(byte - b'0')))?;
    (value >= 100).then_some(value)
}

/// What the fields of a response say about the response itself.
#[derive(Debug, Default)]
struct Facts {
    content: Content,
    connection: Connection,
    upgrade: Option<Span>,
}

impl Facts {
    /// Takes a field in. Says whether it is one that is forwarded.
    #[inline]
    fn take(&mut self, buf: &[u8], field: Field, underscores: Underscores) -> Result<bool, Reason> {
        let (name, value) = (field.name.of(buf), field.value);
        match Known::of(name) {
            Known::Other | Known::Expect => {
                line::check_name(Known::Other, name, underscores)?;
                return Ok(true);
            }
            Known::ContentLength => self.content.take_length(value.of(buf))?,
            Known::TransferEncoding => self.content.take_coding(value.of(buf))?,
            Known::Connection => self.connection.take(value)?,
            Known::Upgrade => {
                if self.upgrade.replace(value).is_some() || !is_upgrade(value.of(buf)) {
                    return Err(Reason::Upgrade);
                }
            }
            Known::Te
            | Known::Host
            | Known::KeepAlive
            | Known::Http2Settings
            | Known::ProxyConnection
            | Known::ProxyAuthenticate
            | Known::ProxyAuthorization => {}
        }
        Ok(false)
    }

    /// Judges what only all fields together tell.
    fn finish(
        &self,
        buf: &[u8],
        start: Start,
        method: &Method,
        len: usize,
        fields: &mut Vec<Field>,
    ) -> Result<ResponseLine, Reason> {
        let Start { status, version } = start;
        let announced = self.content.framing(version)?;
        let options = self.connection.apply(buf, fields)?;
        let upgrade = self.upgrade.filter(|_| options.upgrade);
        let framing = match status {
            100..=199 => {
                if announced != Framing::None {
                    return Err(Reason::InformationalContent);
                }
                if status == 101 && upgrade.is_none() {
                    return Err(Reason::Upgrade);
                }
                Framing::None
            }
            // An announced content would be read as the next response by whoever believes the status, and the other way round.
            204 if self.content.is_announced() => return Err(Reason::NoContent),
            // What follows the head of an accepted CONNECT belongs to the tunnel.
            200..=299 if method == Method::CONNECT => Framing::None,
            204 | 304 => Framing::None,
            _ if method == Method::HEAD => Framing::None,
            _ if announced == Framing::None => Framing::UntilClose,
            _ => announced,
        };
        Ok(ResponseLine {
            status,
            version,
            framing,
            content_length: self.content.length,
            keep_alive: options.is_kept(version) && framing != Framing::UntilClose,
            upgrade,
            len,
        })
    }
}
