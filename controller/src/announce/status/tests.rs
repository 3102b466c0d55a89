//! From what is said to what is written.

use std::sync::Arc;

use mesh_identity::testing::TestCa;

use super::*;
use crate::inspect::objects::Objects;
use crate::inspect::peers::Peers;
use crate::sources::kube::trim::trim;
use crate::status::programmed::{Holding, Programmed};
use crate::status::{Condition, ConditionType, ObjectReport};

const NOW: &str = "2026-11-29T12:00:00Z";
const THEN: &str = "2026-11-01T00:00:00Z";

fn facts(kind: Kind, object: Json) -> (ObjectKey, Facts) {
    let trimmed = trim(kind, object, true).unwrap();
    (trimmed.key, trimmed.facts)
}

/// The status that is wanted, with `conditions` of compiling and so many proxies of so many.
fn status(kind: Kind, object: Json, conditions: Vec<Condition>, programmed_on: (u32, u32)) -> Option<Wanted> {
    let (key, facts) = facts(kind, object);
    let resource = Some("r".to_owned());
    let report = ObjectReport { resource, conditions, ..ObjectReport::default() };
    let objects = Objects { compiled: [(key.clone(), report)].into_iter().collect(), ..Objects::default() };
    let mut programmed = Programmed::default();
    for n in 0..programmed_on.1 {
        let holding = if n < programmed_on.0 { Holding::InForce } else { Holding::Behind };
        programmed.add(&Arc::from("r"), holding);
    }
    let nobody = Peers::new(TestCa::new("mesh.test").identity("amime-system", "mesh-controller"));
    wanted(&key, facts.generation.unwrap_or(1), &facts, &Sayings::new(&objects, &programmed, &nobody), NOW)
}

fn route(parents: Json, status: Json) -> Json {
    json!({"metadata": {"name": "web", "namespace": "shop", "generation": 3}, "status": status,
        "spec": {"parentRefs": parents, "rules": [{}]}})
}

fn service(name: &str) -> Json {
    json!({"group": "", "kind": "Service", "name": name})
}

/// `TYPE=STATUS REASON@GENERATION since TIME` of every condition.
fn lines(conditions: &Json) -> Vec<String> {
    let text = |c: &Json, name: &str| c[name].as_str().unwrap_or_default().to_owned();
    let line = |c: &Json| {
        format!(
            "{}={} {}@{} since {}",
            text(c, "type"),
            text(c, "status"),
            text(c, "reason"),
            c["observedGeneration"],
            text(c, "lastTransitionTime")
        )
    };
    conditions.as_array().unwrap().iter().map(line).collect()
}

#[test]
fn a_route_gets_an_entry_for_each_service_and_none_for_a_gateway() {
    let gateway = json!({"name": "front"});
    let parents = json!([service("web"), gateway, service("api"), service("web")]);
    let wanted = status(Kind::HttpRoute, route(parents, Json::Null), vec![], (2, 2)).unwrap();
    let entries = wanted.status["parents"].as_array().unwrap();
    let names: Vec<&Json> = entries.iter().map(|entry| &entry["parentRef"]["name"]).collect();
    assert_eq!(names, ["web", "api"]);
    assert_eq!(entries[0]["controllerName"], "amime.io/mesh");
    assert_eq!(
        lines(&entries[0]["conditions"]),
        [
            "Accepted=True Accepted@3 since 2026-11-29T12:00:00Z",
            "ResolvedRefs=True ResolvedRefs@3 since 2026-11-29T12:00:00Z",
            "Programmed=True Programmed@3 since 2026-11-29T12:00:00Z",
        ]
    );
    assert!(!wanted.only_messages);
    let only_gateway = route(json!([{"name": "front"}]), Json::Null);
    assert_eq!(status(Kind::HttpRoute, only_gateway, vec![], (0, 0)), None);
}

#[test]
fn what_is_written_is_not_written_again_and_times_stay_while_answers_do() {
    let first =
        status(Kind::HttpRoute, route(json!([service("web")]), Json::Null), vec![], (1, 2)).unwrap().status;
    let again = |on, conditions| {
        status(Kind::HttpRoute, route(json!([service("web")]), first.clone()), conditions, on)
    };
    assert_eq!(again((1, 2), vec![]), None);
    let mut old = first.clone();
    for condition in old["parents"][0]["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = json!(THEN);
    }
    let next = |on, conditions| {
        status(Kind::HttpRoute, route(json!([service("web")]), old.clone()), conditions, on).unwrap()
    };
    let counts = next((1, 3), vec![]);
    assert!(counts.only_messages, "{counts:?}");
    let done = next((3, 3), vec![]);
    assert!(!done.only_messages);
    let lost = Condition::failed(
        ConditionType::ResolvedRefs,
        "BackendNotFound",
        "spec.rules[0].backendRefs[0]",
        "no",
    );
    let broken = next((1, 2), vec![lost]);
    assert_eq!(
        lines(&broken.status["parents"][0]["conditions"]),
        [
            "Accepted=True Accepted@3 since 2026-11-01T00:00:00Z",
            "ResolvedRefs=False BackendNotFound@3 since 2026-11-29T12:00:00Z",
            "Programmed=False Pending@3 since 2026-11-01T00:00:00Z",
        ]
    );
}

#[test]
fn entries_and_conditions_of_others_stay() {
    let theirs =
        json!({"parentRef": {"name": "front"}, "controllerName": "example.com/gateway", "conditions": []});
    let gone = json!({"parentRef": service("old"), "controllerName": "amime.io/mesh", "conditions": []});
    let extra = json!({"type": "example.com/Seen", "status": "True", "reason": "x", "message": "", "lastTransitionTime": THEN});
    let ours = json!({"parentRef": service("web"), "controllerName": "amime.io/mesh", "conditions": [extra]});
    let before = json!({"parents": [theirs, gone, ours]});
    let after =
        status(Kind::HttpRoute, route(json!([service("web")]), before), vec![], (0, 0)).unwrap().status;
    let entries = after["parents"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert_eq!(entries[0], theirs);
    assert_eq!(entries[1]["conditions"].as_array().unwrap().last(), Some(&extra));
    // A route that has left the mesh: our entry goes.
    let left = route(json!([{"name": "front"}]), json!({"parents": [theirs, gone]}));
    assert_eq!(status(Kind::HttpRoute, left, vec![], (0, 0)).unwrap().status, json!({"parents": [theirs]}));
}

#[test]
fn policies_say_it_of_each_target_and_our_own_kinds_of_the_whole() {
    let target = json!({"group": "", "kind": "Service", "name": "web"});
    let policy = json!({"metadata": {"name": "p", "namespace": "shop", "generation": 2}, "spec": {"targetRefs": [target]}});
    let missing =
        Condition::failed(ConditionType::Accepted, "TargetNotFound", "spec.targetRefs[0].name", "no Service");
    let said =
        status(Kind::XBackendTrafficPolicy, policy.clone(), vec![missing.clone()], (0, 0)).unwrap().status;
    assert_eq!(said["ancestors"][0]["ancestorRef"], target);
    assert!(lines(&said["ancestors"][0]["conditions"])[0].starts_with("Accepted=False TargetNotFound@2"));
    let own = status(Kind::TrafficPolicy, policy, vec![missing], (0, 0)).unwrap().status;
    assert_eq!(own["observedGeneration"], 2);
    assert!(lines(&own["conditions"])[0].starts_with("Accepted=False TargetNotFound@2"));
}

#[test]
fn a_mesh_and_a_class_of_ours_are_accepted_and_those_of_others_are_left_alone() {
    let mesh = |controller: &str, status: Json| json!({"metadata": {"name": "amime", "generation": 1}, "spec": {"controllerName": controller}, "status": status});
    let said = status(Kind::XMesh, mesh("amime.io/mesh", Json::Null), vec![], (0, 0)).unwrap().status;
    assert!(lines(&said["conditions"])[0].starts_with("Accepted=True Accepted@1"));
    let names: Vec<&str> =
        said["supportedFeatures"].as_array().unwrap().iter().filter_map(|f| f["name"].as_str()).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(names.len(), 17);
    assert_eq!(status(Kind::XMesh, mesh("amime.io/mesh", said), vec![], (0, 0)), None);
    assert_eq!(status(Kind::XMesh, mesh("example.com/other", Json::Null), vec![], (0, 0)), None);
    // What an API server writes before any controller did.
    let waiting = json!({"conditions": [{"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting for controller", "lastTransitionTime": THEN}]});
    let class = status(Kind::GatewayClass, mesh("amime.io/mesh", waiting), vec![], (0, 0)).unwrap().status;
    assert_eq!(lines(&class["conditions"]), ["Accepted=True Accepted@1 since 2026-11-29T12:00:00Z"]);
    assert_eq!(class.get("supportedFeatures"), None);
}

#[test]
fn there_are_never_more_entries_than_an_api_server_takes() {
    let parents: Vec<Json> = (0..40).map(|n| service(&format!("s{n}"))).collect();
    let said = status(Kind::TcpRoute, route(parents.into(), Json::Null), vec![], (0, 0)).unwrap().status;
    assert_eq!(said["parents"].as_array().unwrap().len(), 32);
}
