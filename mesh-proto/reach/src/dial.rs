//! A connection to one of a host's addresses: they are tried one after the other without waiting long for any, and the first that
//! answers is taken (RFC 8305). It must not know what is said on it.

use std::io;
use std::net::SocketAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mesh_dns::eyeballs::{Attempts, Step};
use mesh_lifecycle::dial;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::{HostPort, Resolver, Unresolved};

/// Attempts at once and in all.
const ATTEMPTS: usize = 8;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// None of its addresses answers.
    #[error("cannot connect to {target}{}", .address.map_or_else(String::new, |at| format!(" ({at})")))]
    Connect {
        /// Who was meant.
        target: HostPort,
        /// The address whose failure this is, where the target is a name.
        address: Option<SocketAddr>,
        /// What the kernel says of it.
        source: io::Error,
    },
}

/// Looks the target up, now, and connects to whichever of its addresses answers first, before `until`.
pub async fn tcp(target: &HostPort, resolver: &Resolver, until: Instant) -> Result<TcpStream, DialError> {
    let addresses = match (target.address(), target.name()) {
        (None, Some(name)) => {
            let found = resolver.addresses(name, until).await?;
            found.into_iter().map(|ip| SocketAddr::new(ip, target.port())).collect()
        }
        (address, _) => Vec::from_iter(address),
    };
    let named = target.name().is_some();
    race(addresses, resolver.mark, until).await.map_err(|(address, source)| DialError::Connect {
        target: target.clone(),
        address: address.filter(|_| named),
        source,
    })
}

async fn race(
    addresses: Vec<SocketAddr>,
    mark: Option<u32>,
    until: Instant,
) -> Result<TcpStream, (Option<SocketAddr>, io::Error)> {
    let mut attempts = Attempts::new(addresses, ATTEMPTS);
    let mut under_way = FuturesUnordered::new();
    let mut failed = None;
    let late = || (None, io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    loop {
        let wake = match attempts.step(Instant::now().into_std()) {
            Step::Dial(address) => {
                under_way.push(async move { (address, dial::tcp(address, mark).await) });
                continue;
            }
            Step::Wait(next) => until.min(next.into()),
            Step::Exhausted if under_way.is_empty() => return Err(failed.unwrap_or_else(late)),
            Step::Exhausted => until,
        };
        match timeout_at(wake, under_way.next()).await {
            Ok(Some((_, Ok(stream)))) => return Ok(stream),
            Ok(Some((address, Err(error)))) => {
                failed = Some((Some(address), error));
                attempts.failed();
            }
            // All have failed, or it is the next one's turn.
            Ok(None) => attempts.failed(),
            Err(_) if Instant::now() >= until => return Err(failed.unwrap_or_else(late)),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::net::TcpListener;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over() {
        let (gone, there) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
        let (gone, there) = (gone.await.unwrap(), there.await.unwrap());
        let (refuses, answers) = (gone.local_addr().unwrap(), there.local_addr().unwrap());
        drop(gone);
        let stream = race(vec![refuses, answers], None, soon()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), answers);
        let (address, error) = race(vec![refuses], None, soon()).await.unwrap_err();
        assert_eq!((address, error.kind()), (Some(refuses), io::ErrorKind::ConnectionRefused));
    }

    #[tokio::test]
    async fn a_name_that_is_known_here_is_dialled_and_an_error_says_both() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target: HostPort = format!("localhost:{port}").parse().unwrap();
        let resolver = Resolver::default();
        tcp(&target, &resolver, soon()).await.unwrap();
        drop(listener);
        let error = tcp(&target, &resolver, soon()).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot connect to localhost:{port} (")), "{error}");
    }
}
