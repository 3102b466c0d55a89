//! HTTP/2 that would become something else as HTTP/1: line ends and colons in names, values and pseudo-headers, fields that frame
//! or route, lengths that lie. Malformed per RFC 9113 section 8.

use std::time::Duration;

use super::check;
use super::row::{Check, Expect};
use crate::h2raw::{self, Connection, DATA, END_STREAM, Event, hpack};
use crate::raw::{Answer, End};
use crate::report::{Outcome, Report, shown, wanted};
use crate::way::{Port, Way};

const ANSWER: Duration = Duration::from_secs(5);
const STREAM: u32 = 1;

/// Names and values.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

struct Row {
    name: String,
    fields: Fields,
    data: Option<&'static [u8]>,
    expect: Expect,
}

pub(super) async fn run(way: &Way, names: &[String], report: &mut Report) {
    for row in rows(way) {
        if wanted(names, &row.name) {
            let outcome = one(way, &row).await;
            let sent = row.fields.iter().fold(String::new(), |all, (name, value)| {
                format!("{all}{}: {}; ", shown(name), shown(value))
            });
            report.row(&way.name, &row.name, &sent, &row.expect.shown(), &outcome);
        }
    }
}

async fn one(way: &Way, row: &Row) -> Outcome {
    let mark = way.recorder.mark();
    way.recorder.take_stray();
    let mut connection = match Connection::open(way, &[]).await {
        Ok(connection) => connection,
        Err(error) => return Outcome::failed(format!("{error:#}")),
    };
    let list: Vec<(&[u8], &[u8])> = row.fields.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
    let end = if row.data.is_some() { 0 } else { END_STREAM };
    connection.block(end, STREAM, &hpack::fields(&list));
    if let Some(data) = row.data {
        connection.frame(DATA, END_STREAM, STREAM, data);
    }
    connection.flush().await;
    let events = connection.answer(STREAM, ANSWER).await;
    if let Err(why) = check::barrier(way).await {
        return Outcome::failed(format!(
            "{}; afterwards a plain request failed: {why}",
            h2raw::shown(&events)
        ));
    }
    let arrived = way.recorder.since(mark);
    let mut outcome = check::judge(&row.expect, &as_answer(&events), &arrived, &way.recorder.take_stray());
    outcome.got = format!("{}; {}", h2raw::shown(&events), outcome.got);
    outcome
}

/// The same judge for both protocols: a reset is a close.
fn as_answer(events: &[Event]) -> Answer {
    let bytes = h2raw::status(events).map_or_else(Vec::new, |status| {
        format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n").into_bytes()
    });
    let is_open = events.last().is_none_or(|event| *event == Event::Quiet);
    Answer { bytes, end: if is_open && h2raw::status(events).is_none() { End::Open } else { End::Closed } }
}

/// The plain request, with some of its pseudo-headers replaced.
fn plain(host: &str, replaced: &[(&str, &[u8])]) -> Fields {
    [(":method", "GET"), (":scheme", "http"), (":authority", host), (":path", "/hostile")]
        .into_iter()
        .map(|(name, value)| {
            let new = replaced.iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_vec());
            (name.as_bytes().to_vec(), new.unwrap_or_else(|| value.as_bytes().to_vec()))
        })
        .collect()
}

fn rows(way: &Way) -> Vec<Row> {
    let host = way.host.as_str();
    let mut rows = pseudo(host);
    rows.extend(regular(host));
    rows.extend(order(host));
    rows.extend(lengths(host));
    if way.port == Port::Destination {
        let mut fields = plain(host, &[]);
        fields.extend([(b"cookie".to_vec(), b"a=1".to_vec()), (b"cookie".to_vec(), b"b=2".to_vec())]);
        let expect = Expect::Passes(vec![Check::Has("cookie", b"a=1; b=2")]);
        rows.push(Row { name: "h2 cookie-crumbs-joined".to_owned(), fields, data: None, expect });
    }
    rows
}

fn pseudo(host: &str) -> Vec<Row> {
    let bad: &[(&str, &str, &[u8])] = &[
        ("path-space", ":path", b"/a b"),
        ("path-crlf", ":path", b"/a HTTP/1.1\r\nx-evil: 1"),
        ("path-request", ":path", b"/a HTTP/1.1\r\nhost: x\r\n\r\nGET /smuggled"),
        ("path-nul", ":path", b"/a\0"),
        ("path-empty", ":path", b""),
        ("path-relative", ":path", b"a"),
        ("path-asterisk-get", ":path", b"*"),
        ("path-backslash", ":path", b"/x\\..\\admin"),
        ("path-encoded-slash", ":path", b"/x%2fadmin"),
        ("path-dots-escape", ":path", b"/../admin"),
        ("path-0x80", ":path", b"/a\x80"),
        ("method-space", ":method", b"GE T"),
        ("method-request", ":method", b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\nGET"),
        ("method-empty", ":method", b""),
        ("method-colon", ":method", b"GET:"),
        ("authority-space", ":authority", b"a b"),
        ("authority-crlf", ":authority", b"a\r\nx-evil: 1"),
        ("authority-userinfo", ":authority", b"user@a"),
        ("authority-path", ":authority", b"a/b"),
        ("authority-list", ":authority", b"a, b"),
        ("authority-empty", ":authority", b""),
        ("authority-bad-port", ":authority", b"a:b"),
        ("scheme-crlf", ":scheme", b"http\r\nx-evil: 1"),
        ("scheme-space", ":scheme", b"ht tp"),
        ("scheme-path", ":scheme", b"http://x/y?"),
    ];
    let mut rows: Vec<Row> = bad
        .iter()
        .map(|(name, field, value)| Row {
            name: format!("h2 {name}"),
            fields: plain(host, &[(field, value)]),
            data: None,
            expect: Expect::Refused,
        })
        .collect();
    rows.push(Row {
        name: "h2 path-fragment".to_owned(),
        fields: plain(host, &[(":path", b"/a#b")]),
        data: None,
        expect: Expect::Either(vec![Check::Target(b"/a".to_vec())]),
    });
    rows.push(Row {
        name: "h2 path-canonical".to_owned(),
        fields: plain(host, &[(":path", b"//x/../%61")]),
        data: None,
        expect: Expect::Passes(vec![Check::Target(b"/a".to_vec())]),
    });
    rows.push(Row {
        name: "h2 authority-upper-case".to_owned(),
        fields: plain(host, &[(":authority", host.to_ascii_uppercase().as_bytes())]),
        data: None,
        expect: Expect::Passes(vec![Check::Host(host.into())]),
    });
    rows
}

fn regular(host: &str) -> Vec<Row> {
    let with = |name: &str, field: (&[u8], &[u8]), expect| {
        let mut fields = plain(host, &[]);
        fields.push((field.0.to_vec(), field.1.to_vec()));
        Row { name: format!("h2 {name}"), fields, data: None, expect }
    };
    let bad: &[(&str, &[u8], &[u8])] = &[
        ("value-crlf", b"x-a", b"b\r\nx-evil: 1"),
        ("value-lf", b"x-a", b"b\nx-evil: 1"),
        ("value-cr", b"x-a", b"b\rc"),
        ("value-nul", b"x-a", b"b\0c"),
        ("value-request", b"x-a", b"b\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("name-crlf", b"x-a\r\nx-evil", b"1"),
        ("name-colon", b"x-a: b\r\nx-evil", b"1"),
        ("name-only-colon", b"x:a", b"1"),
        ("name-space", b"x a", b"1"),
        ("name-nul", b"x\0a", b"1"),
        ("name-empty", b"", b"1"),
        ("name-upper-case", b"X-A", b"1"),
        ("name-high", b"x-\xe9", b"1"),
        ("connection", b"connection", b"close"),
        ("keep-alive", b"keep-alive", b"timeout=5"),
        ("proxy-connection", b"proxy-connection", b"keep-alive"),
        ("upgrade", b"upgrade", b"websocket"),
        ("transfer-encoding", b"transfer-encoding", b"chunked"),
        ("te-gzip", b"te", b"gzip"),
    ];
    let mut rows: Vec<Row> =
        bad.iter().map(|(name, field, value)| with(name, (field, value), Expect::Refused)).collect();
    let lonely = Expect::Either(vec![Check::Host(host.into()), Check::Nowhere("other.invalid")]);
    rows.push(with("host-differs", (b"host", b"other.invalid"), lonely));
    rows.push(with("value-space-around", (b"x-a", b" b "), Expect::Either(vec![Check::Has("x-a", b"b")])));
    rows.push(with(
        "te-trailers",
        (b"te", b"trailers"),
        Expect::Passes(vec![Check::Target(b"/hostile".to_vec())]),
    ));
    rows
}

fn order(host: &str) -> Vec<Row> {
    let row = |name: &str, change: &dyn Fn(&mut Fields)| {
        let mut fields = plain(host, &[]);
        change(&mut fields);
        Row { name: format!("h2 {name}"), fields, data: None, expect: Expect::Refused }
    };
    let without =
        |name: &'static str| move |fields: &mut Fields| fields.retain(|(field, _)| field != name.as_bytes());
    let and = |name: &'static str, value: &'static str| {
        move |fields: &mut Fields| fields.push((name.into(), value.into()))
    };
    vec![
        row("no-method", &without(":method")),
        row("no-path", &without(":path")),
        row("no-scheme", &without(":scheme")),
        row("no-authority-no-host", &without(":authority")),
        row("two-paths", &and(":path", "/smuggled")),
        row("two-methods", &and(":method", "POST")),
        row("two-authorities", &and(":authority", "other.invalid")),
        row("unknown-pseudo", &and(":evil", "1")),
        row("status-in-request", &and(":status", "200")),
        row("protocol-without-connect", &and(":protocol", "websocket")),
        row("pseudo-after-regular", &|fields| fields.insert(1, (b"x-a".to_vec(), b"1".to_vec()))),
    ]
}

fn lengths(host: &str) -> Vec<Row> {
    let row = |name: &str, lengths: &[&str], data, expect| {
        let mut fields = plain(host, &[(":method", b"POST")]);
        fields.extend(lengths.iter().map(|length| (b"content-length".to_vec(), length.as_bytes().to_vec())));
        Row { name: format!("h2 {name}"), fields, data, expect }
    };
    vec![
        row(
            "length-less-than-data",
            &["2"],
            Some(b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"),
            Expect::Aborted,
        ),
        row("length-more-than-data", &["50"], Some(b"abcd"), Expect::Aborted),
        row("length-without-data", &["4"], None, Expect::Refused),
        row("lengths-differing", &["4", "5"], Some(b"abcd"), Expect::Refused),
        row("length-plus", &["+4"], Some(b"abcd"), Expect::Refused),
        row("length-list", &["4, 4"], Some(b"abcd"), Expect::Refused),
        row("length-right", &["4"], Some(b"abcd"), Expect::Passes(vec![Check::Body(b"abcd".to_vec())])),
    ]
}
