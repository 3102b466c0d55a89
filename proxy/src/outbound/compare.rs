//! Answers to copies beside the answer that the caller gets: which requests are looked at, and what is kept of their answers while they pass.
//! They are compared elsewhere (`telemetry`). Nothing here delays or changes an answer. It must not know routes, nor what differs.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use mesh_compare::{Answer, Content};
use mesh_model::compare::Compare;
use mesh_traffic::fault;
use tokio::sync::oneshot;

use super::{Outbound, aside};
use crate::http::{Body, BodyError, Frame, Headers, RequestHead, Response, Source};
use crate::telemetry::{Compared, Event, Pair, Twin};

/// Comparisons of one worker that are under way. Each keeps three bodies of 64 KiB at most.
const UNDER_WAY: usize = 32;
/// Comparisons that one worker begins in a second.
const A_SECOND: u32 = 20;

/// What bounds the comparisons of one worker.
#[derive(Debug, Clone, Default)]
pub(super) struct Bounds(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    under_way: Cell<usize>,
    /// When a second began, and how many since.
    second: Cell<(Option<Instant>, u32)>,
}

struct Place(Bounds);

impl Drop for Place {
    fn drop(&mut self) {
        let under_way = &self.0.0.under_way;
        under_way.set(under_way.get().saturating_sub(1));
    }
}

impl Bounds {
    /// A place under both bounds, or which one is reached.
    fn place(&self, now: Instant) -> Result<Place, Event> {
        let (began, count) = match self.0.second.get() {
            (Some(began), count) if now.saturating_duration_since(began) < Duration::from_secs(1) => {
                (began, count)
            }
            (Some(_) | None, _) => (now, 0),
        };
        if count >= A_SECOND {
            return Err(Event::CompareRate);
        }
        if self.0.under_way.get() >= UNDER_WAY {
            return Err(Event::CompareBusy);
        }
        self.0.second.set((Some(began), count + 1));
        self.0.under_way.set(self.0.under_way.get() + 1);
        Ok(Place(self.clone()))
    }
}

/// Waits for the answer that the caller gets.
pub(super) struct Asked {
    of: Compared,
    compare: Arc<Compare>,
    stable: oneshot::Receiver<Answer>,
    has_twin: bool,
    _place: Place,
}

/// Sees the answer that the caller gets.
pub(super) struct Seeing {
    compare: Arc<Compare>,
    tell: oneshot::Sender<Answer>,
}

/// Whether the answers to this copy are compared. Chance decides, then the bounds.
pub(super) fn begin(
    outbound: &Outbound,
    compare: &Arc<Compare>,
    head: &RequestHead,
    of: impl FnOnce() -> Compared,
) -> Option<(Asked, Seeing)> {
    let worker = &outbound.worker;
    if head.upgrade.is_some() || !worker.with_random(|rng| fault::happens(compare.sample, rng)) {
        return None;
    }
    let of = of();
    // Half of a split mirrored to the other half meets itself.
    if of.stable == of.candidate {
        return None;
    }
    let place = match outbound.comparing.place(Instant::now()) {
        Ok(place) => place,
        Err(bound) => {
            worker.telemetry.count(bound);
            return None;
        }
    };
    // Only what a server must expect to be asked twice is asked twice.
    let may_repeat = matches!(head.method, Method::GET | Method::HEAD);
    let has_twin = may_repeat && worker.with_random(|rng| fault::happens(compare.twins, rng));
    let (tell, stable) = oneshot::channel();
    let asked = Asked { of, compare: Arc::clone(compare), stable, has_twin, _place: place };
    Some((asked, Seeing { compare: Arc::clone(compare), tell }))
}

/// Sends the copy, and the request to the stable version once more where that is wanted, and hands over what came.
pub(super) async fn carry_out(
    outbound: &Outbound,
    asked: Asked,
    (head, body): (Box<RequestHead>, Bytes),
    end: tokio::time::Instant,
) {
    let Asked { of, compare, stable, has_twin, _place } = asked;
    let telemetry = &outbound.worker.telemetry;
    let ask = async |to: &(_, u16), head, body| {
        let sent = aside::send(outbound, (&to.0, to.1), of.route.as_ref(), (head, body), end).await;
        match sent {
            Ok(response) => whole(&compare, response).await,
            Err(why) => {
                tracing::debug!(service = %to.0, why, "a request whose answer is compared was not answered");
                None
            }
        }
    };
    let twin = async {
        if !has_twin {
            return Twin::NotAsked;
        }
        telemetry.count(Event::CompareTwin);
        ask(&of.stable, head.clone(), body.clone()).await.map_or(Twin::Unanswered, Twin::Answered)
    };
    let candidate = ask(&of.candidate, head.clone(), body.clone());
    let (candidate, twin, stable) = tokio::join!(candidate, twin, tokio::time::timeout_at(end, stable));
    // The caller left, or nobody answered him: nothing is known of what he would have got.
    let Ok(Ok(stable)) = stable else { return };
    telemetry.compare(Pair { of, compare, stable, candidate, twin });
}

/// Reads an answer to its end.
async fn whole(compare: &Compare, mut response: Response) -> Option<Answer> {
    let mut answer = begun(compare, &response);
    while let Some(frame) = response.body.next().await {
        take(&mut answer, &frame.ok()?);
    }
    Some(answer)
}

/// Looks at the answer that the caller gets, while it passes.
pub(super) fn see(all: Vec<Seeing>, response: &mut Response) {
    for Seeing { compare, tell } in all {
        let answer = begun(&compare, response);
        if response.body.is_end_stream() {
            // Who asked may have given up by now.
            let _ = tell.send(answer);
            continue;
        }
        let body = std::mem::replace(&mut response.body, Body::empty());
        response.body = Body::source(Box::new(Passing { body, telling: Some((answer, tell)) }));
    }
}

/// What the head says.
fn begun(compare: &Compare, response: &Response) -> Answer {
    let headers = &response.headers;
    let value = |name: &String| {
        let mut all = headers.get_all(name);
        let first = all.next()?.to_vec();
        Some(all.fold(first, |sum, next| [&sum, b", ".as_slice(), next].concat()))
    };
    let content =
        Content::begin(compare, headers.get_str("content-type"), headers.contains("content-encoding"));
    Answer {
        status: response.status.as_u16(),
        grpc_status: grpc_status(headers),
        headers: compare.headers.iter().map(value).collect(),
        content,
    }
}

fn grpc_status(headers: &Headers) -> Option<String> {
    headers.get_str("grpc-status").map(str::to_owned)
}

fn take(answer: &mut Answer, frame: &Frame) {
    match frame {
        Frame::Data(data) => answer.content.take(data),
        Frame::Trailers(trailers) => answer.grpc_status = grpc_status(trailers).or(answer.grpc_status.take()),
    }
}

/// A body that is looked at as it passes.
struct Passing {
    body: Body,
    /// Given at the end; dropped where it breaks off.
    telling: Option<(Answer, oneshot::Sender<Answer>)>,
}

impl Source for Passing {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let polled = self.body.poll_next(cx);
        match (&polled, &mut self.telling) {
            (Poll::Ready(Some(Ok(frame))), Some((answer, _))) => take(answer, frame),
            (Poll::Ready(Some(Err(_))), telling) => *telling = None,
            (_, _) => {}
        }
        if matches!(polled, Poll::Ready(None | Some(Ok(_))))
            && self.body.is_end_stream()
            && let Some((answer, tell)) = self.telling.take()
        {
            // Who asked may have given up by now.
            let _ = tell.send(answer);
        }
        polled
    }

    fn is_end(&self) -> bool {
        self.body.is_end_stream()
    }

    fn left(&self) -> Option<u64> {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_bounded_in_number_and_by_the_second() {
        let (bounds, start) = (Bounds::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let first: Vec<_> = (0..A_SECOND).map(|_| bounds.place(at(0)).unwrap()).collect();
        assert_eq!(bounds.place(at(999)).err(), Some(Event::CompareRate));
        let room = UNDER_WAY - first.len();
        let second: Vec<_> = (0..room).map(|_| bounds.place(at(1_000)).unwrap()).collect();
        assert_eq!(bounds.place(at(1_001)).err(), Some(Event::CompareBusy));
        drop(first);
        assert!(bounds.place(at(1_002)).is_ok());
        drop(second);
        assert_eq!(bounds.0.under_way.get(), 0);
    }
}
