//! Text of others made harmless: whatever bytes come in, what goes out is printable ASCII without the marks of the form it stands in, and not
//! longer than its bound. It must not know fields.
//!
//! Everything that is not printable ASCII is escaped, not only what ends a line: what turns the direction of writing, what a terminal takes
//! for a command, what only looks like a letter. JSON's escapes lose nothing but bytes that are no UTF-8.

use std::fmt;

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// In a string of JSON.
    Json,
    /// A word of a line of text: a blank would end it.
    Word,
    /// Between quotes in a line of text.
    Quoted,
}

impl Style {
    /// Ends a text that was cut. In text a backslash of the client's own is two, so nobody else can write this.
    fn mark(self) -> &'static [u8] {
        match self {
            Self::Json => b"...",
            Self::Word | Self::Quoted => b"\\...",
        }
    }
}

/// Writes one text. What is beyond the bound is left out.
#[derive(Debug)]
pub(super) struct Escaper<'a> {
    out: &'a mut Vec<u8>,
    style: Style,
    /// Bytes that still fit, without the mark.
    left: usize,
    cut: bool,
}

impl<'a> Escaper<'a> {
    /// At most `limit` bytes of what is written, the mark among them.
    pub(super) fn new(out: &'a mut Vec<u8>, style: Style, limit: usize) -> Self {
        Self { out, style, left: limit.saturating_sub(style.mark().len()), cut: false }
    }

    /// Adds bytes that may be no text.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            self.text(chunk.valid());
            match (self.style, chunk.invalid()) {
                (_, []) => {}
                (Style::Json, _) => self.put(b"\\ufffd"),
                (Style::Word | Style::Quoted, bytes) => bytes.iter().for_each(|byte| self.hex(*byte)),
            }
            if self.cut {
                return;
            }
        }
    }

    /// Adds a text.
    pub(super) fn text(&mut self, text: &str) {
        let mut rest = text;
        while !self.cut {
            // Nearly always all of it.
            let plain = rest.bytes().take_while(|byte| self.is_plain(*byte)).take(self.left).count();
            let (run, next) = rest.split_at(plain);
            self.put(run.as_bytes());
            let Some(c) = next.chars().next() else { return };
            self.escape(c);
            rest = next.get(c.len_utf8()..).unwrap_or_default();
        }
    }

    fn is_plain(&self, byte: u8) -> bool {
        match byte {
            b'"' | b'\\' => false,
            b' ' => self.style != Style::Word,
            _ => byte.is_ascii_graphic(),
        }
    }

    fn escape(&mut self, c: char) {
        match c {
            '"' => self.put(b"\\\""),
            '\\' => self.put(b"\\\\"),
            '\n' => self.put(b"\\n"),
            '\r' => self.put(b"\\r"),
            '\t' => self.put(b"\\t"),
            // There was no more room for it.
            c if c.is_ascii() && self.is_plain(c as u8) => self.put(&[c as u8]),
            c => match self.style {
                Style::Json => {
                    let mut units = [0; 2];
                    let mut all = [0; 12];
                    let mut length = 0;
                    for unit in c.encode_utf16(&mut units) {
                        let [high, low] = unit.to_be_bytes();
                        let [a, b] = digits(high);
                        let [c, d] = digits(low);
                        if let Some(place) = all.get_mut(length..length + 6) {
                            place.copy_from_slice(&[b'\\', b'u', a, b, c, d]);
                        }
                        length += 6;
                    }
                    self.put(all.get(..length).unwrap_or_default());
                }
                Style::Word | Style::Quoted => match u8::try_from(u32::from(c)) {
                    Ok(byte) if byte.is_ascii() => self.hex(byte),
                    _ => {
                        let [_, a, b, d] = u32::from(c).to_be_bytes();
                        let mut all = *b"\\u{000000}";
                        for (place, byte) in
                            all.get_mut(3..9).unwrap_or_default().chunks_mut(2).zip([a, b, d])
                        {
                            place.copy_from_slice(&digits(byte));
                        }
                        self.put(&all);
                    }
                },
            },
        }
    }

    fn hex(&mut self, byte: u8) {
        let [a, b] = digits(byte);
        self.put(&[b'\\', b'x', a, b]);
    }

    /// Whole or not at all, so that no escape is cut in two.
    fn put(&mut self, bytes: &[u8]) {
        if self.cut {
            return;
        }
        if bytes.len() > self.left {
            self.cut = true;
            self.out.extend_from_slice(self.style.mark());
            return;
        }
        self.left -= bytes.len();
        self.out.extend_from_slice(bytes);
    }

    /// Whether something was left out.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }
}

impl fmt::Write for Escaper<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.text(text);
        Ok(())
    }
}

fn digits(byte: u8) -> [u8; 2] {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(style: Style, bytes: &[u8], limit: usize) -> (String, bool) {
        let mut out = Vec::new();
        let mut escaper = Escaper::new(&mut out, style, limit);
        escaper.bytes(bytes);
        let cut = escaper.is_cut();
        (String::from_utf8(out).unwrap(), cut)
    }

    #[test]
    fn each_style_has_its_escapes() {
        let bytes = b"a b\"\\\n\x1b\xff\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80";
        for (style, told) in [
            (Style::Json, "a b\\\"\\\\\\n\\u001b\\ufffd\\u00e9\\u2028\\ud83d\\ude00"),
            (Style::Word, "a\\x20b\\\"\\\\\\n\\x1b\\xff\\u{0000e9}\\u{002028}\\u{01f600}"),
            (Style::Quoted, "a b\\\"\\\\\\n\\x1b\\xff\\u{0000e9}\\u{002028}\\u{01f600}"),
        ] {
            assert_eq!(escaped(style, bytes, 1_000), (told.to_owned(), false));
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_marked_and_no_escape_is_halved() {
        assert_eq!(escaped(Style::Json, b"abcdef", 9), ("abcdef".to_owned(), false));
        assert_eq!(escaped(Style::Json, b"abcdefg", 9), ("abcdef...".to_owned(), true));
        assert_eq!(escaped(Style::Json, b"abcd\n\n", 9), ("abcd\\n...".to_owned(), true));
        assert_eq!(escaped(Style::Json, b"abcde\nf", 9), ("abcde...".to_owned(), true));
        assert_eq!(escaped(Style::Word, b"abcdefgh", 9), ("abcde\\...".to_owned(), true));
        assert_eq!(escaped(Style::Json, b"a", 2), ("...".to_owned(), true), "the mark is always there");
    }
}
