//! Reads whole connections as a proxy would, and tells in one line of text per message what was read.

use std::io::Write as _;

use http::Method;

use crate::{Chunked, Field, Framing, Limits, Refusal, RequestLine, ResponseLine, Scan, Version, What};

/// One side's reading end of a connection.
pub(crate) struct Reader {
    limits: Limits,
    /// The methods that the responses answer; none for requests.
    asked: Option<Vec<Method>>,
    buf: Vec<u8>,
    scan: Scan,
    fields: Vec<Field>,
    body: Body,
    said: Vec<u8>,
    closed: bool,
}

enum Body {
    None,
    Length(u64),
    Chunked(Chunked),
    /// All that follows: up to the end, or of another protocol.
    Rest,
}

/// What is read of requests that arrive in one piece.
pub(crate) fn requests(input: impl AsRef<[u8]>) -> String {
    requests_in(input.as_ref(), &[], Limits::default())
}

/// What is read of requests that arrive cut at these places.
pub(crate) fn requests_in(input: &[u8], cuts: &[usize], limits: Limits) -> String {
    Reader::new(None, limits).read(input, cuts)
}

/// What is read of responses to requests with these methods, that arrive cut at these places.
pub(crate) fn responses_in(input: &[u8], asked: &[Method], cuts: &[usize]) -> String {
    Reader::new(Some(asked.to_vec()), Limits::default()).read(input, cuts)
}

impl Reader {
    fn new(asked: Option<Vec<Method>>, limits: Limits) -> Self {
        let (fields, said) = (Vec::new(), Vec::new());
        Self {
            limits,
            asked,
            buf: Vec::new(),
            scan: Scan::new(),
            fields,
            body: Body::None,
            said,
            closed: false,
        }
    }

    fn read(mut self, input: &[u8], cuts: &[usize]) -> String {
        let mut cuts: Vec<usize> =
            cuts.iter().map(|cut| cut % (input.len() + 1)).chain([input.len()]).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for to in cuts {
            self.buf.extend_from_slice(&input[from..to]);
            from = to;
            while !self.closed && self.step() {}
        }
        match (&self.body, self.buf.len()) {
            _ if self.closed => {}
            (Body::None, 0) => {}
            (Body::None, left) => write!(self.said, "; {left} bytes more").unwrap(),
            (Body::Rest, _) => self.end_body(),
            (Body::Length(_) | Body::Chunked(_), _) => self.said.extend_from_slice(b"' (cut off)"),
        }
        String::from_utf8_lossy(&self.said).trim_start_matches("; ").to_owned()
    }

    /// One step forward; whether there was one.
    fn step(&mut self) -> bool {
        match std::mem::replace(&mut self.body, Body::None) {
            Body::None => self.head(),
            Body::Rest => {
                self.body = Body::Rest;
                let all = self.buf.len();
                self.data(all)
            }
            Body::Length(0) => {
                self.end_body();
                true
            }
            Body::Length(left) => {
                let take = self.buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.body = Body::Length(left - take as u64);
                self.data(take)
            }
            Body::Chunked(body) => self.chunk(body),
        }
    }

    fn data(&mut self, take: usize) -> bool {
        let bytes: Vec<u8> = self.buf.drain(..take).collect();
        self.said.extend_from_slice(&bytes);
        take > 0
    }

    fn end_body(&mut self) {
        self.said.push(b'\'');
        self.body = Body::None;
    }

    fn chunk(&mut self, mut body: Chunked) -> bool {
        let chunk = match body.decode(&self.buf) {
            Ok(chunk) => chunk,
            Err(refusal) => return self.refused(refusal),
        };
        match chunk.what {
            What::Data(span) => self.said.extend_from_slice(span.of(&self.buf)),
            What::Trailers => {
                for field in body.trailers() {
                    let (name, value) = (field.name.of(&self.buf), field.value.of(&self.buf));
                    write!(self.said, "~{}: {}", lossy(name), lossy(value)).unwrap();
                }
            }
            What::NeedMore | What::End => {}
        }
        self.buf.drain(..chunk.consumed);
        match chunk.what {
            What::End => self.end_body(),
            _ => self.body = Body::Chunked(body),
        }
        chunk.what != What::NeedMore
    }

    fn refused(&mut self, refusal: Refusal) -> bool {
        let reason = refusal.reason();
        write!(self.said, "; {} {}", reason.status(), reason.label()).unwrap();
        self.closed = true;
        false
    }

    fn head(&mut self) -> bool {
        if self.buf.is_empty() {
            return false;
        }
        let read = match self.asked.clone() {
            None => self.request_head(),
            Some(asked) => self.response_head(&asked),
        };
        match read {
            Ok(more) => more,
            Err(refusal) => self.refused(refusal),
        }
    }

    fn request_head(&mut self) -> Result<bool, Refusal> {
        let read = self.scan.request(&self.buf, &self.limits, &mut self.fields)?;
        let Some(line) = read else { return Ok(false) };
        let text = self.request_text(&line)?;
        self.take_head(&text, line.framing, line.len);
        if line.upgrade.is_some() || line.method.of(&self.buf) == b"CONNECT" {
            self.tunnel(line.len);
        } else {
            self.buf.drain(..line.len);
        }
        self.closed |= !line.keep_alive && line.framing == Framing::None;
        Ok(true)
    }

    fn request_text(&self, line: &RequestLine) -> Result<String, Refusal> {
        let buf = &self.buf;
        let target = line.target(buf)?;
        let mut text = format!("{} {} @{}", lossy(line.method.of(buf)), lossy(&target), line.host(buf)?);
        for (is, word) in [
            (line.version == Version::Http10, " 1.0"),
            (!line.keep_alive, " close"),
            (line.expect_continue, " expects"),
            (line.trailers_ok, " trailers"),
        ] {
            text.push_str(if is { word } else { "" });
        }
        if let Some(protocol) = line.upgrade {
            text += " upgrade=";
            text += &lossy(protocol.of(buf));
        }
        Ok(text)
    }

    fn response_head(&mut self, asked: &[Method]) -> Result<bool, Refusal> {
        let Some(method) = asked.first() else { return Ok(false) };
        let read = self.scan.response(&self.buf, method, &self.limits, &mut self.fields)?;
        let Some(line) = read else { return Ok(false) };
        let ResponseLine { status, framing, len, .. } = line;
        let mut text = status.to_string();
        for (is, word) in [(line.version == Version::Http10, " 1.0"), (!line.keep_alive, " close")] {
            text.push_str(if is { word } else { "" });
        }
        if let (Framing::None, Some(length)) = (framing, line.content_length) {
            text += " length=";
            text += &length.to_string();
        }
        if let Some(protocol) = line.upgrade {
            text += " upgrade=";
            text += &lossy(protocol.of(&self.buf));
        }
        self.take_head(&text, framing, len);
        if status == 101 || (method == Method::CONNECT && (200..300).contains(&status)) {
            self.tunnel(len);
        } else {
            self.buf.drain(..len);
        }
        if status >= 200 {
            self.asked = Some(asked[1..].to_vec());
        }
        Ok(true)
    }

    fn tunnel(&mut self, len: usize) {
        self.buf.drain(..len);
        self.said.extend_from_slice(b" tunnel='");
        self.body = Body::Rest;
    }

    fn take_head(&mut self, text: &str, framing: Framing, len: usize) {
        write!(self.said, "; {text}").unwrap();
        for field in &self.fields {
            let (name, value) = (field.name.of(&self.buf[..len]), field.value.of(&self.buf[..len]));
            write!(self.said, " [{}: {}]", lossy(name), lossy(value)).unwrap();
        }
        self.body = match framing {
            Framing::None => Body::None,
            Framing::Length(length) => {
                write!(self.said, " {length}='").unwrap();
                Body::Length(length)
            }
            Framing::Chunked => {
                self.said.extend_from_slice(b" chunked='");
                Body::Chunked(Chunked::new(&self.limits))
            }
            Framing::UntilClose => {
                self.said.extend_from_slice(b" until close='");
                Body::Rest
            }
        };
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
