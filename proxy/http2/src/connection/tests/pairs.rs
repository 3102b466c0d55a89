//! A client and a server of ours, and a wire that cuts bytes anywhere.

use std::collections::HashMap;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::block::Bounds;
use crate::connection::{Config, Connection, Full, More, Role};
use crate::frame::Reason;
use crate::settings::Ours;
use crate::stream::Gone;

pub(super) fn config(streams: u32, window: u32) -> Config {
    Config {
        ours: Ours {
            streams: Some(streams),
            stream_window: window,
            connection_window: 4 * window.max(65_535),
            head: 10_000,
            extended_connect: true,
        },
        send_buffer: 40_000,
        head: Bounds { bytes: 10_000, fields: 50 },
        trailers: Bounds { bytes: 1000, fields: 10 },
        interims: 3,
        vectors: Default::default,
        buffers: crate::out::PLAIN,
    }
}

/// Both ends.
pub(super) struct Pair {
    pub(super) client: Connection,
    pub(super) server: Connection,
    wires: [BytesMut; 2],
}

pub(super) fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Carries at most `step` bytes; whether there were any.
fn carry(from: &mut Connection, wire: &mut BytesMut, to: &mut Connection, step: usize) -> bool {
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let out = from.out();
    let used = out.slices(&mut slices);
    let flat: Vec<u8> = slices.iter().take(used).flat_map(|slice| slice.iter().copied()).take(step).collect();
    from.wrote(flat.len());
    wire.extend_from_slice(&flat);
    to.receive(wire, Instant::now()).unwrap();
    !flat.is_empty()
}

impl Pair {
    pub(super) fn new(streams: u32, window: u32) -> Self {
        Self {
            client: Connection::new(Role::Client, config(streams, window)),
            server: Connection::new(Role::Server, config(streams, window)),
            wires: Default::default(),
        }
    }

    /// Carries bytes of both until none are left.
    pub(super) fn run(&mut self, step: usize) {
        loop {
            let [one, two] = &mut self.wires;
            let moved = carry(&mut self.client, one, &mut self.server, step);
            if !carry(&mut self.server, two, &mut self.client, step) && !moved {
                return;
            }
        }
    }

    pub(super) fn ask(&mut self, more: More) -> u32 {
        self.client
            .open(more, false, |fields| {
                for (name, value) in
                    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
                {
                    fields.put(name.as_bytes(), value.as_bytes());
                }
                fields.put(b"X-Name", b"value");
            })
            .unwrap()
    }
}

pub(super) fn answer(server: &mut Connection, id: u32, more: More) {
    server.send_block(id, more, |fields| fields.put(b":status", b"200")).unwrap();
}

/// What the body of a stream is made of.
fn byte(id: u32) -> u8 {
    id.to_be_bytes()[3]
}

/// Everything of a body that is there.
fn read(connection: &mut Connection, id: u32, into: &mut Vec<u8>) -> bool {
    loop {
        match connection.poll_data(id, &mut cx()) {
            Poll::Ready(Some(Ok(data))) => into.extend_from_slice(&data),
            Poll::Ready(None) => return true,
            Poll::Ready(Some(Err(gone))) => panic!("{gone:?}"),
            Poll::Pending => return false,
        }
    }
}

#[test]
fn a_request_and_its_answer_with_trailers() {
    let mut pair = Pair::new(10, 70_000);
    let id = pair.ask(More::Follows);
    pair.client.send_data(id, Bytes::from_static(b"question"), More::Nothing).unwrap();
    pair.run(7);
    let (at, block) = pair.server.accept().unwrap();
    assert_eq!(at, id);
    assert_eq!(block.pseudo.path.unwrap().of(&block.bytes), b"/");
    assert_eq!(block.fields[0].name.of(&block.bytes), b"x-name");
    let mut body = vec![];
    assert!(read(&mut pair.server, id, &mut body));
    assert_eq!(body, b"question");
    pair.server.send_block(id, More::Follows, |fields| fields.put(b":status", b"103")).unwrap();
    answer(&mut pair.server, id, More::Follows);
    pair.server.send_data(id, Bytes::from_static(b"answer"), More::Follows).unwrap();
    pair.server.send_block(id, More::Nothing, |fields| fields.put(b"grpc-status", b"0")).unwrap();
    pair.run(3);
    assert_eq!(pair.client.poll_interim(id).unwrap().pseudo.status, Some(103));
    let Poll::Ready(Ok(head)) = pair.client.poll_answer(id, &mut cx()) else { panic!("no answer") };
    assert_eq!(head.pseudo.status, Some(200));
    assert!(!pair.client.is_read(id));
    let mut body = vec![];
    assert!(read(&mut pair.client, id, &mut body));
    let trailers = pair.client.trailers(id).unwrap();
    assert_eq!((body.as_slice(), trailers.fields[0].value.of(&trailers.bytes)), (&b"answer"[..], &b"0"[..]));
    pair.client.release(id);
    pair.server.release(id);
    pair.run(100);
    assert!(!pair.client.has_streams() && !pair.server.has_streams());
}

#[test]
fn a_reset_reaches_the_other_end_and_only_that_stream() {
    let mut pair = Pair::new(10, 70_000);
    let (one, two) = (pair.ask(More::Follows), pair.ask(More::Nothing));
    pair.run(1000);
    assert!(pair.server.accept().is_some() && pair.server.accept().is_some());
    pair.client.release(one);
    pair.run(1000);
    assert_eq!(pair.server.poll_gone(one, &mut cx()), Poll::Ready(Gone::Reset(Reason::CANCEL)));
    pair.server.release(one);
    answer(&mut pair.server, two, More::Nothing);
    pair.run(1000);
    assert!(matches!(pair.client.poll_answer(two, &mut cx()), Poll::Ready(Ok(_))));
}

#[test]
fn an_answer_before_the_end_of_the_request_ends_it_without_an_error() {
    let mut pair = Pair::new(10, 70_000);
    let id = pair.ask(More::Follows);
    pair.run(1000);
    pair.server.accept().unwrap();
    answer(&mut pair.server, id, More::Nothing);
    pair.server.release(id);
    pair.run(1000);
    assert!(matches!(pair.client.poll_answer(id, &mut cx()), Poll::Ready(Ok(_))));
    assert!(pair.client.is_read(id));
    assert_eq!(pair.client.poll_gone(id, &mut cx()), Poll::Ready(Gone::Reset(Reason::NO_ERROR)));
    // What was on its way does no harm.
    let late = pair.ask(More::Nothing);
    pair.run(1000);
    assert_eq!(pair.server.accept().unwrap().0, late);
}

#[test]
fn a_client_waits_for_a_place_among_the_streams() {
    let mut pair = Pair::new(1, 70_000);
    pair.run(1000);
    let id = pair.ask(More::Nothing);
    assert_eq!(pair.client.open(More::Nothing, false, |_| {}), Err(Full));
    assert!(pair.client.poll_ready(&mut cx()).is_pending());
    pair.run(1000);
    pair.server.accept().unwrap();
    answer(&mut pair.server, id, More::Nothing);
    pair.run(1000);
    assert_eq!(pair.client.poll_ready(&mut cx()), Poll::Ready(Ok(())));
    pair.ask(More::Nothing);
}

#[test]
fn a_server_that_leaves_serves_what_was_on_its_way() {
    let mut pair = Pair::new(10, 70_000);
    pair.run(1000);
    let one = pair.ask(More::Nothing);
    pair.server.leave();
    // The client has not heard yet.
    let two = pair.ask(More::Nothing);
    pair.run(1000);
    assert!(pair.client.is_leaving());
    assert_eq!(pair.client.open(More::Nothing, false, |_| {}), Err(Full));
    for id in [one, two] {
        assert_eq!(pair.server.accept().unwrap().0, id);
        assert!(!pair.server.is_done());
        answer(&mut pair.server, id, More::Nothing);
        pair.server.release(id);
    }
    pair.run(1000);
    assert!(pair.server.is_done());
    for id in [one, two] {
        assert!(matches!(pair.client.poll_answer(id, &mut cx()), Poll::Ready(Ok(_))));
        pair.client.release(id);
    }
    assert!(pair.client.is_done());
}

#[test]
fn what_ended_with_the_connection_says_so() {
    let mut pair = Pair::new(10, 70_000);
    let id = pair.ask(More::Follows);
    pair.client.broke();
    assert_eq!(pair.client.poll_gone(id, &mut cx()), Poll::Ready(Gone::Closed));
    assert!(matches!(pair.client.poll_answer(id, &mut cx()), Poll::Ready(Err(Gone::Closed))));
}

#[test]
fn those_who_wait_for_room_take_turns() {
    let mut pair = Pair::new(10, 1 << 20);
    pair.run(1000);
    let ids: Vec<_> = (0..3).map(|_| pair.ask(More::Follows)).collect();
    let mut sent = HashMap::<u32, usize>::new();
    for _ in 0..60 {
        for id in &ids {
            if let Poll::Ready(room) = pair.client.poll_room(*id, &mut cx()) {
                let room = room.unwrap();
                pair.client.send_data(*id, Bytes::from(vec![0; room]), More::Follows).unwrap();
                *sent.entry(*id).or_default() += room;
            }
        }
        let waits = pair.client.out().len().min(16_384);
        pair.client.out().advance(waits);
        pair.client.wrote(0);
    }
    let (least, most) = (sent.values().min().unwrap(), sent.values().max().unwrap());
    assert!(sent.len() == 3 && most - least <= 3 * 16_384, "{sent:?}");
}

proptest! {
    #[test]
    fn bodies_arrive_whole_however_they_are_cut(
        bodies in prop::collection::vec(0..200_000_usize, 1..5),
        window in 1000..100_000_u32,
        step in 1..30_000_usize,
        seed in any::<u64>(),
    ) {
        let mut pair = Pair::new(10, window);
        pair.run(step);
        let mut left: HashMap<u32, usize> = bodies.iter().map(|body| (pair.ask(More::Follows), *body)).collect();
        let wanted = left.clone();
        let mut got: HashMap<u32, Vec<u8>> = left.keys().map(|id| (*id, vec![])).collect();
        let mut random = seed;
        for _ in 0..100_000 {
            for (id, left) in &mut left {
                if let Poll::Ready(Ok(room)) = pair.client.poll_room(*id, &mut cx()) {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let size = room.min(*left).min((random >> 50) as usize + 1);
                    *left -= size;
                    let more = if *left == 0 { More::Nothing } else { More::Follows };
                    pair.client.send_data(*id, Bytes::from(vec![byte(*id); size]), more).unwrap();
                }
            }
            pair.run(step);
            let ended = got.iter_mut().filter_map(|(id, body)| read(&mut pair.server, *id, body).then_some(())).count();
            if ended == wanted.len() {
                break;
            }
        }
        for (id, body) in got {
            prop_assert_eq!(body.len(), wanted[&id]);
            prop_assert!(body.iter().all(|one| *one == byte(id)));
        }
    }
}
