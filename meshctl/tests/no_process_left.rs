//! Whatever ends `meshctl`, nothing that it started is left: neither a part of the mesh nor a user's command.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/mesh.rs"]
mod support;

use rustix::process::Signal;
use support::{Home, descendants, lives, wait_for};

/// Starts it, waits until `grown`, ends it by `signal`, waits until nothing is left.
async fn ends_with_all(home: &Home, args: &[&str], grown: usize, signal: Signal) -> Option<i32> {
    let mut running = home.start("it", args);
    let all = wait_for("all processes to run", async || {
        assert!(
            running.child.try_wait().unwrap().is_none(),
            "it ended: {}\n{}",
            running.stderr(),
            home.logs()
        );
        let all = descendants(running.pid());
        (all.len() >= grown && home.state()?["ready"] == true).then_some(all)
    })
    .await;
    assert!(all.iter().all(|pid| lives(*pid)));
    running.signal(signal);
    let code = running.ended().await;
    wait_for(&format!("{all:?} to end after {signal:?}"), async || {
        all.iter().all(|pid| !lives(*pid)).then_some(())
    })
    .await;
    code
}

// CA, controller, seven services and the visitor with their sidecars: 2 + 7 + 8.
const DEMO: usize = 17;

#[tokio::test]
async fn a_demo_that_is_interrupted_ends_all_its_processes() {
    let home = Home::new("interrupted");
    assert_eq!(ends_with_all(&home, &["demo"], DEMO, Signal::INT).await, Some(0));
    assert!(home.state().is_none());
}

#[tokio::test]
async fn a_demo_that_is_killed_takes_all_its_processes_with_it() {
    let home = Home::new("killed");
    assert_eq!(ends_with_all(&home, &["demo"], DEMO, Signal::KILL).await, None);
    // The name is free again although nobody cleaned up.
    let again = home.output(&["run", "--name", "x", "--", "true"]);
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
}

// CA, controller, sidecar, watcher, shell and its two children.
const RUN: usize = 7;
const COMMAND: [&str; 7] = ["run", "--name", "x", "--", "sh", "-c", "sleep 1000 & sleep 1000; true"];

#[tokio::test]
async fn a_command_and_its_children_end_when_its_member_is_killed() {
    let home = Home::new("member");
    assert_eq!(ends_with_all(&home, &COMMAND, RUN, Signal::KILL).await, None);
}

#[tokio::test]
async fn a_command_and_its_children_end_when_its_member_is_asked_to_end() {
    let home = Home::new("asked");
    // The shell was ended by SIGTERM: 128 + 15.
    assert_eq!(ends_with_all(&home, &COMMAND, RUN, Signal::TERM).await, Some(143));
}
