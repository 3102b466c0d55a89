//! Deadlines, retries, CORS and change, with a Service as parent.

use crate::conformance::case::Want::{Code, Got, NotGot};
use crate::conformance::case::{Case, Step, call};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "http-timeouts",
            about: "the deadlines of a request and of an attempt end it with 504",
            objects: TIMEOUTS,
            steps: vec![
                call("http://echo/request?delay=2s", &[Code("504")]).step(),
                call("http://echo/request?delay=10ms", &[Code("200")]).step(),
                call("http://echo/attempt?delay=2s", &[Code("504")]).step(),
                call("http://echo/none?delay=1s", &[Code("200")]).step(),
            ],
        },
        Case {
            name: "http-retry",
            about: "answers with a code that a rule retries are asked for again",
            objects: RETRY,
            steps: vec![Step::Share {
                call: call("http://echo/?codes=503:20,200:80", &[Code("200")]),
                count: 30,
                backend: "echo-v1",
                percent: 100,
            }],
        },
        Case {
            name: "http-cors",
            about: "a preflight of an allowed origin is answered, one of another is not allowed",
            objects: CORS,
            steps: vec![
                call(
                    "http://echo/cors",
                    &[
                        Code("200"),
                        Got("access-control-allow-origin", "https://app.example.org"),
                        Got("access-control-allow-methods", "GET, PUT"),
                    ],
                )
                .arg("--method=OPTIONS")
                .header("Origin: https://app.example.org")
                .header("Access-Control-Request-Method: PUT")
                .step(),
                call("http://echo/cors", &[NotGot("access-control-allow-origin")])
                    .arg("--method=OPTIONS")
                    .header("Origin: https://evil.example.com")
                    .header("Access-Control-Request-Method: PUT")
                    .step(),
                call(
                    "http://echo/cors",
                    &[Code("200"), Got("access-control-allow-origin", "https://app.example.org")],
                )
                .header("Origin: https://app.example.org")
                .step(),
            ],
        },
        Case {
            name: "http-changing-routes",
            about: "no request is lost while routes change",
            objects: ALL_TO_V1,
            steps: vec![Step::Steady {
                call: call("http://echo/", &[Code("200")]),
                changes: [ALL_TO_V2, ALL_TO_V1],
            }],
        },
    ]
}

const TIMEOUTS: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: timeouts, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {value: /request}}]
      timeouts: {request: 500ms}
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {value: /attempt}}]
      timeouts: {backendRequest: 500ms}
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {value: /none}}]
      timeouts: {request: 0s}
      backendRefs: [{name: echo-v1, port: 80}]
";

const RETRY: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: retry, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - backendRefs: [{name: echo-v1, port: 80}]
---
apiVersion: amime.io/v1alpha1
kind: TrafficPolicy
metadata: {name: retry, namespace: own-mesh}
spec:
  targetRefs: [{group: '', kind: Service, name: echo}]
  retries: {attempts: 8, retryOn: [GatewayError], backoff: {base: 10ms}}
  retryBudget: {percent: 100, minPerSecond: 100}
";

const CORS: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cors, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {value: /cors}}]
      filters:
        - type: CORS
          cors:
            allowOrigins: ['https://app.example.org']
            allowMethods: [GET, PUT]
            maxAge: 60
      backendRefs: [{name: echo-v1, port: 80}]
";

const ALL_TO_V1: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: changing, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - backendRefs: [{name: echo-v1, port: 80}]
";

const ALL_TO_V2: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: changing, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {value: /}}]
      filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-changed, value: 'yes'}]}}]
      backendRefs: [{name: echo-v2, port: 8080}]
";
