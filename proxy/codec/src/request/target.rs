//! The four forms of a request target. It must not know the fields.
//!
//! Source: RFC 9112 section 3.2.

use crate::canonical;
use crate::message::{Form, Span};
use crate::refusal::Reason;

/// A request target, taken apart.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) form: Form,
    /// Path and query, as sent.
    pub(super) path: Span,
    /// The authority, where the form has one.
    pub(super) authority: Option<Span>,
}

impl Target {
    /// Takes apart what stands at `at`, which is all visible ASCII without `#`.
    pub(super) fn read(buf: &[u8], method: &[u8], at: Span) -> Result<Self, Reason> {
        let raw = at.of(buf);
        let (start, end) = (at.start as usize, at.end as usize);
        if method == b"CONNECT" {
            if canonical::check(raw).map_err(|_| Reason::TargetForm)?.port.is_none() {
                return Err(Reason::TargetForm);
            }
            return Ok(Self { form: Form::Authority, path: Span::new(end, end), authority: Some(at) });
        }
        match raw {
            [b'/', ..] => Ok(Self { form: Form::Origin, path: at, authority: None }),
            b"*" if method == b"OPTIONS" => Ok(Self { form: Form::Asterisk, path: at, authority: None }),
            _ => {
                let scheme = raw.windows(3).position(|three| three == b"://").ok_or(Reason::TargetForm)?;
                if !raw.get(..scheme).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http")) {
                    return Err(Reason::Scheme);
                }
                let rest = raw.get(scheme + 3..).unwrap_or_default();
                let split = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
                canonical::check(rest.get(..split).unwrap_or_default())?;
                let path = start + scheme + 3 + split;
                Ok(Self {
                    form: Form::Absolute,
                    path: Span::new(path, end),
                    authority: Some(Span::new(start + scheme + 3, path)),
                })
            }
        }
    }
}
