//! What is authorized at Servers: ServerAuthorization, AuthorizationPolicy with its authentications, and routes of Servers. Of each Server comes
//! one AuthorizationPolicy that allows: what nothing authorizes is refused, as there.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::clients::{self, Clients};
use super::of_kind;
use super::servers::{self, Server};
use crate::ledger::{Effect, Node};
use crate::world::selects;
use crate::{Context, out};

pub(super) fn run(context: &mut Context<'_>) {
    let servers = servers::read(context);
    let mut rules: Vec<Vec<Value>> = vec![Vec::new(); servers.len()];
    let mut from: Vec<Vec<String>> =
        servers.iter().map(|server| vec![format!("Server {}/{}", server.namespace, server.name)]).collect();
    for (at, document) in of_kind(context, "ServerAuthorization") {
        let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
            continue;
        };
        let found = meant(&spec, document.namespace(), &servers);
        let is_known = !found.is_empty();
        for index in found {
            let (Some(server), Some(rules), Some(from)) =
                (servers.get(index), rules.get_mut(index), from.get_mut(index))
            else {
                continue;
            };
            rules.extend(
                server_authorization(&spec, server).iter().map(|clients| clients.rule(&ports(server), &[])),
            );
            from.push(document.label());
        }
        if !is_known {
            spec.lost_field(
                "server",
                Effect::Stricter,
                "there is no such Server among the files",
                "give the file of the Server to the command too",
            );
            spec.lost_field("client", Effect::Stricter, "as server", "as server");
        }
    }
    for (at, document) in of_kind(context, "AuthorizationPolicy") {
        let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
            continue;
        };
        authorization_policy(
            context,
            &spec,
            document.namespace(),
            &servers,
            (&mut rules, &mut from),
            &document.label(),
        );
    }
    routes(context, &servers);
    for ((server, mut rules), from) in servers.iter().zip(rules).zip(from) {
        if server.is_open {
            rules.push(Clients::EVERYBODY.rule(&ports(server), &[]));
        }
        put(context, server, &servers, rules, &from);
    }
    authentications(context);
}

fn ports(server: &Server) -> Vec<Value> {
    server.port.map(|port| json!({ "ports": [port] })).into_iter().collect()
}

fn put(context: &mut Context<'_>, server: &Server, all: &[Server], mut rules: Vec<Value>, from: &[String]) {
    let from = from.join(", ");
    let (namespace, name) =
        (&server.namespace, context.out.name("AuthorizationPolicy", &server.namespace, &server.name));
    match server.others(all) {
        Some(others) => rules.push(others),
        None => context.note(
            &from,
            Effect::Stricter,
            format!("AuthorizationPolicy {namespace}/{name} closes every port of its pods: which number the Server's port has is not known"),
        ),
    }
    let mut spec = server.target();
    spec.insert("action".to_owned(), json!("Allow"));
    spec.insert("rules".to_owned(), json!(rules));
    context.out.put("AuthorizationPolicy", namespace, &name, Value::Object(spec), &from);
}

/// The Servers that a ServerAuthorization is about.
fn meant(spec: &Node<'_>, namespace: &str, servers: &[Server]) -> Vec<usize> {
    let Some(reference) = spec.get("server") else { return Vec::new() };
    let label = |server: &Server| out::label("AuthorizationPolicy", &server.namespace, &server.name);
    let mut found = Vec::new();
    for (index, server) in servers.iter().enumerate().filter(|(_, server)| server.namespace == namespace) {
        if let Some(name) = reference.get("name").filter(|name| name.text() == Some(&server.name)) {
            name.to(&label(server), "metadata.name");
            found.push(index);
        }
        if let Some(labels) = reference.at(&["selector", "matchLabels"]) {
            let wanted: BTreeMap<String, String> = labels
                .fields()
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value.text()?.to_owned())))
                .collect();
            if selects(&wanted, &server.labels) {
                labels.whole(&label(server), "metadata.name");
                found.push(index);
            }
        }
    }
    found
}

/// Each way to be let in.
fn server_authorization(spec: &Node<'_>, server: &Server) -> Vec<Clients> {
    let label = out::label("AuthorizationPolicy", &server.namespace, &server.name);
    let Some(client) = spec.get("client") else { return Vec::new() };
    let networks = client.list("networks");
    let networks =
        if networks.is_empty() { Clients::EVERYBODY } else { clients::networks(&networks, &label) };
    let mut ways = Vec::new();
    if let Some(node) = client.get("unauthenticated") {
        node.to(&label, "spec.rules[].from");
        if node.is_true() {
            ways.push(Clients::EVERYBODY);
        }
    }
    if let Some(tls) = client.get("meshTLS") {
        let identities = tls.list("identities");
        if !identities.is_empty() {
            ways.push(clients::identities(&identities, &label));
        }
        let accounts = tls.list("serviceAccounts");
        if !accounts.is_empty() {
            ways.push(clients::accounts(&accounts, &server.namespace, &label));
        }
        tls.lost_field(
            "unauthenticatedTLS",
            Effect::Stricter,
            "TLS without an identity of the mesh is plaintext to it",
            "from[].cidrs, for callers without a sidecar",
        );
    }
    ways.into_iter()
        .filter(|way| way.from.as_ref().is_none_or(|from| !from.is_empty()))
        .filter_map(|way| way.and(networks.clone()))
        .collect()
}

type Collected<'a> = (&'a mut Vec<Vec<Value>>, &'a mut Vec<Vec<String>>);

/// Who is authenticated as required may call the target.
fn authorization_policy(
    context: &mut Context<'_>,
    spec: &Node<'_>,
    namespace: &str,
    servers: &[Server],
    (rules, from): Collected<'_>,
    own: &str,
) {
    let Some(target) = spec.get("targetRef") else { return };
    let (kind, name) =
        (target.text_of("kind").unwrap_or_default(), target.text_of("name").unwrap_or_default());
    let mut found: Vec<(usize, Vec<Value>, Vec<Value>)> = Vec::new();
    for (index, server) in servers.iter().enumerate().filter(|(_, server)| server.namespace == namespace) {
        match kind {
            "Server" if server.name == name => found.push((index, ports(server), Vec::new())),
            "Namespace" => found.push((index, ports(server), Vec::new())),
            "HTTPRoute" | "GRPCRoute" => found.extend(
                calls(context, namespace, (kind, name), server)
                    .into_iter()
                    .map(|(to, when)| (index, to, when)),
            ),
            _ => {}
        }
    }
    let label = servers
        .get(found.first().map_or(usize::MAX, |one| one.0))
        .map(|server| out::label("AuthorizationPolicy", &server.namespace, &server.name));
    let Some(label) = label else {
        target.lost(
            Effect::Stricter,
            "no Server of the files is meant by it",
            "give the file of the Server (and of its route) to the command too",
        );
        spec.lost_field("requiredAuthenticationRefs", Effect::Stricter, "as targetRef", "as targetRef");
        return;
    };
    target.whole(&label, "spec.selector");
    let mut clients = Some(Clients::EVERYBODY);
    for reference in spec.list("requiredAuthenticationRefs") {
        reference.whole(&label, "spec.rules[].from");
        let more = authentication(context, &reference, namespace, &label);
        if more.is_none() {
            context.note(
                own,
                Effect::Stricter,
                format!(
                    "the authentication `{}` is not among the files: nobody is let in by this policy",
                    reference.text_of("name").unwrap_or_default()
                ),
            );
        }
        clients = clients.and_then(|clients| clients.and(more?));
    }
    if let Some(empty) = spec.get("requiredAuthenticationRefs").filter(Node::is_leaf) {
        empty.to(&label, "spec.rules[].from");
    }
    let Some(clients) = clients.filter(|clients| clients.from.as_ref().is_none_or(|from| !from.is_empty()))
    else {
        return;
    };
    for (index, to, when) in found {
        if let (Some(rules), Some(from)) = (rules.get_mut(index), from.get_mut(index)) {
            rules.push(clients.rule(&to, &when));
            if !from.contains(&own.to_owned()) {
                from.push(own.to_owned());
            }
        }
    }
}

/// What a reference to an authentication asks for. `None`: it is not there.
fn authentication(
    context: &Context<'_>,
    reference: &Node<'_>,
    namespace: &str,
    label: &str,
) -> Option<Clients> {
    let of = reference.text_of("namespace").unwrap_or(namespace);
    let name = reference.text_of("name").unwrap_or_default();
    let kind = reference.text_of("kind").unwrap_or_default();
    if kind == "ServiceAccount" {
        return Some(clients::accounts(std::slice::from_ref(reference), of, label));
    }
    let (at, _) =
        of_kind(context, kind).into_iter().find(|(_, one)| one.namespace() == of && one.name() == name)?;
    let spec = context.ledger.root(context.documents, at)?.get("spec")?;
    if kind == "NetworkAuthentication" {
        return Some(clients::networks(&spec.list("networks"), label));
    }
    let mut identities = clients::identities(&spec.list("identities"), label);
    let references = clients::accounts(&spec.list("identityRefs"), of, label);
    if let (Some(from), Some(more)) = (&mut identities.from, references.from) {
        from.extend(more);
    }
    Some(identities)
}

/// Calls that a route of a Server names, one entry for each match.
fn calls(
    context: &Context<'_>,
    namespace: &str,
    route: (&str, &str),
    server: &Server,
) -> Vec<(Vec<Value>, Vec<Value>)> {
    let is_meant = |document: &&crate::Document| {
        document.kind() == route.0 && document.name() == route.1 && document.namespace() == namespace
    };
    let Some(at) = context.documents.iter().position(|document| is_meant(&document)) else {
        return Vec::new();
    };
    let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
        return Vec::new();
    };
    let of_server = spec.list("parentRefs").iter().any(|parent| parent.text_of("name") == Some(&server.name));
    if !of_server {
        return Vec::new();
    }
    let label = out::label("AuthorizationPolicy", &server.namespace, &server.name);
    let mut found = Vec::new();
    for rule in spec.list("rules") {
        let matches = rule.list("matches");
        if matches.is_empty() {
            found.push((ports(server), Vec::new()));
        }
        for one in &matches {
            found.extend(call(one, server, &label));
        }
    }
    found
}

fn call(one: &Node<'_>, server: &Server, label: &str) -> Option<(Vec<Value>, Vec<Value>)> {
    let (mut to, mut when) = (Map::new(), Vec::new());
    if let Some(port) = server.port {
        to.insert("ports".to_owned(), json!([port]));
    }
    for (key, part) in one.fields() {
        match key {
            "method" if part.value().is_string() => {
                to.insert("methods".to_owned(), json!([part.value()]));
            }
            "method" => {
                let service = part.text_of("service")?;
                to.insert(
                    "grpc".to_owned(),
                    json!([format!("{service}/{}", part.text_of("method").unwrap_or("*"))]),
                );
            }
            "path" => {
                let value = part.text_of("value").unwrap_or("/");
                match part.text_of("type") {
                    Some("Exact") => to.insert("paths".to_owned(), json!([value])),
                    Some("RegularExpression") if !value.contains('\'') => {
                        when.push(json!({ "cel": format!("request.path.matches(r'^(?:{value})$')") }));
                        None
                    }
                    None | Some("PathPrefix") => {
                        to.insert("paths".to_owned(), json!([format!("{}/*", value.trim_end_matches('/'))]))
                    }
                    Some(_) => {
                        part.lost(
                            Effect::Stricter,
                            "this path cannot be written; calls by it are refused",
                            "to[].paths",
                        );
                        return None;
                    }
                };
            }
            "headers" => {
                for header in part.items() {
                    let (name, value) =
                        (header.text_of("name")?.to_ascii_lowercase(), header.text_of("value")?);
                    if header.text_of("type") == Some("RegularExpression") {
                        header.lost(
                            Effect::Stricter,
                            "this header cannot be written; calls by it are refused",
                            "when[].cel",
                        );
                        return None;
                    }
                    when.push(json!({ "header": { "name": name, "values": [value] } }));
                }
            }
            _ => {
                part.lost(
                    Effect::Stricter,
                    "cannot be a condition of who may call; calls by it are refused",
                    "when[].cel",
                );
                return None;
            }
        }
        part.whole(label, "spec.rules[].to");
    }
    Some((if to.is_empty() { Vec::new() } else { vec![Value::Object(to)] }, when))
}

/// What routes of Servers say besides: nothing, where no policy is about them.
fn routes(context: &mut Context<'_>, servers: &[Server]) {
    for (at, document) in context.documents.iter().enumerate().filter(|(_, one)| servers::is_of_server(one)) {
        let Some(spec) = context.ledger.root(context.documents, at).and_then(|root| root.get("spec")) else {
            continue;
        };
        let known = servers.iter().any(|server| server.namespace == document.namespace());
        for (key, part) in spec.fields() {
            match key {
                "parentRefs" if known => {
                    part.inert("the Server's AuthorizationPolicy has what its routes name");
                }
                "rules" => {
                    let fields = part.items().into_iter().flat_map(|rule| rule.fields());
                    fields.for_each(|(key, part)| rest_of_rule(key, &part, known));
                }
                _ => part.lost(
                    Effect::Edge,
                    "hosts are not asked for",
                    "to[].hosts of the AuthorizationPolicy",
                ),
            }
        }
        if !known {
            context.note(
                &document.label(),
                Effect::Stricter,
                "the Server of this route is not among the files: give its file to the command too",
            );
        }
    }
}

fn rest_of_rule(key: &str, part: &Node<'_>, known: bool) {
    if key != "matches" {
        part.lost(
            Effect::Behaviour,
            "a route of a Server says who may call, and changes no requests here",
            "HTTPRoute with the Service as parent",
        );
    } else if known {
        part.inert("a route of a Server that no policy names lets nobody in, as there; else its AuthorizationPolicy has it");
    }
}

/// Authentications that nothing asks for.
fn authentications(context: &Context<'_>) {
    for kind in ["MeshTLSAuthentication", "NetworkAuthentication"] {
        for (at, _) in of_kind(context, kind) {
            if context.ledger.first_object(at).is_none()
                && let Some(spec) =
                    context.ledger.root(context.documents, at).and_then(|root| root.get("spec"))
            {
                spec.lost(Effect::None, "no AuthorizationPolicy of the files asks for it", "nothing");
            }
        }
    }
}
