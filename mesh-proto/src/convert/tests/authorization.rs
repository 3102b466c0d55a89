//! What is refused of authorization policies: whatever is not known, since to overlook it could open something.

use mesh_model::policy::AuthorizationPolicy;

use super::*;

fn good() -> wire::AuthorizationPolicy {
    let fits = wire::CallerLists {
        identities: vec!["spiffe://td/ns/shop/sa/web".to_owned()],
        namespaces: vec!["shop".to_owned()],
        service_accounts: vec!["shop/web".to_owned()],
        trust_domains: vec!["td".to_owned()],
        cidrs: vec!["10.0.0.0/8".to_owned()],
    };
    let lists = wire::CallLists {
        ports: vec![80],
        methods: vec!["GET".to_owned()],
        paths: vec!["/a/*".to_owned()],
        hosts: vec!["a.example".to_owned()],
        grpc: vec!["a.B/*".to_owned()],
        sni: vec!["*.example".to_owned()],
    };
    let header = wire::HeaderValues { name: "x".to_owned(), values: vec!["y".to_owned()] };
    let condition = wire::authorization_condition::Condition::Header(header);
    let rule = wire::AuthorizationRule {
        from: vec![wire::Callers { fits: Some(fits), not: None }],
        to: vec![wire::Calls { fits: Some(lists), not: None }],
        when: vec![wire::AuthorizationCondition { condition: Some(condition) }],
    };
    wire::AuthorizationPolicy {
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        action: wire::AuthorizationAction::Allow.into(),
        rules: vec![rule],
        ports: vec![8080],
        refused: String::new(),
        origin: "f.yaml:1".to_owned(),
        level: 0,
        external: None,
    }
}

fn read(policy: wire::AuthorizationPolicy) -> Result<AuthorizationPolicy, String> {
    match decode(resource("authorizationpolicy/shop/web", wire::resource::Body::Authorization(policy))) {
        Ok(ModelResource::Authorization(policy)) => Ok(policy),
        Ok(other) => panic!("a policy became {other:?}"),
        Err(invalid) => Err(invalid.field),
    }
}

fn from(it: &mut wire::AuthorizationPolicy) -> &mut wire::CallerLists {
    it.rules[0].from[0].fits.as_mut().unwrap()
}

fn to(it: &mut wire::AuthorizationPolicy) -> &mut wire::CallLists {
    it.rules[0].to[0].fits.as_mut().unwrap()
}

#[test]
fn what_cannot_be_read_of_a_policy_is_refused() {
    assert!(read(good()).is_ok());
    type Change = fn(&mut wire::AuthorizationPolicy);
    let changes: &[(Change, &str)] = &[
        (|it| it.level = 1, "level"),
        (|it| it.action = 0, "action"),
        (|it| it.action = 99, "action"),
        (|it| it.ports[0] = 0, "ports[0]"),
        (|it| it.name = "A".to_owned(), "name"),
        (|it| from(it).identities[0] = "spiffe://td/*".to_owned(), "rules[0].from[0].fits.identities[0]"),
        (|it| from(it).namespaces[0].clear(), "rules[0].from[0].fits.namespaces[0]"),
        (|it| from(it).service_accounts[0] = "web".to_owned(), "rules[0].from[0].fits.service_accounts[0]"),
        (|it| from(it).trust_domains[0] = "*".to_owned(), "rules[0].from[0].fits.trust_domains[0]"),
        (|it| from(it).cidrs[0] = "10.0.0.1/8".to_owned(), "rules[0].from[0].fits.cidrs[0]"),
        (|it| to(it).ports[0] = 70_000, "rules[0].to[0].fits.ports[0]"),
        (|it| to(it).methods[0].clear(), "rules[0].to[0].fits.methods[0]"),
        (|it| to(it).paths[0] = "a".to_owned(), "rules[0].to[0].fits.paths[0]"),
        (|it| to(it).hosts[0] = "a b".to_owned(), "rules[0].to[0].fits.hosts[0]"),
        (|it| to(it).grpc[0] = "a".to_owned(), "rules[0].to[0].fits.grpc[0]"),
        (|it| to(it).sni[0] = "*".to_owned(), "rules[0].to[0].fits.sni[0]"),
        (|it| it.rules[0].when[0].condition = None, "rules[0].when[0].condition"),
        (|it| it.rules = vec![wire::AuthorizationRule::default(); bounds::AUTHORIZATION_RULES + 1], "rules"),
    ];
    for (change, field) in changes {
        let mut policy = good();
        change(&mut policy);
        assert_eq!(read(policy).unwrap_err(), *field);
    }
    let empty = wire::HeaderValues { name: "x".to_owned(), values: vec![] };
    let mut policy = good();
    policy.rules[0].when[0].condition = Some(wire::authorization_condition::Condition::Header(empty));
    assert_eq!(read(policy).unwrap_err(), "rules[0].when[0].header.values");
}
