//! Facts about the canonical head.

use http::Request;
use mesh_model::head::HeadView;

use super::{BadHead, Form, Kind, RequestHead, Wire};

fn build(request: http::request::Builder) -> Result<RequestHead, BadHead> {
    RequestHead::build(request.body(()).unwrap().into_parts().0)
}

#[test]
fn hop_by_hop_headers_are_taken_off_with_those_that_connection_names() {
    let head = build(
        Request::get("/a?b=1")
            .header("host", "x")
            .header("connection", "close, x-one, content-length")
            .header("x-one", "1")
            .header("keep-alive", "5")
            .header("te", "trailers, gzip")
            .header("proxy-authorization", "secret")
            .header("x-two", "2"),
    )
    .unwrap();
    let names: Vec<_> = head.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["x-two", "te"]);
    assert_eq!(head.header("te"), Some("trailers"));
    assert_eq!((head.path(), head.query(), head.authority()), ("/a", Some("b=1"), "x"));
}

#[test]
fn the_request_line_counts_more_than_host() {
    let head = build(Request::get("http://one:80/a").header("host", "two")).unwrap();
    assert_eq!(
        (head.form, head.authority.as_str(), HeadView::authority(&head)),
        (Form::Absolute, "one:80", "one")
    );
    let sent = head.into_request(Wire::Http1, ());
    assert_eq!(sent.uri(), "/a");
    assert_eq!(sent.headers()["host"], "one:80");
}

#[test]
fn ambiguous_hosts_are_refused() {
    let two = Request::get("/").header("host", "a").header("host", "b");
    assert_eq!(build(two).unwrap_err(), BadHead::Hosts);
    assert_eq!(build(Request::get("/")).unwrap_err(), BadHead::NoHost);
    let h2 = Request::get("http://a/").version(http::Version::HTTP_2).header("host", "b");
    assert_eq!(build(h2).unwrap_err(), BadHead::Hosts);
    assert_eq!(build(Request::get("/").header("host", "a b")).unwrap_err(), BadHead::Authority);
    assert_eq!(build(Request::get("/").header("host", "u@a")).unwrap_err(), BadHead::Authority);
    assert_eq!(build(Request::get("https://a/")).unwrap_err(), BadHead::Scheme);
}

#[test]
fn cookie_crumbs_become_one_header() {
    let head = build(
        Request::get("http://a/")
            .version(http::Version::HTTP_2)
            .header("cookie", "a=1")
            .header("cookie", "b=2"),
    );
    assert_eq!(head.unwrap().header("cookie"), Some("a=1; b=2"));
}

#[test]
fn an_upgrade_is_kept_apart_and_written_again_for_http1_only() {
    let ask = || {
        Request::get("/").header("host", "a").header("connection", "Upgrade").header("upgrade", "websocket")
    };
    let head = build(ask()).unwrap();
    assert!(head.headers.is_empty());
    let sent = head.clone().into_request(Wire::Http1, ());
    assert_eq!(
        (&sent.headers()["connection"], &sent.headers()["upgrade"]),
        (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
    );
    let sent = head.into_request(Wire::Http2, ());
    assert!(!sent.headers().contains_key("upgrade"));
    let h2c = Request::get("/")
        .header("host", "a")
        .header("connection", "upgrade, http2-settings")
        .header("upgrade", "h2c");
    assert_eq!(build(h2c).unwrap().upgrade, None);
}

#[test]
fn grpc_is_known_by_its_content_type() {
    for (media, kind) in [
        ("application/grpc", Kind::Grpc),
        ("application/grpc+proto", Kind::Grpc),
        ("application/grpc-web", Kind::Http),
        ("application/json", Kind::Http),
    ] {
        let head = build(Request::post("/").header("host", "a").header("content-type", media)).unwrap();
        assert_eq!(head.kind, kind, "{media}");
    }
}
