//! A trial as bytes: the request as its application would write it, checked so that nothing but the one request that was asked for can be in
//! them, and the head of the answer. It must not know where it goes.

use http::Method;
use mesh_http1::encode::{self, Line};
use mesh_http1::{Framing, Limits, canonical, fields};
use mesh_model::settings::TraceHeaders;

use crate::telemetry::Trial;
use crate::trace::TraceContext;

/// Methods without a body that ask for something and change nothing (RFC 9110 section 9.2.1), but TRACE, which servers must not answer with
/// what a sidecar adds.
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];
/// Bounds of what is asked for.
const MAX_TARGET: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
const MAX_TEXT: usize = 16 * 1024;
/// Fields that are ours to write, or that would lead to another trace.
const OURS: [&str; 6] = ["host", "content-length", "expect", "traceparent", "tracestate", "b3"];

/// What is written.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    /// The request.
    pub bytes: Vec<u8>,
    /// Which answer is read depends on it.
    pub method: Method,
}

/// The request that is asked for; why it is none that is sent, in words.
pub fn request(trial: &Trial) -> Result<Text, String> {
    let is_grpc = trial
        .headers
        .iter()
        .any(|(name, value)| name == "content-type" && value.starts_with("application/grpc"));
    let method = trial.method.as_str();
    if !(SAFE.contains(&method) || method == "POST" && is_grpc) {
        return Err(format!(
            "{method} is not sent: only GET, HEAD, OPTIONS, and gRPC calls without a message"
        ));
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| "its method is none".to_owned())?;
    let target = trial.target.as_bytes();
    let is_canonical = canonical::path(target).is_ok_and(|path| path == target);
    if !target.starts_with(b"/") || target.len() > MAX_TARGET || !is_canonical {
        return Err("its path is not in its canonical form".to_owned());
    }
    let authority = trial.authority.as_bytes();
    if !canonical::authority(authority).is_ok_and(|text| text.as_bytes() == authority) {
        return Err("its host is not in its canonical form".to_owned());
    }
    let size: usize = trial.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    if trial.headers.len() > MAX_HEADERS || size > MAX_TEXT {
        return Err(format!("it has more than {MAX_HEADERS} headers, or more than {MAX_TEXT} bytes of them"));
    }
    for (name, value) in &trial.headers {
        header(name, value)?;
    }
    let parent = parent(trial).ok_or("it belongs to no trace")?;
    let all = trial.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let all = all.chain([(&b"traceparent"[..], parent.as_slice())]);
    let framing = if method == Method::POST { Framing::Length(0) } else { Framing::None };
    let line = Line { method: method.as_str().as_bytes(), target, authority };
    let mut bytes = Vec::new();
    encode::request_head(&mut bytes, line, all, framing, encode::Connection::Close)
        .map_err(|error| error.to_string())?;
    Ok(Text { bytes, method })
}

fn header(name: &str, value: &str) -> Result<(), String> {
    let is_ours = OURS.contains(&name) || name.starts_with("x-b3-");
    let is_known = fields::is_name(name.as_bytes()) && *name == name.to_ascii_lowercase();
    if is_ours || !is_known || fields::is_hop_by_hop(name.as_bytes()) || fields::is_lookalike(name.as_bytes())
    {
        let short: String = name.chars().take(80).collect();
        return Err(format!("header `{short}` is not one that can be given"));
    }
    if !fields::is_value(value.as_bytes()) || fields::is_padded(value.as_bytes()) {
        return Err(format!("the value of header `{name}` has a character that cannot be in one"));
    }
    Ok(())
}

/// As the header of whoever is above it.
fn parent(trial: &Trial) -> Option<Vec<u8>> {
    let (trace, span) = (trial.trace_id.as_slice().try_into(), trial.parent_id.as_slice().try_into());
    let mut text = None;
    TraceContext::begun(trace.ok()?, span.ok()?)?
        .write(TraceHeaders::default(), |_, value| text = value.map(<[u8]>::to_vec));
    text
}

/// Status and failure code of an answer, once its head is there; interim ones are passed over. An error: what came is no HTTP.
pub fn answer(bytes: &[u8], method: &Method) -> Result<Option<(u16, String)>, String> {
    let (mut rest, mut found) = (bytes, Vec::new());
    loop {
        let read = mesh_http1::response(rest, method, &Limits::default(), &mut found);
        let Some(line) = read.map_err(|refusal| refusal.to_string())? else { return Ok(None) };
        if line.status >= 200 || line.status == 101 {
            let code = found.iter().find(|field| field.name.of(rest).eq_ignore_ascii_case(b"x-mesh-failure"));
            let code = code.map(|field| String::from_utf8_lossy(field.value.of(rest)).into_owned());
            return Ok(Some((line.status, code.unwrap_or_default())));
        }
        rest = rest.get(line.len..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial() -> Trial {
        Trial {
            id: 1,
            method: "GET".into(),
            authority: "cart.shop:9000".into(),
            target: "/items?page=2".into(),
            headers: vec![("x-tester".into(), "yes".into())],
            trace_id: vec![1; 16],
            parent_id: vec![2; 8],
        }
    }

    #[test]
    fn the_text_is_the_request_and_its_trace() {
        let text = request(&trial()).unwrap();
        assert_eq!(
            String::from_utf8(text.bytes).unwrap(),
            "GET /items?page=2 HTTP/1.1\r\nHost: cart.shop:9000\r\nx-tester: yes\r\n\
             traceparent: 00-01010101010101010101010101010101-0202020202020202-03\r\nConnection: close\r\n\r\n"
        );
        let grpc = Trial {
            method: "POST".into(),
            headers: vec![("content-type".into(), "application/grpc".into())],
            ..trial()
        };
        let text = String::from_utf8(request(&grpc).unwrap().bytes).unwrap();
        assert!(text.starts_with("POST ") && text.contains("Content-Length: 0\r\n"), "{text}");
    }

    #[test]
    fn nothing_but_the_one_request_without_a_body_can_be_asked_for() {
        let with = |edit: &dyn Fn(&mut Trial)| {
            let mut trial = trial();
            edit(&mut trial);
            request(&trial).unwrap_err()
        };
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "G T", ""] {
            assert!(with(&|trial| trial.method = method.into()).contains("is not sent"), "{method}");
        }
        for target in ["", "*", "items", "/a/../b", "/a//b", "/a b", "/a\r\nx: y", "http://a/"] {
            assert!(with(&|trial| trial.target = target.into()).contains("its path"), "{target}");
        }
        for authority in ["", "A.shop", "a b", "u@a", "a\r\nx: y", "a:99999"] {
            assert!(with(&|trial| trial.authority = authority.into()).contains("its host"), "{authority}");
        }
        for name in [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "upgrade",
            "te",
            "expect",
            "traceparent",
            "tracestate",
            "b3",
            "x-b3-sampled",
            "X-A",
            "a b",
            "",
            "content_length",
            "proxy-connection",
            "a\r\nb",
        ] {
            let why = with(&|trial| trial.headers = vec![(name.into(), "1".into())]);
            assert!(why.contains("is not one that can be given"), "{name}: {why}");
        }
        for value in ["a\r\nb: c", "a\nb", "\0", " a"] {
            let why = with(&|trial| trial.headers = vec![("x".into(), value.into())]);
            assert!(why.contains("the value of header `x`"), "{value:?}: {why}");
        }
        assert!(with(&|trial| trial.headers = vec![("x".into(), "y".into()); 65]).contains("headers"));
        assert!(with(&|trial| trial.headers = vec![("x".into(), "y".repeat(20_000))]).contains("headers"));
        assert!(with(&|trial| trial.target = format!("/{}", "a".repeat(9_000))).contains("its path"));
        assert!(with(&|trial| trial.trace_id = vec![0; 16]).contains("no trace"));
        assert!(with(&|trial| trial.parent_id = vec![1; 7]).contains("no trace"));
    }

    #[test]
    fn the_head_of_an_answer_says_status_and_code() {
        let read = |bytes: &[u8]| answer(bytes, &Method::GET);
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Len").unwrap(), None);
        assert_eq!(
            read(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap(),
            Some((200, String::new()))
        );
        let failed = b"HTTP/1.1 103 E\r\nlink: a\r\n\r\nHTTP/1.1 503 S\r\nX-Mesh-Failure: no_route\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(read(failed).unwrap(), Some((503, "no_route".into())));
        assert!(read(b"SSH-2.0-x\r\n").is_err());
    }
}
