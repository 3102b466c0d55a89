//! Where a message's content ends, by its Content-Length and Transfer-Encoding. What could be read in two ways is refused. It must
//! not know which side sends the message; the rules that differ are with requests and responses.
//!
//! Source: RFC 9112 sections 6.1 to 6.3.

use crate::bytes::{decimal, trim};
use crate::message::{Framing, Version};
use crate::refusal::Reason;

/// What the fields of one head said about its content.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The one Content-Length.
    pub(crate) length: Option<u64>,
    /// Whether there was a Transfer-Encoding; it was `chunked` then.
    pub(crate) chunked: bool,
}

impl Content {
    /// Takes a Content-Length. A second one is refused even if it says the same: the next hop may take either or both.
    pub(crate) fn take_length(&mut self, value: &[u8]) -> Result<(), Reason> {
        if self.length.is_some() {
            return Err(Reason::LengthTwice);
        }
        self.length = Some(decimal(value).ok_or(Reason::Length)?);
        Ok(())
    }

    /// Takes a Transfer-Encoding, which has to be exactly `chunked`.
    pub(crate) fn take_coding(&mut self, value: &[u8]) -> Result<(), Reason> {
        if self.chunked {
            return Err(Reason::CodingTwice);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(wrong_coding(value));
        }
        self.chunked = true;
        Ok(())
    }

    /// Whether anything was said that announces content.
    pub(crate) fn is_announced(&self) -> bool {
        self.chunked || self.length.is_some_and(|length| length > 0)
    }

    /// What the fields say together; [`Framing::None`] when they say nothing.
    pub(crate) fn framing(&self, version: Version) -> Result<Framing, Reason> {
        match (self.chunked, self.length, version) {
            (true, Some(_), _) => Err(Reason::LengthAndCoding),
            (true, None, Version::Http10) => Err(Reason::CodingVersion),
            (true, None, Version::Http11) => Ok(Framing::Chunked),
            (false, Some(length), _) => Ok(Framing::Length(length)),
            (false, None, _) => Ok(Framing::None),
        }
    }
}

/// What is wrong with a Transfer-Encoding that is not `chunked`. Where `chunked` comes once and last, the end of the content would be
/// known and only the other coding is not understood (501); otherwise not even that (400).
#[cold]
fn wrong_coding(value: &[u8]) -> Reason {
    let chunked = |coding: &&[u8]| trim(coding).eq_ignore_ascii_case(b"chunked");
    let codings = || value.split(|byte| *byte == b',');
    if codings().any(|coding| trim(coding).is_empty()) {
        return Reason::Coding;
    }
    match (codings().filter(chunked).count(), codings().next_back().as_ref().is_some_and(chunked)) {
        (2.., _) => Reason::CodingTwice,
        (1, true) => Reason::CodingUnknown,
        _ => Reason::Coding,
    }
}
