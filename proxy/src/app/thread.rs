//! A worker thread: one runtime, one `LocalSet`, its own listeners, and the end of all that in order.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mesh_identity::Identity;
use mesh_lifecycle::tasks::{Shutdown, Tasks};
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::listeners::Sockets;
use crate::config::{Config, InboundListener};
use crate::dns::Dns;
use crate::inbound::{Captured, Inbound};
use crate::net::{self, Accepted, Namespace};
use crate::outbound::{Host, Outbound};
use crate::state::Page;
use crate::telemetry::{Begun, Event, WorkerSeed};
use crate::worker::Worker;
use crate::xds::Discovery;

/// What a worker is made from.
pub(super) struct Seed {
    pub(super) config: Arc<Config>,
    pub(super) identity: Identity,
    pub(super) discovery: Discovery,
    pub(super) dns: Dns,
    pub(super) telemetry: WorkerSeed,
    pub(super) standings: Page,
    pub(super) sockets: Sockets,
    /// Where the application is, when that is not here.
    pub(super) network: Option<Namespace>,
    pub(super) own: Vec<SocketAddr>,
    /// Requests that operators ask for; one worker has them.
    pub(super) trials: Option<tokio::sync::mpsc::Receiver<Begun>>,
    pub(super) stop: CancellationToken,
    pub(super) ended: tokio::sync::oneshot::Sender<()>,
}

/// Stack of a worker; only what is touched is memory. Debug builds have large frames.
const STACK: usize = if cfg!(debug_assertions) { 8 << 20 } else { 2 << 20 };

/// Between two looks for connections that have been idle too long.
const SWEEP: Duration = Duration::from_secs(5);

/// Between two hand-overs of counters.
const FLUSH: Duration = Duration::from_secs(1);

/// How long our own upstream connections may take to end, once nothing uses them.
const UPSTREAMS: Duration = Duration::from_millis(500);

/// Starts the thread.
pub(super) fn spawn(number: usize, seed: Seed) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(5))
        .build()
        .map_err(StartError::Thread)?;
    let run = move || {
        let local = LocalSet::new();
        local.block_on(&runtime, serve(seed));
        // What is left was asked to end and was forced; it must not hold up the process.
        drop(local);
        runtime.shutdown_background();
    };
    std::thread::Builder::new()
        .name(format!("worker-{number}"))
        .stack_size(STACK)
        .spawn(run)
        .map_err(StartError::Thread)?;
    Ok(())
}

async fn serve(seed: Seed) {
    tokio::select! {
        biased;
        () = work(seed) => {}
        () = crate::http::sweeper() => {}
    }
}

async fn work(seed: Seed) {
    let Seed {
        config,
        identity,
        discovery,
        dns,
        telemetry,
        standings,
        sockets,
        network,
        own,
        trials,
        stop,
        ended,
    } = seed;
    let worker = Worker::new(config, discovery, telemetry.build(), standings);
    let listeners = Tasks::new();
    let outbound = Outbound::new(&worker, identity.clone(), network.as_ref(), own.clone(), dns);
    let ways = Ways { outbound: &outbound, identity: &identity, network: network.as_ref(), own };
    let inbound = Rc::new(listen(&worker, &ways, sockets, &listeners));
    if let Some(trials) = trials {
        let (outbound, stop) = (Rc::clone(&outbound), listeners.token());
        // What waits when this proxy ends is told so, by the end of its queue.
        listeners.spawn_local("trials", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = outbound.trials(trials) => {}
            }
        });
    }
    let house = (Rc::clone(&worker), Rc::clone(&outbound), Rc::clone(&inbound), listeners.token());
    listeners.keep_local("housekeeping", house, |(worker, outbound, inbound, stop), _| {
        Box::pin(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = housekeeping(worker, outbound, inbound) => {}
            }
        })
    });
    stop.cancelled().await;
    drain(&worker, &outbound, &inbound, &listeners).await;
    worker.telemetry.flush_last(FLUSH).await;
    // The other end waits for it, or is gone with the process.
    let _ = ended.send(());
}

/// What connections are served with.
struct Ways<'a> {
    outbound: &'a Rc<Outbound>,
    identity: &'a Identity,
    network: Option<&'a Namespace>,
    own: Vec<SocketAddr>,
}

fn listen(worker: &Rc<Worker>, ways: &Ways<'_>, sockets: Sockets, listeners: &Tasks) -> Inbounds {
    let Ways { outbound, identity, network, own } = ways;
    let config = Arc::clone(&worker.config);
    if let Some(socket) = sockets.outbound_proxy {
        let outbound = Rc::clone(outbound);
        accept(worker, listeners, socket, move |accepted| outbound.serve_proxy(accepted));
    }
    for (socket, listener) in sockets.outbound.into_iter().zip(&config.outbound) {
        let outbound = Rc::clone(outbound);
        let host = Rc::new(Host::new(listener.host.clone(), listener.port));
        accept(worker, listeners, socket, move |accepted| {
            outbound.serve_destination(accepted, Rc::clone(&host));
        });
    }
    for socket in sockets.captured_outbound {
        let outbound = Rc::clone(outbound);
        accept(worker, listeners, socket, move |accepted| outbound.serve_captured(accepted));
    }
    let asks = (*identity, outbound.asker());
    let captured =
        (!sockets.captured_inbound.is_empty()).then(|| Captured::new(worker, asks, *network, own.clone()));
    for (socket, captured) in sockets.captured_inbound.into_iter().zip(captured.iter().cycle()) {
        let captured = Rc::clone(captured);
        accept(worker, listeners, socket, move |accepted| captured.serve(accepted));
    }
    let mut all = Vec::new();
    for (socket, listener) in sockets.inbound.into_iter().zip(&config.inbound) {
        // The port that it really is, where any was asked for.
        let listen = socket.local_addr().unwrap_or(listener.listen);
        let inbound = Inbound::new(worker, asks, *network, InboundListener { listen, ..*listener });
        all.push(Rc::clone(&inbound));
        accept(worker, listeners, socket, move |accepted| inbound.serve(accepted));
    }
    Inbounds { listeners: all, captured }
}

/// The ways in of one worker.
struct Inbounds {
    listeners: Vec<Rc<Inbound>>,
    captured: Option<Rc<Captured>>,
}

impl Inbounds {
    fn sweep(&self) {
        self.listeners.iter().for_each(|inbound| inbound.sweep());
        self.captured.iter().for_each(|captured| captured.sweep());
    }

    fn authorize_again(&self) {
        self.listeners.iter().for_each(|inbound| inbound.authorize_again());
        self.captured.iter().for_each(|captured| captured.authorize_again());
    }

    fn close_idle(&self) {
        self.listeners.iter().for_each(|inbound| inbound.close_idle());
        self.captured.iter().for_each(|captured| captured.close_idle());
    }
}

fn accept(
    worker: &Rc<Worker>,
    listeners: &Tasks,
    socket: std::net::TcpListener,
    serve: impl FnMut(Accepted) + 'static,
) {
    let (worker, stop) = (Rc::clone(worker), listeners.token());
    listeners.spawn_local("accept", async move {
        let bound = worker.config.limits.connections;
        let notice = |notice| worker.notice(notice);
        if let Err(error) = net::accept(socket, bound, stop, serve, notice).await {
            tracing::error!(%error, "a listener cannot be used; restart this proxy");
        }
    });
}

/// Never ends.
async fn housekeeping(worker: &Worker, outbound: &Outbound, inbound: &Inbounds) {
    let mut flush = tokio::time::interval(FLUSH);
    let mut sweep = tokio::time::interval(SWEEP);
    flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut snapshots = worker.discovery.subscribe();
    // A change may have come before, or been taken up by what panicked.
    inbound.authorize_again();
    loop {
        tokio::select! {
            // An error means that the control thread is gone: nothing changes any more.
            Ok(()) = snapshots.changed() => inbound.authorize_again(),
            _ = flush.tick() => worker.telemetry.flush().await,
            _ = sweep.tick() => {
                outbound.sweep();
                inbound.sweep();
            }
        }
    }
}

/// Stop accepting, let connections end, force what is left, then close our own.
async fn drain(worker: &Worker, outbound: &Outbound, inbound: &Inbounds, listeners: &Tasks) {
    listeners.shutdown(Duration::from_secs(1)).await;
    let flush = async {
        loop {
            tokio::time::sleep(FLUSH).await;
            worker.telemetry.flush().await;
        }
    };
    let ended = tokio::select! {
        ended = worker.connections.shutdown(worker.config.drain) => ended,
        () = flush => Shutdown::Clean,
    };
    if let Shutdown::Forced { left } = ended {
        tracing::warn!(
            connections = left,
            "connections did not end before the drain deadline and were broken"
        );
        (0..left).for_each(|_| worker.telemetry.count(Event::DrainForced));
    }
    outbound.close_idle();
    inbound.close_idle();
    worker.upstreams.shutdown(UPSTREAMS).await;
}
