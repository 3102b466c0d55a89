//! What is done to the controller. Each attack ends when its offender was refused or ended, or fails when that does not come.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use mesh_identity::{ExpectedServer, Identity, channel, well_known};
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::config::v1::config_service_client::ConfigServiceClient;
use mesh_proto::config::v1::{
    Ack, ClientMessage, Reject, ServerMessage, Subscribe, client_message, server_message,
};
use rustls_pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::watcher::{destination, hello};
use crate::mesh::Mesh;

/// For an offender to be ended: the longest bound is thirty seconds without reading.
const PATIENCE: Duration = Duration::from_mins(1);
const CONNECTIONS: usize = 1_000;
/// How often a proxy that rejects everything comes back.
const COMES: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unauthenticated,
    Subscriptions,
    Acks,
    Nacks,
    NeverReads,
    Large,
}

pub(super) struct Attack {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    pub(super) sent: &'static str,
    pub(super) expected: &'static str,
}

const fn attack(kind: Kind, name: &'static str, sent: &'static str, expected: &'static str) -> Attack {
    Attack { kind, name, sent, expected }
}

pub(super) const ATTACKS: &[Attack] = &[
    attack(Kind::Unauthenticated, "unauthenticated", "1,000 connections that say nothing", "all are closed"),
    attack(Kind::Subscriptions, "subscriptions", "10,000 destinations", "RESOURCE_EXHAUSTED"),
    attack(Kind::Acks, "acks", "acks of nothing without end", "RESOURCE_EXHAUSTED"),
    attack(Kind::Nacks, "nacks", "a proxy that rejects all, leaves and comes back at once", "told to wait"),
    attack(Kind::NeverReads, "never-reads", "a stream whose window never opens", "the stream is ended"),
    attack(Kind::Large, "large", "a message of 5 MB", "the stream is ended"),
];

/// The controller, and who attacks it.
pub(super) struct Target<'a> {
    mesh: &'a Mesh,
    tasks: &'a Tasks,
}

struct Stream {
    out: mpsc::Sender<ClientMessage>,
    inbound: Streaming<ServerMessage>,
}

impl<'a> Target<'a> {
    pub(super) fn new(mesh: &'a Mesh, tasks: &'a Tasks) -> Self {
        Self { mesh, tasks }
    }

    /// What came of it.
    pub(super) async fn make(&self, kind: Kind) -> Result<String> {
        let attacked = async {
            match kind {
                Kind::Unauthenticated => self.unauthenticated().await,
                Kind::Subscriptions => self.subscriptions().await,
                Kind::Acks => self.acks().await,
                Kind::Nacks => self.nacks().await,
                Kind::NeverReads => self.never_reads().await,
                Kind::Large => self.large().await,
            }
        };
        match tokio::time::timeout(PATIENCE, attacked).await {
            Ok(came) => came,
            Err(_) => bail!("it went on for {} s", PATIENCE.as_secs()),
        }
    }

    async fn unauthenticated(&self) -> Result<String> {
        let mut all = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            all.push(TcpStream::connect(self.mesh.controller()).await.context("connect")?);
        }
        for stream in &mut all {
            // An end or a reset: both are one.
            let mut byte = [0; 1];
            if let Ok(count) = stream.read(&mut byte).await {
                ensure!(count == 0, "it was answered");
            }
        }
        Ok(format!("{} connections were closed", all.len()))
    }

    async fn subscriptions(&self) -> Result<String> {
        let mut stream = self.open(&self.member("greedy").await?, "greedy").await?;
        let add = (0..10_000).map(|number| destination(&format!("s{number}"))).collect();
        stream
            .say(client_message::Message::Subscribe(Subscribe { add, sequence: 2, ..Subscribe::default() }))
            .await;
        stream.ended(Code::ResourceExhausted).await
    }

    async fn acks(&self) -> Result<String> {
        let mut stream = self.open(&self.member("babbling").await?, "babbling").await?;
        let nonce = stream.update().await.context("the first update")?.0;
        let out = stream.out.clone();
        let (ended, ()) = tokio::join!(stream.ended(Code::ResourceExhausted), async {
            let ack = || client_message::Message::Ack(Ack { nonce, ..Ack::default() });
            while out.send(ClientMessage { message: Some(ack()) }).await.is_ok() {}
        });
        ended
    }

    async fn nacks(&self) -> Result<String> {
        let identity = self.member("rejecting").await?;
        let (mut served, mut refused) = (0, 0);
        for _ in 0..COMES {
            let mut stream = self.open(&identity, "rejecting").await?;
            match stream.update().await {
                Ok((nonce, resources)) => {
                    served += 1;
                    let reject =
                        |resource| Reject { resource, field: "x".repeat(10_000), reason: "x".repeat(10_000) };
                    let rejects = resources.into_iter().map(reject).collect();
                    stream.say(client_message::Message::Ack(Ack { nonce, rejects, ..Ack::default() })).await;
                }
                Err(status) if status.code() == Code::ResourceExhausted => refused += 1,
                Err(status) => bail!("{status}"),
            }
        }
        ensure!(refused > 0, "it was served {served} times");
        Ok(format!("served {served} times, then told to wait {refused} times"))
    }

    /// By hand, since every client of gRPC opens its windows.
    async fn never_reads(&self) -> Result<String> {
        let identity = self.member("deaf").await?;
        let at = self.mesh.controller();
        let tcp = TcpStream::connect(at).await?;
        let tls = TlsConnector::from(identity.client_config(server(&identity), &[b"h2"]));
        let tls = tls.connect(ServerName::IpAddress(at.ip().into()), tcp).await.context("shake hands")?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(16);
        let (mut client, connection) = builder.handshake::<_, Bytes>(tls).await?;
        self.tasks.spawn_local("deaf connection", async move {
            connection.await.ok();
        });
        let request = http::Request::post(format!("http://{at}/mesh.config.v1.ConfigService/Stream"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let (response, mut sender) = client.send_request(request, false)?;
        let message = prost::Message::encode_to_vec(&hello("deaf", vec![]));
        let mut frame = vec![0];
        frame.extend_from_slice(&u32::try_from(message.len())?.to_be_bytes());
        frame.extend_from_slice(&message);
        sender.send_data(Bytes::from(frame), false)?;
        let mut body = response.await?.into_body();
        // What fits into the window comes, and nothing more; a reset, or the connection's end, is the end of it.
        while let Some(Ok(_)) = body.data().await {}
        let reset = std::future::poll_fn(|cx| sender.poll_reset(cx)).await;
        Ok(format!("ended: {reset:?}"))
    }

    async fn large(&self) -> Result<String> {
        let mut stream = self.open(&self.member("large").await?, "large").await?;
        let add = vec![destination(&"x".repeat(5 << 20))];
        stream
            .say(client_message::Message::Subscribe(Subscribe { add, sequence: 2, ..Subscribe::default() }))
            .await;
        loop {
            match stream.inbound.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok("ended".to_owned()),
                Err(status) => return Ok(format!("ended: {:?} {}", status.code(), status.message())),
            }
        }
    }

    async fn member(&self, account: &str) -> Result<Identity> {
        self.mesh.member(account, self.tasks).await
    }

    async fn open(&self, identity: &Identity, workload: &str) -> Result<Stream> {
        let channel = channel::connect(identity, self.mesh.controller(), server(identity));
        let (out, messages) = mpsc::channel(16);
        out.send(hello(workload, vec![destination("watched")])).await.context("say Hello")?;
        let inbound =
            ConfigServiceClient::new(channel).stream(ReceiverStream::new(messages)).await?.into_inner();
        Ok(Stream { out, inbound })
    }
}

fn server(identity: &Identity) -> ExpectedServer {
    ExpectedServer::Exactly(well_known::controller(identity.svid().spiffe_id.trust_domain()))
}

impl Stream {
    /// The other side may have ended it already.
    async fn say(&self, message: client_message::Message) {
        let _ = self.out.send(ClientMessage { message: Some(message) }).await;
    }

    /// The next update: its number and the names of its resources.
    async fn update(&mut self) -> Result<(u64, Vec<String>), Status> {
        loop {
            let message = self.inbound.message().await?.ok_or_else(|| Status::unknown("the stream ended"))?;
            if let Some(server_message::Message::Update(update)) = message.message {
                return Ok((update.nonce, update.resources.into_iter().map(|one| one.name).collect()));
            }
        }
    }

    async fn ended(&mut self, code: Code) -> Result<String> {
        loop {
            match self.inbound.message().await {
                Ok(Some(_)) => {}
                Ok(None) => bail!("it ended without a word"),
                Err(status) => {
                    ensure!(status.code() == code, "{status}");
                    return Ok(format!("{:?}: {}", status.code(), status.message()));
                }
            }
        }
    }
}
