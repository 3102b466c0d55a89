//! Facts about the codec, each from bytes to what is made of them.

mod chunks;
mod differential;
mod hostile;
mod hosts;
mod injection;
mod paths;
mod properties;
mod reader;
mod requests;
mod responses;

use crate::Reason;

#[test]
fn each_reason_has_a_label_of_its_own_and_says_where_the_rule_stands() {
    let mut labels: Vec<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        let text = reason.to_string();
        assert!(!text.ends_with('.'), "{text}");
        assert!([400, 414, 417, 431, 501, 505].contains(&reason.status()), "{text}");
    }
}

#[test]
fn only_what_is_not_malformed_has_another_status_than_400() {
    let others: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| reason.status() != 400)
        .map(|reason| (reason.label(), reason.status()))
        .collect();
    assert_eq!(
        others,
        [
            ("target_too_long", 414),
            ("version", 505),
            ("head_too_large", 431),
            ("too_many_fields", 431),
            ("coding_unknown", 501),
            ("expectation", 417),
            ("trailers_too_large", 431),
        ]
    );
}
