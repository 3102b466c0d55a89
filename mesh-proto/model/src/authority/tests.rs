//! Authorities and names of services, as tables.

use proptest::prelude::*;

use super::*;

#[test]
fn valid_authorities_are_read() {
    for (text, host, port) in [
        ("cart", "cart", None),
        ("cart:80", "cart", Some(80)),
        ("Cart.Shop:8080", "cart.shop", Some(8080)),
        ("cart.shop.svc.cluster.local.", "cart.shop.svc.cluster.local", None),
        ("cart:", "cart", None),
        ("10.0.0.1:443", "10.0.0.1", Some(443)),
        ("[::1]", "::1", None),
        ("[::1]:8080", "::1", Some(8080)),
    ] {
        assert_eq!(Authority::parse(text), Ok(Authority { host: host.to_owned(), port }), "{text}");
    }
}

#[test]
fn other_authorities_are_refused() {
    for text in [
        "",
        ":80",
        ".",
        "cart:0",
        "cart:65536",
        "cart:http",
        "cart:-1",
        "cart:80:80",
        "::1",
        "[::1",
        "[cart]",
        "a b",
        "user@cart",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "a%41",
        "\u{e4}",
        "a\0",
    ] {
        assert!(Authority::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_port_that_the_scheme_implies_is_left_out() {
    for (text, scheme, left) in [
        ("cart:80", "http", "cart"),
        ("cart:443", "https", "cart"),
        ("cart:443", "http", "cart:443"),
        ("cart", "http", "cart"),
        ("[::1]:80", "http", "[::1]"),
        ("[::1]", "http", "[::1]"),
        ("cart:", "http", "cart"),
        ("cart:x", "ftp", "cart:x"),
        ("cart:080", "http", "cart"),
    ] {
        assert_eq!(without_default_port(text, scheme), left, "{text} {scheme}");
    }
}

#[test]
fn hosts_stand_for_services() {
    let perhaps = |ns, name| Candidates::Perhaps(ServiceName::new(ns, name).unwrap());
    let only = |ns, name| Candidates::Only(ServiceName::new(ns, name).unwrap());
    for (host, expected) in [
        ("cart", perhaps("own", "cart")),
        ("CART", perhaps("own", "cart")),
        ("cart.", perhaps("own", "cart")),
        ("cart.shop", perhaps("shop", "cart")),
        ("example.com", perhaps("com", "example")),
        ("cart.shop.svc", only("shop", "cart")),
        ("cart.shop.svc.cluster.local", only("shop", "cart")),
        ("cart.shop.svc.cluster.local.", only("shop", "cart")),
        ("cart.shop.svc.other.domain", Candidates::None),
        ("www.example.com", Candidates::None),
        ("pod-0.cart.shop.svc.cluster.local", Candidates::None),
        ("cart.svc", Candidates::None),
        ("svc", perhaps("own", "svc")),
        ("localhost", Candidates::None),
        ("10.0.0.1", Candidates::None),
        ("::1", Candidates::None),
        ("", Candidates::None),
        (".shop", Candidates::None),
        ("cart..svc", Candidates::None),
        ("-cart", Candidates::None),
        ("c\u{e4}rt", Candidates::None),
    ] {
        assert_eq!(service_of(host, "own", "cluster.local"), expected, "{host}");
    }
}

#[test]
fn the_cluster_domain_is_the_meshs_own() {
    let service = ServiceName::new("shop", "cart").unwrap();
    assert_eq!(
        service_of("cart.shop.svc.corp.example", "own", "corp.example"),
        Candidates::Only(service.clone())
    );
    assert_eq!(service_of("cart.shop.svc.cluster.local", "own", "corp.example"), Candidates::None);
    assert_eq!(service_of("cart.shop.svc", "own", "").service(), Some(&service));
    assert_eq!(service_of("10.0.0.1", "own", "").service(), None);
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,40}", domain in "[a-z.]{0,12}") {
        let _ = Authority::parse(&text);
        let _ = without_default_port(&text, "http");
        let _ = service_of(&text, "own", &domain);
    }
}
