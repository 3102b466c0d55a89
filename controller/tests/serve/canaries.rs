//! Releases on a cluster: the replica that leads writes the state and nothing else, every replica routes by it, and the next leader goes on.

use std::time::Duration;

use mesh_proto::config::v1::resource::Body;
use mesh_proto::config::v1::{Backend, backend};
use serde_json::{Value as Json, json};

use super::cluster::World;

const SERVICES: &str = "/api/v1/services";
const PODS: &str = "/api/v1/pods";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const HTTP_ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/httproutes";
const CANARIES: &str = "/apis/amime.io/v1alpha1/canaries";

/// Service, pod and slice of a version.
fn version(world: &World, name: &str, ip: &str) {
    let ready = json!({"addresses": [ip], "conditions": {"ready": true},
        "targetRef": {"kind": "Pod", "namespace": "shop", "name": name}});
    world.api.put(
        SERVICES,
        json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}),
    );
    world.api.put(
        PODS,
        json!({"metadata": {"name": name, "namespace": "shop", "labels": {"amime.io/injected": "true"}},
            "spec": {"serviceAccountName": "web"}, "status": {"phase": "Running", "podIP": ip}}),
    );
    world.api.put(
        SLICES,
        json!({"metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [ready]}),
    );
}

fn canary(version: &str, generation: i64) -> Json {
    json!({"metadata": {"name": "web", "namespace": "shop", "generation": generation}, "spec": {
        "stable": "v1", "canary": "v2", "version": version, "steps": [{"weight": 25}, {"weight": 50}],
        "analysis": {"interval": "5s"}}})
}

/// Weights by Service, as a proxy was told them.
fn weights(backends: &[Backend]) -> Vec<(String, u32)> {
    let one = |backend: &Backend| match backend.target.as_ref().unwrap() {
        backend::Target::Service(service) => (service.name.clone(), backend.weight),
        backend::Target::Invalid(invalid) => panic!("{invalid:?}"),
    };
    backends.iter().map(one).collect()
}

#[tokio::test]
async fn the_leader_writes_the_state_and_every_replica_routes_by_it() {
    let world = World::new().await;
    version(&world, "web", "10.1.0.1");
    version(&world, "v1", "10.1.0.2");
    version(&world, "v2", "10.1.0.3");
    world.api.put(
        HTTP_ROUTES,
        json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "web"}],
            "rules": [{"backendRefs": [{"name": "v1", "port": 80}]}]}}),
    );
    world.api.put(CANARIES, canary("2.0", 1));
    let one = world.controller("c-1").await;
    let state = |api: &super::api::Api, wanted: &str| {
        let canary = api.get(CANARIES, "shop", "web")?;
        let release = canary["status"]["release"].clone();
        (release["version"] == wanted && release["phase"] == "Progressing").then_some(release)
    };
    let first = world.until("the first step", |api| state(api, "2.0")).await;
    assert_eq!((&first["step"], &first["why"]["reason"]), (&json!(0), &json!("Started")));
    let accepted = world.until("conditions beside the state", |api| {
        let canary = api.get(CANARIES, "shop", "web")?;
        let said =
            canary["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == "Accepted")?.clone();
        state(api, "2.0").map(|_| said)
    });
    assert_eq!(accepted.await["status"], "True");

    // The other replica, which does not lead, tells proxies the same.
    let two = world.controller("c-2").await;
    for replica in [&one, &two] {
        let mut proxy = world.proxy(replica, "web", "web").await;
        // What a replica was told by its watch before the state came may be sent first.
        let wanted = [("v1".to_owned(), 750_000), ("v2".to_owned(), 250_000)];
        loop {
            let update = proxy.update().await;
            proxy.ack(update.nonce, vec![]).await;
            let told = update.resources.iter().find_map(|resource| match resource.body.as_ref()? {
                Body::Route(route) => Some(weights(&route.rules[0].backends)),
                _ => None,
            });
            if told.is_some_and(|told| told == wanted) {
                break;
            }
        }
    }

    // Nobody reports, so it is frozen; and nothing was written into the route.
    let frozen =
        world.until("no figures", |api| state(api, "2.0").filter(|state| state["frozen"] == true)).await;
    assert_eq!(frozen["why"]["reason"], "MetricsMissing");
    let route = world.api.get(HTTP_ROUTES, "shop", "web").unwrap();
    assert_eq!(route["spec"]["rules"][0]["backendRefs"], json!([{"name": "v1", "port": 80}]));
    let specs = world
        .api
        .writes()
        .into_iter()
        .filter(|write| write.contains("canaries") || write.contains("httproutes"));
    assert!(specs.clone().all(|write| write.ends_with("/status")), "{:?}", specs.collect::<Vec<_>>());

    let events = world.api.writes().into_iter().filter(|write| write.ends_with("/namespaces/shop/events"));
    assert!(events.count() > 0, "{:?}", world.api.writes());

    // The next leader goes on from the state, and begins the next release.
    one.tasks.shutdown(Duration::from_secs(5)).await;
    let mut newer = canary("3.0", 2);
    newer["status"] = world.api.get(CANARIES, "shop", "web").unwrap()["status"].clone();
    world.api.put(CANARIES, newer);
    let next = world.until("the next release", |api| state(api, "3.0")).await;
    assert_eq!(
        (&next["past"][0]["version"], &next["past"][0]["why"]["reason"]),
        (&json!("2.0"), &json!("Superseded"))
    );
    two.tasks.shutdown(Duration::from_secs(5)).await;
}
