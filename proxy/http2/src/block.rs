//! A decoded header block: fields over one piece of text, as the HTTP/1 codec gives them, and the pseudo fields beside them. What a
//! message may not have is found here; what a request asks for is not its concern.
//!
//! Source: RFC 9113 sections 8.1 to 8.3.

use mesh_http1::{Field, Span, fields};

use crate::hpack::Indexing;

/// What a block may have; more of it is [`Problem::TooLarge`].
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes, counted as RFC 7541 section 4.1 does: names, values and 32 for each field.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

/// Pseudo fields, as places in [`Block::bytes`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pseudo {
    /// `:method`
    pub method: Option<Span>,
    /// `:scheme`
    pub scheme: Option<Span>,
    /// `:authority`
    pub authority: Option<Span>,
    /// `:path`
    pub path: Option<Span>,
    /// `:protocol` (RFC 8441)
    pub protocol: Option<Span>,
    /// `:status`
    pub status: Option<u16>,
}

/// Why a block is no good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The message is malformed (RFC 9113 section 8.1.1).
    Malformed,
    /// It is larger than allowed; what did not fit is missing.
    TooLarge,
}

/// What a block is the head or the end of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Request,
    Response,
    Trailers,
}

/// A header block.
#[derive(Debug, Default)]
pub struct Block {
    /// Names and values.
    pub bytes: Vec<u8>,
    /// Fields that are no pseudo fields, in order; names are in lower case.
    pub fields: Vec<Field>,
    /// The others.
    pub pseudo: Pseudo,
    /// What `content-length` says.
    pub length: Option<u64>,
    problem: Option<Problem>,
    size: usize,
    count: usize,
}

impl Block {
    /// Writes into these vectors, which are emptied.
    pub(crate) fn over((mut bytes, mut fields): (Vec<u8>, Vec<Field>)) -> Self {
        bytes.clear();
        fields.clear();
        Self { bytes, fields, ..Self::default() }
    }

    /// Why it is no good, if it is not.
    pub fn problem(&self) -> Option<Problem> {
        self.problem
    }

    /// Takes a field in.
    #[inline]
    pub(crate) fn take(&mut self, name: &[u8], value: &[u8], indexing: Indexing, bounds: Bounds) {
        self.size += name.len() + value.len() + 32;
        self.count += 1;
        if self.size > bounds.bytes || self.count > bounds.fields {
            self.problem.get_or_insert(Problem::TooLarge);
            return;
        }
        let sound = match name.first() {
            Some(b':') => self.pseudo(name, value),
            _ => self.field(name, value, indexing == Indexing::Never),
        };
        if !sound {
            self.problem = Some(Problem::Malformed);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Span {
        let start = offset(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        Span { start, end: offset(self.bytes.len()) }
    }

    /// Whether the pseudo field may be there.
    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> bool {
        if !self.fields.is_empty() {
            return false;
        }
        if name == b":status" {
            let status = number(value).and_then(|status| u16::try_from(status).ok());
            let known = status.filter(|status| value.len() == 3 && *status >= 100);
            return known.is_some() && std::mem::replace(&mut self.pseudo.status, known).is_none();
        }
        let span = Some(self.write(value));
        let place = match name {
            b":method" => &mut self.pseudo.method,
            b":scheme" => &mut self.pseudo.scheme,
            b":authority" => &mut self.pseudo.authority,
            b":path" => &mut self.pseudo.path,
            b":protocol" => &mut self.pseudo.protocol,
            _ => return false,
        };
        std::mem::replace(place, span).is_none()
    }

    /// Whether the field may be there. Values are judged by whoever judges those of HTTP/1.
    fn field(&mut self, name: &[u8], value: &[u8], is_secret: bool) -> bool {
        if !fields::is_name(name) || name.iter().any(u8::is_ascii_uppercase) {
            return false;
        }
        match name {
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
                return false;
            }
            b"te" if value != b"trailers" => return false,
            b"content-length" => match (number(value), self.length) {
                (Some(length), None) => self.length = Some(length),
                (Some(length), Some(before)) if length == before => return true,
                _ => return false,
            },
            _ => {}
        }
        let name = self.write(name);
        let value = self.write(value);
        self.fields.push(Field { name, value, is_secret });
        true
    }

    /// It is malformed for a reason outside of it.
    pub(crate) fn spoil(&mut self) {
        self.problem = Some(Problem::Malformed);
    }

    /// A request's block as the decoder would give it.
    pub fn request<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, bounds: Bounds) -> Self {
        let mut block = Self::default();
        for (name, value) in fields {
            block.take(name, value, Indexing::Free, bounds);
        }
        block.finish(Part::Request);
        block
    }

    /// Judges the pseudo fields as a whole.
    pub(crate) fn finish(&mut self, part: Part) {
        let has = self.pseudo;
        let asks = has.method.or(has.scheme).or(has.authority).or(has.path).or(has.protocol).is_some();
        let sound = match part {
            Part::Trailers => !asks && has.status.is_none() && self.has_sound_values(),
            Part::Response => !asks && has.status.is_some() && self.has_sound_values(),
            // Its values are judged by who answers it, as a client of HTTP/1 is answered.
            Part::Request => has.status.is_none() && self.is_request(),
        };
        if !sound && self.problem != Some(Problem::TooLarge) {
            self.problem = Some(Problem::Malformed);
        }
    }

    /// Neither bytes that would break a line of HTTP/1, nor white space at the ends (RFC 9113 section 8.2.1).
    fn has_sound_values(&self) -> bool {
        let mut values = self.fields.iter().map(|field| field.value.of(&self.bytes));
        values.all(|value| fields::is_value(value) && !fields::is_padded(value))
    }

    fn is_request(&self) -> bool {
        let has = &self.pseudo;
        let Some(method) = has.method else { return false };
        if method.of(&self.bytes) == b"CONNECT" && has.protocol.is_none() {
            return has.scheme.is_none() && has.path.is_none() && has.authority.is_some();
        }
        has.scheme.is_some_and(|scheme| is_scheme(scheme.of(&self.bytes)))
            && has.path.is_some_and(|path| !path.is_empty())
    }
}

/// Heads are bounded far below 4 GiB.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Digits and nothing else.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 1000, fields: 10 };

    fn judged(part: Part, fields: &[(&str, &str)]) -> Block {
        let mut block = Block::default();
        for (name, value) in fields {
            block.take(name.as_bytes(), value.as_bytes(), Indexing::Free, BOUNDS);
        }
        block.finish(part);
        block
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

    #[test]
    fn a_request_has_its_pseudo_fields_once_and_first() {
        assert_eq!(judged(Part::Request, &GET).problem(), None);
        for missing in 0..3 {
            let mut fields = GET.to_vec();
            fields.remove(missing);
            assert_eq!(judged(Part::Request, &fields).problem(), Some(Problem::Malformed), "{fields:?}");
        }
        for more in [
            (":path", "/"),
            (":status", "200"),
            (":x", "1"),
            ("Upper", "1"),
            ("connection", "close"),
            ("te", "gzip"),
            ("keep-alive", "1"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
            ("", "1"),
            ("a b", "1"),
            ("content-length", "-1"),
            ("content-length", ""),
            ("content-length", "99999999999999999999"),
        ] {
            let fields: Vec<_> = GET.into_iter().chain([more]).collect();
            assert_eq!(judged(Part::Request, &fields).problem(), Some(Problem::Malformed), "{more:?}");
        }
        for scheme in ["", "ht tp", "http\r\nx: y", "http://x/y?", "1http"] {
            let fields = [GET[0], (":scheme", scheme), GET[2], GET[3]];
            assert_eq!(judged(Part::Request, &fields).problem(), Some(Problem::Malformed), "{scheme:?}");
        }
        let late = [GET[0], GET[1], ("a", "b"), GET[2]];
        assert_eq!(judged(Part::Request, &late).problem(), Some(Problem::Malformed));
        assert_eq!(
            judged(Part::Request, &[GET[0], GET[1], (":path", "")]).problem(),
            Some(Problem::Malformed)
        );
    }

    #[test]
    fn connect_has_no_path_unless_it_names_a_protocol() {
        let connect = (":method", "CONNECT");
        assert_eq!(judged(Part::Request, &[connect, GET[3]]).problem(), None);
        assert_eq!(judged(Part::Request, &[connect]).problem(), Some(Problem::Malformed));
        assert_eq!(judged(Part::Request, &[connect, GET[2], GET[3]]).problem(), Some(Problem::Malformed));
        let extended = [connect, (":protocol", "websocket"), GET[1], GET[2], GET[3]];
        assert_eq!(judged(Part::Request, &extended).problem(), None);
        assert_eq!(judged(Part::Request, &extended[..4]).problem(), None);
        assert_eq!(judged(Part::Request, &extended[..3]).problem(), Some(Problem::Malformed));
    }

    #[test]
    fn a_response_has_a_status_and_trailers_have_nothing() {
        assert_eq!(judged(Part::Response, &[(":status", "204")]).problem(), None);
        for bad in ["20", "2000", "099", "2x0", ""] {
            assert_eq!(
                judged(Part::Response, &[(":status", bad)]).problem(),
                Some(Problem::Malformed),
                "{bad}"
            );
        }
        assert_eq!(judged(Part::Response, &[]).problem(), Some(Problem::Malformed));
        assert_eq!(
            judged(Part::Response, &[(":status", "200"), (":path", "/")]).problem(),
            Some(Problem::Malformed)
        );
        assert_eq!(judged(Part::Trailers, &[("a", "b")]).problem(), None);
        assert_eq!(judged(Part::Trailers, &[(":status", "200")]).problem(), Some(Problem::Malformed));
        for value in [" a", "a\t", "a\r\nb: c", "\0", "a\x7f"] {
            let answer = judged(Part::Response, &[(":status", "200"), ("a", value)]);
            assert_eq!(answer.problem(), Some(Problem::Malformed), "{value:?}");
            assert_eq!(
                judged(Part::Trailers, &[("a", value)]).problem(),
                Some(Problem::Malformed),
                "{value:?}"
            );
        }
    }

    #[test]
    fn lengths_must_agree() {
        assert_eq!(
            judged(Part::Trailers, &[("content-length", "3"), ("content-length", "3")]).length,
            Some(3)
        );
        let differ = judged(Part::Trailers, &[("content-length", "3"), ("content-length", "4")]);
        assert_eq!(differ.problem(), Some(Problem::Malformed));
    }

    #[test]
    fn what_is_too_large_is_said_and_not_kept() {
        let long = "x".repeat(1000);
        let block = judged(Part::Request, &[GET[0], GET[1], GET[2], ("a", &long)]);
        assert_eq!((block.problem(), block.fields.len()), (Some(Problem::TooLarge), 0));
        let many: Vec<_> = GET.into_iter().chain([("a", ""); 7]).collect();
        assert_eq!(judged(Part::Request, &many).problem(), Some(Problem::TooLarge));
    }
}
