//! T48: one bad object of each kind among a hundred good ones, and one resource of each kind that a proxy cannot use. The others are applied, each
//! bad one is named with its reason, and a new controller says the same.

use std::collections::BTreeSet;

use mesh_proto::config::v1::{Reject, Update};

use crate::world::{Proxy, World, condition, line, object, start};

const GOOD: usize = 100;

/// Kind, name and object; each is wrong in one field.
const BAD: &[(&str, &str)] = &[
    (
        "Service shop/bad",
        "{apiVersion: v1, kind: Service, metadata: {name: bad, namespace: shop}, spec: {ports: [{port: 99999}]}}",
    ),
    (
        "EndpointSlice shop/bad",
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {name: bad, namespace: shop, labels: {kubernetes.io/service-name: s0}}, ports: [{name: http, port: 80}], endpoints: [{addresses: [nowhere]}]}",
    ),
    (
        "HTTPRoute shop/bad",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: bad, namespace: shop}, spec: {parentRefs: [{group: '', kind: Service, name: s0}], rules: [{backendRefs: [{name: s1, port: 80, weight: 2000000}]}]}}",
    ),
    (
        "GRPCRoute shop/bad",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: bad, namespace: shop}, spec: {parentRefs: [{group: '', kind: Service, name: s0}], rules: [{backendRefs: [{name: s1, port: 80, weight: 2000000}]}]}}",
    ),
    (
        "TCPRoute shop/bad",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: TCPRoute, metadata: {name: bad, namespace: shop}, spec: {parentRefs: [{group: '', kind: Service, name: s0}], rules: [{backendRefs: [{name: s1, port: 80, weight: 2000000}]}]}}",
    ),
    (
        "TLSRoute shop/bad",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: TLSRoute, metadata: {name: bad, namespace: shop}, spec: {parentRefs: [{group: '', kind: Service, name: s0}], hostnames: [a.example], rules: [{backendRefs: [{name: s1, port: 80, weight: 2000000}]}]}}",
    ),
    (
        "TrafficPolicy shop/bad",
        "{apiVersion: amime.io/v1alpha1, kind: TrafficPolicy, metadata: {name: bad, namespace: shop}, spec: {targetRefs: [{kind: Service, name: s0}], rateLimits: [{name: all, requests: 0}]}}",
    ),
    (
        "AuthorizationPolicy shop/bad",
        "{apiVersion: amime.io/v1alpha1, kind: AuthorizationPolicy, metadata: {name: bad, namespace: shop}, spec: {selector: {matchLabels: {app: nobody}}, action: Perhaps}}",
    ),
    (
        "ExternalService shop/bad",
        "{apiVersion: amime.io/v1alpha1, kind: ExternalService, metadata: {name: bad, namespace: shop}, spec: {hosts: [a.example], ports: [{port: 99999}]}}",
    ),
    (
        "Workload shop/bad",
        "{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: bad, namespace: shop}, spec: {address: nowhere, ports: [{port: 80}]}}",
    ),
    (
        "MeshConfig bad",
        "{apiVersion: amime.io/v1alpha1, kind: MeshConfig, metadata: {name: bad}, spec: {mtls: {mode: Perhaps}}}",
    ),
];

fn services(weight: u32) -> String {
    let service = |number| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: s{number}, namespace: shop}}, spec: {{ports: [{{port: 80}}]}}}}\n---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r{number}, namespace: shop}}, spec: {{parentRefs: [{{group: '', kind: Service, name: s{number}}}], rules: [{{backendRefs: [{{name: s{number}, port: 80, weight: {weight}}}]}}]}}}}\n---\n"
        )
    };
    (0..GOOD / 2).map(service).collect()
}

fn all(weight: u32) -> String {
    BAD.iter().fold(services(weight), |all, (_, object)| all + object + "\n---\n")
}

/// Each bad object is told to be wrong, with a reason that names a field.
async fn bad_are_told(world: &World) {
    for (name, _) in BAD {
        let told = world
            .sync_until(&format!("what is wrong with {name}"), |sync| {
                let conditions = &object(sync, name)?.conditions;
                conditions.iter().find(|condition| !condition.status).cloned()
            })
            .await;
        assert!(!told.message.is_empty() && !told.field.is_empty(), "{name}: {told:?}");
    }
}

async fn client(world: &World, held: Vec<mesh_proto::config::v1::Held>) -> Proxy {
    let names: Vec<String> = (0..GOOD / 2).map(|number| format!("s{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    world.proxy_with("client", &names, held).await
}

fn named<'a>(update: &'a Update, kind: &str) -> BTreeSet<&'a str> {
    update.resources.iter().map(|one| one.name.as_str()).filter(|name| name.starts_with(kind)).collect()
}

#[tokio::test]
async fn the_good_are_applied_and_the_bad_are_named_by_every_controller() {
    let world = World::new(&all(1)).await;
    let mut proxy = client(&world, vec![]).await;
    let first = proxy.update().await;
    assert_eq!((named(&first, "service/").len(), named(&first, "httproute/").len()), (GOOD / 2, GOOD / 2));
    proxy.ack(first.nonce, vec![]).await;
    bad_are_told(&world).await;
    // An edit of the good ones is not held up by the bad.
    world.edit(&all(2));
    let second = proxy.update().await;
    assert_eq!(named(&second, "httproute/").len(), GOOD / 2);
    proxy.ack(second.nonce, vec![]).await;
    let good = world.sync_until("in force", |sync| {
        let route = object(sync, "HTTPRoute shop/r7")?;
        ((route.programmed, route.programmed_of) == (1, 1))
            .then(|| condition(sync, "HTTPRoute shop/r7", "Accepted", true).cloned())?
    });
    good.await;

    // Another controller, which knows nothing of the first one; and a proxy that has begun anew.
    let successor = start(&world.ca, world.folder.path(), 100).await;
    let world = World { running: successor, ..world };
    bad_are_told(&world).await;
    let held = std::mem::take(&mut proxy.held);
    let mut same = client(&world, held).await;
    assert_eq!(
        same.update().await.resources.len(),
        0,
        "what was good is in force there, and nothing is sent again"
    );
    let mut anew = client(&world, vec![]).await;
    assert_eq!(named(&anew.update().await, "service/").len(), GOOD / 2);
}

/// What the proxy cannot use, as an older one might not: one of each kind. It is sent once, named in its line and in the object's status, and after a
/// restart of either side again.
#[tokio::test]
async fn what_a_proxy_rejects_is_told_and_not_sent_again_and_told_again_after_a_restart() {
    let world = World::new(&services(1)).await;
    let mut proxy = client(&world, vec![]).await;
    let first = proxy.update().await;
    let rejected: Vec<String> = ["authentication", "endpoints/", "httproute/", "mesh", "own", "service/"]
        .iter()
        .map(|kind| (*named(&first, kind).first().expect("there is one of each")).to_owned())
        .collect();
    let rejects = || -> Vec<Reject> {
        let reject = |name: &String| Reject {
            resource: name.clone(),
            field: "somewhere".into(),
            reason: "cannot be used".into(),
        };
        rejected.iter().map(reject).collect()
    };
    proxy.ack(first.nonce, rejects()).await;
    let told = async |world: &World| {
        let told = world
            .sync_until("the rejects", |sync| {
                let told: Vec<String> =
                    line(sync, "client")?.rejects.iter().map(|one| one.resource.clone()).collect();
                (told.len() == rejected.len()).then_some(told)
            })
            .await;
        assert_eq!(told, rejected);
        let sync = world.sync().await;
        let (bad, good) =
            (object(&sync, "HTTPRoute shop/r0").unwrap(), object(&sync, "HTTPRoute shop/r1").unwrap());
        assert_eq!((bad.programmed, bad.programmed_of, good.programmed, good.programmed_of), (0, 1, 1, 1));
    };
    told(&world).await;
    // Nothing is sent for it until it has another form: a proxy that rejects does not make a loop.
    world.edit(
        &services(1).replace("name: r1, namespace: shop}", "name: r1, namespace: shop, labels: {a: b}}"),
    );
    proxy.watermark().await;
    proxy.watermark().await;

    // The controller is another one, and the proxy says what it holds: what it has rejected is not among it.
    let successor = start(&world.ca, world.folder.path(), 100).await;
    let world = World { running: successor, ..world };
    let held = proxy.held.iter().filter(|held| !rejected.contains(&held.name)).cloned().collect();
    drop(proxy);
    let mut again = client(&world, held).await;
    let update = again.update().await;
    let sent: Vec<&str> = update.resources.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(sent, rejected);
    again.ack(update.nonce, rejects()).await;
    told(&world).await;
}
