//! Where requests go: shares, backends that are not there, none at all, the Service that was asked for and not the name in the Host,
//! protocols that a port declares.

use crate::conformance::case::Want::{Backend, Code, Saw};
use crate::conformance::case::{Case, Step, call, condition};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "invalid-backend",
            about: "its share is answered with 500, and the route's status says why",
            objects: INVALID,
            steps: vec![
                Step::Partly { call: call("http://echo/half", &[]), count: 200, code: "500", percent: 50 },
                call("http://echo/missing", &[Code("500")]).step(),
                call("http://echo/kind", &[Code("500")]).step(),
                condition("HTTPRoute", "half", "ResolvedRefs", "False", "BackendNotFound"),
                condition("HTTPRoute", "kind", "ResolvedRefs", "False", "InvalidKind"),
                condition("HTTPRoute", "half", "Accepted", "True", "Accepted"),
            ],
        },
        Case {
            name: "status",
            about: "a route that is in force says so; one without its Service says so too",
            objects: STATUS,
            steps: vec![
                condition("HTTPRoute", "good", "Accepted", "True", "Accepted"),
                condition("HTTPRoute", "good", "ResolvedRefs", "True", "ResolvedRefs"),
                condition("HTTPRoute", "good", "Programmed", "True", "Programmed"),
                condition("HTTPRoute", "orphan", "Accepted", "False", "NoMatchingParent"),
            ],
        },
        Case {
            name: "no-backends",
            about: "a rule without backends goes to the Service's own endpoints",
            objects: OWN,
            steps: vec![
                call("http://echo-v2/own", &[Code("200"), Backend("echo-v2")]).step(),
                call("http://echo-v2/else", &[Code("404")]).step(),
            ],
        },
        Case {
            name: "first-frontend-only",
            about: "routes of a backend Service, and of a Service whose pod is dialled, do not apply",
            objects: FRONTEND,
            steps: vec![
                call("http://echo-v2/", &[Code("302")]).step(),
                call("http://echo/", &[Code("200"), Backend("echo-v2")]).step(),
                call("http://{POD:echo-v2}:8080/", &[Code("200"), Backend("echo-v2")]).step(),
                call("http://echo-headless:8080/", &[Code("200"), Backend("echo-v2")]).step(),
            ],
        },
        Case {
            name: "parent-port-http",
            about: "a route for one port of a Service leaves the others alone",
            objects: PORT,
            steps: vec![
                call("http://echo:80/", &[Code("200"), Backend("echo-v1")]).step(),
                Step::Share {
                    call: call("http://echo:8080/", &[Code("200")]),
                    count: 100,
                    backend: "echo-v2",
                    percent: 50,
                },
            ],
        },
        Case {
            name: "destination-not-host",
            about: "the Service that is dialled decides, whatever the Host says",
            objects: PORT,
            steps: vec![
                call("http://echo-v2/", &[Code("200"), Backend("echo-v2"), Saw("Host", "echo")])
                    .header("Host: echo")
                    .step(),
            ],
        },
        Case {
            name: "backend-protocols",
            about: "h2c and WebSocket reach backends that declare them",
            objects: H2C,
            steps: vec![
                call("http://echo/h2c", &[Code("200"), Backend("echo-v1"), Saw("Proto", "HTTP/2.0")]).step(),
                call("http://echo:8081/", &[Code("200"), Saw("Proto", "HTTP/2.0")]).arg("--http2").step(),
                call("ws://echo/ws", &[Code("200"), Backend("echo-v2")]).step(),
            ],
        },
    ]
}

const INVALID: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: half, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {value: /half}}]
      backendRefs: [{name: echo-v1, port: 80, weight: 1}, {name: nobody, port: 80, weight: 1}]
    - matches: [{path: {value: /missing}}]
      backendRefs: [{name: nobody, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: kind, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {value: /kind}}]
      backendRefs: [{group: unknown.example.org, kind: Bucket, name: b, port: 80}]
";

const STATUS: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: good, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules: [{backendRefs: [{name: echo-v1, port: 80}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orphan, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: nobody}]
  rules: [{backendRefs: [{name: echo-v1, port: 80}]}]
";

const OWN: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: own, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo-v2, port: 80}]
  rules:
    - matches: [{path: {value: /own}}]
";

const FRONTEND: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: frontend, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo-v2}]
  rules:
    - filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: to-v2, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules: [{backendRefs: [{name: echo-v2, port: 80}]}]
";

const PORT: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: port, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]
  rules: [{backendRefs: [{name: echo-v1, port: 80}]}]
";

const H2C: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: protocols, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]
  rules:
    - matches: [{path: {value: /h2c}}]
      backendRefs: [{name: echo-v1, port: 8081}]
    - matches: [{path: {value: /ws}}]
      backendRefs: [{name: echo-v2, port: 80}]
";
