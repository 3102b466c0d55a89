//! SPIFFE ids: what is one, and what is not.

use proptest::prelude::*;

use super::*;

#[test]
fn the_meshs_own_form_is_read() {
    let id = SpiffeId::parse("spiffe://cluster.local/ns/shop/sa/cart").unwrap();
    assert_eq!(
        (id.trust_domain().as_str(), id.namespace(), id.service_account()),
        ("cluster.local", "shop", "cart")
    );
}

#[test]
fn every_other_form_is_refused() {
    for text in [
        "",
        "spiffe://",
        "spiffe://td",
        "spiffe://td/",
        "spiffe:///ns/shop/sa/cart",
        "SPIFFE://td/ns/shop/sa/cart",
        "spiffe://TD/ns/shop/sa/cart",
        "spiffe://td:8080/ns/shop/sa/cart",
        "spiffe://user@td/ns/shop/sa/cart",
        "spiffe://td/ns/shop/sa/cart/",
        "spiffe://td/ns/shop/sa/cart/x",
        "spiffe://td//ns/shop/sa/cart",
        "spiffe://td/ns/shop/sa/",
        "spiffe://td/ns//sa/cart",
        "spiffe://td/sa/cart/ns/shop",
        "spiffe://td/ns/shop/sa/cart?x",
        "spiffe://td/ns/shop/sa/cart#x",
        "spiffe://td/ns/shop/sa/c%61rt",
        "spiffe://td/ns/../sa/cart",
        "spiffe://td/ns/Shop/sa/cart",
        "https://td/ns/shop/sa/cart",
        " spiffe://td/ns/shop/sa/cart",
    ] {
        assert!(SpiffeId::parse(text).is_err(), "{text}");
    }
}

#[test]
fn trust_domains_are_bounded() {
    assert!(TrustDomain::new(&"a".repeat(255)).is_ok());
    assert!(TrustDomain::new(&"a".repeat(256)).is_err());
    assert!(TrustDomain::new("").is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(td in "[a-z0-9._-]{1,40}", ns in "[a-z]([a-z0-9-]{0,20}[a-z0-9])?", sa in "[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z0-9]{1,5})?") {
        let id = SpiffeId::new(TrustDomain::new(&td).unwrap(), &ns, &sa).unwrap();
        prop_assert_eq!(SpiffeId::parse(&id.to_string()), Ok(id));
    }

    #[test]
    fn an_id_has_one_form_only(text in "spiffe://[a-zA-Z0-9._/-]{0,60}") {
        if let Ok(id) = SpiffeId::parse(&text) {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}
