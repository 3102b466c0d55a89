//! The X.509-SVID standard, by its sections: what a peer's certificate must be like before anybody asks who it is.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

use super::{connect, exactly};
use crate::identity::Identity;
use crate::key::MemberKey;
use crate::peer::{PeerIdentityError, peer_identity_error, peer_spiffe_id};
use crate::testing::TestCa;
use crate::tls::ClientAuth;

/// What the server says to a client whose certificate has this change.
async fn refusal(change: impl FnOnce(&mut CertificateParams)) -> Result<(), std::io::Error> {
    let ca = TestCa::new("mesh.test");
    let key = MemberKey::generate().unwrap();
    let svid = ca.odd(&key, &ca.id("shop", "cart").to_string(), change);
    let odd = Identity::unchecked(key, svid, ca.bundle()).unwrap();
    let orders = ca.identity("shop", "orders");
    let client = odd.client_config(exactly(&ca, "shop", "orders"), &[]);
    connect(client, orders.server_config(ClientAuth::Required, &[])).await.1.map(|_| ())
}

#[tokio::test]
async fn a_leaf_as_the_standard_has_it_is_taken() {
    refusal(|_| {}).await.unwrap();
    // Section 4.1: other names may stand beside the one URI.
    let dns = || SanType::DnsName("cart.shop".try_into().unwrap());
    refusal(|params| params.subject_alt_names.push(dns())).await.unwrap();
    refusal(|params| params.key_usages.push(KeyUsagePurpose::KeyAgreement)).await.unwrap();
}

#[tokio::test]
async fn a_leaf_that_could_sign_certificates_is_refused() {
    // Section 5.2: keyCertSign and cRLSign must not be set in a leaf, and the CA flag neither.
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let error = refusal(|params| params.key_usages.push(usage)).await.unwrap_err();
        assert_eq!(peer_identity_error(&error), Some(&PeerIdentityError::NotALeaf), "{error}");
    }
    let authority = IsCa::Ca(BasicConstraints::Unconstrained);
    let error = refusal(|params| params.is_ca = authority).await.unwrap_err();
    assert!(error.to_string().contains("CaUsedAsEndEntity"), "{error}");
}

#[tokio::test]
async fn a_leaf_without_key_usage_or_without_digital_signature_is_refused() {
    // Section 4.3: the extension must be there, and have digitalSignature.
    let without: [Vec<KeyUsagePurpose>; 2] = [vec![], vec![KeyUsagePurpose::KeyEncipherment]];
    for usages in without {
        let error = refusal(|params| params.key_usages = usages).await.unwrap_err();
        assert_eq!(peer_identity_error(&error), Some(&PeerIdentityError::NotALeaf), "{error}");
    }
}

#[tokio::test]
async fn a_leaf_for_another_purpose_than_the_connections_is_refused() {
    // Section 4.4: where extended key usage is there, it says for what.
    let error =
        refusal(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]).await;
    assert!(error.unwrap_err().to_string().contains("RequiredEkuNotFound"));
}

#[test]
fn an_id_of_another_scheme_or_without_path_is_nobodys() {
    // Section 2 and SPIFFE-ID, section 2: a trust domain alone is an authority's name.
    let ca = TestCa::new("mesh.test");
    let key = MemberKey::generate().unwrap();
    for uri in [
        "https://mesh.test/ns/shop/sa/cart",
        "spiffe://mesh.test",
        "spiffe://mesh.test/",
        "spiffe://mesh.test/ns/shop/sa/cart/",
    ] {
        let leaf = ca.leaf(&key, &[uri], std::time::SystemTime::now() + std::time::Duration::from_hours(1));
        let refused = peer_spiffe_id(&[leaf]).unwrap_err();
        assert!(matches!(refused, PeerIdentityError::Invalid(_)), "{uri}: {refused}");
    }
}
