//! Which endpoints come first: priorities, zones, those that have been there for a while; and all of them in panic.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Response;
use http_body_util::Full;
use mesh_lifecycle::tasks::Tasks;
use mesh_model::endpoint::Endpoint;
use mesh_model::traffic::{Algorithm, Ppm, Probe, SlowStart};
use mesh_proto::convert::ModelResource;

use crate::endpoints::*;
use crate::harness::*;
use crate::policies::plain;

async fn counted(mesh: &Mesh, client: &Sidecar, requests: u32) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(answer(mesh, client).await).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn the_second_priority_is_used_while_the_first_is_down() {
    let mut mesh = Mesh::new();
    let first = says(&mesh.tasks, "first").await;
    let second = Endpoint { priority: 1, ..plain(says(&mesh.tasks, "second").await) };
    cart(&mut mesh, vec![plain(first), second.clone()], |_| {});
    let client = mesh.client(&[("cart", 80)]);
    for _ in 0..20 {
        assert_eq!(answer(&mesh, &client).await, "first");
    }
    let mut mesh = Mesh::new();
    let closed = std::net::TcpListener::bind(any_port()).unwrap().local_addr().unwrap();
    let second = Endpoint { address: says(&mesh.tasks, "second").await, ..second };
    cart(&mut mesh, vec![plain(closed), second], |_| {});
    let client = mesh.client(&[("cart", 80)]);
    for _ in 0..20 {
        assert_eq!(answer(&mesh, &client).await, "second");
    }
}

#[tokio::test]
async fn the_own_zone_is_preferred() {
    let mut mesh = Mesh::new();
    let near = Endpoint { zone: "a".into(), ..plain(says(&mesh.tasks, "near").await) };
    let far = Endpoint { zone: "b".into(), ..plain(says(&mesh.tasks, "far").await) };
    cart(&mut mesh, vec![near, far], |_| {});
    let client = mesh.client_with(&[("cart", 80)], |config| config.zone = "a".into());
    for _ in 0..20 {
        assert_eq!(answer(&mesh, &client).await, "near");
    }
}

/// An application that says its name, and whether it is well when it is probed.
async fn probed_app(tasks: &Tasks, name: &'static str) -> (SocketAddr, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let mood = Arc::clone(&well);
    let address = origin(tasks, move |request| {
        let is_sick = request.uri().path() == "/health" && !mood.load(Ordering::SeqCst);
        let status = if is_sick { 503 } else { 200 };
        async move { Response::builder().status(status).body(Full::from(name)).unwrap() }
    })
    .await;
    (address, well)
}

#[tokio::test]
async fn what_the_own_zone_cannot_take_spills_over() {
    let mut mesh = Mesh::new();
    let (frail, well) = probed_app(&mesh.tasks, "frail").await;
    let mut endpoints = vec![Endpoint { zone: "a".into(), ..plain(frail) }];
    for (name, zone) in [("near", "a"), ("far", "b"), ("farther", "b")] {
        let (address, _) = probed_app(&mesh.tasks, name).await;
        endpoints.push(Endpoint { zone: zone.into(), ..plain(address) });
    }
    cart(&mut mesh, endpoints, |settings| {
        probed(settings, Probe::Http { path: "/health".into(), host: None, statuses: (200, 299) });
    });
    let client = mesh.client_with(&[("cart", 80)], |config| config.zone = "a".into());
    let names = async || counted(&mesh, &client, 20).await.into_keys().collect::<Vec<_>>();
    assert_eq!(names().await, ["frail", "near"]);
    well.store(false, Ordering::SeqCst);
    until(|| async { names().await.iter().all(|name| name != "frail") }).await;
    // One of two is left for half of all callers: it keeps two thirds of them, as many as each of the others gets.
    let counts = counted(&mesh, &client, 120).await;
    assert!(!counts.contains_key("frail") && counts["near"] > 45, "{counts:?}");
    assert!(counts["far"] > 2 && counts["farther"] > 2, "{counts:?}");
    well.store(true, Ordering::SeqCst);
    until(|| async { names().await == ["frail", "near"] }).await;
}

#[tokio::test]
async fn a_new_endpoint_gets_its_share_bit_by_bit() {
    let mut mesh = Mesh::new();
    let (old, new) = (says(&mesh.tasks, "old").await, says(&mesh.tasks, "new").await);
    let slow = |settings: &mut mesh_model::traffic::TrafficSettings, slow| {
        algorithm(settings, Algorithm::RoundRobin);
        settings.balancing.get_or_insert_default().slow_start = slow;
    };
    let forever = Some(SlowStart { window: ALWAYS, floor: Ppm(10_000) });
    cart(&mut mesh, vec![plain(old)], |settings| slow(settings, forever));
    let mut client = mesh.client(&[("cart", 80)]);
    assert_eq!(answer(&mesh, &client).await, "old");
    for resource in &mut mesh.services {
        if let ModelResource::Endpoints(endpoints) = resource {
            endpoints.ports[0].endpoints.push(plain(new));
            endpoints.ports[0].endpoints.sort_by_key(|endpoint| endpoint.address);
        }
    }
    client.control.replace(mesh.resources());
    let taken = counted(&mesh, &client, 60).await.remove("new").unwrap_or_default();
    assert!(taken <= 2, "a hundredth of its share is not {taken} of 60 requests");
    let Some(ModelResource::Policy(policy)) = mesh.services.last_mut() else { unreachable!() };
    slow(&mut policy.settings, None);
    client.control.replace(mesh.resources());
    let counts = counted(&mesh, &client, 60).await;
    assert!(counts["new"] >= 25 && counts["old"] >= 25, "{counts:?}");
}

#[tokio::test]
async fn below_the_panic_threshold_health_is_not_looked_at() {
    let mut mesh = Mesh::new();
    let (one, _) = moody(&mesh.tasks, "one").await;
    let (two, _) = moody(&mesh.tasks, "two").await;
    let (three, _) = moody(&mesh.tasks, "three").await;
    cart(&mut mesh, vec![plain(one), plain(two), plain(three)], |settings| {
        outlier(settings, ALWAYS);
        settings.outlier.as_mut().unwrap().max_ejected = Ppm(1_000_000);
    });
    let client = mesh.client(&[("cart", 80)]);
    for _ in 0..30 {
        answer(&mesh, &client).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..30 {
        seen.insert(answer(&mesh, &client).await);
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    client.counts(&["mesh_events_total", "endpoint_ejected"], 2.0).await;
}
