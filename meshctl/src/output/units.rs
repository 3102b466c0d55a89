//! Numbers as people read them. Pure.

/// Milliseconds with a precision that fits their size.
pub(crate) fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.2}ms"),
        ms if ms < 100.0 => format!("{ms:.1}ms"),
        ms if ms < 10_000.0 => format!("{ms:.0}ms"),
        ms => format!("{:.1}s", ms / 1000.0),
    }
}

/// Microseconds as milliseconds.
pub(crate) fn micros(us: u64) -> String {
    millis(us as f64 / 1000.0)
}

/// A share of 0 to 1 in per cent with two digits; `-` when there was nothing.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.2}%", part as f64 * 100.0 / whole as f64) }
}

/// Seconds as the two largest units that fit: `59m`, `1h 5m`, `2d 3h`, `42s`.
pub(crate) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, m) if m < 5 => format!("{m}m {}s", seconds % 60),
        (0, 0, m) => format!("{m}m"),
        (0, h, m) => format!("{h}h {m}m"),
        (d, h, _) => format!("{d}d {h}h"),
    }
}

/// Bytes given in KiB, as MB with one digit.
pub(crate) fn megabytes(kib: u64) -> String {
    format!("{:.1} MB", kib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_follows_size() {
        assert_eq!(
            [0.4567, 12.345, 345.6, 12_345.0].map(millis),
            ["0.46ms", "12.3ms", "346ms", "12.3s"].map(str::to_owned)
        );
    }

    #[test]
    fn a_share_of_nothing_is_a_dash() {
        assert_eq!(share(0, 0), "-");
        assert_eq!(share(199, 200), "99.50%");
    }

    #[test]
    fn spans_show_the_two_largest_units() {
        assert_eq!(
            [42, 100, 3540, 3900, 183_600].map(span),
            ["42s", "1m 40s", "59m", "1h 5m", "2d 3h"].map(str::to_owned)
        );
    }
}
