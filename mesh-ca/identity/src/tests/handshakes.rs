//! Facts about who may shake hands with whom.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::{HandshakeKind, ProtocolVersion};
use rustls_pki_types::CertificateDer;

use super::{connect, exactly};
use crate::identity::{BundleChange, ExpectedServer, Identity};
use crate::key::MemberKey;
use crate::peer::{PeerIdentityError, peer_identity_error, peer_spiffe_id};
use crate::testing::TestCa;
use crate::tls::{ClientAuth, bootstrap_config};

fn shop() -> (TestCa, Identity, Identity) {
    let ca = TestCa::new("mesh.test");
    let (cart, orders) = (ca.identity("shop", "cart"), ca.identity("shop", "orders"));
    (ca, cart, orders)
}

fn identity_error(error: &std::io::Error) -> &PeerIdentityError {
    peer_identity_error(error).unwrap_or_else(|| panic!("another reason: {error}"))
}

#[tokio::test]
async fn members_know_each_other_over_tls_1_3_with_a_hybrid_key_exchange() {
    let (ca, cart, orders) = shop();
    let server = orders.server_config(ClientAuth::Required, &[b"amime/h2", b"amime/h1"]);
    let client = cart.client_config(exactly(&ca, "shop", "orders"), &[b"amime/h1"]);
    let (client, server) = connect(client, server).await;
    let (client, server) = (client.unwrap(), server.unwrap());
    let (client, server) = (client.get_ref().1, server.get_ref().1);
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(server.negotiated_key_exchange_group().unwrap().name(), rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(server.alpn_protocol(), Some(&b"amime/h1"[..]));
    assert_eq!(peer_spiffe_id(server.peer_certificates().unwrap()).unwrap(), ca.id("shop", "cart"));
    assert_eq!(peer_spiffe_id(client.peer_certificates().unwrap()).unwrap(), ca.id("shop", "orders"));
}

#[tokio::test]
async fn a_client_without_certificate_is_refused_where_one_is_required() {
    let (ca, _, orders) = shop();
    let client = || Arc::new(bootstrap_config(ca.bundle(), ca.id("shop", "orders"), &[]));
    let (refused, server) = connect(client(), orders.server_config(ClientAuth::Required, &[])).await;
    assert!(refused.is_err());
    assert!(server.unwrap_err().to_string().contains("no certificates"), "the reason is the certificate");
    let (accepted, server) = connect(client(), orders.server_config(ClientAuth::Optional, &[])).await;
    accepted.unwrap();
    assert!(server.unwrap().get_ref().1.peer_certificates().is_none());
}

#[tokio::test]
async fn an_expired_certificate_is_refused_at_both_ends() {
    let (ca, cart, orders) = shop();
    let expired = ca.expired_identity("shop", "cart");
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let (_, server) = connect(
            expired.client_config(exactly(&ca, "shop", "orders"), &[]),
            orders.server_config(auth, &[]),
        )
        .await;
        assert!(server.unwrap_err().to_string().contains("expired"));
    }
    let (client, _) = connect(
        orders.client_config(exactly(&ca, "shop", "cart"), &[]),
        expired.server_config(ClientAuth::Required, &[]),
    )
    .await;
    assert!(client.unwrap_err().to_string().contains("expired"));
    drop(cart);
}

#[tokio::test]
async fn a_certificate_of_another_trust_domain_is_refused_at_both_ends() {
    let (ca, _, orders) = shop();
    let other = TestCa::new("other.test");
    let stranger = other.identity("shop", "cart");
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let client = other.bundle();
        assert_eq!(client.trust_domain().as_str(), "other.test");
        // It would accept our server, so that what refuses is our server.
        let trusting = crate::testing::trusting(&stranger, &ca);
        let (_, server) = connect(trusting, orders.server_config(auth, &[])).await;
        let error = server.unwrap_err().to_string();
        assert!(error.contains("TrustDomain"), "{error}");
    }
    let (client, _) = connect(
        orders.client_config(exactly(&other, "shop", "cart"), &[]),
        stranger.server_config(ClientAuth::Optional, &[]),
    )
    .await;
    assert!(client.unwrap_err().to_string().contains("TrustDomain"));
}

#[tokio::test]
async fn a_name_of_another_trust_domain_under_our_root_is_refused() {
    let (ca, cart, orders) = shop();
    let id = "spiffe://other.test/ns/shop/sa/cart";
    let imposter = forged(&ca, &[id]);
    let (_, server) = connect(
        imposter.client_config(exactly(&ca, "shop", "orders"), &[]),
        orders.server_config(ClientAuth::Required, &[]),
    )
    .await;
    let error = server.unwrap_err();
    assert!(matches!(identity_error(&error), PeerIdentityError::TrustDomain { .. }), "{error}");
    let expected = ExpectedServer::Exactly(imposter.svid().spiffe_id.clone());
    let (client, _) =
        connect(cart.client_config(expected, &[]), imposter.server_config(ClientAuth::Required, &[])).await;
    assert!(matches!(identity_error(&client.unwrap_err()), PeerIdentityError::TrustDomain { .. }));
}

/// A certificate that our root signed and that should not be.
fn forged(ca: &TestCa, uris: &[&str]) -> Identity {
    let key = MemberKey::generate().unwrap();
    let mut svid =
        ca.sign(&key, &["spiffe://mesh.test/ns/shop/sa/cart"], SystemTime::now() + Duration::from_mins(1));
    svid.chain[0] = ca.leaf(&key, uris, SystemTime::now() + Duration::from_mins(1));
    if let [uri] = uris {
        svid.spiffe_id = mesh_model::spiffe::SpiffeId::parse(uri).unwrap();
    }
    Identity::unchecked(key, svid, ca.bundle()).unwrap()
}

#[tokio::test]
async fn a_certificate_with_no_or_several_identities_is_refused() {
    let (ca, _, orders) = shop();
    let two = ["spiffe://mesh.test/ns/shop/sa/cart", "spiffe://mesh.test/ns/shop/sa/admin"];
    for (uris, reason) in [(&[][..], PeerIdentityError::NoUri), (&two[..], PeerIdentityError::ManyUris)] {
        let imposter = forged(&ca, uris);
        let (_, server) = connect(
            imposter.client_config(exactly(&ca, "shop", "orders"), &[]),
            orders.server_config(ClientAuth::Optional, &[]),
        )
        .await;
        assert_eq!(*identity_error(&server.unwrap_err()), reason);
    }
}

#[tokio::test]
async fn a_server_with_the_wrong_spiffe_id_is_refused() {
    let (ca, cart, orders) = shop();
    let wrong = exactly(&ca, "shop", "payments");
    let (client, server) =
        connect(cart.client_config(wrong, &[]), orders.server_config(ClientAuth::Required, &[])).await;
    let error = client.unwrap_err();
    assert_eq!(
        identity_error(&error).to_string(),
        "the server is `spiffe://mesh.test/ns/shop/sa/orders`, expected `spiffe://mesh.test/ns/shop/sa/payments`"
    );
    assert!(server.is_err());
    let none = ExpectedServer::AnyOf(Vec::new());
    let (client, _) =
        connect(cart.client_config(none, &[]), orders.server_config(ClientAuth::Required, &[])).await;
    assert!(client.is_err());
    let either = ExpectedServer::AnyOf(vec![ca.id("shop", "payments"), ca.id("shop", "orders")]);
    let (client, _) =
        connect(cart.client_config(either, &[]), orders.server_config(ClientAuth::Required, &[])).await;
    client.unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_by_configurations_that_exist_already() {
    let (ca, cart, orders) = shop();
    let server = orders.server_config(ClientAuth::Required, &[]);
    let client = cart.client_config(exactly(&ca, "shop", "orders"), &[]);
    let mut changed = orders.changed();
    let serial = |certs: Option<&[CertificateDer<'static>]>| {
        crate::Svid::from_chain(certs.unwrap().to_vec()).unwrap().serial
    };
    for _ in 0..2 {
        let (near, far) = connect(Arc::clone(&client), Arc::clone(&server)).await;
        assert_eq!(serial(near.unwrap().get_ref().1.peer_certificates()), orders.svid().serial);
        assert_eq!(serial(far.unwrap().get_ref().1.peer_certificates()), cart.svid().serial);
        ca.renew(&orders);
        ca.renew(&cart);
    }
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();
    assert_eq!(orders.counters().ok, 2);
}

#[tokio::test]
async fn a_resumed_session_still_says_who_the_peer_is_and_takes_no_early_data() {
    let (ca, cart, orders) = shop();
    let server = orders.server_config(ClientAuth::Required, &[]);
    let client = cart.client_config(exactly(&ca, "shop", "orders"), &[]);
    assert_eq!((server.max_early_data_size, client.enable_early_data), (0, false));
    let (first, _) = connect(Arc::clone(&client), Arc::clone(&server)).await;
    assert_eq!(first.unwrap().get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    let (near, far) = connect(client, server).await;
    let (near, far) = (near.unwrap(), far.unwrap());
    assert_eq!(far.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    assert_eq!(
        peer_spiffe_id(near.get_ref().1.peer_certificates().unwrap()).unwrap(),
        ca.id("shop", "orders")
    );
    assert_eq!(peer_spiffe_id(far.get_ref().1.peer_certificates().unwrap()).unwrap(), ca.id("shop", "cart"));
}

#[tokio::test]
async fn a_new_certificate_ends_the_sessions_of_the_old_one() {
    let (ca, cart, orders) = shop();
    let server = orders.server_config(ClientAuth::Required, &[]);
    let client = cart.client_config(exactly(&ca, "shop", "orders"), &[]);
    for renewed in [&cart, &orders] {
        connect(Arc::clone(&client), Arc::clone(&server)).await.0.unwrap();
        ca.renew(renewed);
        let (near, _) = connect(Arc::clone(&client), Arc::clone(&server)).await;
        assert_eq!(near.unwrap().get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

// T26
#[tokio::test]
async fn a_bundle_without_the_peers_root_ends_its_sessions_and_refuses_it_at_once() {
    let (ca, cart, orders) = shop();
    let server = orders.server_config(ClientAuth::Required, &[]);
    let client = cart.client_config(exactly(&ca, "shop", "orders"), &[]);
    connect(Arc::clone(&client), Arc::clone(&server)).await.0.unwrap();
    let next = TestCa::new("mesh.test");
    assert_eq!(orders.set_bundle(next.bundle()), BundleChange::New);
    let (_, refused) = connect(Arc::clone(&client), Arc::clone(&server)).await;
    // The new root has the name of the old one and another key.
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("BadSignature"), "{error}");
    orders.set_bundle(ca.bundle());
    connect(client, server).await.1.unwrap();
}

// T26
#[tokio::test]
async fn a_ticket_of_an_earlier_bundle_brings_a_full_handshake_with_everything_verified_again() {
    let (ca, cart, orders) = shop();
    let server = orders.server_config(ClientAuth::Required, &[]);
    let client = cart.client_config(exactly(&ca, "shop", "orders"), &[]);
    let kind = async || {
        let (near, far) = connect(Arc::clone(&client), Arc::clone(&server)).await;
        let kinds = [near.unwrap().get_ref().1.handshake_kind(), far.unwrap().get_ref().1.handshake_kind()];
        assert_eq!(kinds[0], kinds[1]);
        kinds[0]
    };
    assert_eq!(kind().await, Some(HandshakeKind::Full));
    assert_eq!(kind().await, Some(HandshakeKind::Resumed), "the ticket is good while the bundle is the same");
    // The same roots and one more, as in a rotation: the certificates are as good as before, and looked at again all the same.
    let both = |generation| {
        let roots = [ca.bundle().roots(), TestCa::new("mesh.test").bundle().roots()].concat();
        crate::TrustBundle::new(ca.bundle().trust_domain().clone(), generation, roots).unwrap()
    };
    for changed in [&orders, &cart] {
        assert_eq!(changed.set_bundle(both(2)), BundleChange::New);
        assert_eq!(kind().await, Some(HandshakeKind::Full));
        assert_eq!(kind().await, Some(HandshakeKind::Resumed));
    }
}

#[test]
fn a_bundle_of_another_trust_domain_is_not_put_in_force() {
    let (_, cart, _) = shop();
    assert_eq!(cart.set_bundle(TestCa::new("other.test").bundle()), BundleChange::OtherTrustDomain);
    assert_eq!(cart.bundle().trust_domain().as_str(), "mesh.test");
}

#[test]
fn a_certificate_for_another_key_or_of_another_root_is_not_put_in_force() {
    let (ca, cart, _) = shop();
    let (key, other) = (MemberKey::generate().unwrap(), MemberKey::generate().unwrap());
    let end = SystemTime::now() + Duration::from_mins(1);
    let uri = "spiffe://mesh.test/ns/shop/sa/cart";
    let serial = cart.svid().serial.clone();
    let error = cart.renew(key, ca.sign(&other, &[uri], end), ca.bundle()).unwrap_err();
    assert!(matches!(error, crate::InvalidSvid::OtherKey(_)), "{error}");
    let stranger = TestCa::new("mesh.test");
    let error = cart.renew(other, stranger.sign(&MemberKey::generate().unwrap(), &[uri], end), ca.bundle());
    assert!(error.is_err());
    let key = MemberKey::generate().unwrap();
    let svid = stranger.sign(&key, &[uri], end);
    let error = cart.renew(key, svid, ca.bundle()).unwrap_err();
    assert!(matches!(error, crate::InvalidSvid::Untrusted { .. }), "{error}");
    assert_eq!(cart.svid().serial, serial, "what there is stays in force");
}

#[test]
fn the_certificate_of_a_resumed_session_may_have_expired() {
    let ca = TestCa::new("mesh.test");
    let expired = ca.expired_identity("shop", "cart").svid();
    let error = peer_spiffe_id(&expired.chain).unwrap_err();
    assert!(matches!(error, PeerIdentityError::Expired { .. }), "{error}");
    assert_eq!(peer_spiffe_id(&[]).unwrap_err(), PeerIdentityError::NoCertificate);
    assert_eq!(
        peer_spiffe_id(&[CertificateDer::from(vec![1, 2])]).unwrap_err(),
        PeerIdentityError::NotACertificate
    );
}

#[test]
fn nothing_that_is_printed_shows_a_key() {
    let (_, cart, _) = shop();
    let key = MemberKey::generate().unwrap();
    assert_eq!(format!("{key:?} {cart:?}"), "MemberKey(…) Identity(spiffe://mesh.test/ns/shop/sa/cart)");
}
