//! Facts about members of a running CA, through `mesh_identity::obtain`.

use std::os::unix::fs::PermissionsExt;

use mesh_identity::{Credential, ObtainError, obtain, well_known};
use mesh_lifecycle::Tasks;
use mesh_proto::ca::v1 as wire;
use mesh_proto::ca::v1::certificate_authority_client::CertificateAuthorityClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

use super::*;
use crate::admin_client::AdminError;

#[tokio::test]
async fn a_join_token_gives_one_identity_once() {
    let place = Place::new();
    let ca = place.start().await;
    let tasks = Tasks::new();
    let token = place.token().await;
    let file = place.file("token", &format!("{token}\n"));
    let member = obtain(place.ask(ca.addr, Credential::JoinTokenFile(file)), &tasks).await.unwrap();
    assert_eq!(member.svid().spiffe_id, cart());
    assert_eq!(member.svid().not_after - member.svid().not_before, 3600 + 60);
    assert_eq!(member.bundle().trust_domain().as_str(), "mesh.test");
    for token in [token, "never-made".to_owned()] {
        let refusal = refused(obtain(place.ask(ca.addr, Credential::JoinToken(token)), &tasks).await);
        let text = "the join token is not valid: unknown, used or expired";
        assert_eq!(refusal, (Code::Unauthenticated, text.to_owned()));
    }
    tasks.shutdown(DEADLINE).await;
    stop(ca).await;
}

#[tokio::test]
async fn a_csr_that_asks_for_another_name_is_refused_and_costs_no_token() {
    let place = Place::new();
    let ca = place.start().await;
    let tasks = Tasks::new();
    let member = place.member(&ca, &tasks).await;
    let expected = mesh_identity::ExpectedServer::Exactly(well_known::ca(&place.config.trust_domain));
    let channel = mesh_identity::channel::connect(&member, ca.addr, expected);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    let asked = "spiffe://mesh.test/ns/shop/sa/payments";
    params.subject_alt_names = vec![rcgen::SanType::URI(asked.try_into().unwrap())];
    let csr_der = params.serialize_request(&key).unwrap().der().to_vec();
    let token = place.token().await;
    for credential in [
        wire::issue_request::Credential::JoinToken(token.clone()),
        wire::issue_request::Credential::Renewal(wire::Renewal {}),
    ] {
        let request = wire::IssueRequest {
            csr_der: csr_der.clone(),
            credential: Some(credential),
            ttl_seconds: 0,
            ..wire::IssueRequest::default()
        };
        let status = CertificateAuthorityClient::new(channel.clone()).issue(request).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        let text =
            format!("the certificate request asks for `{asked}`, but the credential proves `{}`", cart());
        assert_eq!(status.message(), text);
    }
    obtain(place.ask(ca.addr, Credential::JoinToken(token)), &tasks).await.unwrap();
    tasks.shutdown(DEADLINE).await;
    stop(ca).await;
}

#[tokio::test]
async fn renewal_happens_at_half_life_and_survives_a_restart_of_the_ca_with_the_same_root() {
    let mut place = Place::new();
    place.config.svid_ttl = Duration::from_secs(10);
    place.config.listen = free_address();
    let ca = place.start().await;
    let tasks = Tasks::new();
    let member = place.member(&ca, &tasks).await;
    let (first, root) = (member.svid(), ca.root_pem.clone());
    stop(ca).await;
    let ca = place.start().await;
    assert_eq!(ca.root_pem, root);
    until(|| member.counters().ok > 0).await;
    let second = member.svid();
    assert_eq!(second.spiffe_id, cart());
    assert_ne!(second.serial, first.serial);
    assert!(second.not_after > first.not_after);
    tasks.shutdown(DEADLINE).await;
    stop(ca).await;
}

#[tokio::test]
async fn a_member_that_starts_before_the_ca_waits_for_it() {
    let mut place = Place::new();
    place.config.listen = free_address();
    let ca = place.start().await;
    let token = place.token().await;
    stop(ca).await;
    let tasks = Tasks::new();
    let obtaining = obtain(place.ask(place.config.listen, Credential::JoinToken(token)), &tasks);
    let starting = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        place.start().await
    };
    let (member, ca) = tokio::join!(obtaining, starting);
    assert_eq!(member.unwrap().svid().spiffe_id, cart());
    tasks.shutdown(DEADLINE).await;
    stop(ca).await;
}

#[tokio::test]
async fn a_ca_with_another_root_than_the_pinned_one_gets_no_token() {
    let (place, imposter) = (Place::new(), Place::new());
    let (ca, false_ca) = (place.start().await, imposter.start().await);
    let tasks = Tasks::new();
    let obtaining = obtain(place.ask(false_ca.addr, Credential::JoinToken(imposter.token().await)), &tasks);
    let (result, _) = tokio::join!(obtaining, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        tasks.shutdown(DEADLINE).await
    });
    let error = result.unwrap_err();
    assert!(matches!(error, ObtainError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("TLS handshake"), "{error}");
    stop(ca).await;
    stop(false_ca).await;
}

#[tokio::test]
async fn a_member_may_ask_for_less_time_and_not_for_more() {
    let place = Place::new();
    let ca = place.start().await;
    let tasks = Tasks::new();
    for (asked, given) in [(60, 60), (1, 10), (100_000, 3600)] {
        let mut ask = place.ask(ca.addr, Credential::JoinToken(place.token().await));
        ask.ttl = Some(Duration::from_secs(asked));
        let svid = obtain(ask, &tasks).await.unwrap().svid();
        assert_eq!(svid.not_after - svid.not_before, given + 60);
    }
    tasks.shutdown(DEADLINE).await;
    stop(ca).await;
}

#[tokio::test]
async fn the_admin_socket_is_for_this_user_and_bounds_the_tokens() {
    let mut place = Place::new();
    place.config.max_join_tokens = 1;
    let ca = place.start().await;
    let mode = std::fs::metadata(place.config.admin_socket.as_deref().unwrap()).unwrap().permissions().mode()
        & 0o777;
    assert_eq!(mode, 0o600);
    let ask = |namespace, account, ttl| {
        create_join_token(place.config.admin_socket.as_deref().unwrap(), namespace, account, ttl)
    };
    let reason = |result: Result<String, AdminError>| match result {
        Err(AdminError::Refused { reason, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    };
    assert!(reason(ask("Shop", "cart", None).await).contains("is not a valid namespace"));
    assert!(reason(ask("amime-system", "mesh-ca", None).await).contains("is the CA itself"));
    assert!(reason(ask("shop", "cart", Some(Duration::from_hours(100))).await).contains("at most 24h"));
    ask("amime-system", "mesh-controller", None).await.unwrap();
    assert!(reason(ask("shop", "cart", None).await).starts_with("1 join tokens wait for their use"));
    stop(ca).await;
    assert!(matches!(ask("shop", "cart", None).await, Err(AdminError::Unreachable { .. })));
}

#[tokio::test]
async fn what_is_in_use_is_reported_with_what_to_do() {
    let place = Place::new();
    let ca = place.start().await;
    let says = async |config: Config| start(config).await.unwrap_err().to_string();
    let text = says(place.config.clone()).await;
    assert!(text.contains("in use by another mesh-ca"), "{text}");
    let in_memory = Config { state: State::InMemory, ..place.config.clone() };
    let text = says(in_memory.clone()).await;
    assert!(text.contains("another process serves the socket"), "{text}");
    let text = says(Config { listen: ca.addr, ..in_memory.clone() }).await;
    assert!(text.contains("the port is in use by") && text.contains("--listen"), "{text}");
    let text = says(Config { metrics: ca.addr, ..in_memory.clone() }).await;
    assert!(text.contains("--metrics"), "{text}");
    let text = says(Config { svid_ttl: Duration::from_secs(9), ..in_memory }).await;
    assert!(text.contains("10s to 24h"), "{text}");
    stop(ca).await;
}

#[tokio::test]
async fn issued_and_refused_are_counted_and_readiness_is_told() {
    let place = Place::new();
    let ca = place.start().await;
    let tasks = Tasks::new();
    let _member = place.member(&ca, &tasks).await;
    refused(obtain(place.ask(ca.addr, Credential::JoinToken("wrong".into())), &tasks).await);
    let get = async |path: &str| {
        let mut stream = tokio::net::TcpStream::connect(ca.metrics_addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let metrics = get("/metrics").await;
    for line in [
        r#"mesh_ca_certificates_issued_total{kind="join_token"} 1"#,
        r#"mesh_ca_certificates_issued_total{kind="own"} 1"#,
        r#"mesh_ca_requests_refused_total{reason="join_token"} 1"#,
        "mesh_ca_root_expiry_timestamp_seconds ",
        "mesh_ca_issuer_expiry_timestamp_seconds ",
        "mesh_ca_connections_accepted_total ",
        "mesh_ca_join_tokens 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(get("/readyz").await.starts_with("HTTP/1.1 200"));
    ca.ready.begin_drain();
    assert!(get("/readyz").await.contains("draining"));
    tasks.shutdown(DEADLINE).await;
    stop(ca).await;
}

#[tokio::test]
async fn a_jwt_of_the_configured_issuer_gives_the_identity_of_its_account() {
    let mut place = Place::new();
    let issuer = crate::oidc::testing::Issuer::new("a");
    let jwks = place.file("jwks.json", &issuer.jwks().to_string());
    place.config.oidc = Some(crate::oidc::testing::config(jwks.display().to_string()));
    let ca = place.start().await;
    let tasks = Tasks::new();
    let jwt = place.file("jwt", &issuer.token(&crate::oidc::testing::claims()));
    let member = obtain(place.ask(ca.addr, Credential::JwtFile(jwt)), &tasks).await.unwrap();
    assert_eq!(member.svid().spiffe_id, cart());
    let other = crate::oidc::testing::Issuer::new("b").token(&crate::oidc::testing::claims());
    let forged = place.file("forged", &other);
    let (code, message) = refused(obtain(place.ask(ca.addr, Credential::JwtFile(forged)), &tasks).await);
    assert_eq!(code, Code::Unauthenticated);
    assert!(message.contains("the issuer has no key of that `kid`"), "{message}");
    tasks.shutdown(DEADLINE).await;
    stop(ca).await;
}

// T43
#[tokio::test]
async fn a_panic_in_the_renewal_leaves_the_certificate_in_force_and_the_next_attempt_renews_it() {
    let mut place = Place::new();
    place.config.svid_ttl = Duration::from_secs(10);
    let ca = place.start().await;
    let tasks = Tasks::new();
    let member = place.member(&ca, &tasks).await;
    let first = member.svid();
    let before = mesh_lifecycle::tasks::counts("certificate renewal");
    mesh_lifecycle::failpoint::arm("certificate renewal", &first.serial, 1);
    until(|| member.counters().ok > 0).await;
    let (second, after) = (member.svid(), mesh_lifecycle::tasks::counts("certificate renewal"));
    assert_ne!(second.serial, first.serial);
    assert!(after.panics > before.panics && after.restarts > before.restarts, "{before:?} {after:?}");
    assert!(second.not_before < first.not_after, "renewed before the first one ended");
    tasks.shutdown(DEADLINE).await;
    stop(ca).await;
}
