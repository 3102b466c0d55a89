//! Access logs through two sidecars: what stands in them, and that nothing waits for where they go.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use mesh_cel::{Program, Scope};
use mesh_model::access_log::{AccessLog, LogFormat, LogSink, Template};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::*;

fn file(folder: &TempDir) -> LogSink {
    LogSink::File(folder.path().join("access.log").to_str().unwrap().to_owned())
}

fn lines(folder: &TempDir) -> Vec<Value> {
    let text = fs::read_to_string(folder.path().join("access.log")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Waits for so many lines, and gives those of that side.
async fn of_side(folder: &TempDir, many: usize, side: &str) -> Vec<Value> {
    until(|| std::future::ready(lines(folder).len() >= many)).await;
    let all = lines(folder);
    assert_eq!(all.len(), many, "{all:?}");
    all.into_iter().filter(|line| line["side"] == side).collect()
}

fn logging(mesh: &mut Mesh, log: AccessLog) {
    mesh.settings.access_log = Some(log);
}

#[tokio::test]
async fn a_request_is_a_line_at_each_side_with_the_same_trace() {
    let folder = TempDir::new().unwrap();
    let mut mesh = Mesh::new();
    let log = AccessLog {
        sink: file(&folder),
        request_headers: vec!["x-tenant".to_owned()],
        response_headers: vec!["server".to_owned()],
        ..AccessLog::default()
    };
    logging(&mut mesh, log);
    let app = origin(&mesh.tasks, |_| async {
        http::Response::builder().header("server", "app/1").body("hello".into()).unwrap()
    })
    .await;
    let (client, _server) = mesh.pair(app, None);
    let head = b"GET /orders/7?token=secret HTTP/1.1\r\nhost: cart\r\nx-tenant: blue \"1\"\r\nauthorization: Bearer x\r\nconnection: close\r\n\r\n";
    assert!(ask(client.outbound(), head).await.starts_with(b"HTTP/1.1 200"));
    let (outbound, inbound) = (of_side(&folder, 2, "outbound").await, of_side(&folder, 2, "inbound").await);
    let ([outbound], [inbound]) = (&outbound[..], &inbound[..]) else { panic!("{outbound:?} {inbound:?}") };
    for line in [outbound, inbound] {
        assert_eq!(line["method"], "GET");
        assert_eq!(
            (&line["path"], &line["host"], &line["status"]),
            (&"/orders/7".into(), &"cart".into(), &200.into())
        );
        assert_eq!((&line["source"], &line["destination"]), (&"shop/web".into(), &"shop/cart".into()));
        assert_eq!(
            (&line["protocol"], &line["security"], &line["bytes_out"]),
            (&"http".into(), &"mtls".into(), &5.into())
        );
        assert_eq!(line["request_headers"], serde_json::json!({ "x-tenant": "blue \"1\"" }));
        assert_eq!(line["response_headers"], serde_json::json!({ "server": "app/1" }));
        assert!(
            line["duration_ms"].as_f64().unwrap() > 0.0 && line["upstream_ms"].as_f64().unwrap() > 0.0,
            "{line}"
        );
        assert!(!line.to_string().contains("secret") && !line.to_string().contains("Bearer"), "{line}");
    }
    assert_eq!(outbound["trace_id"], inbound["trace_id"]);
    assert_eq!((&outbound["attempts"], &outbound["service"]), (&1.into(), &"shop/cart".into()));
    assert_eq!(inbound["peer_identity"], format!("spiffe://{TRUST_DOMAIN}/ns/shop/sa/web"));
    assert_eq!(outbound["peer_identity"], format!("spiffe://{TRUST_DOMAIN}/ns/shop/sa/cart"));
    client.counts(&["mesh_access_log_lines_total", "outcome=\"written\""], 1.0).await;
}

#[tokio::test]
async fn a_connection_is_a_line_when_it_ends_and_a_head_that_is_refused_is_one_too() {
    let folder = TempDir::new().unwrap();
    let mut mesh = Mesh::new();
    logging(&mut mesh, AccessLog { sink: file(&folder), ..AccessLog::default() });
    let app = peer(&mesh.tasks, |mut stream| async move {
        let _ = stream.read_u8().await;
        let _ = stream.write_all(b"four").await;
        let _ = stream.read_u8().await;
    })
    .await;
    let server = mesh.server("db", app);
    let endpoint = mesh.member(server.inbound(), "db");
    mesh.service("db", 5432, Some(mesh_model::service::Protocol::Tcp), vec![endpoint]);
    let client = mesh.client(&[("db", 5432)]);
    let mut stream = tokio::net::TcpStream::connect(client.outbound()).await.unwrap();
    stream.write_all(b"\x00").await.unwrap();
    let mut four = [0; 4];
    soon(stream.read_exact(&mut four)).await.unwrap();
    assert_eq!(lines(&folder).len(), 0, "it is open");
    drop(stream);
    let carried = of_side(&folder, 2, "outbound").await;
    assert_eq!(
        (&carried[0]["protocol"], &carried[0]["bytes_in"], &carried[0]["bytes_out"]),
        (&"tcp".into(), &1.into(), &4.into())
    );
    assert_eq!((carried[0].get("status"), carried[0].get("path")), (None, None));
    let answer = ask(client.proxy(), b"GET /\x07 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    let refused = of_side(&folder, 3, "outbound").await;
    let refused = refused.last().unwrap();
    assert_eq!((&refused["status"], &refused["failure"]), (&400.into(), &"bad_request".into()));
}

// T31
#[tokio::test]
async fn what_a_caller_sends_over_a_socket_is_never_more_than_a_value() {
    let folder = TempDir::new().unwrap();
    let mut mesh = Mesh::new();
    let template = "{path} \"{request_header:user-agent}\" {host} {status}";
    logging(
        &mut mesh,
        AccessLog {
            sink: file(&folder),
            format: LogFormat::Text(Template::parse(template).unwrap()),
            ..AccessLog::default()
        },
    );
    let app = says(&mesh.tasks, "hello").await;
    let (client, _server) = mesh.pair(app, None);
    let long = "a".repeat(8_000);
    for agent in [&b"a\" 200 \"forged"[..], b"\\\xff\xfe\t", "\u{202e}\u{2028}é".as_bytes(), long.as_bytes()]
    {
        let head = [
            b"GET /%0a%22?x HTTP/1.1\r\nhost: cart\r\nuser-agent: ",
            agent,
            b"\r\nconnection: close\r\n\r\n",
        ]
        .concat();
        ask(client.outbound(), &head).await;
    }
    let text = || fs::read(folder.path().join("access.log")).unwrap_or_default();
    until(|| std::future::ready(text().split(|byte| *byte == b'\n').count() > 8)).await;
    let text = String::from_utf8(text()).unwrap();
    assert_eq!(text.lines().count(), 8, "{text}");
    for line in text.lines() {
        assert!(line.is_ascii() && line.starts_with("/%0A%22 \"") && line.ends_with("\" cart 200"), "{line}");
        assert!(line.len() < 8_192);
    }
    for told in
        ["\"a\\\" 200 \\\"forged\"", "\\\\\\xff\\xfe", "\\u{00202e}\\u{002028}\\u{0000e9}", "aaa\\...\" cart"]
    {
        assert_eq!(text.matches(told).count(), 2, "{told} in {text}");
    }
}

#[tokio::test]
async fn a_filter_and_a_share_are_changed_while_the_proxy_runs() {
    let folder = TempDir::new().unwrap();
    let mut mesh = Mesh::new();
    let filter = |text| Some(Program::compile_in(Scope::Log, text).unwrap());
    logging(
        &mut mesh,
        AccessLog { sink: file(&folder), filter: filter("request.path == '/a'"), ..AccessLog::default() },
    );
    let app = says(&mesh.tasks, "hello").await;
    let (mut client, mut server) = mesh.pair(app, None);
    for path in ["/b", "/a"] {
        let head = format!("GET {path} HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n");
        ask(client.outbound(), head.as_bytes()).await;
    }
    of_side(&folder, 2, "inbound").await;
    let other = folder.path().join("other.log");
    let log = AccessLog {
        sink: LogSink::File(other.to_str().unwrap().to_owned()),
        filter: filter("proxy.side == 'inbound'"),
        ..AccessLog::default()
    };
    logging(&mut mesh, log);
    for control in [&mut client.control, &mut server.control] {
        control.replace(mesh.resources());
    }
    // Requests that begin from now on; when a worker has heard of it is not known.
    until(|| async {
        ask(client.outbound(), b"GET /c HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n").await;
        fs::read_to_string(&other).is_ok_and(|text| text.contains("/c"))
    })
    .await;
    assert!(!fs::read_to_string(&other).unwrap().contains("outbound"));
    assert_eq!(lines(&folder).len(), 2, "the old place has what it had");
}

/// Reads what is in a pipe until it holds what is asked for.
fn read_until(pipe: &mut fs::File, enough: impl Fn(&str) -> bool) -> String {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    while !enough(&String::from_utf8_lossy(&bytes)) {
        let read = pipe.read(&mut chunk).unwrap();
        bytes.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8(bytes).unwrap()
}

fn pipe(at: &Path) -> fs::File {
    assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
    // Both ends, so that the writer's open does not wait either.
    fs::OpenOptions::new().read(true).write(true).open(at).unwrap()
}

// T57
#[tokio::test]
async fn a_pipe_that_nobody_reads_holds_up_no_request_and_what_is_lost_is_counted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("access.pipe");
    let mut reader = pipe(&path);
    let mut mesh = Mesh::new();
    logging(
        &mut mesh,
        AccessLog {
            sink: LogSink::File(path.to_str().unwrap().to_owned()),
            request_headers: (0..16).map(|n| format!("x-{n}")).collect(),
            filter: Some(Program::compile_in(Scope::Log, "proxy.side == 'outbound'").unwrap()),
            ..AccessLog::default()
        },
    );
    let app = says(&mesh.tasks, "hello").await;
    let (client, server) = mesh.pair(app, None);
    // Lines as long as a caller can make them: some hundreds fill the pipe, the queue and what is on its way.
    let mut head = format!("GET /{} HTTP/1.1\r\nhost: cart\r\n", "a".repeat(2_000));
    (0..16).for_each(|n| head += &format!("x-{n}: {}\r\n", "\"".repeat(300)));
    head += "\r\n";
    let mut stream = tokio::net::TcpStream::connect(client.outbound()).await.unwrap();
    let mut answered = 0;
    let mut answer = vec![0; 4_096];
    while client.count(&["mesh_access_log_lines_total", "outcome=\"full\""]).await < 20.0 {
        for _ in 0..50 {
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut text = String::new();
            while !text.ends_with("hello") {
                let read = soon(stream.read(&mut answer)).await.unwrap();
                assert!(read > 0, "{text}");
                text += std::str::from_utf8(&answer[..read]).unwrap();
            }
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            answered += 1;
        }
        assert!(answered < 20_000, "nothing is lost after {answered} requests");
    }
    // Somebody reads again: every line that was kept is whole, and new ones come.
    let marked = "GET /after HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";
    let reading = std::thread::spawn(move || {
        let text = read_until(&mut reader, |text| text.contains("\"/after\"") && text.ends_with('\n'));
        (text, reader)
    });
    until(|| async {
        ask(client.outbound(), marked.as_bytes()).await;
        reading.is_finished()
    })
    .await;
    let (text, _reader) = reading.join().unwrap();
    for line in text.lines() {
        let read: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&read["status"], line.len() <= 8_192), (&200.into(), true));
    }
    assert!(client.count(&["mesh_access_log_lines_total", "outcome=\"written\""]).await > 100.0);
    assert!(
        (server.count(&["mesh_access_log_lines_total"]).await).abs() < f64::EPSILON,
        "its filter says no"
    );
}

// T57
#[tokio::test]
async fn a_full_disk_fails_no_request_and_an_end_does_not_wait_for_a_blocked_sink() {
    let mut mesh = Mesh::new();
    logging(&mut mesh, AccessLog { sink: LogSink::File("/dev/full".to_owned()), ..AccessLog::default() });
    let app = says(&mesh.tasks, "hello").await;
    let (client, _server) = mesh.pair(app, None);
    let head = b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n";
    assert!(ask(client.outbound(), head).await.ends_with(b"hello"));
    client.counts(&["mesh_access_log_lines_total", "outcome=\"failed\""], 1.0).await;

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("access.pipe");
    // Nobody opens it for reading: the writer waits in `open`.
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut mesh = Mesh::new();
    logging(
        &mut mesh,
        AccessLog { sink: LogSink::File(path.to_str().unwrap().to_owned()), ..AccessLog::default() },
    );
    let app = says(&mesh.tasks, "hello").await;
    let (mut client, _server) = mesh.pair(app, None);
    assert!(ask(client.outbound(), head).await.ends_with(b"hello"));
    client.running.drain();
    soon(client.running.ended()).await.unwrap();
    // Lets the thread go.
    drop(fs::OpenOptions::new().read(true).write(true).open(&path).unwrap());
}
