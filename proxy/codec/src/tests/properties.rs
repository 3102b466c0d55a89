//! The fuzz targets as properties, over bytes that look like HTTP often enough to get far.

use proptest::prelude::*;

use super::reader::{requests_in, responses_in};
use crate::{Limits, fuzz};

/// Pieces that messages, and attacks on them, are made of.
pub(crate) const PIECES: &[&str] = &[
    "GET",
    "POST",
    "OPTIONS",
    "CONNECT",
    "HEAD",
    " ",
    " / ",
    " /a/../b?c ",
    " * ",
    " http://b/x ",
    " a:443 ",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/1.2",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "\t",
    "\0",
    ":",
    ": ",
    ",",
    ";",
    "/",
    "//",
    "/.",
    "/..",
    "%2e",
    "%2f",
    "%5c",
    "%00",
    "%c0%ae",
    "..;",
    "#",
    "?",
    "\\",
    "a",
    "b",
    "x",
    "0",
    "1",
    "3",
    "5",
    "f",
    "ffffffffffffffff",
    "abc",
    "Host: a\r\n",
    "Host: a, b\r\n",
    "Host",
    "Content-Length",
    "Content-Length: 3\r\n",
    "Content-Length: 5\r\n",
    "Content_Length: 3\r\n",
    "Transfer-Encoding",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "chunked",
    "identity",
    "Connection: close\r\n",
    "Connection: keep-alive, x\r\n",
    "Connection: Host\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Upgrade: h2c\r\n",
    "Expect: 100-continue\r\n",
    "TE: trailers\r\n",
    "X: y\r\n",
    "X_Y: z\r\n",
    "X: \r\n",
    " X: y\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "3;x=y\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 204 \r\n",
    "HTTP/1.1 101 x\r\n",
    "HTTP/1.1 100 \r\n",
    "HTTP/1.0 200 OK\r\n",
    "\u{e9}",
    "\u{7f}",
    "@",
    "[::1]",
    ":80",
    "A",
    ".",
];

/// Whole heads, for pieces to be put into.
pub(crate) const HEADS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a/b?c=d HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n3;e\r\nabc\r\n0\r\nX: y\r\n\r\n",
    "GET http://b:80/x/./y HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X\r\nX: 1\r\n\r\n",
    "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: s\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: 0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\nabc",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
];

/// One change of an input: where, how much is taken away, and what is put there.
pub(crate) type Change = (u16, u8, u16);

/// Applies changes. A piece above the list stands for a single byte.
pub(crate) fn changed(input: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut out = input.to_vec();
    for (at, take, piece) in changes {
        let at = usize::from(*at) % (out.len() + 1);
        // Half of all changes take nothing away, most others a byte or two.
        let take = usize::from(*take).saturating_sub(128) / 16;
        let end = (at + take).min(out.len());
        let piece = usize::from(*piece) % (PIECES.len() + 256);
        let byte = [u8::try_from(piece.saturating_sub(PIECES.len())).unwrap_or(0)];
        let put = PIECES.get(piece).map_or(byte.as_slice(), |piece| piece.as_bytes());
        out.splice(at..end, put.iter().copied());
    }
    out
}

/// Any bytes, any row of pieces, or a head with changes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES);
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200),
        2 => prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes()),
        3 => (prop::sample::select(HEADS), prop::collection::vec(any::<Change>(), 0..4))
            .prop_map(|(head, changes)| changed(head.as_bytes(), &changes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 15_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_fuzz_target_holds(input in bytes()) {
        for (_, target) in fuzz::TARGETS {
            target(&input);
        }
    }

    #[test]
    fn a_connection_reads_the_same_however_it_is_cut(
        first in bytes(),
        second in bytes(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let input = [first, second].concat();
        let limits = Limits::default();
        prop_assert_eq!(requests_in(&input, &cuts, limits), requests_in(&input, &[], limits));
        let asked = [http::Method::GET, http::Method::HEAD, http::Method::GET];
        prop_assert_eq!(responses_in(&input, &asked, &cuts), responses_in(&input, &asked, &[]));
    }

    #[test]
    fn small_limits_hold_however_the_input_is_cut(
        input in bytes(),
        cuts in prop::collection::vec(any::<usize>(), 0..4),
        head in 1usize..200,
        fields in 0usize..6,
    ) {
        let limits = Limits { head_bytes: head, fields, trailer_bytes: head, extension_bytes: 2, ..Limits::default() };
        prop_assert_eq!(requests_in(&input, &cuts, limits), requests_in(&input, &[], limits));
    }
}
