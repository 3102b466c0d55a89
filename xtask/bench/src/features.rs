//! What each feature costs: one service for each, all in front of the same back end, so that a difference of CPU is the feature's.
//! Pure: the objects as text.

/// A feature that can be switched on for one service alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Feature {
    /// Its line in the table.
    pub(crate) name: &'static str,
    /// The end of its service's name.
    pub(crate) key: &'static str,
    /// Rules, filters and backends of a route, or `None` without a route.
    route: Option<Rules>,
    /// The settings of a policy, one line each.
    policy: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Rules {
    /// One rule with these filters (YAML flow list).
    One { filters: &'static str, more: &'static str },
    /// So many rules, of which the last one fits.
    Many(usize),
    /// Two backends.
    Split,
}

const fn routed(name: &'static str, key: &'static str, filters: &'static str, more: &'static str) -> Feature {
    Feature { name, key, route: Some(Rules::One { filters, more }), policy: "" }
}

const fn policed(name: &'static str, key: &'static str, policy: &'static str) -> Feature {
    Feature { name, key, route: None, policy }
}

/// The first one is what the others are compared with.
pub(crate) const FEATURES: [Feature; 17] = [
    policed("defaults (balancing, retries of connects, outliers, metrics, trace context)", "none", ""),
    routed("a route with one rule", "route", "[]", ""),
    Feature { name: "90 rules, the last one fits", key: "rules", route: Some(Rules::Many(90)), policy: "" },
    Feature { name: "two backends by weight", key: "split", route: Some(Rules::Split), policy: "" },
    routed(
        "four header edits",
        "headers",
        "[{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x-a, value: one }], add: [{ name: x-b, value: two }], remove: [x-c] } }, \
         { type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: x-d, value: three }] } }]",
        "",
    ),
    routed(
        "a path rewrite",
        "rewrite",
        "[{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /other } } }]",
        "",
    ),
    routed("timeouts", "timeouts", "[]", "      timeouts: { request: 10s, backendRequest: 5s }\n"),
    routed(
        "CORS (a request without Origin)",
        "cors",
        "[{ type: CORS, cors: { allowOrigins: [\"https://example.com\"], allowMethods: [GET], maxAge: 60 } }]",
        "",
    ),
    routed(
        "every request mirrored",
        "mirror",
        "[{ type: RequestMirror, requestMirror: { backendRef: { name: echo, port: 80 } } }]",
        "",
    ),
    policed(
        "retries of 503",
        "retries",
        "  retries: { attempts: 2, retryOn: [GatewayError], perTryTimeout: 5s }\n  retryBudget: { percent: 20 }\n",
    ),
    policed("hedging after 5 s", "hedging", "  hedging: { delay: 5s, attempts: 1 }\n"),
    policed(
        "circuit breakers",
        "breaker",
        "  circuitBreaker: { maxConnections: 1000, maxPendingRequests: 1000, maxRequests: 1000, maxStreamsPerConnection: 100 }\n",
    ),
    policed(
        "ring hash by header",
        "ring",
        "  loadBalancer: { type: RingHash, hashOn: { header: user-agent } }\n",
    ),
    policed("least request", "least", "  loadBalancer: { type: LeastRequest }\n"),
    policed(
        "session persistence by cookie",
        "session",
        "  sessionPersistence: { sessionName: s, type: Cookie }\n",
    ),
    policed("body limits", "bodies", "  requestBodyLimit: 1Mi\n  responseBodyLimit: 1Mi\n"),
    policed(
        "a fault for other requests",
        "fault",
        "  fault: { delay: { duration: 1s, percent: 100 }, headers: [{ name: x-test, value: fault }] }\n",
    ),
];

impl Feature {
    /// The service's name.
    pub(crate) fn service(&self) -> String {
        format!("feature-{}", self.key)
    }

    /// Route and policy of its service.
    pub(crate) fn objects(&self, namespace: &str) -> Vec<String> {
        let service = self.service();
        let mut objects = self.route.map(|rules| routes(&service, namespace, rules)).unwrap_or_default();
        if !self.policy.is_empty() {
            objects.push(format!(
                "apiVersion: amime.io/v1alpha1\nkind: TrafficPolicy\nmetadata: {{ name: {service}, namespace: {namespace} }}\nspec:\n  \
                targetRefs:\n    - {{ group: \"\", kind: Service, name: {service} }}\n{}",
                self.policy
            ));
        }
        objects
    }
}

fn routes(service: &str, namespace: &str, rules: Rules) -> Vec<String> {
    let route = |name: &str, rules: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: {name}, namespace: {namespace} }}\nspec:\n  \
            parentRefs:\n    - {{ group: \"\", kind: Service, name: {service} }}\n  rules:\n{rules}"
        )
    };
    let to = "      backendRefs: [{ name: echo, port: 80 }]\n";
    match rules {
        Rules::One { filters, more } => {
            vec![route(service, &format!("    - filters: {filters}\n{more}{to}"))]
        }
        Rules::Split => {
            let to = "      backendRefs: [{ name: echo, port: 80, weight: 9 }, { name: vault, port: 80, weight: 0 }, { name: echo, port: 80, weight: 1 }]\n";
            vec![route(service, &format!("    - name: split\n{to}"))]
        }
        // A route has 16 rules at most.
        Rules::Many(count) => {
            let all: Vec<String> = (1..count)
                .map(|at| format!("    - matches: [{{ path: {{ value: /not/this/{at} }}, headers: [{{ name: x-never, value: \"{at}\" }}] }}]\n{to}"))
                .chain([format!("    - name: last\n{to}")])
                .collect();
            let parts = all.chunks(15).enumerate();
            parts.map(|(part, rules)| route(&format!("{service}-{part}"), &rules.concat())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rules_are_split_into_routes_of_at_most_sixteen() {
        let rules = FEATURES.iter().find(|feature| feature.key == "rules").unwrap();
        let objects = rules.objects("bench");
        assert_eq!(objects.len(), 6);
        assert!(objects.iter().all(|object| object.matches("backendRefs").count() <= 16));
    }

    #[test]
    fn names_are_names_of_services_and_none_is_there_twice() {
        let mut keys: Vec<_> = FEATURES.iter().map(|feature| feature.key).collect();
        assert!(keys.iter().all(|key| key.bytes().all(|b| b.is_ascii_lowercase())));
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), FEATURES.len());
    }
}
