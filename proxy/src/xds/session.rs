//! One stream of `mesh.config.v1`, from Hello to its end. It must not know when the next one begins.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use mesh_lifecycle::Backoff;
use mesh_model::matter::Matter;
use mesh_model::name::ServiceName;
use mesh_proto::config::v1::config_service_client::ConfigServiceClient;
use mesh_proto::config::v1::{
    Ack, ClientMessage, Destination, Hello, Holding, ServerMessage, Subscribe, Watermark, client_message,
    server_message,
};
use mesh_proto::held::{self, Checksum};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::age::Lateness;
use super::client::Client;
use super::keeper::at;

/// Messages to the controller that wait to be written.
const OUTBOUND_QUEUE: usize = 16;
/// For the controller to take the stream, and to take each message.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest message that is read: some 100,000 endpoints.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Number of the Hello among the subscriptions of a stream.
const HELLO: u64 = 1;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The controller, or the way to it, failed.
    #[error("{0}")]
    Failed(String),
    /// The controller closed it.
    #[error("the controller closed the stream")]
    Closed,
    /// It did not take the stream, or a message, in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
    /// Nothing came.
    #[error("nothing came for {} s", .0.as_secs())]
    Silence(Duration),
}

impl From<tonic::Status> for Ended {
    /// With all causes, since tonic's own text is `transport error`.
    fn from(status: tonic::Status) -> Self {
        let mut text = status.message().to_owned();
        let mut cause = status.source();
        while let Some(error) = cause {
            let error_text = error.to_string();
            if !text.ends_with(&error_text) {
                // Writing to a String cannot fail.
                let _ = write!(text, ": {error_text}");
            }
            cause = error.source();
        }
        Self::Failed(if text.is_empty() { status.code().to_string() } else { text })
    }
}

/// The way to the controller.
struct Outbound {
    messages: mpsc::Sender<ClientMessage>,
    /// Of the last Subscribe.
    sequence: u64,
    /// Of the last update.
    nonce: u64,
    opened: Instant,
    lateness: Lateness,
}

/// What the controller was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    More,
    /// What it had told before.
    Again,
}

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// There was none.
    None,
    /// With the controller, at that time of its stream.
    Agrees(u64),
    Differs,
}

impl Client {
    /// Opens a stream and follows it to its end.
    pub(super) async fn stream(&mut self, channel: Channel, backoff: &mut Backoff) -> Ended {
        match self.follow(channel, backoff).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn follow(
        &mut self,
        channel: Channel,
        backoff: &mut Backoff,
    ) -> Result<std::convert::Infallible, Ended> {
        let (messages, receiver) = mpsc::channel(OUTBOUND_QUEUE);
        let mut outbound = Outbound {
            messages,
            sequence: HELLO,
            nonce: 0,
            opened: Instant::now(),
            lateness: Lateness::default(),
        };
        outbound.send(client_message::Message::Hello(self.hello())).await?;
        let mut service = ConfigServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let opening = tokio::time::timeout(DEADLINE, service.stream(ReceiverStream::new(receiver)));
        let response = self.meanwhile(opening).await.map_err(|_| Ended::Deadline)??;
        let mut inbound: Streaming<ServerMessage> = response.into_inner();

        let silence = self.tuning.silence;
        let mut dead = std::pin::pin!(tokio::time::sleep(silence));
        let mut heard = Instant::now();
        let mut sweep = tokio::time::interval_at(Instant::now() + self.tuning.sweep, self.tuning.sweep);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.subscribe(&mut outbound).await? == Asked::Again {
                // A stream on which nothing comes though everything fails is not waited for as long as any other.
                let answer = Instant::now() + self.tuning.answer;
                if dead.deadline() > answer {
                    dead.as_mut().reset(answer);
                }
            }
            let save = at(self.next_save());
            // Every arm may be dropped: `message` and `recv` lose nothing, and the timers go on.
            tokio::select! {
                message = inbound.message() => {
                    let message = message?.ok_or(Ended::Closed)?;
                    self.here();
                    backoff.reset();
                    heard = Instant::now();
                    dead.as_mut().reset(heard + silence);
                    self.take(message, &mut outbound).await?;
                }
                Some(wish) = self.requests.recv() => {
                    self.wish(&wish);
                    while let Ok(wish) = self.requests.try_recv() {
                        self.wish(&wish);
                    }
                }
                _ = sweep.tick() => self.sweep(),
                () = save => self.save_if_due(),
                () = &mut dead => return Err(Ended::Silence(heard.elapsed())),
            }
        }
    }

    fn hello(&mut self) -> Hello {
        // A new stream knows nothing of the former one's subscriptions: all of them are in the Hello.
        self.unsubscribe.clear();
        self.unseek.clear();
        // And it is told what is held, which is compared.
        self.again.clear();
        self.store.restart();
        self.store.asked(HELLO);
        Hello {
            proxy: Some(self.config.node.clone()),
            held: self.store.holding(),
            destinations: self.store.destinations().map(wire).collect(),
            proxy_version: env!("CARGO_PKG_VERSION").to_owned(),
            sought: self.store.sought().map(ToString::to_string).collect(),
        }
    }

    /// Tells the controller what is wanted since the last Subscribe, and what no longer is.
    async fn subscribe(&mut self, outbound: &mut Outbound) -> Result<Asked, Ended> {
        let add: Vec<_> = self.store.not_asked().map(wire).collect();
        // What was given up and is wanted again stays subscribed.
        let unsubscribe = std::mem::take(&mut self.unsubscribe);
        let remove: Vec<_> =
            unsubscribe.iter().filter(|service| !self.store.is_wanted(service)).map(wire).collect();
        let add_sought: Vec<_> = self.store.sought_not_asked().map(ToString::to_string).collect();
        let unseek = std::mem::take(&mut self.unseek);
        let gone = unseek.iter().filter(|sought| !self.store.is_sought(sought));
        let remove_sought: Vec<_> = gone.map(ToString::to_string).collect();
        let again: Vec<_> = std::mem::take(&mut self.again).iter().map(wire).collect();
        if [add.len(), remove.len(), add_sought.len(), remove_sought.len(), again.len()] == [0; 5] {
            return Ok(Asked::Nothing);
        }
        let asked = if again.is_empty() { Asked::More } else { Asked::Again };
        outbound.sequence += 1;
        self.store.asked(outbound.sequence);
        let subscribe = Subscribe {
            add,
            remove,
            sequence: outbound.sequence,
            add_sought,
            remove_sought,
            again,
            ..Subscribe::default()
        };
        outbound.send(client_message::Message::Subscribe(subscribe)).await?;
        Ok(asked)
    }

    async fn take(&mut self, message: ServerMessage, outbound: &mut Outbound) -> Result<(), Ended> {
        match message.message {
            Some(server_message::Message::Update(update)) => {
                let (nonce, watermark) = (update.nonce, update.watermark.clone());
                let rejects = self.update(update).rejects;
                outbound.nonce = nonce;
                let proof = watermark.map_or(Proof::None, |watermark| self.heed(&watermark, outbound));
                let agreed_stream_ms = proof.agreed();
                outbound.send(client_message::Message::Ack(Ack { nonce, rejects, agreed_stream_ms })).await?;
                self.resync(proof, outbound).await
            }
            Some(server_message::Message::Watermark(watermark)) => {
                let proof = self.heed(&watermark, outbound);
                if let Proof::Agrees(agreed_stream_ms) = proof {
                    let ack = Ack { nonce: outbound.nonce, agreed_stream_ms, ..Ack::default() };
                    outbound.send(client_message::Message::Ack(ack)).await?;
                }
                self.resync(proof, outbound).await
            }
            // From a later version of the protocol.
            None => Ok(()),
        }
    }

    /// Notes how new everything is, and compares what is held with what the controller believes, if it says so.
    fn heed(&self, watermark: &Watermark, outbound: &mut Outbound) -> Proof {
        let late = match watermark.stream_ms {
            // An older one: only its wall clock tells.
            0 => self.status.since(watermark.sent_ms),
            sent => outbound.lateness.of(outbound.opened.elapsed(), Duration::from_millis(sent)),
        };
        let lost: Vec<(Matter, Duration)> = watermark
            .lost
            .iter()
            .filter_map(|lost| Some((held::from_wire(lost.kind())?, Duration::from_millis(lost.for_ms))))
            .collect();
        self.status.fresh(late, &lost);
        if watermark.resources == 0 {
            return Proof::None;
        }
        let told = Checksum { sum: watermark.checksum, resources: watermark.resources };
        let held = self.store.checksum();
        if held == told {
            return Proof::Agrees(watermark.stream_ms);
        }
        tracing::warn!(
            held = held.resources,
            told = told.resources,
            "what is held is not what the controller has told; it is told what that is, and sends what is missing or different"
        );
        self.status.resync();
        Proof::Differs
    }

    /// Says all that is held, where that is not what the controller believes. It answers with an update.
    async fn resync(&mut self, proof: Proof, outbound: &mut Outbound) -> Result<(), Ended> {
        if proof != Proof::Differs {
            return Ok(());
        }
        outbound.sequence += 1;
        let holding = Some(Holding { held: self.store.holding() });
        let subscribe = Subscribe { sequence: outbound.sequence, holding, ..Subscribe::default() };
        outbound.send(client_message::Message::Subscribe(subscribe)).await
    }
}

impl Proof {
    fn agreed(self) -> u64 {
        match self {
            Self::Agrees(stream_ms) => stream_ms,
            Self::None | Self::Differs => 0,
        }
    }
}

impl Outbound {
    async fn send(&self, message: client_message::Message) -> Result<(), Ended> {
        let message = ClientMessage { message: Some(message) };
        match tokio::time::timeout(DEADLINE, self.messages.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Closed),
            Err(_) => Err(Ended::Deadline),
        }
    }
}

fn wire(service: &ServiceName) -> Destination {
    Destination { namespace: service.0.namespace().to_owned(), name: service.0.name().to_owned() }
}
