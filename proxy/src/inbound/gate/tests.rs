//! The queue before the workload: turns in order, no turn beyond its bound, no trace of who went away, an end of every wait.

use futures_util::FutureExt;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn gate(queue: u32) -> Rc<Gate> {
    Gate::new(AdaptiveConcurrency { min: 1, max: 1, tolerance: 1500, queue })
}

#[tokio::test]
async fn turns_are_given_in_order_and_beyond_the_queue_there_is_none() {
    let gate = gate(2);
    let (first, wait) = gate.turn(HOUR).await.unwrap();
    assert_eq!(wait, Wait::None);
    let mut second = Box::pin(gate.turn(HOUR));
    let mut third = Box::pin(gate.turn(HOUR));
    assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
    assert_eq!(gate.turn(HOUR).await.unwrap_err(), Refused::Full);
    first.answered();
    assert!((&mut third).now_or_never().is_none(), "the second is first in line");
    let (second, wait) = second.await.unwrap();
    assert_eq!(wait, Wait::Some);
    drop(second);
    assert!(third.await.is_ok());
}

#[tokio::test]
async fn who_goes_away_leaves_no_trace() {
    let gate = gate(1);
    let (first, _) = gate.turn(HOUR).await.unwrap();
    let mut second = Box::pin(gate.turn(HOUR));
    assert!((&mut second).now_or_never().is_none());
    drop(second);
    let mut third = Box::pin(gate.turn(HOUR));
    assert!((&mut third).now_or_never().is_none(), "its place in the queue was free");
    // The turn is given while nobody looks, and its owner goes away without having seen it.
    drop(first);
    drop(third);
    assert!(gate.turn(HOUR).await.is_ok());
}

#[tokio::test]
async fn a_wait_ends() {
    let gate = gate(1);
    let _first = gate.turn(HOUR).await.unwrap();
    assert_eq!(gate.turn(Duration::ZERO).await.unwrap_err(), Refused::Late);
}
