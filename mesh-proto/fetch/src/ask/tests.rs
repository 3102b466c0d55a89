//! Asking in plaintext on this machine, and what is not asked.

use std::net::Ipv4Addr;
use std::time::Duration;

use mesh_reach::Resolver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn fetcher(loopback: Loopback, hosts: std::path::PathBuf) -> Fetcher {
    let resolver = Resolver { hosts, ..Resolver::default() };
    Fetcher { loopback, roots: None, resolver, deadline: Duration::from_secs(20), bytes: 100 }
}

/// Answers one request; gives what came.
async fn answer(listener: &TcpListener, text: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut came = Vec::new();
    while !came.ends_with(b"{}") {
        assert_ne!(stream.read_buf(&mut came).await.unwrap(), 0, "{}", String::from_utf8_lossy(&came));
    }
    stream.write_all(text.as_bytes()).await.unwrap();
    String::from_utf8_lossy(&came).into_owned()
}

#[tokio::test]
async fn a_question_is_posted_and_answers_of_success_are_given() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://127.0.0.1:{}/gate?x=1", listener.local_addr().unwrap().port());
    let folder = tempfile::tempdir().unwrap();
    let fetcher = fetcher(Loopback::Allowed, folder.path().join("hosts"));
    let nobody = BTreeSet::new();
    let ask = || fetcher.ask(&url, Question::Post(b"{}".to_vec()), &nobody);
    let yes = "HTTP/1.1 202 Fine\r\ncontent-length: 3\r\n\r\nyes";
    let (answered, came) = tokio::join!(ask(), answer(&listener, yes));
    assert_eq!(answered.unwrap(), b"yes");
    assert!(came.starts_with("POST /gate?x=1 HTTP/1.1\r\n"), "{came}");
    assert!(came.contains("content-type: application/json\r\n"), "{came}");
    let (refused, _) = tokio::join!(ask(), answer(&listener, "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n"));
    assert!(refused.unwrap_err().to_string().contains("status 403"));
}

#[tokio::test]
async fn plaintext_goes_only_where_it_was_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "192.0.2.7 elsewhere\n127.0.0.1 here\n169.254.169.254 clouds\n").unwrap();
    let on_one_machine = fetcher(Loopback::Allowed, hosts.clone());
    let in_a_cluster = fetcher(Loopback::Refused, hosts);
    let named = BTreeSet::from(["here".to_owned(), "clouds".to_owned()]);
    let nobody = BTreeSet::new();
    let refused = on_one_machine.ask("http://elsewhere/", Question::Get, &nobody).await;
    assert_eq!(refused, Err(Unfetched::Plaintext("elsewhere".to_owned())));
    let refused = in_a_cluster.ask("http://here/", Question::Get, &named).await;
    assert!(matches!(refused, Err(Unfetched::Forbidden { .. })), "{refused:?}");
    let refused = on_one_machine.ask("http://clouds/", Question::Get, &named).await;
    assert!(matches!(refused, Err(Unfetched::Forbidden { .. })), "{refused:?}");
}

#[test]
fn only_http_urls_with_a_host_and_without_a_user_are_asked() {
    assert!(url("http://prometheus.monitoring:9090").is_ok() && url("https://gate.shop/x").is_ok());
    for bad in ["ftp://gate", "http://me@gate/", "/gate", "gate", "http:///x"] {
        assert!(matches!(url(bad), Err(Unfetched::Url(_))), "{bad}");
    }
}
