//! Sends the probes of active health checks: one task for each port of a service that has some and is in use. Endpoints are usable until
//! their first probe fails (`mesh_traffic::health` decides). Probes take the way of requests: the same connections, identities and
//! bounds. It must not know what is done with what they say.

mod grpc;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Method;
use http::uri::PathAndQuery;
use mesh_lifecycle::tasks::Tasks;
use mesh_model::endpoint::{EndpointState, Transport};
use mesh_model::traffic::{HealthCheck, Probe};
use mesh_traffic::health::{Probed, Probes};
use tokio::sync::Semaphore;

use super::backends::{Backend, Picked};
use crate::http::{
    Body, ExchangeFailure, Form, Frame, Headers, Kind, OwnBounds, RequestHead, Unreached, Upstream,
    UpstreamResponse, Wire,
};

/// Probes under way in one worker; more wait.
const PLACES: usize = 64;

/// The longest time until a task sees that endpoints or the policy changed, or that it has to end.
const LOOK: Duration = Duration::from_millis(500);

/// The most that is read of an answer's body so that its connection can be used again.
const BODY_BYTES: usize = 64 * 1024;

/// What identifies probes to the application.
const USER_AGENT: &[u8] = b"amime-health-check";

/// The bound on probes of a worker.
#[derive(Debug)]
pub(super) struct Places(Semaphore);

impl Places {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self(Semaphore::new(PLACES)))
    }
}

type Key = (SocketAddr, Transport);

/// A probe under way: whose, and how it ended; `None`: it could not be sent for reasons of our own.
type Running = FuturesUnordered<Pin<Box<dyn Future<Output = (Key, Option<Probed>)>>>>;

/// Starts the task for a backend. It ends with the use of the backend, with the policy's probes, and with `tasks`.
pub(super) fn start(backend: &Rc<Backend>, tasks: &Tasks, places: &Rc<Places>) {
    backend.probing();
    let (backend, places, stop) = (Rc::downgrade(backend), Rc::clone(places), tasks.token());
    tasks.spawn_local("health checks", async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = run(backend, places) => {}
        }
    });
}

async fn run(backend: Weak<Backend>, places: Rc<Places>) {
    let mut probes: HashMap<Key, (Probes, Step)> = HashMap::new();
    let mut running = Running::new();
    loop {
        let Some(wake) = send_due(&backend, &places, &mut probes, &mut running) else { return };
        let ended = tokio::select! {
            ended = running.next(), if !running.is_empty() => ended,
            () = tokio::time::sleep_until(wake.into()) => None,
        };
        if let Some((key, probed)) = ended {
            settle(&backend, &mut probes, &key, probed);
        }
    }
}

/// Whether a probe of the endpoint is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Waiting,
    Sent,
}

/// Sends the probes whose time has come; gives the time to look again. `None`: there is nothing to probe any more.
fn send_due(
    backend: &Weak<Backend>,
    places: &Rc<Places>,
    probes: &mut HashMap<Key, (Probes, Step)>,
    running: &mut Running,
) -> Option<Instant> {
    let backend = backend.upgrade()?;
    let check = Rc::new(backend.probes()?);
    let now = Instant::now();
    let slots: Vec<Picked> =
        backend.slots().iter().filter(|slot| slot.endpoint.state == EndpointState::Ready).cloned().collect();
    let mut old = std::mem::take(probes);
    let mut wake = now + LOOK;
    for slot in slots {
        let key = (slot.endpoint.address, slot.endpoint.transport.clone());
        let (probe, mut step) =
            old.remove(&key).unwrap_or_else(|| (Probes::new(&check, now, fastrand::f64()), Step::Waiting));
        if step == Step::Waiting && probe.due() <= now {
            step = Step::Sent;
            let (places, check, host) = (Rc::clone(places), Rc::clone(&check), host(&backend));
            let (key, upstream) = (key.clone(), Rc::clone(&slot.payload));
            running.push(Box::pin(async move {
                // Waiting for a place is no fault of the endpoint.
                let Ok(_place) = places.0.acquire().await else { return (key, None) };
                let ended = tokio::time::timeout(check.timeout, probe_once(&upstream, &check, host)).await;
                (key, ended.unwrap_or(Some(Probed::Failed)))
            }));
        } else if step == Step::Waiting {
            wake = wake.min(probe.due());
        }
        probes.insert(key, (probe, step));
    }
    Some(wake)
}

fn settle(
    backend: &Weak<Backend>,
    probes: &mut HashMap<Key, (Probes, Step)>,
    key: &Key,
    probed: Option<Probed>,
) {
    let (Some(backend), Some((probe, step))) = (backend.upgrade(), probes.get_mut(key)) else { return };
    *step = Step::Waiting;
    let Some(check) = backend.policy().health_check.as_ref().map(|check| check.value.clone()) else { return };
    let (now, random) = (Instant::now(), fastrand::f64());
    let Some(probed) = probed else {
        probe.skipped(&check, now, random);
        return;
    };
    if let Some(verdict) = probe.ended(&check, probed, now, random) {
        tracing::debug!(service = %backend.service(), address = %key.0, ?verdict, "probes of an endpoint");
        for slot in backend.slots().iter() {
            if slot.endpoint.address == key.0 && slot.endpoint.transport == key.1 {
                slot.load.set_verdict(verdict);
            }
        }
    }
}

fn host(backend: &Backend) -> String {
    let name = &backend.service().0;
    format!("{}.{}", name.name(), name.namespace())
}

/// One probe, to its end. The caller gives it its deadline.
async fn probe_once(upstream: &Rc<Upstream>, check: &HealthCheck, host: String) -> Option<Probed> {
    match &check.probe {
        Probe::Tcp => match upstream.stream(&OwnBounds).await {
            Ok(_) => Some(Probed::Passed),
            Err(why) => failed(&why),
        },
        Probe::Http { path, host: own, statuses } => {
            let head = head(Method::GET, path, own.clone().unwrap_or(host), Wire::Http1, Kind::Http)?;
            let answer = exchange(upstream, Wire::Http1, head, Body::empty(), check.timeout).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(probed) => return probed,
            };
            let status = answer.response.status.as_u16();
            drain(answer.response.body).await;
            let healthy = (statuses.0..=statuses.1).contains(&status);
            Some(if healthy { Probed::Passed } else { Probed::Failed })
        }
        Probe::Grpc { service } => {
            let head = grpc::head(host)?;
            let body = Body::bytes(grpc::request(service));
            match exchange(upstream, Wire::Http2, head, body, check.timeout).await {
                Ok(answer) => Some(grpc::read(answer.response).await),
                Err(probed) => probed,
            }
        }
    }
}

fn failed(why: &Unreached) -> Option<Probed> {
    match why {
        // All places are taken by requests: that says nothing about the endpoint.
        Unreached::Bound | Unreached::Exceeded(_) | Unreached::Crowded(_) => None,
        Unreached::Refused(..) | Unreached::Timeout(_) | Unreached::Tls(..) | Unreached::Protocol(_) => {
            Some(Probed::Failed)
        }
    }
}

async fn exchange(
    upstream: &Rc<Upstream>,
    wire: Wire,
    head: Box<RequestHead>,
    body: Body,
    timeout: Duration,
) -> Result<UpstreamResponse, Option<Probed>> {
    let deadline = tokio::time::Instant::now() + timeout;
    upstream.exchange(wire, head, body, deadline, &OwnBounds).await.map_err(|failure| match failure {
        ExchangeFailure::Unreached(why, _) => failed(&why),
        ExchangeFailure::Failed { .. } | ExchangeFailure::Body(_) => Some(Probed::Failed),
    })
}

/// `None`: the path is none, which the controller does not let pass.
fn head(method: Method, path: &str, authority: String, wire: Wire, kind: Kind) -> Option<Box<RequestHead>> {
    let mut headers = Headers::new();
    headers.set("user-agent", USER_AGENT).ok()?;
    Some(Box::new(RequestHead {
        method,
        target: PathAndQuery::try_from(path).ok()?,
        authority,
        headers,
        wire,
        form: Form::Origin,
        kind,
        upgrade: None,
        interim: crate::http::Interim::nowhere(),
    }))
}

/// Reads a small body to its end, so that its connection can be used again.
async fn drain(mut body: Body) {
    let mut left = BODY_BYTES;
    while let Some(Ok(frame)) = body.next().await {
        if let Frame::Data(data) = frame {
            left = left.saturating_sub(data.len());
        }
        if left == 0 {
            return;
        }
    }
}
