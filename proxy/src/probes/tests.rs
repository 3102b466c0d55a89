//! Probes against applications of every kind.

use std::net::Ipv4Addr;

use mesh_inject::probes::{How as Wanted, Table, Target as WantedTarget};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Probes as injection writes them.
fn probes(entries: &[(&str, Wanted)]) -> Probes {
    let entries = entries
        .iter()
        .map(|(name, how)| ((*name).to_owned(), WantedTarget { how: how.clone(), timeout_seconds: 5 }));
    let table = serde_json::to_string(&entries.collect::<Table>()).unwrap();
    Probes::read(&table, Some(Ipv4Addr::LOCALHOST.into())).unwrap()
}

fn http(port: u16, path: &str) -> Wanted {
    Wanted::Http {
        port,
        path: path.to_owned(),
        tls: false,
        headers: vec![("x-a".to_owned(), "1".to_owned())],
    }
}

/// An application that answers by the path and asks for the header.
async fn application(tasks: &mesh_lifecycle::Tasks) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn("application", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let count = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..count]).into_owned();
            let answer = match head.split(' ').nth(1) {
                Some("/ok") if head.contains("x-a: 1\r\n") => "HTTP/1.1 204 No Content\r\n\r\n",
                Some("/to") => "HTTP/1.1 302 Found\r\nlocation: /ok\r\n\r\n",
                Some("/round") => "HTTP/1.1 302 Found\r\nlocation: /round\r\n\r\n",
                Some("/away") => "HTTP/1.1 301 Moved\r\nlocation: http://example.com/\r\n\r\n",
                Some("/junk") => "SSH-2.0-x\r\n\r\n",
                _ => "HTTP/1.1 500 Oh\r\ncontent-length: 3\r\n\r\nno\n",
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn http_is_good_from_200_to_399_and_redirects_stay_within() {
    let tasks = mesh_lifecycle::Tasks::new();
    let port = application(&tasks).await;
    for (path, good, said) in [
        ("/ok", true, "status 204"),
        ("/to", true, "status 204"),
        ("/away", true, "status 301, to another host"),
        ("/round", false, "more than 10 redirects"),
        ("/bad", false, "status 500"),
        ("/junk", false, "not HTTP/1"),
    ] {
        let answer = probes(&[("app/readiness", http(port, path))]).answer("app/readiness").await;
        assert_eq!(answer.status.is_success(), good, "{path}: {answer:?}");
        assert!(answer.body.contains(said), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_connection_is_enough_for_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let probes = probes(&[("app/liveness", Wanted::Tcp { port })]);
    assert!(probes.answer("app/liveness").await.status.is_success());
    drop(listener);
    let answer = probes.answer("app/liveness").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains(&format!("cannot connect to 127.0.0.1:{port}")), "{answer:?}");
}

#[tokio::test]
async fn only_what_is_in_the_table_is_asked() {
    assert_eq!(probes(&[]).answer("app/readiness").await.status, StatusCode::NOT_FOUND);
    assert_eq!(Probes::default().answer("").await.status, StatusCode::NOT_FOUND);
    assert!(Probes::read("{", None).is_err());
    assert!(Probes::read(r#"{"a":{"exec":{},"timeoutSeconds":1}}"#, None).is_err());
}

#[tokio::test]
async fn tls_with_any_certificate_will_do() {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(vec!["app".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tasks = mesh_lifecycle::Tasks::new();
    tasks.spawn("application", async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let mut stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut head = [0; 1024];
        let count = stream.read(&mut head).await.unwrap();
        assert!(count > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let probe = Wanted::Http { port, path: "/".to_owned(), tls: true, headers: Vec::new() };
    let answer = probes(&[("app/startup", probe)]).answer("app/startup").await;
    assert!(answer.status.is_success(), "{answer:?}");
}

/// A server of HTTP/2 that answers one health check with this message.
async fn grpc(message: &'static [u8]) -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tasks = mesh_lifecycle::Tasks::new();
    tasks.spawn("application", async move {
        // The first connection asks only whether there is one.
        drop(listener.accept().await.unwrap());
        let mut connection = h2::server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let head = ::http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut stream = respond.send_response(head, false).unwrap();
        let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        frame.extend_from_slice(message);
        stream.send_data(frame.into(), false).unwrap();
        let mut trailers = ::http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        while connection.accept().await.is_some() {}
    });
    let probe = Wanted::Grpc { port, service: "shop".to_owned() };
    probes(&[("app/readiness", probe)]).answer("app/readiness").await
}

#[tokio::test]
async fn grpc_is_good_when_it_serves() {
    let good = grpc(&[8, 1]).await;
    assert!(good.status.is_success() && good.body == "SERVING\n", "{good:?}");
    let bad = grpc(&[8, 2]).await;
    assert!(!bad.status.is_success() && bad.body == "NOT_SERVING\n", "{bad:?}");
}
