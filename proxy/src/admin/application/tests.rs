//! Scrapes over real sockets, with applications of every kind.

use std::net::{Ipv4Addr, SocketAddr};

use mesh_lifecycle::bind::{self, ReusePort};
use mesh_lifecycle::{Ready, Tasks, admin::AdminState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

struct Lab {
    at: SocketAddr,
    application: Application,
    tasks: Tasks,
}

impl Lab {
    /// A sidecar beside an application that says `answer` and closes; without an answer it says nothing at all.
    async fn start(answer: Option<Vec<u8>>) -> Self {
        let tasks = Tasks::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tasks.spawn("application", async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let _ = stream.read(&mut head).await;
                match &answer {
                    // The sidecar may leave before the end of a long one.
                    Some(answer) => drop(stream.write_all(answer).await),
                    None => silent.push(stream),
                }
            }
        });
        Self::beside(port, tasks)
    }

    fn beside(port: u16, tasks: Tasks) -> Self {
        let metrics = ApplicationMetrics::parse(&format!("{port}/m?x=1")).unwrap();
        let application = Application::new(metrics, Dial::default());
        let mut registry = Registry::default();
        application.register(&mut registry);
        let listener = bind::tcp((Ipv4Addr::LOCALHOST, 0).into(), ReusePort::No).unwrap();
        let at = listener.local_addr().unwrap();
        let scraped = application.clone();
        let state = AdminState::new(Ready::new(), Arc::new(registry)).scraped(move |scrape| {
            let scraped = scraped.clone();
            async move { scraped.scraped(scrape).await }
        });
        let set = tasks.clone();
        tasks.spawn("metrics", async move { drop(admin::serve(listener, state, set).await) });
        Self { at, application, tasks }
    }

    async fn scrape(&self, headers: &str) -> String {
        let exchange = async {
            let mut stream = TcpStream::connect(self.at).await.unwrap();
            let request = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        tokio::time::timeout(LIMIT, exchange).await.unwrap()
    }

    async fn end(self) {
        // The application never ends by itself.
        self.tasks.shutdown(Duration::ZERO).await;
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what an application answers, which may be nothing")]
fn http(kind: &str, body: &str) -> Option<Vec<u8>> {
    let length = body.len();
    Some(
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
            .into_bytes(),
    )
}

const PLAIN: &str = "accept: text/plain;version=0.0.4\r\n";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[tokio::test]
async fn both_are_in_one_scrape_in_a_format_that_both_sides_have() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\napp_x \r\n2\r\n5\n\r\n0\r\n\r\n";
    let until_close = "HTTP/1.0 200 OK\r\n\r\napp_x 5\n";
    for (answer, headers, open) in [
        (http(OPEN, "# TYPE app_x gauge\napp_x 5\n# EOF\n"), "", true),
        (http(OPEN, "# TYPE app_x gauge\napp_x 5\n# EOF\n"), PLAIN, false),
        (http("text/plain", "app_x 5\n"), "", false),
        (http("text/plain", "app_x 5\n"), PLAIN, false),
        (Some(chunked.into()), "", false),
        (Some(until_close.into()), "", false),
    ] {
        let lab = Lab::start(answer).await;
        let scrape = lab.scrape(headers).await;
        assert!(
            scrape.contains("\napp_x 5\n") && scrape.contains("mesh_application_metrics_up 1"),
            "{scrape}"
        );
        assert_eq!(scrape.ends_with("# EOF\n"), open, "{scrape}");
        assert_eq!(scrape.contains("content-type: application/openmetrics-text"), open, "{scrape}");
        lab.end().await;
    }
}

#[tokio::test]
async fn an_application_that_is_broken_costs_none_of_our_series() {
    let huge = format!("a 1\n{}", "# words and words and words\n".repeat(400_000));
    let closed = bind::tcp((Ipv4Addr::LOCALHOST, 0).into(), ReusePort::No).unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let nobody = Lab::beside(port, Tasks::new());
    for (lab, reason) in [
        (nobody, "unreachable"),
        (Lab::start(None).await, "timeout"),
        (Lab::start(Some(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_vec())).await, "status"),
        (Lab::start(http("text/plain", &huge)).await, "too_large"),
        (Lab::start(Some(format!("HTTP/1.0 200 OK\r\n\r\n{huge}").into_bytes())).await, "too_large"),
        (
            Lab::start(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\na 1\n".to_vec())).await,
            "unreachable",
        ),
        (Lab::start(http("text/html", "<html></html>")).await, "unreadable"),
        (Lab::start(http("text/plain", "a 1\nb\n")).await, "unreadable"),
        (Lab::start(Some(b"HTTP/1.1 200 OK\r\n\r\na{x=\"\xff\"} 1\n".to_vec())).await, "unreadable"),
        (Lab::start(Some(b"SSH-2.0-x\r\n".to_vec())).await, "unreadable"),
    ] {
        let scrape = lab.scrape("x-prometheus-scrape-timeout-seconds: 0.5\r\n").await;
        assert!(scrape.contains("mesh_application_metrics_up 0"), "{reason}: {scrape}");
        let missing = format!("mesh_application_metrics_missing_total{{reason=\"{reason}\"}} 1");
        assert!(scrape.contains(&missing) && scrape.ends_with("# EOF\n"), "{reason}: {scrape}");
        lab.end().await;
    }
}

#[tokio::test]
async fn scrapes_that_wait_for_the_application_are_bounded() {
    let lab = Lab::start(None).await;
    let places = lab.application.0.places.try_acquire_many(u32::try_from(PLACES).unwrap()).unwrap();
    let scrape = lab.scrape("").await;
    assert!(scrape.contains("missing_total{reason=\"busy\"} 1"), "{scrape}");
    drop(places);
    lab.end().await;
}
