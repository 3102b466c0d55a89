//! When a request is sent again, and when not.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use http::Request;
use mesh_model::service::Protocol;
use mesh_model::traffic::{Algorithm, Balancing, Hedging, Ppm, Pushback, RetryBudget, RetryMethods};
use tokio::io::AsyncReadExt;

use crate::harness::*;
use crate::policies::*;

#[tokio::test]
async fn a_503_is_the_answer_unless_the_policy_says_otherwise() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(503)]).await;
    let client = cart(&mut mesh, &[app.address], |_| {});
    assert_eq!(status(&mesh, &client).await, 503);
    assert_eq!(app.hits(), 1);
}

#[tokio::test]
async fn a_named_status_is_retried_and_told_apart_by_its_number() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(503), line(503), line(200)]).await;
    let client = cart(&mut mesh, &[app.address], |s| s.retries = Some(retries(2, &[503])));
    assert_eq!(status(&mesh, &client).await, 200);
    assert_eq!(app.headers("x-mesh-attempt"), ["1", "2", "3"]);
    client.counts(&["mesh_events", "\"retried\""], 2.0).await;
    client.counts(&["mesh_events", "\"retry_helped\""], 1.0).await;
}

#[tokio::test]
async fn attempts_end_with_the_last_answer() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(503)]).await;
    let client = cart(&mut mesh, &[app.address], |s| s.retries = Some(retries(2, &[503])));
    assert_eq!(status(&mesh, &client).await, 503);
    assert_eq!(app.hits(), 3);
}

#[tokio::test]
async fn a_post_is_repeated_only_where_the_user_says_so() {
    for (methods, want) in [(RetryMethods::Idempotent, 1), (RetryMethods::All, 2)] {
        let mut mesh = Mesh::new();
        let app = scripted(&mesh.tasks, vec![line(503), line(200)]).await;
        let client = cart(&mut mesh, &[app.address], |s| {
            s.retries = Some(mesh_model::traffic::Retries { methods, ..retries(2, &[503]) });
        });
        let (status, _, _) = exchange(&mesh, client.outbound(), request("POST", "pay")).await;
        assert_eq!((status, app.hits()), (if want == 1 { 503 } else { 200 }, want), "{methods:?}");
        assert!(app.bodies().iter().all(|body| body == "pay"), "the body is sent each time");
    }
}

#[tokio::test]
async fn a_body_beyond_the_bound_streams_but_is_not_repeated() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(503), line(200)]).await;
    let client = cart(&mut mesh, &[app.address], |s| {
        s.retries = Some(mesh_model::traffic::Retries { body_bytes: 4, ..retries(2, &[503]) });
    });
    let (status, _, _) = exchange(&mesh, client.outbound(), request("PUT", "12345")).await;
    assert_eq!((status, app.hits()), (503, 1));
    assert_eq!(app.bodies(), ["12345"]);
}

#[tokio::test]
async fn a_connect_that_fails_moves_even_a_post_to_another_endpoint() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = cart(&mut mesh, &[nobody(), nobody(), app.address], |_| {});
    for n in 1..=10 {
        let (status, _, _) = exchange(&mesh, client.outbound(), request("POST", "pay")).await;
        assert_eq!((status, app.hits()), (200, n));
    }
}

#[tokio::test]
async fn the_budget_bounds_retries() {
    let mut mesh = Mesh::new();
    let app = scripted(&mesh.tasks, vec![line(503)]).await;
    let client = cart(&mut mesh, &[app.address], |s| {
        s.retries = Some(retries(2, &[503]));
        s.retry_budget =
            Some(RetryBudget { share: Ppm(200_000), min_per_second: 0, window: Duration::from_mins(10) });
    });
    for _ in 0..50 {
        assert_eq!(status(&mesh, &client).await, 503);
    }
    assert_eq!(app.hits(), 60, "50 requests and a fifth of them again");
    until(|| async { client.count(&["mesh_events", "\"retry_refused_budget\""]).await > 0.0 }).await;
}

#[tokio::test]
async fn the_servers_wish_is_kept_or_ends_the_retries() {
    for (wish, most, want) in [("0", 5, 200), ("3600", 5, 503), ("3600", 0, 503)] {
        let mut mesh = Mesh::new();
        let app = scripted(&mesh.tasks, vec![with(503, "retry-after", wish), line(200)]).await;
        let client = cart(&mut mesh, &[app.address], |s| {
            let pushback = Pushback::Honour(Duration::from_secs(most));
            s.retries = Some(mesh_model::traffic::Retries { pushback, ..retries(2, &[503]) });
        });
        assert_eq!(status(&mesh, &client).await, want, "{wish}");
    }
}

#[tokio::test]
async fn a_negative_pushback_stops_a_grpc_call() {
    for (pushback, want, hits) in [(None, "0", 2), (Some("1"), "0", 2), (Some("-1"), "14", 1)] {
        let mut mesh = Mesh::new();
        let app = scripted(&mesh.tasks, vec![grpc(14, pushback), grpc(0, None)]).await;
        let client = cart(&mut mesh, &[app.address], |s| {
            s.retries = Some(mesh_model::traffic::Retries { grpc_statuses: vec![14], ..retries(2, &[]) });
        });
        let (status, _) = call(&mesh, &client, None).await;
        assert_eq!((status.as_str(), app.hits()), (want, hits), "{pushback:?}");
    }
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_made_anew_elsewhere() {
    let mut mesh = Mesh::new();
    let slow = scripted(&mesh.tasks, vec![hangs()]).await;
    let fast = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = cart(&mut mesh, &[slow.address, fast.address], |s| {
        let attempt_timeout = Some(Duration::from_millis(100));
        s.retries = Some(mesh_model::traffic::Retries { attempt_timeout, ..retries(3, &[]) });
    });
    for _ in 0..10 {
        assert_eq!(status(&mesh, &client).await, 200);
    }
    assert_eq!(fast.hits(), 10);
}

#[tokio::test]
async fn a_connection_that_breaks_is_retried_for_what_may_be_repeated() {
    let mut mesh = Mesh::new();
    let breaks = peer(&mesh.tasks, |stream| async move {
        let mut byte = [0; 1];
        stream.readable().await.unwrap();
        let _ = stream.try_read(&mut byte);
    })
    .await;
    let app = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = cart(&mut mesh, &[breaks, app.address], |s| s.retries = Some(retries(3, &[])));
    for _ in 0..10 {
        assert_eq!(status(&mesh, &client).await, 200);
    }
}

#[tokio::test]
async fn a_hedge_wins_over_a_slow_endpoint_and_the_loser_is_ended() {
    let mut mesh = Mesh::new();
    let slow = scripted(&mesh.tasks, vec![hangs()]).await;
    let fast = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = cart(&mut mesh, &[slow.address, fast.address], |s| {
        s.hedging = Some(Hedging { delay: Duration::from_millis(50), extra: 1 });
    });
    for _ in 0..10 {
        assert_eq!(status(&mesh, &client).await, 200);
    }
    if slow.hits() > 0 {
        client.counts(&["mesh_events", "\"hedge_won\""], slow.hits() as f64).await;
    }
    let before = fast.hits();
    assert_eq!(exchange(&mesh, client.outbound(), request("PUT", "x")).await.0, 200);
    assert_eq!(fast.hits(), before + 1);
}

/// An endpoint that reads and never answers; what is given counts its connections that began and that ended.
async fn mute(mesh: &Mesh) -> (std::net::SocketAddr, Arc<[AtomicUsize; 2]>) {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let all = Arc::clone(&counts);
    let address = peer(&mesh.tasks, move |mut stream| {
        let counts = Arc::clone(&all);
        async move {
            let mut bytes = [0; 1024];
            if stream.read(&mut bytes).await.is_ok_and(|n| n > 0) {
                counts[0].fetch_add(1, SeqCst);
                while stream.read(&mut bytes).await.is_ok_and(|n| n > 0) {}
                counts[1].fetch_add(1, SeqCst);
            }
        }
    })
    .await;
    (address, counts)
}

#[tokio::test]
async fn the_loser_of_a_hedge_ends_at_its_endpoint() {
    let mut mesh = Mesh::new();
    let (slow, connections) = mute(&mesh).await;
    let fast = scripted(&mesh.tasks, vec![line(200)]).await;
    let client = cart(&mut mesh, &[slow, fast.address], |s| {
        s.balancing = Some(Balancing { algorithm: Algorithm::RoundRobin, ..Balancing::default() });
        s.hedging = Some(Hedging { delay: Duration::from_millis(50), extra: 1 });
    });
    for _ in 0..4 {
        assert_eq!(status(&mesh, &client).await, 200);
    }
    let begun = connections[0].load(SeqCst);
    assert!(begun > 0, "every second request begins there");
    until(|| async { connections[1].load(SeqCst) == connections[0].load(SeqCst) }).await;
    client.counts(&["mesh_events", "\"hedge_won\""], begun as f64).await;
}

#[tokio::test]
async fn the_losing_stream_of_a_hedge_is_reset_on_a_connection_that_stays() {
    let mut mesh = Mesh::new();
    let reset = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reset);
    let slow = peer(&mesh.tasks, move |stream| {
        let reset = Arc::clone(&count);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut held: Vec<h2::server::SendResponse<bytes::Bytes>> = vec![];
            let mut next = None;
            loop {
                let mut ended = std::pin::pin!(poll_fn(|cx| {
                    if let Poll::Ready(accepted) = connection.poll_accept(cx) {
                        next = Some(accepted);
                        return Poll::Ready(None);
                    }
                    let ended = held.iter_mut().position(|stream| stream.poll_reset(cx).is_ready());
                    ended.map_or(Poll::Pending, |at| Poll::Ready(Some(at)))
                }));
                match ended.as_mut().await {
                    Some(at) => {
                        held.remove(at);
                        reset.fetch_add(1, SeqCst);
                    }
                    None => match next.take() {
                        Some(Some(Ok((_, respond)))) => held.push(respond),
                        _ => break,
                    },
                }
            }
        }
    })
    .await;
    let fast = scripted(&mesh.tasks, vec![line(200)]).await;
    mesh.service("cart", 80, Some(Protocol::Http2), vec![plain(slow), plain(fast.address)]);
    mesh.services.push(policy("cart", |s| {
        s.balancing = Some(Balancing { algorithm: Algorithm::RoundRobin, ..Balancing::default() });
        s.hedging = Some(Hedging { delay: Duration::from_millis(50), extra: 1 });
    }));
    let client = mesh.client(&[("cart", 80)]);
    for _ in 0..4 {
        assert_eq!(status(&mesh, &client).await, 200);
    }
    until(|| async { reset.load(SeqCst) > 0 }).await;
}

/// web → cart → stock: both sidecars would retry, only the first does.
#[tokio::test]
async fn of_two_sidecars_along_a_chain_only_the_first_retries() {
    for header in ["x-mesh-attempt", "tracestate"] {
        let mut mesh = Mesh::new();
        let stock = scripted(&mesh.tasks, vec![line(503)]).await;
        mesh.service("stock", 80, None, vec![plain(stock.address)]);
        mesh.services.push(policy("stock", |s| s.retries = Some(retries(2, &[503]))));
        let second = mesh.client(&[("stock", 80)]);
        let (at, tasks) = (second.outbound(), mesh.tasks.clone());
        // An application that forwards what it is asked to, as those with trace headers do.
        let app = origin(&mesh.tasks, move |incoming| {
            let tasks = tasks.clone();
            async move {
                let mut inner = Request::get("/").header("host", "stock");
                if let Some(value) = incoming.headers().get(header) {
                    inner = inner.header(header, value);
                }
                let (status, _, body) =
                    fetch(&tasks, at, inner.body(http_body_util::Full::default()).unwrap()).await;
                http::Response::builder().status(status).body(body.into()).unwrap()
            }
        })
        .await;
        let server = mesh.server("cart", app);
        let endpoint = mesh.member(server.inbound(), "cart");
        mesh.service("cart", 80, None, vec![endpoint]);
        mesh.services.push(policy("cart", |s| s.retries = Some(retries(2, &[503]))));
        let client = mesh.client(&[("cart", 80)]);
        assert_eq!(status(&mesh, &client).await, 503);
        assert_eq!(stock.hits(), 3, "three and not nine, by {header}");
        second.counts(&["mesh_events", "\"retry_refused_outer_retries\""], 3.0).await;
    }
}
