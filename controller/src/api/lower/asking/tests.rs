//! Services that are asked as somebody writes them: what they mean, and what is wrong with them.

use super::*;
use crate::api::Object;
use crate::api::lower::{LoweredFilter, authorization, http_rules, traffic};
use crate::sources::documents::{Document, read_documents};

/// The object, or the fields that are wrong.
fn read(yaml: &str) -> Result<Object, Vec<String>> {
    match read_documents(yaml.as_bytes()).remove(0) {
        Document::Good(read) => Ok(read.object),
        Document::Closed(_, problems) | Document::Bad(problems) => {
            Err(problems.into_iter().map(|problem| problem.fault.field).collect())
        }
    }
}

fn policy(spec: &str) -> Result<authorization::Lowered, Vec<String>> {
    let yaml = format!(
        "{{apiVersion: amime.io/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: shop}}, spec: {{{spec}}}}}"
    );
    match read(&yaml)? {
        Object::AuthorizationPolicy(policy) => Ok(authorization::lower(&policy).0),
        other => panic!("{other:?}"),
    }
}

fn rate(spec: &str) -> Result<model::GlobalRate, Vec<String>> {
    let yaml = format!(
        "{{apiVersion: amime.io/v1alpha1, kind: TrafficPolicy, metadata: {{name: p, namespace: shop}}, \
        spec: {{targetRefs: [{{kind: Service, name: cart}}], globalRateLimit: {{{spec}}}}}}}"
    );
    match read(&yaml)? {
        Object::TrafficPolicy(policy) => Ok(traffic::lower(&policy).0.global_rate.unwrap()),
        other => panic!("{other:?}"),
    }
}

const OPA: &str = "backendRef: {name: opa, namespace: auth, port: 9191}";

#[test]
fn a_policy_names_whom_it_has_asked() {
    let said = policy(&format!(
        "action: External, rules: [{{}}], external: {{protocol: GRPC, {OPA}, grpc: {{allowedHeaders: [X-User]}}, \
        forwardBody: {{maxSize: 100}}, timeout: 300ms}}"
    ));
    let external = said.unwrap().external.unwrap();
    assert_eq!(external.protocol, AuthProtocol::Grpc { allowed_headers: vec!["x-user".to_owned()] });
    assert_eq!((external.max_body, external.timeout), (100, Duration::from_millis(300)));
    let reference = &external.reference;
    assert_eq!(
        (reference.namespace.as_deref(), &*reference.name, reference.port),
        (Some("auth"), "opa", Some(9191))
    );
    assert_eq!(reference.field, "spec.external.backendRef");
    let said = policy(&format!("action: External, rules: [{{}}], external: {{protocol: HTTP, {OPA}}}"));
    assert_eq!(said.unwrap().external.unwrap().timeout, model::ExternalAuth::TIMEOUT);
}

#[test]
fn what_is_wrong_with_who_is_asked_is_told_with_its_field() {
    let with = |external: &str| format!("action: External, rules: [{{}}], external: {{{OPA}, {external}}}");
    let rows = [
        ("action: External, rules: [{}]".to_owned(), "spec.external"),
        (format!("action: Deny, rules: [{{}}], external: {{protocol: GRPC, {OPA}}}"), "spec.external"),
        (format!("action: External, external: {{protocol: GRPC, {OPA}}}"), "spec.rules"),
        (with("protocol: SOAP"), "spec.external.protocol"),
        (with("protocol: GRPC, http: {path: /a}"), "spec.external.http"),
        (with("protocol: HTTP, grpc: {}"), "spec.external.grpc"),
        (with("protocol: HTTP, http: {path: a}"), "spec.external.http.path"),
        (with("protocol: HTTP, http: {path: /a/../b}"), "spec.external.http.path"),
        (with("protocol: HTTP, http: {path: '/a?b'}"), "spec.external.http.path"),
        (with("protocol: HTTP, http: {allowedHeaders: ['a b']}"), "spec.external.http.allowedHeaders[0]"),
        (with("protocol: GRPC, timeout: 2h"), "spec.external.timeout"),
        (with("protocol: GRPC, forwardBody: {maxSize: 100000}"), "spec.external.forwardBody.maxSize"),
    ];
    for (spec, field) in rows {
        assert_eq!(policy(&spec).unwrap_err(), [field], "{spec}");
    }
}

#[test]
fn a_filter_has_no_time_of_its_own_since_the_gateway_api_has_none() {
    let route = |external: &str| -> Result<Vec<LoweredFilter>, Vec<String>> {
        let yaml = format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r, namespace: shop}}, \
            spec: {{rules: [{{filters: [{{type: ExternalAuth, externalAuth: {{protocol: GRPC, {OPA}{external}}}}}]}}]}}}}"
        );
        match read(&yaml)? {
            Object::HttpRoute(route) => Ok(http_rules(&route).remove(0).filters),
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(route("").unwrap().as_slice(), [LoweredFilter::ExternalAuth(_)]));
    assert_eq!(route(", timeout: 1s").unwrap_err(), ["spec.rules[0].filters[0].externalAuth.timeout"]);
}

const LIMITER: &str = "backendRef: {name: limiter, port: 8081}, domain: shop";

#[test]
fn a_limit_that_a_service_counts_says_what_of_a_request() {
    let said = rate(&format!(
        "{LIMITER}, failClosed: true, descriptors: [{{entries: [{{key: k, type: Literal, value: v}}, \
        {{key: u, type: Header, name: X-User}}, {{key: p, type: Path}}, {{key: c, type: Claim, name: /sub}}]}}]"
    ))
    .unwrap();
    assert_eq!(
        (said.domain.as_str(), said.unanswered, said.timeout),
        ("shop", Unanswered::Refuse, model::GlobalRate::TIMEOUT)
    );
    let parts: Vec<&Part> = said.descriptors[0].iter().map(|entry| &entry.value).collect();
    let literal = Part::Literal("v".to_owned());
    assert_eq!(
        parts,
        [&literal, &Part::Header("x-user".to_owned()), &Part::Path, &Part::Claim("/sub".to_owned())]
    );
}

#[test]
fn what_is_wrong_with_a_limit_is_told_with_its_field() {
    let at = "spec.globalRateLimit";
    let entry = |entry: &str| format!("{LIMITER}, descriptors: [{{entries: [{{key: k, {entry}}}]}}]");
    for (spec, field) in [
        (format!("{LIMITER}, descriptors: []"), "descriptors"),
        (format!("{LIMITER}, descriptors: [{{entries: []}}]"), "descriptors[0].entries"),
        (format!("{LIMITER}, timeout: 1m, descriptors: [{{entries: [{{key: k, type: Path}}]}}]"), "timeout"),
        (entry("type: Header"), "descriptors[0].entries[0].name"),
        (entry("type: Path, name: x"), "descriptors[0].entries[0].name"),
        (entry("type: Literal"), "descriptors[0].entries[0].value"),
        (entry("type: Method, value: x"), "descriptors[0].entries[0].value"),
        (entry("type: Header, name: 'a b'"), "descriptors[0].entries[0].name"),
    ] {
        assert_eq!(rate(&spec).unwrap_err(), [format!("{at}.{field}")], "{spec}");
    }
}
