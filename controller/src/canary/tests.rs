//! Where states are kept, and what an order is answered.

use mesh_release::machine::Routing;
use mesh_release::plan::Plan;

use super::events::Events;
use super::*;
use crate::api::Kind;
use crate::cluster::Cluster;
use crate::status::counters::AnnounceCounters;

pub(super) fn release(state: Option<State>) -> Release {
    let service = |name| mesh_model::name::ServiceName::new("shop", name).unwrap();
    Release {
        key: ObjectKey::new(Kind::Canary, "shop", "cart"),
        plan: Plan::default(),
        asks: Vec::new(),
        sides: 1,
        version: "v2".to_owned(),
        target: None,
        cohort: Vec::new(),
        stable: service("cart-v1"),
        canary: service("cart-v2"),
        ready: (1, 1),
        own_weights: 1,
        state,
        routing: Routing::Stable,
        compare: None,
        refused: None,
    }
}

fn at(step: usize) -> State {
    State { step, phase: Phase::Progressing, ..State::of("v2", Vec::new()) }
}

#[tokio::test]
async fn a_state_outlives_the_process_and_goes_with_its_object() {
    let folder = tempfile::tempdir().unwrap();
    let file = Some(folder.path().join("releases.json"));
    let (mut keeper, seen) = Keeper::here(file.clone());
    assert_eq!(keeper.known(&release(None)), None);
    keeper.keep(&release(None).key, None, at(1), &[]).await.unwrap();
    assert_eq!(seen.borrow().values().collect::<Vec<_>>(), [&at(1)], "the control loop compiles with it");
    let (mut next, _seen) = Keeper::here(file.clone());
    assert_eq!(next.known(&release(None)), Some(at(1)));
    next.forget(&[]).await;
    let (mut last, _seen) = Keeper::here(file);
    assert_eq!(last.known(&release(None)), None);
}

#[tokio::test]
async fn what_was_written_counts_until_it_is_seen() {
    let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
    let cluster = Cluster::of(config).unwrap();
    let key = release(None).key;
    let written = BTreeMap::from([(key, (Some(at(0)), at(1)))]);
    let events = Events::new(ReleaseCounters::default());
    let mut keeper = Keeper::Cluster { cluster, leads: AnnounceCounters::default(), written, events };
    assert!(!keeper.leads());
    assert_eq!(keeper.known(&release(Some(at(0)))), Some(at(1)), "the watch is behind");
    assert_eq!(keeper.known(&release(Some(at(1)))), Some(at(1)), "it is seen");
    assert_eq!(keeper.known(&release(Some(at(0)))), Some(at(0)), "somebody set it back");
    let error = keeper.keep(&release(None).key, None, at(2), &[]).await.unwrap_err();
    assert!(error.starts_with("the state of Canary shop/cart cannot be written"), "{error}");
}

#[test]
fn an_order_that_does_not_apply_is_refused_with_the_reason() {
    let why = |reason, message: &str| Why { reason, message: message.to_owned() };
    assert_eq!(said(&[why(Reason::Aborted, "somebody aborted it")]), Ok("somebody aborted it".to_owned()));
    let ignored = why(Reason::Ignored, "Abort does not apply");
    assert_eq!(said(&[ignored]), Err(Unheard::NotNow("Abort does not apply".to_owned())));
}
