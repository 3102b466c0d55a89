//! Facts about the admin server, over real sockets.

use super::*;
use crate::bind::{self, ReusePort};
use crate::ready::Gate;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DEADLINE: Duration = Duration::from_secs(30);

fn start(state: &AdminState, tasks: &Tasks) -> SocketAddr {
    let listener = bind::tcp((Ipv4Addr::LOCALHOST, 0).into(), ReusePort::No).unwrap();
    let addr = listener.local_addr().unwrap();
    let (state, set) = (state.clone(), tasks.clone());
    tasks.spawn("admin", async move { serve(listener, state, set).await.unwrap() });
    addr
}

fn state() -> (AdminState, Gate) {
    let ready = Ready::new();
    let gate = ready.gate("identity");
    (AdminState::new(ready, Arc::new(Registry::default())), gate)
}

async fn ask(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn readyz_lists_what_is_pending_until_it_is_not() {
    let (state, gate) = state();
    let tasks = Tasks::new();
    let addr = start(&state, &tasks);
    let answer = ask(addr, "GET /readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("waiting for: identity"), "{answer}");
    gate.open();
    assert!(ask(addr, "GET /readyz").await.starts_with("HTTP/1.1 200"));
    assert!(ask(addr, "GET /livez").await.starts_with("HTTP/1.1 200"));
    tasks.shutdown(DEADLINE).await;
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let (state, _gate) = state();
    let tasks = Tasks::new();
    let answer = ask(start(&state, &tasks), "GET /metrics").await;
    assert!(answer.contains("application/openmetrics-text"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    let plain = ask(start(&state, &tasks), "GET /metrics HTTP/1.1\r\nAccept: text/plain\r\nX: ").await;
    assert!(plain.contains("text/plain; version=0.0.4") && !plain.contains("EOF"), "{plain}");
    tasks.shutdown(DEADLINE).await;
}

#[tokio::test]
async fn own_routes_answer_their_method_only() {
    let (state, _gate) = state();
    let state = state.route(Method::POST, "/drain", |request| Answer::text(format!("{:?}", request.query)));
    let tasks = Tasks::new();
    let addr = start(&state, &tasks);
    assert!(ask(addr, "POST /drain?now").await.ends_with("Some(\"now\")"));
    assert!(ask(addr, "GET /drain").await.starts_with("HTTP/1.1 405"));
    assert!(ask(addr, "POST /livez").await.starts_with("HTTP/1.1 405"));
    let missing = ask(addr, "GET /nothing").await;
    assert!(missing.starts_with("HTTP/1.1 404") && missing.contains("POST /drain"), "{missing}");
    tasks.shutdown(DEADLINE).await;
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_and_are_counted() {
    let (state, _gate) = state();
    let state = state.max_connections(1);
    let tasks = Tasks::new();
    let addr = start(&state, &tasks);
    // One that says nothing takes the only place.
    let idle = TcpStream::connect(addr).await.unwrap();
    tokio::time::timeout(DEADLINE, async {
        while state.times_full() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    let mut waiting = Box::pin(ask(addr, "GET /livez"));
    tokio::select! {
        biased;
        answer = &mut waiting => panic!("served beyond the bound: {answer}"),
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    drop(idle);
    assert!(waiting.await.starts_with("HTTP/1.1 200"));
    tasks.shutdown(DEADLINE).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (state, _gate) = state();
    let tasks = Tasks::new();
    let addr = start(&state, &tasks);
    let answer = ask(addr, &format!("GET /{}", "a".repeat(2 * MAX_HEAD))).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    tasks.shutdown(DEADLINE).await;
}

// T43
#[tokio::test]
async fn a_panic_is_in_the_metrics_of_every_daemon() {
    let (state, _gate) = state();
    let tasks = Tasks::new();
    tasks.spawn("doomed beside metrics", async { panic!("on purpose") });
    let addr = start(&state, &tasks);
    let said = tokio::time::timeout(DEADLINE, async {
        loop {
            let answer = ask(addr, "GET /metrics").await;
            if answer.contains("mesh_task_panics_total{task=\"doomed beside metrics\"} 1\n") {
                return answer;
            }
        }
    });
    let answer = said.await.unwrap();
    assert!(answer.contains("mesh_task_restarts_total{task=\"doomed beside metrics\"} 0\n"), "{answer}");
    assert!(answer.ends_with("# EOF\n") && answer.matches("# EOF").count() == 1, "{answer}");
    tasks.shutdown(DEADLINE).await;
}
