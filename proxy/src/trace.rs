//! Which trace a request belongs to, and what is sent upstream about it: W3C Trace Context and B3.
//!
//! Pure: it must not know requests, clocks or reports; random numbers come as an argument. A caller's headers enter at
//! [`TraceContext::read`], those for the next hop leave at [`TraceContext::write`].

mod b3;
mod hex;
mod w3c;

#[cfg(test)]
mod tests;

use mesh_model::settings::TraceHeaders;

/// One request's place in a trace, as this proxy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    parent_id: Option<[u8; 8]>,
    span_id: [u8; 8],
    sampling: Sampling,
    /// The last seven bytes of the trace id are random, as level 2 of the standard has it.
    random: bool,
}

/// Whether a trace is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sampling {
    /// Whoever reads it decides.
    Undecided,
    No,
    Yes,
    /// B3's word for "yes, and spare no part".
    Debug,
}

/// What a caller's headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parent {
    /// Trace and span; `None`: only whether to sample.
    ids: Option<([u8; 16], [u8; 8])>,
    sampling: Sampling,
    random: bool,
}

impl TraceContext {
    /// Continues the caller's trace with a new span, or starts a trace when no header is there or none can be read (W3C, section 4.3: a
    /// malformed header is as good as none). Headers that are written are read first, since those of the others may be what an
    /// application passed on from further up. A new trace is not sampled; see [`sampled_by_id`] and [`TraceContext::sample`].
    pub fn read<'a>(
        header: impl Fn(&'static str) -> Option<&'a str>,
        written: TraceHeaders,
        rng: &mut fastrand::Rng,
    ) -> Self {
        let TraceHeaders { w3c, b3, b3_multi } = written;
        let of = |want: bool| {
            let found = if w3c == want { header(w3c::NAME).and_then(w3c::parse) } else { None };
            let found =
                found.or_else(|| if b3 == want { header(b3::NAME).and_then(b3::parse) } else { None });
            found.or_else(|| if b3_multi == want { b3::parse_multi(&header) } else { None })
        };
        Self::after(of(true).or_else(|| of(false)), rng)
    }

    /// Of a request that somebody else began: that trace, to be told, and the span above whatever reads it. `None`: ids of zeros are none.
    pub fn begun(trace_id: [u8; 16], span_id: [u8; 8]) -> Option<Self> {
        let is_one = trace_id != [0; 16] && span_id != [0; 8];
        is_one.then_some(Self { trace_id, parent_id: None, span_id, sampling: Sampling::Yes, random: true })
    }

    fn after(parent: Option<Parent>, rng: &mut fastrand::Rng) -> Self {
        let span_id = nonzero(|| rng.u64(..)).to_be_bytes();
        let sampling = parent.map_or(Sampling::Undecided, |parent| parent.sampling);
        let (trace_id, parent_id, random) = match parent.and_then(|parent| parent.ids) {
            Some((trace, span)) => (trace, Some(span), parent.is_some_and(|parent| parent.random)),
            None => {
                let trace_id = loop {
                    let id = rng.u128(..);
                    if id != 0 {
                        break id.to_be_bytes();
                    }
                };
                (trace_id, None, true)
            }
        };
        Self { trace_id, parent_id, span_id, sampling, random }
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
        matches!(self.sampling, Sampling::Yes | Sampling::Debug)
    }

    /// Whether the caller said yes or no: then it is not for us to say.
    pub fn is_decided(&self) -> bool {
        self.sampling != Sampling::Undecided
    }

    /// The same with the sampled flag set: for a trace that nobody decided about and that was picked.
    pub fn sample(self) -> Self {
        Self { sampling: Sampling::Yes, ..self }
    }

    /// The headers for the next hop, with this proxy's span as the parent: each name with its value, or with none where a header of that
    /// name must not stay.
    pub fn write(&self, headers: TraceHeaders, mut set: impl FnMut(&'static str, Option<&[u8]>)) {
        if headers.w3c {
            set(w3c::NAME, Some(&w3c::text(self)));
        }
        if headers.b3 {
            b3::write(self, &mut set);
        }
        if headers.b3_multi {
            b3::write_multi(self, &mut set);
        }
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

/// An id of zeros means "no id", so it is drawn again.
fn nonzero(mut draw: impl FnMut() -> u64) -> u64 {
    loop {
        let id = draw();
        if id != 0 {
            return id;
        }
    }
}
