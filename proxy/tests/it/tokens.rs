//! Tokens of users at a workload: which are good, which are not, and what the application gets of them. T23.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::Request;
use http_body_util::Full;
use mesh_model::authentication::jwt::{ClaimHeader, Handling, JwtIssuer, JwtRules, TokenPlace};
use mesh_model::authentication::{Authentication, MtlsRule};
use mesh_model::name::Name;
use mesh_model::policy::{Action, AuthorizationPolicy, Condition, Rule, Scope};
use mesh_model::settings::MtlsMode;
use mesh_proto::convert::ModelResource;
use mesh_token::testing::{Issuer, forged, unsigned};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({"iss": "https://issuer.test", "aud": ["shop"], "exp": now() + 3600, "sub": "ann", "org": {"roles": ["dev", "ops"]}})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn rules(issuer: &Issuer, change: impl FnOnce(&mut JwtRules)) -> ModelResource {
    let header = |header: &str, claim: &str| ClaimHeader { header: header.into(), claim: claim.into() };
    let issuer = JwtIssuer {
        issuer: "https://issuer.test".to_owned(),
        audiences: vec!["shop".to_owned()],
        jwks: issuer.keys().to_json(),
        from: vec![TokenPlace::bearer()],
        handling: Handling::Removed,
        claim_headers: vec![
            header("x-user", "sub"),
            header("x-roles", "/org/roles"),
            header("x-none", "none"),
        ],
    };
    let source = "AuthenticationPolicy shop/users".to_owned();
    let mut rules = JwtRules { source, required: true, ports: vec![], issuers: vec![issuer] };
    change(&mut rules);
    let mtls = MtlsRule { mode: MtlsMode::Permissive, source: String::new() };
    let (ports, jwt) = (std::collections::BTreeMap::new(), Some(Arc::new(rules)));
    ModelResource::Authentication(Authentication { mtls, ports, jwt })
}

/// An application that answers with the head that it got, behind a sidecar with these rules.
struct Shop {
    mesh: Mesh,
    server: Sidecar,
}

impl Shop {
    async fn new(said: ModelResource) -> Self {
        let mesh = Mesh::new();
        let app = peer(&mesh.tasks, |mut stream| async move {
            let mut head = vec![];
            while let Ok(byte) = stream.read_u8().await {
                head.push(byte);
                if head.ends_with(b"\r\n\r\n") {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", head.len());
                    let _ = stream.write_all(&[answer.as_bytes(), &head].concat()).await;
                    head.clear();
                }
            }
        })
        .await;
        let mut server = mesh.server("cart", app);
        let shop = |mesh: &Mesh, said| {
            let mut all = mesh.resources();
            all.push(said);
            all
        };
        server.control.replace(shop(&mesh, said));
        let shop = Self { mesh, server };
        // The rules are in force once something is asked for.
        until(|| async {
            shop.get("/", "").await.contains("www-authenticate") || shop.get("/", "").await.contains(" 200 ")
        })
        .await;
        shop
    }

    fn at(&self) -> SocketAddr {
        self.server.inbound()
    }

    fn tell(&mut self, said: ModelResource) {
        let mut all = self.mesh.resources();
        all.push(said);
        self.server.control.replace(all);
    }

    /// The whole answer to a request with these header lines.
    async fn get(&self, target: &str, lines: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n{lines}\r\n");
        String::from_utf8_lossy(&ask(self.at(), request.as_bytes()).await).into_owned()
    }

    async fn bearer(&self, token: &str) -> String {
        self.get("/", &format!("authorization: Bearer {token}\r\n")).await
    }
}

/// Status, failure code, and the challenge.
fn refused(answer: &str) -> (u16, String, String) {
    let line = |name: &str| {
        let found = answer.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().trim().to_owned()
    };
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, line("x-mesh-failure:"), line("www-authenticate:"))
}

// T23
#[tokio::test]
async fn a_token_that_is_not_good_in_any_way_is_401_and_never_reaches_the_application() {
    let issuer = Issuer::new("a");
    let shop = Shop::new(rules(&issuer, |_| ())).await;
    let jwks = issuer.jwks().to_string();
    let token = |claims: Value| issuer.token(&claims);
    let none = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        token(claims)
    };
    let key = issuer.public_der();
    for (case, token, says) in [
        ("alg none", unsigned("none", &claims()), "no JWT of a known algorithm"),
        ("HS256 with the JWKS", forged("a", jwks.as_bytes(), &claims()), "algorithm"),
        ("HS256 with the public key", forged("a", &key, &claims()), "algorithm"),
        ("expired", token(with("exp", json!(now() - 60))), "expired"),
        ("no exp", none("exp"), "no `exp`"),
        ("no aud", none("aud"), "no `aud`"),
        ("wrong aud", token(with("aud", json!("bank"))), "another audience"),
        ("wrong iss", token(with("iss", json!("https://issuer.test.evil"))), "no issuer of that name"),
        ("no iss", none("iss"), "no `iss`"),
        ("nbf in the future", token(with("nbf", json!(now() + 600))), "not valid yet"),
        ("iat in the future", token(with("iat", json!(now() + 600))), "not valid yet"),
        ("kid of a path", issuer.named("../../etc/passwd").token(&claims()), "no key of that"),
        ("kid of a URL", issuer.named("http://169.254.169.254/").token(&claims()), "no key of that"),
        ("another key", Issuer::new("a").token(&claims()), "signature"),
        ("a critical header", issuer.critical().token(&claims()), "critical"),
        ("garbage", "a.b.c".to_owned(), "no JWT"),
        ("17 KiB", "x".repeat(17 * 1024), "larger than"),
    ] {
        let answer = shop.bearer(&token).await;
        let (status, failure, challenge) = refused(&answer);
        assert_eq!((status, failure.as_str()), (401, "token_invalid"), "{case}: {answer}");
        let known = "Bearer error=\"invalid_token\", error_description=\"";
        assert!(challenge.starts_with(known) && challenge.contains(says), "{case}: {challenge}");
    }
    // A header of a megabyte is refused before anybody looks for a token in it.
    let huge = shop.bearer(&"x".repeat(1024 * 1024)).await;
    assert!(!huge.contains(" 200 "), "{huge}");
    let good = token(claims());
    for (case, target, lines) in [
        ("two headers", "/", format!("authorization: Bearer {good}\r\nauthorization: Bearer {good}\r\n")),
        ("two schemes", "/", format!("authorization: bearer {good}\r\nauthorization: Bearer x\r\n")),
    ] {
        assert_eq!(refused(&shop.get(target, &lines).await).1, "token_invalid", "{case}");
    }
    let (status, failure, challenge) = refused(&shop.get("/", "").await);
    assert_eq!((status, failure.as_str(), challenge.as_str()), (401, "token_missing", "Bearer"));
    for lines in ["authorization: Basic YTpi\r\n", "x-token: a\r\n", "authorization: Bearer\r\n"] {
        assert_eq!(refused(&shop.get("/", lines).await).1, "token_missing", "{lines}");
    }
    assert_eq!(refused(&shop.bearer(&good).await).0, 200, "and a good one passes");
}

#[tokio::test]
async fn the_application_gets_claims_as_headers_and_nobody_elses() {
    let issuer = Issuer::new("a");
    let mut shop = Shop::new(rules(&issuer, |_| ())).await;
    let good = issuer.token(&claims());
    let lies = "x-user: root\r\nX_User: root\r\nX-ROLES: root\r\nx-none: root\r\n";
    let seen = shop.get("/", &format!("{lies}authorization: Bearer {good}\r\n")).await.to_lowercase();
    assert!(seen.contains("\r\nx-user: ann\r\n") && seen.contains("\r\nx-roles: dev,ops\r\n"), "{seen}");
    assert!(!seen.contains("root") && !seen.contains("x-none") && !seen.contains("authorization"), "{seen}");
    let evil = issuer.token(&with("sub", json!("ann\r\nx-admin: yes")));
    let seen = shop.bearer(&evil).await;
    assert!(seen.contains(" 200 ") && !seen.contains("x-admin") && !seen.contains("x-user"), "{seen}");

    // Anonymous callers cannot say who they are either; a token that is there must be good all the same.
    shop.tell(rules(&issuer, |rules| {
        rules.required = false;
        rules.issuers[0].handling = Handling::Forwarded;
    }));
    until(|| async { shop.get("/", "").await.contains(" 200 ") }).await;
    let seen = shop.get("/", lies).await;
    assert!(!seen.contains("root"), "{seen}");
    assert_eq!(refused(&shop.bearer("a.b.c").await).1, "token_invalid");
    let seen = shop.bearer(&good).await;
    assert!(seen.contains(&good), "forwarded: {seen}");
}

#[tokio::test]
async fn tokens_in_cookies_and_queries_are_taken_out_and_the_rest_stays() {
    let issuer = Issuer::new("a");
    let good = issuer.token(&claims());
    let places = [TokenPlace::Cookie("t".to_owned()), TokenPlace::Query("access_token".to_owned())];
    let shop = Shop::new(rules(&issuer, |rules| rules.issuers[0].from = places.to_vec())).await;
    let seen = shop.get("/a?b=c", &format!("cookie: x=y; t={good}; z=1\r\n")).await;
    assert!(seen.contains("GET /a?b=c ") && seen.contains("cookie: x=y; z=1\r\n"), "{seen}");
    for (target, at_app) in [
        (format!("/a?b=c&access_token={good}&d"), "GET /a?b=c&d "),
        (format!("/a?access%5Ftoken={good}"), "GET /a "),
    ] {
        let seen = shop.get(&target, "").await;
        assert!(seen.contains(at_app) && seen.contains("x-user: ann\r\n"), "{seen}");
    }
    assert_eq!(refused(&shop.bearer(&good).await).1, "token_missing", "not where this issuer's are");
    let both = shop.get(&format!("/?access_token={good}"), &format!("cookie: t={good}\r\n")).await;
    assert_eq!(refused(&both).1, "token_invalid", "one place says something, and another one too");
}

// T23, T47
#[tokio::test]
async fn keys_that_go_away_or_change_are_followed_and_without_keys_nobody_gets_in() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let mut shop = Shop::new(rules(&old, |_| ())).await;
    let token = old.token(&claims());
    assert_eq!(refused(&shop.bearer(&token).await).0, 200);
    shop.tell(rules(&new, |_| ()));
    until(|| async { refused(&shop.bearer(&token).await).0 == 401 }).await;
    assert_eq!(refused(&shop.bearer(&new.token(&claims())).await).0, 200);
    for jwks in ["", "{}", "garbage"] {
        shop.tell(rules(&new, |rules| rules.issuers[0].jwks = jwks.to_owned()));
        until(|| async { refused(&shop.bearer(&new.token(&claims())).await).2.contains("keys") }).await;
    }
    shop.tell(rules(&new, |rules| rules.issuers.clear()));
    until(|| async { refused(&shop.get("/", "").await).1 == "token_missing" }).await;
}

#[tokio::test]
async fn bytes_are_no_way_round_and_other_ports_are_not_asked() {
    let issuer = Issuer::new("a");
    let shop = Shop::new(rules(&issuer, |_| ())).await;
    assert_eq!(ask(shop.at(), b"\x00\x01\x02 no HTTP at all\r\n\r\n").await, b"", "bytes have no token");
    shop.server.counts(&["mesh_requests_total", "inbound", "token_missing", "tcp"], 1.0).await;
    let elsewhere = Shop::new(rules(&issuer, |rules| rules.ports = vec![1])).await;
    assert!(elsewhere.get("/", "").await.contains(" 200 "));
}

#[tokio::test]
async fn a_grpc_call_without_a_token_is_unauthenticated() {
    let issuer = Issuer::new("a");
    let mut shop = Shop::new(rules(&issuer, |_| ())).await;
    let endpoint = shop.mesh.member(shop.at(), "cart");
    shop.mesh.service("cart", 80, None, vec![endpoint]);
    let client = shop.mesh.client(&[("cart", 80)]);
    let request = Request::post("http://cart/shop.Cart/Add").header("content-type", "application/grpc");
    let mut sender = http1(&shop.mesh.tasks, client.outbound()).await;
    let request = request.header("host", "cart").body(Full::default()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "16");
    assert_eq!(answer.headers()["x-mesh-failure"], "token_missing");
}

#[tokio::test]
async fn a_policy_decides_by_the_claims_of_a_token_that_was_verified_and_by_no_others() {
    let claim = Condition::Claim { path: "/org/roles".to_owned(), values: vec!["dev".to_owned()] };
    let expression = "'dev' in jwt.claims.org.roles && jwt.claims.sub == 'ann'";
    for condition in [claim, Condition::Cel(mesh_cel::Program::compile(expression).unwrap())] {
        let issuer = Issuer::new("a");
        let mut shop = Shop::new(rules(&issuer, |rules| rules.required = false)).await;
        shop.mesh.services.push(ModelResource::Authorization(AuthorizationPolicy {
            name: Name::new("shop", "developers").unwrap(),
            action: Action::Allow,
            rules: vec![Rule { when: vec![condition], ..Rule::default() }],
            external: None,
            scope: Scope::All,
            refused: None,
            origin: String::new(),
        }));
        shop.tell(rules(&issuer, |rules| rules.required = false));
        until(|| async { refused(&shop.get("/", "").await).1 == "policy_denied" }).await;
        assert_eq!(refused(&shop.bearer(&issuer.token(&claims())).await).0, 200);
        let other = issuer.token(&with("org", json!({"roles": ["ops"]})));
        assert_eq!(refused(&shop.bearer(&other).await).1, "policy_denied");
        let forged = Issuer::new("a").token(&claims());
        assert_eq!(refused(&shop.bearer(&forged).await).1, "token_invalid");
    }
}
