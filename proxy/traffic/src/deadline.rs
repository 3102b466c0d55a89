//! The time that is left for a request, across hops. It must not know clocks that differ: only remaining times travel, never points in
//! time, so that nothing depends on two hosts agreeing about now.
//!
//! gRPC has `grpc-timeout`; what goes on is never longer than what came, nor than our own limit. HTTP has nothing, so `x-mesh-timeout-ms`
//! says how long the caller's proxy still waits. On the way out it is believed from the own workload, which can only shorten its own
//! requests with it; on the way in only from peers with a certificate of the mesh; from all others it is stripped.
//!
//! Source: gRPC over HTTP/2 ("Timeout").

use std::time::Duration;

/// The header with the milliseconds that are left.
pub const TIMEOUT_MS: &str = "x-mesh-timeout-ms";

/// The longest that is looked at: more is as good as no limit.
const MOST: Duration = Duration::from_hours(7 * 24);

/// Of `grpc-timeout`: up to 8 digits and a unit. Whatever is malformed is no limit.
pub fn grpc(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// As `grpc-timeout`, in the finest unit that has room, rounded down: the next hop must not wait longer than we do.
pub fn to_grpc(left: Duration) -> String {
    const ROOM: u128 = 99_999_999;
    let units = [(left.as_nanos(), 'n'), (left.as_micros(), 'u'), (left.as_millis(), 'm')];
    for (number, unit) in units {
        if number <= ROOM {
            return format!("{number}{unit}");
        }
    }
    let seconds = u128::from(left.as_secs());
    if seconds <= ROOM { format!("{seconds}S") } else { format!("{}H", (seconds / 3600).min(ROOM)) }
}

/// Of `x-mesh-timeout-ms`. Whatever is malformed is no limit.
pub fn mesh(value: &str) -> Option<Duration> {
    if value.is_empty() || value.len() > 12 || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    value.parse().ok().map(Duration::from_millis).filter(|left| *left <= MOST)
}

/// As `x-mesh-timeout-ms`; at least 1, since 0 would be no time at all.
pub fn to_mesh(left: Duration) -> String {
    left.min(MOST).as_millis().max(1).to_string()
}

/// The shortest of the limits that there are. 0 is no limit (GEP-1742: "0s" switches a timeout off).
pub fn shortest(limits: &[Option<Duration>]) -> Option<Duration> {
    limits.iter().flatten().copied().filter(|limit| !limit.is_zero()).min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, nanos) in [
            ("1H", 3_600_000_000_000),
            ("2M", 120_000_000_000),
            ("3S", 3_000_000_000),
            ("4m", 4_000_000),
            ("5u", 5_000),
            ("99999999n", 99_999_999),
            ("0S", 0),
        ] {
            assert_eq!(grpc(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_no_limit() {
        for text in ["", "S", "1", "1s", "-1S", "+1S", "123456789S", "1.5S", " 1S", "1é", "1SS"] {
            assert_eq!(grpc(text), None, "{text}");
        }
        for text in ["", "x", "-1", "+1", "1.0", "9999999999999", "999999999999"] {
            assert_eq!(mesh(text), None, "{text}");
        }
    }

    #[test]
    fn the_shortest_limit_counts_and_zero_is_none() {
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(shortest(&[None, seconds(0), seconds(3), seconds(2)]), seconds(2));
        assert_eq!(shortest(&[None, seconds(0)]), None);
    }

    proptest! {
        #[test]
        fn what_is_sent_is_read_again_and_never_longer(nanos: u64) {
            let left = Duration::from_nanos(nanos);
            let read = grpc(&to_grpc(left)).unwrap();
            prop_assert!(read <= left);
            // Of eight digits at most the last is lost, and below an hour no more than a second.
            let lost = left.saturating_sub(read);
            prop_assert!(lost <= left / 100_000 + Duration::from_nanos(1) || lost < Duration::from_hours(1));
            let read = mesh(&to_mesh(left)).unwrap();
            prop_assert!(read <= left.max(Duration::from_millis(1)));
        }
    }
}
