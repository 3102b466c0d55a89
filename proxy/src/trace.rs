//! W3C Trace Context: which trace a request belongs to, and what is sent upstream about it.
//!
//! Pure: it must not know requests, clocks or reports; random numbers come as an argument. A caller's `traceparent`
//! enters at [`TraceContext::from_traceparent`], the one for the next hop leaves at [`TraceContext::header`].
//!
//! Source: W3C Recommendation "Trace Context" level 1 (sections 3.2 and 4), with the forward compatibility rules of 3.2.4.

#[cfg(test)]
mod tests;

/// One request's place in a trace, as this proxy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    parent_id: Option<[u8; 8]>,
    span_id: [u8; 8],
    sampled: bool,
}

impl TraceContext {
    /// Continues the caller's trace with a new span, or starts a trace when the header is absent or malformed (section
    /// 4.3: a malformed header is as good as none). A new trace is not sampled; see [`sampled_by_id`] and
    /// [`TraceContext::sample`].
    pub fn from_traceparent(header: Option<&str>, rng: &mut fastrand::Rng) -> Self {
        let span_id = nonzero(|| rng.u64(..)).to_be_bytes();
        match header.and_then(parse) {
            Some(Parent { trace_id, parent_id, sampled }) => {
                Self { trace_id, parent_id: Some(parent_id), span_id, sampled }
            }
            None => {
                let trace_id = loop {
                    let id = rng.u128(..);
                    if id != 0 {
                        break id.to_be_bytes();
                    }
                };
                Self { trace_id, parent_id: None, span_id, sampled: false }
            }
        }
    }

    /// The trace, not all zero.
    pub fn trace_id(&self) -> &[u8; 16] {
        &self.trace_id
    }

    /// The caller's span; `None` where this proxy began the trace.
    pub fn parent_id(&self) -> Option<&[u8; 8]> {
        self.parent_id.as_ref()
    }

    /// This proxy's span, not all zero.
    pub fn span_id(&self) -> &[u8; 8] {
        &self.span_id
    }

    /// Whether the caller, or [`TraceContext::sample`], asked to record it.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The same with the sampled flag set: for a trace that begins here and was picked.
    pub fn sample(self) -> Self {
        Self { sampled: true, ..self }
    }

    /// The `traceparent` for the next hop: version 00, this proxy's span as the parent. Of the flags only `sampled` is
    /// known to this version and sent (section 3.2.2.5).
    pub fn header(&self) -> String {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (trace, span) = text.split_at_mut(36);
        put_hex(trace.get_mut(3..).unwrap_or_default(), &self.trace_id);
        put_hex(span, &self.span_id);
        if let Some(flag) = text.last_mut().filter(|_| self.sampled) {
            *flag = b'1';
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Whether the trace is in a share of `ppm` parts per million. Decided by the trace id alone, so that every proxy on the
/// way picks the same traces. The last seven bytes decide, which level 2 of the standard asks to be random.
pub fn sampled_by_id(trace_id: &[u8; 16], ppm: u32) -> bool {
    const SPACE: u128 = 1 << 56;
    let value = u128::from_be_bytes(*trace_id) & (SPACE - 1);
    let threshold = SPACE * u128::from(ppm.min(1_000_000)) / 1_000_000;
    value < threshold
}

/// What a caller's header says.
#[derive(Debug, PartialEq, Eq)]
struct Parent {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    sampled: bool,
}

/// The grammar of section 3.2.2. A version above 00 is read by the layout of 00 and may go on after another `-`; version
/// ff, upper case, ids of zeros only and any other length are malformed.
fn parse(header: &str) -> Option<Parent> {
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
    Some(Parent { trace_id, parent_id, sampled: flags & 1 == 1 })
}

/// Lower case hexadecimal only, as the standard lays down.
fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let (pairs, odd) = text.as_chunks::<2>();
    if pairs.len() != N || !odd.is_empty() {
        return None;
    }
    let mut out = [0; N];
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

fn put_hex(text: &mut [u8], bytes: &[u8]) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let (pairs, _) = text.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 0xf)];
    }
}

/// An id of zeros means "no id", so it is drawn again.
fn nonzero(mut draw: impl FnMut() -> u64) -> u64 {
    loop {
        let id = draw();
        if id != 0 {
            return id;
        }
    }
}
