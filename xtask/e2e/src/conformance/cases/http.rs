//! Matching, mirrors and named rules of HTTPRoute, with a Service as parent, and what fits no rule.

use crate::conformance::case::Want::{Backend, Code};
use crate::conformance::case::{Case, Step, call};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "http-match",
            about: "by method, header (exact, regular expression) and query parameter; what fits no rule is 404",
            objects: MATCH,
            steps: vec![
                call("http://echo/", &[Code("200"), Backend("echo-v2")]).arg("--method=POST").step(),
                call("http://echo/", &[Code("200"), Backend("echo-v1")]).header("Version: one").step(),
                call("http://echo/", &[Code("200"), Backend("echo-v2")]).header("Version: 2.13").step(),
                call("http://echo/", &[Code("404")]).header("Version: 2.13b").step(),
                call("http://echo/?animal=whale", &[Code("200"), Backend("echo-v1")]).step(),
                call("http://echo/?animal=whales", &[Code("404")]).step(),
                call("http://echo/", &[Code("404")]).step(),
            ],
        },
        Case {
            name: "http-mirror",
            about: "copies go to one backend, to several, and in the part of a hundred that is asked for",
            objects: MIRROR,
            steps: vec![
                Step::Logged {
                    call: call("http://echo/mirror-one", &[Code("200"), Backend("echo-v1")]),
                    count: 20,
                    deployment: "echo-v2",
                    percent: 100,
                },
                Step::Logged {
                    call: call("http://echo/mirror-two", &[Code("200"), Backend("echo-v1")]),
                    count: 20,
                    deployment: "echo-v2",
                    percent: 200,
                },
                Step::Logged {
                    call: call("http://echo/mirror-some", &[Code("200"), Backend("echo-v1")]),
                    count: 400,
                    deployment: "echo-v2",
                    percent: 20,
                },
            ],
        },
        Case {
            name: "http-named-rule",
            about: "rules with names and without route alike",
            objects: NAMED,
            steps: vec![
                call("http://echo/named", &[Code("200"), Backend("echo-v1")]).step(),
                call("http://echo/unnamed", &[Code("200"), Backend("echo-v2")]).step(),
            ],
        },
    ]
}

const MATCH: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: match, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{method: POST}]
      backendRefs: [{name: echo-v2, port: 80}]
    - matches: [{headers: [{name: version, value: one}]}]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{headers: [{name: version, type: RegularExpression, value: '2\.[0-9]+'}]}]
      backendRefs: [{name: echo-v2, port: 80}]
    - matches: [{queryParams: [{name: animal, value: whale}]}]
      backendRefs: [{name: echo-v1, port: 80}]
";

const MIRROR: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: mirror, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {value: /mirror-one}}]
      filters: [{type: RequestMirror, requestMirror: {backendRef: {name: echo-v2, port: 80}}}]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {value: /mirror-two}}]
      filters:
        - {type: RequestMirror, requestMirror: {backendRef: {name: echo-v2, port: 80}}}
        - {type: RequestMirror, requestMirror: {backendRef: {name: echo-v2, port: 8080}}}
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {value: /mirror-some}}]
      filters: [{type: RequestMirror, requestMirror: {percent: 20, backendRef: {name: echo-v2, port: 80}}}]
      backendRefs: [{name: echo-v1, port: 80}]
";

const NAMED: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: named, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - name: first
      matches: [{path: {value: /named}}]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {value: /unnamed}}]
      backendRefs: [{name: echo-v2, port: 80}]
";
