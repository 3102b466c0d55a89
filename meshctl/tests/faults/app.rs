//! Applications that misbehave in the way that the path of a request asks for, spoken by hand so that they can. They must not know the mesh.

use std::net::SocketAddr;

use mesh_lifecycle::tasks::Tasks;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Listens on that port of 127.0.0.1 until the token says no longer.
pub(crate) async fn listen(tasks: &Tasks, port: u16, until: CancellationToken) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let owner = tasks.clone();
    tasks.spawn("application", async move {
        loop {
            let accepted = tokio::select! {
                () = until.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else { return };
            let until = until.clone();
            owner.spawn("application's connection", async move {
                tokio::select! {
                    () = until.cancelled() => {}
                    () = serve(stream) => {}
                }
            });
        }
    });
    port
}

/// HTTP/1.1, one request after the other.
async fn serve(mut stream: TcpStream) {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                // What comes with TLS is not for us, and servers say so.
                Ok(byte) if head.is_empty() && !byte.is_ascii_uppercase() => {
                    stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.ok();
                    return;
                }
                Ok(byte) if head.len() < 100_000 => head.push(byte),
                _ => return,
            }
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        head.clear();
        let path = text.split(' ').nth(1).unwrap_or_default();
        let answer = match path {
            // Nor HTTP/2.
            _ if !text.lines().next().is_some_and(|line| line.ends_with("HTTP/1.1")) => {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.ok();
                return;
            }
            "/application-resets" => return reset(&stream),
            "/invalid-answer" => {
                stream.write_all(b"200 everything is fine\r\n\r\n").await.ok();
                return;
            }
            "/too-slow" | "/attempt-too-slow" | "/client-gone" | "/hold" => {
                // Until whoever waits has left.
                stream.read_u8().await.ok();
                return;
            }
            "/application-fails" => respond(500, 5),
            "/retries-exhausted" | "/no-retry-budget" => respond(503, 5),
            "/response-too-large" => respond(200, 2_000),
            path if path.starts_with("/check") => respond(403, 2),
            _ => respond(200, 2),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn respond(status: u16, size: usize) -> String {
    format!("HTTP/1.1 {status} Status\r\ncontent-length: {size}\r\n\r\n{}", "x".repeat(size))
}

fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

/// A port that takes no connection and refuses none: its queue is full. Kept for as long as the sockets are.
pub(crate) fn black_hole() -> (u16, Vec<Socket>) {
    let new = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut kept = vec![listener];
    for _ in 0..4 {
        let client = new();
        client.set_nonblocking(true).unwrap();
        client.connect(&address).ok();
        kept.push(client);
    }
    (address.as_socket().unwrap().port(), kept)
}
