//! Facts about task sets.

use super::*;
use tokio::sync::oneshot;

const DEADLINE: Duration = Duration::from_secs(30);

// T43
#[tokio::test]
async fn a_panic_ends_its_task_alone_and_is_counted() {
    let tasks = Tasks::new();
    let (tx, rx) = oneshot::channel();
    let (go, wait) = oneshot::channel::<()>();
    tasks.spawn("survivor", async move {
        let _ = wait.await;
        let _ = tx.send(());
    });
    tasks.spawn("doomed", async { panic!("on purpose") });
    tokio::time::timeout(DEADLINE, async {
        while tasks.panics() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    go.send(()).unwrap();
    rx.await.unwrap();
    assert_eq!(tasks.panics(), 1);
    assert_eq!(tasks.shutdown(DEADLINE).await, Shutdown::Clean);
}

#[tokio::test]
async fn shutdown_is_clean_when_tasks_follow_the_token() {
    let tasks = Tasks::new();
    let token = tasks.token();
    tasks.spawn("polite", async move { token.cancelled().await });
    assert_eq!(tasks.active(), 1);
    assert_eq!(tasks.shutdown(DEADLINE).await, Shutdown::Clean);
    assert_eq!(tasks.active(), 0);
}

#[tokio::test]
async fn shutdown_drops_tasks_that_do_not_end() {
    struct Dropped(Option<oneshot::Sender<()>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }
    let tasks = Tasks::new();
    let (tx, rx) = oneshot::channel();
    let guard = Dropped(Some(tx));
    tasks.spawn("deaf", async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    assert_eq!(tasks.shutdown(Duration::from_millis(10)).await, Shutdown::Forced { left: 1 });
    rx.await.unwrap();
}

#[tokio::test]
async fn local_tasks_are_counted_too() {
    let tasks = Tasks::new();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let here = std::rc::Rc::new(());
            tasks.spawn_local("local", async move { drop(here) });
            assert_eq!(tasks.active(), 1);
            assert_eq!(tasks.shutdown(DEADLINE).await, Shutdown::Clean);
        })
        .await;
}

fn waits(
    tasks: &Tasks,
    name: &'static str,
    steady: Duration,
) -> tokio::sync::mpsc::Receiver<(tokio::time::Instant, Beginning)> {
    let (begun, beginnings) = tokio::sync::mpsc::channel(64);
    tasks.keep(name, begun, move |begun, beginning| {
        Box::pin(async move {
            begun.send((tokio::time::Instant::now(), beginning)).await.unwrap();
            tokio::time::sleep(steady).await;
            panic!("on purpose");
        })
    });
    beginnings
}

// T43
#[tokio::test(start_paused = true)]
async fn work_that_panics_begins_anew_after_a_wait_that_grows_to_a_bound_and_is_counted() {
    let tasks = Tasks::new();
    let mut beginnings = waits(&tasks, "doomed for ever", Duration::ZERO);
    let mut at = Vec::new();
    for number in 0..30_u64 {
        let (begun, beginning) = beginnings.recv().await.unwrap();
        assert_eq!(beginning, if number == 0 { Beginning::First } else { Beginning::Again });
        let counts = counts("doomed for ever");
        assert!(counts.restarts == number && counts.panics >= number, "{counts:?}");
        at.push(begun);
    }
    let gaps: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= Duration::from_millis(100)), "a busy loop: {gaps:?}");
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_millis(30_002)), "unbounded: {gaps:?}");
    assert!(gaps[10..].iter().max() > Some(&Duration::from_secs(5)), "no back-off: {gaps:?}");
    assert_eq!(tasks.active(), 1);
    assert_eq!(
        tasks.shutdown(Duration::from_mins(1)).await,
        Shutdown::Clean,
        "it is told between two beginnings"
    );
}

#[tokio::test(start_paused = true)]
async fn work_that_went_on_for_long_starts_from_the_least_wait_again() {
    let tasks = Tasks::new();
    let steady = Duration::from_secs(61);
    let mut beginnings = waits(&tasks, "doomed now and then", steady);
    let mut last = beginnings.recv().await.unwrap().0;
    for _ in 0..20 {
        let (begun, _) = beginnings.recv().await.unwrap();
        assert!(begun - last <= steady + Duration::from_millis(202), "{:?}", begun - last);
        last = begun;
    }
    tasks.shutdown(Duration::from_mins(2)).await;
}

#[tokio::test]
async fn work_that_ends_by_itself_does_not_begin_anew_and_its_state_goes_with_it() {
    let tasks = Tasks::new();
    let (state, dropped) = oneshot::channel::<()>();
    tasks.keep("done", state, |_, _| Box::pin(async {}));
    assert!(dropped.await.is_err());
    assert_eq!(tasks.shutdown(DEADLINE).await, Shutdown::Clean);
    assert_eq!(counts("done"), Counts::default());
}

#[tokio::test(start_paused = true)]
async fn work_that_is_kept_is_dropped_at_the_deadline_too() {
    let tasks = Tasks::new();
    tasks.keep("deaf and kept", (), |(), _| Box::pin(std::future::pending()));
    assert_eq!(tasks.shutdown(Duration::from_millis(10)).await, Shutdown::Forced { left: 1 });
}
