//! Fetching from a server that answers as it likes. T24.

use std::net::Ipv4Addr;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server on this machine with a certificate for `localhost`, and a fetcher that trusts it.
struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    folder: tempfile::TempDir,
}

impl Server {
    async fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("roots.pem"), made.cert.pem()).unwrap();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key.into())
                .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), folder }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/keys?a=b", self.listener.local_addr().unwrap().port())
    }

    fn fetcher(&self, loopback: Loopback) -> Fetcher {
        Fetcher {
            loopback,
            roots: Some(self.folder.path().join("roots.pem")),
            resolver: Resolver { hosts: self.folder.path().join("hosts"), ..Resolver::default() },
            deadline: Duration::from_secs(20),
            bytes: 100,
        }
    }

    /// Names as the machine's own file has them.
    fn names(&self, hosts: &str) {
        std::fs::write(self.folder.path().join("hosts"), hosts).unwrap();
    }

    /// Answers one request; the head that came.
    async fn answer(&self, text: &str) -> String {
        let (stream, _) = self.listener.accept().await.unwrap();
        let Ok(mut stream) = self.acceptor.accept(stream).await else { return "no handshake".to_owned() };
        let mut head = vec![0; 1024];
        let read = stream.read(&mut head).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let _ = stream.shutdown().await;
        String::from_utf8_lossy(&head[..read]).into_owned()
    }

    async fn fetched(&self, text: &str) -> Result<Vec<u8>, Unfetched> {
        let (url, fetcher) = (self.url("localhost"), self.fetcher(Loopback::Allowed));
        self.names("127.0.0.1 localhost\n");
        tokio::join!(fetcher.fetch(&url), self.answer(text)).0
    }
}

#[tokio::test]
async fn a_document_is_fetched_and_only_whole_ones_within_the_bound_are() {
    let server = Server::new().await;
    let good = server.fetched("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(good.unwrap(), b"{}");
    for (answer, says) in [
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", "status 500"),
        ("HTTP/1.1 204 No\r\n\r\n", "status 204"),
        (
            "HTTP/1.1 302 Found\r\nlocation: https://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            "status 302; redirects are not followed",
        ),
        (
            &format!("HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n{}", "x".repeat(101)),
            "length limit exceeded",
        ),
        ("nonsense\r\n\r\n", "localhost"),
    ] {
        let refused = server.fetched(answer).await.unwrap_err();
        assert!(
            matches!(refused, Unfetched::Answer { .. }) && refused.to_string().contains(says),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_name_is_judged_by_every_address_that_it_has() {
    let server = Server::new().await;
    for (hosts, address) in [
        ("127.0.0.1 keys.test\n", "127.0.0.1"),
        ("169.254.169.254 keys.test\n", "169.254.169.254"),
        ("203.0.113.7 keys.test\n169.254.169.254 keys.test\n", "169.254.169.254"),
        ("::ffff:169.254.169.254 keys.test\n", "::ffff:169.254.169.254"),
        ("fd00:ec2::254 keys.test\n", "fd00:ec2::254"),
    ] {
        server.names(hosts);
        let refused = server.fetcher(Loopback::Refused).fetch(&server.url("keys.test")).await.unwrap_err();
        let Unfetched::Forbidden { host, address: found } = &refused else { panic!("{refused}") };
        assert_eq!(
            (host.as_str(), found.to_canonical()),
            ("keys.test", address.parse::<IpAddr>().unwrap().to_canonical())
        );
    }
    for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"] {
        let refused = server.fetcher(Loopback::Refused).fetch(&server.url(host)).await.unwrap_err();
        assert!(matches!(refused, Unfetched::Forbidden { .. }), "{host}: {refused}");
    }
}

#[tokio::test]
async fn only_https_without_a_user_is_fetched() {
    let server = Server::new().await;
    for text in [
        "http://localhost/",
        "file:///etc/passwd",
        "localhost",
        "https://",
        "https:///keys",
        "https://issuer.test@169.254.169.254/",
        "",
        "gopher://x/",
    ] {
        let refused = server.fetcher(Loopback::Allowed).fetch(text).await.unwrap_err();
        assert!(matches!(refused, Unfetched::Url(_)), "{text}: {refused}");
    }
}

#[tokio::test]
async fn a_server_without_a_certificate_for_the_name_is_not_believed() {
    let server = Server::new().await;
    server.names("127.0.0.1 other.test\n");
    let (url, fetcher) = (server.url("other.test"), server.fetcher(Loopback::Allowed));
    let (refused, _) = tokio::join!(fetcher.fetch(&url), server.answer(""));
    assert!(matches!(refused, Err(Unfetched::Connect { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let server = Server::new().await;
    server.names("127.0.0.1 localhost\n");
    let fetcher = Fetcher { deadline: Duration::from_millis(50), ..server.fetcher(Loopback::Allowed) };
    let refused = fetcher.fetch(&server.url("localhost")).await.unwrap_err();
    assert!(matches!(refused, Unfetched::Late { .. }), "{refused}");
}

#[test]
fn an_address_that_nobody_may_ask_is_known_without_asking() {
    for (url, forbidden) in [
        ("https://169.254.169.254/latest/meta-data", true),
        ("https://[fe80::1]/keys", true),
        ("https://[::ffff:169.254.169.254]/keys", true),
        ("https://10.0.0.7/keys", false),
        // Meshes on one machine may.
        ("https://127.0.0.1:8443/keys", false),
        ("https://issuer.example/keys", false),
        ("http://169.254.169.254/", true),
    ] {
        assert_eq!(never(url).is_some(), forbidden, "{url}");
    }
}
