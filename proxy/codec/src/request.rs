//! Heads of requests. One pass over the bytes; facts of framing are collected on the way and judged at the end. It must not know
//! what is done with a request.
//!
//! Sources: RFC 9112 sections 3, 6, 9; RFC 9110 sections 7, 10.1.

mod target;

use crate::bytes::{TARGET, TOKEN, trim};
use crate::canonical;
use crate::connection::{Connection, is_upgrade, names_h2c};
use crate::framing::Content;
use crate::known::Known;
use crate::line::{self, Lines, Section};
use crate::message::{Field, Form, Framing, Limits, RequestLine, Span, Underscores, Version};
use crate::refusal::{Reason, Refusal};
use target::Target;

/// Reads the head of a request at the start of `buf`. `fields` is cleared and gets the end-to-end fields in their order: without
/// Host, framing, Connection and what it names, and the others of one hop.
///
/// `None` means that more bytes are needed. Bytes behind the head are not looked at. After a refusal the connection cannot be used
/// any more: nobody knows where the next request would start.
pub fn request(buf: &[u8], limits: &Limits, fields: &mut Vec<Field>) -> Result<Option<RequestLine>, Refusal> {
    fields.clear();
    let mut lines = Lines { buf, at: 0, limit: limits.head_bytes, over: Reason::TargetTooLong };
    let Some(start) = start_line(&mut lines)? else { return Ok(None) };
    lines.over = Reason::HeadTooLarge;
    let mut facts = Facts::default();
    let take = |field| facts.take(buf, field, limits.underscores);
    if lines.fields((limits.fields, Reason::TooManyFields), fields, take)? == Section::Incomplete {
        return Ok(None);
    }
    Ok(Some(facts.finish(buf, &start, lines.at, fields)?))
}

/// The request line, taken apart.
#[derive(Debug)]
struct Start {
    method: Span,
    target: Target,
    version: Version,
}

/// Reads the request line. One empty line before it is skipped: old clients send one behind a form's content (RFC 9112 section 2.2).
fn start_line(lines: &mut Lines<'_>) -> Result<Option<Start>, Refusal> {
    if lines.buf.starts_with(b"\r\n") {
        lines.advance(2)?;
    }
    let start = lines.at;
    let method_end = start + TOKEN.run(lines.rest(start));
    if method_end == start || lines.buf.get(method_end) != Some(&b' ') {
        let reason = match lines.buf.get(method_end) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => Reason::RequestLine,
            _ => Reason::Method,
        };
        return refuse(lines, method_end, reason);
    }
    let from = method_end + 1;
    let to = from + TARGET.run(lines.rest(from));
    if to == from || lines.buf.get(to) != Some(&b' ') {
        let reason = match lines.buf.get(to) {
            Some(b'#') => Reason::Fragment,
            Some(b' ' | b'\t' | b'\r' | b'\n') => Reason::RequestLine,
            _ => Reason::Target,
        };
        return refuse(lines, to, reason);
    }
    let version = match lines.rest(to + 1).first_chunk::<10>() {
        Some(b"HTTP/1.1\r\n") => Version::Http11,
        Some(b"HTTP/1.0\r\n") => Version::Http10,
        _ => return refuse(lines, to + 1, wrong_version(lines.rest(to + 1))),
    };
    lines.advance(to + 11)?;
    let method = Span::new(start, method_end);
    let target = Target::read(lines.buf, method.of(lines.buf), Span::new(from, to))?;
    Ok(Some(Start { method, target, version }))
}

#[cold]
fn refuse(lines: &Lines<'_>, at: usize, reason: Reason) -> Result<Option<Start>, Refusal> {
    // An empty buffer, or one that ends within the line, is no error yet.
    lines.wrong(at, reason).map(|_| None)
}

/// What is wrong with what stands where `HTTP/1.1` and a line's end should.
#[cold]
fn wrong_version(rest: &[u8]) -> Reason {
    match rest {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, end @ ..]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            match (end, (major, minor)) {
                ([b'\n', ..], _) => Reason::BareLf,
                // Only a major version is something else; a minor one that was never given is no request line (the table's row: 400).
                ([b'\r', b'\n', ..], (b'1', _)) => Reason::RequestLine,
                ([b'\r', b'\n', ..], _) => Reason::Version,
                ([b'\r', ..], _) => Reason::BareCr,
                _ => Reason::RequestLine,
            }
        }
        _ => Reason::RequestLine,
    }
}

/// What the fields of a request say about the request itself.
#[derive(Debug, Default)]
struct Facts {
    host: Option<Span>,
    content: Content,
    connection: Connection,
    upgrade: Option<Span>,
    expects: bool,
    trailers: bool,
}

impl Facts {
    /// Takes a field in. Says whether it is one that is forwarded.
    #[inline]
    fn take(&mut self, buf: &[u8], field: Field, underscores: Underscores) -> Result<bool, Reason> {
        let (name, value) = (field.name.of(buf), field.value);
        match Known::of(name) {
            Known::Other => {
                line::check_name(Known::Other, name, underscores)?;
                return Ok(true);
            }
            Known::Host => {
                if self.host.replace(value).is_some() {
                    return Err(Reason::Hosts);
                }
                canonical::check(value.of(buf))?;
            }
            Known::ContentLength => self.content.take_length(value.of(buf))?,
            Known::TransferEncoding => self.content.take_coding(value.of(buf))?,
            Known::Connection => self.connection.take(value)?,
            Known::Upgrade => {
                if self.upgrade.replace(value).is_some() || !is_upgrade(value.of(buf)) {
                    return Err(Reason::Upgrade);
                }
            }
            Known::Expect => {
                if !value.of(buf).eq_ignore_ascii_case(b"100-continue") {
                    return Err(Reason::Expectation);
                }
                self.expects = true;
            }
            Known::Te => self.trailers |= names_trailers(value.of(buf)),
            Known::KeepAlive
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
        start: &Start,
        len: usize,
        fields: &mut Vec<Field>,
    ) -> Result<RequestLine, Reason> {
        let Start { method, target, version } = start;
        if self.host.is_none() && *version == Version::Http11 {
            return Err(Reason::NoHost);
        }
        let mut framing = self.content.framing(*version)?;
        if target.form == Form::Authority {
            // What follows the head of CONNECT belongs to the tunnel.
            if self.content.is_announced() {
                return Err(Reason::ConnectContent);
            }
            framing = Framing::None;
        }
        let options = self.connection.apply(buf, fields)?;
        let is_current = *version == Version::Http11;
        let has_content = self.content.is_announced();
        Ok(RequestLine {
            method: *method,
            form: target.form,
            path: target.path,
            authority: target.authority.or(self.host).unwrap_or_default(),
            version: *version,
            framing,
            keep_alive: options.is_kept(*version),
            expect_continue: self.expects && is_current && has_content,
            upgrade: self.upgrade.filter(|value| options.upgrade && is_current && !names_h2c(value.of(buf))),
            trailers_ok: self.trailers,
            len,
        })
    }
}

/// Whether a TE field says that trailers are taken (RFC 9110 section 10.1.4).
fn names_trailers(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|one| trim(one).eq_ignore_ascii_case(b"trailers"))
}
