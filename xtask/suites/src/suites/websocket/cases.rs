//! The cases, as bytes and what a client must see of the server: messages, pongs, the code of the close. Pure.

use super::frame::{BINARY, CLOSE, CONTINUED, FIN, PING, PONG, TEXT, masked, parse, plain};

/// One case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) bytes: Vec<u8>,
    /// Bytes that are written at once.
    pub(super) piece: usize,
    pub(super) seen: Seen,
}

/// What came from the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// First bytes and payloads of all frames but the close.
    frames: Vec<(u8, Vec<u8>)>,
    close: Option<u16>,
}

impl Seen {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let (mut seen, mut rest) = (Self::default(), bytes);
        while let Some((frame, length)) = parse(rest) {
            rest = rest.get(length..).unwrap_or_default();
            if frame.first == FIN | CLOSE {
                seen.close = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            } else {
                seen.frames.push((frame.first, frame.payload));
            }
        }
        seen
    }

    /// `text of 5, pong of 0, close 1000`
    pub(super) fn shown(&self) -> String {
        let mut parts: Vec<String> = self
            .frames
            .iter()
            .take(8)
            .map(|(first, payload)| {
                let kind = match first & 0x0f {
                    TEXT => "text",
                    BINARY => "binary",
                    PONG => "pong",
                    _ => "frame",
                };
                format!("{kind} of {}", payload.len())
            })
            .collect();
        parts.push(self.close.map_or_else(|| "no close".to_owned(), |code| format!("close {code}")));
        parts.join(", ")
    }
}

impl Case {
    pub(super) fn expected(&self) -> String {
        format!("all bytes unchanged, and from the server {}", self.seen.shown())
    }
}

/// Frames of the client, and what it must see.
#[derive(Default)]
struct Script {
    bytes: Vec<u8>,
    seen: Seen,
}

impl Script {
    fn send(mut self, first: u8, payload: &[u8]) -> Self {
        self.bytes.extend(masked(first, payload));
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    fn sees(mut self, opcode: u8, payload: &[u8]) -> Self {
        self.seen.frames.push((FIN | opcode, payload.to_vec()));
        self
    }

    /// A message that comes back.
    fn echo(self, opcode: u8, payload: &[u8]) -> Self {
        self.send(FIN | opcode, payload).sees(opcode, payload)
    }

    /// The client closes, the server agrees.
    fn closes(self) -> Self {
        self.send(FIN | CLOSE, &1000_u16.to_be_bytes()).closed(1000)
    }

    fn closed(mut self, code: u16) -> Self {
        self.seen.close = Some(code);
        self
    }

    fn case(self, name: &str, about: &str) -> Case {
        self.chopped(name, about, usize::MAX)
    }

    fn chopped(self, name: &str, about: &str, piece: usize) -> Case {
        Case { name: name.to_owned(), about: about.to_owned(), bytes: self.bytes, piece, seen: self.seen }
    }
}

fn script() -> Script {
    Script::default()
}

/// All cases, by the groups of Autobahn's suite.
pub(super) fn all() -> Vec<Case> {
    [framing(), pings(), reserved(), opcodes(), fragments(), utf8(), closing(), limits()].concat()
}

fn framing() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, word, byte) in [(TEXT, "text", b'*'), (BINARY, "binary", 0xfe)] {
        for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
            let payload = vec![byte; length];
            let about = format!("a {word} message of {length} bytes");
            cases.push(script().echo(kind, &payload).closes().case(&format!("1 {word}-{length}"), &about));
        }
        for piece in [1, 997] {
            let payload = vec![byte; if piece == 1 { 2000 } else { 65_536 }];
            let name = format!("1 {word}-in-pieces-of-{piece}");
            let about = format!("a {word} message written {piece} bytes at a time");
            cases.push(script().echo(kind, &payload).closes().chopped(&name, &about, piece));
        }
    }
    cases
}

fn pings() -> Vec<Case> {
    let pong = |payload: &[u8]| script().send(FIN | PING, payload).sees(PONG, payload).closes();
    let ten = (0..10).fold(script(), |script, n| script.send(FIN | PING, &[n]).sees(PONG, &[n]));
    vec![
        pong(b"").case("2 ping-empty", "a ping without payload"),
        pong(b"Hello").case("2 ping-text", "a ping with text"),
        pong(&[0xfe; 125]).case("2 ping-125", "a ping of 125 bytes"),
        pong(&[0xfe; 125]).chopped("2 ping-in-pieces-of-1", "a ping written byte by byte", 1),
        script().send(FIN | PING, &[0xfe; 126]).closed(1002).case("2 ping-126", "a ping that is too long"),
        script().send(FIN | PONG, b"").closes().case("2 pong-unasked", "a pong that nobody asked for"),
        script()
            .send(FIN | PONG, b"x")
            .send(FIN | PING, b"y")
            .sees(PONG, b"y")
            .closes()
            .case("2 pong-then-ping", "a pong that nobody asked for, then a ping"),
        ten.closes().case("2 pings-10", "ten pings at once"),
    ]
}

fn reserved() -> Vec<Case> {
    (1..=7)
        .map(|bits: u8| {
            let first = FIN | (bits << 4) | if bits < 5 { TEXT } else { PING };
            let script = script().echo(TEXT, b"before").send(first, b"x").closed(1002);
            script.case(&format!("3 reserved-{bits}"), "reserved bits without an extension")
        })
        .collect()
}

fn opcodes() -> Vec<Case> {
    (3..=7_u8)
        .chain(11..=15)
        .map(|opcode| {
            let script = script().echo(TEXT, b"before").send(FIN | opcode, b"x").closed(1002);
            script.case(&format!("4 opcode-{opcode}"), "an opcode that is reserved")
        })
        .collect()
}

fn fragments() -> Vec<Case> {
    let two = || script().send(TEXT, b"frag");
    vec![
        two().send(FIN, b"ment").sees(TEXT, b"fragment").closes().case("5 two", "a message in two fragments"),
        two().send(FIN, b"ment").sees(TEXT, b"fragment").closes().chopped(
            "5 two-in-pieces-of-1",
            "two fragments, byte by byte",
            1,
        ),
        two()
            .send(FIN | PING, b"p")
            .sees(PONG, b"p")
            .send(FIN, b"ment")
            .sees(TEXT, b"fragment")
            .closes()
            .case("5 ping-between", "a ping between two fragments"),
        two()
            .send(CONTINUED, b"")
            .send(FIN, b"")
            .sees(TEXT, b"frag")
            .closes()
            .case("5 empty", "fragments without payload"),
        script().send(PING, b"x").closed(1002).case("5 ping-fragmented", "a fragmented ping"),
        script().send(PONG, b"x").closed(1002).case("5 pong-fragmented", "a fragmented pong"),
        script().send(FIN, b"x").closed(1002).case("5 nothing-to-continue", "a continuation of nothing"),
        script()
            .send(CONTINUED, b"x")
            .closed(1002)
            .case("5 nothing-to-continue-open", "the same without FIN"),
        two().send(FIN | TEXT, b"x").closed(1002).case("5 new-message-within", "a message within a message"),
        script()
            .raw(&plain(FIN | TEXT, b"x"))
            .closed(1002)
            .case("5 not-masked", "a client's frame without a mask"),
    ]
}

/// UTF-8 that is fine, and UTF-8 that is not.
const FINE: [&str; 8] = [
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\u{0}",
    "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}",
    "\u{10000}\u{10ffff}",
    "\u{d7ff}\u{e000}\u{fffd}",
    "\u{fffe}\u{1fffe}\u{10fffe}",
    "𝄞🦀",
];
const BROKEN: [&[u8]; 16] = [
    b"\xff",
    b"\xfe",
    b"\x80",
    b"\xbf",
    b"\xc0\xaf",
    b"\xc1\xbf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xce\xba\xe1",
    b"\xf0\x9f\xa6",
];

fn utf8() -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, text) in FINE.iter().enumerate() {
        let bytes = text.as_bytes();
        let about = "text of characters at the edges";
        cases.push(script().echo(TEXT, bytes).closes().case(&format!("6 fine-{number}"), about));
        let split = bytes.iter().enumerate().fold(script(), |script, (at, byte)| {
            script.send(if at == 0 { TEXT } else { CONTINUED }, &[*byte])
        });
        let split = split.send(FIN, b"").sees(TEXT, bytes).closes();
        cases.push(split.case(&format!("6 fine-{number}-fragment-per-byte"), "each byte a fragment"));
    }
    for (number, bytes) in BROKEN.iter().enumerate() {
        let script = script().echo(TEXT, b"before").send(FIN | TEXT, bytes).closed(1007);
        cases.push(script.case(&format!("6 broken-{number}"), "text that is no UTF-8"));
    }
    cases
}

fn closing() -> Vec<Case> {
    let close = |payload: &[u8]| script().echo(TEXT, b"before").send(FIN | CLOSE, payload);
    let code = |code: u16, reason: &[u8]| [&code.to_be_bytes(), reason].concat();
    let mut cases = vec![
        close(b"").closed(1000).case("7 empty", "a close without payload"),
        close(b"x").closed(1002).case("7 one-byte", "a close with half a code"),
        close(&code(1000, b"bye")).closed(1000).case("7 reason", "a close with a reason"),
        close(&code(1000, &[b'*'; 123])).closed(1000).case("7 reason-123", "a close with the longest reason"),
        close(&code(1000, &[b'*'; 124])).closed(1002).case("7 reason-124", "a close with a reason too long"),
        close(&code(1000, b"\xff")).closed(1007).case("7 reason-not-utf8", "a close with a broken reason"),
        close(&code(1000, b""))
            .closed(1000)
            .send(FIN | TEXT, b"late")
            .case("7 text-after", "text after the close"),
        close(&code(1000, b""))
            .closed(1000)
            .send(FIN | PING, b"")
            .case("7 ping-after", "a ping after the close"),
        close(&code(1000, b"")).closed(1000).send(FIN | CLOSE, b"").case("7 twice", "two closes"),
    ];
    for fine in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        cases.push(
            close(&code(fine, b"")).closed(fine).case(&format!("7 code-{fine}"), "a code that may be sent"),
        );
    }
    for bad in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let case = close(&code(bad, b"")).closed(1002);
        cases.push(case.case(&format!("7 bad-code-{bad}"), "a code that must not be sent"));
    }
    cases
}

fn limits() -> Vec<Case> {
    const KIB: usize = 1024;
    let mut cases = Vec::new();
    for (length, shown) in
        [(64 * KIB, "64k"), (KIB * KIB, "1m"), (4 * KIB * KIB, "4m"), (16 * KIB * KIB, "16m")]
    {
        for (kind, word, byte) in [(TEXT, "text", b'*'), (BINARY, "binary", 0xfe)] {
            let name = format!("9 {word}-{shown}");
            cases.push(script().echo(kind, &vec![byte; length]).closes().case(&name, "one large frame"));
        }
    }
    let large = vec![0xfe; 4 * KIB * KIB];
    for part in [1024, 64 * KIB, KIB * KIB] {
        cases.push(fragmented(&large, part).case(&format!("9 fragments-of-{part}"), "4 MiB in fragments"));
    }
    for piece in [128, 2048] {
        let message = vec![0xfe; KIB * KIB];
        let name = format!("9 in-pieces-of-{piece}");
        cases.push(script().echo(BINARY, &message).closes().chopped(&name, "1 MiB in small writes", piece));
    }
    let many = (0..1000).fold(script(), |script, _| script.echo(TEXT, &[b'*'; 64]));
    cases.push(many.closes().case("9 messages-1000", "a thousand messages without waiting"));
    cases.push(
        fragmented(&vec![b'*'; 65_536], 1300)
            .case("10 fragments-of-1300", "65,536 bytes as fragments of 1,300"),
    );
    cases
}

fn fragmented(message: &[u8], part: usize) -> Script {
    let mut parts = message.chunks(part).enumerate().peekable();
    let mut script = script();
    while let Some((number, payload)) = parts.next() {
        let kind = if number == 0 { BINARY } else { CONTINUED };
        script = script.send(if parts.peek().is_none() { FIN | kind } else { kind }, payload);
    }
    script.sees(BINARY, message).closes()
}

#[cfg(test)]
mod tests {
    use super::super::frame::Endpoint;
    use super::*;

    #[test]
    fn names_are_unique_and_our_own_endpoint_answers_every_case_as_expected() {
        let cases = all();
        let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), cases.len());
        for case in &cases {
            let mut endpoint = Endpoint::default();
            assert_eq!(Seen::read(&endpoint.take(&case.bytes)).shown(), case.seen.shown(), "{}", case.name);
        }
    }
}
