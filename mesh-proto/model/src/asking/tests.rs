//! Descriptors as rows: what each part says of a request, and what is left out.

use super::*;
use crate::policy::claims::Claim;
use crate::sample::Head;

fn rate(descriptors: Vec<Vec<(&str, Part)>>) -> GlobalRate {
    let entry = |(key, value): (&str, Part)| Entry { key: key.to_owned(), value };
    GlobalRate {
        target: BackendTarget::Invalid { reference: String::new(), reason: String::new() },
        domain: "shop".to_owned(),
        descriptors: descriptors.into_iter().map(|one| one.into_iter().map(entry).collect()).collect(),
        timeout: GlobalRate::TIMEOUT,
        unanswered: Unanswered::Pass,
    }
}

#[test]
fn every_part_says_what_the_request_has() {
    let head = Head::get("/a/b?c=d").header("x-user", "ann").header("x-user", "bob").header("x-none", "");
    let peer = SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/web").unwrap();
    let claims = Claims::new(vec![
        ("sub".to_owned(), Claim::Text("ann".to_owned())),
        ("level".to_owned(), Claim::Int(7)),
        ("roles".to_owned(), Claim::List(vec![])),
    ])
    .unwrap();
    let known = Known { head: &head, peer: Some(&peer), route: "httproute/shop/r#0", claims: Some(&claims) };
    let nobody = Known { head: &head, peer: None, route: "", claims: None };
    for (part, said, of_nobody) in [
        (Part::Literal(String::new()), Some(""), Some("")),
        (Part::Literal("x".to_owned()), Some("x"), Some("x")),
        (Part::Header("x-user".to_owned()), Some("ann,bob"), Some("ann,bob")),
        (Part::Header("x-none".to_owned()), None, None),
        (Part::Header("x-gone".to_owned()), None, None),
        (Part::Method, Some("GET"), Some("GET")),
        (Part::Path, Some("/a/b"), Some("/a/b")),
        (Part::Host, Some("cart.shop:8080"), Some("cart.shop:8080")),
        (Part::Route, Some("httproute/shop/r#0"), None),
        (Part::ClientIdentity, Some("spiffe://mesh.test/ns/shop/sa/web"), None),
        (Part::ClientNamespace, Some("shop"), None),
        (Part::ClientWorkload, Some("shop/web"), None),
        (Part::Claim("sub".to_owned()), Some("ann"), None),
        (Part::Claim("level".to_owned()), Some("7"), None),
        (Part::Claim("roles".to_owned()), None, None),
        (Part::Claim("gone".to_owned()), None, None),
    ] {
        assert_eq!(part.of(&known).as_deref(), said, "{part:?}");
        assert_eq!(part.of(&nobody).as_deref(), of_nobody, "{part:?} of nobody");
    }
}

#[test]
fn a_descriptor_of_which_a_part_is_not_there_is_left_out_whole() {
    let rate = rate(vec![
        vec![("path", Part::Path), ("user", Part::Header("x-user".to_owned()))],
        vec![("client", Part::ClientNamespace)],
        vec![("all", Part::Literal("1".to_owned()))],
    ]);
    let keys = |head: &Head| -> Vec<Vec<String>> {
        let described = rate.describe(&Known { head, peer: None, route: "", claims: None });
        described.into_iter().map(|one| one.into_iter().map(|(key, _)| key).collect()).collect()
    };
    assert_eq!(keys(&Head::get("/")), [vec!["all"]]);
    assert_eq!(keys(&Head::get("/").header("x-user", "ann")), [vec!["path", "user"], vec!["all"]]);
}
