//! Expressions in policies: what has no answer, what needs a request, whose names are meant, and the words for it.

use mesh_cel::Program;

use super::super::claims::Claim;
use super::*;

const WEB: &str = "spiffe://mesh.test/ns/shop/sa/web";
const FOREIGN: &str = "spiffe://other.test/ns/shop/sa/web";

fn when(expression: &str) -> Vec<Rule> {
    vec![Rule { when: vec![Condition::Cel(Program::compile(expression).unwrap())], ..Rule::default() }]
}

fn said(action: Action, expression: &str, peer: Option<&str>, ask: Option<&Ask>) -> Verdict {
    judge(&[policy("p", action, when(expression))], peer.map(id).as_ref(), ask)
}

#[test]
fn what_has_no_answer_denies_and_never_allows() {
    let ask = ask("/a");
    for (expression, peer, allowed, denied) in [
        ("request.path == '/a'", Some(WEB), true, true),
        ("request.path == '/b'", Some(WEB), false, false),
        ("request.headers['role'] == 'x'", Some(WEB), false, true),
        ("request.headers['role'] != 'x'", Some(WEB), false, true),
        ("'role' in request.headers", Some(WEB), false, false),
        ("request.host == 'web.shop' && request.query == ''", Some(WEB), true, true),
        ("source.namespace == 'shop'", Some(WEB), true, true),
        ("source.namespace == 'shop'", None, false, true),
        ("connection.mtls && source.namespace == 'shop'", None, false, false),
        ("source.namespace == 'shop'", Some(FOREIGN), false, true),
        ("source.trustDomain == 'mesh.test' && source.namespace == 'shop'", Some(FOREIGN), false, false),
        ("source.trustDomain == 'other.test' && source.namespace == 'shop'", Some(FOREIGN), false, true),
        (
            "source.identity == 'spiffe://x.test/ns/a/sa/b' || source.serviceAccount == 'web'",
            Some(FOREIGN),
            false,
            true,
        ),
        ("source.trustDomain == 'other.test'", Some(FOREIGN), true, true),
        ("has(source.namespace)", Some(FOREIGN), false, false),
        ("source.identity == 'spiffe://other.test/ns/shop/sa/web'", Some(FOREIGN), true, true),
        ("source.address == '10.0.0.1' && destination.port == 80", Some(WEB), true, true),
        ("has(connection.sni)", Some(WEB), false, false),
        ("jwt.claims.sub == 'ann'", Some(WEB), false, true),
    ] {
        let allows = said(Action::Allow, expression, peer, Some(&ask)).is_allowed();
        assert_eq!(allows, allowed, "allow {expression} for {peer:?}");
        let all = policy("all", Action::Allow, vec![Rule::default()]);
        let deny = policy("p", Action::Deny, when(expression));
        let denies = !judge(&[all, deny], peer.map(id).as_ref(), Some(&ask)).is_allowed();
        assert_eq!(denies, denied, "deny {expression} for {peer:?}");
    }
}

#[test]
fn every_reading_of_a_path_and_a_header_counts() {
    let path = "request.path == '/admin'";
    for odd in ["/admin", "/admin/", "/admin;x", "/a/..;/admin", "/admin;x/"] {
        assert!(!said(Action::Deny, path, Some(WEB), Some(&ask(odd))).is_allowed(), "{odd}");
        assert!(
            !said(Action::Allow, "request.path != '/admin'", Some(WEB), Some(&ask(odd))).is_allowed(),
            "{odd}"
        );
    }
    let role =
        |values: &[&'static str]| Ask { role: values.iter().map(|v| v.as_bytes()).collect(), ..ask("/") };
    let admin = "request.headers['role'] == 'admin'";
    for values in [&["admin"][..], &["user", "admin"], &["user, admin"]] {
        assert!(!said(Action::Deny, admin, Some(WEB), Some(&role(values))).is_allowed(), "{values:?}");
        let alone = values.len() == 1 && values[0] == "admin";
        assert_eq!(
            said(Action::Allow, admin, Some(WEB), Some(&role(values))).is_allowed(),
            alone,
            "{values:?}"
        );
    }
}

#[test]
fn without_a_request_what_asks_for_one_is_undecided_and_the_rest_is_judged() {
    for (expression, allow, deny) in [
        ("request.method == 'GET'", Decision::Undecided, Decision::Undecided),
        ("source.namespace == 'shop' && jwt.claims.sub == 'a'", Decision::Undecided, Decision::Undecided),
        ("source.namespace == 'bank' && request.method == 'GET'", Decision::Deny, Decision::Allow),
        ("source.namespace == 'shop'", Decision::Allow, Decision::Deny),
        ("connection.sni == 'a'", Decision::Deny, Decision::Deny),
    ] {
        assert_eq!(said(Action::Allow, expression, Some(WEB), None).decision, allow, "allow {expression}");
        assert_eq!(said(Action::Deny, expression, Some(WEB), None).decision, deny, "deny {expression}");
    }
    let applied = |expression| Applied::at(&[policy("p", Action::Deny, when(expression))], 80);
    let needs = |expression| {
        let applied = applied(expression);
        (applied.needs_request(), applied.needs_headers(), applied.needs_sni())
    };
    assert_eq!(needs("source.namespace == 'a'"), (false, false, false));
    assert_eq!(needs("connection.sni == 'a'"), (false, false, true));
    assert_eq!(needs("request.path == '/'"), (true, true, false));
    assert_eq!(needs("has(jwt.claims)"), (true, true, false));
}

#[test]
fn claims_are_seen_as_they_are() {
    let entry = |name: &str, claim| (name.to_owned(), claim);
    let roles = Claim::List(vec![Claim::Text("dev".into()), Claim::Int(7)]);
    let org =
        Claim::Map(vec![entry("roles", roles), entry("none", Claim::Null), entry("half", Claim::Float(0.5))]);
    let claims = Claims::new(vec![entry("org", org), entry("ok", Claim::Bool(true))]).unwrap();
    let (domain, ask) = (domain(), ask("/"));
    for (expression, holds) in [
        ("'dev' in jwt.claims.org.roles && jwt.claims.org.roles[1] == 7", true),
        ("jwt.claims.org.none == null && jwt.claims.org.half < 1.0 && jwt.claims.ok", true),
        ("size(jwt.claims) == 2 && size(jwt.claims.org) == 3 && size(jwt.claims.org.roles) == 2", true),
        ("has(jwt.claims.email) || has(jwt.claims.org.email)", false),
        ("jwt.claims.ok == 'true'", false),
    ] {
        let call = Attributes {
            peer: None,
            trust_domain: &domain,
            source: IpAddr::from([10, 0, 0, 1]),
            port: 80,
            sni: None,
            request: Some(&ask),
            claims: Some(&claims),
        };
        let verdict = Applied::at(&[policy("p", Action::Allow, when(expression))], 80).judge(&call);
        assert_eq!(verdict.is_allowed(), holds, "{expression}");
    }
}

#[test]
fn the_verdict_names_the_expression_without_an_answer() {
    let role = "request.headers['role'] == 'x'";
    let by_rule = said(Action::Deny, role, Some(WEB), Some(&ask("/")));
    let by_none = said(Action::Allow, role, Some(WEB), Some(&ask("/")));
    for verdict in [by_rule, by_none] {
        let unanswered = verdict.unanswered.as_ref().unwrap();
        assert_eq!(unanswered.field(), "spec.rules[0].when[0].cel");
        let words = verdict.words();
        assert!(
            words.contains(
                "; spec.rules[0].when[0].cel of AuthorizationPolicy shop/p has no answer: header role is not there"
            ),
            "{words}"
        );
    }
    // What decides for another reason says nothing of it, and neither does what never came so far.
    let other = said(Action::Allow, "request.path == '/b'", Some(WEB), Some(&ask("/")));
    assert_eq!(other.unanswered, None);
    let rule = Rule { to: paths(&["/b"]).to, ..when(role).remove(0) };
    let elsewhere = judge(&[policy("p", Action::Allow, vec![rule])], None, Some(&ask("/")));
    assert_eq!((elsewhere.decision, elsewhere.unanswered), (Decision::Deny, None));
}

#[test]
fn what_does_not_fit_is_told_with_the_expression() {
    let domain = domain();
    let web = id(WEB);
    for (expression, request, told) in [
        ("request.path == '/b'", Some(ask("/")), "`request.path == '/b'` does not hold"),
        ("request.headers['role'] == 'x'", Some(ask("/")), "has no answer: header role is not there"),
        ("request.path ==\n  '/b'", None, "there is no request, for which `request.path == '/b'` asks"),
    ] {
        let policy = policy("p", Action::Allow, when(expression));
        let call = Attributes {
            peer: Some(&web),
            trust_domain: &domain,
            source: IpAddr::from([10, 0, 0, 1]),
            port: 80,
            sni: None,
            request: request.as_ref(),
            claims: None,
        };
        let looked = policy.look(&call).remove(0);
        assert_eq!(looked.place, Some(Place::When(0)), "{expression}");
        let words = policy.misfit(0, Place::When(0), &call);
        assert!(words.contains(told), "{expression}: {words}");
    }
}
