//! Taps and traces as server-sent events: a document an event, a comment now and then so that both ends notice when the other is gone, and
//! an end that says why. It must not know who reads.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use hyper::body::Frame;
use mesh_proto::inspect::v1::inspect_service_server::InspectService as _;
use mesh_proto::inspect::v1::{TapRequest, TraceRequest};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tonic::Status;

use super::answers::{NoAnswer, asked};
use super::counters::DashboardCounters;
use super::routes::STREAM_SECONDS;
use crate::access::sessions::SignedIn;
use crate::inspect::{Inspector, json as told};

/// Between signs of life.
const BEAT: Duration = Duration::from_secs(5);
/// The longest that a stream lasts, whatever happens on it.
const LASTS: Duration = Duration::from_secs(STREAM_SECONDS as u64);

/// What is told, one after the other.
pub type Told = Pin<Box<dyn Stream<Item = Result<Value, Status>> + Send>>;
/// The body of an answer.
pub type Body = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;

/// Requests as they end.
pub async fn tap(
    inspector: &Inspector,
    requests: Vec<TapRequest>,
    proof: &SignedIn,
) -> Result<Told, NoAnswer> {
    let mut streams = Vec::new();
    for request in requests {
        let events = inspector.tap(asked(request, proof)).await?.into_inner();
        streams.push(events.map(|event| event.map(|event| told::tap(&event))));
    }
    Ok(Box::pin(stream::select_all(streams)))
}

/// Traces as they finish.
pub async fn traces(
    inspector: &Inspector,
    request: TraceRequest,
    proof: &SignedIn,
) -> Result<Told, NoAnswer> {
    let traces = inspector.trace(asked(request, proof)).await?.into_inner();
    Ok(Box::pin(traces.map(|trace| trace.map(|trace| told::trace(&trace)))))
}

struct Reading {
    told: Told,
    until: Instant,
    next_beat: Instant,
    over: bool,
    _place: Place,
}

/// A place among those who read; counted for as long as it is taken.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    counters: DashboardCounters,
}

impl Place {
    /// Takes it.
    pub fn new(permit: OwnedSemaphorePermit, counters: &DashboardCounters) -> Self {
        counters.streams.inc();
        Self { _permit: permit, counters: counters.clone() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counters.streams.dec();
    }
}

/// The events of a stream, for as long as there is a place for it.
pub fn body(told: Told, place: Place, until: Instant) -> Body {
    let now = Instant::now();
    let until = until.min(now + LASTS);
    let reading = Reading { told, until, next_beat: now, over: false, _place: place };
    Box::pin(stream::unfold(reading, |mut reading| async move {
        let text = reading.next().await?;
        Some((Ok(Frame::data(Bytes::from(text))), reading))
    }))
}

impl Reading {
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        // Cancel-safe: an event that is ready is taken or stays.
        let text = tokio::select! {
            biased;
            () = tokio::time::sleep_until(self.until) => self.end("time"),
            event = self.told.next() => match event {
                Some(Ok(event)) => format!("data: {event}\n\n"),
                Some(Err(status)) => self.end(status.message()),
                None => self.end("ended"),
            },
            () = tokio::time::sleep_until(self.next_beat) => {
                self.next_beat = Instant::now() + BEAT;
                ": here\n\n".to_owned()
            }
        };
        Some(text)
    }

    fn end(&mut self, why: &str) -> String {
        self.over = true;
        format!("event: end\ndata: {}\n\n", Value::from(why))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use tokio::sync::Semaphore;

    use super::*;

    async fn all(told: Told, until: Instant) -> String {
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let place = Place::new(place, &DashboardCounters::default());
        let frames: Vec<_> = body(told, place, until).collect().await;
        let bytes = frames.into_iter().map(|frame| frame.unwrap().into_data().unwrap());
        bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    const SOON: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn an_event_is_one_line_whatever_is_in_it_and_the_end_says_why() {
        let event = json!({ "path": "/a\n\ndata: x\r<script>" });
        let told: Told = Box::pin(stream::iter([Ok(event)]).chain(stream::pending()));
        let text = all(told, Instant::now() + SOON).await;
        assert!(text.contains("data: {\"path\":\"/a\\n\\ndata: x\\r<script>\"}\n\n"), "{text}");
        assert!(text.contains(": here\n\n"), "{text}");
        assert!(text.ends_with("event: end\ndata: \"time\"\n\n"), "{text}");
        let failed: Told = Box::pin(stream::iter([Err(Status::unavailable("gone"))]));
        assert!(all(failed, Instant::now() + LASTS).await.ends_with("event: end\ndata: \"gone\"\n\n"));
    }

    #[tokio::test]
    async fn a_stream_that_ends_gives_its_place_back() {
        let places = Arc::new(Semaphore::new(1));
        let counters = DashboardCounters::default();
        let place = Place::new(Arc::clone(&places).acquire_owned().await.unwrap(), &counters);
        assert_eq!((places.available_permits(), counters.streams.get()), (0, 1));
        let frames: Vec<_> = body(Box::pin(stream::empty()), place, Instant::now() + LASTS).collect().await;
        assert_eq!(frames.len(), 1);
        assert_eq!((places.available_permits(), counters.streams.get()), (1, 0));
    }
}
