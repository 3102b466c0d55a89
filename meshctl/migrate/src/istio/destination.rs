//! DestinationRules: a Service for each subset, and a TrafficPolicy for the Service, its ports and its subsets. It must not know settings.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Parts, export_to, policy, service_of, target};
use crate::Context;
use crate::ledger::{Effect, Node};
use crate::out::named;

/// Makes the Services of subsets, which routes need.
pub(super) fn subsets(context: &mut Context<'_>, at: usize, parts: &mut Parts) {
    let Some(document) = context.documents.get(at) else { return };
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
        return;
    };
    let Some(service) = service_of(context, parts, spec.text_of("host").unwrap_or_default(), &namespace)
    else {
        return;
    };
    for subset in spec.list("subsets") {
        let Some(name) = subset.get("name") else { continue };
        let labels = subset.get("labels");
        let Some(known) = context.world.service(&service.0, &service.1).cloned() else {
            let why = format!(
                "Service {}/{} is not among the files, and its selector and ports are needed",
                service.0, service.1
            );
            let what = "give its file to the command too; without it requests for the subset get 500";
            name.lost(Effect::Behaviour, &*why, what);
            subset.lost_field("labels", Effect::Behaviour, &why, what);
            continue;
        };
        let key = (service.0.clone(), service.1.clone(), name.text().unwrap_or_default().to_owned());
        if parts.subsets.contains_key(&key) {
            subset.lost(
                Effect::Behaviour,
                "another DestinationRule of the files has a subset of this name",
                "rename one of them",
            );
            continue;
        }
        let (made, label) = named(context, "Service", &service.0, &format!("{}-{}", service.1, key.2));
        name.to(&label, "metadata.name");
        let mut selector = known.selector.clone();
        for (key, value) in labels.map(|labels| labels.fields()).unwrap_or_default() {
            value.to(&label, format!("spec.selector[{key}]"));
            selector.insert(key.to_owned(), value.text().unwrap_or_default().to_owned());
        }
        let ports: Vec<&Value> = known.ports.iter().map(|port| &port.value).collect();
        context.out.put("Service", &service.0, &made, json!({ "selector": selector, "ports": ports }), &from);
        parts.subsets.insert(key, made);
    }
}

pub(super) fn run(context: &mut Context<'_>, at: usize, parts: &Parts) {
    let Some(document) = context.documents.get(at) else { return };
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
        return;
    };
    export_to(&spec);
    spec.lost_field(
        "workloadSelector",
        Effect::Behaviour,
        "a policy holds for all callers of the Service",
        "nothing does it",
    );
    let Some(host) = spec.get("host") else { return };
    let Some(service) = service_of(context, parts, host.text().unwrap_or_default(), &namespace) else {
        if parts.foreign.iter().any(|foreign| Some(foreign.as_str()) == host.text()) {
            host.inert("the ExternalService has what of it has a counterpart");
        } else {
            host.lost(
                Effect::Behaviour,
                "policies are attached to Services, and this host is none",
                "write the settings at the Services that are meant",
            );
        }
        return;
    };
    let general = spec.get("trafficPolicy");
    if put(context, &service.0, (&service.1, None), general.as_ref(), &Map::new(), &from) {
        host.to(&format!("TrafficPolicy {}/{}", service.0, service.1), "spec.targetRefs[0].name");
    } else {
        host.inert("says of which Service the ports and subsets are");
    }
    if let Some(general) = &general {
        ports(context, general, &service.0, &service.1, &from);
    }
    let shared = general
        .as_ref()
        .map(|general| policy::settings(general, &format!("TrafficPolicy {}/{}", service.0, service.1)))
        .unwrap_or_default();
    for subset in spec.list("subsets") {
        let key =
            (service.0.clone(), service.1.clone(), subset.text_of("name").unwrap_or_default().to_owned());
        let own = subset.get("trafficPolicy");
        match parts.subsets.get(&key) {
            Some(made) => {
                put(context, &service.0, (made, None), own.as_ref(), &shared, &from);
                if let Some(own) = &own {
                    ports(context, own, &service.0, made, &from);
                }
            }
            None => {
                if let Some(own) = own {
                    own.lost(Effect::Behaviour, "as the subset's name", "as the subset's name");
                }
            }
        }
    }
}

/// The policy of a Service: the rule's general settings, and over them those of its own. Whether there is one.
fn put(
    context: &mut Context<'_>,
    namespace: &str,
    (service, port): (&str, Option<u16>),
    own: Option<&Node<'_>>,
    shared: &Map<String, Value>,
    from: &str,
) -> bool {
    let wanted = port.map_or_else(|| service.to_owned(), |port| format!("{service}-{port}"));
    let label = crate::out::label("TrafficPolicy", namespace, &wanted);
    let mut settings: BTreeMap<String, Value> = shared.clone().into_iter().collect();
    if let Some(own) = own {
        settings.extend(policy::settings(own, &label));
    }
    if settings.is_empty() {
        return false;
    }
    let (name, _) = named(context, "TrafficPolicy", namespace, &wanted);
    let mut spec: Map<String, Value> = settings.into_iter().collect();
    spec.insert("targetRefs".to_owned(), json!([target(service, port)]));
    context.out.put("TrafficPolicy", namespace, &name, Value::Object(spec), from);
    true
}

fn ports(context: &mut Context<'_>, node: &Node<'_>, namespace: &str, service: &str, from: &str) {
    for one in node.list("portLevelSettings") {
        let Some(number) = one.at(&["port", "number"]) else { continue };
        let Some(port) = number.port() else { continue };
        number.to(
            &crate::out::label("TrafficPolicy", namespace, &format!("{service}-{port}")),
            "spec.targetRefs[0].port",
        );
        put(context, namespace, (service, Some(port)), Some(&one), &Map::new(), from);
        let wider = ["loadBalancer", "connectionPool", "outlierDetection"];
        if wider.iter().any(|key| node.get(key).is_some() && one.get(key).is_none()) {
            context.note(
                from,
                Effect::Edge,
                format!("port {port}: what its own settings leave out is Istio's default there, and here what is said for the whole Service"),
            );
        }
    }
}
