//! Flagger's Canary: the Services and the route that it keeps, and the release itself. Flagger writes rules as Istio does.
//!
//! Source: Flagger's reference of its custom resource, `flagger.app/v1beta1`, and its page on how it works.

use serde_json::{Map, Value, json};

use crate::ledger::{Effect, Node};
use crate::matches::Match;
use crate::routes::{Kind, Route, Rule, backend, parent};
use crate::{Context, istio, out};

pub(crate) fn run(context: &mut Context<'_>) {
    for (at, document) in context.documents.iter().enumerate().filter(|(_, one)| one.group() == "flagger.app")
    {
        let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
            continue;
        };
        match document.kind() {
            "Canary" => canary(context, &spec, document),
            "MetricTemplate" => spec.lost(
                Effect::Behaviour,
                "a release is judged by the mesh's own figures: success, latency, failure codes",
                "Canary: analysis",
            ),
            "AlertProvider" => spec.lost(
                Effect::None,
                "the mesh sends no messages",
                "an alert of Prometheus on the Canary's state",
            ),
            _ => {}
        }
    }
}

fn canary(context: &mut Context<'_>, spec: &Node<'_>, document: &crate::Document) {
    let (namespace, from) = (document.namespace(), document.label());
    let target =
        spec.at(&["targetRef", "name"]).and_then(|node| node.text()).unwrap_or_else(|| document.name());
    let Some(service) = spec.get("service") else { return };
    let name = service.text_of("name").unwrap_or(target);
    let services = services(context, spec, &service, (namespace, target, name), &from);
    let port = service.get("port").and_then(|port| port.port()).unwrap_or(80);
    route(context, &service, (namespace, name), port, &from);
    rest(spec, &service);
    crate::release::flagger(context, spec, namespace, document.name(), &services, &from);
}

/// The Services that Flagger makes: of the name, of what serves, of what is tried.
fn services(
    context: &mut Context<'_>,
    spec: &Node<'_>,
    service: &Node<'_>,
    (namespace, target, name): (&str, &str, &str),
    from: &str,
) -> [String; 2] {
    let key = selector_key(context, namespace, target);
    let label = out::label("Service", namespace, name);
    let mut port = json!({ "name": "http", "port": 80 });
    for (key, to) in
        [("port", "port"), ("targetPort", "targetPort"), ("portName", "name"), ("appProtocol", "appProtocol")]
    {
        if let Some(node) = service.get(key) {
            node.to(&label, format!("spec.ports[0].{to}"));
            port[to] = node.value().clone();
        }
    }
    if let Some(node) = service.get("name") {
        node.to(&label, "metadata.name");
    }
    for (at, kind) in ["name", "kind", "apiVersion"].into_iter().enumerate() {
        if let Some(node) = spec.at(&["targetRef", kind]) {
            if at == 0 {
                node.to(&label, format!("spec.selector[{key}]"));
            } else {
                node.inert("Services select pods, whatever made them");
            }
        }
    }
    let selected = [
        (name.to_owned(), format!("{target}-primary")),
        (format!("{name}-primary"), format!("{target}-primary")),
        (format!("{name}-canary"), target.to_owned()),
    ];
    for (service, value) in &selected {
        let selector = Map::from_iter([(key.clone(), json!(value))]);
        context.out.put(
            "Service",
            namespace,
            service,
            json!({ "selector": selector, "ports": [port] }),
            from,
        );
    }
    context.note(
        from,
        Effect::Edge,
        format!("Deployment {target}-primary was made by Flagger and is removed with its Canary: keep it (kubectl get deployment {target}-primary -o yaml, without ownerReferences) before you remove Flagger's object"),
    );
    [format!("{name}-primary"), format!("{name}-canary")]
}

/// The label by which pods are told apart: that of the Deployment's own selector, else `app`.
fn selector_key(context: &Context<'_>, namespace: &str, target: &str) -> String {
    let is_meant = |one: &&crate::Document| {
        one.kind() == "Deployment" && one.namespace() == namespace && one.name() == target
    };
    let labels = context
        .documents
        .iter()
        .find(is_meant)
        .and_then(|one| one.value.pointer("/spec/selector/matchLabels"));
    let known = ["app", "name", "app.kubernetes.io/name"];
    let found = known.iter().find(|key| labels.and_then(|labels| labels.get(**key)).is_some());
    (*found.unwrap_or(&"app")).to_owned()
}

/// Everything goes to what serves, by the weights that a Canary moves.
fn route(
    context: &mut Context<'_>,
    service: &Node<'_>,
    (namespace, name): (&str, &str),
    port: u16,
    from: &str,
) {
    let (route_name, label) = out::named(context, "HTTPRoute", namespace, name);
    let route = Route {
        kind: Kind::Http,
        namespace: namespace.to_owned(),
        name: route_name,
        parents: vec![parent(namespace, namespace, name, None)],
        hostnames: vec![],
        rules: vec![],
    };
    let mut rule = Rule { name: "main".to_owned(), ..Rule::default() };
    istio::fill(context, service, &mut rule, &route, from);
    let to = |suffix: &str, weight: i64| {
        backend(namespace, namespace, &format!("{name}-{suffix}"), Some(port), Some(weight))
    };
    rule.backends = vec![to("primary", 100), to("canary", 0)];
    let mut rules = vec![];
    istio::split(rule, &mut rules);
    if !rules.iter().any(|rule| rule.matches.contains(&Match::default())) {
        context.note(
            from,
            Effect::None,
            format!("{label}: requests that no match fits get 404, as with Flagger's route"),
        );
    }
    Route { rules, ..route }.put(context, from);
    if let Some(policy) = service.get("trafficPolicy") {
        for suffix in ["primary", "canary"] {
            let service = format!("{name}-{suffix}");
            let (policy_name, label) = out::named(context, "TrafficPolicy", namespace, &service);
            let mut spec = istio::settings(&policy, &label);
            if !spec.is_empty() {
                spec.insert("targetRefs".to_owned(), json!([istio::target(&service, None)]));
                context.out.put("TrafficPolicy", namespace, &policy_name, Value::Object(spec), from);
            }
        }
    }
}

fn rest(spec: &Node<'_>, service: &Node<'_>) {
    for (key, part) in service.fields() {
        match key {
            "gateways" | "hosts" | "gatewayRefs" => {
                let outside = part.items().iter().any(|one| one.text().is_none_or(|text| text != "mesh"));
                if key == "gateways" && !outside {
                    part.inert("routes of Services hold in the mesh");
                } else {
                    part.lost(Effect::Behaviour, "the mesh has no gateway of its own", "HTTPRoute with a Gateway of another controller as parent, and this Service as backend");
                }
            }
            "portDiscovery" => part.lost(
                Effect::Behaviour,
                "the Service has the ports that it names",
                "write the other ports into the Services",
            ),
            "apex" | "primary" | "canary" => part.lost(
                Effect::None,
                "labels and annotations of Services say nothing about requests",
                "write them into the Services",
            ),
            "delegation" => part.lost(
                Effect::Behaviour,
                "a route has no other one in it",
                "the HTTPRoute of this Service is enough",
            ),
            "backends" | "meshName" => part.lost(Effect::None, "is for App Mesh", "nothing"),
            _ => {}
        }
    }
    spec.lost_field("provider", Effect::None, "there is one mesh", "nothing");
    spec.lost_field(
        "autoscalerRef",
        Effect::Behaviour,
        "autoscalers are not moved from one Deployment to the other",
        "give each Deployment an autoscaler of its own",
    );
    spec.lost_field(
        "ingressRef",
        Effect::Behaviour,
        "the mesh changes no Ingress",
        "HTTPRoute with a Gateway of another controller as parent",
    );
    spec.lost_field("routeRef", Effect::Behaviour, "the mesh changes no APISIX route", "HTTPRoute");
    spec.lost_field("upstreamRef", Effect::Behaviour, "is for Gloo", "TrafficPolicy of the Service");
    spec.lost_field(
        "progressDeadlineSeconds",
        Effect::None,
        "a Deployment's own progress is its own",
        "Deployment: progressDeadlineSeconds",
    );
    spec.lost_field(
        "revertOnDeletion",
        Effect::None,
        "routes and Services stay as they are written",
        "nothing",
    );
    spec.lost_field("suspend", Effect::None, "a release begins when a Canary names a new version", "nothing");
}
