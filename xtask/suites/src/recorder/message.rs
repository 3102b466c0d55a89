//! One request as it arrived. Pure.

/// Bytes of a message that are kept; more is only counted.
const KEPT: usize = 128 * 1024;

/// A request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Number of the connection it came on.
    pub(crate) connection: usize,
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    /// Names as they came, values without surrounding space. Of HTTP/2, the pseudo-headers too.
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Everything that belongs to it, as it came: head, framing, trailers. Of HTTP/2, the body alone.
    pub(crate) raw: Vec<u8>,
    /// The body without framing.
    pub(crate) body: Vec<u8>,
    /// Its real length.
    pub(crate) length: usize,
    /// Whether the end of the body came.
    pub(crate) whole: bool,
    /// Bytes that came after a request for an upgrade, before it was answered.
    pub(crate) early: Vec<u8>,
    /// Bytes that came after the answer 101.
    pub(crate) tunnel: Vec<u8>,
    pub(crate) http2: bool,
}

impl Message {
    /// The first value of a field; names without regard to case.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.as_slice())
    }

    /// How often a field came.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes())).count()
    }

    /// What it was addressed to: Host, or `:authority`.
    pub(crate) fn host(&self) -> Option<&[u8]> {
        self.field(if self.http2 { ":authority" } else { "host" })
    }

    /// `GET /path (host h, body 5)` for people.
    pub(crate) fn shown(&self) -> String {
        format!(
            "{} {} (host {}, {} bytes of body{})",
            self.method.escape_ascii(),
            self.target.escape_ascii(),
            self.host().unwrap_or_default().escape_ascii(),
            self.length,
            if self.whole { "" } else { ", not whole" },
        )
    }

    pub(super) fn add_body(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        extend(&mut self.body, bytes);
    }

    pub(super) fn add_raw(&mut self, bytes: &[u8]) {
        extend(&mut self.raw, bytes);
    }
}

fn extend(to: &mut Vec<u8>, bytes: &[u8]) {
    let room = KEPT.saturating_sub(to.len()).min(bytes.len());
    to.extend(bytes.get(..room).unwrap_or_default());
}

/// Request line and fields of a head, as leniently as the worst backend reads them; None when there is no request line.
pub(super) fn parse(head: &[u8]) -> Option<Message> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next()?.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let (method, target) = (words.next()?.to_vec(), words.next()?.to_vec());
    let fields = lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
            (name.to_vec(), value.strip_prefix(b":").unwrap_or(value).trim_ascii().to_vec())
        })
        .collect();
    Some(Message { method, target, fields, raw: head.to_vec(), ..Message::default() })
}

/// Where a head ends, with whichever line ends.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    let crlf = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    let lf = bytes.windows(2).position(|window| window == b"\n\n").map(|at| at + 2);
    crlf.into_iter().chain(lf).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_leniently() {
        let message = parse(b"GET  /a HTTP/1.1\nHost : x \r\nbroken\r\nA:b:c\r\n\r\n").unwrap();
        assert_eq!((message.method.as_slice(), message.target.as_slice()), (&b"GET"[..], &b"/a"[..]));
        assert_eq!(message.field("a"), Some(&b"b:c"[..]));
        assert_eq!(message.field("host "), Some(&b"x"[..]));
        assert_eq!(message.field("broken"), Some(&b""[..]));
        assert_eq!(parse(b"\r\n\r\n"), None);
    }

    #[test]
    fn a_head_ends_with_the_first_empty_line() {
        assert_eq!(head_end(b"a\r\n\r\nb\n\n"), Some(5));
        assert_eq!(head_end(b"a\n\nb\r\n\r\n"), Some(3));
        assert_eq!(head_end(b"a\r\n\r"), None);
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_came_is_counted() {
        let mut message = Message::default();
        message.add_body(&vec![1; KEPT]);
        message.add_body(&[1; 10]);
        assert_eq!((message.body.len(), message.length), (KEPT, KEPT + 10));
    }
}
