//! Facts about the canonical head, from and to both codecs.

use mesh_http1::Limits;
use mesh_model::head::HeadView;

use super::{BadHead, Form, Kind, RequestHead};

fn http1(text: &str) -> Result<RequestHead, BadHead> {
    let mut fields = vec![];
    let line = mesh_http1::request(text.as_bytes(), &Limits::default(), &mut fields)?.expect("a whole head");
    Ok(RequestHead::from_http1(&line, text.as_bytes(), &fields)?)
}

/// With what every request has, where these fields do not say otherwise.
fn http2(fields: &[(&str, &str)]) -> Result<RequestHead, BadHead> {
    let usual = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let has = |name: &str| fields.iter().any(|(one, _)| *one == name);
    let all = usual.into_iter().filter(|(name, _)| !has(name)).chain(fields.iter().copied());
    let all = all.filter(|(_, value)| *value != "-").map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    RequestHead::from_http2(mesh_http2::Block::request(
        all,
        mesh_http2::Bounds { bytes: 10_000, fields: 110 },
    ))
}

fn names(head: &RequestHead) -> Vec<&str> {
    head.headers.iter().map(|(name, _)| name).collect()
}

#[test]
fn fields_of_one_hop_are_taken_off_with_those_that_connection_names() {
    let head = http1(
        "GET /a?b=1 HTTP/1.1\r\nhost: x\r\nconnection: close, x-one\r\nx-one: 1\r\nkeep-alive: 5\r\n\
         te: trailers\r\nproxy-authorization: secret\r\nX-Two: 2\r\n\r\n",
    )
    .unwrap();
    assert_eq!(names(&head), ["X-Two", "te"]);
    assert_eq!(head.header("te"), Some("trailers"));
    assert_eq!((head.path(), head.query(), head.authority()), ("/a", Some("b=1"), "x"));
}

#[test]
fn the_request_line_counts_more_than_host() {
    let head = http1("GET http://One:80/a HTTP/1.1\r\nhost: two\r\n\r\n").unwrap();
    assert_eq!((head.form, head.authority.as_str()), (Form::Absolute, "one"));
    assert_eq!(head.target, "/a");
}

#[test]
fn ambiguous_hosts_are_refused_by_both_codecs() {
    for text in ["host: a\r\nhost: b", "x: y", "host: a b", "host: u@a"] {
        let bad = http1(&format!("GET / HTTP/1.1\r\n{text}\r\n\r\n")).unwrap_err();
        assert_eq!(bad.status(), 400, "{text}: {bad}");
    }
    assert_eq!(http2(&[("host", "b")]).unwrap_err(), BadHead::Hosts);
    assert!(http2(&[("host", "A:80")]).is_ok());
    assert!(http2(&[("host", "a"), ("host", "a")]).is_err());
    assert!(http2(&[(":authority", "-")]).is_err());
}

#[test]
fn http2_has_no_fields_of_one_hop_and_no_padded_values() {
    assert_eq!(http2(&[("proxy-connection-x", "1")]).map(|head| head.headers.len()), Ok(1));
    assert_eq!(http2(&[("http2-settings", "x")]).unwrap_err(), BadHead::HopByHop);
    assert!(http2(&[("te", "trailers")]).is_ok());
    for value in [" a", "a ", "\ta", "a\0", "a\r\nb"] {
        assert_eq!(http2(&[("x", value)]).unwrap_err().status(), 400, "{value:?}");
    }
}

#[test]
fn what_is_too_large_is_431() {
    let long = "x".repeat(10_000);
    assert_eq!(http2(&[("x", &long)]).unwrap_err().status(), 431);
    assert_eq!(http2(&[("x", ""); 101]).unwrap_err().status(), 431);
}

#[test]
fn a_path_is_the_same_from_both_codecs() {
    for (raw, want) in [("/a/../b", "/b"), ("//a//b", "/a/b"), ("/%61", "/a"), ("/a?x=/../y", "/a?x=/../y")] {
        let one = http1(&format!("GET {raw} HTTP/1.1\r\nhost: a\r\n\r\n")).unwrap();
        let two = http2(&[(":path", raw)]).unwrap();
        assert_eq!((one.target.as_str(), two.target.as_str()), (want, want), "{raw}");
    }
    for raw in ["/..", "/a%2fb", "/a%5cb", "/%00"] {
        assert!(http1(&format!("GET {raw} HTTP/1.1\r\nhost: a\r\n\r\n")).is_err(), "{raw}");
        assert!(http2(&[(":path", raw)]).is_err(), "{raw}");
    }
}

#[test]
fn cookie_crumbs_become_one_header() {
    let head = http2(&[("cookie", "a=1"), ("cookie", "b=2")]);
    assert_eq!(head.unwrap().header("cookie"), Some("a=1; b=2"));
}

#[test]
fn an_upgrade_is_kept_apart_and_is_an_extended_connect_in_http2() {
    let head = http1(
        "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n",
    )
    .unwrap();
    assert_eq!((head.upgrade.as_deref(), names(&head)), (Some("websocket"), vec!["sec-websocket-key"]));
    let connect = [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/ws")];
    let back = http2(&connect).unwrap();
    assert_eq!((back.method.as_str(), back.upgrade.as_deref()), ("GET", Some("websocket")));
    assert_eq!(names(&back), ["sec-websocket-key", "sec-websocket-version"]);
    assert_eq!(http2(&[(":method", "CONNECT"), (":protocol", "h2c")]).unwrap_err(), BadHead::Pseudo);
    let h2c = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: a\r\n\r\n";
    assert_eq!(http1(h2c).unwrap().upgrade, None);
}

#[test]
fn grpc_is_known_by_its_content_type() {
    for (media, kind) in [
        ("application/grpc", Kind::Grpc),
        ("application/grpc+proto", Kind::Grpc),
        ("application/grpc-web", Kind::Http),
        ("application/json", Kind::Http),
    ] {
        let head = http2(&[("content-type", media)]).unwrap();
        assert_eq!(head.kind, kind, "{media}");
    }
}
