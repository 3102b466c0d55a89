//! Durations, as tables.

use proptest::prelude::*;

use super::*;

#[test]
fn valid_durations_are_read() {
    for (text, millis) in [
        ("0s", 0),
        ("0h", 0),
        ("00000h", 0),
        ("1s", 1_000),
        ("500ms", 500),
        ("1m", 60_000),
        ("1m30s", 90_000),
        ("1h30m", 5_400_000),
        ("10s30m1h", 5_410_000),
        ("1h1h", 7_200_000),
        ("1h2m3s4ms", 3_723_004),
        ("99999h", 359_996_400_000),
        ("100ms200ms300ms", 600),
        ("007s", 7_000),
        ("1m1ms", 60_001),
    ] {
        assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
    }
}

#[test]
fn everything_else_is_refused() {
    for text in [
        "",
        "1",
        "s",
        "1d",
        "1us",
        "1ns",
        "-1s",
        "+1s",
        "1.5s",
        "1 s",
        " 1s",
        "1s ",
        "100000s",
        "1h1m1s1ms1h",
        "1S",
        "1sec",
        "0",
        "1s1",
        "\u{661}s",
        "1h,1m",
        "1e3s",
        "99999999999999999999h",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_error_says_what_was_read_and_how_to_write_it() {
    let text = parse("1.5s").unwrap_err().to_string();
    assert!(
        text.starts_with("`1.5s` is not a duration: a number has no unit") && text.ends_with("such as 1m30s"),
        "{text}"
    );
}

#[test]
fn durations_are_written_with_the_largest_units() {
    for (millis, text) in
        [(0, "0s"), (90_000, "1m30s"), (3_723_004, "1h2m3s4ms"), (500, "500ms"), (7_200_000, "2h")]
    {
        assert_eq!(format(Duration::from_millis(millis)), text);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(millis in 0_u64..359_996_400_000) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse(&format(duration)), Ok(duration));
    }

    #[test]
    fn no_text_panics(text in "[0-9hms. -]{0,16}") {
        let shape = regex::Regex::new("^([0-9]{1,5}(h|m|s|ms)){1,4}$").unwrap();
        prop_assert_eq!(parse(&text).is_ok(), shape.is_match(&text));
    }
}
