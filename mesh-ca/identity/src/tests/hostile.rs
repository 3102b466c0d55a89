//! Certificates that our own authority signed and that nobody may get in with, shown by clients and by servers.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, SanType, date_time_ymd};
use rustls_pki_types::CertificateDer;

use super::{connect, exactly};
use crate::identity::Identity;
use crate::key::MemberKey;
use crate::refusal::{Refusal, refusal};
use crate::testing::TestCa;
use crate::tls::ClientAuth;

const GOOD: &str = "spiffe://mesh.test/ns/shop/sa/cart";

/// Somebody who shows this chain; `change` is made to a good leaf.
fn imposter(ca: &TestCa, uris: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let key = MemberKey::generate().unwrap();
    let mut svid = ca.sign(&key, &[GOOD], SystemTime::now() + Duration::from_hours(1));
    svid.chain[0] = ca.odd_leaf(&key, uris, change);
    Identity::unchecked(key, svid, ca.bundle()).unwrap()
}

type Change = fn(&mut CertificateParams);

fn dns_only(params: &mut CertificateParams) {
    params.subject_alt_names = vec![SanType::DnsName("cart.shop.svc".try_into().unwrap())];
}

// T25
#[tokio::test]
async fn no_bad_certificate_gets_in_or_is_taken_for_the_server_and_each_has_its_reason() {
    use Refusal::{Identity as Nobody, Time, TrustDomain, Usage};
    let ca = TestCa::new("mesh.test");
    let (cart, orders) = (ca.identity("shop", "cart"), ca.identity("shop", "orders"));
    let long = format!("spiffe://mesh.test/ns/shop/sa/{}", "a".repeat(2049 - 30));
    assert_eq!(long.len(), 2049);
    let as_it_is: Change = |_| {};
    let cases: &[(&str, &[&str], Change, Refusal)] = &[
        ("another trust domain", &["spiffe://other.test/ns/shop/sa/cart"], as_it_is, TrustDomain),
        ("ours as a prefix", &["spiffe://mesh.test.evil/ns/shop/sa/cart"], as_it_is, TrustDomain),
        ("a prefix of ours", &["spiffe://mesh.tes/ns/shop/sa/cart"], as_it_is, TrustDomain),
        ("a NUL after the name", &["spiffe://mesh.test/ns/shop/sa/cart\0.evil"], as_it_is, Nobody),
        ("a NUL in the trust domain", &["spiffe://mesh.test\0.evil/ns/shop/sa/cart"], as_it_is, Nobody),
        ("two URIs", &[GOOD, "spiffe://mesh.test/ns/shop/sa/admin"], as_it_is, Nobody),
        ("the same URI twice", &[GOOD, GOOD], as_it_is, Nobody),
        ("a DNS name only", &[], dns_only, Nobody),
        ("no name at all", &[], as_it_is, Nobody),
        ("a wildcard", &["spiffe://mesh.test/ns/shop/sa/*"], as_it_is, Nobody),
        ("2049 bytes", &[&long], as_it_is, Nobody),
        ("an upper-case trust domain", &["spiffe://MESH.TEST/ns/shop/sa/cart"], as_it_is, Nobody),
        ("an upper-case scheme", &["SPIFFE://mesh.test/ns/shop/sa/cart"], as_it_is, Nobody),
        ("no extended key usage", &[GOOD], |params| params.extended_key_usages.clear(), Usage),
        (
            "for another purpose",
            &[GOOD],
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning],
            Usage,
        ),
        ("an authority", &[GOOD], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), Usage),
        (
            "expired",
            &[GOOD],
            |params| {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2020, 1, 2);
            },
            Time,
        ),
        (
            "not yet valid",
            &[GOOD],
            |params| {
                params.not_before = date_time_ymd(2999, 1, 1);
                params.not_after = date_time_ymd(2999, 2, 1);
            },
            Time,
        ),
    ];
    for (case, uris, change, reason) in cases {
        let imposter = imposter(&ca, uris, change);
        for auth in [ClientAuth::Required, ClientAuth::Optional] {
            let client = imposter.client_config(exactly(&ca, "shop", "orders"), &[]);
            let (_, refused) = connect(client, orders.server_config(auth, &[])).await;
            let error = refused.expect_err(case);
            assert_eq!(refusal(&error), Some(*reason), "{case}, as a client: {error}");
        }
        let client = cart.client_config(exactly(&ca, "shop", "cart"), &[]);
        let (refused, _) = connect(client, imposter.server_config(ClientAuth::Required, &[])).await;
        let error = refused.expect_err(case);
        assert_eq!(refusal(&error), Some(*reason), "{case}, as a server: {error}");
    }
    let longer = ca.identity("shop", "orders-admin");
    let client = cart.client_config(exactly(&ca, "shop", "orders"), &[]);
    let (refused, _) = connect(client, longer.server_config(ClientAuth::Required, &[])).await;
    assert_eq!(refusal(&refused.unwrap_err()), Some(Refusal::Unexpected), "a name of which ours is a prefix");
}

// T27
#[tokio::test]
async fn long_chains_and_many_candidate_issuers_are_refused_without_being_searched() {
    let ca = TestCa::new("mesh.test");
    let (cart, orders) = (ca.identity("shop", "cart"), ca.identity("shop", "orders"));
    // Each has the name and usage of the issuer and another key, so that each would have to be tried.
    let others: Vec<CertificateDer<'static>> = (0..100).map(|_| ca.namesake_of_issuer()).collect();
    let good = ca.sign(&MemberKey::generate().unwrap(), &[GOOD], SystemTime::now() + Duration::from_hours(1));
    let big = CertificateDer::from(vec![0x30; 60 * 1024]);
    for (case, intermediates) in [
        ("100 candidate issuers", others.clone()),
        ("the issuer behind 100 others", [others, vec![good.chain[1].clone()]].concat()),
        ("a chain of 64 KB", vec![big]),
    ] {
        let key = MemberKey::generate().unwrap();
        let mut svid = ca.sign(&key, &[GOOD], SystemTime::now() + Duration::from_hours(1));
        svid.chain.truncate(1);
        svid.chain.extend(intermediates);
        let imposter = Identity::unchecked(key, svid, ca.bundle()).unwrap();
        let client = imposter.client_config(exactly(&ca, "shop", "orders"), &[]);
        let (_, refused) = connect(client, orders.server_config(ClientAuth::Required, &[])).await;
        assert!(refused.is_err(), "{case}, as a client");
        let client = cart.client_config(exactly(&ca, "shop", "cart"), &[]);
        let (refused, _) = connect(client, imposter.server_config(ClientAuth::Required, &[])).await;
        assert!(refused.is_err(), "{case}, as a server");
    }
    let client = cart.client_config(exactly(&ca, "shop", "orders"), &[]);
    connect(client, orders.server_config(ClientAuth::Required, &[])).await.1.unwrap();
}
