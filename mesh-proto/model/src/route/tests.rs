//! Expressions and names of routes.

use super::*;

#[test]
fn an_expression_cannot_escape_the_whole_text() {
    assert!(Pattern::new("a)|(b").is_err());
    let either = Pattern::new("a|b").unwrap();
    assert!(either.is_match("a") && either.is_match("b") && !either.is_match("ab") && !either.is_match("xb"));
    assert!(!Pattern::new("(?m)a").unwrap().is_match("a\nb"));
}

#[test]
fn a_bad_expression_says_why_in_one_line() {
    assert_eq!(Pattern::new("a(").unwrap_err(), "unclosed group");
    assert_eq!(Pattern::new("(a{1000}){1000}").unwrap_err(), "it needs more than 65536 bytes compiled");
}

#[test]
fn a_literal_fits_its_text_alone() {
    let pattern = Pattern::new(&Pattern::literal("shop.Cart+")).unwrap();
    assert!(pattern.is_match("shop.Cart+") && !pattern.is_match("shopxCart+"));
}

#[test]
fn ids_show_kind_namespace_and_name() {
    let name = Name::new("shop", "cart.v2").unwrap();
    assert_eq!(RouteId { kind: RouteKind::Http, name: name.clone() }.to_string(), "httproute/shop/cart.v2");
    assert_eq!(RouteId { kind: RouteKind::Grpc, name }.to_string(), "grpcroute/shop/cart.v2");
}
