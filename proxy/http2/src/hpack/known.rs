//! What the encoder knows of a field by its name: the index in the static table, and whether its value is worth a place in the dynamic
//! one. It must not know how a field is written.

use super::statics;

/// What may be done with the value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// It often comes again on the same connection: it may enter the table.
    Repeats,
    /// It differs each time: it would only drive others out.
    Changes,
    /// It is a secret: it enters no table on any hop (RFC 7541 section 7.1.3).
    Secret,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// In lower case.
    name: &'static str,
    /// The first index in the static table, or 0.
    pub(super) index: u8,
    pub(super) habit: Habit,
}

/// The one of this name, without regard to case.
#[inline]
pub(super) fn known(name: &[u8]) -> Option<&'static Known> {
    let &[first, _, third, ..] = name else { return None };
    let slot = slot(name.len(), first, third, *name.last()?);
    let known = NAMES.get(usize::from(*SLOTS.get(slot)?))?;
    let text = known.name.as_bytes();
    (name == text || name.eq_ignore_ascii_case(text)).then_some(known)
}

impl Known {
    /// The index of this field with this value in the static table.
    #[inline]
    pub(super) fn with_value(&self, value: &[u8]) -> Option<usize> {
        let index = usize::from(self.index);
        let count = match self.index {
            2 | 4 | 6 => 2,
            8 => 7,
            16 => 1,
            _ => return None,
        };
        let of_name = statics::TABLE.get(index - 1..index - 1 + count)?;
        Some(index + of_name.iter().position(|(_, text)| text.as_bytes() == value)?)
    }
}

/// No name is here.
const EMPTY: u8 = 255;

/// Where each name is in [`NAMES`], by [`slot`].
static SLOTS: [u8; 256] = slots();

/// A number below 256 that differs for all names of [`NAMES`]: the factors were found by trying. The compiler checks it.
#[inline]
const fn slot(len: usize, first: u8, third: u8, last: u8) -> usize {
    let sum = len * 156
        + (first | 0x20) as usize * 227
        + (third | 0x20) as usize * 202
        + (last | 0x20) as usize * 18;
    sum & 0xff
}

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
const fn slots() -> [u8; 256] {
    let mut slots = [EMPTY; 256];
    let mut at = 0;
    while at < NAMES.len() {
        let name = NAMES[at].name.as_bytes();
        let slot = slot(name.len(), name[0], name[2], name[name.len() - 1]);
        assert!(slots[slot] == EMPTY, "two names have one slot: other factors are needed");
        slots[slot] = at as u8;
        at += 1;
    }
    slots
}

const fn repeats(name: &'static str, index: u8) -> Known {
    Known { name, index, habit: Habit::Repeats }
}

const fn changes(name: &'static str, index: u8) -> Known {
    Known { name, index, habit: Habit::Changes }
}

const fn secret(name: &'static str, index: u8) -> Known {
    Known { name, index, habit: Habit::Secret }
}

static NAMES: [Known; 67] = [
    repeats(":authority", 1),
    repeats(":method", 2),
    changes(":path", 4),
    repeats(":scheme", 6),
    repeats(":status", 8),
    repeats("accept-charset", 15),
    repeats("accept-encoding", 16),
    repeats("accept-language", 17),
    repeats("accept-ranges", 18),
    repeats("accept", 19),
    repeats("access-control-allow-origin", 20),
    changes("age", 21),
    repeats("allow", 22),
    secret("authorization", 23),
    repeats("cache-control", 24),
    repeats("content-disposition", 25),
    repeats("content-encoding", 26),
    repeats("content-language", 27),
    changes("content-length", 28),
    changes("content-location", 29),
    changes("content-range", 30),
    repeats("content-type", 31),
    secret("cookie", 32),
    changes("date", 33),
    changes("etag", 34),
    repeats("expect", 35),
    changes("expires", 36),
    repeats("from", 37),
    repeats("host", 38),
    changes("if-match", 39),
    changes("if-modified-since", 40),
    changes("if-none-match", 41),
    changes("if-range", 42),
    changes("if-unmodified-since", 43),
    changes("last-modified", 44),
    repeats("link", 45),
    changes("location", 46),
    changes("max-forwards", 47),
    changes("proxy-authenticate", 48),
    secret("proxy-authorization", 49),
    changes("range", 50),
    repeats("referer", 51),
    repeats("refresh", 52),
    changes("retry-after", 53),
    repeats("server", 54),
    secret("set-cookie", 55),
    repeats("strict-transport-security", 56),
    repeats("transfer-encoding", 57),
    repeats("user-agent", 58),
    repeats("vary", 59),
    repeats("via", 60),
    changes("www-authenticate", 61),
    changes("traceparent", 0),
    changes("tracestate", 0),
    changes("x-request-id", 0),
    changes("grpc-timeout", 0),
    changes("x-correlation-id", 0),
    secret("x-api-key", 0),
    secret("x-auth-token", 0),
    secret("x-csrf-token", 0),
    secret("x-amz-security-token", 0),
    changes("x-amzn-trace-id", 0),
    changes("baggage", 0),
    changes("x-amz-date", 0),
    changes("x-amz-content-sha256", 0),
    changes("grpc-message", 0),
    changes("grpc-status-details-bin", 0),
];

/// All names, for tests.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (&'static str, u8, Habit)> {
    NAMES.iter().map(|known| (known.name, known.index, known.habit))
}
