//! Nanoseconds per head on this machine: `cargo run --release -p mesh-http1 --example heads`. For a look at what a change costs;
//! nothing is judged by it.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use mesh_http1::encode::{self, Connection, Line};
use mesh_http1::{Field, Framing, Limits, Version, canonical, request, response};

const SMALL: &[u8] =
    b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n";
const BROWSER: &[u8] = b"GET /api/v1/items/4711?page=2&sort=price HTTP/1.1\r\nHost: shop.example.com\r\n\
    Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"141\", \"Not?A_Brand\";v=\"8\"\r\nsec-ch-ua-mobile: ?0\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36\r\n\
    Accept: application/json, text/plain, */*\r\nOrigin: https://shop.example.com\r\nReferer: https://shop.example.com/items\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 512\r\n\
    Date: Mon, 23 Nov 2026 12:00:00 GMT\r\nCache-Control: no-store\r\nETag: W/\"0123456789\"\r\nServer: app\r\n\r\n";

fn main() {
    for (name, head) in [("request, small", SMALL), ("request, browser", BROWSER)] {
        let mut fields = Vec::new();
        let limits = Limits::default();
        time(name, "parse", head.len(), || {
            let line = request(black_box(head), &limits, &mut fields);
            black_box(line.is_ok());
        });
        time(name, "httparse", head.len(), || {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut other = httparse::Request::new(&mut headers);
            black_box(other.parse(black_box(head)).is_ok());
        });
        let Ok(Some(line)) = request(head, &limits, &mut fields) else { continue };
        time(name, "canonical", head.len(), || {
            black_box((line.target(black_box(head)).is_ok(), line.host(black_box(head)).is_ok()));
        });
        let mut out = Vec::with_capacity(1024);
        let (method, path, host) = (line.method.of(head), line.path.of(head), line.authority.of(head));
        time(name, "encode", head.len(), || {
            out.clear();
            let line = Line { method, target: path, authority: host };
            let written = encode::request_head(
                &mut out,
                line,
                pairs(head, &fields),
                Framing::None,
                Connection::KeepAlive,
            );
            black_box(written.is_ok());
        });
    }
    let (mut fields, limits) = (Vec::new(), Limits::default());
    time("response", "parse", ANSWER.len(), || {
        black_box(response(black_box(ANSWER), &http::Method::GET, &limits, &mut fields).is_ok());
    });
    let mut out = Vec::with_capacity(1024);
    time("response", "encode", ANSWER.len(), || {
        out.clear();
        let (framing, kept) = (Framing::Length(512), Connection::KeepAlive);
        let written =
            encode::response_head(&mut out, 200, pairs(ANSWER, &fields), framing, kept, Version::Http11);
        black_box(written.is_ok());
    });
    time("path", "canonical, escaped", 0, || {
        black_box(canonical::path(black_box(b"/a//b/%61/../c%20d")).is_ok());
    });
}

fn pairs<'a>(buf: &'a [u8], fields: &'a [Field]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    fields.iter().map(move |field| (field.name.of(buf), field.value.of(buf)))
}

/// Prints the best of five rounds.
fn time(name: &str, what: &str, bytes: usize, mut run: impl FnMut()) {
    const ROUND: u32 = 200_000;
    let round = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..ROUND {
            run();
        }
        start.elapsed().as_nanos() / u128::from(ROUND)
    };
    let best = (0..5).map(|_| round(&mut run)).min().unwrap_or_default();
    let line = format!("{name:>18} {what:<20} {best:>5} ns  ({bytes} bytes)\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap_or_default();
}
