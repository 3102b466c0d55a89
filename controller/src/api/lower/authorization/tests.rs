//! Policies as somebody writes them: what they mean, and what is wrong with them.

use super::*;
use crate::api::Object;
use crate::sources::documents::{Document, read_documents};

fn read(spec: &str) -> Result<Lowered, Vec<String>> {
    let yaml = format!(
        "{{apiVersion: amime.io/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: shop}}, spec: {{{spec}}}}}"
    );
    match read_documents(yaml.as_bytes()).remove(0) {
        Document::Good(read) => match read.object {
            Object::AuthorizationPolicy(policy) => Ok(lower(&policy).0),
            other => panic!("{other:?}"),
        },
        Document::Closed(_, problems) | Document::Bad(problems) => {
            Err(problems.into_iter().map(|problem| problem.fault.to_string()).collect())
        }
    }
}

#[test]
fn a_policy_means_what_it_says() {
    let policy = read(
        "action: Allow, rules: [{\
          from: [{identities: ['spiffe://mesh.local/ns/shop/sa/web'], not: {cidrs: [10.0.0.0/8]}}, {serviceAccounts: [cart, bank/teller], namespaces: [shop]}], \
          to: [{ports: [8080], methods: [GET, POST], paths: [/a, '/b/*'], hosts: [Web.shop, '*.example.com'], grpc: [shop.Cart/Get, 'shop.Cart/*']}], \
          when: [{header: {name: X-Role, values: [user]}}, {header: {name: x-debug, present: false}}, {claim: {path: /realm/roles, values: [admin]}}, {cel: \"request.path == '/a'\"}]}]",
    )
    .unwrap();
    let rule = &policy.rules[0];
    assert_eq!(policy.action, Action::Allow);
    assert_eq!(rule.from[0].fits.identities[0].service_account(), "web");
    assert_eq!(rule.from[0].not.cidrs[0].to_string(), "10.0.0.0/8");
    let accounts: Vec<String> = rule.from[1].fits.accounts.iter().map(ToString::to_string).collect();
    assert_eq!(accounts, ["shop/cart", "bank/teller"]);
    let hosts: Vec<String> = rule.to[0].fits.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["web.shop", "*.example.com"]);
    assert_eq!(rule.when.len(), 4);
    assert!(matches!(&rule.when[3], Condition::Cel(program) if program.text() == "request.path == '/a'"));
    assert!(matches!(&rule.when[0], Condition::Header { name, .. } if name == "x-role"));
    assert_eq!(read("action: Allow").unwrap().rules, []);
    assert_eq!(read("action: Audit, rules: [{}]").unwrap().action, Action::Audit(Rehearsed::Allow));
    assert_eq!(
        read("action: Audit, auditAs: Deny, rules: [{}]").unwrap().action,
        Action::Audit(Rehearsed::Deny)
    );
}

fn rule(rule: &str) -> String {
    format!("action: Allow, rules: [{rule}]")
}

fn from(from: &str) -> String {
    rule(&format!("{{from: [{from}]}}"))
}

fn to(to: &str) -> String {
    rule(&format!("{{to: [{to}]}}"))
}

fn when(when: &str) -> String {
    rule(&format!("{{when: [{when}]}}"))
}

/// The first fault of each begins so.
fn are_refused(table: &[(String, &str)]) {
    for (spec, wanted) in table {
        let faults = read(spec).expect_err(spec);
        assert!(faults[0].starts_with(wanted), "{spec}\n  says  {}\n  wanted {wanted}", faults[0]);
    }
}

#[test]
fn faults_of_the_object_and_of_rules_are_told_with_their_field() {
    are_refused(&[
        ("rules: [{}]".to_owned(), "spec: missing field `action`"),
        ("action: allow".to_owned(), "spec.action: unknown variant `allow`"),
        ("action: Deny".to_owned(), "spec.rules: is empty; only `action: Allow` means something"),
        ("action: Audit, rules: []".to_owned(), "spec.rules: is empty"),
        ("action: Allow, auditAs: Deny".to_owned(), "spec.auditAs: is for `action: Audit`"),
        (
            "action: Allow, targetRefs: []".to_owned(),
            "spec.targetRefs: is empty; to protect the whole namespace leave it out",
        ),
        (
            "action: Allow, selector: {matchLabels: {}}".to_owned(),
            "spec.selector.matchLabels: is empty; to protect the whole namespace",
        ),
        (
            "action: Allow, selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]"
                .to_owned(),
            "spec.selector: excludes targetRefs",
        ),
        (
            "action: Allow, targetRefs: [{kind: Pod, name: a}]".to_owned(),
            "spec.targetRefs[0].kind: unknown variant `Pod`",
        ),
        (
            "action: Allow, targetRefs: [{kind: Service, group: apps, name: a}]".to_owned(),
            "spec.targetRefs[0].group: is not that of the kind",
        ),
        (
            "action: Allow, targetRefs: [{kind: Service, namespace: bank, name: a}]".to_owned(),
            "spec.targetRefs[0].namespace: AuthorizationPolicy has no such field",
        ),
        (
            "action: Allow, targetRefs: [{kind: Workload, name: a, port: 80}]".to_owned(),
            "spec.targetRefs[0].port: is for a Service",
        ),
        (
            "action: Allow, targetRefs: [{kind: Service, name: a, port: 0}]".to_owned(),
            "spec.targetRefs[0].port: 0 is not a port",
        ),
        (rule("{from: []}"), "spec.rules[0].from: is empty; leave it out to fit everything"),
        (rule("{from: }"), "spec.rules[0].from: holds nothing, which is neither nobody nor everybody"),
        ("action: Allow, rules: [{}], selector: null".to_owned(), "spec.selector: holds nothing"),
        (rule("{form: []}"), "spec.rules[0].form: AuthorizationPolicy has no such field"),
    ]);
}

// T21: names are literals, and what is no literal is refused with a reason.
#[test]
fn faults_of_callers_are_told_with_their_field() {
    are_refused(&[
        (from("{namespaces: [shop], identities: null}"), "spec.rules[0].from[0].identities: holds nothing"),
        (from("{}"), "spec.rules[0].from[0]: says nothing and so fits everybody"),
        (from("{not: {}}"), "spec.rules[0].from[0].not: says nothing"),
        (
            from("{identities: []}"),
            "spec.rules[0].from[0].identities: is empty, which is neither nobody nor everybody",
        ),
        (
            from("{identities: ['spiffe://mesh.local/ns/shop/sa/*']}"),
            "spec.rules[0].from[0].identities[0]: `*` is not a valid name: only a-z, 0-9 and `-` are allowed, and `-` neither first nor last; names are literals",
        ),
        (
            from("{identities: [web]}"),
            "spec.rules[0].from[0].identities[0]: `web` is not of the form spiffe://",
        ),
        (from("{namespaces: ['*']}"), "spec.rules[0].from[0].namespaces[0]: `*` is not a valid namespace"),
        (
            from("{serviceAccounts: ['shop/.*']}"),
            "spec.rules[0].from[0].serviceAccounts[0]: `.*` is not a valid name",
        ),
        (
            from("{serviceAccounts: [a/b/c]}"),
            "spec.rules[0].from[0].serviceAccounts[0]: `b/c` is not a valid name",
        ),
        (from("{trustDomains: [A]}"), "spec.rules[0].from[0].trustDomains[0]: `A` is not a trust domain"),
        (
            from("{cidrs: [10.0.0.1/8]}"),
            "spec.rules[0].from[0].cidrs[0]: `10.0.0.1/8` has bits set beyond its prefix",
        ),
        (
            from(&format!("{{namespaces: [{}]}}", vec!["a"; 129].join(", "))),
            "spec.rules[0].from[0].namespaces: 129 entries, at most 128 are allowed",
        ),
    ]);
}

#[test]
fn faults_of_calls_and_conditions_are_told_with_their_field() {
    are_refused(&[
        (to("{ports: [0]}"), "spec.rules[0].to[0].ports[0]: 0 is not a port"),
        (to("{methods: ['*']}"), "spec.rules[0].to[0].methods[0]: `*` is not a method"),
        (
            to("{methods: [get]}"),
            "spec.rules[0].to[0].methods[0]: `get` has small letters, which no method of HTTP has; write `GET`",
        ),
        (to("{paths: [admin]}"), "spec.rules[0].to[0].paths[0]: `admin` does not begin with `/`"),
        (to("{paths: ['/a*']}"), "spec.rules[0].to[0].paths[0]: `/a*` has a `*` that is not a last segment"),
        (
            to("{paths: ['/a?b=c']}"),
            "spec.rules[0].to[0].paths[0]: `/a?b=c` has a `?`; only the path is compared",
        ),
        (
            to("{paths: ['/a//b']}"),
            "spec.rules[0].to[0].paths[0]: `/a//b` is forwarded as `/a/b` and compared so; write that",
        ),
        (to("{paths: ['/%61dmin']}"), "spec.rules[0].to[0].paths[0]: `/%61dmin` is forwarded as `/admin`"),
        (
            to("{paths: ['/a/../../b']}"),
            "spec.rules[0].to[0].paths[0]: `/a/../../b` is a path that no request has",
        ),
        (to("{hosts: ['web:80']}"), "spec.rules[0].to[0].hosts[0]: `web:80` is not a host"),
        (to("{hosts: ['*']}"), "spec.rules[0].to[0].hosts[0]: `*` is not a host"),
        (to("{grpc: [shop.Cart]}"), "spec.rules[0].to[0].grpc[0]: `shop.Cart` is not SERVICE/METHOD"),
        (to("{grpc: ['*/Get']}"), "spec.rules[0].to[0].grpc[0]: `*/Get` has a name that is not letters"),
        (when("{}"), "spec.rules[0].when[0]: says nothing"),
        (when("{header: {name: a}}"), "spec.rules[0].when[0].header: needs either `values` or `present`"),
        (
            when("{header: {name: a, values: [b], present: true}}"),
            "spec.rules[0].when[0].header: needs either",
        ),
        (
            when("{header: {name: 'a b', values: [c]}}"),
            "spec.rules[0].when[0].header.name: `a b` is not a header name",
        ),
        (
            when("{header: {name: Host, values: [c]}}"),
            "spec.rules[0].when[0].header.name: is compared in to[].hosts",
        ),
        (
            when("{header: {name: a, values: ['*']}}"),
            "spec.rules[0].when[0].header.values[0]: is a literal; write `present: true`",
        ),
        (when("{header: {name: a, values: []}}"), "spec.rules[0].when[0].header.values: is empty"),
        (when("{claim: {path: '', values: [a]}}"), "spec.rules[0].when[0].claim.path: is empty"),
        (
            when("{claim: {path: a, values: [b]}, header: {name: a, present: true}}"),
            "spec.rules[0].when[0]: says several things",
        ),
        (when("{cel: ''}"), "spec.rules[0].when[0].cel: line 1, column 1: it is empty"),
        (
            when("{cel: 'true && reqest.path == \"/a\"'}"),
            "spec.rules[0].when[0].cel: line 1, column 9: there is no variable `reqest.path`",
        ),
        (
            when("{cel: 'destination.port'}"),
            "spec.rules[0].when[0].cel: line 1, column 1: an expression must answer yes or no",
        ),
        (
            when(&format!("{{cel: '{}'}}", "a".repeat(5000))),
            "spec.rules[0].when[0].cel: line 1, column 1: it has 5000 bytes, and at most 4096",
        ),
        (
            rule(&format!(
                "{{when: [{0}]}}, {{when: [{0}]}}, {{when: [{0}]}}",
                ["{cel: 'true'}"; 22].join(",")
            )),
            "spec.rules: have 66 expressions, at most 64 are allowed",
        ),
        (
            to(&format!("{{hosts: ['{}']}}", "a".repeat(5000))),
            "spec.rules[0].to[0].hosts[0]: has 5000 bytes, at most 4096",
        ),
    ]);
}

#[test]
fn the_closed_form_keeps_what_it_targets_if_that_can_be_read() {
    let closed = |spec: &str| {
        let yaml = format!(
            "{{apiVersion: amime.io/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: shop}}, spec: {{{spec}}}}}"
        );
        let Document::Closed(read, _) = read_documents(yaml.as_bytes()).remove(0) else {
            panic!("{spec} is good")
        };
        let Object::AuthorizationPolicy(policy) = read.object else { panic!("{spec}") };
        assert!(
            policy.spec.refused.is_some() && policy.metadata.namespace.as_deref() == Some("shop"),
            "{spec}"
        );
        (policy.spec.target_refs.clone().map_or(0, |it| it.len()), policy.spec.selector.is_some())
    };
    assert_eq!(closed("action: X, targetRefs: [{kind: Service, name: a}]"), (1, false));
    assert_eq!(closed("action: X, selector: {matchLabels: {a: b}}"), (0, true));
    for unclear in [
        "action: X",
        "action: X, targetRefs: [{kind: Pod, name: a}]",
        "action: X, selector: {}",
        "action: Allow, targetRefs: []",
        "action: Allow, selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: a}]",
    ] {
        assert_eq!(closed(unclear), (0, false), "{unclear}");
    }
}
