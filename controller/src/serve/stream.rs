//! One proxy's stream: the shell around [`Session`]. It waits for the proxy, for a new snapshot, for room to write and for the time of
//! the next watermark, and holds no queue.

use std::sync::Arc;
use std::time::Duration;

use mesh_identity::incoming::PeerInfo;
use mesh_lifecycle::{CancellationToken, Clock};
use mesh_proto::config::v1::{ClientMessage, Hello, Lost, Subscribe, client_message};
use mesh_proto::held::to_wire;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tonic::{Code, Status, Streaming};

use super::admission::{Full, Hearing};
use super::answers::Answer;
use super::codec::Outgoing;
use super::registry::{Place, Registry};
use super::session::{Now, Proxy, Refused, Session};
use super::snapshot::Snapshot;
use super::touched::Unseen;
use crate::access::{Access, Denied};
use crate::sources::freshness::Freshness;
use crate::status::counters::ServeCounters;

/// For the Hello.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// A proxy that reads nothing for so long is given up; it will come back and say what it holds.
const STALLED: Duration = Duration::from_secs(30);
/// Watermarks between two comparisons of a stream that nothing was said to concern.
const CHECK: u32 = 15;
/// Watermarks between two that say what the proxy should hold.
const PROOF: u32 = 15;
/// Messages of a proxy that are heard in a row while it is owed one.
const IN_A_ROW: u32 = 16;
/// Rejects of one ack that are logged; `meshctl sync` shows all.
const LOGGED: usize = 10;
/// Between watermarks.
pub const WATERMARK: Duration = Duration::from_secs(2);

/// What every stream needs.
#[derive(Debug, Clone)]
pub struct Context {
    /// The newest snapshot.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// All streams.
    pub registry: Registry,
    /// Who may say to be whom.
    pub access: Access,
    /// How new the newest snapshot is.
    pub freshness: Freshness,
    /// What time it is.
    pub clock: Clock,
    /// What is counted.
    pub counters: ServeCounters,
    /// Cancelled when the controller stops.
    pub token: CancellationToken,
}

/// Serves a stream until it ends.
pub async fn run(
    context: Context,
    peer: Option<PeerInfo>,
    mut inbound: Streaming<ClientMessage>,
    out: mpsc::Sender<Answer>,
) {
    let hang_up = peer.as_ref().map(|peer| peer.hang_up.clone());
    let token = context.token.clone();
    let opened = tokio::select! {
        () = token.cancelled() => Err(stopping()),
        opened = open(&context, peer, &mut inbound) => opened,
    };
    let ended = match opened {
        Ok(place) => {
            let mut stream = Stream {
                context,
                place,
                inbound,
                out: out.clone(),
                behind: Behind::Asked,
                unchecked: 0,
                hearing: Hearing::default(),
                began: Instant::now(),
                deaf_until: None,
                // With the first watermark: what a proxy says that it holds is not believed for long.
                unproved: PROOF - 1,
                last_sent: Instant::now(),
            };
            stream.serve().await
        }
        Err(status) => Some(status),
    };
    if let Some(status) = ended {
        // The proxy has this long to read why. One that reads nothing would not see the stream end either: its connection does.
        let told = out.send_timeout(Err(status), Duration::from_secs(1)).await;
        if let (Err(SendTimeoutError::Timeout(_)), Some(hang_up)) = (told, hang_up) {
            hang_up.cancel();
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("the controller stops; connect again")
}

async fn open(
    context: &Context,
    peer: Option<PeerInfo>,
    inbound: &mut Streaming<ClientMessage>,
) -> Result<Place, Status> {
    // Before anything is read of it: what a Hello makes us hold is bounded by identity.
    let identity = peer.as_ref().and_then(|peer| peer.spiffe_id.as_ref());
    let identity = identity.ok_or_else(|| Status::permission_denied(Denied::Anonymous.to_string()))?;
    let turn = tokio::time::timeout(HELLO_DEADLINE, context.registry.openings().turn(identity)).await;
    let _turn = turn.map_err(|_| {
        context.counters.refused.inc();
        context.counters.openings.inc();
        Status::resource_exhausted("too many streams of this identity are being opened; connect again")
    })?;
    let first = tokio::time::timeout(HELLO_DEADLINE, inbound.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no Hello within 10 s"))??;
    let Some(client_message::Message::Hello(hello)) = first.and_then(|message| message.message) else {
        return Err(Status::invalid_argument("the first message on a stream is Hello"));
    };
    let proxy = admit(context, peer, &hello)?;
    tracing::debug!(namespace = %proxy.namespace, workload = %proxy.workload, instance = %proxy.instance, "proxy connected");
    let session = Session::new(proxy, hello).map_err(|refused| refuse(context, &refused))?;
    context.registry.enter(session, context.clock.now_ms()).map_err(|full| {
        let counters = &context.counters;
        counters.refused.inc();
        match full {
            Full::All => {}
            Full::Workload => {
                counters.share.inc();
            }
            Full::Often(_) => {
                counters.often.inc();
            }
        }
        Status::resource_exhausted(full.to_string())
    })
}

fn admit(context: &Context, peer: Option<PeerInfo>, hello: &Hello) -> Result<Proxy, Status> {
    let id = hello.proxy.clone().ok_or_else(|| Status::invalid_argument("Hello without `proxy`"))?;
    let peer = peer.and_then(|peer| peer.spiffe_id);
    let spiffe_id =
        context.access.workload(peer.as_ref(), &id.namespace, &id.workload).map_err(|denied| {
            context.counters.refused.inc();
            tracing::warn!(%denied, "a configuration stream was refused");
            match denied {
                Denied::Unknown(_) => Status::unavailable(denied.to_string()),
                Denied::Anonymous | Denied::Other { .. } => Status::permission_denied(denied.to_string()),
            }
        })?;
    let cut = |text: &str| text.chars().take(128).collect::<String>();
    let (instance, version) = (cut(&id.instance), cut(&hello.proxy_version));
    Ok(Proxy { namespace: id.namespace, workload: id.workload, instance, version, spiffe_id })
}

fn refuse(context: &Context, refused: &Refused) -> Status {
    context.counters.refused.inc();
    match refused {
        Refused::Destinations(_)
        | Refused::Sought(_)
        | Refused::Held(_)
        | Refused::Resync
        | Refused::IdleAcks => Status::resource_exhausted(refused.to_string()),
        Refused::SecondHello => Status::invalid_argument(refused.to_string()),
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Why a proxy may not have been told all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Behind {
    /// It was.
    No,
    /// Something is different that concerns it.
    Woken,
    /// It has asked for something.
    Asked,
}

struct Stream {
    context: Context,
    place: Place,
    inbound: Streaming<ClientMessage>,
    out: mpsc::Sender<Answer>,
    /// The proxy may not have been told all.
    behind: Behind,
    /// Watermarks since all that it uses was compared.
    unchecked: u32,
    /// Watermarks since it was last said what the proxy should hold.
    unproved: u32,
    last_sent: Instant,
    hearing: Hearing,
    began: Instant,
    /// It has said much: the next message waits where it comes from.
    deaf_until: Option<Instant>,
}

impl Stream {
    /// Why it ended, unless the proxy ended it.
    async fn serve(&mut self) -> Option<Status> {
        let token = self.context.token.clone();
        let out = self.out.clone();
        let mut tick = tokio::time::interval(WATERMARK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let mut watermark = false;
        let mut in_a_row = 0;
        loop {
            let has_to_say = self.behind != Behind::No || watermark;
            // One that asks and asks and does not read waits for its own answers, and is given up like any that does not read. Every arm may be dropped at its await: a message or a change that was not taken is there the next time.
            tokio::select! {
                biased;
                () = token.cancelled() => return Some(stopping()),
                () = until(self.deaf_until), if self.deaf_until.is_some() => self.deaf_until = None,
                message = self.inbound.message(),
                    if self.deaf_until.is_none() && (!has_to_say || in_a_row < IN_A_ROW) => match message {
                    Ok(Some(message)) => {
                        in_a_row += 1;
                        if let Err(refused) = self.hear(message) {
                            return Some(refuse(&self.context, &refused));
                        }
                    }
                    Ok(None) => return None,
                    Err(status) => return self.unread(&status),
                },
                permit = out.reserve(), if has_to_say => match permit {
                    Ok(permit) => {
                        in_a_row = 0;
                        if let Some(message) = self.say(watermark) {
                            permit.send(Ok(Box::new(message)));
                        }
                        watermark = false;
                    }
                    Err(_) => return None,
                },
                // After what may be said: news that come without end would put it off for ever.
                () = self.place.woken() => self.behind = self.behind.max(Behind::Woken),
                _ = tick.tick() => {
                    in_a_row = 0;
                    watermark = true;
                    if has_to_say && self.last_sent.elapsed() > STALLED {
                        self.context.counters.stalled.inc();
                        return Some(Status::deadline_exceeded("nothing was read for 30 s"));
                    }
                }
            }
        }
    }

    /// What came cannot be read. Of a connection that is gone nobody is told.
    fn unread(&self, status: &Status) -> Option<Status> {
        if status.code() != Code::OutOfRange {
            return None;
        }
        self.context.counters.refused.inc();
        self.context.counters.large.inc();
        Some(Status::resource_exhausted("a message is larger than 4 MiB, more is not read"))
    }

    fn hear(&mut self, message: ClientMessage) -> Result<(), Refused> {
        let now = self.began.elapsed();
        if let Err(wait) = self.hearing.heard(now) {
            self.deaf_until = Some(Instant::now() + wait);
            self.context.counters.throttled.inc();
        }
        match message.message {
            Some(client_message::Message::Hello(_)) => return Err(Refused::SecondHello),
            Some(client_message::Message::Subscribe(subscribe)) => {
                self.count_doubts(&subscribe);
                let at = self.place.age();
                self.place.session(|session| session.subscribe(subscribe, at))?;
                self.behind = Behind::Asked;
            }
            Some(client_message::Message::Ack(ack)) => {
                let (rejected, confirmed) = self.place.session(|session| {
                    let waiting = session.waiting();
                    (session.ack(ack), session.waiting() != waiting)
                });
                if !confirmed && !self.hearing.idle_ack(now) {
                    self.context.counters.idle_acks.inc();
                    return Err(Refused::IdleAcks);
                }
                if rejected > 0 {
                    self.context.counters.rejects.inc_by(rejected as u64);
                    self.log_rejects();
                }
            }
            // From a proxy of tomorrow.
            None => {}
        }
        Ok(())
    }

    /// A proxy that does not hold what it was told, or reaches nobody where it was told to, is worth knowing of.
    fn count_doubts(&mut self, subscribe: &Subscribe) {
        let counters = &self.context.counters;
        if subscribe.holding.is_some() {
            counters.resyncs.inc();
            // Whether that has helped is said with the next watermark.
            self.unproved = PROOF;
            let proxy = self.place.session(|session| session.proxy().clone());
            tracing::warn!(
                proxy = %format!("{}/{}", proxy.namespace, proxy.workload),
                "a proxy does not hold what it was told; what is missing or different is sent again"
            );
        }
        counters.asked_again.inc_by(subscribe.again.len() as u64);
    }

    fn log_rejects(&self) {
        let (proxy, rejects) = self.place.session(|session| (session.proxy().clone(), session.rejects()));
        let told = rejects.len().min(LOGGED);
        if rejects.len() > told {
            tracing::warn!(proxy = %proxy.workload, rejects = rejects.len(), told, "a proxy cannot use many resources");
        }
        for reject in rejects.into_iter().take(told) {
            tracing::warn!(
                proxy = %format!("{}/{}", proxy.namespace, proxy.workload),
                resource = %reject.resource, field = %reject.field, reason = %reject.reason,
                "a proxy cannot use a resource; its last good form stays in force there"
            );
        }
    }

    /// What was said to concern a stream is looked at and nothing else, and one that nothing was said to concern is told how far it is.
    /// Now and then all that it uses is compared all the same, and what is found then was missed.
    fn say(&mut self, watermark: bool) -> Option<Outgoing> {
        let behind = std::mem::replace(&mut self.behind, Behind::No);
        self.last_sent = Instant::now();
        let unseen = match (behind, self.place.looks()) {
            (Behind::Asked, _) => Unseen::Anything,
            (Behind::No | Behind::Woken, unseen) => unseen,
        };
        let snapshot = Arc::clone(&self.context.snapshots.borrow_and_update());
        // A proxy measures by it how old its knowledge is, so it must not seem newer than the controller's.
        let now = Now {
            as_of_ms: self.context.freshness.as_of(self.context.clock.now_ms()),
            stream: self.place.age(),
        };
        self.unchecked += u32::from(watermark);
        let checks = self.unchecked >= CHECK;
        if checks || unseen == Unseen::Anything {
            self.unchecked = 0;
        }
        let (mut update, interest) = self.place.session(|session| {
            let update = match &unseen {
                Unseen::Anything => session.next_update(&snapshot, now),
                _ if checks => session.next_update(&snapshot, now),
                Unseen::Endpoints(services) => session.next_of(services, &snapshot, now),
                Unseen::Nothing => None,
            };
            let interest = session.interest();
            (update.or_else(|| watermark.then(|| session.watermark(&snapshot, now))), interest)
        });
        if let Some(message) = &mut update {
            message.watermark_mut().lost = lost(&self.context.freshness);
            // Whatever else is said: a stream with news all the time is proved too.
            self.unproved += u32::from(watermark);
            if self.unproved >= PROOF {
                self.unproved = 0;
                let proof = self.place.session(|session| session.checksum());
                (message.watermark_mut().checksum, message.watermark_mut().resources) =
                    (proof.sum, proof.resources);
            }
        }
        if let Some(interest) = interest {
            self.place.concerned_by(interest, snapshot.revision);
        }
        self.count(update.as_ref(), &unseen, snapshot.revision);
        update
    }

    fn count(&self, update: Option<&Outgoing>, unseen: &Unseen, revision: u64) {
        let counters = &self.context.counters;
        let Some(Outgoing::Update { resources, .. }) = update else { return };
        counters.pushes.inc();
        counters.resources_sent.inc_by(resources.len() as u64);
        if update.is_some_and(|update| update.is_beyond(unseen)) {
            counters.missed.inc();
            tracing::warn!(revision, "a stream was behind that no change was said to concern");
        }
    }
}

/// What is not followed at the moment.
fn lost(freshness: &Freshness) -> Vec<Lost> {
    let for_ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let lost = freshness.now_lost().into_iter();
    lost.map(|(matter, age)| Lost { kind: to_wire(matter).into(), for_ms: for_ms(age) }).collect()
}
