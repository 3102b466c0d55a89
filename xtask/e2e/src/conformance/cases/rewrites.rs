//! Paths, hosts and the `Location` of redirects: the suite looks at the status alone.

use crate::conformance::case::Want::{Backend, Code, Got, NotGot, NotSent, Saw, Sent};
use crate::conformance::case::{Case, call};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "rewrite-path",
            about: "the server sees the path that a prefix or full rewrite makes",
            objects: REWRITES,
            steps: vec![
                call(
                    "http://echo/prefix/one/two",
                    &[Code("200"), Backend("echo-v1"), Saw("URL", "/one/two")],
                )
                .step(),
                call("http://echo/prefix", &[Code("200"), Saw("URL", "/")]).step(),
                call("http://echo/prefix/?a=b", &[Code("200"), Saw("URL", "/?a=b")]).step(),
                call("http://echo/full/one?x=y", &[Code("200"), Backend("echo-v2"), Saw("URL", "/two?x=y")])
                    .step(),
                call("http://echo/strip/rest", &[Code("200"), Saw("URL", "/rest")]).step(),
            ],
        },
        Case {
            name: "rewrite-host",
            about: "the server sees the host that a rewrite names",
            objects: REWRITES,
            steps: vec![call("http://echo/host", &[Code("200"), Saw("Host", "one.example.org")]).step()],
        },
        Case {
            name: "redirect-location",
            about: "the Location of redirects by scheme, host, port, path and status",
            objects: REDIRECTS,
            steps: vec![
                call("http://echo/host?q=1", &[Code("302"), Got("Location", "http://example.org/host?q=1")])
                    .step(),
                call("http://echo/scheme", &[Code("302"), Got("Location", "https://echo/scheme")]).step(),
                call("http://echo/port", &[Code("302"), Got("Location", "http://echo:8083/port")]).step(),
                call("http://echo/old/path", &[Code("301"), Got("Location", "http://echo/new/path")]).step(),
                call("http://echo/whole/x", &[Code("302"), Got("Location", "http://echo/all")]).step(),
                call("http://echo/s303", &[Code("303"), Got("Location", "http://echo/other")]).step(),
                call("http://echo/s307", &[Code("307"), Got("Location", "http://echo/other")]).step(),
                call("http://echo/s308", &[Code("308"), Got("Location", "http://echo/other")]).step(),
                call(
                    "http://echo:8080/everything/x",
                    &[Code("301"), Got("Location", "https://example.org:8443/new/x")],
                )
                .step(),
            ],
        },
        Case {
            name: "headers",
            about: "headers of requests and answers are set, added and removed, on rules and on backends",
            objects: HEADERS,
            steps: vec![
                call(
                    "http://echo/request",
                    &[Code("200"), Sent("x-set", "new"), Sent("x-add", "old,more"), NotSent("x-remove")],
                )
                .header("X-Set: old")
                .header("X-Add: old")
                .header("X-Remove: gone")
                .step(),
                call(
                    "http://echo/response?headers=X-Set:old,X-Remove:gone",
                    &[Code("200"), Got("x-set", "new"), Got("x-add", "more"), NotGot("x-remove")],
                )
                .step(),
                call(
                    "http://echo/backend?headers=X-Remove:gone",
                    &[Code("200"), Sent("x-backend", "v1"), Got("x-backend", "v1"), NotGot("x-remove")],
                )
                .step(),
            ],
        },
    ]
}

const REWRITES: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: rewrites, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /prefix}}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /strip}}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: ''}}}]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /full/one}}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /two}}}]
      backendRefs: [{name: echo-v2, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /host}}]
      filters: [{type: URLRewrite, urlRewrite: {hostname: one.example.org}}]
      backendRefs: [{name: echo-v1, port: 80}]
";

const REDIRECTS: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: redirects, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /host}}]
      filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org}}]
    - matches: [{path: {type: PathPrefix, value: /scheme}}]
      filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]
    - matches: [{path: {type: PathPrefix, value: /port}}]
      filters: [{type: RequestRedirect, requestRedirect: {port: 8083}}]
    - matches: [{path: {type: PathPrefix, value: /old}}]
      filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]
    - matches: [{path: {type: PathPrefix, value: /whole}}]
      filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /all}}}]
    - matches: [{path: {type: PathPrefix, value: /s303}}]
      filters: [{type: RequestRedirect, requestRedirect: {statusCode: 303, path: {type: ReplaceFullPath, replaceFullPath: /other}}}]
    - matches: [{path: {type: PathPrefix, value: /s307}}]
      filters: [{type: RequestRedirect, requestRedirect: {statusCode: 307, path: {type: ReplaceFullPath, replaceFullPath: /other}}}]
    - matches: [{path: {type: PathPrefix, value: /s308}}]
      filters: [{type: RequestRedirect, requestRedirect: {statusCode: 308, path: {type: ReplaceFullPath, replaceFullPath: /other}}}]
    - matches: [{path: {type: PathPrefix, value: /everything}}]
      filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301, scheme: https, hostname: example.org, port: 8443, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]
";

const HEADERS: &str = r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: headers, namespace: own-mesh}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /request}}]
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier:
            set: [{name: X-Set, value: new}]
            add: [{name: X-Add, value: more}]
            remove: [X-Remove]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /response}}]
      filters:
        - type: ResponseHeaderModifier
          responseHeaderModifier:
            set: [{name: X-Set, value: new}]
            add: [{name: X-Add, value: more}]
            remove: [X-Remove]
      backendRefs: [{name: echo-v1, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /backend}}]
      backendRefs:
        - name: echo-v1
          port: 80
          filters:
            - type: RequestHeaderModifier
              requestHeaderModifier: {set: [{name: X-Backend, value: v1}]}
            - type: ResponseHeaderModifier
              responseHeaderModifier: {set: [{name: X-Backend, value: v1}], remove: [X-Remove]}
";
