//! Facts about single answers, where a real connection could not bring about the case.

use std::sync::Arc;

use mesh_identity::MemberKey;
use mesh_identity::incoming::PeerInfo;
use mesh_proto::ca::v1 as wire;
use mesh_proto::ca::v1::certificate_authority_server::CertificateAuthority as _;
use mesh_proto::ca::v1::issue_request::Credential;
use tonic::{Code, Request};

use super::super::admin::Admin;
use super::super::gate::Gate;
use super::super::issue::{Issue, Jwts};
use super::super::published::Published;
use super::*;
use crate::audit::Audit;
use crate::authority::{Authority, KeyStore, Lives, Mint};
use crate::clock::unix_now;
use crate::jwt::{JwtAuthority, JwtStore};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::tokens::JoinTokens;
use crate::vault::Vault;

pub(super) fn service() -> Issue {
    with_audit(Audit::nowhere())
}

pub(super) fn with_audit(audit: Audit) -> Issue {
    let trust_domain = TrustDomain::new("mesh.test").unwrap();
    let lives = Lives { root: Duration::from_hours(87_600), issuer: Duration::from_hours(8760) };
    let mint = Mint {
        trust_domain: trust_domain.clone(),
        keys: KeyStore::Text,
        lives,
        least_issuer: Duration::from_mins(4),
    };
    let vault = Vault::begin(mint.root(unix_now()).unwrap(), 60, unix_now());
    let live = Live::new(60, 0);
    live.synced(unix_now(), 60);
    let authority = Arc::new(Authority::new(trust_domain, KeyStore::Text, &vault, unix_now()).unwrap());
    let tokens_of_members = Arc::new(JwtAuthority::new(JwtStore::in_memory()));
    let federated = tokio::sync::watch::channel(Arc::default()).1;
    let published = Published { roots: authority.watch_bundle(), jwks: tokens_of_members.watch(), federated };
    Issue {
        authority,
        tokens_of_members,
        published,
        live: Arc::new(live),
        gate: Gate::new(),
        audit: Arc::new(audit),
        tokens: Arc::new(JoinTokens::in_memory(10)),
        jwts: Jwts::None,
        ttl: Duration::from_mins(1),
        metrics: Metrics::default(),
        tasks: Tasks::new(),
    }
}

fn request(credential: Option<Credential>) -> Request<wire::IssueRequest> {
    let csr_der = MemberKey::generate().unwrap().certificate_request().unwrap();
    Request::new(wire::IssueRequest { csr_der, credential, ttl_seconds: 0, ..wire::IssueRequest::default() })
}

fn from_peer(id: Option<SpiffeId>, not_after: u64) -> Request<wire::IssueRequest> {
    let mut request = request(Some(Credential::Renewal(wire::Renewal {})));
    request.extensions_mut().insert(PeerInfo {
        addr: (Ipv4Addr::LOCALHOST, 1).into(),
        spiffe_id: id,
        not_after,
        hang_up: mesh_lifecycle::CancellationToken::new(),
    });
    request
}

#[tokio::test]
async fn a_renewal_keeps_the_identity_of_the_connection() {
    let answer = service().issue(from_peer(Some(cart()), unix_now() + 5)).await.unwrap().into_inner();
    assert_eq!(answer.spiffe_id, cart().to_string());
    assert_eq!(answer.not_after - answer.not_before, 60 + 60);
    assert_eq!(answer.chain_der.len(), 2);
    assert_eq!(answer.bundle.unwrap().roots_der.len(), 1);
}

#[tokio::test]
async fn a_renewal_without_a_valid_certificate_is_refused() {
    let service = service();
    for (request, says) in [
        (request(Some(Credential::Renewal(wire::Renewal {}))), "needs the client certificate"),
        (from_peer(None, 0), "needs the client certificate"),
        (from_peer(Some(cart()), unix_now()), "has expired"),
        (request(None), "has no credential"),
    ] {
        let status = service.issue(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains(says), "{status}");
    }
}

#[tokio::test]
async fn the_identity_of_the_ca_is_not_given_away() {
    let own = SpiffeId::parse("spiffe://mesh.test/ns/amime-system/sa/mesh-ca").unwrap();
    let status = service().issue(from_peer(Some(own), unix_now() + 5)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_bad_csr_is_an_invalid_argument_and_a_jwt_without_an_issuer_a_precondition() {
    let service = service();
    let mut bad = from_peer(Some(cart()), unix_now() + 5);
    bad.get_mut().csr_der = vec![0x30, 0x00];
    assert_eq!(service.issue(bad).await.unwrap_err().code(), Code::InvalidArgument);
    let jwt = request(Some(Credential::OidcJwt("a.b.c".into())));
    assert_eq!(service.issue(jwt).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn the_bundle_is_for_members() {
    let refused = service().watch_bundle(Request::new(wire::WatchBundleRequest {})).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[test]
fn join_tokens_are_made_for_the_owner_of_the_ca_alone() {
    let tokens = Arc::new(JoinTokens::in_memory(10));
    let trust_domain = TrustDomain::new("mesh.test").unwrap();
    let admin = Admin { trust_domain, tokens, metrics: Metrics::default() };
    let wanted = wire::CreateJoinTokenRequest {
        namespace: "shop".into(),
        service_account: "cart".into(),
        ttl_seconds: 0,
    };
    let own = rustix::process::geteuid().as_raw();
    for stranger in [None, Some(own + 1)] {
        assert!(matches!(admin.create(&wanted, stranger), Err(Refusal::NotTheOwner)));
    }
    let (_, id, expires) = admin.create(&wanted, Some(own)).unwrap();
    assert_eq!(id, cart());
    assert!(expires > unix_now());
}
