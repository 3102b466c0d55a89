//! Facts about what members ask for their applications: tokens and certificates.

use mesh_identity::application::{AskError, Issuer};
use mesh_identity::incoming::PeerInfo;
use mesh_identity::jwt_svid;
use mesh_lifecycle::Tasks;
use mesh_proto::ca::v1 as wire;
use mesh_proto::ca::v1::certificate_authority_server::CertificateAuthority as _;
use tonic::{Code, Request};

use super::answers::service;
use super::*;
use crate::clock::unix_now;

#[tokio::test]
async fn a_member_gets_tokens_and_a_certificate_for_its_application() {
    let place = Place::new();
    let ca = place.start().await;
    let tasks = Tasks::new();
    let member = place.member(&ca, &tasks).await;
    let issuer = Issuer::new(member.clone(), ca.addr);
    let token = issuer.jwt(vec!["orders".to_owned()]).await.unwrap();
    // The keys came with the certificate.
    let verified = jwt_svid::verify(&token.token, "orders", &member.bundle()).unwrap();
    assert_eq!(verified.spiffe_id, cart().to_string());
    let error = issuer.jwt(Vec::new()).await.unwrap_err();
    assert!(matches!(&error, AskError::Refused(why) if why.contains("name one audience")), "{error}");
    let own = member.svid();
    let application = issuer.svid().await.unwrap();
    assert_eq!(application.svid.spiffe_id, cart());
    assert_ne!(application.svid.serial, own.serial, "a certificate of its own");
    assert_ne!(application.svid.chain.first(), own.chain.first());
    rcgen::KeyPair::try_from(application.key_der()).unwrap();
    assert!(
        !format!("{application:?} {token:?}").contains(&token.token),
        "nothing that is printed shows a secret"
    );
    tasks.shutdown(DEADLINE).await;
    stop(ca).await;
}

#[tokio::test]
async fn only_who_shows_a_certificate_of_today_gets_a_token() {
    let service = service();
    service.tokens_of_members.look().await.unwrap();
    let asked = |peer: Option<PeerInfo>| {
        let mut request =
            Request::new(wire::IssueJwtRequest { audience: vec!["orders".to_owned()], ttl_seconds: 0 });
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        service.issue_jwt(request)
    };
    let peer =
        |spiffe_id, not_after| Some(PeerInfo { addr: (Ipv4Addr::LOCALHOST, 1).into(), spiffe_id, not_after });
    let later = unix_now() + 60;
    for (peer, says) in [
        (None, "needs a client certificate"),
        (peer(None, later), "needs a client certificate"),
        (peer(Some(cart()), unix_now() - 1), "has expired"),
    ] {
        let status = asked(peer).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains(says), "{}", status.message());
    }
    let answer = asked(peer(Some(cart()), later)).await.unwrap().into_inner();
    assert_eq!(answer.spiffe_id, cart().to_string());
}
