//! Who a request is for: exactly one valid host, in one spelling; and fields that come more than once. Pure.

use super::framing::SMUGGLED;
use super::row::{Check, Expect, Row};
use crate::way::{Port, Way};

pub(super) const GROUP: &str = "host";

pub(super) fn rows(way: &Way) -> Vec<Row> {
    let mut rows = refused(&way.host);
    rows.extend(equal(way));
    rows.extend(forms(way));
    rows.extend(many(&way.host));
    rows
}

fn refused(host: &str) -> Vec<Row> {
    let fields: &[(&str, &str)] = &[
        ("host-none", ""),
        ("host-two", "host: HOST\r\nhost: HOST\r\n"),
        ("host-two-differing", "host: HOST\r\nhost: other.invalid\r\n"),
        ("host-list", "host: HOST, other.invalid\r\n"),
        ("host-userinfo", "host: user@HOST\r\n"),
        ("host-userinfo-path", "host: user@HOST/c\r\n"),
        ("host-path", "host: HOST/c\r\n"),
        ("host-bad-port", "host: HOST:b\r\n"),
        ("host-port-99999", "host: HOST:99999\r\n"),
        ("host-port-plus", "host: HOST:+80\r\n"),
        ("host-empty", "host:\r\n"),
        ("host-space", "host: a HOST\r\n"),
        ("host-scheme", "host: http://HOST\r\n"),
        ("host-query", "host: HOST?x\r\n"),
        ("host-fragment", "host: HOST#x\r\n"),
        ("host-backslash", "host: HOST\\x\r\n"),
        ("host-percent", "host: HOST%00\r\n"),
        ("host-brackets-open", "host: [::1\r\n"),
        ("host-brackets-zone", "host: [fe80::1%eth0]\r\n"),
    ];
    fields
        .iter()
        .map(|(name, fields)| {
            let bytes = format!("GET /hostile HTTP/1.1\r\n{fields}\r\n{SMUGGLED}").replace("HOST", host);
            Row::new(GROUP, name, bytes, Expect::Refused)
        })
        .collect()
}

/// Spellings of one host.
fn equal(way: &Way) -> Vec<Row> {
    let host = &way.host;
    let request = |host: &str| format!("GET /hostile HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let same = || Expect::Passes(vec![Check::Host(host.as_bytes().to_vec())]);
    let mut rows = vec![
        Row::new(GROUP, "host-plain", request(host), same()),
        Row::new(GROUP, "host-upper-case", request(&host.to_ascii_uppercase()), same()),
        Row::new(GROUP, "host-space-around", request(&format!(" {host} ")), same()),
    ];
    if way.port == Port::Proxy || !host.contains(':') {
        let bare = host.split(':').next().unwrap_or(host);
        let checks = vec![Check::Host(bare.as_bytes().to_vec())];
        rows.push(Row::new(
            GROUP,
            "host-default-port",
            request(&format!("{bare}:80")),
            Expect::Passes(checks),
        ));
        let checks = vec![Check::Nowhere("invalid")];
        rows.push(Row::new(GROUP, "host-trailing-dot", request(&format!("{bare}.")), Expect::Either(checks)));
    }
    rows
}

fn forms(way: &Way) -> Vec<Row> {
    let host = &way.host;
    let mut rows = vec![
        Row::new(
            GROUP,
            "absolute-form",
            format!("GET http://{}/a?b HTTP/1.1\r\nhost: other.invalid\r\n\r\n", host.to_ascii_uppercase()),
            Expect::Passes(vec![Check::Host(host.clone().into()), Check::Target(b"/a?b".to_vec())]),
        ),
        Row::new(
            GROUP,
            "absolute-form-no-path",
            format!("GET http://{host} HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            Expect::Passes(vec![Check::Host(host.clone().into()), Check::Target(b"/".to_vec())]),
        ),
        Row::new(
            GROUP,
            "absolute-form-userinfo",
            format!("GET http://u:p@{host}/ HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            Expect::Refused,
        ),
        Row::new(
            GROUP,
            "absolute-form-scheme",
            format!("GET gopher://{host}/ HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            Expect::Refused,
        ),
        Row::new(
            GROUP,
            "options-asterisk",
            format!("OPTIONS * HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            Expect::Either(vec![Check::Target(b"*".to_vec())]),
        ),
        Row::new(
            GROUP,
            "authority-form-get",
            format!("GET {host}:80 HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            Expect::Refused,
        ),
        Row::new(
            GROUP,
            "connect-path",
            format!("CONNECT /a HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            Expect::Refused,
        ),
        Row::new(
            GROUP,
            "connect-no-port",
            format!("CONNECT {} HTTP/1.1\r\nhost: {host}\r\n\r\n", host.split(':').next().unwrap_or(host)),
            Expect::Refused,
        ),
    ];
    if way.port == Port::Proxy {
        rows.push(Row::new(
            GROUP,
            "unknown-host",
            "GET / HTTP/1.1\r\nhost: nobody.nowhere.invalid\r\n\r\n".to_owned(),
            Expect::Refused,
        ));
    }
    rows
}

/// Fields that come more than once arrive as often and in order: a policy that looks at one of them would judge another one.
fn many(host: &str) -> Vec<Row> {
    let get = |fields: &[u8]| {
        let head = format!("GET /hostile HTTP/1.1\r\nhost: {host}\r\n");
        [head.as_bytes(), fields, b"\r\n"].concat()
    };
    let values = |values| Expect::Passes(vec![Check::Values("x-guard", values)]);
    vec![
        Row::new(
            GROUP,
            "field-twice",
            get(b"x-guard: a\r\nx-other: z\r\nx-guard: b\r\n"),
            values(&[b"a", b"b"]),
        ),
        Row::new(GROUP, "field-list", get(b"x-guard: a, b\r\nX-Guard: c\r\n"), values(&[b"a", b"b", b"c"])),
        Row::new(GROUP, "field-empty-first", get(b"x-guard:\r\nx-guard: b\r\n"), values(&[b"", b"b"])),
        Row::new(GROUP, "field-not-utf8", get(b"x-guard: \xe9\r\n"), values(&[b"\xe9"])),
    ]
}
