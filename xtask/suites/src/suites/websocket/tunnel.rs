//! A client's end of a WebSocket connection, whichever HTTP carries it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use h2::ext::Protocol;
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::{ACCEPT, KEY};

pub(super) const HOST: &str = "socket.suites";
const ANSWER: Duration = Duration::from_secs(20);
const ANNOUNCED: Duration = Duration::from_secs(3);

/// What the client speaks to its sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// GET with Upgrade (RFC 6455).
    Http1,
    /// Extended CONNECT (RFC 8441).
    Http2,
}

impl Carrier {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) enum Tunnel {
    Http1 { stream: TcpStream, first: Vec<u8> },
    Http2 { send: h2::SendStream<Bytes>, receive: h2::RecvStream, tasks: Tasks },
}

impl Tunnel {
    pub(super) async fn open(at: SocketAddr, carrier: Carrier, path: &str) -> Result<Self> {
        let opening = async {
            match carrier {
                Carrier::Http1 => Self::upgrade(at, path).await,
                Carrier::Http2 => Box::pin(Self::connect(at, path)).await,
            }
        };
        tokio::time::timeout(ANSWER, opening).await.context("no answer to the handshake")?
    }

    async fn upgrade(at: SocketAddr, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request(path, "").as_bytes()).await?;
        let (head, first) = head(&mut stream).await?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "the handshake was answered {}", status_line(&head));
        ensure!(head.contains(ACCEPT), "the answer has another sec-websocket-accept: {head}");
        Ok(Self::Http1 { stream, first })
    }

    async fn connect(at: SocketAddr, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let (client, connection) =
            h2::client::Builder::new().initial_window_size(1 << 20).handshake::<_, Bytes>(stream).await?;
        let tasks = Tasks::new();
        tasks.spawn_local("h2 connection", async move {
            // Its end is seen by the streams.
            let _ = connection.await;
        });
        let mut client = client.ready().await?;
        let begin = tokio::time::Instant::now();
        while !client.is_extended_connect_protocol_enabled() {
            ensure!(
                begin.elapsed() < ANNOUNCED,
                "SETTINGS_ENABLE_CONNECT_PROTOCOL is not announced (RFC 8441 section 3)"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut request = http::Request::builder()
            .method(http::Method::CONNECT)
            .uri(format!("http://{HOST}{path}"))
            .header("sec-websocket-version", "13")
            .body(())?;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let (response, send) = client.send_request(request, false)?;
        let response = response.await?;
        ensure!(response.status() == 200, "extended CONNECT was answered {}", response.status());
        Ok(Self::Http2 { send, receive: response.into_body(), tasks })
    }

    /// Sends `bytes` in pieces, and takes what comes until the other side ends, or until `enough` bytes came: then this side ends.
    pub(super) async fn exchange(self, bytes: &[u8], piece: usize, enough: usize) -> Result<Vec<u8>> {
        match self {
            Self::Http1 { stream, first } => plain(stream, first, (bytes, piece), enough).await,
            Self::Http2 { send, receive, tasks } => {
                let (sent, got) = tokio::join!(sent(send, bytes, piece), received(receive, enough));
                drop(sent);
                tasks.shutdown(Duration::ZERO).await;
                got
            }
        }
    }
}

async fn plain(
    stream: TcpStream,
    first: Vec<u8>,
    (bytes, piece): (&[u8], usize),
    enough: usize,
) -> Result<Vec<u8>> {
    let (mut from, mut to) = stream.into_split();
    let send = async {
        for part in bytes.chunks(piece.max(1)) {
            // A server that saw enough closes; its last words count, not our rest.
            if to.write_all(part).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        to
    };
    let receive = async {
        let mut got = first;
        while got.len() < enough {
            got.reserve(64 * 1024);
            match from.read_buf(&mut got).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => bail!("reset after {} bytes: {error}", got.len()),
            }
        }
        Ok(got)
    };
    let (to, got) = tokio::join!(send, receive);
    drop(to);
    got
}

/// The stream stays open: its end is the client's to say.
async fn sent(mut send: h2::SendStream<Bytes>, bytes: &[u8], piece: usize) -> h2::SendStream<Bytes> {
    for part in bytes.chunks(piece.max(1)) {
        let mut rest = part;
        while !rest.is_empty() {
            send.reserve_capacity(rest.len());
            let Some(Ok(room)) = std::future::poll_fn(|cx| send.poll_capacity(cx)).await else { return send };
            let (now, later) = rest.split_at(room.min(rest.len()));
            if send.send_data(Bytes::copy_from_slice(now), false).is_err() {
                return send;
            }
            rest = later;
        }
        tokio::task::yield_now().await;
    }
    send
}

async fn received(mut receive: h2::RecvStream, enough: usize) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    while got.len() < enough {
        let Some(part) = receive.data().await else { break };
        let part = part.with_context(|| format!("after {} bytes", got.len()))?;
        receive.flow_control().release_capacity(part.len())?;
        got.extend(part);
    }
    Ok(got)
}

/// A handshake of HTTP/1 with more fields.
pub(super) fn request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: {HOST}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
        sec-websocket-key: {KEY}\r\nsec-websocket-version: 13\r\n{more}\r\n"
    )
}

/// The head of an answer, and what came behind it.
pub(super) async fn head(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut buffer = Vec::new();
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&buffer).into_owned(), rest));
        }
        ensure!(buffer.len() < 64 * 1024, "the head of the answer does not end");
        ensure!(stream.read_buf(&mut buffer).await? != 0, "closed before the answer");
    }
}

pub(super) fn status_line(head: &str) -> &str {
    head.lines().next().unwrap_or_default()
}
