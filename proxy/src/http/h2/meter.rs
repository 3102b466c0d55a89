//! Frames that cost the peer nothing and us something: a meter for the bytes of one HTTP/2 connection. The codec answers or swallows
//! PING, SETTINGS, PRIORITY and WINDOW_UPDATE for ever; here they have a rate. It must not know what the frames say.
//!
//! Source: RFC 9113 sections 4.1 (frame header) and 10.5 (denial of service).

#[cfg(test)]
mod tests;

use tokio::time::Instant;

use crate::http::deadline;

/// Frames other than HEADERS, CONTINUATION and DATA with content that a peer may send each second.
const RATE: f64 = 1000.0;

/// How many of them at once.
const BURST: f64 = 2000.0;

/// What a peer can earn beyond the burst, by frames that carry something.
const EARNED: f64 = 8000.0;

/// Bytes that we write for which the peer may send one frame: a reader of large bodies sends window updates.
const BYTES_EACH: f64 = 1024.0;

/// Payloads of DATA below so many bytes cost more to carry than they bring.
const TINY: u32 = 64;

/// How many pieces so small a client may send each second, and at once.
const TINY_OF_CLIENT: Allowance = Allowance { rate: 2000.0, burst: 4000.0 };

/// The same for a proxy of the mesh, whose connection carries the streams of many clients.
const TINY_OF_PROXY: Allowance = Allowance { rate: 8000.0, burst: 12_000.0 };

/// Small pieces that every stream may have: messages of one piece are no flood, however many there are.
const TINY_EACH_STREAM: f64 = 4.0;

/// A rate and what may come at once.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    rate: f64,
    burst: f64,
}

/// The preface of a client (RFC 9113 section 3.4).
const PREFACE: u32 = 24;

/// Tells frames apart as their bytes pass.
#[derive(Debug)]
pub(super) struct Meter {
    header: [u8; 9],
    /// Bytes of the header that are there.
    have: usize,
    /// Bytes of the payload still to pass.
    skip: u32,
    tokens: f64,
    since: Instant,
    /// Small pieces of bodies; `None`: they are not counted.
    tiny: Option<Tiny>,
}

/// What is left of the allowance for small pieces.
#[derive(Debug)]
struct Tiny {
    allowance: Allowance,
    tokens: f64,
    since: Instant,
}

impl Tiny {
    fn new(allowance: Allowance) -> Self {
        Self { allowance, tokens: allowance.burst, since: deadline::now() }
    }

    fn earn(&mut self, pieces: f64) {
        self.tokens = (self.tokens + pieces).min(self.allowance.burst);
    }

    fn spend(&mut self) -> bool {
        if self.tokens < 1.0 {
            let now = deadline::now();
            let passed = now.saturating_duration_since(self.since).as_secs_f64();
            self.since = now;
            self.earn(passed * self.allowance.rate);
        }
        self.tokens -= 1.0;
        self.tokens >= 0.0
    }
}

impl Meter {
    /// Of a client's connection, which begins with the preface. A proxy of the mesh carries the streams of many.
    pub(super) fn of_client(is_proxy: bool) -> Self {
        Self::new(PREFACE, Some(if is_proxy { TINY_OF_PROXY } else { TINY_OF_CLIENT }))
    }

    /// Of a connection to an upstream. It sends what was asked for, in pieces as small as it likes.
    pub(super) fn of_upstream() -> Self {
        Self::new(0, None)
    }

    /// Bytes were written.
    pub(super) fn wrote(&mut self, count: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a write is far smaller than 2^52 bytes")]
        let count = count as f64;
        self.earn(count / BYTES_EACH);
        // Whoever is answered piece by piece has a conversation.
        self.earn_tiny(count / f64::from(TINY));
    }

    fn new(skip: u32, tiny: Option<Allowance>) -> Self {
        let (tokens, since, tiny) = (BURST, deadline::now(), tiny.map(Tiny::new));
        Self { header: [0; 9], have: 0, skip, tokens, since, tiny }
    }

    /// Takes bytes in; whether the peer is within its rate.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.skip > 0 {
                let count = (self.skip as usize).min(rest.len());
                self.skip -= u32::try_from(count).unwrap_or(u32::MAX);
                rest = rest.get(count..).unwrap_or_default();
                continue;
            }
            let count = (9 - self.have).min(rest.len());
            let (part, tail) = rest.split_at(count);
            if let Some(place) = self.header.get_mut(self.have..self.have + count) {
                place.copy_from_slice(part);
            }
            self.have += count;
            rest = tail;
            if self.have == 9 {
                self.have = 0;
                if !self.frame() {
                    return false;
                }
            }
        }
        true
    }

    fn frame(&mut self) -> bool {
        let [a, b, c, kind, flags, ..] = self.header;
        self.skip = u32::from_be_bytes([0, a, b, c]);
        let ends = flags & 1 == 1;
        match kind {
            // HEADERS and CONTINUATION have bounds of their own in the codec.
            1 | 9 => {
                self.earn(1.0);
                self.earn_tiny(TINY_EACH_STREAM);
            }
            0 if self.skip > 0 || ends => {
                self.earn(1.0);
                if self.skip < TINY && !ends {
                    return self.tiny.as_mut().is_none_or(Tiny::spend);
                }
                // Small pieces between large ones are no flood.
                self.earn_tiny(f64::from(self.skip / TINY));
            }
            _ => return self.spend(),
        }
        true
    }

    fn earn_tiny(&mut self, pieces: f64) {
        if let Some(tiny) = &mut self.tiny {
            tiny.earn(pieces);
        }
    }

    fn earn(&mut self, frames: f64) {
        self.tokens = (self.tokens + frames).min(BURST + EARNED);
    }

    fn spend(&mut self) -> bool {
        if self.tokens < 1.0 {
            let now = deadline::now();
            let passed = now.saturating_duration_since(self.since).as_secs_f64();
            self.since = now;
            self.tokens = (self.tokens + passed * RATE).min(BURST);
        }
        self.tokens -= 1.0;
        self.tokens >= 0.0
    }
}
