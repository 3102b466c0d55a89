//! Amounts of CPU and memory as Kubernetes writes them, as far as they can be compared. It must not know what they are for.

use std::str::FromStr;

/// An amount, with the text that it was written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    text: String,
    /// In thousandths.
    milli: u128,
}

/// Suffixes and how many thousandths one of each is.
const SUFFIXES: [(&str, u128); 14] = [
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("Ei", 1000 << 60),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("", 1000),
];

/// Digits before and after the point; more is no amount that a container has.
const MAX_DIGITS: usize = 15;

impl Quantity {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.milli.cmp(&other.milli))
    }
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an amount such as 100m, 0.5, 64Mi or 1G");
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let suffix = text.strip_prefix(digits).unwrap_or_default();
        let unit = SUFFIXES.iter().find(|(known, _)| *known == suffix).map(|(_, unit)| *unit);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let fits = whole.len() <= MAX_DIGITS && part.len() <= MAX_DIGITS;
        if whole.is_empty() || !all_digits(whole) || !all_digits(part) || digits.ends_with('.') || !fits {
            return Err(wrong());
        }
        let unit = unit.ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<u128>().unwrap_or_default();
        let scale = 10u128.pow(u32::try_from(part.len()).unwrap_or_default());
        let milli = number(whole) * unit + number(part) * unit / scale;
        if milli == 0 {
            return Err(format!("`{text}` is nothing; leave it out for no limit"));
        }
        Ok(Self { text: text.to_owned(), milli })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_compare_by_what_they_mean() {
        assert!(read("100m") < read("0.2"));
        assert!(read("1") < read("1001m"));
        assert!(read("64Mi") > read("64M"));
        assert!(read("1.5Gi") > read("1024Mi"));
        assert_eq!(read("64Mi").as_str(), "64Mi");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in
            ["", "m", "-1", "1 Gi", "1gb", "1.", ".5", "1e3", "0", "0m", "1\n", "{{x}}", "9999999999999999"]
        {
            assert!(text.parse::<Quantity>().is_err(), "{text:?}");
        }
    }
}
