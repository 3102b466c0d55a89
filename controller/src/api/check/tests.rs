//! Faults of single objects, each as a document that somebody could write.

use crate::sources::documents::{Document, read_documents};

/// `FIELD: MESSAGE` of every fault of the one document.
fn faults(yaml: &str) -> Vec<String> {
    match read_documents(yaml.as_bytes()).remove(0) {
        Document::Good(_) => Vec::new(),
        Document::Bad(problems) | Document::Closed(_, problems) => {
            problems.into_iter().map(|problem| problem.fault.to_string()).collect()
        }
    }
}

fn http(rule: &str) -> Vec<String> {
    faults(&format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r, namespace: shop}}, \
         spec: {{parentRefs: [{{group: '', kind: Service, name: s}}], rules: [{rule}]}}}}"
    ))
}

fn grpc(rule: &str) -> Vec<String> {
    faults(&format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {{name: r, namespace: shop}}, \
         spec: {{parentRefs: [{{group: '', kind: Service, name: s}}], rules: [{rule}]}}}}"
    ))
}

#[test]
fn a_full_rule_is_good() {
    let rule = "{name: a, matches: [{path: {type: PathPrefix, value: /v1/}, method: GET, \
        headers: [{name: X-User, value: a.*, type: RegularExpression}], queryParams: [{name: q, value: '1'}]}], \
        filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}], remove: [c]}}, \
        {type: URLRewrite, urlRewrite: {hostname: x.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}], \
        backendRefs: [{name: b, port: 80, weight: 1000000}], timeouts: {request: 10s, backendRequest: 500ms}}";
    assert_eq!(http(rule), Vec::<String>::new());
}

#[test]
fn each_fault_of_an_http_rule_is_told_with_its_field() {
    let table = [
        (
            "{backendRefs: [{name: b, port: 80}, {name: b, port: 80, weight: 2000000}]}",
            "spec.rules[0].backendRefs[1].weight: 2000000 is over 1000000",
        ),
        (
            "{backendRefs: [{name: b, port: 80, weight: -1}]}",
            "spec.rules[0].backendRefs[0].weight: -1 is below 0",
        ),
        (
            "{backendRefs: [{name: b, port: 0}]}",
            "spec.rules[0].backendRefs[0].port: 0 is not a port; use 1 to 65535",
        ),
        (
            "{matches: [{path: {type: RegularExpression, value: '('}}]}",
            "spec.rules[0].matches[0].path.value: `(` is not a usable expression: unclosed group",
        ),
        (
            "{matches: [{path: {value: v1}}]}",
            "spec.rules[0].matches[0].path.value: `v1` does not begin with `/`",
        ),
        (
            "{matches: [{path: {value: /a/../b}}]}",
            "spec.rules[0].matches[0].path.value: `/a/../b` has `/../` in it, which no canonical path has",
        ),
        (
            "{matches: [{method: FETCH}]}",
            "spec.rules[0].matches[0].method: `FETCH` is none of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH",
        ),
        (
            "{matches: [{headers: [{name: 'a b', value: c}]}]}",
            "spec.rules[0].matches[0].headers[0].name: `a b` is not a header name",
        ),
        (
            "{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 300}}]}",
            "spec.rules[0].filters[0].requestRedirect.statusCode: 300 is none of 301, 302, 303, 307, 308",
        ),
        (
            "{filters: [{type: URLRewrite}]}",
            "spec.rules[0].filters[0].urlRewrite: is missing though `type` asks for it",
        ),
        (
            "{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: b, port: 80}]}",
            "spec.rules[0].backendRefs: not allowed beside a RequestRedirect filter; remove one of the two",
        ),
        (
            "{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]}",
            "spec.rules[0].filters: replacePrefixMatch needs exactly one match in the rule, of type PathPrefix",
        ),
        (
            "{timeouts: {request: 1s, backendRequest: 2s}}",
            "spec.rules[0].timeouts.backendRequest: longer than `request`; it must not be",
        ),
        ("{name: a}, {name: a}", "spec.rules[1].name: `a` is the name of another rule of this route"),
    ];
    for (rule, fault) in table {
        assert_eq!(http(rule), [fault], "{rule}");
    }
}

#[test]
fn each_fault_of_mirrors_scripts_retries_and_sessions_is_told_with_its_field() {
    let table = [
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}, percent: 101}}]}",
            "spec.rules[0].filters[0].requestMirror.percent: 101 of 100 is not a share; use 0 to all of at least 1",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}, fraction: {numerator: 1, denominator: 0}}}]}",
            "spec.rules[0].filters[0].requestMirror.fraction: 1 of 0 is not a share; use 0 to all of at least 1",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}, percent: 1, fraction: {numerator: 1}}}]}",
            "spec.rules[0].filters[0].requestMirror.fraction: `percent` says the share too; remove one of the two",
        ),
        (
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {port: 80}}}]}",
            "spec.rules[0].filters[0].requestMirror.backendRef: missing field `name`",
        ),
        (
            "{filters: [{type: CORS, cors: {allowOrigins: [example.com]}}]}",
            "spec.rules[0].filters[0].cors.allowOrigins[0]: `example.com` is not an origin; write `*`, or http:// or https:// and a host with or without port",
        ),
        (
            "{filters: [{type: CORS, cors: {allowMethods: ['*', GET]}}]}",
            "spec.rules[0].filters[0].cors.allowMethods: `*` stands alone; remove it or the others",
        ),
        (
            "{filters: [{type: CORS, cors: {maxAge: 0}}]}",
            "spec.rules[0].filters[0].cors.maxAge: 0 is not a number of seconds above 0",
        ),
        ("{filters: [{type: CORS}]}", "spec.rules[0].filters[0].cors: is missing though `type` asks for it"),
        ("{retry: {codes: [200]}}", "spec.rules[0].retry.codes[0]: 200 is out of bounds; use 400 to 599"),
        ("{retry: {attempts: -1}}", "spec.rules[0].retry.attempts: -1 is out of bounds; use 0 to 100"),
        ("{retry: {on: [5xx]}}", "spec.rules[0].retry.on: HTTPRoute has no such field"),
        (
            "{sessionPersistence: {type: Cookie, cookieConfig: {lifetimeType: Permanent}}}",
            "spec.rules[0].sessionPersistence.absoluteTimeout: is needed for a permanent cookie",
        ),
    ];
    for (rule, fault) in table {
        assert_eq!(http(rule), [fault], "{rule}");
    }
}

#[test]
fn a_duration_that_is_none_is_refused_and_zero_is_no_limit() {
    assert_eq!(http("{timeouts: {request: 1.5s}}").len(), 1);
    assert_eq!(http("{timeouts: {request: 0s, backendRequest: 5s}}"), Vec::<String>::new());
}

#[test]
fn a_grpc_match_needs_service_or_method() {
    assert_eq!(
        grpc("{matches: [{method: {}}]}"),
        ["spec.rules[0].matches[0].method: needs `service`, `method` or both"]
    );
    assert_eq!(grpc("{matches: [{method: {service: a.B, method: C}}]}"), Vec::<String>::new());
    assert_eq!(
        grpc("{matches: [{method: {service: a/b}}]}"),
        ["spec.rules[0].matches[0].method.service: `a/b` has a `/` in it"]
    );
}

#[test]
fn long_lists_are_refused() {
    let rules = ["{}"; 17].join(", ");
    assert_eq!(http(&rules), ["spec.rules: 17 entries, at most 16 are allowed"]);
}

#[test]
fn services_slices_and_our_own_kinds_are_checked() {
    let table = [
        ("{apiVersion: v1, kind: Service, metadata: {name: s}}", "spec: is missing"),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 70000}]}}",
            "spec.ports[0].port: 70000 is not a port; use 1 to 65535",
        ),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80, name: a}, {port: 81}]}}",
            "spec.ports[1].name: is needed where a Service has several ports",
        ),
        (
            "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s}, addressType: IPv4, endpoints: [{addresses: [x]}]}",
            "endpoints[0].addresses[0]: `x` is not an IP address",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: other}, spec: {}}",
            "metadata.name: `other`: the one MeshConfig of a mesh is named `default`",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {accessLog: {filter: response.code}}}",
            "spec.accessLog.filter: line 1, column 1: an expression must answer yes or no, and this is an int",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {tracing: {samplePpm: 1000001}}}",
            "spec.tracing.samplePpm: 1000001 is over 1000000",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {tracing: {tail: {slowerThan: 2h}}}}",
            "spec.tracing.tail.slowerThan: `2h` is out of bounds; use 1ms to 1h",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {openTelemetry: {endpoint: 'otel:4317'}}}",
            "spec.openTelemetry.endpoint: `otel:4317` does not begin with http:// or https://",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {openTelemetry: {endpoint: 'http://otel', caCertificates: '-----BEGIN CERTIFICATE-----'}}}",
            "spec.openTelemetry.caCertificates: is for an endpoint that begins with https://",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {openTelemetry: {endpoint: 'http://otel', headers: [{name: authorization, file: ../token}]}}}",
            "spec.openTelemetry.headers[0].file: `../token` is not the name of a file in the sidecar's folder of secrets: a-z, 0-9, `-`, `_` and `.`",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {openTelemetry: {endpoint: 'http://otel', headers: [{name: Content-Type, value: text/html}]}}}",
            "spec.openTelemetry.headers[0].name: `content-type` is OTLP's own; it cannot be set",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {openTelemetry: {endpoint: 'http://otel', headers: [{name: a, value: \"b\\r\\nc: d\"}]}}}",
            "spec.openTelemetry.headers[0].value: is not a line of at most 4096 printable characters of ASCII",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: w}, spec: {address: 127.0.0.1, ports: [{port: 0}]}}",
            "spec.ports[0].port: 0 is not a port; use 1 to 65535",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: w}, spec: {address: 127.0.0.1, weight: 0}}",
            "spec.weight: 0 is out of bounds; use 1 to 10000",
        ),
        (
            "{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: w}, spec: {address: 127.0.0.1, priority: 128}}",
            "spec.priority: 128 is out of bounds; use 0 to 127",
        ),
    ];
    for (yaml, fault) in table {
        assert_eq!(faults(yaml), [fault], "{yaml}");
    }
    let name = faults("{apiVersion: v1, kind: Service, metadata: {name: Upper}, spec: {}}");
    assert_eq!(
        name,
        [
            "metadata.name: `Upper` is not a valid name: only a-z, 0-9 and `-` are allowed, and `-` neither first nor last"
        ]
    );
}
