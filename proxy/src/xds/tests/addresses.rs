//! Finding what a captured connection reaches.

use std::net::SocketAddr;

use mesh_model::address::{Address, Meaning, Served, ServedPort};
use mesh_model::endpoint::{Endpoint, EndpointState, Transport};

use super::*;

fn virtual_address(ip: [u8; 4], of: &str) -> ModelResource {
    ModelResource::Address(Address { ip: ip.into(), meaning: Meaning::Service(name(of)) })
}

fn own_address(ip: [u8; 4]) -> ModelResource {
    let endpoint = Endpoint {
        address: (ip, 15_006).into(),
        transport: Transport::Plain,
        workload: None,
        zone: String::new(),
        state: EndpointState::Ready,
        weight: 1,
        priority: 0,
    };
    let ports = vec![ServedPort { port: 80, endpoint, service: Some((name("cart"), 80)) }];
    ModelResource::Address(Address {
        ip: ip.into(),
        meaning: Meaning::Served(Served { ports, others: None }),
    })
}

fn at(ip: [u8; 4], port: u16) -> SocketAddr {
    (ip, port).into()
}

const VIRTUAL: [u8; 4] = [10, 96, 0, 1];
const POD: [u8; 4] = [10, 0, 0, 1];

/// A proxy whose stream has begun.
async fn begun(ca: &TestCa, tuning: Tuning) -> (Controller, controller::ConfigTalk, Proxy) {
    let mut controller = Controller::start(ca);
    let proxy = tuned(ca, controller.address, tuning);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    (controller, talk, proxy)
}

#[tokio::test]
async fn a_virtual_address_is_asked_once_and_leads_to_its_service() {
    let ca = TestCa::new("amime.test");
    let (_controller, mut talk, proxy) = begun(&ca, Tuning::default()).await;
    let asked = async {
        let subscribe = talk.subscribe().await;
        assert_eq!((subscribe.add_sought, subscribe.add.len()), (vec!["10.96.0.1".to_owned()], 0));
        talk.update(answer(2, 2, &[cart().as_slice(), &[virtual_address(VIRTUAL, "cart")]].concat())).await;
        talk.ack().await;
    };
    // As a dual-stack socket shows it.
    let mapped = SocketAddr::new("::ffff:10.96.0.1".parse().unwrap(), 8080);
    let (found, ()) = tokio::join!(proxy.discovery.address(mapped, DEADLINE), asked);
    let Ok(Reached::Service { destination, port }) = found else { panic!("{found:?}") };
    assert_eq!((&destination.service.name, port), (&name("cart"), 8080));
    assert_eq!(names(&talk.subscribe().await.add), ["cart"], "the service is then followed by name");
    let again = proxy.discovery.address(at(VIRTUAL, 80), Duration::ZERO).await;
    assert!(matches!(again, Ok(Reached::Service { port: 80, .. })), "{again:?}");
    let by_name = proxy.discovery.destination(&name("cart"), Duration::ZERO).await;
    assert!(Arc::ptr_eq(&by_name.unwrap(), &destination));
}

#[tokio::test]
async fn an_endpoints_own_address_leads_to_that_endpoint() {
    let ca = TestCa::new("amime.test");
    let (_controller, mut talk, proxy) = begun(&ca, Tuning::default()).await;
    let asked = async {
        talk.subscribe().await;
        talk.update(answer(2, 2, &[own_address(POD), service("cart")])).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.discovery.address(at(POD, 80), DEADLINE), asked);
    let Ok(Reached::Direct(direct)) = found else { panic!("{found:?}") };
    assert_eq!((direct.endpoint.address, direct.service), (at(POD, 15_006), Some((name("cart"), 80))));
    let other_port = proxy.discovery.address(at(POD, 81), Duration::ZERO).await;
    assert_eq!(other_port.unwrap_err(), Undiscovered::Unknown);
    assert!(proxy.discovery.snapshot().service(&name("cart")).is_some(), "for its declared protocol");
}

#[tokio::test]
async fn an_address_that_nobody_knows_is_told_when_it_is_known() {
    let ca = TestCa::new("amime.test");
    let (controller, mut talk, proxy) = begun(&ca, Tuning::default()).await;
    let asked = async {
        let unknown_sought = talk.subscribe().await.add_sought;
        talk.update(Update { unknown_sought, ..answer(2, 2, &[]) }).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.discovery.address(at(POD, 80), DEADLINE), asked);
    assert_eq!(found.unwrap_err(), Undiscovered::Unknown);
    talk.update(answer(2, 3, &[own_address(POD)])).await;
    talk.ack().await;
    let found = proxy.discovery.address(at(POD, 80), DEADLINE).await;
    assert!(matches!(found, Ok(Reached::Direct(_))), "{found:?}");
    let address = controller.address;
    drop(controller);
    let mut controller = Controller::start_at(&ca, address);
    let hello = controller.config().await.hello().await;
    assert_eq!(hello.sought, ["10.0.0.1"], "a new stream asks again");
    assert!(hello.held.iter().any(|held| held.name == "address/10.0.0.1"));
    let found = proxy.discovery.address(at(POD, 80), Duration::ZERO).await;
    assert!(matches!(found, Ok(Reached::Direct(_))), "without an answer the last one counts: {found:?}");
}

#[tokio::test]
async fn without_an_answer_it_is_not_known_what_an_address_is() {
    let ca = TestCa::new("amime.test");
    let (_controller, _talk, proxy) = begun(&ca, Tuning::default()).await;
    let found = proxy.discovery.address(at(POD, 80), MOMENT).await;
    assert_eq!(found.unwrap_err(), Undiscovered::Unavailable);
}

#[tokio::test]
async fn an_address_that_is_not_dialled_any_more_is_given_up() {
    let ca = TestCa::new("amime.test");
    let tuning =
        Tuning { sweep: Duration::from_millis(10), unused: Duration::from_millis(30), ..Tuning::default() };
    let (_controller, mut talk, proxy) = begun(&ca, tuning).await;
    let asked = async {
        talk.subscribe().await;
        talk.update(answer(2, 2, &[own_address(POD)])).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.discovery.address(at(POD, 80), DEADLINE), asked);
    found.unwrap();
    let subscribe = talk.subscribe().await;
    assert_eq!((subscribe.remove_sought, subscribe.add_sought.len()), (vec!["10.0.0.1".to_owned()], 0));
}

#[tokio::test]
async fn at_the_bound_addresses_that_nobody_knows_make_room_and_what_is_known_stays() {
    let ca = TestCa::new("amime.test");
    let (_controller, mut talk, proxy) = begun(&ca, Tuning { max_sought: 1, ..Tuning::default() }).await;
    let asked = async {
        let unknown_sought = talk.subscribe().await.add_sought;
        talk.update(Update { unknown_sought, ..answer(2, 2, &[]) }).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.discovery.address(at([10, 9, 9, 9], 80), DEADLINE), asked);
    assert_eq!(found.unwrap_err(), Undiscovered::Unknown);
    let asked = async {
        let subscribe = talk.subscribe().await;
        assert_eq!(subscribe.remove_sought, ["10.9.9.9"]);
        talk.update(answer(3, 3, &[own_address(POD)])).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.discovery.address(at(POD, 80), DEADLINE), asked);
    found.unwrap();
    let beyond = proxy.discovery.address(at([10, 9, 9, 8], 80), MOMENT).await;
    assert_eq!(beyond.unwrap_err(), Undiscovered::Unavailable);
    let metrics = proxy.metrics();
    assert!(metrics.contains("mesh_config_sought_refused_total 2"), "{metrics}");
    assert!(metrics.contains("mesh_config_sought 1"), "{metrics}");
}

#[tokio::test]
async fn a_fixed_configuration_knows_the_addresses_it_was_given() {
    let all = [cart().as_slice(), &[virtual_address(VIRTUAL, "cart"), own_address(POD)]].concat();
    let (discovery, _control) = Discovery::fixed("shop", all);
    let found = discovery.address(at(VIRTUAL, 80), DEADLINE).await;
    assert!(matches!(found, Ok(Reached::Service { .. })), "{found:?}");
    assert!(matches!(discovery.address(at(POD, 80), DEADLINE).await, Ok(Reached::Direct(_))));
    assert_eq!(discovery.address(at([1, 2, 3, 4], 80), DEADLINE).await.unwrap_err(), Undiscovered::Unknown);
}
