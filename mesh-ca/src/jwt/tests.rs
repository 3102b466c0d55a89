//! Facts about tokens that are signed.

use mesh_identity::TrustBundle;
use mesh_identity::jwt_svid::{InvalidJwtSvid, verify};
use mesh_identity::testing::TestCa;

use super::*;

fn cart() -> SpiffeId {
    SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/cart").unwrap()
}

fn audience(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn authority() -> (JwtAuthority, TrustBundle) {
    let authority = JwtAuthority::new(JwtStore::in_memory());
    authority.look().await.unwrap();
    let bundle = TestCa::new("mesh.test").bundle().with_jwt_keys(&authority.watch().borrow());
    (authority, bundle)
}

#[tokio::test]
async fn a_token_is_what_the_standard_says_and_holds_by_the_published_keys() {
    let (authority, bundle) = authority().await;
    let now = unix_now();
    let token = authority.sign(&cart(), &audience(&["orders", "bank"]), Duration::ZERO, now).unwrap();
    assert_eq!(token.expires, now + 300);
    let verified = verify(&token.token, "orders", &bundle).unwrap();
    assert_eq!(verified.spiffe_id, cart().to_string());
    let mut claims: Vec<&str> = verified.claims.keys().map(String::as_str).collect();
    claims.sort_unstable();
    assert_eq!(claims, ["aud", "exp", "iat", "sub"]);
    let header = jsonwebtoken::decode_header(&token.token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("JWT"));
    assert_eq!(header.alg, jsonwebtoken::Algorithm::ES256);
    assert!(matches!(verify(&token.token, "other", &bundle), Err(InvalidJwtSvid::Refused(_))));
}

#[tokio::test]
async fn lifetimes_are_between_ten_seconds_and_an_hour() {
    let (authority, _) = authority().await;
    let life = |seconds| {
        let token = authority.sign(&cart(), &audience(&["a"]), Duration::from_secs(seconds), 1000).unwrap();
        token.expires - 1000
    };
    assert_eq!([life(1), life(60), life(1_000_000)], [10, 60, 3600]);
}

#[tokio::test]
async fn a_token_for_nobody_or_for_everybody_is_not_signed() {
    let (authority, _) = authority().await;
    let refused = |names: &[String]| authority.sign(&cart(), names, Duration::ZERO, 1000).err().unwrap();
    assert!(matches!(refused(&[]), JwtRefusal::NoAudience));
    assert!(matches!(refused(&audience(&["a", ""])), JwtRefusal::NoAudience));
    assert!(matches!(refused(&vec!["a".to_owned(); MAX_AUDIENCES + 1]), JwtRefusal::Audiences));
    assert!(matches!(refused(&["a".repeat(MAX_AUDIENCE + 1)]), JwtRefusal::Audiences));
}

#[tokio::test]
async fn keys_of_a_directory_survive_the_process_and_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let temp = tempfile::tempdir().unwrap();
    let open = || async {
        let dir = Arc::new(crate::state::StateDir::open(temp.path()).unwrap());
        let authority = JwtAuthority::new(JwtStore::Dir(dir));
        authority.look().await.map(|()| authority)
    };
    let published = |authority: JwtAuthority| authority.watch().borrow().clone();
    let first = published(open().await.unwrap());
    assert_eq!(published(open().await.unwrap()), first);
    let file = temp.path().join("jwt-keys.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&file, "{").unwrap();
    let error = open().await.unwrap_err().to_string();
    assert!(error.contains("jwt-keys.json") && error.contains("remove it to begin"), "{error}");
}

#[tokio::test]
async fn without_keys_no_token_is_signed() {
    let authority = JwtAuthority::new(JwtStore::in_memory());
    let refused = authority.sign(&cart(), &audience(&["a"]), Duration::ZERO, 1000).err().unwrap();
    assert!(matches!(refused, JwtRefusal::NoKeys));
    assert_eq!(&**authority.watch().borrow(), "", "nothing is published");
}
