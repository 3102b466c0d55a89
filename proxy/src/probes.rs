//! Probes and hooks of the application that the node asks this proxy to carry out: with strict mutual TLS nobody else reaches the
//! application in the clear. What is asked stands in one table ([`config::probes`](crate::config::probes)); a request names an entry
//! by its path, and nothing else of it counts. It must not know who asks, or what else this proxy does.

mod grpc;
mod http;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use mesh_capture::options::FORWARD_SOURCES;
use mesh_lifecycle::admin::Answer;
use mesh_lifecycle::dial;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// What begins the path of every probe.
pub const PATH: &str = "/probe/";
/// Probes at once; one more is refused. A pod has a handful, each asked once in seconds.
const PLACES: usize = 32;
/// Most entries of the table.
const MAX_ENTRIES: usize = 256;
/// The longest deadline of one.
const MAX_TIMEOUT: Duration = Duration::from_mins(10);

/// What is asked, by the path below [`PATH`].
#[derive(Debug, Clone, Default)]
pub struct Probes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: BTreeMap<String, Target>,
    hosts: Vec<IpAddr>,
    places: Semaphore,
}

impl Default for Inner {
    fn default() -> Self {
        Self { table: BTreeMap::new(), hosts: Vec::new(), places: Semaphore::new(PLACES) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    #[serde(flatten)]
    how: How,
    timeout_seconds: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum How {
    Http {
        port: u16,
        path: String,
        #[serde(default)]
        tls: bool,
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    Tcp {
        port: u16,
    },
    Grpc {
        port: u16,
        #[serde(default)]
        service: String,
    },
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProbes {
    /// It is not what injection writes.
    #[error("the table of probes cannot be read")]
    NotATable(#[from] serde_json::Error),
    /// It has more entries than any pod needs.
    #[error("the table of probes has more than {MAX_ENTRIES} entries")]
    TooMany,
}

impl Probes {
    /// Reads the table. The application is asked at `address`, as the node would, and on the loopback device where nobody answers
    /// there: behind this proxy it may listen on that alone.
    pub fn read(table: &str, address: Option<IpAddr>) -> Result<Self, InvalidProbes> {
        let table: BTreeMap<String, Target> = serde_json::from_str(table)?;
        if table.len() > MAX_ENTRIES {
            return Err(InvalidProbes::TooMany);
        }
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let hosts = address.into_iter().chain(loopback).collect();
        Ok(Self(Arc::new(Inner { table, hosts, places: Semaphore::new(PLACES) })))
    }

    /// Carries out the probe with this path below [`PATH`].
    pub async fn answer(&self, name: &str) -> Answer {
        let Some(target) = self.0.table.get(name) else {
            return Answer::text("there is no such probe\n").with_status(StatusCode::NOT_FOUND);
        };
        let Ok(_place) = self.0.places.try_acquire() else {
            return failed("too many probes at once".to_owned());
        };
        let deadline = Duration::from_secs(target.timeout_seconds.into()).min(MAX_TIMEOUT);
        match tokio::time::timeout(deadline, self.ask(&target.how)).await {
            Ok(Ok(said)) => Answer::text(format!("{said}\n")),
            Ok(Err(why)) => failed(why),
            Err(_) => failed(format!("no answer within {} s", deadline.as_secs())),
        }
    }

    async fn ask(&self, how: &How) -> Result<String, String> {
        match how {
            How::Tcp { port } => {
                self.dial(*port).await?;
                Ok("connected".to_owned())
            }
            How::Http { port, path, tls, headers } => {
                let ask = http::Ask { host: self.0.hosts.first().copied(), port: *port, tls: *tls, headers };
                http::ask(&ask, path, || self.dial(*port)).await
            }
            How::Grpc { port, service } => {
                // Which of the addresses answers is found with a connection of its own.
                let stream = self.dial(*port).await?;
                let ends = stream.peer_addr().and_then(|peer| Ok((peer, stream.local_addr()?.ip())));
                let (address, from) = ends.map_err(|error| error.to_string())?;
                grpc::ask(address, from, service).await
            }
        }
    }

    async fn dial(&self, port: u16) -> Result<TcpStream, String> {
        let mut first: Option<(SocketAddr, io::Error)> = None;
        for host in &self.0.hosts {
            let address = SocketAddr::new(*host, port);
            match open(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    first.get_or_insert((address, error));
                }
            }
        }
        Err(match first {
            Some((address, error)) => format!("cannot connect to {address}: {error}"),
            None => "there is no address to ask".to_owned(),
        })
    }
}

/// Connects from where capture takes what comes for one that goes to the application, and not for a call to be taken by this proxy.
async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = dial::socket(address)?;
    if !address.ip().is_loopback() {
        let (v4, v6) = FORWARD_SOURCES;
        let from = if address.is_ipv4() { IpAddr::V4(v4) } else { IpAddr::V6(v6) };
        match socket.bind(&SocketAddr::new(from, 0).into()) {
            // Nothing is captured where that address is not there.
            Err(error) if error.kind() != io::ErrorKind::AddrNotAvailable => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    dial::complete(dial::begin(socket, address, None)?).await
}

fn failed(why: String) -> Answer {
    Answer::text(format!("{why}\n")).with_status(StatusCode::SERVICE_UNAVAILABLE)
}

#[cfg(test)]
mod tests;
