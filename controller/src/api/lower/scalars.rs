//! Reads durations, sizes, percentages and bounded numbers. A value that is out of its bounds is a fault that says which bounds; what
//! is given back then is within them. They must not know which setting they belong to.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use mesh_model::duration::{format, parse};
use mesh_model::traffic::Ppm;

use super::Findings;
use crate::api::scalars::{DurationText, Size};

/// A millisecond, the shortest time that can be written.
pub const MILLISECOND: Duration = Duration::from_millis(1);
/// A second.
pub const SECOND: Duration = Duration::from_secs(1);
/// A minute.
pub const MINUTE: Duration = Duration::from_mins(1);
/// An hour.
pub const HOUR: Duration = Duration::from_hours(1);
/// A day.
pub const DAY: Duration = Duration::from_hours(24);
/// A year, the longest that anything is remembered.
pub const YEAR: Duration = Duration::from_hours(365 * 24);

/// A duration within `bounds`.
pub fn duration(
    text: &DurationText,
    field: &str,
    bounds: RangeInclusive<Duration>,
    findings: &mut Findings,
) -> Duration {
    let found = match parse(&text.0) {
        Ok(found) => found,
        Err(error) => {
            findings.fault(field, error.to_string());
            return *bounds.start();
        }
    };
    if bounds.contains(&found) {
        return found;
    }
    let (least, most) = (format(*bounds.start()), format(*bounds.end()));
    findings.fault(field, format!("`{}` is out of bounds; use {least} to {most}", text.0));
    *bounds.start()
}

/// As [`duration`], where there is one.
pub fn optional(
    text: Option<&DurationText>,
    field: &str,
    bounds: RangeInclusive<Duration>,
    findings: &mut Findings,
) -> Option<Duration> {
    text.map(|text| duration(text, field, bounds, findings))
}

/// A limit: absent and zero are none.
pub fn limit(text: Option<&DurationText>, field: &str, findings: &mut Findings) -> Option<Duration> {
    optional(text, field, Duration::ZERO..=YEAR, findings).filter(|limit| !limit.is_zero())
}

/// A number within `bounds`.
pub fn number<T: PartialOrd + Copy + Display>(
    value: T,
    field: &str,
    bounds: RangeInclusive<T>,
    findings: &mut Findings,
) -> T {
    if bounds.contains(&value) {
        return value;
    }
    findings.fault(field, format!("{value} is out of bounds; use {} to {}", bounds.start(), bounds.end()));
    *bounds.start()
}

/// As [`number`], where there is one.
pub fn optional_number<T: PartialOrd + Copy + Display>(
    value: Option<T>,
    field: &str,
    bounds: RangeInclusive<T>,
    findings: &mut Findings,
) -> Option<T> {
    value.map(|value| number(value, field, bounds, findings))
}

/// A percentage as parts in a million.
pub fn percent(value: f64, field: &str, bounds: RangeInclusive<f64>, findings: &mut Findings) -> Ppm {
    Ppm(scaled(value, 10_000.0, field, bounds, findings))
}

/// A factor as parts in a thousand.
pub fn per_mille(value: f64, field: &str, bounds: RangeInclusive<f64>, findings: &mut Findings) -> u32 {
    scaled(value, 1_000.0, field, bounds, findings)
}

/// A number times `scale`. Something that is no number is outside of all bounds, and these are small and not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds")]
pub fn scaled(
    value: f64,
    scale: f64,
    field: &str,
    bounds: RangeInclusive<f64>,
    findings: &mut Findings,
) -> u32 {
    (number(value, field, bounds, findings) * scale).round() as u32
}

/// A size in bytes within `bounds`.
pub fn size(size: &Size, field: &str, bounds: RangeInclusive<u64>, findings: &mut Findings) -> u64 {
    let Some(bytes) = bytes(&size.0) else {
        let text: String = size.0.chars().take(40).collect();
        findings.fault(
            field,
            format!("`{text}` is not a size; write a number of bytes, or one with k, M, G, Ki, Mi or Gi"),
        );
        return *bounds.start();
    };
    if bounds.contains(&bytes) {
        return bytes;
    }
    let (least, most) = (bounds.start(), bounds.end());
    findings.fault(field, format!("`{}` is out of bounds; use {least} to {most} bytes", size.0));
    *least
}

/// Digits and at most one unit. Source: Kubernetes API reference, Quantity (without fractions and exponents).
fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_at_most_one_unit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("65536", Some(65_536)),
            ("1k", Some(1_000)),
            ("64Ki", Some(65_536)),
            ("2Mi", Some(2 << 20)),
            ("1Gi", Some(1 << 30)),
            ("3G", Some(3_000_000_000)),
            ("", None),
            ("Ki", None),
            ("1.5Mi", None),
            ("-1", None),
            ("1 Ki", None),
            ("1Kii", None),
            ("1K", None),
            ("99999999999999999999", None),
            ("99999999999999999Gi", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn percentages_and_factors_keep_what_can_be_told_apart() {
        let mut findings = Findings::default();
        assert_eq!(percent(12.3456, "f", 0.0..=100.0, &mut findings), Ppm(123_456));
        assert_eq!(percent(100.0, "f", 0.0..=100.0, &mut findings), Ppm(1_000_000));
        assert_eq!(per_mille(1.9, "f", 0.1..=10.0, &mut findings), 1_900);
        assert_eq!(findings, Findings::default());
        assert_eq!(percent(f64::NAN, "f", 0.0..=100.0, &mut findings), Ppm(0));
        assert_eq!(percent(100.1, "g", 0.0..=100.0, &mut findings), Ppm(0));
        let told: Vec<String> = findings.faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["f: NaN is out of bounds; use 0 to 100", "g: 100.1 is out of bounds; use 0 to 100"]
        );
    }
}
