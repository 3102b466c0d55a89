//! The configuration client against a controller that the test plays.

mod addresses;
pub(crate) mod controller;
mod freshness;
mod hosts;
mod panics;
mod rejects;
mod saved;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_identity::testing::TestCa;
use mesh_lifecycle::{Clock, Ready, Tasks};
use mesh_proto::config::v1::{Destination as WireDestination, ProxyId, Update};
use mesh_proto::convert::ModelResource;
use prometheus_client::registry::Registry;

use self::controller::{Controller, DEADLINE};
use super::client::{Tuning, spawn_tuned};
use super::*;
use crate::config::Keep;
use crate::state::tests::{bad, endpoints, mesh, name, on_service, own, policy, route, service, update};
use crate::state::{Lookup, Snapshot};

/// For what must not come: long enough to see it on a quick machine, and no test asserts that it is met.
const MOMENT: Duration = Duration::from_millis(50);

struct Proxy {
    discovery: Discovery,
    ready: Ready,
    tasks: Tasks,
}

fn proxy(ca: &TestCa, controller: SocketAddr) -> Proxy {
    tuned(ca, controller, Tuning::default())
}

fn tuned(ca: &TestCa, controller: SocketAddr, tuning: Tuning) -> Proxy {
    keeping(ca, controller, tuning, None)
}

fn keeping(ca: &TestCa, controller: SocketAddr, tuning: Tuning, keep: Option<Keep>) -> Proxy {
    named(ca, controller, tuning, keep, "front")
}

fn named(ca: &TestCa, controller: SocketAddr, tuning: Tuning, keep: Option<Keep>, workload: &str) -> Proxy {
    let node =
        ProxyId { namespace: "shop".to_owned(), workload: workload.to_owned(), instance: "1".to_owned() };
    let (identity, clock) = (ca.identity("shop", "front"), Clock::default());
    let config = ClientConfig { identity, controller: controller.into(), node, keep, clock };
    let (tasks, ready) = (Tasks::new(), Ready::new());
    let discovery = spawn_tuned(config, ready.gate("configuration"), &tasks, tuning);
    Proxy { discovery, ready, tasks }
}

impl Proxy {
    /// Waits until the snapshot is as wanted.
    async fn until(&self, wanted: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.discovery.subscribe();
        let found = tokio::time::timeout(DEADLINE, snapshots.wait_for(|snapshot| wanted(snapshot))).await;
        Arc::clone(&found.unwrap().unwrap())
    }

    async fn find(&self, service: &str) -> Result<Arc<crate::state::Destination>, Undiscovered> {
        self.discovery.destination(&name(service), DEADLINE).await
    }

    fn metrics(&self) -> String {
        let mut registry = Registry::default();
        self.discovery.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }
}

fn answer(sequence: u64, nonce: u64, resources: &[ModelResource]) -> Update {
    Update { nonce, subscription: sequence, ..update(resources, &[]) }
}

fn cart() -> [ModelResource; 3] {
    [mesh(false), service("cart"), endpoints("cart", &[1])]
}

fn names(destinations: &[WireDestination]) -> Vec<&str> {
    destinations.iter().map(|d| d.name.as_str()).collect()
}

#[tokio::test]
async fn the_first_update_opens_the_gate_and_is_acknowledged() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    assert_eq!(proxy.ready.pending(), ["configuration"]);
    let mut talk = controller.config().await;
    let hello = talk.hello().await;
    let node = hello.proxy.unwrap();
    assert_eq!((node.namespace.as_str(), node.workload.as_str()), ("shop", "front"));
    assert!(hello.held.is_empty() && hello.destinations.is_empty());
    talk.update(answer(1, 5, &[mesh(false)])).await;
    let ack = talk.ack().await;
    assert_eq!((ack.nonce, ack.rejects.len()), (5, 0));
    tokio::time::timeout(DEADLINE, proxy.ready.wait()).await.unwrap();
    assert!(proxy.discovery.snapshot().settings().is_some());
}

#[tokio::test]
async fn a_destination_is_asked_for_once_and_then_known_at_once() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    let asked = async {
        let subscribe = talk.subscribe().await;
        assert_eq!((names(&subscribe.add), subscribe.sequence), (vec!["cart"], 2));
        talk.update(answer(2, 2, &cart())).await;
        talk.ack().await;
    };
    let (first, second, ()) = tokio::join!(proxy.find("cart"), proxy.find("cart"), asked);
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
    let at_once = proxy.discovery.destination(&name("cart"), Duration::ZERO).await;
    assert_eq!(at_once.unwrap().service.name, name("cart"));
}

#[tokio::test]
async fn a_delta_changes_only_what_it_names() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    let asked = async {
        talk.subscribe().await;
        talk.update(answer(2, 2, &cart())).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.find("cart"), asked);
    let found = found.unwrap();
    talk.update(answer(2, 3, &[endpoints("cart", &[1, 2])])).await;
    assert_eq!(talk.ack().await.nonce, 3);
    let snapshot = proxy.until(|s| s.endpoints(&name("cart")).is_some_and(|e| e.port(80).len() == 2)).await;
    assert!(
        matches!(snapshot.destination(&name("cart")), Lookup::Known(after) if Arc::ptr_eq(after, &found))
    );
    assert!(snapshot.settings().is_some());
}

#[tokio::test]
async fn a_bad_resource_is_told_to_the_controller_and_its_last_good_form_stays() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false), service("cart"), endpoints("cart", &[1])])).await;
    talk.ack().await;
    let mut second = answer(1, 2, &[mesh(true)]);
    second.resources.push(bad(&endpoints("cart", &[7])));
    talk.update(second).await;
    let ack = talk.ack().await;
    let [reject] = &ack.rejects[..] else { panic!("{ack:?}") };
    assert_eq!((ack.nonce, reject.resource.as_str()), (2, "endpoints/shop/cart"));
    assert!(reject.field.contains("address"), "{reject:?}");
    let snapshot = proxy.until(|s| s.settings().is_some_and(|settings| settings.access_log.is_some())).await;
    let address = snapshot.endpoints(&name("cart")).unwrap().port(80)[0].address;
    assert_eq!(address, ([127, 0, 0, 1], 8080).into());
    assert!(proxy.metrics().contains("mesh_config_rejects_total 1"));
}

#[tokio::test]
async fn without_a_controller_the_last_state_stays_and_a_new_stream_names_what_is_held() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let (address, proxy) = (controller.address, proxy(&ca, controller.address));
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    let asked = async {
        talk.subscribe().await;
        talk.update(answer(2, 2, &cart())).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.find("cart"), asked);
    found.unwrap();
    drop(controller);
    assert!(talk.next().await.is_none());
    proxy.discovery.destination(&name("cart"), Duration::ZERO).await.unwrap();
    let unknown = proxy.discovery.destination(&name("stock"), MOMENT).await;
    assert_eq!(unknown.unwrap_err(), Undiscovered::Unavailable);

    let mut controller = Controller::start_at(&ca, address);
    let mut talk = controller.config().await;
    let hello = talk.hello().await;
    let mut held: Vec<_> = hello.held.iter().map(|held| held.name.as_str()).collect();
    held.sort_unstable();
    assert_eq!(held, ["endpoints/shop/cart", "mesh", "service/shop/cart"]);
    let versions: Vec<_> = cart().iter().map(ModelResource::version).collect();
    assert!(hello.held.iter().all(|held| versions.contains(&held.version)));
    assert_eq!(names(&hello.destinations), ["cart", "stock"]);
    // What changed meanwhile arrives, and so does the answer to what was asked meanwhile.
    talk.update(answer(1, 1, &[endpoints("cart", &[1, 2]), service("stock"), endpoints("stock", &[3])]))
        .await;
    proxy.find("stock").await.unwrap();
    proxy.until(|s| s.endpoints(&name("cart")).is_some_and(|e| e.port(80).len() == 2)).await;
}

#[tokio::test]
async fn a_proxy_that_starts_first_waits_and_serves_once_the_controller_is_there() {
    let ca = TestCa::new("amime.test");
    let address = Controller::start(&ca).address;
    let proxy = proxy(&ca, address);
    let unavailable = proxy.discovery.destination(&name("cart"), MOMENT).await;
    assert_eq!(unavailable.unwrap_err(), Undiscovered::Unavailable);
    assert!(!proxy.ready.is_ready());
    let mut controller = Controller::start_at(&ca, address);
    let mut talk = controller.config().await;
    assert_eq!(names(&talk.hello().await.destinations), ["cart"]);
    talk.update(answer(1, 1, &cart())).await;
    proxy.find("cart").await.unwrap();
    assert!(proxy.ready.is_ready());
}

#[tokio::test]
async fn an_unknown_destination_is_refused_at_once_until_it_exists() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    let asked = async {
        let add = talk.subscribe().await.add;
        talk.update(Update { unknown: add, ..answer(2, 1, &[mesh(false)]) }).await;
    };
    let (found, ()) = tokio::join!(proxy.find("nowhere"), asked);
    assert_eq!(found.unwrap_err(), Undiscovered::Unknown);
    let again = proxy.discovery.destination(&name("nowhere"), Duration::ZERO).await;
    assert_eq!(again.unwrap_err(), Undiscovered::Unknown);
    talk.update(answer(2, 2, &[service("nowhere"), endpoints("nowhere", &[1])])).await;
    proxy.until(|s| matches!(s.destination(&name("nowhere")), Lookup::Known(_))).await;
}

#[tokio::test]
async fn a_server_that_is_not_the_controller_is_not_talked_to() {
    let ca = TestCa::new("amime.test");
    let impostor = Controller::start_as(&ca, ([127, 0, 0, 1], 0).into(), "front");
    let address = impostor.address;
    let proxy = proxy(&ca, address);
    let unavailable = proxy.discovery.destination(&name("cart"), 4 * MOMENT).await;
    assert_eq!(unavailable.unwrap_err(), Undiscovered::Unavailable);
    drop(impostor);
    let mut controller = Controller::start_at(&ca, address);
    assert_eq!(names(&controller.config().await.hello().await.destinations), ["cart"]);
}

#[tokio::test]
async fn what_the_workload_no_longer_uses_is_unsubscribed() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let tuning =
        Tuning { sweep: Duration::from_millis(10), unused: Duration::from_millis(30), ..Tuning::default() };
    let proxy = tuned(&ca, controller.address, tuning);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    let asked = async {
        talk.subscribe().await;
        talk.update(answer(2, 2, &cart())).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.find("cart"), asked);
    drop(found);
    let subscribe = talk.subscribe().await;
    assert_eq!((names(&subscribe.remove), subscribe.add.len()), (vec!["cart"], 0));
    talk.update(Update {
        nonce: 3,
        subscription: 3,
        ..update(&[], &["service/shop/cart", "endpoints/shop/cart"])
    })
    .await;
    let snapshot = proxy.until(|s| s.service(&name("cart")).is_none()).await;
    assert!(matches!(snapshot.destination(&name("cart")), Lookup::NotAsked));
}

#[tokio::test]
async fn what_the_workload_serves_is_subscribed_without_a_call_and_stays() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let tuning =
        Tuning { sweep: Duration::from_millis(5), unused: Duration::from_millis(10), ..Tuning::default() };
    let proxy = tuned(&ca, controller.address, tuning);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false), own(&["cart"])])).await;
    talk.ack().await;
    assert_eq!(names(&talk.subscribe().await.add), ["cart"]);
    let limits = policy("p", on_service("cart", None), 7);
    talk.update(answer(2, 2, &[cart().as_slice(), &[limits]].concat())).await;
    talk.ack().await;
    let snapshot =
        proxy.until(|s| s.backend_policy(&name("cart"), 80).circuit_breaker.value.requests == Some(7)).await;
    let Lookup::Known(destination) = snapshot.destination(&name("cart")) else { panic!("{snapshot:?}") };
    assert_eq!(
        destination.table(80).unwrap().default_policy().bodies.as_ref().unwrap().value.request,
        Some(7)
    );
    assert_eq!(snapshot.own().ports[0].service, name("cart"));
    // What the workload calls goes when it is unused; the first to be unsubscribed is not what it serves.
    let asked = async {
        assert_eq!(names(&talk.subscribe().await.add), ["stock"]);
        talk.update(answer(3, 3, &[service("stock"), endpoints("stock", &[2])])).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.find("stock"), asked);
    found.unwrap();
    assert_eq!(names(&talk.subscribe().await.remove), ["stock"]);
    assert!(matches!(proxy.discovery.snapshot().destination(&name("cart")), Lookup::Known(_)));
    // A new stream says what is held, and asks for it again.
    let address = controller.address;
    drop(controller);
    let mut controller = Controller::start_at(&ca, address);
    let hello = controller.config().await.hello().await;
    assert_eq!(names(&hello.destinations), ["cart"]);
    let held: Vec<_> = hello.held.iter().map(|held| held.name.as_str()).collect();
    assert!(held.contains(&"own") && held.contains(&"trafficpolicy/shop/p"), "{held:?}");
}

#[tokio::test]
async fn at_the_bound_what_exists_is_kept_and_the_refusal_counted() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = tuned(&ca, controller.address, Tuning { max_destinations: 1, ..Tuning::default() });
    let mut talk = controller.config().await;
    talk.hello().await;
    let asked = async {
        talk.subscribe().await;
        talk.update(answer(2, 1, &cart())).await;
    };
    let (found, ()) = tokio::join!(proxy.find("cart"), asked);
    found.unwrap();
    let beyond = proxy.discovery.destination(&name("stock"), MOMENT).await;
    assert_eq!(beyond.unwrap_err(), Undiscovered::Unavailable);
    assert_eq!(proxy.discovery.refusals(), 1);
    proxy.find("cart").await.unwrap();
}

#[tokio::test]
async fn at_the_bound_names_that_nobody_has_make_room_for_others() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = tuned(&ca, controller.address, Tuning { max_destinations: 1, ..Tuning::default() });
    let mut talk = controller.config().await;
    talk.hello().await;
    let asked = async {
        let add = talk.subscribe().await.add;
        talk.update(Update { unknown: add, ..answer(2, 1, &[mesh(false)]) }).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.find("nowhere"), asked);
    assert_eq!(found.unwrap_err(), Undiscovered::Unknown);
    let asked = async {
        let subscribe = talk.subscribe().await;
        assert_eq!((names(&subscribe.add), names(&subscribe.remove)), (vec!["cart"], vec!["nowhere"]));
        talk.update(answer(3, 2, &cart())).await;
    };
    let (found, ()) = tokio::join!(proxy.find("cart"), asked);
    found.unwrap();
}

#[tokio::test]
async fn a_stream_on_which_nothing_comes_is_given_up() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let _proxy =
        tuned(&ca, controller.address, Tuning { silence: Duration::from_millis(20), ..Tuning::default() });
    let mut first = controller.config().await;
    first.hello().await;
    let mut second = controller.config().await;
    second.hello().await;
}

#[tokio::test]
async fn a_fixed_configuration_knows_what_it_was_given() {
    let (discovery, mut control) = Discovery::fixed("shop", cart().to_vec());
    let cart_before = discovery.destination(&name("cart"), DEADLINE).await.unwrap();
    assert_eq!(discovery.destination(&name("stock"), DEADLINE).await.unwrap_err(), Undiscovered::Unknown);
    let more = [service("stock"), endpoints("stock", &[2]), route("r", "stock", &["cart"])];
    control.replace([cart().as_slice(), &more].concat());
    let stock = discovery.destination(&name("stock"), DEADLINE).await.unwrap();
    assert_eq!(stock.table(80).unwrap().backends().count(), 1);
    assert!(Arc::ptr_eq(&cart_before, &discovery.destination(&name("cart"), DEADLINE).await.unwrap()));
    control.replace(cart().to_vec());
    assert_eq!(discovery.destination(&name("stock"), DEADLINE).await.unwrap_err(), Undiscovered::Unknown);
}

#[tokio::test]
async fn a_fixed_configuration_takes_policies_and_what_the_workload_serves() {
    let with_policy =
        [cart().as_slice(), &[policy("p", on_service("cart", None), 3), own(&["cart"])]].concat();
    let (discovery, mut control) = Discovery::fixed("shop", with_policy);
    let limit = |discovery: &Discovery| {
        discovery.snapshot().backend_policy(&name("cart"), 80).circuit_breaker.value.requests
    };
    assert_eq!((limit(&discovery), discovery.snapshot().own().ports.len()), (Some(3), 1));
    control.replace(cart().to_vec());
    assert_eq!((limit(&discovery), discovery.snapshot().own().ports.len()), (None, 0));
}

#[tokio::test]
async fn a_full_queue_of_requests_is_counted_and_waits_no_longer_than_the_deadline() {
    let (_snapshots, receiver) = tokio::sync::watch::channel(Arc::<Snapshot>::default());
    let (requests, mut queue) = tokio::sync::mpsc::channel(1);
    let discovery = Discovery::new(receiver, requests, Arc::default());
    for service in ["cart", "stock"] {
        let unavailable = discovery.destination(&name(service), MOMENT).await;
        assert_eq!(unavailable.unwrap_err(), Undiscovered::Unavailable);
    }
    assert_eq!(discovery.refusals(), 1);
    assert_eq!(queue.try_recv().ok(), Some(discovery::Wish::Service(name("cart"))));
    assert!(queue.try_recv().is_err());
}
