//! The controller and the certificate authority are killed under load: no request fails, both come back, and a change
//! made meanwhile arrives.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/mesh.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use mesh_lifecycle::tasks::Tasks;
use rustix::process::Signal;
use support::{Home, get, kill, pid_of, proxy_of, restarts_of, wait_for};

/// What callers saw.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    failures: Vec<String>,
    /// Answers by the second version since the last one by the first.
    second_in_a_row: u64,
}

async fn ask_again_and_again(proxy: SocketAddr, seen: Arc<Mutex<Seen>>) {
    loop {
        let reply = get(proxy, "http://web/products/1").await;
        let mut seen = seen.lock().unwrap();
        seen.requests += 1;
        match reply {
            Ok(reply) if reply.status == 200 => {
                let second = reply.text.to_lowercase().contains("x-reviews-version: v2");
                seen.second_in_a_row = if second { seen.second_in_a_row + 1 } else { 0 };
            }
            other => seen.failures.push(format!("{other:?}")),
        }
    }
}

#[tokio::test]
async fn nobody_notices_that_controller_and_ca_were_killed() {
    let home = Home::new("kill");
    let mut demo = home.start("demo", &["demo", "--rps", "10"]);
    let state = home.ready(&mut demo).await;
    let tasks = Tasks::new();
    let seen = Arc::new(Mutex::new(Seen::default()));
    for _ in 0..4 {
        tasks.spawn("caller", ask_again_and_again(proxy_of(&state, "visitor"), Arc::clone(&seen)));
    }
    wait_for("the load", async || (seen.lock().unwrap().requests > 50).then_some(())).await;

    for part in ["mesh-controller", "mesh-ca"] {
        kill(pid_of(&state, part).unwrap(), Signal::KILL);
    }
    let route = home.objects().join("reviews-route.yaml");
    let text = std::fs::read_to_string(&route).unwrap();
    let changed = text.replace("weight: 90", "weight: 0").replace("weight: 10\n", "weight: 100\n");
    assert_ne!(text, changed);
    std::fs::write(&route, changed).unwrap();

    wait_for("both to be started again", async || {
        let state = home.state()?;
        let back = |part| restarts_of(&state, part) > 0 && pid_of(&state, part).is_some();
        (back("mesh-controller") && back("mesh-ca")).then_some(())
    })
    .await;
    wait_for("the change to be in force", async || {
        (seen.lock().unwrap().second_in_a_row >= 100).then_some(())
    })
    .await;
    // The certificate authority gives out identities again, and all sidecars are connected again.
    let member = home.output(&["run", "--name", "late", "--", "true"]);
    assert_eq!(member.status.code(), Some(0), "{}\n{}", String::from_utf8_lossy(&member.stderr), home.logs());
    wait_for("all to be in sync", async || (home.output(&["sync"]).status.code() == Some(0)).then_some(()))
        .await;

    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert!(seen.failures.is_empty(), "{:?} of {}\n{}", seen.failures, seen.requests, home.logs());
    demo.signal(Signal::INT);
    assert_eq!(demo.ended().await, Some(0));
}
