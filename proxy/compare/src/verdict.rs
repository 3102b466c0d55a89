//! What a difference is worth: whether stable and candidate differ at a place more often than stable and stable do.
//!
//! The two limits are Diffy's: a fifth relative to the sum of both shares, and 0.03 % of the pairs. With few pairs shares say little, so the
//! difference must beside that be three standard errors; until then it is unclear.

/// Relative to the sum of both shares.
const RELATIVE: f64 = 0.2;
/// Of the pairs.
const ABSOLUTE: f64 = 0.0003;
/// Standard errors.
const ERRORS: f64 = 3.0;

/// What is known of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The candidate answers otherwise.
    Differs,
    /// It seems so, but there are too few twins, or none.
    Unclear,
    /// The stable version differs from itself as often.
    Noise,
}

impl Verdict {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Differs => "differs",
            Self::Unclear => "unclear",
            Self::Noise => "noise",
        }
    }
}

/// A part of a whole; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "counts of requests of an hour")]
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `raw` of `compared` pairs of stable and candidate differ at a place, and `noise` of `twins` pairs of stable and stable.
#[expect(clippy::cast_precision_loss, reason = "counts of requests of an hour")]
pub fn verdict((raw, compared): (u64, u64), (noise, twins): (u64, u64)) -> Verdict {
    let (seen, own) = (share(raw, compared), share(noise, twins));
    if seen <= own {
        return Verdict::Noise;
    }
    if (seen - own) / (seen + own) <= RELATIVE || seen - own <= ABSOLUTE {
        return Verdict::Noise;
    }
    if twins == 0 {
        return Verdict::Unclear;
    }
    let both = share(raw + noise, compared + twins);
    let error = (both * (1.0 - both) * (1.0 / compared as f64 + 1.0 / twins as f64)).sqrt();
    if seen - own >= ERRORS * error { Verdict::Differs } else { Verdict::Unclear }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Verdict::{Differs, Noise, Unclear};
    use super::*;

    #[test]
    fn verdicts() {
        let cases = [
            // Always, never.
            ((100, 100), (0, 100), Differs),
            ((0, 100), (0, 100), Noise),
            ((0, 0), (0, 0), Noise),
            // A time, a random number.
            ((100, 100), (100, 100), Noise),
            ((48, 100), (52, 100), Noise),
            // A field that often changes by itself and always with the candidate.
            ((1_000, 1_000), (300, 1_000), Differs),
            // Rarely, but often enough to be sure.
            ((10, 1_000), (0, 1_000), Differs),
            ((2, 1_000), (0, 1_000), Unclear),
            // Less than either of Diffy's limits.
            ((2, 10_000), (0, 10_000), Noise),
            ((600, 1_000), (500, 1_000), Noise),
            // Few twins, and none.
            ((100, 100), (0, 2), Differs),
            ((4, 4), (0, 4), Unclear),
            ((5, 5), (0, 5), Differs),
            ((100, 100), (0, 0), Unclear),
        ];
        for (raw, noise, expected) in cases {
            assert_eq!(verdict(raw, noise), expected, "{raw:?} {noise:?}");
        }
    }

    proptest! {
        /// More noise never turns noise into a difference.
        #[test]
        fn noise_only_excuses(raw in 0_u64..500, more in 0_u64..500, noise in 0_u64..500, extra in 0_u64..500) {
            let (compared, twins) = (raw + more, noise + extra);
            let at = |noise| verdict((raw, compared), (noise, twins));
            for n in noise..twins.min(noise + 5) {
                prop_assert!(at(n) <= at(n + 1), "{:?} {:?}", at(n), at(n + 1));
            }
        }
    }
}
