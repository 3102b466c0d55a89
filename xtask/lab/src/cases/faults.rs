//! What networks and their users do to connections.

mod crowd;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::support::{PATIENCE, dial, joined, same, serving};
use crate::mesh::{Member, Mesh, Port, Seen};
use crate::tools::{Tools, system};

pub(super) use self::crowd::many_connections;

const PORT: u16 = 9000;

/// A client's pod and a server's, and whatever listens there in the test itself.
struct Pair {
    client: Member,
    server: Member,
    _mesh: Mesh,
}

impl Pair {
    fn up(tools: &Tools) -> Result<Self> {
        let mut mesh = Mesh::up(tools)?;
        let server = mesh.member("server", &[Port::undeclared(PORT), Port::undeclared(80)])?;
        let client = mesh.member("client", &[])?;
        Ok(Self { client, server, _mesh: mesh })
    }

    /// Runs `serve` with the first connection to the server, beside the caller.
    fn serve<T: Send + 'static>(
        &self,
        serve: impl FnOnce(TcpStream) -> Result<T> + Send + 'static,
    ) -> Result<std::thread::JoinHandle<Result<T>>> {
        let listener = self.server.pod.inside(|| Ok(TcpListener::bind(("::", PORT))?))?;
        Ok(self.server.pod.beside(move || {
            let (stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(PATIENCE * 3))?;
            serve(stream)
        }))
    }

    /// Runs `talk` with a connection to the server, in the client's pod.
    fn talk<T: Send>(&self, talk: impl FnOnce(TcpStream) -> Result<T> + Send) -> Result<T> {
        self.client.pod.inside(|| talk(dial("server", PORT)?))
    }

    fn reached(&self, count: u32) -> Result<()> {
        self.client.reached(&self.server, Seen { protocol: "tcp", count })
    }
}

/// Exactly so many bytes, as text.
fn take(stream: &mut TcpStream, count: usize) -> Result<String> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn loopback_only(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools)?;
    let program = pair.server.program(&tools.go).args(["serve", "127.0.0.1:80"]);
    let _server = serving(program, &pair.server, 80)?;
    let curl = pair.client.program(system("curl")?).args(["--silent", "--show-error", "--max-time", "20"]);
    let answer = curl.arg("http://server/hello").output()?;
    same(&answer, "GET server /hello\n")?;
    pair.client.reached(&pair.server, Seen { protocol: "http", count: 1 })
}

/// Nothing is behind the proxy's own ports: who goes there would go round and round.
pub(super) fn loop_to_ourselves(tools: &Tools) -> Result<()> {
    let mut pair = Pair::up(tools)?;
    let own: Vec<_> = pair.client.pod.addresses().chain([Ipv4Addr::LOCALHOST.into()]).collect();
    for at in own.iter().flat_map(|ip| [15001, 15006].map(|port| SocketAddr::new(*ip, port))) {
        let got = pair.client.pod.inside(move || {
            let mut stream = match TcpStream::connect_timeout(&at, PATIENCE) {
                Ok(stream) => stream,
                Err(error)
                    if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) =>
                {
                    return Ok(Vec::new());
                }
                Err(error) => bail!("connect to {at}: {error}"),
            };
            stream.set_read_timeout(Some(PATIENCE))?;
            // Whether it is refused before or after what we say is the kernel's matter.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n");
            let mut got = Vec::new();
            match stream.read_to_end(&mut got) {
                Ok(_) => Ok(got),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(got),
                Err(error) => bail!("{at} neither answers nor ends: {error}"),
            }
        })?;
        let text = String::from_utf8_lossy(&got);
        ensure!(!text.starts_with("HTTP/1.1 2"), "{at} answered {text}");
    }
    ensure!(pair.client.is_alive(), "the sidecar has ended:\n{}", pair.client.log());
    let serving = pair.serve(|mut stream| Ok(stream.write_all(b"after")?))?;
    ensure!(pair.talk(|mut stream| take(&mut stream, 5))? == "after");
    joined(serving)
}

/// The application is not there: the client is told so by its connection's failure, at once, not by one that ends in good order.
pub(super) fn connect_failure(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools)?;
    let told = pair.client.pod.inside(|| {
        let mut stream = match dial("server", PORT) {
            Ok(stream) => stream,
            Err(error) => return Ok(format!("{error:#}")),
        };
        match stream.read(&mut [0; 16]) {
            Ok(count) => bail!("{count} bytes instead of a failure"),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(error.to_string()),
            Err(error) => bail!("the client was left waiting: {error}"),
        }
    })?;
    crate::run::note(&format!("the client was told: {told}"));
    let curl = pair.client.program(system("curl")?).args([
        "--silent",
        "--max-time",
        "20",
        "--write-out",
        "%{http_code}",
    ]);
    let answer = curl.args(["--output", "/dev/null", "http://server/"]).run()?;
    ensure!(answer.out == "503" || !answer.status.success(), "{answer:?}");
    // Once it is there, the same client reaches it.
    let serving = pair.serve(|mut stream| Ok(stream.write_all(b"after")?))?;
    ensure!(pair.talk(|mut stream| take(&mut stream, 5))? == "after");
    joined(serving)
}

pub(super) fn one_byte_hello(tools: &Tools) -> Result<()> {
    super::http::https_with(tools, |client, certificate| {
        let script = client.program(&tools.python).arg(tools.script("slow_hello.py"));
        let printed = script.args(["secure", "443"]).arg(certificate).output()?;
        same(&printed, "secret for secure\n")?;
        Ok(())
    })
}

/// The server's greeting reaches a client that says nothing, and nobody loses patience with it.
pub(super) fn silent_client(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools)?;
    let serving = pair.serve(|mut stream| {
        stream.write_all(b"220 ready\r\n")?;
        ensure!(take(&mut stream, 4)? == "QUIT");
        Ok(stream.write_all(b"221 bye\r\n")?)
    })?;
    pair.talk(|mut stream| {
        ensure!(take(&mut stream, 11)? == "220 ready\r\n");
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        match stream.read(&mut [0; 1]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => bail!("in 30 s of silence came {other:?}"),
        }
        stream.write_all(b"QUIT")?;
        ensure!(take(&mut stream, 9)? == "221 bye\r\n");
        Ok(())
    })?;
    joined(serving)?;
    pair.reached(1)
}

fn million(byte: u8) -> Vec<u8> {
    vec![byte; 1_000_000]
}

/// The end of one direction is the end of that one only, whoever makes it.
pub(super) fn half_close(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools)?;
    let serving = pair.serve(|mut stream| {
        let mut got = String::new();
        stream.read_to_string(&mut got)?;
        same(&got, "question")?;
        Ok(stream.write_all(&million(b'a'))?)
    })?;
    let answer = pair.talk(|mut stream| {
        stream.write_all(b"question")?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    })?;
    ensure!(answer == million(b'a'), "{} bytes of a million", answer.len());
    joined(serving)?;
    let serving = pair.serve(|mut stream| {
        stream.write_all(b"that is all")?;
        stream.shutdown(Shutdown::Write)?;
        let mut got = Vec::new();
        stream.read_to_end(&mut got)?;
        Ok(got)
    })?;
    pair.talk(|mut stream| {
        let mut all = String::new();
        stream.read_to_string(&mut all)?;
        same(&all, "that is all")?;
        Ok(stream.write_all(&million(b'b'))?)
    })?;
    let got = joined(serving)?;
    ensure!(got == million(b'b'), "{} bytes of a million", got.len());
    pair.reached(2)
}

/// A connection that is broken off does not look like one that has ended.
pub(super) fn reset(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools)?;
    let serving = pair.serve(|mut stream| {
        ensure!(take(&mut stream, 2)? == "go");
        break_off(stream)
    })?;
    let at_the_client = pair.talk(|mut stream| {
        stream.write_all(b"go")?;
        Ok(stream.read(&mut [0; 1]).map_err(|error| error.kind()))
    })?;
    joined(serving)?;
    ensure!(at_the_client == Err(ErrorKind::ConnectionReset), "the client saw {at_the_client:?}");
    let serving = pair.serve(|mut stream| {
        ensure!(take(&mut stream, 2)? == "go");
        stream.write_all(b"on")?;
        Ok(stream.read(&mut [0; 1]).map_err(|error| error.kind()))
    })?;
    pair.talk(|mut stream| {
        stream.write_all(b"go")?;
        ensure!(take(&mut stream, 2)? == "on");
        break_off(stream)
    })?;
    let at_the_server = joined(serving)?;
    ensure!(at_the_server == Err(ErrorKind::ConnectionReset), "the server saw {at_the_server:?}");
    Ok(())
}

fn break_off(stream: TcpStream) -> Result<()> {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).context("make the end a reset")
}

/// What the kernel forgets it finds again when the client goes on, whoever spoke first; and what is new is captured as before.
pub(super) fn conntrack_flushed(tools: &Tools) -> Result<()> {
    let pair = Pair::up(tools)?;
    let (asked, was_asked) = sync_channel(1);
    let (forgotten, was_forgotten) = sync_channel(1);
    let serving = pair.serve(move |mut stream| {
        while let Ok(text) = take(&mut stream, 4) {
            if text == "wait" {
                asked.send(())?;
                was_forgotten.recv()?;
            }
            stream.write_all(text.as_bytes())?;
        }
        Ok(())
    })?;
    let flush = || pair.client.pod.flush_conntrack().and_then(|()| pair.server.pod.flush_conntrack());
    pair.talk(move |mut stream| {
        for round in 0..5 {
            let text = format!("n{round:03}");
            stream.write_all(text.as_bytes())?;
            ensure!(take(&mut stream, 4)? == text);
            flush()?;
        }
        stream.write_all(b"wait")?;
        was_asked.recv()?;
        flush()?;
        forgotten.send(())?;
        // What the server says now, nobody can bring to the client before that one has said something.
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let early = match stream.read(&mut [0; 4]) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => bail!("while the server spoke: {error}"),
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"more")?;
        let rest = take(&mut stream, 8 - early)?;
        ensure!("waitmore".ends_with(&rest), "{rest}");
        Ok(())
    })?;
    joined(serving)?;
    let serving = pair.serve(|mut stream| Ok(stream.write_all(b"after")?))?;
    ensure!(pair.talk(|mut stream| take(&mut stream, 5))? == "after");
    joined(serving)?;
    pair.reached(2)
}
