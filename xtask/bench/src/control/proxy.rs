//! One simulated proxy: a stream of `mesh.config.v1` over mTLS that confirms every update. What comes is walked, not decoded, so that
//! thousands fit into one core; only the endpoints of a service that is being changed are read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::Request;
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::config::v1::{
    Ack, ClientMessage, Destination, Held, Hello, ProxyId, Subscribe, Watermark, client_message,
};
use prost::Message;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsConnector;

use super::crowd::Log;
use super::objects;

/// A connection with its handshake, in a herd.
const CONNECT: Duration = Duration::from_secs(30);
/// Largest message of the controller.
const MESSAGE: usize = 64 << 20;

/// Who a stream is and what it wants.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) stream: usize,
    pub(super) namespace: String,
    pub(super) workload: String,
    /// Namespaces and names of services.
    pub(super) services: Vec<(String, String)>,
}

/// How the controller is reached.
#[derive(Debug)]
pub(super) struct Way<'a> {
    pub(super) to: SocketAddr,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) tasks: &'a Tasks,
}

/// Names and versions of what a proxy holds; they outlive its streams.
pub(super) type Holding = Rc<RefCell<HashMap<String, String>>>;

/// As `ServerMessage`, without what is not looked at.
#[derive(Clone, PartialEq, Message)]
struct Walked {
    #[prost(message, optional, tag = "1")]
    update: Option<WalkedUpdate>,
    #[prost(message, optional, tag = "2")]
    watermark: Option<Watermark>,
}

#[derive(Clone, PartialEq, Message)]
struct WalkedUpdate {
    #[prost(uint64, tag = "1")]
    nonce: u64,
    #[prost(message, repeated, tag = "2")]
    resources: Vec<WalkedResource>,
    #[prost(string, repeated, tag = "3")]
    removed: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct WalkedResource {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(bytes = "bytes", optional, tag = "5")]
    endpoints: Option<Bytes>,
}

/// Connects, says Hello and confirms whatever comes, until it is dropped or the stream ends. `place` is given back with the first update.
pub(super) async fn run(
    wanted: &Wanted,
    way: Way<'_>,
    (holding, log): (&Holding, &Rc<Log>),
    place: OwnedSemaphorePermit,
) -> Result<()> {
    let to = way.to;
    let mut client = tokio::time::timeout(CONNECT, open(way)).await.context("connect within 30 s")??;
    let request = Request::post(format!("http://{to}/mesh.config.v1.ConfigService/Stream"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .context("make a request")?;
    let (response, mut sender) = client.send_request(request, false).context("ask for a stream")?;
    send(&mut sender, client_message::Message::Hello(hello(wanted, holding)))?;
    let response = response.await.context("answer to the stream")?;
    ensure!(response.status().is_success(), "the stream is answered by {}", response.status());
    let mut body = response.into_body();
    let mut reader = Reader { wanted, holding, log, sender, buffer: BytesMut::new(), place: Some(place) };
    reader.all(&mut body).await
}

async fn open(Way { to, tls, tasks }: Way<'_>) -> Result<SendRequest<Bytes>> {
    let tcp = TcpStream::connect(to).await.context("connect")?;
    tcp.set_nodelay(true).context("send at once")?;
    let name = ServerName::IpAddress(to.ip().into());
    let tls = TlsConnector::from(tls).connect(name, tcp).await.context("shake hands")?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 20);
    let (client, connection) = builder.handshake::<_, Bytes>(tls).await.context("speak HTTP/2")?;
    // It ends when the client is dropped, or with the connection.
    tasks.spawn_local("connection", async move {
        connection.await.ok();
    });
    Ok(client)
}

fn hello(wanted: &Wanted, holding: &Holding) -> Hello {
    let holding = holding.borrow();
    let held = holding.iter();
    Hello {
        proxy: Some(ProxyId {
            namespace: wanted.namespace.clone(),
            workload: wanted.workload.clone(),
            instance: "bench".to_owned(),
        }),
        held: held.map(|(name, version)| Held { name: name.clone(), version: version.clone() }).collect(),
        destinations: wanted.services.iter().map(destination).collect(),
        proxy_version: "bench".to_owned(),
        sought: Vec::new(),
    }
}

fn destination((namespace, name): &(String, String)) -> Destination {
    Destination { namespace: namespace.clone(), name: name.clone() }
}

fn send(sender: &mut SendStream<Bytes>, message: client_message::Message) -> Result<()> {
    let message = ClientMessage { message: Some(message) };
    let mut frame = Vec::with_capacity(message.encoded_len() + 5);
    frame.push(0);
    frame.extend_from_slice(&u32::try_from(message.encoded_len())?.to_be_bytes());
    message.encode(&mut frame)?;
    sender.send_data(Bytes::from(frame), false).context("send a message")
}

struct Reader<'a> {
    wanted: &'a Wanted,
    holding: &'a Holding,
    log: &'a Rc<Log>,
    sender: SendStream<Bytes>,
    buffer: BytesMut,
    /// Until its first update has come.
    place: Option<OwnedSemaphorePermit>,
}

impl Reader<'_> {
    async fn all(&mut self, body: &mut RecvStream) -> Result<()> {
        let mut more = self.log.more();
        loop {
            tokio::select! {
                chunk = body.data() => {
                    let Some(chunk) = chunk else { break };
                    let chunk = chunk.context("read the stream")?;
                    body.flow_control().release_capacity(chunk.len()).context("release capacity")?;
                    self.log.bytes(chunk.len());
                    self.buffer.extend_from_slice(&chunk);
                    while let Some(message) = self.message()? {
                        self.hear(&message)?;
                    }
                }
                changed = more.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let services: Vec<Destination> = more.borrow_and_update().iter().map(destination).collect();
                    let subscribe = Subscribe { add: services, ..Subscribe::default() };
                    send(&mut self.sender, client_message::Message::Subscribe(subscribe))?;
                }
            }
        }
        let trailers = body.trailers().await.context("read the end")?;
        bail!("the controller ended the stream: {trailers:?}")
    }

    /// A whole message, if there is one.
    fn message(&mut self) -> Result<Option<Bytes>> {
        let Some(head) = self.buffer.get(1..5) else { return Ok(None) };
        let length = head.iter().fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
        ensure!(length <= MESSAGE, "a message of {length} bytes");
        if self.buffer.len() < 5 + length {
            return Ok(None);
        }
        self.buffer.advance(5);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    fn hear(&mut self, message: &Bytes) -> Result<()> {
        let Some(update) = Walked::decode(message.clone()).context("read a message")?.update else {
            return Ok(());
        };
        let now = Instant::now();
        send(&mut self.sender, client_message::Message::Ack(Ack { nonce: update.nonce, ..Ack::default() }))?;
        self.log.update(message.len(), update.resources.len());
        for resource in update.resources {
            if self.log.watches() {
                self.look(&resource, now);
            }
            self.holding.borrow_mut().insert(resource.name, resource.version);
        }
        for name in update.removed {
            self.holding.borrow_mut().remove(&name);
        }
        if self.place.take().is_some() {
            self.log.full(self.wanted.stream, now);
        }
        Ok(())
    }

    /// Whether it carries the mark of a change.
    fn look(&self, resource: &WalkedResource, now: Instant) {
        let endpoints = resource.endpoints.as_deref().unwrap_or_default();
        objects::marks(endpoints).for_each(|number| self.log.marked(number, now));
    }
}
