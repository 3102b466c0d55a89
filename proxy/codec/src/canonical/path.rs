//! Path and query. Dot segments are resolved, slashes merged, bytes that mean themselves decoded, others encoded in one way; what
//! servers are known to read in different ways is refused.
//!
//! Source: RFC 3986 sections 2, 3.3, 3.4, 5.2.4, 6.2.2.

use std::borrow::Cow;

use crate::bytes::{PCHAR, PLAIN_PATH, QUERY, UNRESERVED, hex};
use crate::refusal::{Reason, Refusal};

/// The canonical path and query of an origin-form target, an HTTP/2 `:path`, or what follows the authority of a URL. `*` and the
/// target of CONNECT are no paths ([`crate::RequestLine::target`] knows).
///
/// - The path starts with `/`; of nothing, or only a query, it becomes `/`.
/// - `//` becomes `/`, `.` and `..` are resolved; `..` above the root is refused, and so is a dot segment with a parameter (`..;x`),
///   which some servers resolve and some do not.
/// - Encoded unreserved bytes are decoded, once; other escapes stay and get upper-case digits. `%2F`, `%5C`, `\`, `%00`, overlong UTF-8
///   and a `%` without two digits are refused.
/// - Visible bytes that a URI cannot hold are encoded.
/// - The query stays as it is but for `"`, `<` and `>`, which are encoded. A fragment is taken off.
///
/// The input is given back where it is canonical, without allocating for all but paths with escapes or a dot behind a slash.
pub fn path(raw: &[u8]) -> Result<Cow<'_, [u8]>, Refusal> {
    if is_plain(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    let canonical = rewrite(raw)?;
    Ok(if canonical == raw { Cow::Borrowed(raw) } else { Cow::Owned(canonical) })
}

/// Whether nothing needs a closer look.
#[inline]
fn is_plain(raw: &[u8]) -> bool {
    let Some((b'/', rest)) = raw.split_first() else { return false };
    let mut before = b'/';
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'?' => return QUERY.has_all(rest.get(at + 1..).unwrap_or_default()),
            b'/' | b'.' if before == b'/' => return false,
            b'.' => {}
            _ if !PLAIN_PATH.has(*byte) => return false,
            _ => {}
        }
        before = *byte;
    }
    true
}

#[cold]
fn rewrite(raw: &[u8]) -> Result<Vec<u8>, Reason> {
    let whole = raw.split(|byte| *byte == b'#').next().unwrap_or_default();
    if raw.iter().any(|byte| !byte.is_ascii_graphic()) {
        return Err(Reason::PathByte);
    }
    let mut parts = whole.splitn(2, |byte| *byte == b'?');
    let path = parts.next().unwrap_or_default();
    let mut out = Path::new(raw.len());
    match path.split_first() {
        None => {}
        Some((b'/', rest)) => out.read(rest)?,
        Some(_) => return Err(Reason::PathStart),
    }
    let mut out = out.text;
    if let Some(query) = parts.next() {
        out.push(b'?');
        for byte in query {
            if QUERY.has(*byte) { out.push(*byte) } else { escape(&mut out, *byte) }
        }
    }
    Ok(out)
}

/// A canonical path that grows. Everything before `segment` is whole segments, and ends with `/`.
#[derive(Debug)]
struct Path {
    text: Vec<u8>,
    segment: usize,
}

impl Path {
    fn new(capacity: usize) -> Self {
        let mut text = Vec::with_capacity(capacity + 1);
        text.push(b'/');
        Self { text, segment: 1 }
    }

    /// Takes in the rest of a path behind its first slash.
    fn read(&mut self, path: &[u8]) -> Result<(), Reason> {
        let mut rest = path;
        while let Some((byte, tail)) = rest.split_first() {
            rest = tail;
            match byte {
                b'/' => self.slash()?,
                b'\\' => return Err(Reason::PathSeparator),
                b'%' => rest = self.escaped(tail)?,
                byte if PCHAR.has(*byte) => self.text.push(*byte),
                byte => escape(&mut self.text, *byte),
            }
        }
        self.end_segment().map(drop)
    }

    fn slash(&mut self) -> Result<(), Reason> {
        if self.end_segment()? == Segment::Name {
            self.text.push(b'/');
            self.segment = self.text.len();
        }
        Ok(())
    }

    /// Resolves the segment that ends here.
    fn end_segment(&mut self) -> Result<Segment, Reason> {
        match self.text.get(self.segment..).unwrap_or_default() {
            b"" => Ok(Segment::Resolved),
            b"." => {
                self.text.truncate(self.segment);
                Ok(Segment::Resolved)
            }
            b".." => {
                // The segment before ends with the slash at `segment - 1`.
                let parents = self.text.get(..self.segment - 1).unwrap_or_default();
                let parent = parents.iter().rposition(|byte| *byte == b'/').ok_or(Reason::PathDots)?;
                self.segment = parent + 1;
                self.text.truncate(self.segment);
                Ok(Segment::Resolved)
            }
            [b'.', b'.', b';', ..] | [b'.', b';', ..] => Err(Reason::PathDotParameter),
            [b'.', b'.', b'%', b'3', b'B', ..] | [b'.', b'%', b'3', b'B', ..] => {
                Err(Reason::PathDotParameter)
            }
            _ => Ok(Segment::Name),
        }
    }

    /// Takes in an escape, of which `rest` is what follows the `%`. Gives what follows its digits.
    fn escaped<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], Reason> {
        let Some(([high, low], tail)) = rest.split_first_chunk::<2>() else { return Err(Reason::PathEscape) };
        let (Some(high), Some(low)) = (hex(*high), hex(*low)) else { return Err(Reason::PathEscape) };
        match high << 4 | low {
            0 => return Err(Reason::PathNul),
            b'/' | b'\\' => return Err(Reason::PathSeparator),
            first @ 0x80.. if is_overlong(first, tail) => return Err(Reason::PathOverlong),
            byte if UNRESERVED.has(byte) => self.text.push(byte),
            byte => escape(&mut self.text, byte),
        }
        Ok(tail)
    }
}

/// What became of a segment at its end.
#[derive(Debug, PartialEq, Eq)]
enum Segment {
    /// It stays.
    Name,
    /// It was empty or dots.
    Resolved,
}

/// Whether an encoded byte starts a UTF-8 sequence that is longer than needed. Lax decoders make `/` and `.` of some.
fn is_overlong(first: u8, rest: &[u8]) -> bool {
    let second = match rest {
        [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
        _ => None,
    };
    match (first, second) {
        (0xc0 | 0xc1, _) => true,
        (0xe0, Some(second)) => (0x80..0xa0).contains(&second),
        (0xf0, Some(second)) => (0x80..0x90).contains(&second),
        _ => false,
    }
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}
