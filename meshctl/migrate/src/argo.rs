//! Argo Rollouts: the traffic parts of a Rollout, and the release itself. The pods stay a Rollout's, or become a Deployment's.
//!
//! Source: Argo Rollouts' specification of the Rollout, `argoproj.io/v1alpha1`, and its pages on traffic management.

use serde_json::json;

use crate::ledger::{Effect, Node};
use crate::routes::{backend, parent};
use crate::{Context, Document, out, world};

pub(crate) fn run(context: &mut Context<'_>) {
    for (at, document) in context.documents.iter().enumerate().filter(|(_, one)| one.group() == "argoproj.io")
    {
        let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
            continue;
        };
        match document.kind() {
            "Rollout" => rollout(context, &spec, document),
            "AnalysisTemplate" | "ClusterAnalysisTemplate" | "Experiment" | "AnalysisRun" => spec.lost(
                Effect::Behaviour,
                "a release is judged by the mesh's own figures: success, latency, failure codes",
                "Canary: analysis",
            ),
            _ => spec.lost(Effect::None, "is no object about traffic", "nothing"),
        }
    }
}

fn rollout(context: &mut Context<'_>, spec: &Node<'_>, document: &Document) {
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    for (key, part) in spec.fields() {
        if key != "strategy" {
            part.inert(
                "pods and replicas stay as they are: the Rollout goes on, or a Deployment takes its template",
            );
        }
    }
    if let Some(blue_green) = spec.at(&["strategy", "blueGreen"]) {
        if let (Some(active), Some(preview)) =
            (blue_green.get("activeService"), blue_green.get("previewService"))
        {
            route(context, &blue_green, &namespace, document.name(), (&active, &preview), &from);
        }
        crate::release::blue_green(context, &blue_green, &namespace, document.name(), &from);
    }
    let Some(canary) = spec.at(&["strategy", "canary"]) else { return };
    let (stable, tried) = (canary.get("stableService"), canary.get("canaryService"));
    if let (Some(stable), Some(tried)) = (&stable, &tried) {
        route(context, &canary, &namespace, document.name(), (stable, tried), &from);
    }
    let services = [&stable, &tried].map(|node| node.as_ref().and_then(Node::text).map(str::to_owned));
    if stable.is_none() || tried.is_none() {
        for (path, key) in
            [(["trafficRouting", "istio"], "virtualService"), (["trafficRouting", "smi"], "rootService")]
        {
            if let Some(node) = canary.at(&path) {
                node.lost_field(
                    key,
                    Effect::Behaviour,
                    "without a stableService and a canaryService there is nothing to share requests out to",
                    "give the Rollout both",
                );
            }
        }
    }
    rest(&canary);
    crate::release::rollout(context, &canary, &namespace, document.name(), services, &from);
}

/// The Service that is called: SMI's root, the host of Istio's route, else the stable one.
fn root(context: &Context<'_>, canary: &Node<'_>, namespace: &str, stable: &str, label: &str) -> String {
    let routing = canary.get("trafficRouting");
    let field = "spec.parentRefs[0].name";
    if let Some(node) = routing.as_ref().and_then(|node| node.at(&["smi", "rootService"])) {
        node.to(label, field);
        return node.text().unwrap_or(stable).to_owned();
    }
    let named = routing.as_ref().and_then(|node| node.at(&["istio", "virtualService", "name"]));
    if let Some(node) = named {
        let is_meant = |one: &&Document| {
            one.kind() == "VirtualService" && one.namespace() == namespace && Some(one.name()) == node.text()
        };
        let found = context.documents.iter().find(is_meant);
        let host = found.and_then(|one| one.value.pointer("/spec/hosts/0")).and_then(|host| host.as_str());
        if let Some((_, name)) = host.and_then(|host| world::host(host, namespace)) {
            node.to(label, field);
            return name;
        }
        node.changed(label, field, Effect::Edge, "the VirtualService is not among the files: the stable Service is taken to be the one that is called");
    }
    stable.to_owned()
}

fn route(
    context: &mut Context<'_>,
    canary: &Node<'_>,
    namespace: &str,
    name: &str,
    (stable, tried): (&Node<'_>, &Node<'_>),
    from: &str,
) {
    let (route, label) = out::named(context, "HTTPRoute", namespace, name);
    let texts = [stable.text().unwrap_or_default(), tried.text().unwrap_or_default()];
    let root = root(context, canary, namespace, texts[0], &label);
    let mut backends = Vec::new();
    for (at, ((node, service), weight)) in [stable, tried].into_iter().zip(texts).zip([100, 0]).enumerate() {
        node.to(&label, format!("spec.rules[0].backendRefs[{at}].name"));
        let known = context
            .world
            .service(namespace, service)
            .and_then(|service| service.ports.first())
            .map(|port| port.port);
        if known.is_none() {
            context.note(
                from,
                Effect::Edge,
                format!("Service {namespace}/{service} is not among the files: its port is taken to be 80"),
            );
        }
        let port = known.unwrap_or(80);
        backends.push(backend(namespace, namespace, service, Some(port), Some(weight)));
    }
    let spec = json!({ "parentRefs": [parent(namespace, namespace, &root, None)], "rules": [{ "name": "main", "backendRefs": backends }] });
    context.out.put("HTTPRoute", namespace, &route, spec, from);
}

fn rest(canary: &Node<'_>) {
    for (key, part) in canary.get("trafficRouting").map(|routing| routing.fields()).unwrap_or_default() {
        match key {
            "smi" => part.inert_field("trafficSplitName", "a name of Argo's own object"),
            "istio" => {
                if let Some(service) = part.get("virtualService") {
                    service.inert_field("routes", "the HTTPRoute has one rule; what else the VirtualService says `meshctl migrate istio` carries over");
                }
                part.lost_field(
                    "virtualServices",
                    Effect::Behaviour,
                    "one route is made for a Rollout",
                    "an HTTPRoute for each Service that is called",
                );
                part.lost_field(
                    "destinationRule",
                    Effect::Behaviour,
                    "versions are told apart by Services, not by labels that a controller writes",
                    "give the Rollout a stableService and a canaryService of their own",
                );
            }
            "plugins" => part
                .inert("a route of the Gateway API is one of this mesh as it is, if a Service is its parent"),
            "managedRoutes" => part.lost(
                Effect::Behaviour,
                "rules for single requests are written into the HTTPRoute",
                "HTTPRoute: rules[].matches",
            ),
            "maxTrafficWeight" => part.lost(Effect::None, "weights are shares of their sum", "nothing"),
            "appMesh" => part.lost(
                Effect::Behaviour,
                "App Mesh's objects are turned over by `meshctl migrate app-mesh`",
                "meshctl migrate app-mesh",
            ),
            _ => part.lost(
                Effect::Behaviour,
                "the mesh changes nothing outside of it",
                "put the Service behind the Ingress into the mesh: its calls take the HTTPRoute",
            ),
        }
    }
    for key in [
        "maxSurge",
        "maxUnavailable",
        "minReadySeconds",
        "antiAffinity",
        "dynamicStableScale",
        "canaryMetadata",
        "stableMetadata",
        "minPodsPerReplicaSet",
        "scaleDownDelaySeconds",
        "scaleDownDelayRevisionLimit",
        "abortScaleDownDelaySeconds",
        "pingPong",
        "analysisRunMetadata",
    ] {
        canary.inert_field(key, "about pods and their number, not about traffic");
    }
}
