//! Copies of requests for mirrors. A copy never delays or fails the request: it is sent by a task of its own once the request's body has
//! passed, which is kept up to a bound for that; what comes back is read and thrown away, or compared (`compare`). It must not know routes.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use mesh_model::compare::Compare;
use mesh_model::name::ServiceName;
use mesh_model::route::{BackendTarget, Mirror};
use smallvec::SmallVec;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::compare::{self, Seeing};
use super::{Outbound, aside};
use crate::http::{Body, BodyError, Frame, Interim, RequestHead, Source};
use crate::telemetry::{Compared, Event};

/// Copies of one worker that are under way.
const UNDER_WAY: usize = 256;

/// The most of a body that is kept for a copy, bytes.
const BODY: usize = 256 * 1024;

/// How long a copy may take from the first byte of its request to the last one of the answer.
const TIME: Duration = Duration::from_secs(30);

/// Counts copies under way while it lives.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Rc<Cell<usize>>);

struct Place(UnderWay);

impl UnderWay {
    fn place(&self) -> Option<Place> {
        let count = self.0.get();
        (count < UNDER_WAY).then(|| {
            self.0.set(count + 1);
            Place(self.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get().saturating_sub(1));
    }
}

/// What is copied.
pub(super) struct Original<'a> {
    /// The rule.
    pub(super) label: Option<&'a Arc<str>>,
    /// Where it goes itself.
    pub(super) to: (&'a ServiceName, u16),
    /// How answers are compared where the mirror does not say it.
    pub(super) compare: Option<&'a Arc<Compare>>,
    pub(super) head: &'a RequestHead,
}

/// Starts the copies and gives the body back, teed if any of them needs it, and who wants to see the answer.
pub(super) fn send<'a>(
    outbound: &Rc<Outbound>,
    mirrors: impl Iterator<Item = &'a Mirror>,
    original: &Original<'_>,
    body: Body,
) -> (Body, Vec<Seeing>) {
    let &Original { label, to, head, .. } = original;
    let mut seeing = Vec::new();
    let mut copies = SmallVec::<[oneshot::Sender<Bytes>; 1]>::new();
    let empty = body.is_end_stream();
    let telemetry = &outbound.worker.telemetry;
    for mirror in mirrors {
        let BackendTarget::Service { service, port } = &mirror.target else { continue };
        if body.size_hint().is_some_and(|size| size > BODY as u64) {
            telemetry.count(Event::MirrorTooLarge);
            continue;
        }
        let Some(place) = outbound.mirrors.place() else {
            telemetry.count(Event::MirrorSkipped);
            continue;
        };
        let compared = mirror.compare.as_ref().or(original.compare).and_then(|how| {
            compare::begin(outbound, how, head, || Compared {
                route: label.cloned(),
                stable: (to.0.clone(), to.1),
                candidate: (service.clone(), *port),
            })
        });
        let (asked, seen) = compared.unzip();
        seeing.extend(seen);
        let (copy, whole) = oneshot::channel();
        if !empty {
            copies.push(copy);
        }
        let mut head = Box::new(head.clone());
        // Nobody waits for the answers to a copy.
        head.interim = Interim::nowhere();
        head.upgrade = None;
        let (outbound, service, port) = (Rc::clone(outbound), service.clone(), *port);
        let label = label.cloned();
        outbound.clone().worker.connections.spawn_local("mirror", async move {
            let _place = place;
            let end = Instant::now() + TIME;
            let body = if empty {
                Some(Bytes::new())
            } else {
                tokio::time::timeout_at(end, whole).await.ok().and_then(Result::ok)
            };
            // Without a whole body there was no whole request either.
            let Some(body) = body else { return };
            outbound.worker.telemetry.count(Event::Mirrored);
            match asked {
                Some(asked) => Box::pin(compare::carry_out(&outbound, asked, (head, body), end)).await,
                None => copy_to(&outbound, &service, port, label, (head, body), end).await,
            }
        });
    }
    if copies.is_empty() {
        return (body, seeing);
    }
    let tee = Tee { body, kept: Vec::new(), copies, outbound: Rc::clone(outbound) };
    (Body::source(Box::new(tee)), seeing)
}

async fn copy_to(
    outbound: &Rc<Outbound>,
    service: &ServiceName,
    port: u16,
    label: Option<Arc<str>>,
    (head, body): (Box<RequestHead>, Bytes),
    end: Instant,
) {
    match aside::send(outbound, (service, port), label.as_ref(), (head, body), end).await {
        Ok(mut response) => while let Some(Ok(_)) = response.body.next().await {},
        Err(why) => tracing::debug!(%service, why, "a copy of a request was not answered"),
    }
}

/// A body that is kept as it passes, until it is whole or too large.
struct Tee {
    body: Body,
    kept: Vec<u8>,
    copies: SmallVec<[oneshot::Sender<Bytes>; 1]>,
    outbound: Rc<Outbound>,
}

impl Tee {
    fn keep(&mut self, data: &[u8]) {
        if self.copies.is_empty() {
            return;
        }
        if self.kept.len() + data.len() > BODY {
            self.kept = Vec::new();
            for _ in self.copies.drain(..) {
                self.outbound.worker.telemetry.count(Event::MirrorTooLarge);
            }
        } else {
            self.kept.extend_from_slice(data);
        }
    }

    fn hand_over(&mut self) {
        let whole = Bytes::from(std::mem::take(&mut self.kept));
        for copy in self.copies.drain(..) {
            // The task may have given up by now.
            let _ = copy.send(whole.clone());
        }
    }
}

impl Source for Tee {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let polled = self.body.poll_next(cx);
        match &polled {
            Poll::Ready(Some(Ok(Frame::Data(data)))) => self.keep(data),
            Poll::Ready(Some(Err(_))) => self.copies.clear(),
            Poll::Ready(None | Some(Ok(Frame::Trailers(_)))) | Poll::Pending => {}
        }
        if matches!(polled, Poll::Ready(None | Some(Ok(_)))) && self.body.is_end_stream() {
            self.hand_over();
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
