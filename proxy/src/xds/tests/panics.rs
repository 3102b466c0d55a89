//! T43: a panic amid an update costs nothing that was in force, and what was not taken in comes again.

use mesh_lifecycle::failpoint;

use super::*;

#[tokio::test]
async fn after_a_panic_the_last_state_stays_in_force_and_everything_is_asked_for_anew() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = named(&ca, controller.address, Tuning::default(), None, "panics");
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &cart())).await;
    talk.ack().await;
    proxy.until(|s| s.endpoints(&name("cart")).is_some()).await;
    assert!(proxy.ready.is_ready());

    let before = mesh_lifecycle::tasks::counts("configuration");
    failpoint::arm("configuration", "panics", 2);
    for _ in 0..2 {
        talk.update(answer(1, 2, &[endpoints("cart", &[1, 2])])).await;
        assert!(talk.next().await.is_none(), "the stream ends with the task");
        // Traffic goes on meanwhile, and the process is as ready as before.
        let held = proxy.discovery.snapshot();
        assert_eq!(held.endpoints(&name("cart")).unwrap().port(80).len(), 1);
        assert!(proxy.ready.is_ready());

        talk = controller.config().await;
        let hello = talk.hello().await;
        let held: Vec<_> =
            hello.held.iter().map(|held| (held.name.as_str(), held.version.as_str())).collect();
        assert_eq!(
            held.len(),
            3,
            "the controller hears what is held, so that it can say what is gone: {held:?}"
        );
        assert!(
            held.iter().all(|(_, version)| version.is_empty()),
            "nothing is believed to be whole: {held:?}"
        );
    }
    talk.update(answer(1, 3, &[mesh(false), service("cart"), endpoints("cart", &[1, 2])])).await;
    assert_eq!(talk.ack().await.nonce, 3);
    proxy.until(|s| s.endpoints(&name("cart")).is_some_and(|e| e.port(80).len() == 2)).await;
    let after = mesh_lifecycle::tasks::counts("configuration");
    assert_eq!((after.panics - before.panics, after.restarts - before.restarts), (2, 2));
    proxy.tasks.shutdown(DEADLINE).await;
}
