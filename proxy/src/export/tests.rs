//! A collector that takes, refuses, asks for time or says nothing, by gRPC and by HTTP; and one that is not there.

use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use mesh_model::settings::{OtlpHeader, OtlpHeaderValue, OtlpProtocol, Signals};
use mesh_proto::otlp::v1::{ExportAnswer, ExportLogs, PartialSuccess};
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::telemetry::otlp::{LogRecord, Severity, Value};
use crate::telemetry::{Telemetry, WorkerTelemetry};

const LONG: Duration = Duration::from_secs(30);

/// A lane for logs with a collector of ours.
struct Bench {
    listener: TcpListener,
    worker: WorkerTelemetry,
    lane: Lane,
    client: Client,
}

async fn bench(protocol: OtlpProtocol, headers: Vec<OtlpHeader>, secrets: PathBuf) -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let telemetry = Telemetry::new();
    let exporter = Exporter { secrets, ..Exporter::new(telemetry.hub.outlet(), Resource::default()) };
    exporter.outlet.want(Signals { traces: true, metrics: true, logs: true });
    let client = Client::new(&exporter, collector(at, protocol, headers));
    let (_, settings) = watch::channel(None);
    let lane = Lane {
        signal: Signal::Logs,
        parts: Arc::new(exporter),
        settings,
        stop: CancellationToken::new(),
        pending: None,
        backoff: Backoff::new(LONG, LONG),
        is_failing: false,
    };
    Bench { listener, worker: telemetry.worker.build(), lane, client }
}

fn collector(at: SocketAddr, protocol: OtlpProtocol, headers: Vec<OtlpHeader>) -> Arc<OpenTelemetry> {
    Arc::new(OpenTelemetry {
        authority: at.to_string(),
        tls: false,
        ca: None,
        path: "/otlp".to_owned(),
        protocol,
        signals: Signals { traces: true, metrics: true, logs: true },
        headers,
        interval: LONG,
    })
}

impl Bench {
    fn log(&self, records: usize) {
        for _ in 0..records {
            self.worker.export_log(LogRecord {
                at: SystemTime::UNIX_EPOCH,
                severity: Severity::Info,
                event: "access",
                body: "GET /".to_owned(),
                attributes: vec![("status".into(), Value::Int(200))],
                trace: None,
                sampled: false,
            });
        }
    }

    fn client(&self, at: SocketAddr, times: Times) -> Client {
        let parts = Exporter { times, ..Exporter::clone(&self.lane.parts) };
        Client::new(&parts, collector(at, OtlpProtocol::Http, Vec::new()))
    }

    fn counts(&self) -> [u64; 3] {
        Loss::ALL.map(|loss| self.lane.parts.outlet.lanes().items(Signal::Logs, loss))
    }

    /// One step of the lane while the collector does its part.
    async fn step<T>(&mut self, collector: impl AsyncFnOnce(&TcpListener) -> T) -> (Duration, T) {
        let step = async { tokio::join!(self.lane.step(&mut self.client), collector(&self.listener)) };
        tokio::time::timeout(LONG, step).await.unwrap()
    }
}

/// Reads one request of HTTP/1.1 and answers it; what came.
async fn answer_http(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &[u8]) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let mut more = [0; 4096];
        let read = stream.read(&mut more).await.unwrap();
        assert!(read > 0, "the head has no end");
        bytes.extend(&more[..read]);
        let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
        bytes.drain(..at + 4);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length = length.parse::<usize>().unwrap();
        break (head, length);
    };
    while bytes.len() < length {
        let read = stream.read_buf(&mut bytes).await.unwrap();
        assert!(read > 0, "the body has no end");
    }
    stream.write_all(answer).await.unwrap();
    stream.flush().await.unwrap();
    (head, bytes)
}

/// Answers one call of gRPC on a new connection; path and message that came.
async fn answer_grpc(listener: &TcpListener, status: &str, answer: &ExportAnswer) -> Call {
    let (stream, _) = listener.accept().await.unwrap();
    let (served, mut connection) = call_on(stream, status, answer).await;
    connection.graceful_shutdown();
    while connection.accept().await.is_some() {}
    served
}

/// Path, headers and message that came.
type Call = (String, HeaderMap, Vec<u8>);

/// Answers one call; what is written last is flushed by whoever goes on with the connection.
async fn call_on<T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    status: &str,
    answer: &ExportAnswer,
) -> (Call, h2::server::Connection<T, Bytes>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    let serve = async {
        let (head, mut body) = request.into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            bytes.extend(&data);
        }
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        let message = answer.encode_to_vec();
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        stream.send_data(Bytes::from(frame), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_str(status).unwrap());
        stream.send_trailers(trailers).unwrap();
        (head.uri.path().to_owned(), head.headers, bytes.split_off(5))
    };
    tokio::pin!(serve);
    let served = tokio::select! {
        served = &mut serve => served,
        _ = connection.accept() => serve.await,
    };
    (served, connection)
}

#[tokio::test]
async fn a_batch_goes_by_http_with_the_headers_of_the_object_and_of_the_file() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("token"), "Bearer 1\n").unwrap();
    let headers = vec![
        OtlpHeader { name: "x-tenant".to_owned(), value: OtlpHeaderValue::Text("shop".to_owned()) },
        OtlpHeader { name: "authorization".to_owned(), value: OtlpHeaderValue::File("token".to_owned()) },
    ];
    let mut bench = bench(OtlpProtocol::Http, headers, place.path().to_owned()).await;
    bench.log(3);
    let (wait, (mut stream, (head, body))) = bench
        .step(async |listener| {
            let (mut stream, _) = listener.accept().await.unwrap();
            let got = answer_http(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            (stream, got)
        })
        .await;
    assert!(head.starts_with("POST /otlp/v1/logs HTTP/1.1\r\n"), "{head}");
    for line in ["x-tenant: shop", "authorization: Bearer 1", "content-type: application/x-protobuf"] {
        assert!(head.lines().any(|found| found == line), "{head}");
    }
    let message = ExportLogs::decode(&*body).unwrap();
    assert_eq!(message.resource_logs[0].scope_logs[0].log_records.len(), 3);
    assert_eq!((bench.counts(), wait), ([3, 0, 0], LOGS));
    // The connection is kept for the next one, of which the collector takes a part.
    bench.log(2);
    let partial = ExportAnswer {
        partial_success: Some(PartialSuccess { rejected: 1, error_message: "old".to_owned() }),
    };
    let partial = partial.encode_to_vec();
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", partial.len()).into_bytes();
    answer.extend(partial);
    bench.step(async |_| answer_http(&mut stream, &answer).await).await;
    assert_eq!(bench.counts(), [4, 1, 0]);
}

#[tokio::test]
async fn a_batch_goes_by_grpc_and_a_refused_one_is_not_sent_again() {
    let mut bench = bench(OtlpProtocol::Grpc, Vec::new(), PathBuf::new()).await;
    bench.log(2);
    let nothing = ExportAnswer::default();
    let (_, (path, headers, message)) = bench.step(async |at| answer_grpc(at, "0", &nothing).await).await;
    assert_eq!(path, "/opentelemetry.proto.collector.logs.v1.LogsService/Export");
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(ExportLogs::decode(&*message).unwrap().resource_logs[0].scope_logs[0].log_records.len(), 2);
    assert_eq!(bench.counts(), [2, 0, 0]);
    bench.client = Client::new(
        &bench.lane.parts,
        collector(bench.listener.local_addr().unwrap(), OtlpProtocol::Grpc, Vec::new()),
    );
    bench.log(1);
    bench.step(async |at| answer_grpc(at, "3", &nothing).await).await;
    assert_eq!((bench.counts(), bench.lane.pending.is_none()), ([2, 1, 0], true));
}

#[tokio::test]
async fn a_collector_that_asks_for_time_gets_it_and_then_the_same_batch() {
    let mut bench = bench(OtlpProtocol::Http, Vec::new(), PathBuf::new()).await;
    bench.log(1);
    let busy = b"HTTP/1.1 503 No\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n";
    let (wait, mut stream) = bench
        .step(async |listener| {
            let (mut stream, _) = listener.accept().await.unwrap();
            answer_http(&mut stream, busy).await;
            stream
        })
        .await;
    assert_eq!((wait, bench.counts()), (Duration::from_secs(17), [0, 0, 0]));
    assert_eq!(bench.lane.parts.outlet.lanes().failures(Signal::Logs), 1);
    bench.step(async |_| answer_http(&mut stream, b"HTTP/1.1 204 Yes\r\n\r\n").await).await;
    assert_eq!(bench.counts(), [1, 0, 0]);
}

// T57
#[tokio::test]
async fn a_collector_that_is_away_or_says_nothing_costs_records_and_nothing_else() {
    let mut bench = bench(OtlpProtocol::Http, Vec::new(), PathBuf::new()).await;
    bench.log(5_000);
    let full = bench.counts()[2];
    assert_eq!(full, 5_000 - 4_096);
    // It takes the connection and never answers.
    let silent = bench.listener.local_addr().unwrap();
    bench.client = bench.client(silent, Times { deadline: Duration::from_millis(50), ..Times::default() });
    let (wait, _stream) = bench.step(async |at| at.accept().await.unwrap()).await;
    assert!(wait == LONG && bench.lane.pending.is_some(), "{wait:?}");
    assert_eq!(bench.counts(), [0, 0, full], "the batch is kept");
    // And it is gone, for longer than anybody waits.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let times = Times { give_up: Duration::ZERO, ..Times::default() };
    bench.lane.parts = Arc::new(Exporter { times, ..Exporter::clone(&bench.lane.parts) });
    bench.client = bench.client(gone, Times::default());
    bench.step(async |_| ()).await;
    assert_eq!((bench.counts(), bench.lane.pending.is_none()), ([0, 0, full + 256], true));
    assert_eq!(bench.lane.parts.outlet.lanes().failures(Signal::Logs), 2);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named_and_nothing_is_sent_without_its_header() {
    let secrets = PathBuf::from("/nonexistent");
    let headers = vec![OtlpHeader {
        name: "authorization".to_owned(),
        value: OtlpHeaderValue::File("token".to_owned()),
    }];
    let mut bench = bench(OtlpProtocol::Grpc, headers, secrets).await;
    let verdict = bench.client.send(Signal::Logs, b"").await;
    let Verdict::Again { why, .. } = verdict else { panic!("{verdict:?}") };
    assert!(why.starts_with("header `authorization`: /nonexistent/token (--otlp-secrets): "), "{why}");
}

#[tokio::test]
async fn at_the_end_what_waits_is_sent() {
    let mut bench = bench(OtlpProtocol::Http, Vec::new(), PathBuf::new()).await;
    bench.log(300);
    bench.lane.parts.outlet.end_for_tests();
    let served = async {
        let (mut stream, _) = bench.listener.accept().await.unwrap();
        for _ in 0..2 {
            answer_http(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    };
    let sent = async { tokio::join!(bench.lane.farewell(&mut bench.client), served) };
    tokio::time::timeout(LONG, sent).await.unwrap();
    assert_eq!(bench.counts(), [300, 0, 0]);
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What a collector of that name shows.
fn shown(by: &Authority, name: &str, alpn: &[u8]) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, by).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// A lane whose collector is at `localhost`, with TLS, and must lead to this authority.
async fn bench_with_tls(protocol: OtlpProtocol, roots: &Authority, secrets: PathBuf) -> Bench {
    let headers = vec![OtlpHeader {
        name: "authorization".to_owned(),
        value: OtlpHeaderValue::File("token".to_owned()),
    }];
    let mut bench = bench(protocol, headers.clone(), secrets).await;
    let at = bench.listener.local_addr().unwrap();
    let plain = OpenTelemetry::clone(&collector(at, protocol, headers));
    let authority = format!("localhost:{}", at.port());
    let ca = Some(Arc::from(roots.pem()));
    let collector = Arc::new(OpenTelemetry { authority, tls: true, ca, ..plain });
    bench.client = Client::new(&bench.lane.parts, collector);
    bench
}

#[tokio::test]
async fn with_tls_a_batch_and_its_secret_go_to_who_proves_to_be_the_collector() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("token"), "Bearer 1\n").unwrap();
    let world = authority();
    let mut bench = bench_with_tls(OtlpProtocol::Http, &world, place.path().to_owned()).await;
    let tls = shown(&world, "localhost", b"http/1.1");
    bench.log(2);
    let (_, (head, body)) = bench
        .step(async |listener| {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = tls.accept(stream).await.unwrap();
            assert_eq!(stream.get_ref().1.server_name(), Some("localhost"));
            answer_http(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
        })
        .await;
    assert!(head.lines().any(|line| line == "authorization: Bearer 1"), "{head}");
    assert_eq!(ExportLogs::decode(&*body).unwrap().resource_logs[0].scope_logs[0].log_records.len(), 2);
    assert_eq!(bench.counts(), [2, 0, 0]);

    let mut bench = bench_with_tls(OtlpProtocol::Grpc, &world, place.path().to_owned()).await;
    let tls = shown(&world, "localhost", b"h2");
    bench.log(1);
    let mut heard = None;
    {
        let Bench { listener, lane, client, .. } = &mut bench;
        let collector = async {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = tls.accept(stream).await.unwrap();
            let (served, mut connection) = call_on(stream, "0", &ExportAnswer::default()).await;
            heard = Some(served);
            while connection.accept().await.is_some() {}
        };
        let both = async {
            tokio::select! {
                _ = lane.step(client) => {}
                () = collector => panic!("the client hangs up"),
            }
        };
        tokio::time::timeout(LONG, Box::pin(both)).await.unwrap();
    }
    let (path, headers, _) = heard.unwrap();
    assert_eq!(path, "/opentelemetry.proto.collector.logs.v1.LogsService/Export");
    assert_eq!(
        (&headers["authorization"], bench.counts()),
        (&HeaderValue::from_static("Bearer 1"), [1, 0, 0])
    );
}

#[tokio::test]
async fn nothing_is_sent_to_who_does_not_prove_to_be_the_collector() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("token"), "Bearer 1\n").unwrap();
    let (world, other) = (authority(), authority());
    for (tls, what) in [
        (shown(&other, "localhost", b"http/1.1"), "of another authority"),
        (shown(&world, "elsewhere.example", b"http/1.1"), "of another name"),
    ] {
        let mut bench = bench_with_tls(OtlpProtocol::Http, &world, place.path().to_owned()).await;
        bench.log(1);
        let (_, accepted) = bench
            .step(async |listener| {
                let (stream, _) = listener.accept().await.unwrap();
                tls.accept(stream).await.map(|_| ())
            })
            .await;
        assert!(accepted.is_err(), "a certificate {what} was taken");
        assert_eq!((bench.counts(), bench.lane.pending.is_some()), ([0, 0, 0], true), "{what}");
        assert_eq!(bench.lane.parts.outlet.lanes().failures(Signal::Logs), 1, "{what}");
    }
    // Nor to one that speaks no TLS at all.
    let mut bench = bench_with_tls(OtlpProtocol::Http, &world, place.path().to_owned()).await;
    bench.log(1);
    let (_, heard) = bench
        .step(async |listener| {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 64];
            let count = stream.read(&mut heard).await.unwrap();
            heard.truncate(count);
            stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").await.unwrap();
            heard
        })
        .await;
    assert_eq!(heard.first(), Some(&22), "a TLS handshake, and nothing readable");
    assert_eq!((bench.counts(), bench.lane.pending.is_some()), ([0, 0, 0], true));
}
