//! Every kind of entry a rule may have, with calls that fit and calls that do not: on the side of what allows, of what denies, below `not`,
//! and without a request. What `cargo xtask mutants` found unnoticed is here.

use super::*;

/// A call, of which a row says what it needs.
#[derive(Debug, Clone)]
struct Row {
    peer: Option<SpiffeId>,
    source: IpAddr,
    port: u16,
    sni: Option<&'static str>,
    ask: Option<Ask>,
    claims: Option<Claims>,
}

fn row() -> Row {
    let ask = Some(Ask { method: "GET", path: "/a", host: "web.shop", role: vec![] });
    Row { peer: None, source: [10, 0, 0, 1].into(), port: 80, sni: None, ask, claims: None }
}

impl Row {
    fn with<T>(&self, then: impl FnOnce(&Attributes<'_, Ask>) -> T) -> T {
        then(&Attributes {
            peer: self.peer.as_ref(),
            trust_domain: &domain(),
            source: self.source,
            port: self.port,
            sni: self.sni,
            request: self.ask.as_ref(),
            claims: self.claims.as_ref(),
        })
    }

    fn verdict(&self, policies: &[Arc<AuthorizationPolicy>]) -> Verdict {
        self.with(|call| Applied::at(policies, self.port).judge(call))
    }

    /// What one rule makes of it where it is all that allows, and where it is all that denies.
    fn both(&self, rule: &Rule) -> (Decision, Decision) {
        let of = |action| self.verdict(&[policy("p", action, vec![rule.clone()])]).decision;
        (of(Action::Allow), of(Action::Deny))
    }
}

fn calls(fits: CallLists) -> Rule {
    Rule { to: vec![Calls { fits, not: CallLists::default() }], ..Rule::default() }
}

fn but(not: CallLists) -> Rule {
    Rule { to: vec![Calls { fits: CallLists::default(), not }], ..Rule::default() }
}

fn when(condition: Condition) -> Rule {
    Rule { when: vec![condition], ..Rule::default() }
}

fn hosts(names: &[&str]) -> CallLists {
    CallLists {
        hosts: names.iter().map(|name| HostRule::parse(name).unwrap()).collect(),
        ..CallLists::default()
    }
}

fn sni(names: &[&str]) -> CallLists {
    CallLists {
        sni: names.iter().map(|name| HostRule::parse(name).unwrap()).collect(),
        ..CallLists::default()
    }
}

fn grpc(names: &[&str]) -> CallLists {
    CallLists {
        grpc: names.iter().map(|name| GrpcCall::parse(name).unwrap()).collect(),
        ..CallLists::default()
    }
}

fn host(name: &'static str) -> Row {
    Row { ask: Some(Ask { host: name, ..ask("/a") }), ..row() }
}

fn path(path: &'static str) -> Row {
    Row { ask: Some(ask(path)), ..row() }
}

/// One that allows, and one that denies, where it fits and where it does not.
const FITS: (Decision, Decision) = (Decision::Allow, Decision::Deny);
const NOT: (Decision, Decision) = (Decision::Deny, Decision::Allow);
const LATER: (Decision, Decision) = (Decision::Undecided, Decision::Undecided);

#[test]
fn hosts_fit_by_name_and_by_what_is_under_a_name() {
    let rule = calls(hosts(&["Web.Shop", "*.Example.COM", "[2001:DB8::1]", "10.1.2.3"]));
    for (name, wanted) in [
        ("web.shop", FITS),
        ("WEB.shop:80", FITS),
        ("web.shop.", FITS),
        ("a.web.shop", NOT),
        ("xweb.shop", NOT),
        ("a.example.com", FITS),
        ("a.b.example.com", FITS),
        ("example.com", NOT),
        (".example.com", NOT),
        ("web shop", LATER_HOST),
        ("aexample.com", NOT),
        ("[2001:db8::1]:80", FITS),
        ("10.1.2.3", FITS),
        ("10.1.2.4", NOT),
    ] {
        assert_eq!(host(name).both(&rule), wanted, "{name}");
    }
    assert_eq!(host("web.shop").both(&but(hosts(&["web.shop"]))), NOT);
    assert_eq!(host("other.shop").both(&but(hosts(&["web.shop"]))), FITS);
    assert_eq!(Row { ask: None, ..row() }.both(&rule), LATER);
}

/// What is no host could be any: it is refused on both sides.
const LATER_HOST: (Decision, Decision) = (Decision::Deny, Decision::Deny);

#[test]
fn rules_for_hosts_are_read_and_written() {
    for (text, written) in [
        ("web.shop", Some("web.shop")),
        ("WEB.Shop", Some("web.shop")),
        ("*.Example.com", Some("*.example.com")),
        ("[::1]", Some("::1")),
        ("::1", Some("::1")),
        ("10.0.0.1", Some("10.0.0.1")),
        ("*", None),
        ("a.*.b", None),
        ("*.*", None),
        ("", None),
        ("web shop", None),
    ] {
        assert_eq!(HostRule::parse(text).map(|rule| rule.to_string()).as_deref(), written, "{text}");
    }
}

#[test]
fn calls_of_grpc_fit_by_service_and_method_as_literals() {
    let (one, all) = (calls(grpc(&["shop.Cart/Get"])), calls(grpc(&["shop.Cart/*"])));
    for (of, of_one, of_all) in [
        ("/shop.Cart/Get", FITS, FITS),
        ("/shop.Cart/Put", NOT, FITS),
        ("/shop.Cart", NOT, NOT),
        ("/shopxCart/Get", NOT, NOT),
        ("/shop.Stock/Get", NOT, NOT),
        ("/shop.Cart/Get/more", NOT, FITS),
        ("/a/shop.Cart/Get", NOT, NOT),
    ] {
        assert_eq!(path(of).both(&one), of_one, "{of}");
        assert_eq!(path(of).both(&all), of_all, "{of}");
    }
    assert_eq!(path("/shop.Cart/Get").both(&but(grpc(&["shop.Cart/Get"]))), NOT);
    assert_eq!(Row { ask: None, ..row() }.both(&one), LATER);
}

#[test]
fn names_of_grpc_are_read_and_written() {
    for text in ["shop.Cart/Get", "a_b-c.D/*", "S/m_1"] {
        assert_eq!(GrpcCall::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(GrpcCall::parse("S/*").unwrap().method, None);
    assert_eq!(GrpcCall::parse("S/m").unwrap().method.as_deref(), Some("m"));
    for text in ["", "S", "/m", "S/", "S/a/b", "S/a*", "*/m", "S t/m", "S/m n", "é/m", "S/m%20"] {
        assert!(GrpcCall::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_name_in_tls_fits_without_a_request_and_none_fits_no_rule() {
    let rule = calls(sni(&["db.example.com", "*.pool.example.com"]));
    for (name, wanted) in [
        (Some("db.example.com"), FITS),
        (Some("DB.Example.com."), FITS),
        (Some("a.pool.example.com"), FITS),
        (Some("pool.example.com"), NOT),
        (Some("other.example.com"), NOT),
        (None, NOT),
    ] {
        let row = Row { sni: name, ask: None, ..row() };
        assert_eq!(row.both(&rule), wanted, "{name:?}");
    }
    let named = Row { sni: Some("db.example.com"), ask: None, ..row() };
    assert_eq!(named.both(&but(sni(&["db.example.com"]))), NOT);
}

#[test]
fn ports_methods_sources_and_accounts_fit_as_they_are_written() {
    let port = |ports: &[u16]| calls(CallLists { ports: ports.to_vec(), ..CallLists::default() });
    assert_eq!(Row { ask: None, ..row() }.both(&port(&[80, 443])), FITS);
    assert_eq!(Row { ask: None, ..row() }.both(&port(&[443])), NOT);
    let methods = |methods: &[&str]| {
        let methods = methods.iter().map(|it| (*it).to_owned()).collect();
        calls(CallLists { methods, ..CallLists::default() })
    };
    assert_eq!(row().both(&methods(&["PUT", "GET"])), FITS);
    assert_eq!(row().both(&methods(&["get"])), NOT);
    let cidrs =
        |cidr: &str| CallerLists { cidrs: vec![Cidr::parse(cidr).unwrap()], ..CallerLists::default() };
    assert_eq!(row().both(&from(cidrs("10.0.0.0/8"), CallerLists::default())), FITS);
    assert_eq!(row().both(&from(cidrs("10.0.0.2"), CallerLists::default())), NOT);
    assert_eq!(
        row().both(&from(CallerLists::default(), cidrs("10.0.0.0/8"))),
        NOT,
        "a source is known without a peer"
    );
    assert_eq!(row().both(&from(CallerLists::default(), cidrs("10.0.0.2"))), FITS);
    assert_eq!(cidrs("10.0.0.0/8").cidrs[0].to_string(), "10.0.0.0/8");
}

#[test]
fn conditions_on_headers() {
    let with = |role: &[&'static [u8]]| Row { ask: Some(Ask { role: role.to_vec(), ..ask("/a") }), ..row() };
    let is = |values: &[&str]| {
        let values = values.iter().map(|it| (*it).to_owned()).collect();
        when(Condition::Header { name: "role".into(), values })
    };
    for (role, wanted) in [
        (&[&b"x"[..]][..], FITS),
        (&[b"z"], NOT),
        (&[], NOT),
        (&[b" x\t"], FITS),
        (&[b"x,x"], FITS),
        // Some readings fit and others do not: what allows does not, and what denies does.
        (&[b"x, z"], (Decision::Deny, Decision::Deny)),
        (&[b"x", b"z"], (Decision::Deny, Decision::Deny)),
        (&[b"z", b"x"], (Decision::Deny, Decision::Deny)),
        (&[b"\xff"], (Decision::Deny, Decision::Deny)),
        (&[b"x", b"\xff"], (Decision::Deny, Decision::Deny)),
    ] {
        assert_eq!(with(role).both(&is(&["x"])), wanted, "{role:?}");
    }
    // A literal with a comma in it is met as a whole.
    assert_eq!(with(&[b"x,z"]).both(&is(&["x,z"])), FITS);
    let there = |present| when(Condition::HeaderPresent { name: "role".into(), present });
    assert_eq!((with(&[b""]).both(&there(true)), with(&[]).both(&there(true))), (FITS, NOT));
    assert_eq!((with(&[b""]).both(&there(false)), with(&[]).both(&there(false))), (NOT, FITS));
    assert_eq!(Row { ask: None, ..row() }.both(&there(false)), LATER);
}

fn some_claims() -> Claims {
    Claims::new(vec![("sub".into(), claims::Claim::Text("ann".into()))]).unwrap()
}

#[test]
fn conditions_on_claims() {
    let is = when(Condition::Claim { path: "sub".into(), values: vec!["bob".into(), "ann".into()] });
    let other = when(Condition::Claim { path: "sub".into(), values: vec!["bob".into()] });
    let with = |claims| Row { claims, ..row() };
    assert_eq!(with(Some(some_claims())).both(&is), FITS);
    assert_eq!(with(Some(some_claims())).both(&other), NOT);
    assert_eq!(with(None).both(&is), NOT);
    let all = some_claims();
    assert_eq!(all.iter().collect::<Vec<_>>(), [("sub", &claims::Claim::Text("ann".into()))]);
    let nested = claims::Claim::List(vec![claims::Claim::List(vec![claims::Claim::Text("x".into())])]);
    assert!(!nested.is("x"), "a list in a list is not looked into");
    let flat = claims::Claim::List(vec![claims::Claim::Int(1), claims::Claim::Text("x".into())]);
    assert!(flat.is("x") && flat.is("1") && !flat.is("2"));
}

#[test]
fn of_several_entries_one_is_enough_and_one_that_waits_for_a_request_does_not_hide_it() {
    let by_path = paths(&["/a"]).to.remove(0);
    let by_port = calls(CallLists { ports: vec![80], ..CallLists::default() }).to.remove(0);
    let other_port = calls(CallLists { ports: vec![81], ..CallLists::default() }).to.remove(0);
    let bytes = Row { ask: None, ..row() };
    let of = |to: Vec<Calls>| bytes.both(&Rule { to, ..Rule::default() });
    assert_eq!(of(vec![by_path.clone(), by_port.clone()]), FITS);
    assert_eq!(of(vec![by_path.clone(), other_port.clone()]), LATER);
    assert_eq!(of(vec![other_port.clone(), by_path]), LATER);
    assert_eq!(of(vec![other_port.clone(), other_port]), NOT);
    // What surely does not fit is said at once, whatever else waits.
    let mut rule = paths(&["/a"]);
    rule.from = from(namespaces(&["shop"]), CallerLists::default()).from;
    assert_eq!(bytes.both(&rule), NOT);
    let policies = [policy("p", Action::Deny, vec![rule, paths(&["/b"])])];
    assert_eq!(bytes.verdict(&policies).by.unwrap().rule, Some(1), "the first that could fit");
    let certain = Rule { to: vec![by_port], ..Rule::default() };
    let policies = [policy("p", Action::Deny, vec![paths(&["/b"]), certain])];
    let verdict = bytes.verdict(&policies);
    assert_eq!(
        (verdict.decision, verdict.by.unwrap().rule),
        (Decision::Deny, Some(1)),
        "the one that fits for sure"
    );
    let policies = [policy("p", Action::Deny, vec![paths(&["/b"]), paths(&["/c"])])];
    assert_eq!(bytes.verdict(&policies).by.unwrap().rule, Some(0), "the first that waits");
}

#[test]
fn the_early_verdict_is_only_what_no_request_could_change() {
    let early = |policies: &[Arc<AuthorizationPolicy>], row: &Row| {
        row.with(|call| Applied::at(policies, 80).judge_early(call).map(|verdict| verdict.decision))
    };
    let evil = from(namespaces(&["evil"]), CallerLists::default());
    let peer = |text: &str| Row { peer: Some(id(text)), ..row() };
    let denies = [policy("p", Action::Deny, vec![evil])];
    assert_eq!(early(&denies, &peer("spiffe://mesh.test/ns/evil/sa/x")), Some(Decision::Deny));
    assert_eq!(early(&denies, &peer("spiffe://mesh.test/ns/shop/sa/x")), None);
    let nobody = [policy("p", Action::Allow, vec![])];
    assert_eq!(early(&nobody, &row()), Some(Decision::Deny));
    // The request that is there is not looked at: others may come on the connection.
    for action in [Action::Allow, Action::Deny] {
        assert_eq!(early(&[policy("p", action, vec![paths(&["/a"])])], &row()), None, "{action:?}");
        assert_eq!(early(&[policy("p", action, vec![paths(&["/b"])])], &row()), None, "{action:?}");
    }
}

#[test]
fn what_applies_at_a_port_says_what_it_needs() {
    let on = |ports: &[u16], action, rule: Rule| {
        let scope = if ports.is_empty() { Scope::All } else { Scope::Ports(ports.to_vec()) };
        Arc::new(AuthorizationPolicy { scope, ..(*policy("p", action, vec![rule])).clone() })
    };
    let needs = |policies: &[Arc<AuthorizationPolicy>], port| {
        let applied = Applied::at(policies, port);
        (
            applied.all().count(),
            applied.is_empty(),
            applied.needs_request(),
            applied.needs_headers(),
            applied.needs_sni(),
        )
    };
    assert_eq!(needs(&[], 80), (0, true, false, false, false));
    let header = when(Condition::HeaderPresent { name: "role".into(), present: true });
    let open = Rule::default();
    for action in
        [Action::Allow, Action::Deny, Action::Audit(Rehearsed::Allow), Action::Audit(Rehearsed::Deny)]
    {
        assert_eq!(
            needs(&[on(&[], action, open.clone())], 80),
            (1, false, false, false, false),
            "{action:?}"
        );
        assert_eq!(
            needs(&[on(&[], action, header.clone())], 80),
            (1, false, true, true, false),
            "{action:?}"
        );
    }
    for rule in [
        paths(&["/a"]),
        calls(hosts(&["a.b"])),
        calls(grpc(&["S/*"])),
        but(grpc(&["S/*"])),
        but(hosts(&["a.b"])),
        calls(CallLists { methods: vec!["GET".into()], ..CallLists::default() }),
    ] {
        assert_eq!(
            needs(&[on(&[], Action::Deny, rule.clone())], 80),
            (1, false, true, false, false),
            "{rule:?}"
        );
    }
    for rule in [calls(sni(&["a.b"])), but(sni(&["a.b"]))] {
        assert_eq!(
            needs(&[on(&[], Action::Deny, rule.clone())], 80),
            (1, false, false, false, true),
            "{rule:?}"
        );
    }
    let source = from(
        CallerLists { cidrs: vec![Cidr::parse("10.0.0.1").unwrap()], ..CallerLists::default() },
        CallerLists::default(),
    );
    assert_eq!(needs(&[on(&[], Action::Deny, source)], 80), (1, false, false, false, false));
    // One that needs nothing takes nothing away from one that does, in either order.
    let (first, second) = (on(&[], Action::Deny, header), on(&[], Action::Allow, open));
    assert_eq!(needs(&[Arc::clone(&first), Arc::clone(&second)], 80), (2, false, true, true, false));
    assert_eq!(needs(&[second, first], 80), (2, false, true, true, false));
    let elsewhere = on(&[443, 8443], Action::Deny, Rule::default());
    assert_eq!(needs(&[Arc::clone(&elsewhere)], 80), (0, true, false, false, false));
    assert_eq!(needs(&[elsewhere], 8443), (1, false, false, false, false));
}

#[test]
fn one_that_cannot_be_read_denies_whatever_it_was_to_do() {
    for action in [Action::Allow, Action::Audit(Rehearsed::Deny)] {
        let read = policy("p", action, vec![Rule::default()]);
        let refused =
            Arc::new(AuthorizationPolicy { refused: Some("spec: wrong".into()), ..(*read).clone() });
        assert!(row().verdict(&[read]).is_allowed());
        let other = policy("q", Action::Allow, vec![Rule::default()]);
        assert_eq!(row().verdict(&[refused, other]).decision, Decision::Deny, "{action:?}");
    }
}

#[test]
fn verdicts_in_words() {
    let words = |policies: &[Arc<AuthorizationPolicy>], row: &Row| row.verdict(policies).words();
    let bytes = Row { ask: None, ..row() };
    let allow = policy("p", Action::Allow, vec![paths(&["/a"])]);
    assert_eq!(words(&[], &row()), "allowed: no policy that decides protects the port");
    assert_eq!(
        words(&[Arc::clone(&allow)], &row()),
        "allowed by spec.rules[0] of AuthorizationPolicy shop/p"
    );
    assert_eq!(
        words(&[Arc::clone(&allow)], &path("/b")),
        "denied: no rule of a policy that allows fits, as of AuthorizationPolicy shop/p"
    );
    assert_eq!(
        words(&[allow], &bytes),
        "denied: spec.rules[0] of AuthorizationPolicy shop/p asks for what only a request has, and these bytes are no HTTP"
    );
    assert_eq!(
        words(&[policy("p", Action::Allow, vec![])], &row()),
        "denied: AuthorizationPolicy shop/p has no rules and so allows nothing, and no other policy allows it"
    );
    let deny = policy("p", Action::Deny, vec![paths(&["/b"]), paths(&["/a"])]);
    assert_eq!(words(&[Arc::clone(&deny)], &row()), "denied by spec.rules[1] of AuthorizationPolicy shop/p");
    assert_eq!(By { policy: deny, rule: None }.words(), "spec.rules of AuthorizationPolicy shop/p");
}

#[test]
fn actions_decisions_and_resources_have_names() {
    let actions = [Action::Allow, Action::Deny, Action::Audit(Rehearsed::Deny)];
    assert_eq!(actions.map(Action::as_str), ["Allow", "Deny", "Audit"]);
    let decisions = [Decision::Allow, Decision::Deny, Decision::Undecided];
    assert_eq!(decisions.map(Decision::as_str), ["allow", "deny", "undecided"]);
    let rehearsed = actions.map(|action| policy("p", action, vec![]).rehearsed());
    assert_eq!(rehearsed, [None, None, Some(Rehearsed::Deny)]);
    let of = policy("p", Action::Deny, vec![]);
    assert_eq!(of.resource_name(), "authorizationpolicy/shop/p");
    assert_eq!(resource_name(&of.name), "authorizationpolicy/shop/p");
}

/// The field and the reason for which a rule that allows does not fit.
fn misfit(rule: &Rule, row: &Row) -> Option<String> {
    let policy = policy("p", Action::Allow, vec![rule.clone()]);
    row.with(|call| {
        let place = policy.look(call)[0].place?;
        Some(format!(
            "{}: {}",
            place.field(0).strip_prefix("spec.rules[0].").unwrap(),
            policy.misfit(0, place, call)
        ))
    })
}

#[test]
fn why_a_rule_does_not_fit_is_told_by_field() {
    let web = Row { peer: Some(id("spiffe://mesh.test/ns/shop/sa/web")), ..row() };
    let excluded = from(CallerLists::default(), namespaces(&["shop"]));
    let several = Rule {
        from: [["a"], ["b"]]
            .map(|names| from(namespaces(&names), CallerLists::default()).from.remove(0))
            .to_vec(),
        ..Rule::default()
    };
    let other_calls =
        Rule { to: [["/x"], ["/y"]].map(|it| paths(&it).to.remove(0)).to_vec(), ..Rule::default() };
    let cidr = CallerLists { cidrs: vec![Cidr::parse("10.9.0.0/16").unwrap()], ..CallerLists::default() };
    let method = CallLists { methods: vec!["PUT".into()], ..CallLists::default() };
    let port = CallLists { ports: vec![443], ..CallLists::default() };
    let named = Row { sni: Some("x.y"), ..row() };
    for (rule, row, wanted) in [
        (Rule::default(), web.clone(), None),
        (
            excluded,
            web.clone(),
            Some(
                "from[0].not.namespaces: the caller is spiffe://mesh.test/ns/shop/sa/web, which is or could be among those excluded",
            ),
        ),
        (several, web, Some("from: none of 2 entries fits spiffe://mesh.test/ns/shop/sa/web")),
        (other_calls, row(), Some("to: none of 2 entries fits the call")),
        (
            from(cidr, CallerLists::default()),
            row(),
            Some("from[0].cidrs: the connection comes from 10.0.0.1, which is not among these"),
        ),
        (calls(method), row(), Some("to[0].methods: the method is GET, which is not among these")),
        (calls(port), row(), Some("to[0].ports: the port is 80, which is not among these")),
        (calls(hosts(&["a.b"])), row(), Some("to[0].hosts: the host is web.shop, which is not among these")),
        (calls(grpc(&["S/m"])), row(), Some("to[0].grpc: the path is /a, which is not among these")),
        (
            but(hosts(&["web.shop"])),
            row(),
            Some("to[0].not.hosts: the host is web.shop, which is or could be among those excluded"),
        ),
        (
            calls(sni(&["a.b"])),
            row(),
            Some("to[0].sni: no name is asked for in TLS, which is not among these"),
        ),
        (
            calls(sni(&["a.b"])),
            named,
            Some("to[0].sni: the name asked for in TLS is x.y, which is not among these"),
        ),
        (
            paths(&["/a"]),
            Row { ask: None, ..row() },
            Some("to[0].paths: there is no request, which is not among these"),
        ),
    ] {
        assert_eq!(misfit(&rule, &row).as_deref(), wanted, "{rule:?}");
    }
}

#[test]
fn why_a_condition_does_not_hold_is_told() {
    let header = |values: &[&str]| {
        let values = values.iter().map(|it| (*it).to_owned()).collect();
        when(Condition::Header { name: "role".into(), values })
    };
    let there = |present| when(Condition::HeaderPresent { name: "role".into(), present });
    let claim = |path: &str| when(Condition::Claim { path: path.into(), values: vec!["bob".into()] });
    let with = |role: &[&'static [u8]]| Row { ask: Some(Ask { role: role.to_vec(), ..ask("/a") }), ..row() };
    let token = Row { claims: Some(some_claims()), ..row() };
    for (rule, row, wanted) in [
        (header(&["x"]), with(&[]), "header role is not there"),
        (header(&["x"]), with(&[b"y", b"z"]), "header role is `y`, `z`"),
        (there(true), with(&[]), "header role is not there"),
        (there(false), with(&[b"y"]), "header role is there"),
        (claim("sub"), row(), "there is no token whose claims could be looked at"),
        (claim("sub"), token.clone(), "claim sub has another value"),
        (claim("aud"), token, "the token has no claim aud"),
        (header(&["x"]), Row { ask: None, ..row() }, "there is no request"),
    ] {
        assert_eq!(misfit(&rule, &row).as_deref(), Some(format!("when[0]: {wanted}").as_str()), "{rule:?}");
    }
}

#[test]
fn of_several_places_the_first_that_decides_is_told() {
    let mut rule = paths(&["/a"]);
    rule.from = from(namespaces(&["shop"]), CallerLists::default()).from;
    rule.when = when(Condition::HeaderPresent { name: "role".into(), present: true }).when;
    let web = Row { peer: Some(id("spiffe://mesh.test/ns/shop/sa/web")), ..row() };
    let field = |row: &Row| misfit(&rule, row).map(|it| it.split(':').next().unwrap().to_owned());
    assert_eq!(field(&web).as_deref(), Some("when[0]"));
    assert_eq!(field(&Row { ask: Some(ask("/b")), ..web.clone() }).as_deref(), Some("to[0].paths"));
    assert_eq!(field(&row()).as_deref(), Some("from[0].namespaces"));
    assert_eq!(field(&Row { ask: None, ..web }).as_deref(), Some("to[0].paths"), "what waits for a request");
    assert_eq!(
        field(&Row { ask: None, ..row() }).as_deref(),
        Some("from[0].namespaces"),
        "what surely does not fit"
    );
}
