//! Endpoints that are left alone: because they fail, or because their probes do; and how they return.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::service::Protocol;
use mesh_model::traffic::{Ppm, Probe, SlowStart};

use crate::endpoints::*;
use crate::harness::*;
use crate::policies::plain;

#[tokio::test]
async fn an_endpoint_that_fails_is_left_alone() {
    let mut mesh = Mesh::new();
    let (bad, _) = moody(&mesh.tasks, "bad").await;
    let good = says(&mesh.tasks, "good").await;
    cart(&mut mesh, vec![plain(bad), plain(good)], |settings| outlier(settings, ALWAYS));
    let client = mesh.client(&[("cart", 80)]);
    let mut failed = 0;
    for _ in 0..60 {
        failed += u32::from(answer(&mesh, &client).await == "bad");
    }
    assert_eq!(failed, 3);
    client.counts(&["mesh_events_total", "endpoint_ejected"], 1.0).await;
}

#[tokio::test]
async fn an_endpoint_that_failed_returns() {
    let mut mesh = Mesh::new();
    let (bad, well) = moody(&mesh.tasks, "bad").await;
    let good = says(&mesh.tasks, "good").await;
    cart(&mut mesh, vec![plain(bad), plain(good)], |settings| outlier(settings, Duration::from_millis(200)));
    let client = mesh.client(&[("cart", 80)]);
    let mut failed = 0;
    while failed < 3 {
        failed += u32::from(answer(&mesh, &client).await == "bad");
    }
    well.store(true, Ordering::SeqCst);
    until(|| async { answer(&mesh, &client).await == "bad" }).await;
}

#[tokio::test]
async fn an_endpoint_that_returns_gets_its_share_bit_by_bit() {
    let mut mesh = Mesh::new();
    let (bad, well) = moody(&mesh.tasks, "bad").await;
    let good = says(&mesh.tasks, "good").await;
    cart(&mut mesh, vec![plain(bad), plain(good)], |settings| {
        outlier(settings, Duration::from_millis(200));
        let slow = SlowStart { window: ALWAYS, floor: Ppm(10_000) };
        settings.balancing.get_or_insert_default().slow_start = Some(slow);
    });
    let client = mesh.client(&[("cart", 80)]);
    let mut failed = 0;
    while failed < 3 {
        failed += u32::from(answer(&mesh, &client).await == "bad");
    }
    well.store(true, Ordering::SeqCst);
    client.counts(&["mesh_events_total", "endpoint_returned"], 1.0).await;
    let mut taken = 0;
    for _ in 0..60 {
        taken += u32::from(answer(&mesh, &client).await == "bad");
    }
    assert!(taken <= 2, "a hundredth of its share is not {taken} of 60 requests");
}

#[tokio::test]
async fn the_dump_says_how_an_endpoint_stands() {
    let mut mesh = Mesh::new();
    let (bad, _) = moody(&mesh.tasks, "bad").await;
    let good = says(&mesh.tasks, "good").await;
    cart(&mut mesh, vec![plain(bad), plain(good)], |settings| outlier(settings, ALWAYS));
    let client = mesh.client_with(&[("cart", 80)], |config| config.admin = Some(any_port()));
    let admin = client.running.addrs.admin.unwrap();
    let standing = async |address: std::net::SocketAddr| {
        let head = b"GET /endpoints HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let answer = String::from_utf8(ask(admin, head).await).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let dump: serde_json::Value = serde_json::from_str(body).unwrap();
        let endpoints = dump["services"][0]["ports"][0]["endpoints"].as_array().unwrap();
        let address = address.to_string();
        endpoints.iter().find(|one| one["address"] == address).unwrap()["standing"].clone()
    };
    assert_eq!(standing(bad).await, serde_json::json!({ "usable": 1 }));
    for _ in 0..20 {
        answer(&mesh, &client).await;
    }
    until(|| async { standing(bad).await == serde_json::json!({ "ejected": 1 }) }).await;
    assert_eq!(standing(good).await, serde_json::json!({ "usable": 1 }));
}

#[tokio::test]
async fn a_probe_over_http_takes_an_endpoint_out_and_back() {
    let mut mesh = Mesh::new();
    let (address, well) = {
        let well = Arc::new(AtomicBool::new(true));
        let mood = Arc::clone(&well);
        let address =
            origin(&mesh.tasks, move |request| {
                let sick = request.uri().path() == "/health" && !mood.load(Ordering::SeqCst);
                assert!(request.uri().path() != "/health" || request.headers()["host"] == "cart.shop");
                async move {
                    Response::builder().status(if sick { 503 } else { 204 }).body(Full::from("")).unwrap()
                }
            })
            .await;
        (address, well)
    };
    let other = origin(&mesh.tasks, |request| async move {
        let probe = request.uri().path() == "/health";
        let status = if probe { 204 } else { 200 };
        let text = if probe { "" } else { "other" };
        Response::builder().status(status).body(Full::from(text)).unwrap()
    })
    .await;
    cart(&mut mesh, vec![plain(address), plain(other)], |settings| {
        probed(settings, Probe::Http { path: "/health".into(), host: None, statuses: (200, 299) });
    });
    let client = mesh.client(&[("cart", 80)]);
    settles(&mesh, &client, "", true).await;
    well.store(false, Ordering::SeqCst);
    settles(&mesh, &client, "", false).await;
    well.store(true, Ordering::SeqCst);
    settles(&mesh, &client, "", true).await;
    client.counts(&["mesh_events_total", "endpoint_unhealthy"], 1.0).await;
    client.counts(&["mesh_events_total", "endpoint_recovered"], 1.0).await;
}

type Frames = StreamBody<
    futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>>>,
>;

/// A gRPC server of the health service on HTTP/2 that is `SERVING` while `well`, and answers everything else with its name.
async fn grpc(tasks: &Tasks, name: &'static str, well: Arc<AtomicBool>) -> std::net::SocketAddr {
    peer(tasks, move |stream| {
        let well = Arc::clone(&well);
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let well = well.load(Ordering::SeqCst);
                async move {
                    let probe = request.uri().path() == "/grpc.health.v1.Health/Check";
                    let sent = request.into_body().collect().await.unwrap().to_bytes();
                    let frames = if probe {
                        assert_eq!(&sent[..], b"\0\0\0\0\x06\x0a\x04cart");
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", "0".parse().unwrap());
                        // SERVING is 1, NOT_SERVING 2.
                        let message = Bytes::from(vec![0, 0, 0, 0, 2, 8, 2 - u8::from(well)]);
                        vec![Ok(Frame::data(message)), Ok(Frame::trailers(trailers))]
                    } else {
                        vec![Ok(Frame::data(Bytes::from_static(name.as_bytes())))]
                    };
                    let body: Frames = StreamBody::new(futures_util::stream::iter(frames));
                    let kind = if probe { "application/grpc" } else { "text/plain" };
                    Response::builder().header("content-type", kind).body(body)
                }
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_probe_over_grpc_takes_an_endpoint_out_and_back() {
    let mut mesh = Mesh::new();
    let well = Arc::new(AtomicBool::new(true));
    let moody = grpc(&mesh.tasks, "moody", Arc::clone(&well)).await;
    let other = grpc(&mesh.tasks, "other", Arc::new(AtomicBool::new(true))).await;
    cart_speaking(&mut mesh, Some(Protocol::Http2), vec![plain(moody), plain(other)], |settings| {
        probed(settings, Probe::Grpc { service: "cart".into() });
    });
    let client = mesh.client(&[("cart", 80)]);
    settles(&mesh, &client, "moody", true).await;
    well.store(false, Ordering::SeqCst);
    settles(&mesh, &client, "moody", false).await;
    well.store(true, Ordering::SeqCst);
    settles(&mesh, &client, "moody", true).await;
}

#[tokio::test]
async fn a_probe_by_connection_finds_who_has_the_wrong_identity() {
    let mut mesh = Mesh::new();
    let app = says(&mesh.tasks, "a").await;
    let (right, wrong) = (mesh.server("cart", app), mesh.server("thief", app));
    let endpoints = vec![mesh.member(right.inbound(), "cart"), mesh.member(wrong.inbound(), "cart")];
    cart(&mut mesh, endpoints, |settings| probed(settings, Probe::Tcp));
    let client = mesh.client(&[("cart", 80)]);
    assert_eq!(answer(&mesh, &client).await, "a");
    client.counts(&["mesh_events_total", "endpoint_unhealthy"], 1.0).await;
}

#[tokio::test]
async fn probes_end_with_the_policy() {
    let mut mesh = Mesh::new();
    let probes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&probes);
    let app = origin(&mesh.tasks, move |request| {
        count.fetch_add(usize::from(request.uri().path() == "/health"), Ordering::SeqCst);
        async { Response::new(Full::from("app")) }
    })
    .await;
    cart(&mut mesh, vec![plain(app)], |settings| {
        probed(settings, Probe::Http { path: "/health".into(), host: None, statuses: (200, 299) });
    });
    let mut client = mesh.client(&[("cart", 80)]);
    assert_eq!(answer(&mesh, &client).await, "app");
    until(|| async { probes.load(Ordering::SeqCst) > 2 }).await;
    mesh.services.pop();
    client.control.replace(mesh.resources());
    // The task sees it when it looks next; then nothing comes any more.
    let mut last = usize::MAX;
    until(|| {
        let now = probes.load(Ordering::SeqCst);
        let quiet = now == std::mem::replace(&mut last, now);
        let (mesh, client) = (&mesh, &client);
        async move {
            assert_eq!(answer(mesh, client).await, "app");
            tokio::time::sleep(Duration::from_millis(500)).await;
            quiet
        }
    })
    .await;
}
