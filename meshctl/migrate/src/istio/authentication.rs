//! PeerAuthentication and RequestAuthentication as AuthenticationPolicies. Never laxer: what cannot be carried over refuses more.

use serde_json::{Map, Value, json};

use super::ROOT_NAMESPACE;
use crate::Context;
use crate::ledger::{Effect, Node};
use crate::out::named;

/// What stands where Istio takes a token for whomever it was made: no token has it.
const NO_AUDIENCE: &str = "audience-to-be-named.invalid";

fn mode(node: &Node<'_>, object: &str, field: &str) -> Option<&'static str> {
    match node.text() {
        Some("STRICT") => {
            node.to(object, field);
            Some("Strict")
        }
        Some("PERMISSIVE") => {
            node.to(object, field);
            Some("Permissive")
        }
        Some("DISABLE") => {
            node.changed(
                object,
                field,
                Effect::None,
                "plaintext is taken as before; members of the mesh come with mutual TLS nevertheless",
            );
            Some("Permissive")
        }
        Some("UNSET") => {
            node.inert("as the next wider object says, as here");
            None
        }
        _ => {
            node.lost(Effect::Stricter, "is no mode; Strict is written", "mtls.mode");
            Some("Strict")
        }
    }
}

pub(super) fn peers(context: &mut Context<'_>, at: usize) {
    let Some(document) = context.documents.get(at) else { return };
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
        return;
    };
    let whole_mesh = namespace == ROOT_NAMESPACE && spec.get("selector").is_none();
    if whole_mesh {
        let label = "MeshConfig default";
        if let Some(found) = spec.at(&["mtls", "mode"]).and_then(|node| mode(&node, label, "spec.mtls.mode"))
        {
            context.out.put("MeshConfig", "", "default", json!({ "mtls": { "mode": found } }), &from);
        }
        spec.lost_field(
            "portLevelMtls",
            Effect::Stricter,
            "ports are those of workloads that a selector names",
            "AuthenticationPolicy with a selector",
        );
        return;
    }
    let (name, label) = named(context, "AuthenticationPolicy", &namespace, document.name());
    let mut json = Map::new();
    selector(&spec, &label, &mut json);
    let mut mtls = Map::new();
    if let Some(found) = spec.at(&["mtls", "mode"]).and_then(|node| mode(&node, &label, "spec.mtls.mode")) {
        mtls.insert("mode".to_owned(), json!(found));
    }
    if let Some(ports) = spec.get("portLevelMtls") {
        let mut list = Vec::new();
        for (port, setting) in ports.fields() {
            let found = setting.get("mode").and_then(|node| mode(&node, &label, "spec.mtls.ports[].mode"));
            if let (Some(found), Ok(port)) = (found, port.parse::<u16>()) {
                list.push(json!({ "port": port, "mode": found }));
            }
        }
        if json.contains_key("selector") && !list.is_empty() {
            mtls.insert("ports".to_owned(), json!(list));
        }
    }
    if spec.is_leaf() {
        spec.inert("says nothing: as the next wider object says");
    }
    if let Some(empty) = spec.get("mtls").filter(Node::is_leaf) {
        empty.inert("as the next wider object says, as here");
    }
    if !mtls.is_empty() {
        json.insert("mtls".to_owned(), Value::Object(mtls));
        context.out.put("AuthenticationPolicy", &namespace, &name, Value::Object(json), &from);
    }
}

/// Which workloads are meant.
pub(super) fn selector(spec: &Node<'_>, label: &str, json: &mut Map<String, Value>) {
    if let Some(labels) = spec.at(&["selector", "matchLabels"]) {
        labels.whole(label, "spec.selector.matchLabels");
        if !labels.is_leaf() {
            json.insert("selector".to_owned(), json!({ "matchLabels": labels.value() }));
        }
    }
    if let Some(empty) = spec.get("selector").filter(Node::is_leaf) {
        empty.inert("selects the whole namespace, as no selector does");
    }
}

pub(super) fn tokens(context: &mut Context<'_>, at: usize) {
    let Some(document) = context.documents.get(at) else { return };
    let (namespace, from) = (document.namespace().to_owned(), document.label());
    let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
        return;
    };
    let (name, label) = named(context, "AuthenticationPolicy", &namespace, document.name());
    let mut json = Map::new();
    selector(&spec, &label, &mut json);
    spec.lost_field(
        "targetRef",
        Effect::Weaker,
        "a Gateway judges tokens itself, or the workload does",
        "leave it out to judge at the workloads of the namespace",
    );
    spec.lost_field(
        "targetRefs",
        Effect::Weaker,
        "a Gateway judges tokens itself, or the workload does",
        "leave it out to judge at the workloads of the namespace",
    );
    if spec.get("targetRef").is_some() || spec.get("targetRefs").is_some() {
        spec.lost_field("jwtRules", Effect::Weaker, "as targetRefs", "as targetRefs");
        return;
    }
    let mut issuers = Vec::new();
    for rule in spec.list("jwtRules") {
        issuers.extend(issuer(&rule, &label));
    }
    if issuers.is_empty() {
        return;
    }
    if namespace == ROOT_NAMESPACE {
        context.note(&from, Effect::Weaker, format!("it holds for the whole mesh there, and here for namespace {namespace}: write one into every namespace"));
    }
    // Who has no token passes, as there; AuthorizationPolicies ask for one.
    json.insert("jwt".to_owned(), json!({ "required": false, "issuers": issuers }));
    context.out.put("AuthenticationPolicy", &namespace, &name, Value::Object(json), &from);
}

fn issuer(rule: &Node<'_>, label: &str) -> Option<Value> {
    let at = "spec.jwt.issuers[]";
    let mut json = Map::new();
    let mut places = Vec::new();
    for (key, part) in rule.fields() {
        match key {
            "issuer" => {
                part.to(label, format!("{at}.issuer"));
                json.insert(key.to_owned(), part.value().clone());
            }
            "audiences" => {
                part.whole(label, &format!("{at}.audiences"));
                json.insert(key.to_owned(), part.value().clone());
            }
            "jwksUri" | "jwks_uri" => {
                part.to(label, format!("{at}.jwksUri"));
                json.insert("jwksUri".to_owned(), part.value().clone());
            }
            "jwks" => {
                part.to(label, format!("{at}.jwks"));
                json.insert(key.to_owned(), part.value().clone());
            }
            "forwardOriginalToken" => {
                part.to(label, format!("{at}.forward"));
                json.insert("forward".to_owned(), json!(part.is_true()));
            }
            "fromHeaders" => {
                for header in part.items() {
                    header.whole(label, &format!("{at}.from[].header"));
                    let name = header.text_of("name").unwrap_or_default().to_ascii_lowercase();
                    places.push(json!({ "header": { "name": name, "prefix": header.text_of("prefix").unwrap_or_default() } }));
                }
            }
            "fromParams" | "fromCookies" => {
                let place = if key == "fromParams" { "query" } else { "cookie" };
                part.whole(label, &format!("{at}.from[].{place}"));
                places.extend(part.items().iter().map(|one| json!({ place: one.value() })));
            }
            "outputClaimToHeaders" => {
                let mut list = Vec::new();
                for one in part.items() {
                    one.whole(label, &format!("{at}.claimToHeaders[]"));
                    let claim = one.text_of("claim").unwrap_or_default();
                    let claim = if claim.contains('.') {
                        format!("/{}", claim.replace('.', "/"))
                    } else {
                        claim.to_owned()
                    };
                    list.push(json!({ "claim": claim, "header": one.text_of("header") }));
                }
                json.insert("claimToHeaders".to_owned(), json!(list));
            }
            "outputPayloadToHeader" => {
                part.lost(
                    Effect::Behaviour,
                    "single claims are given to the application, not the whole token's payload",
                    "claimToHeaders, or forward: true",
                );
            }
            "timeout" => part.lost(Effect::None, "keys are fetched by the controller, in advance", "nothing"),
            _ => {}
        }
    }
    if !places.is_empty() {
        json.insert("from".to_owned(), json!(places));
    }
    complete(rule, label, &mut json)?;
    Some(Value::Object(json))
}

/// What Istio finds out by itself or does not ask for.
fn complete(rule: &Node<'_>, label: &str, json: &mut Map<String, Value>) -> Option<()> {
    let at = "spec.jwt.issuers[]";
    let issuer = json.get("issuer").and_then(Value::as_str)?.to_owned();
    if !json.contains_key("jwks") && !json.contains_key("jwksUri") {
        // Istio asks the issuer where its keys are.
        let uri = format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/'));
        if let Some(node) = rule.get("issuer") {
            node.changed(label, format!("{at}.jwksUri"), Effect::Stricter, "where its keys are has to be written: the usual place is, and no token is good if it is another");
        }
        json.insert("jwksUri".to_owned(), json!(uri));
    }
    if !json.contains_key("audiences") {
        if let Some(node) = rule.get("issuer") {
            node.changed(
                label,
                format!("{at}.audiences"),
                Effect::Stricter,
                format!("a token for anybody is good for nobody here: `{NO_AUDIENCE}` stands where the names of your services belong, and until then no token of this issuer is good"),
            );
        }
        json.insert("audiences".to_owned(), json!([NO_AUDIENCE]));
    }
    Some(())
}
