//! B3, in one header and in several. It must not know which headers are written.
//!
//! Source: <https://github.com/openzipkin/b3-propagation>. Each hop is a span of its own here, as in W3C's: a caller and who is called do not share
//! one.

use super::hex::{put_hex, unhex};
use super::{Parent, Sampling, TraceContext};

/// The one header.
pub(super) const NAME: &str = "b3";
const TRACE: &str = "x-b3-traceid";
const SPAN: &str = "x-b3-spanid";
const PARENT: &str = "x-b3-parentspanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";

/// `TRACE-SPAN[-STATE[-PARENT]]`, or a state alone.
pub(super) fn parse(header: &str) -> Option<Parent> {
    let mut parts = header.split('-');
    let first = parts.next()?;
    let Some(span) = parts.next() else {
        return Some(Parent { ids: None, sampling: state(first)?, random: false });
    };
    let sampling = match parts.next() {
        Some(text) => state(text)?,
        None => Sampling::Undecided,
    };
    // Whose span the caller's was within says nothing here, but has to be one.
    if parts.next().is_some_and(|parent| unhex::<8>(parent.as_bytes()).is_none()) || parts.next().is_some() {
        return None;
    }
    with_ids(first, span, sampling)
}

/// The headers `X-B3-…`. Without ids they may still say whether to sample.
pub(super) fn parse_multi<'a>(header: &impl Fn(&'static str) -> Option<&'a str>) -> Option<Parent> {
    let trace = header(TRACE);
    let sampling = match (header(FLAGS), header(SAMPLED)) {
        (Some("1"), _) => Sampling::Debug,
        // Older versions of Zipkin's libraries wrote words.
        (_, Some("1" | "true")) => Sampling::Yes,
        (_, Some("0" | "false")) => Sampling::No,
        (_, Some(_)) => return None,
        (_, None) => Sampling::Undecided,
    };
    match (trace, header(SPAN)) {
        (Some(trace), Some(span)) => with_ids(trace, span, sampling),
        (None, None) if sampling == Sampling::Undecided => None,
        (None, None) => Some(Parent { ids: None, sampling, random: false }),
        (Some(_), None) | (None, Some(_)) => None,
    }
}

fn with_ids(trace: &str, span: &str, sampling: Sampling) -> Option<Parent> {
    let trace_id = match trace.len() {
        // An id of 64 bits is the lower half.
        16 => u128::from(u64::from_be_bytes(unhex::<8>(trace.as_bytes())?)).to_be_bytes(),
        _ => unhex::<16>(trace.as_bytes())?,
    };
    let span_id = unhex::<8>(span.as_bytes())?;
    if trace_id == [0; 16] || span_id == [0; 8] {
        return None;
    }
    Some(Parent { ids: Some((trace_id, span_id)), sampling, random: false })
}

fn state(text: &str) -> Option<Sampling> {
    match text {
        "0" => Some(Sampling::No),
        "1" => Some(Sampling::Yes),
        "d" => Some(Sampling::Debug),
        _ => None,
    }
}

fn hex<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut text = [b'0'; N];
    put_hex(&mut text, bytes);
    text
}

/// One header.
pub(super) fn write(context: &TraceContext, set: &mut impl FnMut(&'static str, Option<&[u8]>)) {
    let mut text = *b"00000000000000000000000000000000-0000000000000000-0-0000000000000000";
    let put = |text: &mut [u8], at: usize, bytes: &[u8]| {
        put_hex(text.get_mut(at..at + 2 * bytes.len()).unwrap_or_default(), bytes);
    };
    put(&mut text, 0, &context.trace_id);
    put(&mut text, 33, &context.span_id);
    if let Some(place) = text.get_mut(50) {
        *place = match context.sampling {
            Sampling::Debug => b'd',
            Sampling::Yes => b'1',
            Sampling::No | Sampling::Undecided => b'0',
        };
    }
    let length = match &context.parent_id {
        Some(parent) => {
            put(&mut text, 52, parent);
            text.len()
        }
        None => 51,
    };
    set(NAME, text.get(..length));
}

/// Several headers.
pub(super) fn write_multi(context: &TraceContext, set: &mut impl FnMut(&'static str, Option<&[u8]>)) {
    set(TRACE, Some(&hex::<32>(&context.trace_id)));
    set(SPAN, Some(&hex::<16>(&context.span_id)));
    let parent = context.parent_id.map(|parent| hex::<16>(&parent));
    set(PARENT, parent.as_ref().map(<[u8; 16]>::as_slice));
    if context.sampling == Sampling::Debug {
        set(FLAGS, Some(b"1"));
        set(SAMPLED, None);
    } else {
        set(FLAGS, None);
        set(SAMPLED, Some(if context.is_sampled() { b"1" } else { b"0" }));
    }
}
