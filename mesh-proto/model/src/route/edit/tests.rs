//! Filters, as tables. The rows of the prefix table are those of HTTPPathModifier.replacePrefixMatch.

use proptest::prelude::*;

use super::*;
use crate::sample::{Head, grpc, http};

fn prefix(new: &str) -> PathRewrite {
    PathRewrite::Prefix(new.to_owned())
}

#[test]
fn prefixes_are_replaced_as_the_standards_table_says() {
    for (request, matched, new, expected) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
    ] {
        assert_eq!(
            rewrite_path(&prefix(new), &http(matched), request),
            expected,
            "{request} {matched} {new}"
        );
    }
}

#[test]
fn prefixes_are_replaced_beyond_the_standards_table() {
    for (request, matched, new, expected) in [
        ("/foo", "/foo", "/xyz/", "/xyz"),
        ("/foo/", "/foo", "/xyz/", "/xyz/"),
        ("/bar", "/", "/xyz", "/xyz/bar"),
        ("/", "/", "/xyz", "/xyz/"),
        ("/bar", "/", "/", "/bar"),
        ("/foo/bar", "/foo", "xyz", "/xyz/bar"),
        ("/foo//bar", "/foo", "/", "//bar"),
        ("/foo%2Fbar/x", "/foo%2Fbar", "/y", "/y/x"),
        ("*", "/", "/xyz", "*"),
        ("", "/", "/xyz", ""),
    ] {
        assert_eq!(
            rewrite_path(&prefix(new), &http(matched), request),
            expected,
            "{request} {matched} {new}"
        );
    }
}

#[test]
fn a_prefix_is_only_replaced_where_the_match_has_one() {
    for matched in [http("=/foo"), http("~/foo.*"), grpc("=foo", ""), http("/other")] {
        assert_eq!(rewrite_path(&prefix("/xyz"), &matched, "/foo/bar"), "/foo/bar");
    }
}

#[test]
fn a_full_path_replaces_whatever_matched() {
    let full = |new: &str, path| rewrite_path(&PathRewrite::Full(new.to_owned()), &http("~.*"), path);
    assert_eq!(full("/one", "/foo/bar"), "/one");
    assert_eq!(full("/one/", "/foo"), "/one/");
    assert_eq!(full("one", "/foo"), "/one");
    assert_eq!(full("", "/foo"), "/");
    assert_eq!(full("/one", "*"), "*");
}

fn keep() -> Redirect {
    Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 }
}

fn location(r: &Redirect, head: &Head, scheme: &str, port: u16) -> String {
    redirect(r, &http("/old"), head, scheme, port).location
}

#[test]
fn a_redirect_keeps_what_it_does_not_change() {
    let head = Head::get("/old/x?a=1&b=%20").authority("cart.shop:8080");
    let https = || Some("https".to_owned());
    for (r, expected) in [
        (keep(), "http://cart.shop:8080/old/x?a=1&b=%20"),
        (
            Redirect { hostname: Some("example.org".to_owned()), ..keep() },
            "http://example.org:8080/old/x?a=1&b=%20",
        ),
        (Redirect { scheme: https(), ..keep() }, "https://cart.shop/old/x?a=1&b=%20"),
        (Redirect { port: Some(9090), ..keep() }, "http://cart.shop:9090/old/x?a=1&b=%20"),
        (Redirect { path: Some(prefix("/new")), ..keep() }, "http://cart.shop:8080/new/x?a=1&b=%20"),
        (
            Redirect { path: Some(PathRewrite::Full("/new".to_owned())), ..keep() },
            "http://cart.shop:8080/new?a=1&b=%20",
        ),
    ] {
        assert_eq!(location(&r, &head, "http", 8080), expected, "{r:?}");
    }
}

#[test]
fn the_port_is_left_out_where_the_scheme_implies_it() {
    for (scheme, port, request_scheme, request_port, expected) in [
        (None, None, "http", 80, "http://cart/old"),
        (None, None, "http", 8080, "http://cart:8080/old"),
        (None, None, "http", 443, "http://cart:443/old"),
        (None, None, "https", 443, "https://cart/old"),
        (None, None, "https", 80, "https://cart:80/old"),
        (None, Some(80), "http", 8080, "http://cart/old"),
        (None, Some(443), "https", 8443, "https://cart/old"),
        (None, Some(443), "http", 80, "http://cart:443/old"),
        (None, Some(80), "https", 443, "https://cart:80/old"),
        (Some("https"), None, "http", 80, "https://cart/old"),
        (Some("https"), None, "http", 8080, "https://cart/old"),
        (Some("http"), None, "https", 8443, "http://cart/old"),
        (Some("http"), None, "http", 8080, "http://cart/old"),
        (Some("https"), Some(443), "http", 8080, "https://cart/old"),
        (Some("https"), Some(80), "http", 8080, "https://cart:80/old"),
        (Some("https"), Some(8443), "http", 80, "https://cart:8443/old"),
        (Some("ftp"), None, "http", 8080, "ftp://cart:8080/old"),
    ] {
        let r = Redirect { scheme: scheme.map(str::to_owned), port, ..keep() };
        let head = Head::get("/old").authority("cart:1234");
        assert_eq!(
            location(&r, &head, request_scheme, request_port),
            expected,
            "{r:?} {request_scheme} {request_port}"
        );
    }
}

#[test]
fn odd_authorities_make_no_odd_locations() {
    assert_eq!(
        location(&keep(), &Head::get("/x").authority("[::1]:8080"), "http", 8080),
        "http://[::1]:8080/x"
    );
    assert_eq!(location(&keep(), &Head::get("/x?q").authority(""), "http", 80), "/x?q");
    assert_eq!(
        location(&keep(), &Head::get("//evil.example/x").authority(""), "http", 80),
        "/evil.example/x"
    );
    assert_eq!(location(&keep(), &Head::get("/x?").authority("a"), "http", 80), "http://a/x?");
}

#[test]
fn the_status_is_the_filters() {
    for status in [301, 302, 303, 307, 308] {
        let answer = redirect(&Redirect { status, ..keep() }, &http("/"), &Head::get("/"), "http", 80);
        assert_eq!(answer.status, status);
    }
}

/// Headers in a list.
#[derive(Default)]
struct List(Vec<(String, String)>);

impl HeaderStore for List {
    fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.0.push((name.to_owned(), value.to_owned()));
    }
    fn append(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = format!("{old},{value}"),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }
    fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }
}

fn edited(edit: &HeaderEdit) -> Vec<(String, String)> {
    let mut list =
        List(vec![("A".to_owned(), "1".to_owned()), ("content-length".to_owned(), "5".to_owned())]);
    edit_headers(edit, &mut list);
    list.0
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn headers_are_set_added_and_removed() {
    let length = ("content-length", "5");
    assert_eq!(
        edited(&HeaderEdit { set: pairs(&[("a", "2"), ("b", "3")]), ..HeaderEdit::default() }),
        pairs(&[length, ("a", "2"), ("b", "3")])
    );
    assert_eq!(
        edited(&HeaderEdit { add: pairs(&[("a", "2"), ("b", "3")]), ..HeaderEdit::default() }),
        pairs(&[("A", "1,2"), length, ("b", "3")])
    );
    assert_eq!(
        edited(&HeaderEdit { remove: vec!["a".to_owned(), "zz".to_owned()], ..HeaderEdit::default() }),
        pairs(&[length])
    );
}

#[test]
fn the_order_is_set_then_add_then_remove() {
    let edit = HeaderEdit {
        set: pairs(&[("b", "1"), ("c", "1")]),
        add: pairs(&[("b", "2"), ("c", "2")]),
        remove: vec!["c".to_owned()],
    };
    assert_eq!(edited(&edit).last(), Some(&("b".to_owned(), "1,2".to_owned())));
}

#[test]
fn no_filter_touches_the_framing_of_messages() {
    let edit = HeaderEdit {
        set: pairs(&[("content-length", "0"), ("transfer-encoding", "chunked"), ("connection", "x")]),
        add: pairs(&[("te", "trailers"), ("upgrade", "h2c")]),
        remove: vec!["content-length".to_owned()],
    };
    assert_eq!(edited(&edit), pairs(&[("A", "1"), ("content-length", "5")]));
}

/// A name that filters may touch, or one that they may not.
fn any_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "x-1", "content-length", "connection", "te"])
        .prop_map(str::to_owned)
}

fn any_pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((any_name(), "[0-9]{0,2}"), 0..4)
}

/// What the standard says of one header: the last `set`, then every `add` behind a comma, then nothing if it is removed.
fn expected(edit: &HeaderEdit, name: &str, before: Option<String>) -> Option<String> {
    if is_framing(name) {
        return before;
    }
    let of = |pairs: &[(String, String)]| -> Vec<String> {
        pairs.iter().filter(|(own, _)| own == name).map(|(_, value)| value.clone()).collect()
    };
    let start = of(&edit.set).pop().or(before);
    let all: Vec<String> = start.into_iter().chain(of(&edit.add)).collect();
    (!all.is_empty() && !edit.remove.iter().any(|gone| gone == name)).then(|| all.join(","))
}

fn any_rewrite() -> impl Strategy<Value = PathRewrite> {
    prop_oneof!["\\PC{0,8}".prop_map(PathRewrite::Full), "\\PC{0,8}".prop_map(PathRewrite::Prefix)]
}

proptest! {
    #[test]
    fn a_rewritten_path_is_rooted_and_keeps_its_end(matched in "(/[a-c]{1,2}){0,2}/?", rest in "(/[a-c]{0,2}){0,3}", new in "(/[x-z]{1,2}){0,2}/?") {
        let path = match format!("{}{rest}", matched.trim_end_matches('/')) {
            empty if empty.is_empty() => "/".to_owned(),
            path => path,
        };
        let out = rewrite_path(&PathRewrite::Prefix(new.clone()), &http(&matched), &path);
        prop_assert!(out.starts_with('/'));
        prop_assert!(out.ends_with(&rest));
        prop_assert!(out.starts_with(new.trim_end_matches('/')));
    }

    #[test]
    fn each_header_ends_as_the_standard_says(
        before in prop::collection::btree_map(any_name(), "[0-9]{0,2}", 0..5),
        set in any_pairs(),
        add in any_pairs(),
        remove in prop::collection::vec(any_name(), 0..3),
    ) {
        let edit = HeaderEdit { set, add, remove };
        let mut list = List(before.clone().into_iter().collect());
        edit_headers(&edit, &mut list);
        for name in ["a", "b", "c", "x-1", "content-length", "connection", "te"] {
            let values: Vec<_> = list.0.iter().filter(|(own, _)| own == name).map(|(_, v)| v.clone()).collect();
            prop_assert!(values.len() <= 1);
            prop_assert_eq!(values.into_iter().next(), expected(&edit, name, before.get(name).cloned()), "{}", name);
        }
    }

    #[test]
    fn no_path_and_no_rewrite_makes_a_path_without_its_slash(rewrite in any_rewrite(), matched in "/[a-c/]{0,4}", path in "\\PC{0,12}") {
        let out = rewrite_path(&rewrite, &http(&matched), &path);
        prop_assert_eq!(out.starts_with('/'), path.starts_with('/'));
    }

    #[test]
    fn a_redirect_names_its_own_host_and_no_other(
        path in "(/[a-z/@:]{0,6}){0,3}",
        rewrite in prop::option::of("[a-z/@:]{0,6}"),
        hostname in prop::option::of("[a-z]{1,4}\\.example"),
        authority in prop::sample::select(vec!["", "cart:80", "cart.shop", "[::1]:8080"]),
        port in prop::option::of(1_u16..),
        query in prop::option::of("[a-z=/:@]{0,6}"),
    ) {
        let r = Redirect { hostname: hostname.clone(), path: rewrite.map(PathRewrite::Full), port, ..keep() };
        let mut head = Head::get(&path).authority(authority);
        head.query = query;
        let answer = location(&r, &head, "http", 8080);
        let host = hostname.unwrap_or_else(|| authority::split(authority).0.to_owned());
        if host.is_empty() {
            // Nothing but a path: one slash, so that no part of it is read as a host.
            prop_assert!(answer.starts_with('/') && !answer.starts_with("//"), "{}", answer);
        } else {
            let rest = answer.strip_prefix(&format!("http://{host}"));
            let rest = rest.map(|rest| rest.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit()));
            prop_assert!(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])), "{}", answer);
        }
    }
}
