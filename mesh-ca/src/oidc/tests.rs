//! Facts about attestation by JWT.

use super::testing::{Issuer, claims, config};
use super::*;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn check(issuer: &Issuer, token: &str) -> Result<Account, InvalidJwt> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    verify(token, &issuer.keys(), "https://issuer.test", &["mesh".to_owned()], now)
}

fn cart() -> Account {
    Account { namespace: "shop".into(), name: "cart".into() }
}

#[test]
fn the_subject_or_the_kubernetes_claims_name_the_account() {
    let issuer = Issuer::new("a");
    assert_eq!(check(&issuer, &issuer.token(&claims())).unwrap(), cart());
    let kubernetes =
        json!({"namespace": "shop", "serviceaccount": {"name": "orders", "uid": "1"}, "pod": {"name": "x"}});
    let account = check(&issuer, &issuer.token(&with("kubernetes.io", kubernetes))).unwrap();
    assert_eq!(account, Account { namespace: "shop".into(), name: "orders".into() });
}

#[test]
fn issuer_audience_and_time_are_checked() {
    let issuer = Issuer::new("a");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for (claim, value) in [
        ("iss", json!("https://other.test")),
        ("aud", json!("other")),
        ("exp", json!(now - 600)),
        ("nbf", json!(now + 600)),
        ("iss", Value::Null),
        ("aud", Value::Null),
        ("exp", Value::Null),
    ] {
        let refused = check(&issuer, &issuer.token(&with(claim, value.clone())));
        assert!(matches!(refused, Err(InvalidJwt::Token(_))), "{claim} {value}: {refused:?}");
    }
}

#[test]
fn a_token_without_an_account_proves_nobody() {
    let issuer = Issuer::new("a");
    for sub in ["alice", "system:serviceaccount:shop", ""] {
        let refused = check(&issuer, &issuer.token(&with("sub", json!(sub))));
        assert!(matches!(refused, Err(InvalidJwt::NoAccount)), "{sub}: {refused:?}");
    }
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_changes_and_the_last_good_keys_stay() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("jwks.json");
    let verifier = Verifier::new(&config(path.display().to_string())).unwrap();
    let (old, new) = (Issuer::new("a"), Issuer::new("newer"));
    assert!(matches!(verifier.attest(&old.token(&claims())).await, Err(Refusal::NoKeys(_))), "no file yet");
    std::fs::write(&path, old.jwks().to_string()).unwrap();
    assert_eq!(verifier.attest(&old.token(&claims())).await.unwrap(), cart());
    std::fs::write(&path, "{ half").unwrap();
    assert_eq!(verifier.attest(&old.token(&claims())).await.unwrap(), cart());
    std::fs::write(&path, new.jwks().to_string()).unwrap();
    assert_eq!(verifier.attest(&new.token(&claims())).await.unwrap(), cart());
    assert!(matches!(verifier.attest(&old.token(&claims())).await, Err(Refusal::Jwt(_))));
}

#[tokio::test]
async fn keys_of_a_url_are_fetched_and_kept() {
    let issuer = Issuer::new("a");
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let verifier = Verifier::new(&config(format!("http://{}/keys", listener.local_addr().unwrap()))).unwrap();
    let token = issuer.token(&claims());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        let read = stream.read(&mut head).await.unwrap();
        assert!(head[..read].starts_with(b"GET /keys HTTP/1.1\r\n"));
        let body = issuer.jwks().to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    };
    let (account, _stream) = tokio::join!(verifier.attest(&token), serve);
    assert_eq!(account.unwrap(), cart());
    drop(listener);
    assert_eq!(verifier.attest(&token).await.unwrap(), cart(), "from memory");
}
