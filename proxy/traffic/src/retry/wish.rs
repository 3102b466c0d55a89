//! What a server wishes about further attempts: `Retry-After` and `grpc-retry-pushback-ms`. It must not know whether that is kept.
//!
//! Source: RFC 9110 sections 10.2.3 and 5.6.7, gRFC A6.

use std::time::{Duration, SystemTime};

/// What a server wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Not before so long.
    After(Duration),
    /// Not at all.
    Never,
}

/// Of `Retry-After`: seconds, or an HTTP-date seen from `now`. Whatever is neither is not there.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Wish> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than fit are more than anybody waits.
        return Some(value.parse().map_or(Wish::Never, |seconds| Wish::After(Duration::from_secs(seconds))));
    }
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(http_date(value)?);
    Some(Wish::After(at.duration_since(now).unwrap_or_default()))
}

/// Of `grpc-retry-pushback-ms`. A negative or unreadable number asks for no retry.
pub fn grpc_pushback(value: &str) -> Wish {
    match value.trim().parse::<i64>().ok().and_then(|ms| u64::try_from(ms).ok()) {
        Some(ms) => Wish::After(Duration::from_millis(ms)),
        None => Wish::Never,
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of an IMF-fixdate, as `Sun, 06 Nov 1994 08:49:37 GMT`. The two obsolete forms are not sent any more.
fn http_date(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let mut next = || parts.next();
    let day: u64 = number(next()?, 2)?;
    let name = next()?;
    let month = 1 + u64::try_from(MONTHS.iter().position(|month| *month == name)?).ok()?;
    let year: u64 = number(next()?, 4)?;
    let time = next()?;
    if next()? != "GMT" || next().is_some() || year < 1970 || !(1..=31).contains(&day) {
        return None;
    }
    let mut clock = time.split(':');
    let mut unit = |most: u64| clock.next().and_then(|text| number(text, 2)).filter(|unit| *unit <= most);
    let (hours, minutes, seconds) = (unit(23)?, unit(59)?, unit(60)?);
    if clock.next().is_some() {
        return None;
    }
    Some(((days(year, month, day) * 24 + hours) * 60 + minutes) * 60 + seconds)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

/// Days from 1970-01-01 to this day of the Gregorian calendar; `year` is at least 1970. Years are counted from March, so that the
/// leap day is the last one.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let to_1970 = 719_468;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - to_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn seconds_and_dates_are_read() {
        let after = |seconds| Some(Wish::After(Duration::from_secs(seconds)));
        let now = at(784_111_770);
        assert_eq!(retry_after("120", now), after(120));
        assert_eq!(retry_after(" 0 ", now), after(0));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), after(7));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:30 GMT", now), after(0));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:00:00 GMT", now), after(0), "the past is now");
        assert_eq!(retry_after("99999999999999999999999", now), Some(Wish::Never));
    }

    #[test]
    fn what_is_neither_is_not_there() {
        for text in [
            "",
            "-1",
            "1.5",
            "soon",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
        ] {
            assert_eq!(retry_after(text, at(0)), None, "{text}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Fri, 31 Dec 2038 12:00:00 GMT", 2_177_409_600),
            ("Sun, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
        ] {
            assert_eq!(http_date(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn a_negative_or_unreadable_pushback_asks_for_no_retry() {
        assert_eq!(grpc_pushback("25"), Wish::After(Duration::from_millis(25)));
        assert_eq!(grpc_pushback("0"), Wish::After(Duration::ZERO));
        for text in ["-1", "", "x", "1s", "99999999999999999999999"] {
            assert_eq!(grpc_pushback(text), Wish::Never, "{text}");
        }
    }
}
