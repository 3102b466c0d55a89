//! `traceparent`. It must not know which headers are written.
//!
//! Source: W3C Recommendation "Trace Context" level 1 (sections 3.2 and 4), with the forward compatibility rules of 3.2.4; level 2 for the flag
//! that says that the trace id is random.

use super::hex::{put_hex, unhex};
use super::{Parent, Sampling, TraceContext};

/// The header.
pub(super) const NAME: &str = "traceparent";
/// Flags of level 1 and of level 2.
const SAMPLED: u8 = 1;
const RANDOM: u8 = 2;

/// The grammar of section 3.2.2. A version above 00 is read by the layout of 00 and may go on after another `-`; version
/// ff, upper case, ids of zeros only and any other length are malformed.
pub(super) fn parse(header: &str) -> Option<Parent> {
    let bytes = header.as_bytes();
    let (known, rest) = bytes.split_at_checked(55)?;
    let [version] = unhex::<1>(known.get(..2)?)?;
    match version {
        0xff => return None,
        0x00 if !rest.is_empty() => return None,
        _ if rest.first().is_some_and(|b| *b != b'-') => return None,
        _ => {}
    }
    if [2, 35, 52].iter().any(|at| known.get(*at) != Some(&b'-')) {
        return None;
    }
    let trace_id = unhex::<16>(known.get(3..35)?)?;
    let parent_id = unhex::<8>(known.get(36..52)?)?;
    let [flags] = unhex::<1>(known.get(53..55)?)?;
    if trace_id == [0; 16] || parent_id == [0; 8] {
        return None;
    }
    Some(Parent {
        ids: Some((trace_id, parent_id)),
        sampling: if flags & SAMPLED == 0 { Sampling::No } else { Sampling::Yes },
        random: flags & RANDOM != 0,
    })
}

/// Version 00, this proxy's span as the parent. Of the flags only those that are known to this version are sent (section 3.2.2.5).
pub(super) fn text(context: &TraceContext) -> [u8; 55] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let (trace, span) = text.split_at_mut(36);
    put_hex(trace.get_mut(3..).unwrap_or_default(), &context.trace_id);
    put_hex(span, &context.span_id);
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let flags = flag(context.is_sampled(), SAMPLED) | flag(context.random, RANDOM);
    if let Some(last) = text.last_mut() {
        *last = b'0' + flags;
    }
    text
}
