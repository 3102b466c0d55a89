//! How the status of an object says what is to be said. Pure: the status as it is, and what is to be said, make the status as it should be,
//! or none where it says so already. Entries and conditions of others are kept as they are; the time of a condition moves only when its
//! answer does.
#![allow(
    clippy::indexing_slicing,
    reason = "indexing a `serde_json::Value` gives null where there is nothing; what is written to is an object made here"
)]

use serde_json::{Map, Value as Json, json};

use super::conditions::{Answer, Part, Said, Sayings};
use crate::api::mesh::CONTROLLER_NAME;
use crate::api::{Kind, ObjectKey};
use crate::sources::kube::trim::Facts;

/// Most entries of `status.parents`, and of `status.ancestors`.
const MAX_PARENTS: usize = 32;
const MAX_ANCESTORS: usize = 16;

/// What the mesh can do, in the words of the Gateway API's conformance profiles; sorted, as GEP-3949 asks.
pub const SUPPORTED_FEATURES: [&str; 17] = [
    "GRPCRoute",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteParentRefPort",
    "HTTPRouteResponseHeaderModification",
    "Mesh",
    "MeshClusterIPMatching",
    "MeshConsumerRoute",
    "MeshHTTPRouteBackendRequestHeaderModification",
    "MeshHTTPRouteNamedRouteRule",
    "MeshHTTPRouteQueryParamMatching",
    "MeshHTTPRouteRedirectPath",
    "MeshHTTPRouteRedirectPort",
    "MeshHTTPRouteRewritePath",
    "MeshHTTPRouteSchemeRedirect",
];

/// A status that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The status, or the part of it that changes: a merge patch.
    pub status: Json,
    /// Whether only messages change: nobody waits for those.
    pub only_messages: bool,
}

/// The status that an object should have, if it does not have it. `generation` is the one that `sayings` are about.
pub fn wanted(
    key: &ObjectKey,
    generation: i64,
    facts: &Facts,
    sayings: &Sayings<'_>,
    now: &str,
) -> Option<Wanted> {
    let context = Context { key, generation, facts, sayings, now };
    let status = match key.kind {
        Kind::HttpRoute | Kind::GrpcRoute | Kind::TcpRoute | Kind::TlsRoute | Kind::UdpRoute => {
            context.attachments(&PARENTS)
        }
        Kind::XBackendTrafficPolicy => context.attachments(&ANCESTORS),
        Kind::MeshConfig
        | Kind::FederatedTrustDomain
        | Kind::Workload
        | Kind::ExternalService
        | Kind::TrafficPolicy
        | Kind::AuthenticationPolicy
        | Kind::AuthorizationPolicy
        | Kind::Canary => context.own(),
        Kind::GatewayClass | Kind::XMesh => context.announcement(),
        Kind::Namespace | Kind::Service | Kind::EndpointSlice | Kind::Pod => None,
    }?;
    let only_messages = meaning(&merged(&facts.status, &status)) == meaning(&facts.status);
    Some(Wanted { status, only_messages })
}

/// Where a kind says what it is attached to, and where its status answers.
struct Attachments {
    list: &'static str,
    field: &'static str,
    answers: &'static str,
    reference: &'static str,
    most: usize,
}

const PARENTS: Attachments = Attachments {
    list: "parentRefs",
    field: "spec.parentRefs",
    answers: "parents",
    reference: "parentRef",
    most: MAX_PARENTS,
};

const ANCESTORS: Attachments = Attachments {
    list: "targetRefs",
    field: "spec.targetRefs",
    answers: "ancestors",
    reference: "ancestorRef",
    most: MAX_ANCESTORS,
};

struct Context<'a> {
    key: &'a ObjectKey,
    generation: i64,
    facts: &'a Facts,
    sayings: &'a Sayings<'a>,
    now: &'a str,
}

impl Context<'_> {
    /// One entry for each attachment to a Service; those of other controllers stay.
    fn attachments(&self, kind: &Attachments) -> Option<Json> {
        let none = Vec::new();
        let there = self.facts.status.get(kind.answers).and_then(Json::as_array).unwrap_or(&none);
        let is_ours = |entry: &&Json| entry["controllerName"] == CONTROLLER_NAME;
        let (ours, mut entries): (Vec<&Json>, Vec<&Json>) = there.iter().partition(is_ours);
        let mut made: Vec<Json> = Vec::new();
        for (index, reference) in self.facts.spec[kind.list].as_array().unwrap_or(&none).iter().enumerate() {
            if !is_service(reference) || made.iter().any(|entry| entry[kind.reference] == *reference) {
                continue;
            }
            let before = ours.iter().find(|entry| entry[kind.reference] == *reference);
            let part = Part::Attachment { field: kind.field, index };
            let said = self.sayings.of(self.key, part, self.facts.rules);
            made.push(json!({
                kind.reference: reference,
                "controllerName": CONTROLLER_NAME,
                "conditions": self.conditions(&said, before.map(|entry| &entry["conditions"])),
            }));
        }
        entries.extend(&made);
        entries.truncate(kind.most);
        let same = entries.len() == there.len() && made.len() == ours.len() && made.iter().eq(ours);
        (!same).then(|| json!({ kind.answers: entries }))
    }

    fn own(&self) -> Option<Json> {
        let said = self.sayings.of(self.key, Part::Whole, self.facts.rules);
        let before = &self.facts.status;
        let conditions = self.conditions(&said, before.get("conditions"));
        let same = before["conditions"] == conditions && before["observedGeneration"] == self.generation;
        (!same).then(|| json!({"observedGeneration": self.generation, "conditions": conditions}))
    }

    fn announcement(&self) -> Option<Json> {
        if self.facts.spec["controllerName"] != CONTROLLER_NAME {
            return None;
        }
        let message = "served by the Amime mesh".to_owned();
        let said = [Said { kind: "Accepted", answer: Answer::True, reason: "Accepted".into(), message }];
        let before = &self.facts.status;
        let mut status = json!({"conditions": self.conditions(&said, before.get("conditions"))});
        if self.key.kind == Kind::XMesh {
            let features = SUPPORTED_FEATURES.iter().map(|name| json!({ "name": name }));
            status["supportedFeatures"] = features.collect();
        }
        (merged(before, &status) != *before).then_some(status)
    }

    /// The conditions as they should be. Those of other types, and the times of those that say the same, stay.
    fn conditions(&self, said: &[Said], before: Option<&Json>) -> Json {
        let none = Vec::new();
        let before = before.and_then(Json::as_array).unwrap_or(&none);
        let mut conditions: Vec<Json> = Vec::new();
        for one in said {
            let known = before.iter().find(|known| known["type"] == one.kind);
            let since = known.filter(|known| known["status"] == one.answer.as_str());
            let since = since.and_then(|known| known["lastTransitionTime"].as_str()).unwrap_or(self.now);
            conditions.push(json!({
                "type": one.kind,
                "status": one.answer.as_str(),
                "reason": one.reason,
                "message": one.message,
                "observedGeneration": self.generation,
                "lastTransitionTime": since,
            }));
        }
        let ours = ["Accepted", "ResolvedRefs", "Programmed", "PartiallyInvalid"];
        let others = before.iter().filter(|known| !ours.iter().any(|kind| known["type"] == *kind));
        conditions.extend(others.cloned());
        Json::Array(conditions)
    }
}

/// Whether a reference is to a Service: others (a Gateway) are not this controller's to answer.
fn is_service(reference: &Json) -> bool {
    let group = reference["group"].as_str().unwrap_or("gateway.networking.k8s.io");
    reference["kind"] == "Service" && matches!(group, "" | "core")
}

/// A merge patch applied (RFC 7396), as far as statuses need it.
fn merged(status: &Json, patch: &Json) -> Json {
    let mut fields = status.as_object().cloned().unwrap_or_default();
    fields.extend(patch.as_object().cloned().unwrap_or_default());
    Json::Object(fields)
}

/// A status without its messages.
fn meaning(status: &Json) -> Json {
    match status {
        Json::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| *name != "message");
            Json::Object(kept.map(|(name, value)| (name.clone(), meaning(value))).collect::<Map<_, _>>())
        }
        Json::Array(items) => items.iter().map(meaning).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => status.clone(),
    }
}

#[cfg(test)]
mod tests;
