//! The grammars as tables, and properties over random contexts.

use proptest::prelude::*;

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const PARENT: &str = "05e3ac9a4f6e3b90";

const W3C: TraceHeaders = TraceHeaders { w3c: true, b3: false, b3_multi: false };
const B3: TraceHeaders = TraceHeaders { w3c: false, b3: true, b3_multi: false };
const B3_MULTI: TraceHeaders = TraceHeaders { w3c: false, b3: false, b3_multi: true };

type Sent = Vec<(&'static str, Option<String>)>;

fn context(headers: &[(&'static str, &str)], written: TraceHeaders, seed: u64) -> TraceContext {
    let mut rng = fastrand::Rng::with_seed(seed);
    let header = |name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    TraceContext::read(header, written, &mut rng)
}

fn sent(context: &TraceContext, written: TraceHeaders) -> Sent {
    let mut sent = Vec::new();
    context.write(written, |name, value| {
        sent.push((name, value.map(|value| String::from_utf8(value.to_vec()).unwrap())));
    });
    sent
}

fn begun(context: &TraceContext) -> bool {
    context.parent_id().is_none()
}

#[test]
fn a_valid_traceparent_is_continued() {
    for (flags, sampled, random) in
        [("00", false, false), ("01", true, false), ("02", false, true), ("ff", true, true)]
    {
        let parent = w3c::parse(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap();
        let sampling = if sampled { Sampling::Yes } else { Sampling::No };
        assert_eq!((parent.sampling, parent.random), (sampling, random), "flags {flags}");
        let (trace_id, parent_id) = parent.ids.unwrap();
        assert_eq!((trace_id[0], parent_id[7]), (0x0a, 0x31));
    }
}

#[test]
fn a_later_version_is_read_by_the_layout_of_the_first() {
    assert!(w3c::parse(&format!("01-{TRACE}-{SPAN}-01")).is_some());
    assert!(w3c::parse(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings")).is_some());
    assert!(w3c::parse(&format!("cc-{TRACE}-{SPAN}-01-")).is_some());
    assert!(w3c::parse(&format!("cc-{TRACE}-{SPAN}-01.what")).is_none());
    assert!(w3c::parse(&format!("cc-{TRACE}-{SPAN}-012")).is_none());
}

#[test]
fn a_malformed_traceparent_starts_a_new_trace() {
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
        let context = context(&[("traceparent", &header)], W3C, 7);
        assert!(begun(&context) && !context.is_sampled() && !context.is_decided(), "{header:?}");
    }
}

#[test]
fn b3_in_one_header_is_read_with_and_without_what_may_be_left_out() {
    let ids = format!("{TRACE}-{SPAN}");
    for (header, sampling) in [
        (ids.clone(), Sampling::Undecided),
        (format!("{ids}-0"), Sampling::No),
        (format!("{ids}-1"), Sampling::Yes),
        (format!("{ids}-d"), Sampling::Debug),
        (format!("{ids}-1-{PARENT}"), Sampling::Yes),
    ] {
        let parent = b3::parse(&header).unwrap();
        assert_eq!((parent.sampling, parent.ids.is_some()), (sampling, true), "{header}");
    }
    for (header, sampled) in [("0", false), ("1", true), ("d", true)] {
        let context = context(&[("b3", header)], B3, 1);
        assert!(begun(&context) && context.is_decided(), "{header}");
        assert_eq!(context.is_sampled(), sampled, "{header}");
    }
    // An id of 64 bits is the lower half of one of 128.
    let short = b3::parse(&format!("{SPAN}-{SPAN}-1")).unwrap().ids.unwrap().0;
    assert_eq!((short[..8].iter().max(), short[15]), (Some(&0), 0x31));
    for header in [
        String::new(),
        "2".to_owned(),
        TRACE.to_owned(),
        format!("{TRACE}-"),
        format!("{ids}-"),
        format!("{ids}-2"),
        format!("{ids}-1-"),
        format!("{ids}-1-{TRACE}"),
        format!("{ids}-1-{PARENT}-1"),
        format!("{}-{SPAN}-1", "0".repeat(32)),
        format!("{TRACE}-{}-1", "0".repeat(16)),
        format!("{}-{SPAN}", TRACE.to_uppercase()),
        format!("{TRACE}-{TRACE}-1"),
        format!("{}-{SPAN}-1", TRACE.trim_end_matches('c')),
        format!(" {ids}"),
    ] {
        assert_eq!(b3::parse(&header), None, "{header:?}");
    }
}

#[test]
fn b3_in_several_headers_is_read_with_and_without_what_may_be_left_out() {
    let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
    for (more, sampled, decided) in [
        (&[][..], false, false),
        (&[("x-b3-sampled", "1")], true, true),
        (&[("x-b3-sampled", "true")], true, true),
        (&[("x-b3-sampled", "0"), ("x-b3-parentspanid", PARENT)], false, true),
        (&[("x-b3-sampled", "false")], false, true),
        (&[("x-b3-flags", "1")], true, true),
        (&[("x-b3-flags", "0"), ("x-b3-sampled", "1")], true, true),
    ] {
        let context = context(&[&ids, more].concat(), B3_MULTI, 1);
        assert!(!begun(&context), "{more:?}");
        assert_eq!((context.is_sampled(), context.is_decided()), (sampled, decided), "{more:?}");
    }
    for headers in [
        vec![("x-b3-traceid", TRACE)],
        vec![("x-b3-spanid", SPAN)],
        vec![("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "yes")],
        vec![("x-b3-traceid", SPAN), ("x-b3-spanid", TRACE)],
    ] {
        assert!(begun(&context(&headers, B3_MULTI, 1)), "{headers:?}");
    }
    let only = context(&[("x-b3-sampled", "0")], B3_MULTI, 1);
    assert!(begun(&only) && only.is_decided() && !only.is_sampled());
}

#[test]
fn what_is_written_is_read_first_and_everything_is_read() {
    let other = "1".repeat(32);
    let (traceparent, single) = (format!("00-{TRACE}-{SPAN}-01"), format!("{other}-{SPAN}-0"));
    let both = [("traceparent", traceparent.as_str()), ("b3", single.as_str())];
    assert_eq!(context(&both, W3C, 1).trace_id()[0], 0x0a);
    assert_eq!(context(&both, B3, 1).trace_id()[0], 0x11);
    assert_eq!(context(&both, B3_MULTI, 1).trace_id()[0], 0x0a);
    assert_eq!(context(&both[1..], W3C, 1).trace_id()[0], 0x11);
    assert_eq!(context(&both[..1], B3, 1).trace_id()[0], 0x0a);
}

#[test]
fn a_trace_that_begins_here_leaves_no_parent_of_somebody_else() {
    let context = context(&[("x-b3-parentspanid", PARENT)], B3_MULTI, 1);
    let sent = sent(&context, B3_MULTI);
    let names: Vec<_> = sent.iter().map(|(name, value)| (*name, value.is_some())).collect();
    assert_eq!(
        names,
        [
            ("x-b3-traceid", true),
            ("x-b3-spanid", true),
            ("x-b3-parentspanid", false),
            ("x-b3-flags", false),
            ("x-b3-sampled", true)
        ]
    );
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
    fn the_next_hop_reads_what_was_sent(
        seed: u64,
        state in prop::sample::select(vec!["0", "1", "d"]),
        written in prop::sample::select(vec![W3C, B3, B3_MULTI, TraceHeaders { w3c: true, b3: true, b3_multi: true }]),
        reads in prop::sample::select(vec![W3C, B3, B3_MULTI]),
    ) {
        let first = context(&[("b3", state)], B3, seed);
        let sent = sent(&first, written);
        let headers: Vec<_> = sent.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        let next = context(&headers, reads, seed.wrapping_add(1));
        prop_assert_eq!(next.trace_id(), first.trace_id());
        prop_assert_eq!(next.parent_id(), Some(first.span_id()));
        prop_assert_ne!(next.span_id(), first.span_id());
        prop_assert!(next.is_decided());
        prop_assert_eq!(next.is_sampled(), state != "0");
        if written.w3c && reads.w3c {
            // Whoever begins a trace draws all of its id.
            prop_assert!(next.random);
        }
        if !written.w3c {
            prop_assert_eq!(next.sampling == Sampling::Debug, state == "d");
        }
    }

    #[test]
    fn no_bytes_make_it_fail(headers in prop::collection::vec("\\PC*|[0-9a-f-]{0,60}", 7)) {
        let names = ["traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"];
        let headers: Vec<_> = names.into_iter().zip(headers.iter().map(String::as_str)).collect();
        for written in [W3C, B3, B3_MULTI] {
            let context = context(&headers, written, 3);
            prop_assert_ne!(context.trace_id(), &[0; 16]);
            prop_assert_ne!(context.span_id(), &[0; 8]);
        }
    }

    #[test]
    fn a_larger_share_contains_the_smaller(id: [u8; 16], a in 0..=1_000_000u32, b in 0..=1_000_000u32) {
        let (small, large) = (a.min(b), a.max(b));
        prop_assert!(!sampled_by_id(&id, small) || sampled_by_id(&id, large));
    }
}
