//! What tests of endpoints share: a service whose endpoints and policy a test chooses, and applications that wait, fail or are probed as
//! it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Response;
use http_body_util::Full;
use mesh_lifecycle::tasks::Tasks;
use mesh_model::endpoint::Endpoint;
use mesh_model::name::{Name, ServiceName};
use mesh_model::service::Protocol;
use mesh_model::traffic::{
    Algorithm, HealthCheck, OutlierDetection, PolicyTarget, Probe, TrafficPolicy, TrafficSettings,
};
use mesh_proto::convert::ModelResource;
use tokio::sync::Semaphore;

use crate::harness::*;

pub(crate) const ALWAYS: Duration = Duration::from_hours(1);

/// Service `cart` with these endpoints, and a policy on it.
pub(crate) fn cart(mesh: &mut Mesh, endpoints: Vec<Endpoint>, edit: impl FnOnce(&mut TrafficSettings)) {
    cart_speaking(mesh, None, endpoints, edit);
}

pub(crate) fn cart_speaking(
    mesh: &mut Mesh,
    protocol: Option<Protocol>,
    endpoints: Vec<Endpoint>,
    edit: impl FnOnce(&mut TrafficSettings),
) {
    mesh.service("cart", 80, protocol, endpoints);
    let mut settings = TrafficSettings::default();
    edit(&mut settings);
    mesh.services.push(ModelResource::Policy(TrafficPolicy {
        name: Name::new("shop", "cart").unwrap(),
        targets: vec![PolicyTarget::Service {
            service: ServiceName::new("shop", "cart").unwrap(),
            port: None,
        }],
        created: 0,
        origin: "test.yaml:1".into(),
        settings,
    }));
}

pub(crate) fn algorithm(settings: &mut TrafficSettings, algorithm: Algorithm) {
    settings.balancing.get_or_insert_default().algorithm = algorithm;
}

pub(crate) async fn answer(mesh: &Mesh, client: &Sidecar) -> String {
    fetch(&mesh.tasks, client.outbound(), get("cart", "/")).await.2
}

/// An application that waits for the test before it answers.
pub(crate) struct Held {
    begun: Arc<AtomicUsize>,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) address: std::net::SocketAddr,
}

pub(crate) async fn held(tasks: &Tasks) -> Held {
    let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, wait) = (Arc::clone(&begun), Arc::clone(&gate));
    let address = origin(tasks, move |_| {
        let (count, wait) = (Arc::clone(&count), Arc::clone(&wait));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            drop(wait.acquire().await);
            Response::new(Full::from("held"))
        }
    })
    .await;
    Held { begun, gate, address }
}

impl Held {
    /// Sends requests, one after the other, until one waits there.
    pub(crate) async fn occupy(&self, mesh: &Mesh, client: &Sidecar) {
        while self.begun.load(Ordering::SeqCst) == 0 {
            let ended = Arc::new(AtomicBool::new(false));
            let (tasks, address, end) = (mesh.tasks.clone(), client.outbound(), Arc::clone(&ended));
            mesh.tasks.spawn("request", async move {
                drop(http1(&tasks, address).await.send_request(get("cart", "/")).await);
                end.store(true, Ordering::SeqCst);
            });
            until(|| async { ended.load(Ordering::SeqCst) || self.begun.load(Ordering::SeqCst) > 0 }).await;
        }
    }
}

/// An application that answers 500 while told to.
pub(crate) async fn moody(tasks: &Tasks, text: &'static str) -> (std::net::SocketAddr, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let mood = Arc::clone(&well);
    let address = origin(tasks, move |_| {
        let well = mood.load(Ordering::SeqCst);
        async move { Response::builder().status(if well { 200 } else { 500 }).body(Full::from(text)).unwrap() }
    })
    .await;
    (address, well)
}

pub(crate) fn outlier(settings: &mut TrafficSettings, ejection: Duration) {
    algorithm(settings, Algorithm::RoundRobin);
    settings.outlier = Some(OutlierDetection {
        consecutive_errors: Some(3),
        base_ejection: ejection,
        max_ejection: ejection,
        ..OutlierDetection::default()
    });
}

pub(crate) fn probed(settings: &mut TrafficSettings, probe: Probe) {
    algorithm(settings, Algorithm::RoundRobin);
    settings.balancing.get_or_insert_default().slow_start = None;
    settings.outlier = Some(OutlierDetection { consecutive_errors: None, ..OutlierDetection::default() });
    settings.health_check = Some(HealthCheck {
        probe,
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(5),
        unhealthy_after: 2,
        healthy_after: 2,
    });
}

/// Waits until 20 requests in a row are answered by (`true`) or without (`false`) that endpoint.
pub(crate) async fn settles(mesh: &Mesh, client: &Sidecar, name: &str, present: bool) {
    until(|| async {
        let mut seen = false;
        for _ in 0..20 {
            seen |= answer(mesh, client).await == name;
        }
        seen == present
    })
    .await;
}
