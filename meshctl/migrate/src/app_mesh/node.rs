//! VirtualNodes: the Service that stands for one, and its policies. It must not know routes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Behind, Parts, arns, time};
use crate::ledger::{Effect, Node};
use crate::parts::duration;
use crate::{Context, aws, out, world};

const HOUR: u64 = 3_600_000;
const YEAR: u64 = 8_760 * HOUR;

pub(super) fn run(context: &mut Context<'_>, at: usize, parts: &mut Parts) {
    let Some(document) = context.documents.get(at) else { return };
    let name = (document.namespace().to_owned(), document.name().to_owned());
    let from = document.label();
    let documents = context.documents;
    if let Some(spec) = context.ledger.root(documents, at).and_then(|root| root.get("spec")) {
        let behind = if document.is_of_aws() {
            by_label(context, &spec, &name, &from)
        } else {
            behind(context, &spec, &name, &from)
        };
        listeners(context, &spec, behind.as_ref(), &from);
        others(&spec);
        if let Some(behind) = behind {
            parts.nodes.insert(name, behind);
        }
    }
}

/// The Service that stands for the node: that of its DNS name, else one that selects its pods.
fn behind(context: &mut Context<'_>, spec: &Node<'_>, name: &super::Name, from: &str) -> Option<Behind> {
    let listener = spec.list("listeners").into_iter().next();
    let listens =
        listener.as_ref().and_then(|one| one.at(&["portMapping", "port"])).and_then(|port| port.port());
    if let Some(host) = spec.at(&["serviceDiscovery", "dns", "hostname"]) {
        let Some(service) = world::host(host.text().unwrap_or_default(), &name.0) else {
            host.lost(
                Effect::Behaviour,
                "is no Service of the cluster, and routes lead to Services",
                "make a Service with an EndpointSlice for it, or describe it as an ExternalService and call it by its own name",
            );
            return None;
        };
        let object = format!("Service {}/{}", service.0, service.1);
        let port = port_of(context, &service, listens);
        if context.world.service(&service.0, &service.1).is_some() {
            host.to(&object, "metadata.name");
        } else {
            let reason = "the Service is not among the files; its port is taken to be the listener's";
            host.changed(&object, "metadata.name", Effect::Edge, reason);
        }
        if let Some(selector) = spec.get("podSelector") {
            selector.inert(format!("{object} selects the pods"));
        }
        if let Some(port) = listener.as_ref().and_then(|one| one.at(&["portMapping", "port"])) {
            port.to(&object, "spec.ports");
        }
        return Some(Behind { service, port });
    }
    if listener.is_none() {
        // Nobody calls a node that listens nowhere.
        for key in ["listeners", "podSelector"] {
            spec.inert_field(key, "a node that nobody calls needs no Service");
        }
    }
    let made = made(context, spec, listener.as_ref(), name, from);
    if let Some(map) = spec.at(&["serviceDiscovery", "awsCloudMap"]) {
        match &made {
            Some(made) => map.changed(
                &format!("Service {}/{}", made.service.0, made.service.1),
                "spec.selector",
                Effect::Edge,
                "the pods are found by their labels; instances of Cloud Map that are no pods are not",
            ),
            None => map.lost(
                Effect::Behaviour,
                "there is no Cloud Map here, and no podSelector says which pods are meant",
                "make a Service, or Workload objects for what is no pod",
            ),
        }
    }
    made
}

/// Of AWS's own tools: the Service of its name in the cluster, else one that selects by a label that members are to be given.
fn by_label(context: &mut Context<'_>, spec: &Node<'_>, name: &super::Name, from: &str) -> Option<Behind> {
    let host = spec.at(&["serviceDiscovery", "dns", "hostname"]);
    if host.as_ref().and_then(Node::text).is_some_and(aws::is_of_cluster) {
        return behind(context, spec, name, from);
    }
    let Some(listener) = spec.list("listeners").into_iter().next() else {
        spec.inert_field("listeners", "a node that nobody calls needs no Service");
        spec.inert_field("serviceDiscovery", "a node that nobody calls needs no Service");
        return None;
    };
    let label = out::clean(&name.1);
    let selector = BTreeMap::from([("app".to_owned(), label.clone())]);
    let behind = new_service(context, &listener, &selector, name, from)?;
    let object = out::label("Service", &behind.service.0, &behind.service.1);
    let why = format!("the Service selects what has the label `app: {label}`");
    for node in [host, spec.at(&["serviceDiscovery", "awsCloudMap"])].into_iter().flatten() {
        node.changed(&object, "spec.selector", Effect::Behaviour, why.clone());
    }
    let text = format!(
        "{why}: give it to the pods or Workloads that served the node, or to its program: meshctl run --label app={label}"
    );
    context.note(from, Effect::Behaviour, text);
    Some(behind)
}

/// A Service that selects the node's pods.
fn made(
    context: &mut Context<'_>,
    spec: &Node<'_>,
    listener: Option<&Node<'_>>,
    name: &super::Name,
    from: &str,
) -> Option<Behind> {
    let selector = spec.get("podSelector")?;
    selector.lost_field(
        "matchExpressions",
        Effect::Behaviour,
        "a Service selects by equality only",
        "give the pods a label of their own and select by it",
    );
    let labels = selector.get("matchLabels")?;
    let wanted: BTreeMap<String, String> = labels
        .fields()
        .iter()
        .filter_map(|(key, value)| Some(((*key).to_owned(), value.text()?.to_owned())))
        .collect();
    let mapping = listener?.get("portMapping")?;
    let port = mapping.get("port")?.port()?;
    if let Some(known) = context.world.selecting(&name.0, &wanted).first() {
        let service = (name.0.clone(), (*known).to_owned());
        labels.whole(&format!("Service {}/{}", service.0, service.1), "spec.selector");
        if let Some(port) = mapping.get("port") {
            port.to(&format!("Service {}/{}", service.0, service.1), "spec.ports");
        }
        let port = port_of(context, &service, Some(port));
        return Some(Behind { service, port });
    }
    let behind = new_service(context, listener?, &wanted, name, from)?;
    labels.whole(&out::label("Service", &behind.service.0, &behind.service.1), "spec.selector");
    Some(behind)
}

fn new_service(
    context: &mut Context<'_>,
    listener: &Node<'_>,
    selector: &BTreeMap<String, String>,
    name: &super::Name,
    from: &str,
) -> Option<Behind> {
    let mapping = listener.get("portMapping")?;
    let node = mapping.get("port")?;
    let port = node.port()?;
    let service = context.out.name("Service", &name.0, &name.1);
    node.to(&out::label("Service", &name.0, &service), "spec.ports[0].port");
    let ports =
        json!([{ "name": "main", "port": port, "appProtocol": app_protocol(mapping.text_of("protocol")) }]);
    context.out.put("Service", &name.0, &service, json!({ "selector": selector, "ports": ports }), from);
    Some(Behind { service: (name.0.clone(), service), port: Some(port) })
}

/// What a listener's protocol is to a Service.
pub(super) fn app_protocol(protocol: Option<&str>) -> &'static str {
    match protocol {
        Some("http2") => "kubernetes.io/h2c",
        Some("grpc") => "grpc",
        Some("tcp") => "tcp",
        _ => "http",
    }
}

/// The Service's port that leads to where the application listens.
pub(super) fn port_of(context: &Context<'_>, service: &super::Name, listens: Option<u16>) -> Option<u16> {
    let Some(known) = context.world.service(&service.0, &service.1) else { return listens };
    let leads = |port: &&world::Port| {
        let target = port.target.as_ref();
        target.map_or(Some(port.port), |target| target.as_u64().and_then(|n| u16::try_from(n).ok()))
            == listens
    };
    let by_target = known.ports.iter().find(leads);
    let by_number = || known.ports.iter().find(|port| Some(port.port) == listens);
    let only = || known.ports.first().filter(|_| known.ports.len() == 1);
    by_target.or_else(by_number).or_else(only).map(|port| port.port)
}

/// What the listener asks for, as policies of the Service.
fn listeners(context: &mut Context<'_>, spec: &Node<'_>, behind: Option<&Behind>, from: &str) {
    for (at, listener) in spec.list("listeners").into_iter().enumerate() {
        let Some(behind) = behind.filter(|_| at == 0) else {
            listener.lost(
                Effect::Behaviour,
                if at == 0 {
                    "no Service stands for this node"
                } else {
                    "policies of a second listener are not carried over"
                },
                "write a TrafficPolicy for the port of the Service",
            );
            continue;
        };
        let (namespace, service) = &behind.service;
        let name = context.out.name("TrafficPolicy", namespace, service);
        let label = out::label("TrafficPolicy", namespace, &name);
        let mut policy = Map::new();
        settings(&listener, &label, &mut policy);
        if let Some(tls) = listener.get("tls") {
            mode(context, &tls, behind, from);
        }
        if !policy.is_empty() {
            policy.insert("targetRefs".to_owned(), json!([{ "kind": "Service", "name": service }]));
            context.out.put("TrafficPolicy", namespace, &name, Value::Object(policy), from);
        }
    }
}

fn settings(listener: &Node<'_>, label: &str, policy: &mut Map<String, Value>) {
    if let Some(protocol) = listener.at(&["portMapping", "protocol"]) {
        let word = match protocol.text() {
            Some("http") => "HTTP1",
            Some("http2") => "HTTP2",
            Some("grpc") => "GRPC",
            _ => "TCP",
        };
        protocol.to(label, "spec.protocol");
        policy.insert("protocol".to_owned(), json!(word));
    }
    if let Some(check) = listener.get("healthCheck") {
        policy.insert("healthCheck".to_owned(), health_check(&check, label));
    }
    if let Some(outlier) = listener.get("outlierDetection") {
        policy.insert("outlierDetection".to_owned(), outlier_detection(&outlier, label));
    }
    let mut breaker = Map::new();
    for (_, pool) in listener.get("connectionPool").map(|pool| pool.fields()).unwrap_or_default() {
        for (key, field) in [
            ("maxConnections", "maxConnections"),
            ("maxPendingRequests", "maxPendingRequests"),
            ("maxRequests", "maxRequests"),
        ] {
            let bound = pool.get(key).and_then(|node| {
                crate::parts::integer_of(
                    &node,
                    label,
                    &format!("spec.circuitBreaker.{field}"),
                    (1, 1_000_000),
                )
            });
            if let Some(bound) = bound {
                breaker.insert(field.to_owned(), json!(bound));
            }
        }
    }
    if !breaker.is_empty() {
        policy.insert("circuitBreaker".to_owned(), Value::Object(breaker));
    }
    let mut timeouts = Map::new();
    for (kind, timeout) in listener.get("timeout").map(|timeout| timeout.fields()).unwrap_or_default() {
        for (key, field) in [("perRequest", "request"), ("idle", "idle")] {
            let found = timeout
                .get(key)
                .and_then(|node| time(&node, label, &format!("spec.timeouts.{field}"), (0, YEAR)));
            if let Some(found) = found.filter(|_| kind != "tcp" || key == "idle") {
                timeouts.insert(field.to_owned(), found);
            }
        }
    }
    if !timeouts.is_empty() {
        policy.insert("timeouts".to_owned(), Value::Object(timeouts));
    }
}

fn health_check(check: &Node<'_>, label: &str) -> Value {
    let field = |name: &str| format!("spec.healthCheck.{name}");
    let mut json = Map::new();
    let protocol = check.text_of("protocol").unwrap_or("http");
    if let Some(node) = check.get("protocol") {
        node.to(label, field(protocol));
    }
    let path = check.get("path");
    let probe = match protocol {
        "grpc" => ("grpc", json!({})),
        "tcp" => ("tcp", json!({})),
        _ => ("http", json!({ "path": path.as_ref().and_then(Node::text).unwrap_or("/") })),
    };
    if let Some(path) = path {
        if probe.0 == "http" {
            path.to(label, field("http.path"));
        } else {
            path.inert("App Mesh reads it for http only");
        }
    }
    json.insert(probe.0.to_owned(), probe.1);
    let interval = check.get("intervalMillis").and_then(|node| node.integer()).unwrap_or(30_000);
    for (key, name) in [("intervalMillis", "interval"), ("timeoutMillis", "timeout")] {
        let Some(node) = check.get(key) else { continue };
        let millis = node.integer().unwrap_or_default();
        if millis > interval {
            node.changed(label, field(name), Effect::Edge, "a probe ends before the next one begins");
        } else {
            node.to(label, field(name));
        }
        json.insert(name.to_owned(), json!(duration(u64::try_from(millis.min(interval)).unwrap_or(1_000))));
    }
    for (key, name) in
        [("healthyThreshold", "healthyThreshold"), ("unhealthyThreshold", "unhealthyThreshold")]
    {
        if let Some(count) =
            check.get(key).and_then(|node| crate::parts::integer_of(&node, label, &field(name), (1, 100)))
        {
            json.insert(name.to_owned(), json!(count));
        }
    }
    check.lost_field(
        "port",
        Effect::None,
        "probes go to the endpoint's own port",
        "nothing, where that is the same port",
    );
    Value::Object(json)
}

fn outlier_detection(outlier: &Node<'_>, label: &str) -> Value {
    let field = |name: &str| format!("spec.outlierDetection.{name}");
    let mut json = Map::new();
    if let Some(node) = outlier.get("maxServerErrors") {
        node.changed(
            label,
            field("consecutiveErrors"),
            Effect::Edge,
            "errors are counted in a row, not within the interval",
        );
        json.insert("consecutiveErrors".to_owned(), json!(node.integer().unwrap_or(5).clamp(1, 1_000)));
    }
    for (key, name) in [("interval", "interval"), ("baseEjectionDuration", "baseEjectionTime")] {
        if let Some(found) = outlier.get(key).and_then(|node| time(&node, label, &field(name), (100, HOUR))) {
            json.insert(name.to_owned(), found);
        }
    }
    let base =
        outlier.at(&["baseEjectionDuration", "value"]).and_then(|node| node.integer()).unwrap_or_default();
    let is_seconds = outlier.at(&["baseEjectionDuration", "unit"]).and_then(|node| node.text()) != Some("ms");
    if is_seconds && base > 300 {
        json.insert("maxEjectionTime".to_owned(), json!(duration(u64::try_from(base).unwrap_or(0) * 1_000)));
    }
    if let Some(percent) = outlier
        .get("maxEjectionPercent")
        .and_then(|node| crate::parts::integer_of(&node, label, &field("maxEjectionPercent"), (0, 100)))
    {
        json.insert("maxEjectionPercent".to_owned(), json!(percent));
    }
    Value::Object(json)
}

/// How far TLS is asked for becomes how far mutual TLS is.
fn mode(context: &mut Context<'_>, tls: &Node<'_>, behind: &Behind, from: &str) {
    let (namespace, service) = &behind.service;
    let name = context.out.name("AuthenticationPolicy", namespace, service);
    let label = out::label("AuthenticationPolicy", namespace, &name);
    let field = "spec.mtls.mode";
    let word = tls.get("mode").map_or("Strict", |node| match node.text() {
        Some("PERMISSIVE") => {
            node.to(&label, field);
            "Permissive"
        }
        Some("DISABLED") => {
            node.changed(
                &label,
                field,
                Effect::None,
                "plaintext is taken as before; members of the mesh come with mutual TLS nevertheless",
            );
            "Permissive"
        }
        _ => {
            node.changed(
                &label,
                field,
                Effect::Stricter,
                "TLS is mutual here: callers need an identity of the mesh",
            );
            "Strict"
        }
    });
    let why = "the authority of the mesh gives every workload its certificate";
    tls.lost_field(
        "certificate",
        Effect::None,
        why,
        "nothing; who needs a certificate of its own for clients outside terminates TLS itself",
    );
    tls.lost_field(
        "validation",
        Effect::None,
        "callers are checked against the mesh's own roots",
        "AuthorizationPolicy says which identities may call",
    );
    let spec = json!({ "targetRefs": [{ "kind": "Service", "name": service }], "mtls": { "mode": word } });
    context.out.put("AuthenticationPolicy", namespace, &name, spec, from);
}

/// What a node says of others.
fn others(spec: &Node<'_>) {
    spec.inert_field("awsName", "a name at AWS");
    spec.inert_field("meshRef", "there is one mesh");
    spec.lost_field(
        "logging",
        Effect::None,
        "the access log is a setting of the whole mesh",
        "MeshConfig: accessLog.enabled",
    );
    for backend in spec.list("backends") {
        let service = backend.get("virtualService");
        let policy = service.as_ref().and_then(|service| service.get("clientPolicy"));
        if let Some(policy) = policy {
            client_policy(&policy);
        }
        if let Some(reference) = service.as_ref().and_then(|service| service.get("virtualServiceRef")) {
            reference.lost(
                Effect::Weaker,
                "every workload may call every service: there is no list of what one may call",
                "say at the called side who may call: AuthorizationPolicy, which `meshctl policy suggest` writes from observed traffic",
            );
        } else {
            arns(&backend);
        }
    }
    spec.lost_field(
        "backendGroups",
        Effect::Weaker,
        "every workload may call every service: there is no list of what one may call",
        "say at the called side who may call: AuthorizationPolicy",
    );
    if let Some(policy) = spec.at(&["backendDefaults", "clientPolicy"]) {
        client_policy(&policy);
    }
    if let Some(dns) = spec.at(&["serviceDiscovery", "dns"]) {
        dns.lost_field(
            "responseType",
            Effect::None,
            "every endpoint of a Service is known, whatever DNS answers",
            "nothing",
        );
        dns.lost_field(
            "ipPreference",
            Effect::None,
            "endpoints have the addresses that Kubernetes gives them",
            "nothing",
        );
    }
}

fn client_policy(policy: &Node<'_>) {
    policy.lost(
        Effect::None,
        "between members every connection is mutual TLS, and the server's identity is checked",
        "nothing; for TLS to hosts outside the mesh see ExternalService: ports[].tls",
    );
}
