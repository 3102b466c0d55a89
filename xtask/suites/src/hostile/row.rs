//! A row: bytes in, and what must come of them. Pure.

use crate::recorder::Message;
use crate::report::shown;

/// What must come of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expect {
    /// 4xx or 5xx or a close, and the recorder got nothing.
    Refused,
    /// The same, with this status when there is one.
    RefusedWith(u16),
    /// The head may have been passed on before the fault was seen: no whole request may arrive, and nothing after the fault.
    Aborted,
    /// 2xx, and one request that arrived so.
    Passes(Vec<Check>),
    /// Refused, or passed so.
    Either(Vec<Check>),
}

/// What is true of the request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    Target(Vec<u8>),
    Host(Vec<u8>),
    Body(Vec<u8>),
    /// The field came once, with this value.
    Has(&'static str, &'static [u8]),
    /// The values of the field, in this order, on however many lines.
    Values(&'static str, &'static [&'static [u8]]),
    HasNot(&'static str),
    /// Nowhere in what arrived, whatever the case.
    Nowhere(&'static str),
}

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expect: Expect,
}

impl Row {
    pub(crate) fn new(group: &'static str, name: &str, bytes: impl Into<Vec<u8>>, expect: Expect) -> Self {
        Self { group, name: name.to_owned(), bytes: bytes.into(), expect }
    }

    pub(crate) fn shown(&self) -> String {
        shown(&self.bytes)
    }
}

impl Expect {
    pub(crate) fn shown(&self) -> String {
        let all = |checks: &[Check]| checks.iter().map(Check::shown).collect::<Vec<_>>().join(", ");
        match self {
            Self::Refused => "refused (4xx, 5xx or close), nothing reaches the upstream".to_owned(),
            Self::RefusedWith(status) => format!("{status} or close, nothing reaches the upstream"),
            Self::Aborted => "refused or broken off, no whole request reaches the upstream".to_owned(),
            Self::Passes(checks) => format!("passes: {}", all(checks)),
            Self::Either(checks) => format!("refused, or passes: {}", all(checks)),
        }
    }
}

impl Check {
    /// What is wrong with `message`, if something is.
    pub(crate) fn complaint(&self, message: &Message) -> Option<String> {
        let fine = match self {
            Self::Target(wanted) => message.target == *wanted,
            Self::Host(wanted) => {
                message.host() == Some(wanted) && (message.http2 || message.count("host") == 1)
            }
            Self::Body(wanted) => message.body == *wanted && message.whole,
            Self::Has(name, wanted) => message.field(name) == Some(*wanted) && message.count(name) == 1,
            Self::Values(name, wanted) => values(message, name) == *wanted,
            Self::HasNot(name) => message.count(name) == 0,
            Self::Nowhere(text) => !contains(&message.raw, text) && !in_fields(message, text),
        };
        (!fine).then(|| format!("not so: {}", self.shown()))
    }

    fn shown(&self) -> String {
        match self {
            Self::Target(wanted) => format!("target `{}`", wanted.escape_ascii()),
            Self::Host(wanted) => format!("host `{}`", wanted.escape_ascii()),
            Self::Body(wanted) => format!("body `{}`", wanted.escape_ascii()),
            Self::Has(name, wanted) => format!("`{name}: {}`", wanted.escape_ascii()),
            Self::Values(name, wanted) => format!("{} values of `{name}` in order", wanted.len()),
            Self::HasNot(name) => format!("no `{name}`"),
            Self::Nowhere(text) => format!("`{text}` nowhere"),
        }
    }
}

fn values<'a>(message: &'a Message, name: &str) -> Vec<&'a [u8]> {
    let lines = message.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
    lines.flat_map(|(_, value)| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).collect()
}

fn in_fields(message: &Message, text: &str) -> bool {
    message.fields.iter().any(|(name, value)| contains(name, text) || contains(value, text))
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &[(&str, &str)]) -> Message {
        let fields = fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
        Message { target: b"/a".to_vec(), fields, whole: true, ..Message::default() }
    }

    #[test]
    fn checks_look_at_what_arrived() {
        let seen = message(&[("Host", "x"), ("a", "1, 2"), ("A", "3")]);
        assert_eq!(Check::Target(b"/a".to_vec()).complaint(&seen), None);
        assert_eq!(Check::Host(b"x".to_vec()).complaint(&seen), None);
        assert_eq!(Check::Values("a", &[b"1", b"2", b"3"]).complaint(&seen), None);
        assert!(Check::Has("a", b"1, 2").complaint(&seen).is_some());
        assert!(Check::HasNot("a").complaint(&seen).is_some());
        assert!(Check::Nowhere("HOST").complaint(&seen).is_some());
        assert_eq!(Check::Nowhere("secret").complaint(&seen), None);
    }
}
