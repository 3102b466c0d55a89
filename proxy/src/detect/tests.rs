//! Facts about the sniffer.

use super::{PREFACE, Sniff, sniff};

#[test]
fn first_bytes_name_the_protocol() {
    let cases: &[(&[u8], Sniff)] = &[
        (b"", Sniff::NeedMore),
        (b"G", Sniff::NeedMore),
        (b"GET / HT", Sniff::NeedMore),
        (b"GET / HTTP/1.1\r\n", Sniff::Http1),
        (b"\r\nGET / HTTP/1.1\r\n", Sniff::Http1),
        (b"PROPFIND /a%20b HTTP/1.0\n", Sniff::Http1),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n", Sniff::Http1),
        (b"GET key\r\n", Sniff::Opaque),
        (b"GET / HTTP/2.0\r\n", Sniff::Opaque),
        (b"get / HTTP/1.1\r\n", Sniff::Opaque),
        (b"PRI * HTTP/2.0\r\n", Sniff::NeedMore),
        (PREFACE, Sniff::Http2),
        (&[0x16], Sniff::NeedMore),
        (&[0x16, 3, 1, 0], Sniff::Tls),
        (&[0x16, 9], Sniff::Opaque),
        (b"*1\r\n$4\r\nPING\r\n", Sniff::Opaque),
        (b"PING\r\n", Sniff::Opaque),
        (b"\x00\x00\x00\x2a", Sniff::Opaque),
    ];
    for (bytes, want) in cases {
        assert_eq!(sniff(bytes), *want, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_longer_input_never_turns_one_protocol_into_another() {
    for text in [
        &b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        PREFACE,
        b"HELO me\r\nPRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00",
    ] {
        let mut last = Sniff::NeedMore;
        for end in 0..=text.len() {
            let now = sniff(&text[..end]);
            assert!(
                last == Sniff::NeedMore || last == now,
                "{text:?} changed from {last:?} to {now:?} at {end}"
            );
            last = now;
        }
    }
}
