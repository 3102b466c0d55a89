//! A server of ours, and frames written by hand.

use std::time::Instant;

use bytes::BytesMut;
use proptest::prelude::*;

use super::pairs::{answer, config};
use crate::connection::{Connection, Ended, More, Role};
use crate::frame::{PREFACE, Reason};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

/// `GET http://a/`
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn greeted() -> Connection {
    let mut server = Connection::new(Role::Server, config(4, 1000));
    send(&mut server, &[PREFACE.as_slice(), &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    let waits = server.out().len();
    server.wrote(waits);
    server
}

fn send(connection: &mut Connection, bytes: &[u8]) -> Result<(), Reason> {
    let mut bytes = BytesMut::from(bytes);
    connection.receive(&mut bytes, Instant::now())
}

/// The first RST_STREAM that waits to be written: stream and reason.
fn reset(connection: &mut Connection) -> Option<(u32, Reason)> {
    let bytes = connection.out().single()?.to_vec();
    let mut rest = bytes.as_slice();
    while let [a, b, c, kind, _, s0, s1, s2, s3, tail @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if *kind == RESET {
            let reason = u32::from_be_bytes(tail[..4].try_into().unwrap());
            return Some((u32::from_be_bytes([*s0, *s1, *s2, *s3]), Reason(reason)));
        }
        rest = &tail[length..];
    }
    None
}

#[test]
fn what_breaks_the_connection() {
    let open = || frame(HEADERS, 4, 1, GET);
    let cases: &[(&str, Vec<u8>, Reason)] = &[
        ("data of no stream", frame(DATA, 0, 0, b"x"), Reason::PROTOCOL_ERROR),
        ("data of an idle stream", frame(DATA, 0, 3, b"x"), Reason::PROTOCOL_ERROR),
        ("head of no stream", frame(HEADERS, 5, 0, GET), Reason::PROTOCOL_ERROR),
        ("head of a stream of ours", frame(HEADERS, 5, 2, GET), Reason::PROTOCOL_ERROR),
        (
            "a stream below the last",
            [frame(HEADERS, 5, 5, GET), frame(HEADERS, 5, 3, GET)].concat(),
            Reason::PROTOCOL_ERROR,
        ),
        (
            "a head in a head",
            [frame(HEADERS, 1, 1, GET), frame(HEADERS, 5, 3, GET)].concat(),
            Reason::PROTOCOL_ERROR,
        ),
        (
            "a ping in a head",
            [frame(HEADERS, 1, 1, GET), frame(PING, 0, 0, &[0; 8])].concat(),
            Reason::PROTOCOL_ERROR,
        ),
        ("a continuation of nothing", frame(CONTINUATION, 4, 1, GET), Reason::PROTOCOL_ERROR),
        ("no compression", frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff"), Reason::COMPRESSION_ERROR),
        ("too much padding", frame(HEADERS, 5 | 8, 1, b"\x09\x82"), Reason::PROTOCOL_ERROR),
        ("too much padding of data", [open(), frame(DATA, 8, 1, b"\x05x")].concat(), Reason::PROTOCOL_ERROR),
        ("a promise", frame(PUSH, 4, 1, b"\0\0\0\x02\x82"), Reason::PROTOCOL_ERROR),
        ("a short reset", frame(RESET, 0, 1, b"\0\0\0"), Reason::FRAME_SIZE_ERROR),
        ("a reset of an idle stream", frame(RESET, 0, 1, b"\0\0\0\x08"), Reason::PROTOCOL_ERROR),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[]), Reason::PROTOCOL_ERROR),
        ("an ack with settings", frame(SETTINGS, 1, 0, &[0; 6]), Reason::FRAME_SIZE_ERROR),
        ("a long ping", frame(PING, 0, 0, &[0; 9]), Reason::FRAME_SIZE_ERROR),
        ("a ping of a stream", frame(PING, 0, 1, &[0; 8]), Reason::PROTOCOL_ERROR),
        ("a short goodbye", frame(GO_AWAY, 0, 0, &[0; 7]), Reason::FRAME_SIZE_ERROR),
        ("no more window", frame(WINDOW, 0, 0, &[0; 4]), Reason::PROTOCOL_ERROR),
        ("too much window", frame(WINDOW, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), Reason::FLOW_CONTROL_ERROR),
        ("window of an idle stream", frame(WINDOW, 0, 1, &[0, 0, 0, 1]), Reason::PROTOCOL_ERROR),
        ("priority of no stream", frame(PRIORITY, 0, 0, &[0; 5]), Reason::PROTOCOL_ERROR),
        ("a large frame", frame(0xbe, 0, 0, &vec![0; 16_385]), Reason::FRAME_SIZE_ERROR),
    ];
    for (what, bytes, reason) in cases {
        let mut server = greeted();
        assert_eq!(send(&mut server, bytes), Err(*reason), "{what}");
        assert_eq!(server.ended(), Some(Ended::ByUs(*reason)), "{what}");
        assert!(
            server.out().single().unwrap().windows(4).any(|bytes| bytes == reason.0.to_be_bytes()),
            "{what}"
        );
    }
}

#[test]
fn what_breaks_a_stream_only() {
    let open = frame(HEADERS, 4, 1, GET);
    let ended = frame(HEADERS, 5, 1, GET);
    let length = |n: u8| frame(HEADERS, 4, 1, &[GET, &[0x0f, 0x0d, 1, n]].concat());
    let cases: &[(&str, Vec<u8>, Reason)] = &[
        ("no path", frame(HEADERS, 5, 1, b"\x82\x86\x41\x01a"), Reason::PROTOCOL_ERROR),
        ("two paths", frame(HEADERS, 5, 1, &[GET, b"\x84"].concat()), Reason::PROTOCOL_ERROR),
        (
            "a priority that depends on itself",
            frame(HEADERS, 5 | 32, 1, &[b"\0\0\0\x01\0", GET].concat()),
            Reason::PROTOCOL_ERROR,
        ),
        ("data after the end", [ended.clone(), frame(DATA, 0, 1, b"x")].concat(), Reason::STREAM_CLOSED),
        (
            "a head after the end",
            [ended, frame(HEADERS, 5, 1, b"\x40\x01a\x01b")].concat(),
            Reason::STREAM_CLOSED,
        ),
        (
            "trailers that are no end",
            [open.clone(), frame(HEADERS, 4, 1, b"\x40\x01a\x01b")].concat(),
            Reason::PROTOCOL_ERROR,
        ),
        (
            "trailers with a path",
            [open.clone(), frame(HEADERS, 5, 1, b"\x84")].concat(),
            Reason::PROTOCOL_ERROR,
        ),
        (
            "more than the window",
            [open.clone(), frame(DATA, 0, 1, &[0; 1001])].concat(),
            Reason::FLOW_CONTROL_ERROR,
        ),
        ("more than the length", [length(b'3'), frame(DATA, 0, 1, b"four")].concat(), Reason::PROTOCOL_ERROR),
        ("less than the length", [length(b'3'), frame(DATA, 1, 1, b"2x")].concat(), Reason::PROTOCOL_ERROR),
        ("no window", [open.clone(), frame(WINDOW, 0, 1, &[0; 4])].concat(), Reason::PROTOCOL_ERROR),
        (
            "a window too large",
            [open.clone(), frame(WINDOW, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
            Reason::FLOW_CONTROL_ERROR,
        ),
        ("a short priority", [open, frame(PRIORITY, 0, 1, &[0; 4])].concat(), Reason::FRAME_SIZE_ERROR),
    ];
    for (what, bytes, reason) in cases {
        let mut server = greeted();
        assert_eq!(send(&mut server, bytes), Ok(()), "{what}");
        assert_eq!(reset(&mut server), Some((1, *reason)), "{what}");
        assert_eq!(send(&mut server, &frame(HEADERS, 5, 7, GET)), Ok(()), "{what}");
        assert!(std::iter::from_fn(|| server.accept()).any(|(id, _)| id == 7), "{what}");
    }
}

#[test]
fn what_follows_a_reset_of_the_peers_own_is_an_error_and_the_connection_stays() {
    let reset_by_peer = [frame(HEADERS, 4, 1, GET), frame(RESET, 0, 1, &[0, 0, 0, 8])].concat();
    for late in [frame(DATA, 1, 1, b"x"), frame(HEADERS, 5, 1, b"\x40\x01a\x01b")] {
        let mut server = greeted();
        assert_eq!(send(&mut server, &[reset_by_peer.clone(), late.clone()].concat()), Ok(()));
        assert_eq!(reset(&mut server), Some((1, Reason::STREAM_CLOSED)));
        assert_eq!(send(&mut server, &frame(HEADERS, 5, 3, GET)), Ok(()));
        // The same once nobody holds the stream any more.
        let mut server = greeted();
        assert_eq!(send(&mut server, &reset_by_peer), Ok(()));
        server.accept().unwrap();
        server.release(1);
        let ended = send(&mut server, &late) == Err(Reason::STREAM_CLOSED);
        assert!(ended || reset(&mut server) == Some((1, Reason::STREAM_CLOSED)));
    }
}

#[test]
fn the_preface_comes_first() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx",
        &[PREFACE.as_slice(), &frame(PING, 0, 0, &[0; 8])].concat(),
    ] {
        let mut server = Connection::new(Role::Server, config(4, 1000));
        assert_eq!(send(&mut server, bytes), Err(Reason::PROTOCOL_ERROR));
    }
}

#[test]
fn no_more_streams_than_allowed() {
    let mut server = greeted();
    for id in [1, 3, 5, 7] {
        send(&mut server, &frame(HEADERS, 5, id, GET)).unwrap();
    }
    assert_eq!(reset(&mut server), None);
    send(&mut server, &frame(HEADERS, 5, 9, GET)).unwrap();
    assert_eq!(reset(&mut server), Some((9, Reason::REFUSED_STREAM)));
    assert_eq!(std::iter::from_fn(|| server.accept()).count(), 4);
    answer(&mut server, 1, More::Nothing);
    send(&mut server, &frame(HEADERS, 5, 11, GET)).unwrap();
    assert_eq!(server.accept().unwrap().0, 11);
}

#[test]
fn resets_have_a_bound_on_both_sides() {
    let mut server = greeted();
    let rapid = (0..10_000_u32).position(|n| {
        let id = 2 * n + 1;
        let result =
            send(&mut server, &[frame(HEADERS, 4, id, GET), frame(RESET, 0, id, &[0, 0, 0, 8])].concat());
        std::iter::from_fn(|| server.accept()).for_each(drop);
        server.release(id);
        result == Err(Reason::ENHANCE_YOUR_CALM)
    });
    assert!(rapid.is_some_and(|count| count < 300), "{rapid:?}");
    let mut server = greeted();
    let made = (0..10_000_u32).position(|n| {
        let id = 2 * n + 1;
        let result = send(&mut server, &[frame(HEADERS, 4, id, GET), frame(WINDOW, 0, id, &[0; 4])].concat());
        std::iter::from_fn(|| server.accept()).for_each(drop);
        server.release(id);
        result == Err(Reason::ENHANCE_YOUR_CALM)
    });
    assert!(made.is_some_and(|count| count < 100), "{made:?}");
}

#[test]
fn a_head_that_never_ends_has_one() {
    let mut server = greeted();
    send(&mut server, &frame(HEADERS, 1, 1, GET)).unwrap();
    let count = (0..100).position(|_| send(&mut server, &frame(CONTINUATION, 0, 1, b"")).is_err());
    assert_eq!(count, Some(16));
}

#[test]
fn what_was_on_its_way_when_we_ended_a_stream_is_passed_over_and_its_window_given_back() {
    let mut server = greeted();
    send(&mut server, &frame(HEADERS, 4, 1, GET)).unwrap();
    server.accept().unwrap();
    answer(&mut server, 1, More::Nothing);
    server.release(1);
    assert_eq!(reset(&mut server), Some((1, Reason::NO_ERROR)));
    for _ in 0..10_000 {
        let waits = server.out().len();
        server.wrote(waits);
        send(&mut server, &frame(DATA, 0, 1, &[0; 1000])).unwrap();
    }
    send(&mut server, &frame(HEADERS, 5, 1, b"\x40\x01a\x01b")).unwrap();
}

#[test]
fn a_peer_that_says_goodbye_for_a_reason_nobody_knows_is_answered_until_it_closes() {
    let mut server = greeted();
    let goodbye = [[0, 0, 0, 0], [0, 0, 0, 0xff]].concat();
    let bytes = [frame(GO_AWAY, 0, 0, &goodbye), frame(PING, 0, 0, b"stillon?")].concat();
    assert_eq!(send(&mut server, &bytes), Ok(()));
    assert_eq!(server.out().single().unwrap(), frame(PING, 1, 0, b"stillon?"));
    assert_eq!(server.ended(), None);
    assert!(!server.is_done());
}

#[test]
fn pings_and_settings_are_answered() {
    let mut server = greeted();
    send(&mut server, &[frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 9])].concat())
        .unwrap();
    let wanted = [frame(PING, 1, 0, b"12345678"), frame(SETTINGS, 1, 0, &[])].concat();
    assert_eq!(server.out().single().unwrap(), wanted);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_hold_much(
        frames in prop::collection::vec((0..11_u8, any::<u8>(), 0..8_u32, prop::collection::vec(any::<u8>(), 0..40)), 0..60),
        cuts in prop::collection::vec(1..50_usize, 1..20),
    ) {
        let mut server = greeted();
        let mut client = Connection::new(Role::Client, config(4, 1000));
        let _ = client.open(More::Follows, false, |fields| fields.put(b":method", b"GET"));
        let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, stream, payload)| frame(*kind, *flags, *stream, payload)).collect();
        let _ = send(&mut client, &frame(SETTINGS, 0, 0, &[]));
        for connection in [&mut server, &mut client] {
            let mut wire = BytesMut::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                let (part, tail) = rest.split_at(rest.len().min(*cut));
                wire.extend_from_slice(part);
                rest = tail;
                if connection.receive(&mut wire, Instant::now()).is_err() || rest.is_empty() {
                    break;
                }
            }
            prop_assert!(connection.out().len() < 10_000);
        }
    }
}
