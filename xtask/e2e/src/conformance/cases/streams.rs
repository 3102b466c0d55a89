//! TCPRoute and TLSRoute with a Service as parent: no profile of the suite has them for a mesh.

use crate::conformance::case::Want::{Backend, Code};
use crate::conformance::case::{Case, Step, call, condition};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "tcp-route",
            about: "connections go to backends by weight, on the parent's port alone",
            objects: TCP,
            steps: vec![
                Step::Share {
                    call: call("tcp://echo:9090", &[Code("200")]),
                    count: 100,
                    backend: "echo-v1",
                    percent: 90,
                },
                Step::Share {
                    call: call("tcp://echo:9091", &[Code("200")]),
                    count: 100,
                    backend: "echo-v1",
                    percent: 50,
                },
                condition("TCPRoute", "split", "Accepted", "True", "Accepted"),
                condition("TCPRoute", "split", "ResolvedRefs", "True", "ResolvedRefs"),
            ],
        },
        Case {
            name: "tls-route",
            about: "the application's own TLS goes where its server name says",
            objects: TLS,
            steps: vec![
                call("https://echo:443/", &[Code("200"), Backend("echo-v1")])
                    .arg("--server-name=one.example.org")
                    .arg("--insecure-skip-verify")
                    .step(),
                call("https://echo:443/", &[Code("200"), Backend("echo-v2")])
                    .arg("--server-name=two.example.org")
                    .arg("--insecure-skip-verify")
                    .step(),
                condition("TLSRoute", "two", "Accepted", "True", "Accepted"),
            ],
        },
        Case {
            name: "tcp-route-without-backend",
            about: "a TCPRoute whose backend is not there says so",
            objects: NOWHERE,
            steps: vec![condition("TCPRoute", "nowhere", "ResolvedRefs", "False", "BackendNotFound")],
        },
    ]
}

const TCP: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: split, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 9090}]
  rules:
    - backendRefs: [{name: echo-v1, port: 9090, weight: 90}, {name: echo-v2, port: 9090, weight: 10}]
";

const TLS: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: one, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 443}]
  hostnames: [one.example.org]
  rules: [{backendRefs: [{name: echo-v1, port: 443}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: two, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 443}]
  hostnames: [two.example.org]
  rules: [{backendRefs: [{name: echo-v2, port: 443}]}]
";

const NOWHERE: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: TCPRoute
metadata: {name: nowhere, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 9091}]
  rules: [{backendRefs: [{name: nobody, port: 9090}]}]
";
