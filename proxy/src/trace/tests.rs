//! The grammar of `traceparent` as tables, and properties over random contexts.

use proptest::prelude::*;

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn read(header: &str) -> Option<Parent> {
    parse(header)
}

#[test]
fn a_valid_header_is_continued() {
    for (flags, sampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
        let parent = read(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap();
        assert_eq!(parent.sampled, sampled, "flags {flags}");
        assert_eq!(parent.trace_id[0], 0x0a);
        assert_eq!(parent.parent_id[7], 0x31);
    }
}

#[test]
fn a_later_version_is_read_by_the_layout_of_the_first() {
    assert!(read(&format!("01-{TRACE}-{SPAN}-01")).is_some());
    assert!(read(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings")).is_some());
    assert!(read(&format!("cc-{TRACE}-{SPAN}-01-")).is_some());
    assert!(read(&format!("cc-{TRACE}-{SPAN}-01.what")).is_none());
    assert!(read(&format!("cc-{TRACE}-{SPAN}-012")).is_none());
}

#[test]
fn a_malformed_header_starts_a_new_trace() {
    let cases = [
        String::new(),
        "00".to_owned(),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-01-extra"),
        format!("00-{TRACE}-{SPAN}-01-"),
        format!("00-{TRACE}-{SPAN}-1"),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{TRACE}-{SPAN}-0x"),
        format!(" 00-{TRACE}-{SPAN}-01"),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
        format!("0A-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-0A"),
        format!("00-{}-{SPAN}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00_{TRACE}_{SPAN}_01"),
        format!("00-{}-{SPAN}-01", TRACE.trim_start_matches('0')),
        format!("00-{TRACE}-{SPAN}é-01"),
        format!("00-{}-{SPAN}-01", "g".repeat(32)),
    ];
    for header in cases {
        assert_eq!(read(&header), None, "{header:?}");
        let mut rng = fastrand::Rng::with_seed(7);
        let context = TraceContext::from_traceparent(Some(&header), &mut rng);
        assert_eq!(context.parent_id(), None);
        assert!(!context.is_sampled());
    }
}

#[test]
fn the_share_goes_from_none_to_all() {
    for last in [0u8, 0x7f, 0xff] {
        let id = [last; 16];
        assert!(!sampled_by_id(&id, 0));
        assert!(sampled_by_id(&id, 1_000_000));
        assert!(sampled_by_id(&id, u32::MAX));
    }
}

#[test]
fn the_share_is_what_was_asked_for() {
    let mut rng = fastrand::Rng::with_seed(1);
    let picked = (0..100_000).filter(|_| sampled_by_id(&rng.u128(..).to_be_bytes(), 100_000)).count();
    assert!((9_500..10_500).contains(&picked), "{picked} of 100000 at 10 %");
}

proptest! {
    #[test]
    fn the_next_hop_reads_what_was_sent(seed: u64, sampled: bool) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut first = TraceContext::from_traceparent(None, &mut rng);
        if sampled {
            first = first.sample();
        }
        let next = TraceContext::from_traceparent(Some(&first.header()), &mut rng);
        prop_assert_eq!(next.trace_id(), first.trace_id());
        prop_assert_eq!(next.parent_id(), Some(first.span_id()));
        prop_assert_ne!(next.span_id(), first.span_id());
        prop_assert_eq!(next.is_sampled(), sampled);
    }

    #[test]
    fn no_bytes_make_it_fail(header in "\\PC*") {
        let mut rng = fastrand::Rng::with_seed(3);
        let context = TraceContext::from_traceparent(Some(&header), &mut rng);
        prop_assert_ne!(context.trace_id(), &[0; 16]);
        prop_assert_ne!(context.span_id(), &[0; 8]);
    }

    #[test]
    fn a_larger_share_contains_the_smaller(id: [u8; 16], a in 0..=1_000_000u32, b in 0..=1_000_000u32) {
        let (small, large) = (a.min(b), a.max(b));
        prop_assert!(!sampled_by_id(&id, small) || sampled_by_id(&id, large));
    }
}
