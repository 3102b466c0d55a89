//! Facts about members of two trust domains.

use super::{connect, exactly};
use crate::identity::{BundleChange, ExpectedServer, Identity};
use crate::key::MemberKey;
use crate::peer::{PeerIdentityError, peer_identity_error, peer_spiffe_id};
use crate::testing::TestCa;
use crate::tls::ClientAuth;
use crate::{InvalidBundle, MAX_FEDERATED, TrustBundle};

/// Two meshes that know each other, and a member of each: `shop/cart` here, `bank/teller` there.
fn two() -> (TestCa, TestCa, Identity, Identity) {
    let (here, there) = (TestCa::new("here.test"), TestCa::new("there.test"));
    let (cart, teller) = (here.identity("shop", "cart"), there.identity("bank", "teller"));
    let knows = |own: &TestCa, other: &TestCa| own.bundle().with_federated(vec![other.bundle()]).unwrap();
    assert_eq!(cart.set_bundle(knows(&here, &there)), BundleChange::New);
    assert_eq!(teller.set_bundle(knows(&there, &here)), BundleChange::New);
    (here, there, cart, teller)
}

#[tokio::test]
async fn members_of_federated_trust_domains_know_each_other() {
    let (here, there, cart, teller) = two();
    let client = cart.client_config(exactly(&there, "bank", "teller"), &[]);
    let (client, server) = connect(client, teller.server_config(ClientAuth::Federated, &[])).await;
    let (client, server) = (client.unwrap(), server.unwrap());
    let peer =
        |certs: Option<&[rustls_pki_types::CertificateDer<'_>]>| peer_spiffe_id(certs.unwrap()).unwrap();
    assert_eq!(peer(server.get_ref().1.peer_certificates()), here.id("shop", "cart"));
    assert_eq!(peer(client.get_ref().1.peer_certificates()), there.id("bank", "teller"));
}

#[tokio::test]
async fn who_serves_its_own_trust_domain_alone_refuses_a_federated_member() {
    let (_, there, cart, teller) = two();
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let client = cart.client_config(exactly(&there, "bank", "teller"), &[]);
        let (_, server) = connect(client, teller.server_config(auth, &[])).await;
        assert!(server.unwrap_err().to_string().contains("TrustDomain"));
    }
}

#[tokio::test]
async fn a_federated_root_vouches_for_no_other_trust_domain() {
    let (here, there, _, teller) = two();
    let third = TestCa::new("third.test");
    // The other mesh signs a name of ours, and one of somebody whom nobody knows.
    for id in [here.id("shop", "cart"), third.id("shop", "cart")] {
        let (key, name) = (MemberKey::generate().unwrap(), id.to_string());
        let svid =
            there.sign(&key, &[&name], std::time::SystemTime::now() + std::time::Duration::from_hours(1));
        let forger = Identity::unchecked(key, svid, here.bundle()).unwrap();
        let ours = here.identity("shop", "orders");
        ours.set_bundle(here.bundle().with_federated(vec![there.bundle()]).unwrap());
        let client = forger.client_config(exactly(&here, "shop", "orders"), &[]);
        let (_, server) = connect(client, ours.server_config(ClientAuth::Federated, &[])).await;
        // Of a mesh that nobody knows it is said that it is another one.
        let wanted = if id.trust_domain() == third.id("shop", "cart").trust_domain() {
            "TrustDomain"
        } else {
            "UnknownIssuer"
        };
        assert!(server.unwrap_err().to_string().contains(wanted), "{name}");
        // And as a server, to somebody who expects that name.
        let client = ours.client_config(ExpectedServer::Exactly(id), &[]);
        let (client, _) = connect(client, forger.server_config(ClientAuth::Federated, &[])).await;
        assert!(client.unwrap_err().to_string().contains(wanted), "{name}");
    }
    drop(teller);
}

#[tokio::test]
async fn our_root_vouches_for_no_federated_trust_domain() {
    let (here, there, _, _) = two();
    let key = MemberKey::generate().unwrap();
    let name = there.id("bank", "teller").to_string();
    let svid = here.sign(&key, &[&name], std::time::SystemTime::now() + std::time::Duration::from_hours(1));
    let forger = Identity::unchecked(key, svid, here.bundle()).unwrap();
    let ours = here.identity("shop", "orders");
    ours.set_bundle(here.bundle().with_federated(vec![there.bundle()]).unwrap());
    let client = forger.client_config(exactly(&here, "shop", "orders"), &[]);
    let (_, server) = connect(client, ours.server_config(ClientAuth::Federated, &[])).await;
    assert!(server.unwrap_err().to_string().contains("UnknownIssuer"));
}

#[tokio::test]
async fn the_end_of_a_federation_is_in_force_at_once_and_for_resumed_sessions() {
    let (here, there, cart, teller) = two();
    let server = teller.server_config(ClientAuth::Federated, &[]);
    let client = cart.client_config(exactly(&there, "bank", "teller"), &[]);
    connect(client.clone(), server.clone()).await.1.unwrap();
    assert_eq!(teller.set_bundle(there.bundle()), BundleChange::New);
    let (_, refused) = connect(client, server).await;
    let error = refused.unwrap_err();
    assert!(error.to_string().contains("TrustDomain"), "{error}");
    assert!(
        peer_identity_error(&error).is_none_or(|error| !matches!(error, PeerIdentityError::NoCertificate))
    );
    drop(here);
}

#[test]
fn a_bundle_has_one_entry_a_trust_domain_and_a_bound() {
    let bundle = |name: &str| TestCa::new(name).bundle();
    let here = bundle("here.test");
    let refused = |federated: Vec<TrustBundle>| here.clone().with_federated(federated).unwrap_err();
    assert!(matches!(refused(vec![bundle("here.test")]), InvalidBundle::Twice(_)), "our own");
    assert!(matches!(refused(vec![bundle("a.test"), bundle("a.test")]), InvalidBundle::Twice(_)));
    let one = TestCa::new("many.test").bundle();
    assert!(matches!(refused(vec![one; MAX_FEDERATED + 1]), InvalidBundle::TooManyFederated(65)));
}

#[test]
fn a_change_of_token_keys_or_of_a_federated_bundle_is_a_new_bundle() {
    let (here, there) = (TestCa::new("here.test"), TestCa::new("there.test"));
    let cart = here.identity("shop", "cart");
    let federated = |keys: &str| vec![there.bundle().with_jwt_keys(keys)];
    assert_eq!(cart.set_bundle(here.bundle()), BundleChange::Same);
    assert_eq!(cart.set_bundle(here.bundle().with_jwt_keys("{}")), BundleChange::New);
    let with = |keys: &str| here.bundle().with_federated(federated(keys)).unwrap();
    assert_eq!(cart.set_bundle(with("a")), BundleChange::New);
    assert_eq!(cart.set_bundle(with("a")), BundleChange::Same);
    assert_eq!(cart.set_bundle(with("b")), BundleChange::New);
}
