//! Facts about coarse deadlines, on tokio's paused clock.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::Instant;

use super::{Deadline, TABLE, TICK, sweeper};

fn taken() -> usize {
    TABLE.with(|table| {
        let entries = table.entries.borrow();
        entries.all.len() - entries.free.len()
    })
}

#[tokio::test]
async fn a_deadline_is_met_and_gives_its_place_back() {
    let waits = async {
        let begun = Instant::now();
        let limit = Duration::from_millis(250);
        let mut deadline = Deadline::at(begun + limit);
        poll_fn(|cx| deadline.poll(cx)).await;
        assert!(begun.elapsed() >= limit);
        assert_eq!(taken(), 1);
        drop(deadline);
        assert_eq!(taken(), 0);
        // Another one, after the sweeper had nothing to do.
        tokio::time::sleep(3 * TICK).await;
        let mut deadline = Deadline::at(Instant::now() + limit);
        poll_fn(|cx| deadline.poll(cx)).await;
    };
    tokio::select! {
        () = waits => {}
        () = sweeper() => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("a deadline was never met"),
    }
}

#[tokio::test]
async fn a_deadline_that_moves_is_met_at_its_last_time_and_one_without_a_time_never() {
    let waits = async {
        let mut never = Deadline::never();
        let mut deadline = Deadline::at(Instant::now() + Duration::from_hours(1));
        let mut moved = false;
        poll_fn(|cx| {
            assert!(never.poll(cx).is_pending());
            let polled = deadline.poll(cx);
            if !std::mem::replace(&mut moved, true) {
                deadline.set(Some(Instant::now() + TICK));
            }
            polled
        })
        .await;
    };
    tokio::select! {
        () = waits => {}
        () = sweeper() => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("a deadline was never met"),
    }
}

#[tokio::test]
async fn after_a_time_without_work_the_clock_does_not_go_back() {
    let waits = async {
        // The sweeper finds nothing to do and sleeps for longer than its tick.
        tokio::time::sleep(5 * TICK).await;
        let asked = super::now();
        assert!(TABLE.with(|table| table.now.get()).is_none(), "noted down with nobody to keep it");
        tokio::time::sleep(TICK).await;
        assert!(super::now() > asked);
        let began = Instant::now();
        let mut deadline = Deadline::at(began + Duration::from_hours(1));
        poll_fn(|cx| std::task::Poll::Ready(deadline.poll(cx).is_pending())).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
            assert!(super::now() >= began, "what is set now would be over too early");
        }
    };
    tokio::select! {
        () = waits => {}
        () = sweeper() => {}
    }
}
