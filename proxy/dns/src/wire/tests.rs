//! Messages as resolvers and clients write them, and as those do who mean harm.

use super::*;
use proptest::prelude::*;
use std::net::IpAddr;

/// What `dig +noedns` sends for `www.Example.com A`, number 0x1234.
const DIG: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07Example\x03com\x00\x00\x01\x00\x01";

/// What a resolver answers: an alias, its address, compressed names, EDNS last.
const REPLY: &[u8] =
    b"\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x01\x03www\x07Example\x03com\x00\x00\x01\x00\x01\
    \xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x02\xc0\x10\
    \xc0\x10\x00\x01\x00\x01\x00\x00\x00\x0a\x00\x04\x5d\xb8\xd8\x22\
    \x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A query with EDNS of that size.
fn with_payload(payload: u16) -> Vec<u8> {
    let mut asked = Query::build(&name("reviews.shop"), kind::A);
    let at = asked.len() - 8;
    asked[at..at + 2].copy_from_slice(&payload.to_be_bytes());
    asked
}

#[test]
fn a_query_is_read() {
    let query = Query::parse(DIG).unwrap();
    assert_eq!((query.id, query.kind, query.class, query.edns), (0x1234, kind::A, IN, None));
    assert_eq!(query.name.text().as_deref(), Some("www.example.com"));
    assert!(query.recursion_desired() && !query.checking_disabled());
    assert_eq!(query.udp_limit(), 512);
    assert_eq!(Query::parse(&with_payload(1232)).unwrap().udp_limit(), 1232);
    assert_eq!(Query::parse(&with_payload(0)).unwrap().udp_limit(), 512);
    assert_eq!(Query::parse(&with_payload(65535)).unwrap().udp_limit(), MAX_UDP);
}

#[test]
fn what_is_no_query_is_refused_and_never_answered_when_it_is_an_answer() {
    let changed = |at: usize, byte: u8| {
        let mut message = DIG.to_vec();
        message[at] = byte;
        message
    };
    let mut twice = with_payload(1232);
    let opt = twice[twice.len() - 11..].to_vec();
    twice.extend(opt);
    twice[11] = 2;
    let mut version = with_payload(1232);
    let at = version.len() - 5;
    version[at] = 1;
    let rows: [(&str, Vec<u8>, Refusal); 11] = [
        ("empty", vec![], Refusal::NotAQuery),
        ("half a header", DIG[..11].to_vec(), Refusal::NotAQuery),
        ("an answer", REPLY.to_vec(), Refusal::NotAQuery),
        ("an update", changed(2, 0x28), Refusal::NotStandard),
        ("no question", changed(5, 0), Refusal::Malformed),
        ("two questions", changed(5, 2), Refusal::Malformed),
        ("a pointer to itself", changed(12, 0xC0), Refusal::Malformed),
        ("cut", DIG[..DIG.len() - 1].to_vec(), Refusal::Malformed),
        ("with a rest", [DIG, b"x"].concat(), Refusal::Malformed),
        ("EDNS twice", twice, Refusal::Malformed),
        ("EDNS of tomorrow", version, Refusal::Version),
    ];
    for (what, message, expected) in rows {
        assert_eq!(Query::parse(&message), Err(expected), "{what}");
    }
}

#[test]
fn a_name_has_its_bounds() {
    let label = "a".repeat(63);
    assert!(Name::parse(&label).is_some());
    assert_eq!(Name::parse(&format!("{label}a")), None);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(Name::parse(&longest).unwrap().wire().len(), 255);
    assert_eq!(Name::parse(&format!("{longest}a")), None);
    assert_eq!(Name::parse("a..b"), None);
    assert_eq!(Name::parse(""), None);
    assert_eq!(name("A.b.").text().as_deref(), Some("a.b"));
    assert_eq!(name("a b").text(), None, "no host has such a name");
}

#[test]
fn a_reply_is_read() {
    let query = Query::parse(DIG).unwrap();
    let reply = Reply::scan(REPLY, &query, 0x1234).unwrap();
    assert_eq!(reply.addresses, ["93.184.216.34".parse::<IpAddr>().unwrap()]);
    assert_eq!((reply.rcode, reply.least_ttl, reply.negative_ttl), (0, Some(10), None));
    assert_eq!(reply.body_end, Some(REPLY.len() - 11));
    assert!(reply.has_edns && reply.is_answer() && !reply.is_negative());
}

#[test]
fn a_reply_to_another_question_is_not_taken() {
    let query = Query::parse(DIG).unwrap();
    assert_eq!(Reply::scan(REPLY, &query, 0x1235), Err(BadReply::Foreign), "another number");
    assert_eq!(Reply::scan(DIG, &query, 0x1234), Err(BadReply::Foreign), "a query");
    for (at, byte) in [(13, b'x'), (30, 28), (32, 3), (5, 2)] {
        let mut message = REPLY.to_vec();
        message[at] = byte;
        assert_eq!(Reply::scan(&message, &query, 0x1234), Err(BadReply::Foreign), "byte {at}");
    }
    assert_eq!(Reply::scan(&REPLY[..REPLY.len() - 1], &query, 0x1234), Err(BadReply::Malformed));
}

#[test]
fn a_reply_that_passes_keeps_all_but_number_case_and_lifetimes() {
    let mut asked = DIG.to_vec();
    asked[13] = b'W';
    asked[0..2].copy_from_slice(&[0xAB, 0xCD]);
    let query = Query::parse(&asked).unwrap();
    let reply = Reply::scan(REPLY, &query, 0x1234).unwrap();
    let mut message = REPLY.to_vec();
    patch(&mut message, &reply, &asked, &query, |ttl| ttl + 1);
    let mut expected = REPLY.to_vec();
    expected[0..2].copy_from_slice(&[0xAB, 0xCD]);
    expected[13] = b'W';
    expected[42] = 0x2D;
    expected[56] = 0x0B;
    assert_eq!(message, expected);
}

#[test]
fn a_name_of_the_mesh_is_answered_with_its_addresses() {
    let asked = with_payload(1232);
    let query = Query::parse(&asked).unwrap();
    let addresses: Vec<IpAddr> = vec!["240.240.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
    let said = Answer { alias: None, addresses: &addresses, ttl: 30 };
    let message = answer(&asked, &query, &said, 512);
    let reply = Reply::scan(&message, &query, 0).unwrap();
    assert_eq!(reply.addresses, addresses);
    assert_eq!((reply.rcode, reply.truncated, reply.least_ttl, reply.has_edns), (0, false, Some(30), true));

    let alias = name("api.example.com");
    let message = answer(&asked, &query, &Answer { alias: Some(&alias), ..said }, 512);
    let reply = Reply::scan(&message, &query, 0).unwrap();
    assert_eq!((reply.addresses, reply.ttls.len()), (addresses, 3));
    assert!(message.windows(alias.wire().len()).any(|part| part == alias.wire()));
}

#[test]
fn the_other_family_is_nothing_of_this_type_and_not_no_name() {
    let asked = with_payload(1232);
    let query = Query::parse(&asked).unwrap();
    let message = answer(&asked, &query, &Answer { alias: None, addresses: &[], ttl: 30 }, 512);
    let reply = Reply::scan(&message, &query, 0).unwrap();
    assert_eq!((reply.rcode, reply.addresses.len(), reply.negative_ttl), (rcode::OK, 0, Some(30)));
}

#[test]
fn what_does_not_fit_is_asked_for_over_tcp() {
    let asked = with_payload(512);
    let query = Query::parse(&asked).unwrap();
    let addresses: Vec<IpAddr> = (0..=255).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let said = Answer { alias: None, addresses: &addresses, ttl: 30 };
    let message = answer(&asked, &query, &said, query.udp_limit());
    assert!(message.len() <= 512);
    assert!(Reply::scan(&message, &query, 0).unwrap().truncated);
    let message = answer(&asked, &query, &said, MAX_TCP);
    // A reader takes 64 of them.
    assert_eq!(Reply::scan(&message, &query, 0).unwrap().addresses.len(), 64);
    assert_eq!(u16_at(&message, 6), Some(256));
    let cut = truncated(&asked, &query);
    assert!(Reply::scan(&cut, &query, 0).unwrap().truncated);
}

#[test]
fn failures_repeat_the_question_where_it_could_be_read() {
    let query = Query::parse(DIG).unwrap();
    let message = failure(DIG, Some(&query), rcode::FAILED);
    assert_eq!(Reply::scan(&message, &query, 0x1234).unwrap().rcode, rcode::FAILED);
    let message = failure(DIG, None, rcode::FORMAT);
    assert_eq!(message, b"\x12\x34\x81\x01\0\0\0\0\0\0\0\0");
    let message = failure(DIG, None, rcode::BAD_VERSION);
    assert_eq!(message[12..], *b"\0\0\x29\x10\0\x01\0\0\0\0\0");
    assert_eq!(failure(b"", None, rcode::FORMAT).len(), 12);
}

fn labels() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-z0-9_-]{1,20}", 1..6).prop_map(|labels| labels.join("."))
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(message in proptest::collection::vec(any::<u8>(), 0..600)) {
        let query = Query::parse(DIG).unwrap();
        let _ = Query::parse(&message);
        let _ = Reply::scan(&message, &query, 0x1234);
        let _ = failure(&message, None, rcode::FORMAT);
    }

    #[test]
    fn no_change_of_a_reply_makes_a_reader_panic(
        changes in proptest::collection::vec((0..REPLY.len(), any::<u8>()), 1..12),
        cut in 0..=REPLY.len(),
    ) {
        let query = Query::parse(DIG).unwrap();
        let mut message = REPLY.to_vec();
        for (at, byte) in changes {
            message[at] = byte;
        }
        message.truncate(cut);
        if let Ok(reply) = Reply::scan(&message, &query, 0x1234) {
            let length = message.len();
            patch(&mut message, &reply, DIG, &query, |ttl| ttl.max(5));
            prop_assert_eq!(message.len(), length);
            prop_assert!(Reply::scan(&message, &query, 0x1234).is_ok());
        }
    }

    #[test]
    fn no_change_of_a_query_makes_a_reader_panic(
        changes in proptest::collection::vec((0..DIG.len(), any::<u8>()), 1..6),
    ) {
        let mut message = DIG.to_vec();
        for (at, byte) in changes {
            message[at] = byte;
        }
        if let Ok(query) = Query::parse(&message) {
            let said = Answer { alias: None, addresses: &[], ttl: 1 };
            let id = query.id;
            prop_assert!(Reply::scan(&answer(&message, &query, &said, 512), &query, id).is_ok());
        }
    }

    #[test]
    fn a_name_that_is_written_is_read(text in labels(), kind in any::<u16>()) {
        let name = name(&text);
        let query = Query::parse(&Query::build(&name, kind)).unwrap();
        prop_assert_eq!(&query.name, &name);
        prop_assert_eq!(query.kind, kind);
        prop_assert_eq!(name.text(), Some(text));
    }

    #[test]
    fn an_answer_never_exceeds_its_limit(
        text in labels(),
        four in 0_u8..200,
        six in 0_u16..200,
        limit in 512_usize..4096,
    ) {
        let asked = Query::build(&name(&text), kind::ANY);
        let query = Query::parse(&asked).unwrap();
        let mut addresses: Vec<IpAddr> = (0..four).map(|n| IpAddr::from([10, 0, 0, n])).collect();
        addresses.extend((0..six).map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n])));
        let message = answer(&asked, &query, &Answer { alias: None, addresses: &addresses, ttl: 5 }, limit);
        prop_assert!(message.len() <= limit);
        let reply = Reply::scan(&message, &query, 0).unwrap();
        let whole = usize::from(u16_at(&message, 6).unwrap()) == addresses.len();
        prop_assert_eq!(reply.truncated, !whole);
    }
}
