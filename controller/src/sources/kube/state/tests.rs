//! What a cluster's objects become: the same as a folder's, and nothing where nothing of meaning has changed.

use serde_json::{Value as Json, json};

use super::*;
use crate::sources::kube::trim::trim;
use crate::sources::state::{Contents, DirState};

fn trimmed(kind: Kind, object: Json) -> Trimmed {
    trim(kind, object, has_status(kind)).unwrap()
}

fn route(generation: i64, port: &str) -> Json {
    let port: Json = serde_json::from_str(port).unwrap();
    json!({
        "metadata": {"name": "web", "namespace": "shop", "generation": generation, "resourceVersion": generation.to_string()},
        "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": [{"backendRefs": [{"name": "web", "port": port}]}]},
    })
}

fn service() -> Json {
    json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7",
        "labels": {"team": "a"}, "annotations": {"x": "y"}, "managedFields": [{"manager": "m"}]},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}, "status": {"loadBalancer": {}}})
}

#[test]
fn what_means_nothing_changes_nothing() {
    let slice = |extra: Json| {
        let mut slice = json!({"metadata": {"name": "web-a", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["10.1.0.1"]}]});
        slice["metadata"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        slice
    };
    let pod = |extra: Json| {
        let mut pod = json!({"metadata": {"name": "p", "namespace": "shop", "labels": {"amime.io/injected": "true"}},
            "spec": {"serviceAccountName": "web", "containers": [{"name": "a", "image": "b"}]},
            "status": {"phase": "Running", "podIP": "10.1.0.1"}});
        for (field, value) in extra.as_object().unwrap() {
            pod[field].as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        }
        pod
    };
    let mut edited = service();
    edited["metadata"]["labels"]["team"] = json!("b");
    edited["metadata"]["annotations"]["x"] = json!("z");
    edited["metadata"]["resourceVersion"] = json!("8");
    edited["status"]["loadBalancer"] = json!({"ingress": []});
    let table = [
        ("labels, annotations, status of a Service", Kind::Service, service(), edited, 0),
        (
            "an annotation of a slice",
            Kind::EndpointSlice,
            slice(json!({})),
            slice(json!({"annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "t"}})),
            0,
        ),
        (
            "the service of a slice",
            Kind::EndpointSlice,
            slice(json!({})),
            slice(json!({"labels": {"kubernetes.io/service-name": "api"}})),
            1,
        ),
        (
            "a heartbeat of a pod",
            Kind::Pod,
            pod(json!({})),
            pod(json!({"status": {"conditions": [{"type": "Ready"}]}})),
            0,
        ),
        ("the image of a pod", Kind::Pod, pod(json!({})), pod(json!({"spec": {"containers": []}})), 0),
        ("the address of a pod", Kind::Pod, pod(json!({})), pod(json!({"status": {"podIP": "10.1.0.2"}})), 1),
        ("a sidecar less", Kind::Pod, pod(json!({})), pod(json!({"metadata": {"labels": {}}})), 1),
        (
            "a label of a namespace that is not the mesh's",
            Kind::Namespace,
            json!({"metadata": {"name": "shop", "labels": {"team": "a"}}}),
            json!({"metadata": {"name": "shop", "labels": {"team": "b"}}}),
            0,
        ),
        (
            "whether pods of a namespace get a sidecar",
            Kind::Namespace,
            json!({"metadata": {"name": "shop", "labels": {}}}),
            json!({"metadata": {"name": "shop", "labels": {"amime.io/inject": "enabled"}}}),
            1,
        ),
        ("what a route says", Kind::HttpRoute, route(1, "80"), route(2, "81"), 1),
        ("a route that is written again", Kind::HttpRoute, route(1, "80"), route(2, "80"), 0),
    ];
    for (case, kind, before, after, changes) in table {
        let (mut state, mut generations) = (KubeState::default(), Generations::new());
        assert!(state.put(trimmed(kind, before), &mut generations).is_some(), "{case}");
        let change = state.put(trimmed(kind, after), &mut generations);
        assert_eq!(usize::from(change.is_some()), changes, "{case}: {change:?}");
        assert!(state.reports().is_empty(), "{case}: {:?}", state.reports());
    }
}

#[test]
fn a_bad_object_leaves_its_last_good_form_in_force_and_says_why() {
    let (mut state, mut generations) = (KubeState::default(), Generations::new());
    assert!(state.put(trimmed(Kind::HttpRoute, route(1, "80")), &mut generations).is_some());
    assert!(state.put(trimmed(Kind::HttpRoute, route(2, "\"x\"")), &mut generations).is_none());
    let reports = state.reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(
        reports[0].to_string(),
        "cluster: HTTPRoute shop/web: spec.rules[0].backendRefs[0].port: invalid type: string \"x\", expected u16; the last good form stays in force"
    );
    let key = reports[0].problem.object.clone().unwrap();
    assert_eq!(generations, [(key.clone(), Some(1)), (key.clone(), Some(2))]);
    // Good again, and the same as before: nothing to do for proxies, nothing to say.
    assert!(state.put(trimmed(Kind::HttpRoute, route(3, "80")), &mut generations).is_none());
    assert!(state.reports().is_empty());
    assert!(matches!(state.delete(&key, &mut generations), Some(Change::Delete { .. })));
    assert!(state.ledger().get(&key).is_none());
}

#[test]
fn an_object_that_was_never_good_is_not_in_force() {
    let (mut state, mut generations) = (KubeState::default(), Generations::new());
    assert!(state.put(trimmed(Kind::HttpRoute, route(1, "\"x\"")), &mut generations).is_none());
    assert!(state.reports()[0].to_string().ends_with("; not in force"));
    let key = state.reports()[0].problem.object.clone().unwrap();
    assert!(state.delete(&key, &mut generations).is_none(), "nothing was in force");
}

#[test]
fn a_list_takes_away_what_it_does_not_have_and_only_of_its_kind() {
    let (mut state, mut generations) = (KubeState::default(), Generations::new());
    state.put(trimmed(Kind::HttpRoute, route(1, "80")), &mut generations);
    state.put(trimmed(Kind::Service, service()), &mut generations);
    let same = state.reset(Kind::Service, vec![trimmed(Kind::Service, service())], &mut generations);
    assert!(same.is_empty(), "{same:?}");
    let gone = state.reset(Kind::Service, Vec::new(), &mut generations);
    assert!(matches!(gone.as_slice(), [Change::Delete { key }] if key.kind == Kind::Service), "{gone:?}");
    assert_eq!(state.reset(Kind::HttpRoute, Vec::new(), &mut generations).len(), 1);
}

#[test]
fn a_cluster_and_a_folder_say_the_same() {
    let bad = [
        (
            Kind::HttpRoute,
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            json!({"parentRefs": [], "nonsense": 1}),
        ),
        (Kind::Workload, "amime.io/v1alpha1", "Workload", json!({"address": "10.0.0.1", "weight": 0})),
        (Kind::MeshConfig, "amime.io/v1alpha1", "MeshConfig", json!({"mtls": {"mode": "Sometimes"}})),
        (Kind::Service, "v1", "Service", json!({"ports": [{"port": 0}]})),
    ];
    for (kind, version, name, spec) in bad {
        let object = json!({"apiVersion": version, "kind": name, "metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
        let mut folder = DirState::default();
        folder.apply("f.yaml", Contents::Bytes(object.to_string().into_bytes()));
        let (mut cluster, mut generations) = (KubeState::default(), Generations::new());
        cluster.put(trimmed(kind, object), &mut generations);
        let said = |reports: Vec<Report>| -> Vec<_> {
            reports
                .into_iter()
                .map(|r| (r.problem.object, r.problem.reason, r.problem.fault, r.effect))
                .collect()
        };
        let (folder, cluster) = (said(folder.reports()), said(cluster.reports()));
        assert!(!folder.is_empty(), "{name}");
        assert_eq!(folder, cluster, "{name}");
    }
}

#[test]
fn nobody_waits_to_hear_of_an_endpoint_that_is_gone() {
    let slice = |ready: &[Option<bool>]| {
        let endpoint =
            |ready: &Option<bool>| json!({ "addresses": ["10.0.0.1"], "conditions": { "ready": ready } });
        let endpoints: Vec<Json> = ready.iter().map(endpoint).collect();
        let object = json!({
            "metadata": { "name": "web-1", "namespace": "shop", "labels": { "kubernetes.io/service-name": "web" } },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{ "port": 80 }],
        });
        trimmed(Kind::EndpointSlice, object)
    };
    let mut state = KubeState::default();
    let mut put = |ready: &[Option<bool>]| {
        state.put(slice(ready), &mut Vec::new());
        state.take_fewer()
    };
    assert!(!put(&[Some(true)]), "one more");
    assert!(
        !put(&[Some(true), None, Some(false)]),
        "and another, that does not say; and one that is not ready"
    );
    assert!(put(&[Some(true), Some(false)]), "one is gone");
    assert!(!put(&[Some(true)]), "it was not ready any more");
    assert!(put(&[Some(false)]), "the last one drains");
    assert!(!put(&[Some(true)]));
    let key = slice(&[]).key;
    state.delete(&key, &mut Vec::new());
    assert!(state.take_fewer(), "with its slice");
    assert!(!state.take_fewer());
}
