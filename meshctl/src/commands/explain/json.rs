//! An answer as JSON, stable for scripts. Pure.

use mesh_controller::status::Verdict;
use mesh_model::endpoint::{EndpointState, Transport};
use mesh_model::head::HeadView as _;
use mesh_model::route::BackendTarget;
use serde_json::{Value, json};

use super::answer::{Answer, Concerned, Destination, Outcome, Routing, Target};
use super::settings::{self, Row};
use super::sources::{Source, Sources};
use super::words;

/// The whole answer. Fields are added, never changed.
pub(crate) fn json(answer: &Answer<'_>) -> Value {
    let sources = Sources::new(answer);
    let question = answer.question;
    let headers = question.headers.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    json!({
        "request": {
            "method": question.method,
            "authority": question.authority(),
            "path": question.path,
            "query": question.query,
            "headers": headers.collect::<Vec<_>>(),
        },
        "caller": {
            "namespace": answer.caller.namespace,
            "workload": answer.caller.workload,
            "zone": answer.caller.zone,
        },
        "result": result(answer),
        "destination": destination(&answer.destination),
        "route": answer.routing.as_ref().map(|routing| route(routing, &sources)),
        "backends": answer.routing.iter().flat_map(|routing| {
            routing.backends.iter().map(|target| backend(target, routing, &sources))
        }).collect::<Vec<_>>(),
        "settings": answer.routing.as_ref().map(|routing| rows(&settings::of_request(&routing.policy), &sources)),
        "objects": answer.concerned.iter().map(object).collect::<Vec<_>>(),
        "problems": answer.objects.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "fine": answer.is_fine(),
    })
}

fn result(answer: &Answer<'_>) -> Value {
    match &answer.outcome {
        Outcome::Sent { target, authority } => {
            json!({ "kind": "sent", "target": target, "authority": authority })
        }
        Outcome::Foreign => json!({ "kind": "leaves_the_mesh" }),
        Outcome::Bytes => json!({ "kind": "bytes" }),
        Outcome::Redirect(to) => json!({ "kind": "redirect", "status": to.status, "location": to.location }),
        Outcome::Direct(status) => json!({ "kind": "direct_response", "status": status }),
        Outcome::Failed { failure, why } => json!({
            "kind": "failure",
            "code": failure.code(),
            "status": failure.http_status(),
            "grpc_status": failure.grpc_status(),
            "why": why,
        }),
    }
}

fn destination(destination: &Destination) -> Value {
    match destination {
        Destination::Service { name, port } => json!({
            "service": name.to_string(),
            "port": port.port,
            "port_name": port.name,
            "protocol": port.protocol.map(words::protocol),
        }),
        Destination::NoPort { name, ports } => {
            json!({ "service": name.to_string(), "port": null, "ports": ports })
        }
        Destination::Foreign { elsewhere } => json!({
            "service": null,
            "elsewhere": elsewhere.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
    }
}

fn route(routing: &Routing, sources: &Sources<'_>) -> Value {
    let considered = routing.considered.iter().map(|one| {
        json!({
            "rule": &*one.label,
            "match": words::matching(&one.matched),
            "taken": one.taken,
            "why": one.why,
            "source": source(&sources.field(&one.label, &one.field)),
        })
    });
    let ignored = routing
        .ignored
        .iter()
        .map(|(route, why)| json!({ "route": route.id.to_string(), "why": why, "at": route.origin }));
    let filters = routing.taken.iter().flat_map(|taken| {
        taken.rule.filters.iter().enumerate().map(move |(at, filter)| {
            json!({ "filter": words::filter(filter), "field": format!("spec.rules[{}].filters[{at}]", taken.rule_index) })
        })
    });
    json!({
        "rule": routing.taken.as_ref().map(|taken| taken.label.to_string()),
        "considered": considered.collect::<Vec<_>>(),
        "ignored": ignored.collect::<Vec<_>>(),
        "filters": filters.collect::<Vec<_>>(),
    })
}

fn backend(target: &Target, routing: &Routing, sources: &Sources<'_>) -> Value {
    let invalid = match &target.backend.target {
        BackendTarget::Invalid { reason, .. } => Some(reason),
        BackendTarget::Service { .. } => None,
    };
    let label = routing.taken.as_ref().map(|taken| &*taken.label);
    let field = target.field.as_deref();
    let endpoints = target.endpoints.iter().map(|endpoint| {
        json!({
            "address": endpoint.address.to_string(),
            "workload": endpoint.workload.as_ref().map(ToString::to_string),
            "zone": endpoint.zone,
            "draining": endpoint.state == EndpointState::Draining,
            "mtls": matches!(endpoint.transport, Transport::Mesh(_)),
            "weight": endpoint.weight,
            "priority": endpoint.priority,
        })
    });
    json!({
        "target": words::target(&target.backend.target),
        "weight": target.backend.weight,
        "of": routing.weights(),
        "invalid": invalid,
        "source": label.zip(field).map(|(label, field)| source(&sources.field(label, field))),
        "filters": target.backend.filters.iter().map(words::filter).collect::<Vec<_>>(),
        "endpoints": endpoints.collect::<Vec<_>>(),
        "settings": target.policy.as_ref().map(|policy| rows(&settings::of_backend(policy), sources)),
    })
}

fn rows(rows: &[Row], sources: &Sources<'_>) -> Value {
    let rows = rows.iter().map(|row| {
        let from: Vec<Value> = sources.of(&row.origin).iter().map(source).collect();
        json!({ "setting": row.name, "value": row.text, "default": from.is_empty(), "from": from })
    });
    rows.collect()
}

fn source(source: &Source) -> Value {
    json!({ "object": source.object, "field": source.field, "at": source.at })
}

fn object(object: &Concerned) -> Value {
    let conditions = object.conditions.iter().map(|c| {
        json!({
            "type": c.kind.as_str(),
            "status": c.verdict == Verdict::True,
            "reason": c.reason,
            "field": c.field,
            "message": c.message,
        })
    });
    json!({ "object": object.key.to_string(), "at": object.origin, "conditions": conditions.collect::<Vec<_>>() })
}
