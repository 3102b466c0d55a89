//! A body that is kept is read again from its beginning; one that is too large streams and cannot be repeated.

use std::collections::VecDeque;
use std::task::Waker;

use super::*;

/// Gives these pieces, then trailers if asked.
struct Pieces {
    data: VecDeque<&'static str>,
    trailers: bool,
}

impl Source for Pieces {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        Poll::Ready(match self.data.pop_front() {
            Some(text) => Some(Ok(Frame::Data(Bytes::from_static(text.as_bytes())))),
            None if std::mem::take(&mut self.trailers) => {
                let mut trailers = Headers::new();
                trailers.set("x-sum", b"7").unwrap();
                Some(Ok(Frame::Trailers(trailers)))
            }
            None => None,
        })
    }

    fn is_end(&self) -> bool {
        self.data.is_empty() && !self.trailers
    }
}

fn head() -> Box<RequestHead> {
    Box::new(RequestHead {
        method: http::Method::PUT,
        target: "/".parse().unwrap(),
        authority: "cart".into(),
        headers: Headers::new(),
        wire: crate::http::Wire::Http1,
        form: crate::http::Form::Origin,
        kind: crate::http::Kind::Http,
        upgrade: None,
        interim: crate::http::Interim::nowhere(),
    })
}

fn supply(pieces: &[&'static str], trailers: bool, bound: u64) -> Supply {
    let source = Pieces { data: pieces.iter().copied().collect(), trailers };
    Supply::copies(head(), Body::source(Box::new(source)), bound)
}

fn next(body: &mut Body) -> Option<Result<String, BodyError>> {
    match body.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame.map(|frame| {
            frame.map(|frame| match frame {
                Frame::Data(data) => String::from_utf8(data.to_vec()).unwrap(),
                Frame::Trailers(trailers) => format!("trailers {}", trailers.len()),
            })
        }),
        Poll::Pending => panic!("these pieces are never pending"),
    }
}

fn all(body: &mut Body) -> Vec<String> {
    std::iter::from_fn(|| next(body)).map(Result::unwrap).collect()
}

#[test]
fn a_body_is_read_again_from_its_beginning_whenever_the_first_reader_stopped() {
    for stopped in 0..5 {
        let mut supply = supply(&["a", "b", "c"], true, 10);
        let (_, mut first) = supply.take().unwrap();
        for _ in 0..stopped {
            let _ = next(&mut first);
        }
        assert_eq!(supply.replay(), Replay::Possible);
        let (_, mut second) = supply.take().unwrap();
        assert_eq!(all(&mut second), ["a", "b", "c", "trailers 1"], "after {stopped}");
    }
}

#[test]
fn an_earlier_reader_takes_nothing_from_a_newer_one() {
    let mut supply = supply(&["a", "b"], false, 10);
    let (_, mut first) = supply.take().unwrap();
    assert_eq!(next(&mut first), Some(Ok("a".into())));
    let (_, mut second) = supply.take().unwrap();
    assert_eq!(next(&mut first), Some(Err(BodyError::Sender)));
    assert_eq!(all(&mut second), ["a", "b"]);
}

#[test]
fn a_body_beyond_the_bound_streams_but_cannot_be_repeated() {
    let mut supply = supply(&["aaaa", "bbbb", "cccc"], false, 10);
    let (_, mut first) = supply.take().unwrap();
    assert_eq!(all(&mut first), ["aaaa", "bbbb", "cccc"]);
    assert_eq!(supply.replay(), Replay::Gone);
    assert!(supply.take().is_none());
}

#[test]
fn beside_an_attempt_under_way_only_a_whole_body_can_be_sent() {
    let mut supply = supply(&["a", "b"], false, 10);
    let (_, mut first) = supply.take().unwrap();
    assert_eq!(next(&mut first), Some(Ok("a".into())));
    assert_eq!(supply.replay_beside(), Replay::Gone);
    assert_eq!(all(&mut first), ["b"]);
    assert_eq!(supply.replay_beside(), Replay::Possible);
    let (_, mut second) = supply.take().unwrap();
    assert_eq!(all(&mut second), ["a", "b"]);
}

#[test]
fn what_is_known_to_be_too_large_is_not_kept() {
    let mut supply = Supply::copies(head(), Body::bytes("0123456789"), 5);
    assert!(supply.take().is_some());
    assert_eq!(supply.replay(), Replay::Gone);
    let mut none = Supply::copies(head(), Body::empty(), 5);
    assert!(none.take().is_some() && none.take().is_some());
}
