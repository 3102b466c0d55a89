//! What is read as metrics, and what is not.

use proptest::prelude::*;

use super::*;

const PLAIN: Exposition = Exposition::Plain;
const OPEN: Exposition = Exposition::OpenMetrics;

/// Families as `NAME KIND SAMPLES`.
fn told(text: &str, format: Exposition) -> Vec<String> {
    let families = read(text, format).unwrap();
    families
        .iter()
        .map(|family| format!("{} {} {}", family.name, family.kind, family.samples.len()))
        .collect()
}

#[test]
fn samples_belong_to_the_family_that_says_so() {
    let text = "# HELP a Help.\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 0.5\na_count 1\na_created 9\nb 2 1700000000000\n\
        # TYPE b gauge\n# just words\n\n\n# TYPE c_total counter\nc_total{x=\"1\",} 3\n";
    assert_eq!(told(text, PLAIN), ["a histogram 3", "a_created untyped 1", "b gauge 1", "c_total counter 1"]);
    let text = "# TYPE a histogram\n# UNIT a seconds\na_bucket{le=\"+Inf\"} 1 # {trace_id=\"0f\"} 0.5 1.5\na_created 9.5\n\
        # TYPE c counter\nc_total 3 # {} 1\nc_created 1\nd 1 1700000000.5\n# EOF\n";
    assert_eq!(told(text, OPEN), ["a histogram 2", "c counter 2", "d unknown 1"]);
}

#[test]
fn whatever_a_scrape_would_fail_of_is_refused() {
    for (text, format, line) in [
        ("a\n", PLAIN, 1),
        ("a x\n", PLAIN, 1),
        ("ok 1\na 1 2 3\n", PLAIN, 2),
        ("a 1 1.5\n", PLAIN, 1),
        ("a 1\r\n", PLAIN, 0),
        ("9a 1\n", PLAIN, 1),
        ("{\"a\",x=\"1\"} 1\n", PLAIN, 1),
        ("a{x=\"1} 1\n", PLAIN, 1),
        ("a{x=1} 1\n", PLAIN, 1),
        ("a{x=\"1\" y=\"2\"} 1\n", PLAIN, 1),
        ("a{x=\"1\",x=\"2\"} 1\n", PLAIN, 1),
        ("a{__name__=\"b\"} 1\n", PLAIN, 1),
        ("a{x=\"1\"\n", PLAIN, 1),
        ("a 1 # {} 1\n", PLAIN, 1),
        ("<html>\n", PLAIN, 1),
        ("a 1\n", OPEN, 2),
        ("a 1\n# EOF\nb 1\n", OPEN, 3),
        ("a 1 # {\n# EOF\n", OPEN, 1),
        ("a 1 # {} x\n# EOF\n", OPEN, 1),
        ("a 1 inf\n# EOF\n", OPEN, 1),
    ] {
        let at = read(text, format).map_err(|wrong| wrong.line).err().unwrap_or(0);
        assert_eq!(at, line, "{text:?}");
    }
}

#[test]
fn a_backslash_that_escapes_nothing_stands_for_itself() {
    let text = r#"a{x="\d\\\"\n"} 1"#;
    let families = read(text, PLAIN).unwrap();
    assert_eq!(families[0].samples[0].labels[0].1, r#"\\d\\\"\n"#);
}

#[test]
fn open_metrics_can_be_told_in_the_older_words() {
    let text = "# TYPE c counter\nc_total 3 1.5 # {a=\"b\"} 1\nc_created 1\n# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE u unknown\nu 1\n\
        # TYPE e counter\ne_created 1\n# EOF\n";
    let mut families = read(text, OPEN).unwrap();
    to_plain(&mut families);
    let said: Vec<_> = families.iter().map(|family| format!("{} {}", family.name, family.kind)).collect();
    assert_eq!(said, ["c_total counter", "i_info gauge", "u untyped"]);
    let sample = &families[0].samples[0];
    assert_eq!((sample.timestamp.as_deref(), &sample.exemplar), (Some("1500"), &None));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "[a-c_{}\"=,\\\\ #\n0-9.éTYPEHL]{0,200}", open in any::<bool>()) {
        let _ = read(&text, if open { OPEN } else { PLAIN });
    }
}
