//! What is kept of verified tokens: for how long, how many, and not beyond a change of the rules.

use mesh_token::testing::Issuer;
use serde_json::json;

use super::*;
use crate::telemetry::Telemetry;

const NOW: u64 = 1_800_000_000;

fn rules(issuer: &Issuer) -> Arc<JwtRules> {
    let issuer = JwtIssuer {
        issuer: "i".to_owned(),
        audiences: vec!["mesh".to_owned()],
        jwks: issuer.keys().to_json(),
        from: vec![TokenPlace::bearer()],
        handling: Handling::Removed,
        claim_headers: vec![],
    };
    Arc::new(JwtRules { source: "p".to_owned(), required: true, ports: vec![], issuers: vec![issuer] })
}

fn token(issuer: &Issuer, id: usize) -> String {
    issuer.token(&json!({"iss": "i", "aud": "mesh", "exp": NOW + 100, "jti": id}))
}

#[test]
fn what_was_verified_is_kept_while_it_is_good_and_the_rules_are_the_same() {
    let telemetry = Telemetry::new().worker.build();
    let (issuer, tokens) = (Issuer::new("a"), Tokens::default());
    let (one, place) = (token(&issuer, 0), TokenPlace::bearer());
    let first = rules(&issuer);
    let verify =
        |rules: &Arc<JwtRules>, token: &str, now| tokens.verify(rules, token, &place, now, &telemetry);
    let good = verify(&first, &one, NOW).unwrap();
    assert!(Rc::ptr_eq(&good, &verify(&first, &one, NOW + 99).unwrap()), "kept");
    let expired = verify(&first, &one, good.until);
    assert!(matches!(expired, Err(Wrong::Token(InvalidToken::Expired))), "{expired:?}");
    let rotated = verify(&rules(&Issuer::new("b")), &one, NOW);
    assert!(matches!(rotated, Err(Wrong::Token(InvalidToken::UnknownKey))), "{rotated:?}");
    for id in 0..=KEPT {
        verify(&first, &token(&issuer, id), NOW).unwrap();
    }
    assert_eq!(tokens.view.borrow().good.len(), 1, "beyond the bound all are forgotten");
    let large =
        issuer.token(&json!({"iss": "i", "aud": "mesh", "exp": NOW + 100, "x": "x".repeat(KEPT_BYTES)}));
    verify(&first, &large, NOW).unwrap();
    assert_eq!(tokens.view.borrow().good.len(), 1, "large ones are not kept");
}
