//! Verdicts as rows that somebody could write, and arbitrary policies against a naive oracle.

mod expressions;
mod kinds;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::asking::AuthProtocol;
use crate::name::ServiceName;
use crate::route::BackendTarget;

/// A request as plain data.
#[derive(Debug, Clone)]
struct Ask {
    method: &'static str,
    path: &'static str,
    host: &'static str,
    role: Vec<&'static [u8]>,
}

impl HeadView for Ask {
    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        self.path
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn authority(&self) -> &str {
        self.host
    }

    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        if name == "role" {
            self.role.iter().for_each(|value| visit(value));
        }
    }
}

fn policy(name: &str, action: Action, rules: Vec<Rule>) -> Arc<AuthorizationPolicy> {
    Arc::new(AuthorizationPolicy {
        name: Name::new("shop", name).unwrap(),
        action,
        rules,
        external: None,
        scope: Scope::All,
        refused: None,
        origin: String::new(),
    })
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

fn domain() -> TrustDomain {
    TrustDomain::new("mesh.test").unwrap()
}

fn judge(policies: &[Arc<AuthorizationPolicy>], peer: Option<&SpiffeId>, ask: Option<&Ask>) -> Verdict {
    let call = Attributes {
        peer,
        trust_domain: &domain(),
        source: IpAddr::from([10, 0, 0, 1]),
        port: 80,
        sni: None,
        request: ask,
        claims: None,
    };
    Applied::at(policies, 80).judge(&call)
}

fn ask(path: &'static str) -> Ask {
    Ask { method: "GET", path, host: "web.shop", role: vec![] }
}

fn from(fits: CallerLists, not: CallerLists) -> Rule {
    Rule { from: vec![Callers { fits, not }], ..Rule::default() }
}

fn namespaces(names: &[&str]) -> CallerLists {
    CallerLists {
        namespaces: names.iter().map(|name| (*name).to_owned()).collect(),
        ..CallerLists::default()
    }
}

fn paths(paths: &[&str]) -> Rule {
    let paths = paths.iter().map(|path| PathRule::parse(path).unwrap()).collect();
    Rule {
        to: vec![Calls { fits: CallLists { paths, ..CallLists::default() }, ..Calls::default() }],
        ..Rule::default()
    }
}

/// Policies, a path, what is decided, and by which policy and rule.
type Row<'a> = (&'a [&'a Arc<AuthorizationPolicy>], &'static str, Decision, Option<(&'a str, Option<usize>)>);

#[test]
fn what_denies_decides_first_then_something_must_allow() {
    let (all, none) =
        (policy("all", Action::Allow, vec![Rule::default()]), policy("none", Action::Allow, vec![]));
    let deny = policy("deny", Action::Deny, vec![paths(&["/admin/*"])]);
    let opens = policy("opens", Action::Allow, vec![paths(&["/only"])]);
    let rows: [Row<'_>; 9] = [
        (&[], "/", Decision::Allow, None),
        // The one that would have to change, whichever comes first.
        (&[&none, &opens], "/", Decision::Deny, Some(("opens", None))),
        (&[&opens, &none], "/", Decision::Deny, Some(("opens", None))),
        (&[&deny], "/", Decision::Allow, None),
        (&[&deny], "/admin", Decision::Deny, Some(("deny", Some(0)))),
        (&[&all, &deny], "/admin/x", Decision::Deny, Some(("deny", Some(0)))),
        (&[&none], "/", Decision::Deny, Some(("none", None))),
        (&[&none, &all], "/", Decision::Allow, Some(("all", Some(0)))),
        (&[&none, &deny], "/", Decision::Deny, Some(("none", None))),
    ];
    for (policies, path, decision, by) in rows {
        let policies: Vec<_> = policies.iter().map(|it| Arc::clone(it)).collect();
        let verdict = judge(&policies, None, Some(&ask(path)));
        let said = verdict.by.as_ref().map(|by| (by.policy.name.name(), by.rule));
        assert_eq!((verdict.decision, said), (decision, by), "{path} under {policies:?}");
    }
}

#[test]
fn what_only_a_request_can_tell_is_refused_where_there_is_none() {
    for (action, by_path) in [(Action::Deny, Decision::Undecided), (Action::Allow, Decision::Undecided)] {
        let policies = [policy("p", action, vec![paths(&["/a"])])];
        assert_eq!(judge(&policies, None, None).decision, by_path, "{action:?}");
        let applied = Applied::at(&policies, 80);
        assert!(applied.needs_request() && !applied.needs_sni() && !applied.needs_headers());
    }
    let certain = [policy("p", Action::Deny, vec![from(namespaces(&["evil"]), CallerLists::default())])];
    let evil = id("spiffe://mesh.test/ns/evil/sa/x");
    assert_eq!(judge(&certain, Some(&evil), None).decision, Decision::Deny);
    assert_eq!(judge(&certain, None, None).decision, Decision::Allow);
}

#[test]
fn services_are_asked_about_what_others_let_through_and_about_requests_alone() {
    let external = |name: &str, rules: Vec<Rule>| {
        let target = BackendTarget::Service { service: ServiceName::new("auth", "opa").unwrap(), port: 9191 };
        let protocol = AuthProtocol::Grpc { allowed_headers: vec![] };
        let asked = ExternalAuth { target, protocol, max_body: 0, timeout: ExternalAuth::TIMEOUT };
        let policy = AuthorizationPolicy::clone(&policy(name, Action::External, rules));
        Arc::new(AuthorizationPolicy { external: Some(asked), ..policy })
    };
    let (all, a) =
        (external("all", vec![Rule::default()]), external("only-a", vec![paths(&["/b"]), paths(&["/a"])]));
    let deny = policy("deny", Action::Deny, vec![paths(&["/admin/*"])]);
    let none = policy("none", Action::Allow, vec![]);
    let asked = |policies: &[&Arc<AuthorizationPolicy>], path| {
        let policies: Vec<_> = policies.iter().map(|it| Arc::clone(it)).collect();
        let verdict = judge(&policies, None, Some(&ask(path)));
        let asks = verdict.asks.iter().map(|by| format!("{}{:?}", by.policy.name.name(), by.rule));
        (verdict.decision, asks.collect::<Vec<_>>())
    };
    assert_eq!(
        asked(&[&all, &a], "/a"),
        (Decision::Allow, vec!["allSome(0)".to_owned(), "only-aSome(1)".to_owned()])
    );
    assert_eq!(asked(&[&a], "/c"), (Decision::Allow, vec![]));
    assert_eq!(
        asked(&[&all, &deny], "/admin"),
        (Decision::Deny, vec![]),
        "nobody is asked about what is refused"
    );
    assert_eq!(asked(&[&all, &none], "/"), (Decision::Deny, vec![]), "a yes allows nothing by itself");
    let bytes = judge(&[Arc::clone(&all)], None, None);
    assert_eq!(bytes.decision, Decision::Undecided);
    assert!(bytes.words().contains("these bytes are no HTTP"), "{}", bytes.words());
    assert!(Applied::at([&all], 80).needs_request());
    let words = judge(&[all], None, Some(&ask("/"))).words();
    assert!(words.contains("if Service auth/opa:9191, which spec.rules[0] of AuthorizationPolicy shop/all has asked, says yes"), "{words}");
}

#[test]
fn names_are_those_of_the_own_trust_domain_and_nobody_could_be_anybody() {
    let (ours, theirs) = (id("spiffe://mesh.test/ns/shop/sa/web"), id("spiffe://other.test/ns/shop/sa/web"));
    let both = CallerLists { trust_domains: vec![theirs.trust_domain().clone()], ..namespaces(&["shop"]) };
    let none = CallerLists::default;
    let rows = [
        (from(namespaces(&["shop"]), none()), [true, false, false], [true, true, false]),
        (from(both, none()), [false, true, false], [false, true, false]),
        (from(none(), namespaces(&["shop"])), [false, false, false], [false, true, true]),
    ];
    for (rule, allows, denies) in rows {
        for (at, peer) in [Some(&ours), Some(&theirs), None].into_iter().enumerate() {
            let allowed = judge(&[policy("p", Action::Allow, vec![rule.clone()])], peer, None).is_allowed();
            let denied = !judge(&[policy("p", Action::Deny, vec![rule.clone()])], peer, None).is_allowed();
            assert_eq!((allowed, denied), (allows[at], denies[at]), "{peer:?} under {rule:?}");
        }
    }
}

// T21
#[test]
fn a_member_of_another_mesh_may_do_what_a_policy_allows_it_and_nothing_else() {
    let theirs = id("spiffe://other.test/ns/a/sa/x");
    let verdict = judge(&[], Some(&theirs), None);
    assert_eq!((verdict.decision, &verdict.by), (Decision::Deny, &None));
    assert!(verdict.words().contains("another trust domain"), "{}", verdict.words());
    let elsewhere = from(namespaces(&["b"]), CallerLists::default());
    let denies = policy("denies", Action::Deny, vec![elsewhere]);
    assert_eq!(judge(&[denies], Some(&theirs), None).decision, Decision::Deny);
    let named = CallerLists { identities: vec![theirs.clone()], ..CallerLists::default() };
    let allows = policy("allows", Action::Allow, vec![from(named, CallerLists::default())]);
    assert!(judge(&[allows], Some(&theirs), None).is_allowed());
    let same_names = id("spiffe://mesh.test/ns/a/sa/x");
    assert!(judge(&[], Some(&same_names), None).is_allowed() && judge(&[], None, None).is_allowed());
}

#[test]
fn a_dot_in_a_name_is_a_dot() {
    let accounts = vec![Name::new("shop", "cert-manager.io").unwrap()];
    let rule = from(CallerLists { accounts, ..CallerLists::default() }, CallerLists::default());
    for (account, allowed) in [("cert-manager.io", true), ("cert-managerxio", false)] {
        let peer = id(&format!("spiffe://mesh.test/ns/shop/sa/{account}"));
        let policies = [policy("p", Action::Allow, vec![rule.clone()])];
        assert_eq!(judge(&policies, Some(&peer), None).is_allowed(), allowed, "{account}");
    }
}

#[test]
fn audit_policies_never_decide_and_say_what_they_would() {
    let would = |audit, rules, allow: bool| {
        let mut policies = vec![policy("audit", Action::Audit(audit), rules)];
        policies.extend(allow.then(|| policy("z", Action::Allow, vec![Rule::default()])));
        let verdict = judge(&policies, None, Some(&ask("/a")));
        assert!(verdict.is_allowed());
        verdict.would_deny.map(|by| by.rule)
    };
    assert_eq!(would(Rehearsed::Deny, vec![paths(&["/a"])], false), Some(Some(0)));
    assert_eq!(would(Rehearsed::Deny, vec![paths(&["/b"])], false), None);
    assert_eq!(would(Rehearsed::Allow, vec![paths(&["/b"])], false), Some(None));
    assert_eq!(would(Rehearsed::Allow, vec![paths(&["/a"])], false), None);
    assert_eq!(would(Rehearsed::Allow, vec![paths(&["/b"])], true), None, "another policy allows it");
}

#[test]
fn a_policy_that_cannot_be_read_denies_and_says_why() {
    let closed =
        Arc::new(AuthorizationPolicy::closed(Name::new("shop", "p").unwrap(), "spec.x: wrong".to_owned()));
    let verdict = judge(&[closed], None, Some(&ask("/")));
    assert_eq!(verdict.decision, Decision::Deny);
    assert!(verdict.words().contains("cannot be read (spec.x: wrong)"), "{}", verdict.words());
}

#[test]
fn a_rule_that_does_not_fit_is_told_with_field_and_reason() {
    let rule = Rule { from: from(namespaces(&["shop"]), CallerLists::default()).from, ..paths(&["/a"]) };
    let policy = policy("p", Action::Allow, vec![rule]);
    let look = |peer: Option<&SpiffeId>, path| {
        let (ask, domain) = (ask(path), domain());
        let source = IpAddr::from([10, 0, 0, 1]);
        let call = Attributes {
            peer,
            trust_domain: &domain,
            source,
            port: 80,
            sni: None,
            request: Some(&ask),
            claims: None,
        };
        let place = policy.look(&call)[0].place;
        place
            .map(|place| format!("{}: {}", place.field(0), policy.misfit(0, place, &call)))
            .unwrap_or_default()
    };
    let web = id("spiffe://mesh.test/ns/shop/sa/web");
    assert_eq!(look(Some(&web), "/a"), "");
    assert_eq!(look(Some(&web), "/b"), "spec.rules[0].to[0].paths: the path is /b, which is not among these");
    assert_eq!(
        look(None, "/a"),
        "spec.rules[0].from[0].namespaces: the caller is nobody with a certificate of the mesh, which is not among these"
    );
}

/// What of a rule the oracle knows.
#[derive(Debug, Clone)]
struct Plain {
    namespaces: Vec<&'static str>,
    not_namespaces: Vec<&'static str>,
    methods: Vec<&'static str>,
    roles: Vec<&'static str>,
}

fn plain() -> impl Strategy<Value = Plain> {
    let some = |from: &'static [&'static str]| proptest::collection::vec(select(from), 0..3);
    (some(&["a", "b"]), some(&["a", "b"]), some(&["GET", "PUT"]), some(&["x", "y"])).prop_map(
        |(namespaces, not_namespaces, methods, roles)| Plain { namespaces, not_namespaces, methods, roles },
    )
}

impl Plain {
    fn rule(&self) -> Rule {
        let methods = self.methods.iter().map(|it| (*it).to_owned()).collect();
        let header = Condition::Header {
            name: "role".to_owned(),
            values: self.roles.iter().map(|it| (*it).to_owned()).collect(),
        };
        Rule {
            to: vec![Calls { fits: CallLists { methods, ..CallLists::default() }, ..Calls::default() }],
            when: if self.roles.is_empty() { vec![] } else { vec![header] },
            ..from(namespaces(&self.namespaces), namespaces(&self.not_namespaces))
        }
    }

    /// As the documentation says it, word by word.
    fn fits(&self, namespace: Option<&str>, ask: &Ask, denies: bool) -> bool {
        let among = |list: &[&str]| namespace.is_some_and(|it| list.contains(&it));
        let caller = self.namespaces.is_empty() || among(&self.namespaces);
        let excluded = !self.not_namespaces.is_empty()
            && match namespace {
                Some(_) => among(&self.not_namespaces),
                None => !denies,
            };
        let method = self.methods.is_empty() || self.methods.contains(&ask.method);
        let is = |value: &&[u8]| self.roles.iter().any(|role| role.as_bytes() == *value);
        let role = self.roles.is_empty()
            || if denies { ask.role.iter().any(is) } else { !ask.role.is_empty() && ask.role.iter().all(is) };
        caller && !excluded && method && role
    }
}

proptest! {
    #[test]
    fn verdicts_are_those_of_the_naive_oracle(
        policies in proptest::collection::vec((any::<bool>(), proptest::collection::vec(plain(), 0..3)), 0..4),
        namespace in select(vec![None, Some("a"), Some("b"), Some("c")]),
        method in select(vec!["GET", "PUT", "POST"]),
        role in proptest::collection::vec(select(vec![&b"x"[..], b"y", b"z"]), 0..3),
    ) {
        let ask = Ask { method, path: "/", host: "web.shop", role };
        let peer = namespace.map(|namespace| id(&format!("spiffe://mesh.test/ns/{namespace}/sa/x")));
        let made: Vec<_> = policies.iter().enumerate().map(|(at, (denies, rules))| {
            let action = if *denies { Action::Deny } else { Action::Allow };
            policy(&format!("p{at}"), action, rules.iter().map(Plain::rule).collect())
        }).collect();
        let any = |denies: bool| policies.iter().any(|(of, rules)| {
            *of == denies && rules.iter().any(|rule| rule.fits(namespace, &ask, denies))
        });
        let wanted = !any(true) && (policies.iter().all(|(denies, _)| *denies) || any(false));
        prop_assert_eq!(judge(&made, peer.as_ref(), Some(&ask)).is_allowed(), wanted);
        // What is refused for certain without the request is refused with every request.
        let call = Attributes {
            peer: peer.as_ref(), trust_domain: &domain(), source: IpAddr::from([10, 0, 0, 1]), port: 80,
            sni: None, request: Some(&ask), claims: None,
        };
        prop_assert!(Applied::at(&made, 80).judge_early(&call).is_none() || !wanted);
    }
}
