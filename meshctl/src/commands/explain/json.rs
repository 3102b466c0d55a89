//! An answer as JSON, stable for scripts. Pure.

use mesh_controller::status::Verdict;
use mesh_model::endpoint::{EndpointState, Transport};
use mesh_model::explain::{FilterStep, Looked};
use mesh_model::failure::Failure;
use mesh_model::head::HeadView as _;
use mesh_model::route::BackendTarget;
use mesh_model::route::cors::Verdict as CorsVerdict;
use serde_json::{Value, json};

use super::answer::{Answer, Concerned, Destination, Outcome, Routing, Target};
use super::authorization::Held;
use super::objects::Objects;
use super::settings::{self, Row};
use super::sources::{Source, Sources};
use super::{view, words};

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
        "notes": answer.notes,
        "destination": destination(&answer.destination),
        "route": answer.routing.as_ref().map(|routing| route(routing, &sources)),
        "backends": answer.routing.iter().flat_map(|routing| {
            routing.targets.iter().map(|target| backend(target, routing, &sources))
        }).collect::<Vec<_>>(),
        "mtls": answer.routing.as_ref().map(|routing| mtls(routing, answer, &sources)),
        "authorization": authorization(&answer.held(), answer.objects),
        "settings": answer.routing.as_ref().map(|routing| rows(&settings::of_request(&routing.explanation.policy), &sources)),
        "objects": answer.concerned.iter().map(object).collect::<Vec<_>>(),
        "problems": answer.objects.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "fine": answer.is_fine(),
    })
}

/// A request that is refused before any object is looked at.
pub(crate) fn refused(failure: Failure, why: &str) -> Value {
    json!({ "result": failed(failure, why), "fine": false })
}

fn failed(failure: Failure, why: &str) -> Value {
    json!({
        "kind": "failure",
        "code": failure.code(),
        "status": failure.http_status(),
        "grpc_status": failure.grpc_status(),
        "why": why,
    })
}

/// Who lets in whom, where policies say so.
fn mtls(routing: &Routing, answer: &Answer<'_>, sources: &Sources<'_>) -> Value {
    let endpoints = routing.targets.iter().flat_map(|target| &target.endpoints);
    let counting = super::mtls::counting(endpoints, answer.objects).into_iter().map(|one| {
        json!({
            "mode": one.rule.mode.as_str(),
            "workloads": one.workloads,
            "source": source(&sources.field(&one.rule.source, one.field)),
        })
    });
    counting.collect()
}

/// Whether the called workloads take the call, where something says so.
pub(super) fn authorization(held: &[Held], objects: &Objects) -> Value {
    let held = held.iter().map(|one| {
        json!({
            "verdict": one.verdict(),
            "workloads": one.workloads,
            "mirror": one.is_mirror,
            "words": one.words(),
            "policies": one.policies,
            "decided_by": one.said.as_ref().and_then(|said| said.decided_by(objects)),
            "misfits": one.misfits,
            "notes": one.notes,
        })
    });
    held.collect()
}

fn result(answer: &Answer<'_>) -> Value {
    match &answer.outcome {
        Outcome::Sent { target, authority } => {
            json!({ "kind": "sent", "target": target, "authority": authority })
        }
        Outcome::Foreign => json!({ "kind": "leaves_the_mesh" }),
        Outcome::Bytes => json!({ "kind": "bytes" }),
        Outcome::Redirect(to) => json!({ "kind": "redirect", "status": to.status, "location": to.location }),
        Outcome::Preflight(verdict) => {
            json!({ "kind": "preflight", "allowed": *verdict == CorsVerdict::Allowed })
        }
        Outcome::Direct(status) => json!({ "kind": "direct_response", "status": status }),
        Outcome::Failed { failure, why } => failed(*failure, why),
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
        Destination::Outside(known) => json!({
            "service": null,
            "outside": known.words,
            "object": known.key.as_ref().map(ToString::to_string),
        }),
        Destination::Foreign { elsewhere } => json!({
            "service": null,
            "elsewhere": elsewhere.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
    }
}

fn route(routing: &Routing, sources: &Sources<'_>) -> Value {
    let explanation = &routing.explanation;
    let ignored = explanation.routes.iter().filter_map(|(route, standing)| {
        let why = words::standing(*standing, route)?;
        Some(json!({ "route": route.id.to_string(), "why": why, "at": route.origin }))
    });
    json!({
        "taken": explanation.chosen.as_ref().map(|chosen| looked(chosen, sources)),
        "not": explanation.passed.iter().map(|passed| looked(passed, sources)).collect::<Vec<_>>(),
        "after": explanation.after,
        "ignored": ignored.collect::<Vec<_>>(),
        "filters": filters(&explanation.filters, explanation.chosen.as_ref(), sources),
    })
}

fn looked(looked: &Looked, sources: &Sources<'_>) -> Value {
    let reasons = looked.reasons.iter().map(|reason| {
        json!({ "why": reason.to_string(), "source": source(&sources.field(&looked.label, &reason.field)) })
    });
    json!({
        "rule": &*looked.label,
        "match": words::matching(&looked.matched),
        "source": source(&sources.field(&looked.label, &view::field_of(looked))),
        "reasons": reasons.collect::<Vec<_>>(),
    })
}

fn filters(steps: &[FilterStep], of: Option<&Looked>, sources: &Sources<'_>) -> Value {
    let steps = steps.iter().map(|step| {
        let from = of.map(|looked| source(&sources.field(&looked.label, &step.field)));
        json!({ "filter": words::filter(&step.filter), "source": from })
    });
    steps.collect()
}

fn backend(target: &Target, routing: &Routing, sources: &Sources<'_>) -> Value {
    let share = &target.share;
    let invalid = match &share.target {
        BackendTarget::Invalid { reason, .. } => Some(reason),
        BackendTarget::Service { .. } => None,
    };
    let chosen = routing.explanation.chosen.as_ref();
    let field = share.field.as_deref();
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
        "target": words::target(&share.target),
        "weight": share.weight,
        "share": share.share,
        "invalid": invalid,
        "source": chosen.zip(field).map(|(chosen, field)| source(&sources.field(&chosen.label, field))),
        "filters": filters(&share.filters, chosen, sources),
        "endpoints": endpoints.collect::<Vec<_>>(),
        "settings": share.policy.as_ref().map(|policy| rows(&settings::of_backend(policy), sources)),
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

pub(crate) fn object(object: &Concerned) -> Value {
    let conditions = object.conditions.iter().map(|c| {
        json!({
            "type": c.kind.as_str(),
            "status": c.verdict == Verdict::True,
            "reason": c.reason,
            "field": c.field,
            "message": c.message,
        })
    });
    json!({
        "object": object.key.to_string(),
        "at": object.origin,
        "idle": object.is_idle,
        "conditions": conditions.collect::<Vec<_>>(),
    })
}
