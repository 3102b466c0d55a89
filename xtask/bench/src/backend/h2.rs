//! HTTP/2 without TLS: plain answers, and for a request with a body a gRPC message with trailers.

use std::rc::Rc;

use anyhow::{Result, ensure};
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{HEADERS, SMALL, body};
use crate::load::grpc_message;
use crate::wire::hpack::{Encoder, STATUS_200};
use crate::wire::{END_STREAM, Frame, PREFACE, Wire};

#[derive(Debug)]
struct Answers {
    plain: Vec<u8>,
    message: Vec<u8>,
}

pub(super) async fn serve(listener: TcpListener, tasks: &Tasks) -> Result<()> {
    let answers = Rc::new(Answers { plain: body(SMALL), message: grpc_message(SMALL).to_vec() });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = Rc::clone(&answers);
        tasks.spawn_local("backend h2", async move {
            // A proxy that closes a connection, even in the middle, is not this side's failure.
            let _ = connection(stream, &answers).await;
        });
    }
}

async fn connection(mut stream: TcpStream, answers: &Answers) -> Result<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    ensure!(preface == PREFACE, "no HTTP/2 by prior knowledge");
    let (mut wire, mut encoder, mut due) = (Wire::new(), Encoder::default(), Vec::new());
    loop {
        due.retain(|(request, kind)| !answer(&mut wire, &mut encoder, *request, *kind, answers));
        stream.write_all(&wire.outgoing).await?;
        wire.outgoing.clear();
        if stream.read_buf(&mut wire.incoming).await? == 0 {
            return Ok(());
        }
        while let Some(frame) = wire.next()? {
            match frame {
                Frame::Headers { stream, end: true, .. } => due.push((stream, Kind::Plain)),
                Frame::Data { stream, end: true, .. } => due.push((stream, Kind::Grpc)),
                Frame::Headers { .. } | Frame::Data { .. } => {}
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    Grpc,
}

/// False when the connection's window is too small for it now.
fn answer(wire: &mut Wire, encoder: &mut Encoder, stream: u32, kind: Kind, answers: &Answers) -> bool {
    let mut block = vec![STATUS_200];
    match kind {
        Kind::Plain => {
            if !wire.may_send(answers.plain.len()) {
                return false;
            }
            for (name, value) in HEADERS {
                encoder.field(&mut block, name, value);
            }
            encoder.field(&mut block, "content-length", "128");
            wire.headers(stream, 0, &block);
            wire.data(stream, END_STREAM, &answers.plain);
        }
        Kind::Grpc => {
            if !wire.may_send(answers.message.len()) {
                return false;
            }
            encoder.field(&mut block, "content-type", "application/grpc");
            encoder.field(&mut block, "server", "bench-backend");
            wire.headers(stream, 0, &block);
            wire.data(stream, 0, &answers.message);
            let mut trailers = Vec::new();
            encoder.field(&mut trailers, "grpc-status", "0");
            wire.headers(stream, END_STREAM, &trailers);
        }
    }
    true
}
