//! Facts about those who want more than is theirs: T38 (requests) and T39 (tokens) of the acceptance tests.

use std::sync::Arc;

use mesh_identity::incoming::PeerInfo;
use mesh_proto::ca::v1 as wire;
use mesh_proto::ca::v1::certificate_authority_server::CertificateAuthority as _;
use mesh_proto::ca::v1::issue_request::Credential;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use tonic::{Code, Request, Status};

use super::answers::{service, with_audit};
use super::*;
use crate::audit::{Audit, Beginnings, verify};
use crate::clock::unix_now;
use crate::tokens::{Grant, JoinTokens};

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
}

fn csr(params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
    params.serialize_request(key).unwrap().der().to_vec()
}

fn renewal(csr_der: Vec<u8>, id: SpiffeId, last_octet: u8) -> Request<wire::IssueRequest> {
    let credential = Some(Credential::Renewal(wire::Renewal {}));
    let mut request =
        Request::new(wire::IssueRequest { csr_der, credential, ..wire::IssueRequest::default() });
    let addr = (Ipv4Addr::new(10, 0, 0, last_octet), 1).into();
    request.extensions_mut().insert(PeerInfo {
        addr,
        spiffe_id: Some(id),
        not_after: unix_now() + 60,
        hang_up: mesh_lifecycle::CancellationToken::new(),
    });
    request
}

fn payments() -> SpiffeId {
    SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/payments").unwrap()
}

// T38
#[tokio::test]
async fn a_request_gets_the_callers_identity_and_nothing_that_it_asks_for() {
    let service = service();
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params();
        change(&mut params);
        params
    };
    let strange = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    let refused = [
        ("another's name", with(&|it| it.subject_alt_names = vec![uri(&payments().to_string())])),
        (
            "one more name",
            with(&|it| it.subject_alt_names = vec![uri(&cart().to_string()), uri(&payments().to_string())]),
        ),
        ("a DNS name", with(&|it| it.subject_alt_names = vec![SanType::DnsName("shop".try_into().unwrap())])),
        ("to be an authority", with(&|it| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("to sign", with(&|it| it.key_usages = vec![KeyUsagePurpose::KeyCertSign])),
        ("a usage", with(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning])),
        ("any usage", with(&|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any])),
        ("something unknown", with(&|it| it.custom_extensions = vec![strange.clone()])),
    ];
    for (index, (what, params)) in (0..).zip(refused) {
        let der = csr(&params, &KeyPair::generate().unwrap());
        let status = service.issue(renewal(der, cart(), index)).await.err();
        let status = status.unwrap_or_else(|| panic!("{what} was not refused"));
        assert!(matches!(status.code(), Code::PermissionDenied | Code::InvalidArgument), "{what}: {status}");
    }
    // What every certificate has anyway may be asked for; the answer is the same.
    let harmless = with(&|it| {
        it.is_ca = IsCa::ExplicitNoCa;
        it.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        it.subject_alt_names = vec![uri(&cart().to_string())];
        it.distinguished_name.push(rcgen::DnType::CommonName, "root");
    });
    let der = csr(&harmless, &KeyPair::generate().unwrap());
    let answer = service.issue(renewal(der, cart(), 100)).await.unwrap().into_inner();
    assert_eq!(answer.spiffe_id, cart().to_string());
}

// T38
#[tokio::test]
async fn a_request_that_is_broken_or_huge_is_refused() {
    let service = service();
    let good = csr(&params(), &KeyPair::generate().unwrap());
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    for der in [forged, vec![0x30; 1 << 20], Vec::new(), good[..good.len() - 1].to_vec()] {
        let status = service.issue(renewal(der, cart(), 1)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
}

// T38
#[tokio::test]
async fn a_key_belongs_to_one_identity() {
    let service = service();
    let key = KeyPair::generate().unwrap();
    service.issue(renewal(csr(&params(), &key), cart(), 1)).await.unwrap();
    service.issue(renewal(csr(&params(), &key), cart(), 1)).await.unwrap();
    let status = service.issue(renewal(csr(&params(), &key), payments(), 2)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("that of another identity"), "{status}");
}

// T38
#[tokio::test]
async fn a_flood_is_refused_with_a_hint_and_others_are_served() {
    let service = service();
    let der = csr(&params(), &KeyPair::generate().unwrap());
    let mut codes = std::collections::BTreeMap::new();
    let mut hint = None;
    for _ in 0..10_000 {
        match service.issue(renewal(der.clone(), cart(), 1)).await {
            Ok(_) => *codes.entry("issued").or_insert(0) += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                hint = status.metadata().get("grpc-retry-pushback-ms").cloned().or(hint);
                *codes.entry("refused").or_insert(0) += 1;
            }
        }
    }
    // Ten at once, and one for each second that this took.
    assert!(codes["issued"] >= 10 && codes["issued"] < 100, "{codes:?}");
    let hint: u64 = hint.unwrap().to_str().unwrap().parse().unwrap();
    assert!(hint > 0 && hint <= 1000, "{hint}");
    // The same identity elsewhere, and another one.
    let other = |id, octet| renewal(csr(&params(), &KeyPair::generate().unwrap()), id, octet);
    service.issue(other(cart(), 2)).await.unwrap();
    service.issue(other(payments(), 3)).await.unwrap();
}

// T39
#[test]
fn of_a_hundred_that_use_a_join_token_at_once_one_gets_in() {
    let temp = tempfile::tempdir().unwrap();
    for tokens in
        [JoinTokens::in_memory(10), JoinTokens::in_dir(temp.path().to_owned(), 10).unwrap()].map(Arc::new)
    {
        let grant = Grant { namespace: "shop".into(), service_account: "cart".into(), expires: 100 };
        let token = tokens.create(&grant, 0).unwrap();
        let barrier = Arc::new(std::sync::Barrier::new(100));
        let claims: Vec<_> = (0..100)
            .map(|_| {
                let (tokens, token, barrier) = (Arc::clone(&tokens), token.clone(), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    tokens.claim(&token, 1).is_ok()
                })
            })
            .collect();
        let got_in = claims.into_iter().map(|claim| usize::from(claim.join().unwrap())).sum::<usize>();
        assert_eq!(got_in, 1);
    }
}

// T39
#[tokio::test]
async fn a_token_whose_certificate_cannot_be_signed_is_not_lost_and_one_that_was_used_is() {
    let service = service();
    let grant = Grant { namespace: "shop".into(), service_account: "cart".into(), expires: unix_now() + 60 };
    let token = service.tokens.create(&grant, unix_now()).unwrap();
    let join = |params: &CertificateParams| {
        let csr_der = csr(params, &KeyPair::generate().unwrap());
        let credential = Some(Credential::JoinToken(token.clone()));
        Request::new(wire::IssueRequest { csr_der, credential, ..wire::IssueRequest::default() })
    };
    let mut other = params();
    other.subject_alt_names = vec![SanType::URI(payments().to_string().as_str().try_into().unwrap())];
    let code = |status: Status| status.code();
    assert_eq!(service.issue(join(&other)).await.map_err(code).err(), Some(Code::PermissionDenied));
    service.issue(join(&params())).await.unwrap();
    assert_eq!(service.issue(join(&params())).await.map_err(code).err(), Some(Code::Unauthenticated));
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_issued_and_costs_no_token() {
    let service = with_audit(Audit::broken());
    let der = csr(&params(), &KeyPair::generate().unwrap());
    let status = service.issue(renewal(der.clone(), cart(), 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("cannot write its audit log"), "{status}");
    assert_eq!(service.live.members().living(unix_now()).count(), 0, "and nobody waits for it");
    let grant = Grant { namespace: "shop".into(), service_account: "cart".into(), expires: unix_now() + 60 };
    let token = service.tokens.create(&grant, unix_now()).unwrap();
    let credential = Some(Credential::JoinToken(token.clone()));
    let request = wire::IssueRequest { csr_der: der, credential, ..wire::IssueRequest::default() };
    service.issue(Request::new(request)).await.unwrap_err();
    service.tokens.claim(&token, unix_now()).unwrap();
}

#[tokio::test]
async fn every_decision_is_a_line_and_a_flood_is_few() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("audit.log");
    let service = with_audit(Audit::file(&path).unwrap());
    let key = KeyPair::generate().unwrap();
    service.issue(renewal(csr(&params(), &key), cart(), 1)).await.unwrap();
    service.issue(renewal(vec![1], cart(), 1)).await.unwrap_err();
    for _ in 0..1000 {
        let _ = service.issue(renewal(csr(&params(), &key), cart(), 1)).await;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let verified = verify(text.lines().map(|line| Ok(line.to_owned())), Beginnings::One).unwrap();
    assert!(verified.issued >= 10 && verified.refused >= 2, "{verified:?}");
    assert!(verified.lines < 200, "a refusal for being too many is told once a second: {verified:?}");
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    for field in ["serial", "key_sha256", "not_after", "caller", "previous", "hash"] {
        assert!(!first[field].is_null(), "{field}: {first}");
    }
    assert_eq!(
        (first["spiffe_id"].as_str(), first["kind"].as_str()),
        (Some(cart().to_string().as_str()), Some("renewal"))
    );
    let second: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!(second["decision"], "refused");
    assert_eq!(second["reason"], "the certificate request is not PKCS #10 in DER");
}

// T51, the part of the authority.
#[tokio::test]
async fn a_clock_that_went_back_issues_nothing_until_somebody_says_that_it_is_right() {
    let service = service();
    let ask = || renewal(csr(&params(), &KeyPair::generate().unwrap()), cart(), 1);
    service.issue(ask()).await.unwrap();
    for (ahead, is_fine) in [(45, true), (600, false), (400 * 86_400, false)] {
        // As if the last certificate had been signed at a time that is still to come.
        service.live.accept_clock();
        service.live.saw_time(unix_now() + ahead);
        let result = service.issue(ask()).await;
        assert_eq!(result.is_ok(), is_fine, "{ahead} s");
        if let Err(status) = result {
            assert_eq!(status.code(), Code::Unavailable);
            assert!(status.message().contains("start the CA with --accept-clock"), "{status}");
        }
    }
    service.live.accept_clock();
    service.issue(ask()).await.unwrap();
}

#[tokio::test]
async fn a_member_says_what_it_trusts_under_its_own_identity_alone() {
    let service = service();
    let der = csr(&params(), &KeyPair::generate().unwrap());
    let mut first = renewal(der, cart(), 1);
    first.get_mut().instance = "cart.a".into();
    service.issue(first).await.unwrap();
    let late = |service: &crate::serve::issue::Issue| {
        service.live.members().living(unix_now()).filter(|member| member.generation < 1).count()
    };
    assert_eq!(late(&service), 1, "a renewal proves nothing by itself");
    let ack = |id: Option<SpiffeId>, instance: &str| {
        let mut request =
            Request::new(wire::AckBundleRequest { instance: instance.to_owned(), generation: 1 });
        let addr = (Ipv4Addr::LOCALHOST, 1).into();
        request.extensions_mut().insert(PeerInfo {
            addr,
            spiffe_id: id,
            not_after: unix_now() + 60,
            hang_up: mesh_lifecycle::CancellationToken::new(),
        });
        request
    };
    let status = service.ack_bundle(ack(None, "cart.a")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let status = service.ack_bundle(ack(Some(cart()), "a b")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    service.ack_bundle(ack(Some(payments()), "cart.a")).await.unwrap();
    assert_eq!(late(&service), 1, "another one cannot speak for it");
    service.ack_bundle(ack(Some(cart()), "cart.a")).await.unwrap();
    assert_eq!(late(&service), 0);
}
