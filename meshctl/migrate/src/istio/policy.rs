//! Settings of traffic: retries, CORS, and a DestinationRule's traffic policy. It must not know what they are attached to.

use serde_json::{Map, Value, json};

use crate::ledger::{Effect, Node};
use crate::parts::{duration_of, integer_of, retry_words};

const HOUR: u64 = 3_600_000;

/// `retries` of a rule as those of a TrafficPolicy.
pub(super) fn retries(node: &Node<'_>, object: &str) -> Value {
    let mut json = Map::new();
    let words = node.get("retryOn");
    let given = words.as_ref().and_then(Node::text);
    if node.get("attempts").and_then(|attempts| attempts.integer()) != Some(0) {
        // What Istio repeats where nothing is written.
        let (found, lost) = retry_words(
            given.unwrap_or("connect-failure,refused-stream,unavailable,cancelled,503").split(','),
        );
        json.extend(found);
        if let Some(words) = &words {
            if lost.is_empty() {
                words.to(object, "spec.retries.retryOn");
            } else {
                let reason = format!("there is no counterpart of {}", lost.join(", "));
                words.changed(object, "spec.retries.retryOn", Effect::Behaviour, reason);
            }
        }
    } else if let Some(words) = &words {
        words.inert("attempts is 0");
    }
    for (key, part) in node.fields() {
        match key {
            "attempts" => {
                json.insert(
                    "attempts".to_owned(),
                    json!(integer_of(&part, object, "spec.retries.attempts", (0, 10)).unwrap_or(2)),
                );
            }
            "perTryTimeout" => {
                if let Some(found) = duration_of(&part, object, "spec.retries.perTryTimeout", (1, HOUR)) {
                    json.insert("perTryTimeout".to_owned(), json!(found));
                }
            }
            "backoff" => {
                if let Some(found) = duration_of(&part, object, "spec.retries.backoff.base", (0, 60_000)) {
                    let max = crate::parts::milliseconds(&found).unwrap_or(25).saturating_mul(10).min(HOUR);
                    json.insert(
                        "backoff".to_owned(),
                        json!({ "base": found, "max": crate::parts::duration(max) }),
                    );
                }
            }
            "retryRemoteLocalities" | "retryIgnorePreviousHosts" => {
                part.lost(
                    Effect::None,
                    "the next attempt goes to another endpoint, in another zone if there is none near",
                    "nothing",
                );
            }
            _ => {}
        }
    }
    // Envoy repeats whatever the method is.
    json.insert("methods".to_owned(), json!("All"));
    Value::Object(json)
}

/// `corsPolicy` as a filter.
pub(super) fn cors(node: &Node<'_>, label: &str, field: &str) -> Option<Value> {
    let mut json = Map::new();
    let mut origins: Vec<String> = Vec::new();
    for (key, part) in node.fields() {
        match key {
            "allowOrigin" => {
                part.whole(label, field);
                origins.extend(part.items().iter().filter_map(Node::text).map(str::to_owned));
            }
            "allowOrigins" => {
                for origin in part.items() {
                    match origin.text_of("exact") {
                        Some(exact) => {
                            origin.whole(label, field);
                            origins.push(exact.to_owned());
                        }
                        None => origin.lost(
                            Effect::Stricter,
                            "an origin is written out, or `https://*.NAME`",
                            "write the origins into cors.allowOrigins",
                        ),
                    }
                }
            }
            "allowMethods" | "allowHeaders" | "exposeHeaders" | "allowCredentials" => {
                part.whole(label, field);
                json.insert(key.to_owned(), part.value().clone());
            }
            "maxAge" => {
                let seconds = part.text().and_then(crate::parts::milliseconds).unwrap_or(5_000) / 1_000;
                part.to(label, field);
                json.insert("maxAge".to_owned(), json!(seconds.max(1)));
            }
            "unmatchedPreflights" => part.lost(
                Effect::Edge,
                "a preflight that nobody allows is answered without permission",
                "nothing",
            ),
            _ => {}
        }
    }
    if origins.is_empty() {
        return None;
    }
    json.insert("allowOrigins".to_owned(), json!(origins));
    Some(json!({ "type": "CORS", "cors": json }))
}

/// Settings of a traffic policy, without what belongs to single ports.
pub(super) fn settings(node: &Node<'_>, object: &str) -> Map<String, Value> {
    let mut spec = Map::new();
    for (key, part) in node.fields() {
        match key {
            "loadBalancer" => {
                spec.insert("loadBalancer".to_owned(), balancer(&part, object));
            }
            "connectionPool" => pool(&part, object, &mut spec),
            "outlierDetection" => {
                if let Some(outlier) = outlier(&part, object) {
                    spec.insert("outlierDetection".to_owned(), outlier);
                }
            }
            "tls" => tls(&part),
            "tunnel" | "proxyProtocol" => part.lost(Effect::Behaviour, "is not done here", "nothing does it"),
            _ => {}
        }
    }
    spec
}

fn tls(node: &Node<'_>) {
    match node.text_of("mode") {
        Some("ISTIO_MUTUAL") => node.inert("members of the mesh are always called with mutual TLS"),
        Some("DISABLE") => {
            node.lost(Effect::None, "members are called with mutual TLS, others in plaintext", "nothing");
        }
        _ => node.lost(
            Effect::Behaviour,
            "TLS of its own is begun towards hosts outside the mesh only",
            "ExternalService: ports[].tls, for a host outside; members are called with mutual TLS",
        ),
    }
}

fn balancer(node: &Node<'_>, object: &str) -> Value {
    let at = "spec.loadBalancer";
    let mut json = Map::new();
    for (key, part) in node.fields() {
        match key {
            "simple" => {
                let kind = match part.text() {
                    Some("ROUND_ROBIN") => "RoundRobin",
                    Some("RANDOM") => "Random",
                    Some("LEAST_CONN" | "LEAST_REQUEST") => "LeastRequest",
                    Some("PASSTHROUGH") => {
                        part.lost(
                            Effect::Behaviour,
                            "a connection to a Service's address is always balanced",
                            "call the endpoint's own address",
                        );
                        continue;
                    }
                    _ => "PeakEWMA",
                };
                part.to(object, format!("{at}.type"));
                json.insert("type".to_owned(), json!(kind));
            }
            "consistentHash" => hash(&part, object, &mut json),
            "localityLbSetting" => locality(&part, object, &mut json),
            "warmupDurationSecs" => {
                if let Some(window) =
                    duration_of(&part, object, &format!("{at}.slowStart.window"), (1_000, HOUR))
                {
                    json.insert("slowStart".to_owned(), json!({ "window": window }));
                }
            }
            "warmup" => {
                if let Some(window) = part.get("duration").and_then(|one| {
                    duration_of(&one, object, &format!("{at}.slowStart.window"), (1_000, HOUR))
                }) {
                    json.insert("slowStart".to_owned(), json!({ "window": window }));
                }
                part.lost_field("aggression", Effect::Edge, "the share grows evenly", "nothing");
                part.lost_field(
                    "minimumPercent",
                    Effect::Edge,
                    "is not carried over",
                    "loadBalancer.slowStart.minPercent",
                );
            }
            _ => {}
        }
    }
    if json.is_empty() {
        json.insert("type".to_owned(), json!("PeakEWMA"));
    }
    Value::Object(json)
}

fn hash(node: &Node<'_>, object: &str, json: &mut Map<String, Value>) {
    let at = "spec.loadBalancer";
    json.insert("type".to_owned(), json!("RingHash"));
    for (key, part) in node.fields() {
        match key {
            "httpHeaderName" => {
                part.to(object, format!("{at}.hashOn.header"));
                json.insert("hashOn".to_owned(), json!({ "header": part.value() }));
            }
            "useSourceIp" => {
                part.to(object, format!("{at}.hashOn.sourceAddress"));
                if part.is_true() {
                    json.insert("hashOn".to_owned(), json!({ "sourceAddress": true }));
                }
            }
            "httpCookie" => {
                let mut cookie = Map::new();
                if let Some(name) = part.get("name") {
                    name.to(object, format!("{at}.hashOn.cookie.name"));
                    cookie.insert("name".to_owned(), name.value().clone());
                }
                if let Some(ttl) = part.get("ttl").and_then(|ttl| {
                    duration_of(&ttl, object, &format!("{at}.hashOn.cookie.ttl"), (0, 8_760 * HOUR))
                }) && ttl != "0s"
                {
                    cookie.insert("ttl".to_owned(), json!(ttl));
                }
                part.lost_field(
                    "path",
                    Effect::Edge,
                    "a cookie of balancing holds for the whole host",
                    "nothing",
                );
                json.insert("hashOn".to_owned(), json!({ "cookie": cookie }));
            }
            "minimumRingSize" => ring(&part, object, json),
            "ringHash" => {
                if let Some(size) = part.get("minimumRingSize") {
                    ring(&size, object, json);
                }
                if part.is_leaf() {
                    part.to(object, format!("{at}.type"));
                }
            }
            "maglev" => {
                json.insert("type".to_owned(), json!("Maglev"));
                if let Some(size) = part
                    .get("tableSize")
                    .and_then(|size| integer_of(&size, object, &format!("{at}.tableSize"), (11, 5_000_011)))
                {
                    json.insert("tableSize".to_owned(), json!(size));
                }
                if part.is_leaf() {
                    part.to(object, format!("{at}.type"));
                }
            }
            _ => part.lost(
                Effect::Behaviour,
                "is not hashed here",
                "loadBalancer.hashOn: header, cookie or sourceAddress",
            ),
        }
    }
    if !json.contains_key("hashOn") {
        json.insert("type".to_owned(), json!("PeakEWMA"));
        json.remove("ringSize");
        json.remove("tableSize");
    }
    if json.get("type") == Some(&json!("Maglev")) {
        json.remove("ringSize");
    }
}

fn ring(node: &Node<'_>, object: &str, json: &mut Map<String, Value>) {
    if let Some(size) = integer_of(node, object, "spec.loadBalancer.ringSize", (64, 1_048_576)) {
        json.insert("ringSize".to_owned(), json!(size));
    }
}

fn locality(node: &Node<'_>, object: &str, json: &mut Map<String, Value>) {
    for (key, part) in node.fields() {
        match key {
            "enabled" => {
                part.to(object, "spec.loadBalancer.locality");
                if part.value() == &json!(false) {
                    json.insert("locality".to_owned(), json!("Ignore"));
                }
            }
            _ => part.lost(
                Effect::Behaviour,
                "endpoints of the caller's zone are preferred; nothing else can be said",
                "Workload: weight and priority",
            ),
        }
    }
}

fn pool(node: &Node<'_>, object: &str, spec: &mut Map<String, Value>) {
    let mut breaker = Map::new();
    let bound = |part: &Node<'_>, field: &str, breaker: &mut Map<String, Value>| {
        if let Some(found) = integer_of(part, object, &format!("spec.circuitBreaker.{field}"), (1, 1_000_000))
        {
            breaker.insert(field.to_owned(), json!(found));
        }
    };
    for (key, part) in node.get("tcp").map(|tcp| tcp.fields()).unwrap_or_default() {
        match key {
            "maxConnections" => bound(&part, "maxConnections", &mut breaker),
            "connectTimeout" => {
                if let Some(found) = duration_of(&part, object, "spec.connectTimeout", (1, 60_000)) {
                    spec.insert("connectTimeout".to_owned(), json!(found));
                }
            }
            "tcpKeepalive" => {
                part.lost(Effect::None, "connections are kept alive by the mesh's own settings", "nothing");
            }
            "idleTimeout" | "maxConnectionDuration" => {
                part.lost(
                    Effect::Edge,
                    "pooled connections end by the mesh's own settings",
                    "TrafficPolicy: timeouts.idle, for what is carried on them",
                );
            }
            _ => {}
        }
    }
    for (key, part) in node.get("http").map(|http| http.fields()).unwrap_or_default() {
        match key {
            "http1MaxPendingRequests" => bound(&part, "maxPendingRequests", &mut breaker),
            "http2MaxRequests" => bound(&part, "maxRequests", &mut breaker),
            "maxRetries" => bound(&part, "maxRetries", &mut breaker),
            "maxConcurrentStreams" => bound(&part, "maxStreamsPerConnection", &mut breaker),
            "maxRequestsPerConnection" => part.lost(
                Effect::None,
                "a connection carries any number of requests",
                "nothing; connections are spread anew when endpoints change",
            ),
            "idleTimeout" => {
                part.lost(Effect::None, "pooled connections end by the mesh's own settings", "nothing");
            }
            "h2UpgradePolicy" | "useClientProtocol" => {
                part.lost(
                    Effect::None,
                    "between sidecars requests share connections in any case",
                    "TrafficPolicy: protocol, for what is spoken to the application",
                );
            }
            _ => {}
        }
    }
    if !breaker.is_empty() {
        spec.insert("circuitBreaker".to_owned(), Value::Object(breaker));
    }
}

fn outlier(node: &Node<'_>, object: &str) -> Option<Value> {
    let at = "spec.outlierDetection";
    let mut json = Map::new();
    for (key, part) in node.fields() {
        match key {
            "consecutive5xxErrors" | "consecutiveErrors" => {
                if part.integer() == Some(0) {
                    part.lost(
                        Effect::Behaviour,
                        "errors in a row always count",
                        "set a large consecutiveErrors",
                    );
                    continue;
                }
                if let Some(count) = integer_of(&part, object, &format!("{at}.consecutiveErrors"), (1, 1_000))
                {
                    json.insert("consecutiveErrors".to_owned(), json!(count));
                }
            }
            "consecutiveGatewayErrors" => {
                let known =
                    node.get("consecutive5xxErrors").is_some() || node.get("consecutiveErrors").is_some();
                if known || part.integer() == Some(0) {
                    part.lost(Effect::Edge, "gateway errors count among all errors", "consecutiveErrors");
                } else {
                    part.changed(
                        object,
                        format!("{at}.consecutiveErrors"),
                        Effect::Edge,
                        "every 5xx counts, not 502, 503 and 504 alone",
                    );
                    json.insert(
                        "consecutiveErrors".to_owned(),
                        json!(part.integer().unwrap_or(5).clamp(1, 1_000)),
                    );
                }
            }
            "interval" | "baseEjectionTime" => {
                if let Some(found) = duration_of(&part, object, &format!("{at}.{key}"), (100, HOUR)) {
                    json.insert(key.to_owned(), json!(found));
                }
            }
            "maxEjectionPercent" => {
                if let Some(found) = integer_of(&part, object, &format!("{at}.maxEjectionPercent"), (0, 100))
                {
                    json.insert(key.to_owned(), json!(found));
                }
            }
            "minHealthPercent" => {
                part.lost(
                    Effect::Edge,
                    "belongs to the balancer here",
                    "loadBalancer.panicThreshold: this percentage",
                );
            }
            "splitExternalLocalOriginErrors" | "consecutiveLocalOriginFailures" => {
                part.lost(
                    Effect::Edge,
                    "failures of connections count among all errors",
                    "consecutiveErrors",
                );
            }
            _ => {}
        }
    }
    let long =
        node.text_of("baseEjectionTime").and_then(crate::parts::milliseconds).filter(|base| *base > 300_000);
    if let Some(long) = long {
        json.insert("maxEjectionTime".to_owned(), json!(crate::parts::duration(long.min(HOUR))));
    }
    if node.is_leaf() {
        node.to(object, at);
    }
    Some(Value::Object(json))
        .filter(|json| json.as_object().is_some_and(|json| !json.is_empty()) || node.is_leaf())
}
