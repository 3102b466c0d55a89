//! The load: clients of each kind that ask again and again, and count what they get.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bystander::plain;
use crate::suites::socket_echo;
use crate::way::Stream;

const ANSWER: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// For connections that are made anew each time.
const LONG_PAUSE: Duration = Duration::from_millis(100);
const HOST: &str = "web.suites";
/// Distinct errors that are kept; more are counted as one.
const TEXTS: usize = 50;

/// Where the client's sidecar takes each kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    pub(crate) h1: SocketAddr,
    pub(crate) h2: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) socket: SocketAddr,
    pub(crate) bytes: SocketAddr,
}

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Http1,
    Http2,
    Grpc,
    WebSocket,
    Tcp,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Http1, Self::Http2, Self::Grpc, Self::WebSocket, Self::Tcp];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
            Self::Grpc => "grpc",
            Self::WebSocket => "websocket",
            Self::Tcp => "tcp",
        }
    }

    fn clients(self) -> usize {
        match self {
            Self::Http1 => 8,
            Self::Http2 | Self::Grpc => 4,
            Self::WebSocket | Self::Tcp => 2,
        }
    }
}

/// What was answered, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    answered: RefCell<BTreeMap<Kind, (u64, u64)>>,
    errors: RefCell<BTreeMap<String, u64>>,
}

impl Counts {
    fn count(&self, kind: Kind, result: Result<()>) {
        let mut answered = self.answered.borrow_mut();
        let (fine, failed) = answered.entry(kind).or_default();
        match result {
            Ok(()) => *fine += 1,
            Err(error) => {
                *failed += 1;
                let mut errors = self.errors.borrow_mut();
                let text = format!("{} {error:#}", kind.name());
                let text = if errors.len() < TEXTS || errors.contains_key(&text) {
                    text
                } else {
                    "others".to_owned()
                };
                *errors.entry(text).or_default() += 1;
            }
        }
    }

    /// Answered and failed.
    pub(crate) fn of(&self, kind: Kind) -> (u64, u64) {
        self.answered.borrow().get(&kind).copied().unwrap_or_default()
    }

    pub(crate) fn errors(&self) -> Vec<(String, u64)> {
        self.errors.borrow().iter().map(|(text, count)| (text.clone(), *count)).collect()
    }

    pub(crate) fn shown(&self) -> String {
        let texts: Vec<String> =
            Kind::ALL.iter().map(|kind| format!("{} {}", kind.name(), self.of(*kind).0)).collect();
        let failed: u64 = Kind::ALL.iter().map(|kind| self.of(*kind).1).sum();
        format!("{}, {failed} failed", texts.join(", "))
    }
}

/// Starts all clients on `tasks`; they end when it is asked to.
pub(crate) fn start(ways: &Ways, counts: &Rc<Counts>, tasks: &Tasks) {
    for kind in Kind::ALL {
        for number in 0..kind.clients() {
            let (ways, counts, own) = (*ways, Rc::clone(counts), tasks.clone());
            tasks.spawn_local("load", async move {
                let mut client = Client { ways, kind, number, asked: 0, stream: None, sender: None, own };
                let stop = client.own.token();
                while !stop.is_cancelled() {
                    let result = match tokio::time::timeout(ANSWER, Box::pin(client.ask())).await {
                        Ok(result) => result,
                        Err(_) => Err(anyhow::anyhow!("no answer within {} s", ANSWER.as_secs())),
                    };
                    if result.is_err() {
                        (client.stream, client.sender) = (None, None);
                    }
                    counts.count(kind, result);
                    let is_new_each_time = matches!(kind, Kind::WebSocket | Kind::Tcp);
                    tokio::time::sleep(if is_new_each_time { LONG_PAUSE } else { PAUSE }).await;
                }
            });
        }
    }
}

/// Whether every kind is answered once.
pub(crate) async fn answers(ways: &Ways) -> bool {
    for kind in Kind::ALL {
        let mut client =
            Client { ways: *ways, kind, number: 0, asked: 0, stream: None, sender: None, own: Tasks::new() };
        if Box::pin(client.ask()).await.is_err() {
            return false;
        }
    }
    true
}

/// Whether a connection that is made anew gets through.
pub(crate) async fn opens(ways: &Ways) -> bool {
    bytes(ways.bytes, b"anew").await.is_ok()
}

struct Client {
    ways: Ways,
    kind: Kind,
    number: usize,
    asked: u64,
    stream: Option<Stream>,
    sender: Option<h2::client::SendRequest<Bytes>>,
    own: Tasks,
}

impl Client {
    async fn ask(&mut self) -> Result<()> {
        self.asked += 1;
        let tag = format!("{}-{}-{}", self.kind.name(), self.number, self.asked);
        match self.kind {
            Kind::Http1 => self.http1(&tag).await,
            Kind::Http2 => self.http2(self.ways.h2, &tag).await,
            Kind::Grpc => self.http2(self.ways.grpc, &tag).await,
            Kind::WebSocket => socket_echo(self.ways.socket, tag.as_bytes()).await,
            Kind::Tcp => bytes(self.ways.bytes, tag.as_bytes()).await,
        }
    }

    async fn http1(&mut self, tag: &str) -> Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.ways.h1).await.context("connect")?;
            stream.set_nodelay(true)?;
            self.stream = Some(Box::new(stream));
        }
        let stream = self.stream.as_mut().context("a stream")?;
        plain(stream, HOST, tag).await.map_err(|why| anyhow::anyhow!(why.replace(tag, "TAG")))
    }

    async fn http2(&mut self, at: SocketAddr, tag: &str) -> Result<()> {
        if self.sender.is_none() {
            let stream = TcpStream::connect(at).await.context("connect")?;
            stream.set_nodelay(true)?;
            let (sender, connection) = h2::client::handshake(stream).await?;
            self.own.spawn_local("h2 connection", async move {
                // Its end is seen by the requests.
                let _ = connection.await;
            });
            self.sender = Some(sender);
        }
        let is_grpc = self.kind == Kind::Grpc;
        let mut sender = self.sender.clone().context("a sender")?.ready().await?;
        let request = http::Request::builder()
            .method(if is_grpc { "POST" } else { "GET" })
            .uri(format!("http://{HOST}/soak.Echo/Say"))
            .header("x-tag", tag)
            .header("content-type", if is_grpc { "application/grpc" } else { "text/plain" })
            .header("te", "trailers");
        let (response, mut send) = sender.send_request(request.body(())?, !is_grpc)?;
        if is_grpc {
            send.send_data(Bytes::from_static(&[0, 0, 0, 0, 0]), true)?;
        }
        let response = response.await?;
        ensure!(response.status() == 200, "{}", response.status());
        let mut body = response.into_body();
        let mut got = Vec::new();
        while let Some(part) = body.data().await {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            got.extend(part);
        }
        ensure!(got == tag.as_bytes(), "another body than the one asked for");
        if is_grpc {
            let trailers = body.trailers().await?.context("no trailers")?;
            ensure!(trailers.get("grpc-status").is_some_and(|status| status == "0"), "{trailers:?}");
        }
        Ok(())
    }
}

async fn bytes(at: SocketAddr, tag: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(at).await.context("connect")?;
    stream.write_all(tag).await?;
    stream.shutdown().await?;
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await?;
    ensure!(got == tag, "{} of {} bytes came back", got.len(), tag.len());
    Ok(())
}
