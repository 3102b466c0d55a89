//! Whose routes count for whom: the Service's own for everybody, a client's namespace's for its own clients alone (GEP-1294).

use crate::conformance::case::Want::{Backend, Code, Got, NotGot};
use crate::conformance::case::{Case, From, Step, call};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "producer-route",
            about: "a route beside its Service counts for clients of every namespace",
            objects: PRODUCER,
            steps: vec![
                call("http://echo.own-mesh/", &[Code("200"), Got("x-route", "producer")])
                    .from(From::Consumer)
                    .step(),
                call("http://echo/", &[Code("200"), Got("x-route", "producer")]).step(),
            ],
        },
        Case {
            name: "consumer-route",
            about: "a client's namespace's route wins for its clients, and nobody else sees it",
            objects: CONSUMER,
            steps: vec![
                call("http://echo.own-mesh/", &[Code("200"), Got("x-route", "consumer")])
                    .from(From::Consumer)
                    .step(),
                call("http://echo.own-mesh/", &[Code("200"), Got("x-route", "other")])
                    .from(From::Other)
                    .step(),
                call("http://echo/", &[Code("200"), Got("x-route", "producer")]).step(),
                Step::Condition {
                    kind: "HTTPRoute",
                    namespace: "own-consumer",
                    name: "consumer",
                    condition: "Accepted",
                    status: "True",
                    reason: "Accepted",
                },
            ],
        },
        Case {
            name: "oldest-route-wins",
            about: "of two routes that say the same, the first by age or name counts; their other rules are added up",
            objects: CONFLICT,
            steps: vec![
                call("http://echo/same", &[Code("200"), Backend("echo-v1")]).step(),
                call("http://echo/more", &[Code("200"), Backend("echo-v2"), NotGot("x-route")]).step(),
            ],
        },
    ]
}

const PRODUCER: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: producer, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-route, value: producer}]}}]
      backendRefs: [{name: echo-v1, port: 80}]
";

const CONSUMER: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: producer, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-route, value: producer}]}}]
      backendRefs: [{name: echo-v1, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: consumer, namespace: own-consumer}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, namespace: own-mesh}]
  rules:
    - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-route, value: consumer}]}}]
      backendRefs: [{name: echo-v1, namespace: own-mesh, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: other, namespace: own-other}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, namespace: own-mesh}]
  rules:
    - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-route, value: other}]}}]
      backendRefs: [{name: echo-v2, namespace: own-mesh, port: 80}]
";

const CONFLICT: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a-first, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {value: /same}}]
      backendRefs: [{name: echo-v1, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: b-second, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {value: /same}}]
      backendRefs: [{name: echo-v2, port: 80}]
    - matches: [{path: {value: /more}}]
      backendRefs: [{name: echo-v2, port: 80}]
";
