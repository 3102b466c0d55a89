//! HTTP/1.1 with kept connections: a head is read, its path looked at, a prepared answer written. Requests have no body.

use std::rc::Rc;

use anyhow::{Result, bail};
use mesh_lifecycle::tasks::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{HEADERS, LARGE, LARGE_PATH, SMALL, body};

const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

#[derive(Debug)]
struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
}

pub(super) async fn serve(listener: TcpListener, tasks: &Tasks) -> Result<()> {
    let answers = Rc::new(Answers { small: answer(SMALL), large: answer(LARGE) });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answers = Rc::clone(&answers);
        tasks.spawn_local("backend h1", async move {
            // A proxy that closes a connection, even in the middle, is not this side's failure.
            let _ = connection(stream, &answers).await;
        });
    }
}

fn answer(length: usize) -> Vec<u8> {
    let head = HEADERS
        .iter()
        .fold("HTTP/1.1 200 OK\r\n".to_owned(), |head, (name, value)| head + &format!("{name}: {value}\r\n"));
    let mut bytes = format!("{head}content-length: {length}\r\n\r\n").into_bytes();
    bytes.extend(body(length));
    bytes
}

async fn connection(mut stream: TcpStream, answers: &Answers) -> Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        while let Some((length, large)) = request(&buffer)? {
            buffer.drain(..length);
            stream.write_all(if large { &answers.large } else { &answers.small }).await?;
        }
        if buffer.len() > MAX_HEAD || stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// Length of the first head and whether it asks for the large answer; None when it is not whole yet.
fn request(buffer: &[u8]) -> Result<Option<(usize, bool)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(buffer)? {
        httparse::Status::Partial => Ok(None),
        httparse::Status::Complete(length) => {
            let large = head.path.is_some_and(|path| path.ends_with(LARGE_PATH));
            if head.method != Some("GET") {
                bail!("the HTTP/1 back end takes GET only");
            }
            Ok(Some((length, large)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_head_is_taken_and_a_part_waits() {
        assert_eq!(request(b"GET / HTTP/1.1\r\nhost: x\r\n").unwrap(), None);
        assert_eq!(request(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\nGET").unwrap(), Some((32, true)));
        assert!(request(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n").is_err());
    }

    #[test]
    fn an_answer_has_six_headers_and_the_body() {
        let bytes = answer(SMALL);
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(&bytes).unwrap() else { panic!("not whole") };
        assert_eq!((head.headers.len(), bytes.len() - length), (6, SMALL));
    }
}
