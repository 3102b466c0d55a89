//! Facts about what members ask for their applications: tokens and certificates.

use mesh_identity::application::{AskError, Issuer};
use mesh_identity::incoming::PeerInfo;
use mesh_identity::jwt_svid;
use mesh_lifecycle::Tasks;
use mesh_proto::ca::v1 as wire;
use mesh_proto::ca::v1::certificate_authority_server::CertificateAuthority as _;
use tonic::{Code, Request};

use super::answers::{service, with_audit};
use super::*;
use crate::audit::Audit;
use crate::clock::unix_now;
use crate::serve::issue::Issue;

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
    let asked = |peer| ask(&service, peer);
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

#[tokio::test]
async fn a_token_that_cannot_be_written_down_is_not_handed_out() {
    let service = with_audit(Audit::broken());
    service.tokens_of_members.look().await.unwrap();
    let status = ask(&service, peer(Some(cart()), unix_now() + 60)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{}", status.message());
    assert!(status.message().contains("audit"), "{}", status.message());
}

#[tokio::test]
async fn tokens_of_one_identity_have_a_bound_of_their_own() {
    let service = service();
    service.tokens_of_members.look().await.unwrap();
    let later = unix_now() + 60;
    let mut given = 0;
    let refused = loop {
        match ask(&service, peer(Some(cart()), later)).await {
            Ok(_) if given > 10_000 => panic!("there is no bound"),
            Ok(_) => given += 1,
            Err(status) => break status,
        }
    };
    assert!(given >= 100, "{given}");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{}", refused.message());
    let other = SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/orders").unwrap();
    ask(&service, peer(Some(other), later)).await.unwrap();
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a request may have no peer, and `ask` takes what a request has"
)]
fn peer(spiffe_id: Option<SpiffeId>, not_after: u64) -> Option<PeerInfo> {
    Some(PeerInfo {
        addr: (Ipv4Addr::LOCALHOST, 1).into(),
        spiffe_id,
        not_after,
        hang_up: mesh_lifecycle::CancellationToken::new(),
    })
}

async fn ask(
    service: &Issue,
    peer: Option<PeerInfo>,
) -> Result<tonic::Response<wire::IssueJwtResponse>, tonic::Status> {
    let mut request =
        Request::new(wire::IssueJwtRequest { audience: vec!["orders".to_owned()], ttl_seconds: 0 });
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    service.issue_jwt(request).await
}
