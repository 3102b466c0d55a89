//! Names on the wire: reading, comparing, writing, skipping. They must not know what they name.

use std::fmt;

use super::u16_at;

/// Bytes of a name, with the root.
const MAX: usize = 255;

/// Bytes of one label.
const LABEL: usize = 63;

/// A name in its wire form, in lower case, with the root at its end.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// From dotted text, with or without a final dot. `None`: it cannot be a name.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            if label.is_empty() || label.len() > LABEL {
                return None;
            }
            wire.push(u8::try_from(label.len()).ok()?);
            wire.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
        }
        wire.push(0);
        (wire.len() <= MAX).then(|| Self(wire.into()))
    }

    /// The uncompressed name at `at`, and where it ends. A question has no name before it that it could point to.
    pub(super) fn read(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut wire = Vec::with_capacity(32);
        let mut at = at;
        loop {
            let length = *message.get(at)?;
            if usize::from(length) > LABEL {
                return None;
            }
            let label = message.get(at..=at + usize::from(length))?;
            wire.extend(label.iter().map(u8::to_ascii_lowercase));
            at += label.len();
            if wire.len() > MAX {
                return None;
            }
            if length == 0 {
                return Some((Self(wire.into()), at));
            }
        }
    }

    /// The wire form.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Dotted, without a final dot. `None`: the root, or a label has bytes that no host's name has.
    pub fn text(&self) -> Option<String> {
        let mut text = String::with_capacity(self.0.len());
        for label in self.labels() {
            if !text.is_empty() {
                text.push('.');
            }
            for byte in label {
                if !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                    return None;
                }
                text.push(char::from(*byte));
            }
        }
        (!text.is_empty()).then_some(text)
    }

    fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first()?;
            let (label, tail) = tail.split_at_checked(usize::from(*length))?;
            rest = tail;
            (!label.is_empty()).then_some(label)
        })
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in self.labels() {
            write!(f, "{}.", label.escape_ascii())?;
        }
        if self.0.len() <= 1 { f.write_str(".") } else { Ok(()) }
    }
}

/// Where what follows the name at `at` begins. A pointer ends a name; where it points to is of no interest.
pub(super) fn skip(message: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    let start = at;
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=0x3F => at += 1 + usize::from(length),
            0xC0..=0xFF => {
                u16_at(message, at)?;
                return Some(at + 2);
            }
            // Reserved forms of labels.
            0x40..=0xBF => return None,
        }
        if at - start > MAX {
            return None;
        }
    }
}
