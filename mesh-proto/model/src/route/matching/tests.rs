//! Whether a request fits a match, as tables.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::sample::{Head, grpc, http, path};

#[test]
fn a_prefix_fits_by_whole_segments() {
    for (prefix, request, fits) in [
        ("/", "/", true),
        ("/", "/anything/at/all", true),
        ("/", "*", true),
        ("/", "", true),
        ("/v2", "/v2", true),
        ("/v2", "/v2/", true),
        ("/v2", "/v2/x", true),
        ("/v2", "/v2example", false),
        ("/v2", "/V2", false),
        ("/v2", "/", false),
        ("/v2", "/x/v2", false),
        ("/v2/", "/v2", true),
        ("/v2/", "/v2/x", true),
        ("/v2/", "/v2x", false),
        ("/a/b", "/a/b/c", true),
        ("/a/b", "/a", false),
        ("/a/b", "/a/bc", false),
    ] {
        assert_eq!(path(prefix).fits(request), fits, "prefix {prefix} and path {request}");
    }
}

#[test]
fn a_prefix_is_stored_without_trailing_slash_but_the_root_stays() {
    assert_eq!(PathMatch::prefix("/a/"), PathMatch::Prefix("/a".to_owned()));
    assert_eq!(PathMatch::prefix("/a///"), PathMatch::Prefix("/a".to_owned()));
    assert_eq!(PathMatch::prefix("/"), PathMatch::Prefix("/".to_owned()));
    assert_eq!(PathMatch::prefix(""), PathMatch::Prefix("/".to_owned()));
}

#[test]
fn exact_and_expression_fit_whole_paths_only() {
    for (spec, request, fits) in [
        ("=/a", "/a", true),
        ("=/a", "/a/", false),
        ("=/a", "/A", false),
        ("~/a", "/ab", false),
        ("~/a.*", "/ab/c", true),
        ("~.*/v[0-9]+", "/api/v12", true),
        ("~/a|/b", "/b", true),
        ("~/a|/b", "/bx", false),
    ] {
        assert_eq!(path(spec).fits(request), fits, "{spec} and path {request}");
    }
}

#[test]
fn the_method_is_compared_exactly() {
    let wanted = http("/").with_method("PATCH");
    assert!(wanted.fits(&Head::get("/").method("PATCH")));
    assert!(!wanted.fits(&Head::get("/").method("patch")));
    assert!(!wanted.fits(&Head::get("/")));
}

#[test]
fn headers_fit_without_regard_to_the_case_of_names() {
    for (spec, head, fits) in [
        ("=blue", Head::get("/").header("COLOUR", "blue"), true),
        ("=blue", Head::get("/").header("colour", "Blue"), false),
        ("=blue", Head::get("/"), false),
        ("=", Head::get("/").header("colour", ""), true),
        ("=", Head::get("/"), false),
        ("~.*", Head::get("/"), false),
        ("=a,b", Head::get("/").header("colour", "a").header("Colour", "b"), true),
        ("=a", Head::get("/").header("colour", "a").header("colour", "b"), false),
        ("~a,.*", Head::get("/").header("colour", "a").header("colour", "b"), true),
        ("~.+", Head::get("/").header("colour", [0xff, 0xfe]), true),
        ("=\u{fffd}", Head::get("/").header("colour", [0xff]), false),
        ("~bl", Head::get("/").header("colour", "blue"), false),
    ] {
        assert_eq!(http("/").with_header("colour", spec).fits(&head), fits, "{spec} and {head:?}");
    }
}

#[test]
fn of_two_conditions_with_one_name_only_the_first_counts() {
    let head = Head::get("/?p=1").header("x", "1");
    assert!(http("/").with_header("x", "=1").with_header("x", "=2").fits(&head));
    assert!(!http("/").with_header("x", "=2").with_header("x", "=1").fits(&head));
    assert!(http("/").with_query("p", "=1").with_query("p", "=2").fits(&head));
    assert!(!http("/").with_query("p", "=2").with_query("p", "=1").fits(&head));
    assert!(!http("/").with_header("x", "=1").with_header("y", "=2").fits(&head), "all must fit");
}

#[test]
fn query_parameters_are_decoded_and_the_first_of_a_name_counts() {
    for (name, spec, target, fits) in [
        ("p", "=1", "/?p=1", true),
        ("p", "=1", "/?q=2&p=1", true),
        ("p", "=1", "/?p=2&p=1", false),
        ("p", "=1", "/?P=1", false),
        ("p", "=1", "/", false),
        ("p", "=1", "/?", false),
        ("p", "=", "/?p", true),
        ("p", "=", "/?p=", true),
        ("p", "=a=b", "/?p=a=b", true),
        ("p", "=a b", "/?p=a+b", true),
        ("p", "=a b", "/?p=a%20b", true),
        ("p", "=a+b", "/?p=a%2Bb", true),
        ("p", "=\u{e4}", "/?p=%C3%a4", true),
        ("p", "=100%", "/?p=100%", true),
        ("p", "=%g1", "/?p=%g1", true),
        ("p", "=%4", "/?p=%4", true),
        ("a b", "=1", "/?a+b=1", true),
        ("a b", "=1", "/?a%20b=1", true),
        ("p", "=1&q", "/?p=1%26q", true),
        ("p", "~[0-9]+", "/?p=42", true),
        ("p", "~[0-9]+", "/?p=42x", false),
        ("p", "=1", "/?&&p=1&", true),
        ("p", "~.", "/?p=%ff", true),
    ] {
        assert_eq!(
            http("/").with_query(name, spec).fits(&Head::get(target)),
            fits,
            "{name} {spec} and {target}"
        );
    }
}

#[test]
fn grpc_matches_read_service_and_method_from_the_path() {
    for (service, method, request, fits) in [
        ("", "", "/shop.Cart/Add", true),
        ("", "", "/not-grpc", true),
        ("=shop.Cart", "", "/shop.Cart/Add", true),
        ("=shop.Cart", "=Add", "/shop.Cart/Add", true),
        ("=shop.Cart", "=Add", "/shop.Cart/add", false),
        ("=shop.Cart", "", "/shop.CartX/Add", false),
        ("", "=Add", "/anything/Add", true),
        ("~shop\\..*", "", "/shop.Cart/Add", true),
        ("~shop", "", "/shop.Cart/Add", false),
        ("", "~A.*", "/shop.Cart/Add", true),
        ("=shop.Cart", "", "/shop.Cart", false),
        ("=shop.Cart", "", "/shop.Cart/", false),
        ("=shop.Cart", "", "/shop.Cart/Add/x", false),
        ("", "~.*", "//Add", false),
    ] {
        assert_eq!(grpc(service, method).fits(&Head::get(request)), fits, "{service} {method} and {request}");
    }
    assert!(!grpc("", "").with_header("v", "=1").fits(&Head::get("/a/B")));
    assert!(grpc("", "").with_header("v", "=1").fits(&Head::get("/a/B").header("v", "1")));
}

#[test]
fn every_part_that_does_not_fit_is_named_in_order() {
    let wanted = http("=/a").with_method("POST").with_query("p", "=1").with_query("p", "=2");
    let wanted = wanted.with_header("x", "=1").with_header("x", "=2").with_header("y", "=1");
    let head = Head::get("/b?p=3").header("y", "1");
    let parts: Vec<String> = wanted
        .misfits(&head)
        .map(|misfit| match misfit {
            Misfit::Path(_) => "path".to_owned(),
            Misfit::Call(_) => "call".to_owned(),
            Misfit::Method(method) => method.to_owned(),
            Misfit::Query(at, one) => format!("query {at} {}", one.name),
            Misfit::Header(at, one) => format!("header {at} {}", one.name),
        })
        .collect();
    assert_eq!(
        parts,
        ["path", "POST", "query 0 p", "header 0 x"],
        "of two with one name only the first counts"
    );
    assert_eq!(grpc("=a.B", "").misfits(&Head::get("/c.D/E")).count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_matching_panic_and_what_fits_has_no_misfit(
        target in "\\PC{0,16}",
        query in prop::option::of("\\PC{0,16}"),
        method in "\\PC{0,8}",
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..3),
        wanted_path in select(vec!["/", "=/a", "/a/b", "~/.*", "~.*%.*"]),
        wanted_value in select(vec!["=", "=%41", "~.*", "~.+"]),
        call in any::<bool>(),
    ) {
        let mut head = Head::get(&target).method(&method);
        head.query = query;
        for value in values {
            head = head.header("x", value);
        }
        let wanted = if call {
            grpc("~.*", wanted_value)
        } else {
            http(wanted_path).with_query("p", wanted_value)
        };
        let wanted = wanted.with_header("x", wanted_value);
        prop_assert_eq!(wanted.fits(&head), wanted.misfits(&head).count() == 0);
        let rebuilt = call_of(&target).map(|(service, method)| format!("/{service}/{method}"));
        prop_assert!(rebuilt.is_none_or(|rebuilt| rebuilt == target));
    }

    #[test]
    fn decoding_undoes_encoding_and_grows_nothing(text in "\\PC{0,8}", odd in "[%+0-9a-fA-F]{0,12}") {
        let encoded = text.bytes().fold(String::new(), |all, b| all + &format!("%{b:02x}"));
        prop_assert_eq!(&*decoded(&encoded), text.as_bytes());
        prop_assert!(decoded(&odd).len() <= odd.len());
        let query = format!("a=1&{encoded}={encoded}");
        if text != "a" {
            let value = query_value(&text, &query);
            prop_assert_eq!(value.as_deref(), Some(text.as_bytes()));
        }
    }
}
