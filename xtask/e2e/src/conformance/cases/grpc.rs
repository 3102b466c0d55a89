//! GRPCRoute with a Service as parent: the suite has weights alone.

use crate::conformance::case::Want::{Backend, Code, Fails, Got, Sent};
use crate::conformance::case::{Case, Step, call, condition};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "grpc-match",
            about: "by service and method, by header; a call that fits no rule is UNIMPLEMENTED",
            objects: MATCH,
            steps: vec![
                call("grpc://echo:7070", &[Code("200"), Backend("echo-v1")]).step(),
                call("grpc://echo:7070", &[Code("200"), Backend("echo-v2")]).header("version: two").step(),
                call("grpc://echo-v2:7070", &[Fails("Unimplemented")]).step(),
            ],
        },
        Case {
            name: "grpc-filters",
            about: "headers of calls and answers, and copies",
            objects: FILTERS,
            steps: vec![
                call(
                    "grpc://echo:7070",
                    &[Code("200"), Backend("echo-v1"), Sent("x-set", "new"), Got("x-answer", "yes")],
                )
                .header("x-set: old")
                .step(),
            ],
        },
        Case {
            name: "grpc-status",
            about: "a GRPCRoute says whether it is in force, and what it misses",
            objects: INVALID,
            steps: vec![
                condition("GRPCRoute", "invalid", "Accepted", "True", "Accepted"),
                condition("GRPCRoute", "invalid", "ResolvedRefs", "False", "BackendNotFound"),
                call("grpc://echo:7070", &[Fails("Unavailable")]).step(),
            ],
        },
        Case {
            name: "parent-port-grpc",
            about: "a GRPCRoute for another port of the Service does not count",
            objects: OTHER_PORT,
            steps: vec![Step::Share {
                call: call("grpc://echo:7070", &[Code("200")]),
                count: 100,
                backend: "echo-v2",
                percent: 50,
            }],
        },
    ]
}

const MATCH: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: match, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - name: two
      matches: [{method: {service: proto.EchoTestService, method: Echo}, headers: [{name: version, value: two}]}]
      backendRefs: [{name: echo-v2, port: 7070}]
    - matches: [{method: {service: proto.EchoTestService}}]
      backendRefs: [{name: echo-v1, port: 7070}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: other, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo-v2}]
  rules:
    - matches: [{method: {service: some.Other}}]
      backendRefs: [{name: echo-v2, port: 7070}]
";

const FILTERS: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: filters, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - filters:
        - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: new}]}}
        - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-answer, value: 'yes'}]}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: echo-v2, port: 7070}}}
      backendRefs: [{name: echo-v1, port: 7070}]
";

const INVALID: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: invalid, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules: [{backendRefs: [{name: nobody, port: 7070}]}]
";

const OTHER_PORT: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: other-port, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 8081}]
  rules: [{backendRefs: [{name: echo-v1, port: 7070}]}]
";
