//! Facts about accepted connections, over real sockets.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use mesh_lifecycle::{Shutdown, Tasks};
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_stream::Stream;

use super::{DEADLINE, exactly};
use crate::incoming::{self, Accepted, PeerStream};
use crate::testing::TestCa;
use crate::tls::ClientAuth;
use crate::{Identity, bundle, obtain, peer};

async fn listen(identity: &Identity, tasks: &Tasks, limit: usize) -> (SocketAddr, Accepted) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (addr, incoming::mtls(listener, identity.server_config(ClientAuth::Required, &[b"h2"]), tasks, limit))
}

async fn next(accepted: &mut Accepted) -> Option<PeerStream> {
    let mut accepted = pin!(accepted);
    let next = poll_fn(|cx| accepted.as_mut().poll_next(cx));
    tokio::time::timeout(DEADLINE, next).await.unwrap().map(Result::unwrap)
}

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap();
}

async fn dial(
    ca: &TestCa,
    identity: &Identity,
    addr: SocketAddr,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let config = identity.client_config(exactly(ca, "shop", "orders"), &[b"h2"]);
    TlsConnector::from(config).connect(ServerName::IpAddress(addr.ip().into()), stream).await.unwrap()
}

#[tokio::test]
async fn an_accepted_connection_says_who_is_there() {
    let ca = TestCa::new("mesh.test");
    let tasks = Tasks::new();
    let (addr, mut accepted) = listen(&ca.identity("shop", "orders"), &tasks, 8).await;
    let cart = ca.identity("shop", "cart");
    let client = dial(&ca, &cart, addr).await;
    let stream = next(&mut accepted).await.unwrap();
    assert_eq!(stream.peer().spiffe_id, Some(ca.id("shop", "cart")));
    assert_eq!(stream.peer().addr, client.get_ref().0.local_addr().unwrap());
    assert_eq!(stream.peer().not_after, cart.svid().not_after);
    assert_eq!(tasks.shutdown(DEADLINE).await, Shutdown::Clean);
    assert!(next(&mut accepted).await.is_none(), "the stream ends with the tasks");
}

/// T34: connections that say nothing fill every place, and whoever is honest still gets in.
#[tokio::test]
async fn a_crowd_that_does_not_shake_hands_makes_room() {
    let ca = TestCa::new("mesh.test");
    let tasks = Tasks::new();
    let (addr, mut accepted) = listen(&ca.identity("shop", "orders"), &tasks, 4).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    let _client = dial(&ca, &ca.identity("shop", "cart"), addr).await;
    next(&mut accepted).await.unwrap();
    let counters = accepted.counters();
    assert!(counters.crowded_out() >= 1, "{counters:?}");
    assert_eq!(counters.accepted(), 1);
}

#[tokio::test]
async fn one_that_does_not_shake_hands_holds_nobody_up() {
    let ca = TestCa::new("mesh.test");
    let tasks = Tasks::new();
    let (addr, mut accepted) = listen(&ca.identity("shop", "orders"), &tasks, 8).await;
    let silent = TcpStream::connect(addr).await.unwrap();
    let mut rude = TcpStream::connect(addr).await.unwrap();
    rude.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _client = dial(&ca, &ca.identity("shop", "cart"), addr).await;
    next(&mut accepted).await.unwrap();
    let counters = accepted.counters();
    until(|| counters.failed() == 1).await;
    assert_eq!(counters.accepted(), 1);
    drop(silent);
    until(|| counters.failed() == 2).await;
    tasks.shutdown(DEADLINE).await;
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_and_are_counted() {
    let ca = TestCa::new("mesh.test");
    let tasks = Tasks::new();
    let (addr, mut accepted) = listen(&ca.identity("shop", "orders"), &tasks, 1).await;
    let cart = ca.identity("shop", "cart");
    let _first = dial(&ca, &cart, addr).await;
    let place = next(&mut accepted).await.unwrap();
    let counters = accepted.counters();
    until(|| counters.full() > 0).await;
    let second = dial(&ca, &cart, addr);
    let mut second = pin!(second);
    tokio::select! {
        biased;
        _ = &mut second => panic!("served beyond the bound"),
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
    drop(place);
    let _second = tokio::time::timeout(DEADLINE, second).await.unwrap();
    next(&mut accepted).await.unwrap();
    tasks.shutdown(DEADLINE).await;
}

#[tokio::test]
async fn roots_and_credentials_that_cannot_be_read_are_errors_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let ca = TestCa::new("mesh.test");
    let file = |name: &str, text: &str| {
        let path = temp.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (roots, empty) = (file("root.pem", &ca.roots_pem()), file("empty", " \n"));
    let config = |ca_roots: &std::path::Path, credential| {
        crate::ObtainConfig::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), ca_roots.to_owned(), credential)
    };
    let token = || crate::Credential::JoinToken("x".into());
    let tasks = Tasks::new();
    let missing = temp.path().join("none");
    for (config, says) in [
        (config(&missing, token()), "copy root.pem"),
        (config(&empty, token()), "no usable roots"),
        (config(&roots, crate::Credential::JwtFile(missing.clone())), "cannot read the JWT"),
        (config(&roots, crate::Credential::JoinTokenFile(empty.clone())), "cannot read the join token"),
    ] {
        let error = obtain(config, &tasks).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_ca_that_is_away_is_waited_for_until_the_process_ends() {
    let temp = tempfile::tempdir().unwrap();
    let roots = temp.path().join("root.pem");
    std::fs::write(&roots, TestCa::new("mesh.test").roots_pem()).unwrap();
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let credential = crate::Credential::JoinToken("x".into());
    let config = crate::ObtainConfig::new(gone, roots, credential);
    let tasks = Tasks::new();
    let (error, _) = tokio::join!(obtain(config, &tasks), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        tasks.shutdown(DEADLINE).await
    });
    let error = error.unwrap_err();
    assert!(matches!(error, crate::ObtainError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("cannot connect to"), "{error}");
}

#[test]
fn roots_name_their_trust_domain() {
    let pem = TestCa::new("mesh.test").roots_pem();
    let bundle = bundle::TrustBundle::from_pem(pem.as_bytes(), None).unwrap();
    assert_eq!((bundle.trust_domain().as_str(), bundle.generation()), ("mesh.test", 0));
    assert_eq!(bundle.fingerprints()[0].len(), 64);
    assert!(peer::unix_now() > 0);
}
