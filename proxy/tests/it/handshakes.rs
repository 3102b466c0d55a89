//! Handshakes on the mesh port that are slow, in pieces, never finished, or with certificates that nobody may get in with.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mesh_identity::{ExpectedServer, Identity};
use mesh_model::settings::MtlsMode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";

/// Writes a byte at a time.
struct Drop(TcpStream);

impl AsyncRead for Drop {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Drop {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf.get(..1).unwrap_or(buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

async fn drops(address: SocketAddr) -> Drop {
    let stream = TcpStream::connect(address).await.unwrap();
    // Each byte in a segment of its own.
    stream.set_nodelay(true).unwrap();
    Drop(stream)
}

/// Asks as a sidecar of that identity does, in pieces; gives the answer.
async fn ask_as(identity: &Identity, mesh: &Mesh, address: SocketAddr) -> io::Result<Vec<u8>> {
    let expected = ExpectedServer::Exactly(mesh.ca.id("shop", "cart"));
    let connector = TlsConnector::from(identity.client_config(expected, &[b"amime/h1"]));
    let mut stream = soon(connector.connect(mesh_identity::server_name(), drops(address).await)).await?;
    stream.write_all(GET).await?;
    let mut got = vec![];
    soon(stream.read_to_end(&mut got)).await?;
    Ok(got)
}

/// The first flight of a client that asks for `name`, without the mesh's protocols.
fn foreign_hello(name: &str) -> Vec<u8> {
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = vec![];
    client.write_tls(&mut hello).unwrap();
    hello
}

// T27, T28
#[tokio::test]
async fn a_client_hello_in_pieces_is_what_it_is_whole_and_no_mode_takes_it_for_plaintext() {
    for mode in [MtlsMode::Strict, MtlsMode::Permissive, MtlsMode::Disabled] {
        let mut mesh = Mesh::new();
        mesh.settings.mtls_mode = mode;
        let app = says(&mesh.tasks, "hello").await;
        let server = mesh.server("cart", app);
        let answer = ask_as(&mesh.ca.identity("shop", "web"), &mesh, server.inbound()).await.unwrap();
        assert!(answer.ends_with(b"hello"), "{mode:?}");
        server.counts(&["mesh_requests_total", "inbound", "mtls", "200"], 1.0).await;
        server.counts(&["key_exchange_x25519mlkem768"], 1.0).await;
        server.counts(&["plaintext_accepted"], 0.0).await;
        // With an identity that is not good it is refused in every mode, and not let in as nobody.
        let expired = mesh.ca.expired_identity("shop", "web");
        assert!(ask_as(&expired, &mesh, server.inbound()).await.is_err(), "{mode:?}");
        server.counts(&["handshake_expired"], 1.0).await;
        server.counts(&["mesh_requests_total"], 1.0).await;
    }
}

// T28
#[tokio::test]
async fn the_applications_own_tls_in_pieces_passes_where_plaintext_may_and_is_refused_where_not() {
    let hello = foreign_hello("db.example");
    for (mode, passes) in [(MtlsMode::Strict, false), (MtlsMode::Permissive, true)] {
        let mut mesh = Mesh::new();
        mesh.settings.mtls_mode = mode;
        let app = peer(&mesh.tasks, |mut stream| async move {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        })
        .await;
        let server = mesh.server("cart", app);
        let mut stream = drops(server.inbound()).await;
        let mut got = vec![];
        // Who is refused may learn of it while writing.
        let _ = stream.write_all(&hello).await;
        let _ = stream.shutdown().await;
        let _ = soon(stream.read_to_end(&mut got)).await;
        assert_eq!(got, if passes { &hello[..] } else { b"" }, "{mode:?}");
        let event = if passes { "plaintext_accepted" } else { "plaintext_refused" };
        server.counts(&["mesh_events_total", event], 1.0).await;
    }
}

// T28
#[tokio::test]
async fn a_preface_of_http2_that_comes_in_pieces_is_http2() {
    let mut mesh = Mesh::new();
    mesh.settings.mtls_mode = MtlsMode::Permissive;
    let app = peer(&mesh.tasks, |stream| async move {
        let service = hyper::service::service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(Answer::new(http_body_util::Full::from("hello")))
        });
        let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
        let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
    })
    .await;
    let server = mesh.server("cart", app);
    let stream = hyper_util::rt::TokioIo::new(drops(server.inbound()).await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        soon(hyper::client::conn::http2::handshake(executor, stream)).await.unwrap();
    mesh.tasks.spawn("client", async move { drop(connection.await) });
    let request = hyper::Request::get("http://cart/").body(http_body_util::Full::<bytes::Bytes>::default());
    let answer = soon(sender.send_request(request.unwrap())).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, hyper::Version::HTTP_2));
    server.counts(&["mesh_requests_total", "inbound", "plaintext", "200"], 1.0).await;
}

// T27
#[tokio::test]
async fn handshakes_that_are_never_finished_are_closed_and_leave_room() {
    let mesh = Mesh::new();
    let app = says(&mesh.tasks, "hello").await;
    let server = mesh.server_with(mesh.ca.identity("shop", "cart"), "cart", app, |config| {
        config.timeouts.handshake = Duration::from_millis(200);
        config.timeouts.head = Duration::from_millis(200);
    });
    let hello = foreign_hello("db.example");
    let begun = [&b""[..], &hello[..3], &hello[..200]];
    let mut open = vec![];
    for at in 0..300 {
        let mut stream = TcpStream::connect(server.inbound()).await.unwrap();
        stream.write_all(begun[at % begun.len()]).await.unwrap();
        open.push(stream);
    }
    for mut stream in open {
        let mut got = vec![];
        // A reset is an end like another.
        let _ = soon(stream.read_to_end(&mut got)).await;
        assert_eq!(got, b"");
    }
    server.counts(&["mesh_connections_open", "inbound"], 0.0).await;
    let answer = ask_as(&mesh.ca.identity("shop", "web"), &mesh, server.inbound()).await.unwrap();
    assert!(answer.ends_with(b"hello"));
}
