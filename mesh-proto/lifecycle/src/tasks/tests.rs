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
