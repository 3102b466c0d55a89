//! Facts about lookups, against resolvers of our own on loopback.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use mesh_dns::wire::{Answer as Said, answer, failure, truncated};
use mesh_lifecycle::Tasks;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

/// What a resolver does about one name; of all others it says that there are none.
#[derive(Debug, Clone)]
enum Does {
    Answer(Vec<IpAddr>),
    /// Over UDP it says that the answer does not fit.
    OnlyByTcp(Vec<IpAddr>),
    Fail,
    /// Sends replies to questions that nobody asked, and then the right one.
    AfterForgeries(Vec<IpAddr>),
    Silence,
}

type Zone = Arc<HashMap<String, Does>>;

struct Lab {
    dir: TempDir,
    tasks: Tasks,
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Lab {
    /// Resolvers on 127.0.0.1, 127.0.0.2 and so on, with one port.
    async fn new(zones: Vec<HashMap<String, Does>>, options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tasks, asked) = (Tasks::new(), Arc::default());
        let mut lab = Self { dir, tasks, port: 0, asked };
        let mut conf = options.to_owned();
        for (number, zone) in zones.into_iter().enumerate() {
            let ip = Ipv4Addr::new(127, 0, 0, u8::try_from(number + 1).unwrap());
            conf = format!("{conf}nameserver {ip}\n");
            lab.serve(ip, Arc::new(zone)).await;
        }
        std::fs::write(lab.dir.path().join("resolv.conf"), conf).unwrap();
        std::fs::write(lab.dir.path().join("hosts"), "10.9.9.9 by-file\n").unwrap();
        lab
    }

    async fn serve(&mut self, ip: Ipv4Addr, zone: Zone) {
        // The port is chosen with the first resolver; both protocols need it.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((ip, self.port)).await.unwrap();
            let port = udp.local_addr().unwrap().port();
            match TcpListener::bind((ip, port)).await {
                Ok(tcp) => break (udp, tcp),
                Err(error) if self.port != 0 => panic!("{error}"),
                Err(_) => {}
            }
        };
        self.port = udp.local_addr().unwrap().port();
        let (asked, by_tcp) = (Arc::clone(&self.asked), Arc::clone(&zone));
        self.tasks.spawn("udp", async move {
            let mut buffer = [0; 1024];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                for reply in replies(&zone, &buffer[..length], false, &asked) {
                    udp.send_to(&reply, from).await.unwrap();
                }
            }
        });
        let asked = Arc::clone(&self.asked);
        self.tasks.spawn("tcp", async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let mut message = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut message).await.unwrap();
                for reply in replies(&by_tcp, &message, true, &asked) {
                    stream.write_u16(u16::try_from(reply.len()).unwrap()).await.unwrap();
                    stream.write_all(&reply).await.unwrap();
                }
            }
        });
    }

    fn resolver(&self) -> Resolver {
        let file = |name| self.dir.path().join(name);
        Resolver { resolv_conf: file("resolv.conf"), hosts: file("hosts"), mark: None, port: self.port }
    }

    async fn addresses(&self, host: &str) -> Result<Vec<String>, Unresolved> {
        let until = Instant::now() + Duration::from_secs(20);
        let found = self.resolver().addresses(host, until).await?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    /// The names that were asked for, without doubles.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }
}

fn replies(zone: &Zone, message: &[u8], by_tcp: bool, asked: &Mutex<Vec<String>>) -> Vec<Vec<u8>> {
    let query = Query::parse(message).unwrap();
    let name = query.name.text().unwrap();
    asked.lock().unwrap().push(name.clone());
    let said = |addresses: &[IpAddr]| {
        let addresses: Vec<_> =
            addresses.iter().copied().filter(|ip| ip.is_ipv4() == (query.kind == kind::A)).collect();
        answer(message, &query, &Said { alias: None, addresses: &addresses, ttl: 5 }, 512)
    };
    match zone.get(&name) {
        None => vec![failure(message, Some(&query), rcode::NO_NAME)],
        Some(Does::Fail) => vec![failure(message, Some(&query), rcode::FAILED)],
        Some(Does::Silence) => Vec::new(),
        Some(Does::OnlyByTcp(_)) if !by_tcp => vec![truncated(message, &query)],
        Some(Does::Answer(addresses) | Does::OnlyByTcp(addresses)) => vec![said(addresses)],
        Some(Does::AfterForgeries(addresses)) => {
            let mut forged = said(&["6.6.6.6".parse().unwrap()]);
            forged[0] ^= 0x55;
            vec![forged.clone(), vec![1, 2, 3], forged, said(addresses)]
        }
    }
}

fn zone<const N: usize>(names: [(&str, Does); N]) -> HashMap<String, Does> {
    names.into_iter().map(|(name, does)| (name.to_owned(), does)).collect()
}

fn ips<const N: usize>(all: [&str; N]) -> Vec<IpAddr> {
    all.iter().map(|one| one.parse().unwrap()).collect()
}

const POD: &str =
    "search shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:1\n";

#[tokio::test]
async fn a_service_is_found_along_the_search_list_of_a_pod() {
    let there = Does::Answer(ips(["10.96.0.7", "fd00::7"]));
    let lab = Lab::new(vec![zone([("mesh-ca.amime-system.svc.cluster.local", there)])], POD).await;
    assert_eq!(lab.addresses("mesh-ca.amime-system.svc").await.unwrap(), ["10.96.0.7", "fd00::7"]);
    assert_eq!(
        lab.asked(),
        [
            "mesh-ca.amime-system.svc.shop.svc.cluster.local",
            "mesh-ca.amime-system.svc.svc.cluster.local",
            "mesh-ca.amime-system.svc.cluster.local"
        ]
    );
}

#[tokio::test]
async fn the_hosts_file_and_addresses_need_no_resolver() {
    let lab = Lab::new(vec![], POD).await;
    assert_eq!(lab.addresses("by-file").await.unwrap(), ["10.9.9.9"]);
    assert_eq!(lab.addresses("localhost").await.unwrap(), ["127.0.0.1", "::1"]);
    assert_eq!(lab.addresses("fd00::1").await.unwrap(), ["fd00::1"]);
    let error = lab.addresses("elsewhere").await.unwrap_err();
    assert!(matches!(error, Unresolved::NoResolver { .. }), "{error}");
    assert!(error.to_string().contains("resolv.conf` names no resolver"), "{error}");
}

#[tokio::test]
async fn what_does_not_fit_in_a_datagram_comes_by_tcp() {
    let lab = Lab::new(vec![zone([("big.test", Does::OnlyByTcp(ips(["10.0.0.1"])))])], "").await;
    assert_eq!(lab.addresses("big.test").await.unwrap(), ["10.0.0.1"]);
}

#[tokio::test]
async fn replies_to_other_questions_are_passed_over() {
    let lab = Lab::new(vec![zone([("a.test", Does::AfterForgeries(ips(["10.0.0.1"])))])], "").await;
    assert_eq!(lab.addresses("a.test").await.unwrap(), ["10.0.0.1"]);
}

#[tokio::test]
async fn a_resolver_that_fails_or_is_silent_is_not_the_last() {
    for does in [Does::Fail, Does::Silence] {
        let second = zone([("a.test", Does::Answer(ips(["10.0.0.2"])))]);
        let lab = Lab::new(vec![zone([("a.test", does)]), second], "").await;
        assert_eq!(lab.addresses("a.test").await.unwrap(), ["10.0.0.2"]);
    }
}

#[tokio::test]
async fn an_error_says_what_was_asked_and_what_came() {
    let lab = Lab::new(vec![zone([("broken.test", Does::Fail)])], "search x.test\n").await;
    let error = lab.addresses("nobody").await.unwrap_err().to_string();
    assert_eq!(error, "no resolver knows `nobody` (asked for nobody.x.test, nobody)");
    let error = lab.addresses("broken.test").await.unwrap_err().to_string();
    assert!(error.contains("`broken.test` cannot be resolved: ") && error.contains("code 2"), "{error}");
    let error = lab.addresses("a..b").await.unwrap_err();
    assert_eq!(error, Unresolved::NoName("a..b".into()));
}

#[tokio::test]
async fn the_deadline_ends_a_lookup() {
    let lab = Lab::new(vec![zone([("a.test", Does::Silence)])], "").await;
    let until = Instant::now() + Duration::from_millis(50);
    let error = lab.resolver().addresses("a.test", until).await.unwrap_err();
    assert!(matches!(error, Unresolved::Failed { .. }), "{error}");
}
