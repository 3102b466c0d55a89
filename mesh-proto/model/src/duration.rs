//! Durations as users write them, such as `1h30m` or `500ms`. They must not know what they limit.
//!
//! Source: GEP-2257.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a duration: {reason}; write one to four numbers of at most five digits, each with h, m, s or ms, such as 1m30s"
)]
pub struct InvalidDuration {
    /// The text as given, cut at 40 characters.
    pub text: String,
    /// Why not.
    pub reason: &'static str,
}

/// Parses one to four pairs of a number (one to five digits) and a unit, `h`, `m`, `s` or `ms`, in any order.
/// Zero is a duration here; as a timeout it means no limit.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let fail = |reason| InvalidDuration { text: text.chars().take(40).collect(), reason };
    if text.is_empty() {
        return Err(fail("it is empty"));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    let mut pairs = 0;
    while !rest.is_empty() {
        pairs += 1;
        if pairs > 4 {
            return Err(fail("it has more than four numbers"));
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(fail("a unit has no number, or there is a character that is neither digit nor unit"));
        }
        if digits > 5 {
            return Err(fail("a number has more than five digits"));
        }
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| fail("a number is too large"))?;
        // `ms` before `m`, of which it would be a beginning.
        let (unit, tail) = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
            .into_iter()
            .find_map(|(unit, millis)| Some((millis, tail.strip_prefix(unit)?)))
            .ok_or_else(|| fail("a number has no unit, or an unknown one"))?;
        total += Duration::from_millis(number * unit);
        rest = tail;
    }
    Ok(total)
}

/// The shortest text for a duration, with the largest units first; what is less than a millisecond is left out.
pub fn format(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut out = String::new();
    for (unit, millis) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        let number = left / millis;
        left %= millis;
        if number > 0 {
            out = format!("{out}{number}{unit}");
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests;
