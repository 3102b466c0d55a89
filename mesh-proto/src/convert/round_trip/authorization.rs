//! Arbitrary authorization policies.

use mesh_cel::Program;
use mesh_model::policy::{
    Action, AuthorizationPolicy, CallLists, CallerLists, Callers, Calls, Cidr, Condition, GrpcCall, HostRule,
    PathRule, Rehearsed, Rule, Scope,
};

use super::*;

fn account() -> impl Strategy<Value = Name> {
    (label(), label()).prop_map(|(namespace, name)| Name::new(&namespace, &name).unwrap())
}

fn trust_domain() -> impl Strategy<Value = TrustDomain> {
    "[a-z]{1,6}".prop_map(|text| TrustDomain::new(&text).unwrap())
}

fn identity() -> impl Strategy<Value = SpiffeId> {
    (trust_domain(), label(), label())
        .prop_map(|(domain, namespace, account)| SpiffeId::new(domain, &namespace, &account).unwrap())
}

fn cidr() -> impl Strategy<Value = Cidr> {
    any::<IpAddr>().prop_map(|ip| Cidr::parse(&ip.to_canonical().to_string()).unwrap())
}

fn caller_lists() -> impl Strategy<Value = CallerLists> {
    (
        vec(identity(), 0..2),
        vec(label(), 0..2),
        vec(account(), 0..2),
        vec(trust_domain(), 0..2),
        vec(cidr(), 0..2),
    )
        .prop_map(|(identities, namespaces, accounts, trust_domains, cidrs)| CallerLists {
            identities,
            namespaces,
            accounts,
            trust_domains,
            cidrs,
        })
}

fn path_rule() -> impl Strategy<Value = PathRule> {
    prop_oneof!["(/[a-z]{0,3}){1,3}", "(/[a-z]{0,3}){0,3}/\\*"]
        .prop_map(|text| PathRule::parse(&text).unwrap())
}

fn host_rule() -> impl Strategy<Value = HostRule> {
    prop_oneof!["[a-z]{1,4}(\\.[a-z]{1,4}){0,2}", "\\*\\.[a-z]{1,4}", Just("10.0.0.1".to_owned())]
        .prop_map(|text| HostRule::parse(&text).unwrap())
}

fn grpc_call() -> impl Strategy<Value = GrpcCall> {
    ("[a-z.]{1,6}", option::of("[A-Z][a-z]{0,5}")).prop_map(|(service, method)| GrpcCall { service, method })
}

fn call_lists() -> impl Strategy<Value = CallLists> {
    (
        vec(port(), 0..2),
        vec("[A-Z]{1,6}", 0..2),
        vec(path_rule(), 0..2),
        vec(host_rule(), 0..2),
        vec(grpc_call(), 0..2),
        vec(host_rule(), 0..2),
    )
        .prop_map(|(ports, methods, paths, hosts, grpc, sni)| CallLists {
            ports,
            methods,
            paths,
            hosts,
            grpc,
            sni,
        })
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        ("[a-z-]{1,6}", vec("\\PC{0,4}", 1..3)).prop_map(|(name, values)| Condition::Header { name, values }),
        ("[a-z-]{1,6}", any::<bool>()).prop_map(|(name, present)| Condition::HeaderPresent { name, present }),
        ("/?[a-z]{1,6}", vec("\\PC{0,4}", 1..3)).prop_map(|(path, values)| Condition::Claim { path, values }),
        "request\\.path == '[a-z]{0,6}'".prop_map(|text| Condition::Cel(Program::compile(&text).unwrap())),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let callers = (caller_lists(), caller_lists()).prop_map(|(fits, not)| Callers { fits, not });
    let calls = (call_lists(), call_lists()).prop_map(|(fits, not)| Calls { fits, not });
    (vec(callers, 0..2), vec(calls, 0..2), vec(condition(), 0..2)).prop_map(|(from, to, when)| Rule {
        from,
        to,
        when,
    })
}

/// A policy.
pub(super) fn policy() -> impl Strategy<Value = AuthorizationPolicy> {
    let action = select(vec![
        Action::Allow,
        Action::Deny,
        Action::Audit(Rehearsed::Allow),
        Action::Audit(Rehearsed::Deny),
    ]);
    let scope = prop_oneof![Just(Scope::All), vec(port(), 1..3).prop_map(Scope::Ports)];
    let external = asking::external_auth().prop_map(|external| (Action::External, Some(external)));
    let action = prop_oneof![action.prop_map(|action| (action, None)), external];
    (account(), action, vec(rule(), 0..3), scope, option::of("\\PC{1,9}")).prop_map(
        |(name, (action, external), rules, scope, refused)| AuthorizationPolicy {
            name,
            action,
            rules,
            external,
            scope,
            refused,
            origin: String::new(),
        },
    )
}
