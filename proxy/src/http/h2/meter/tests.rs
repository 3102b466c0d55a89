//! Facts about the meter of frames.

use super::{BURST, EARNED, Meter, TINY_OF_CLIENT, TINY_OF_PROXY};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
    let length = u32::try_from(payload).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
    frame.resize(9 + payload, 0xff);
    frame
}

/// How many of these frames pass.
fn passed(frames: &mut Meter, kind: u8, flags: u8, payload: usize) -> u32 {
    let frame = frame(kind, flags, payload);
    (0..100_000).take_while(|_| frames.take(&frame)).count().try_into().unwrap()
}

#[test]
fn a_flood_of_any_idle_frame_is_noticed_within_the_burst() {
    for (kind, payload) in [(PING, 8), (4, 0), (2, 5), (WINDOW_UPDATE, 4), (3, 4), (DATA, 0), (0xbe, 100)] {
        let count = passed(&mut Meter::new(0, Some(TINY_OF_CLIENT)), kind, 0, payload);
        assert!((1999..=2200).contains(&count), "{kind}: {count}");
    }
}

#[test]
fn frames_that_carry_something_are_no_flood_and_earn_a_bounded_number_of_others() {
    let mut frames = Meter::new(0, Some(TINY_OF_CLIENT));
    assert_eq!(passed(&mut frames, HEADERS, 4, 50), 100_000);
    assert_eq!(passed(&mut frames, DATA, 0, 64), 100_000);
    let count = f64::from(passed(&mut frames, PING, 0, 8));
    assert!((BURST..=BURST + EARNED + 200.0).contains(&count), "{count}");
}

#[test]
fn frames_are_told_apart_however_the_network_cuts_them() {
    let mut bytes = vec![b'p'; 24];
    for _ in 0..3000 {
        bytes.extend(frame(HEADERS, 4, 13));
        bytes.extend(frame(PING, 0, 8));
    }
    for size in [1, 2, 8, 9, 10, 1000] {
        let mut frames = Meter::new(24, None);
        assert!(bytes.chunks(size).all(|part| frames.take(part)), "{size}");
        assert_eq!((frames.have, frames.skip), (0, 0), "{size}");
    }
}

#[test]
fn a_body_of_small_pieces_is_a_flood_and_messages_of_one_piece_are_none() {
    for allowance in [TINY_OF_CLIENT, TINY_OF_PROXY] {
        let count = f64::from(passed(&mut Meter::new(0, Some(allowance)), DATA, 0, 1));
        assert!((allowance.burst - 1.0..=2.0 * allowance.burst).contains(&count), "{count}");
    }
    assert_eq!(passed(&mut Meter::new(0, None), DATA, 0, 1), 100_000, "upstreams are not counted");
    let messages = [frame(HEADERS, 4, 20), frame(DATA, 0, 10), frame(DATA, 1, 0)].concat();
    let mut frames = Meter::new(0, Some(TINY_OF_CLIENT));
    assert!((0..100_000).all(|_| frames.take(&messages)));
    let mixed = [frame(DATA, 0, 1), frame(DATA, 0, 1000)].concat();
    assert!((0..100_000).all(|_| frames.take(&mixed)));
}
