//! A proxy that restarts while its controller is away.

use std::net::IpAddr;
use std::path::Path;

use super::*;
use crate::state::LookupAddress;
use crate::state::tests::addresses::virtual_address;

fn keep(dir: &Path) -> Keep {
    Keep { dir: dir.to_owned(), expires: Duration::from_hours(24) }
}

/// That of `virtual_address(7, ..)`.
const VIRTUAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 7));

/// Quick enough for a test; no test asserts the times.
fn quick() -> Tuning {
    let moment = Duration::from_millis(20);
    Tuning { patience: moment, settle: moment, spacing: moment, ..Tuning::default() }
}

/// Runs a proxy against a controller until it has saved that it knows `cart` and an address of it; then both are gone.
async fn lived(ca: &TestCa, dir: &Path) -> SocketAddr {
    let mut controller = Controller::start(ca);
    let proxy = keeping(ca, controller.address, quick(), Some(keep(dir)));
    let mut talk = controller.config().await;
    assert!(talk.hello().await.held.is_empty());
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    let asked = async {
        talk.subscribe().await;
        talk.update(answer(
            2,
            2,
            &[service("cart"), endpoints("cart", &[1]), policy("limits", on_service("cart", None), 7)],
        ))
        .await;
        talk.ack().await;
        talk.subscribe().await;
        talk.update(answer(3, 3, &[virtual_address(7, "cart")])).await;
        talk.ack().await;
    };
    let ask = async {
        proxy.find("cart").await.unwrap();
        proxy.discovery.address((VIRTUAL, 80).into(), DEADLINE).await.unwrap();
    };
    let ((), ()) = tokio::join!(ask, asked);
    until_saved(dir, |store| store.held().len() == 5).await;
    // It would go on, and be taken for the one that comes after it.
    proxy.tasks.shutdown(DEADLINE).await;
    controller.address
}

async fn until_saved(dir: &Path, wanted: impl Fn(&crate::state::Store) -> bool) {
    let node = ProxyId { namespace: "shop".into(), workload: "front".into(), instance: String::new() };
    let saved = async {
        loop {
            let bytes = std::fs::read(dir.join("state")).unwrap_or_default();
            if crate::state::Store::restore(&bytes, &node).is_ok_and(|store| wanted(&store)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, saved).await.unwrap();
}

#[tokio::test]
async fn a_restart_without_a_controller_serves_what_was_accepted_last() {
    let (ca, dir) = (TestCa::new("amime.test"), tempfile::tempdir().unwrap());
    let away = lived(&ca, dir.path()).await;
    let proxy = keeping(&ca, away, quick(), Some(keep(dir.path())));
    tokio::time::timeout(DEADLINE, proxy.ready.wait()).await.unwrap();
    let found = proxy.discovery.destination(&name("cart"), Duration::ZERO).await.unwrap();
    assert_eq!(found.service.name, name("cart"));
    let snapshot = proxy.discovery.snapshot();
    assert_eq!(snapshot.endpoints(&name("cart")).unwrap().port(80).len(), 1);
    assert!(matches!(snapshot.address(VIRTUAL), LookupAddress::Known(_)));
    assert!(proxy.discovery.saved_age().is_some());
    let metrics = proxy.metrics();
    assert!(!metrics.contains("mesh_config_saved_state_age_seconds 0.0\n"), "{metrics}");
    // What nobody has ever asked for cannot be known.
    let unknown = proxy.discovery.destination(&name("stock"), MOMENT).await;
    assert_eq!(unknown.unwrap_err(), Undiscovered::Unavailable);

    // And when it is back, it is told what is held, and its word counts.
    let mut controller = Controller::start_at(&ca, away);
    let mut talk = controller.config().await;
    let hello = talk.hello().await;
    assert_eq!(hello.held.len(), 5);
    assert!(names(&hello.destinations).contains(&"cart"));
    assert_eq!(hello.sought, [VIRTUAL.to_string()]);
    talk.update(answer(1, 1, &[endpoints("cart", &[1, 2])])).await;
    proxy.until(|s| s.endpoints(&name("cart")).is_some_and(|e| e.port(80).len() == 2)).await;
    assert!(proxy.discovery.saved_age().is_none());
    assert!(proxy.metrics().contains("mesh_config_saved_state_age_seconds 0.0\n"));
}

#[tokio::test]
async fn a_controller_that_is_there_is_asked_before_the_saved_state_is_shown() {
    let (ca, dir) = (TestCa::new("amime.test"), tempfile::tempdir().unwrap());
    let address = lived(&ca, dir.path()).await;
    let mut controller = Controller::start_at(&ca, address);
    let patient = Tuning { patience: DEADLINE * 10, ..quick() };
    let proxy = keeping(&ca, address, patient, Some(keep(dir.path())));
    let mut talk = controller.config().await;
    assert_eq!(talk.hello().await.held.len(), 5);
    assert!(proxy.discovery.snapshot().settings().is_none());
    assert_eq!(proxy.ready.pending(), ["configuration"]);
    let gone = Update { removed: vec!["trafficpolicy/shop/limits".to_owned()], ..answer(1, 1, &[]) };
    talk.update(gone).await;
    talk.ack().await;
    proxy.until(|s| s.settings().is_some()).await;
    assert!(proxy.discovery.saved_age().is_none());
    until_saved(dir.path(), |store| store.held().len() == 4).await;
}

#[tokio::test]
async fn a_damaged_or_an_old_state_is_ignored_and_counted() {
    let (ca, dir) = (TestCa::new("amime.test"), tempfile::tempdir().unwrap());
    let away = lived(&ca, dir.path()).await;
    let path = dir.path().join("state");
    let whole = std::fs::read(&path).unwrap();
    let ignored = async |proxy: Proxy| {
        let counted = async {
            while !proxy.metrics().contains("mesh_config_saved_state_ignored_total 1") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, counted).await.unwrap();
        assert_eq!(proxy.ready.pending(), ["configuration"]);
        assert!(proxy.discovery.snapshot().settings().is_none());
    };
    let last = whole.len() - 1;
    std::fs::write(&path, &whole[..last]).unwrap();
    ignored(keeping(&ca, away, quick(), Some(keep(dir.path())))).await;
    std::fs::write(&path, &whole).unwrap();
    ignored(keeping(&ca, away, quick(), Some(Keep { expires: Duration::ZERO, ..keep(dir.path()) }))).await;
}
