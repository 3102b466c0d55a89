//! Trials: a request that an operator asked for, carried as one of the application's own: by the same name service, the same decision about
//! the connection, the same pipeline. Only what the mesh knows can be asked. It must not know who asked.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::destination::Found;
use super::{Caller, Host, Outbound};
use crate::http::{Fault, Wire, trial as text};
use crate::net::{self, Stream};
use crate::telemetry::{Begun, Direction, Trial, TrialWay, Tried};

/// Those under way.
const AT_ONCE: usize = 4;
/// For a request and its answer; it is told that there was none.
const DEADLINE: Duration = Duration::from_secs(30);
/// What is read of an answer: its head counts, and its body up to here, so that the record of a usual one is whole.
const MAX_ANSWER: usize = 1024 * 1024;
const MAX_HEAD: usize = 64 * 1024;
/// Between the two ends of the connection that nobody opened.
const BUFFER: usize = 16 * 1024;

/// Status and failure code.
type Answer = (u16, String);

impl Outbound {
    /// Carries out those that come, each on a task of its own.
    pub async fn trials(self: Rc<Self>, mut trials: mpsc::Receiver<Begun>) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let Some(begun) = trials.recv().await else { return };
            let this = Rc::clone(&self);
            self.worker.connections.spawn_local(
                "trial",
                Box::pin(async move {
                    let tried = this.try_out(&begun.trial, place).await;
                    begun.done(tried);
                }),
            );
        }
    }

    async fn try_out(self: &Rc<Self>, trial: &Trial, place: OwnedSemaphorePermit) -> Tried {
        let text = match text::request(trial) {
            Ok(text) => text,
            Err(why) => return Tried::Refused(why),
        };
        let _open = self.worker.open(Direction::Outbound);
        let (client, server) = tokio::io::duplex(BUFFER);
        let stream = Stream::tunnel(Box::new(server));
        // Of each name and value only what routes see is in the log: headers may be secrets.
        let (method, host) = (&trial.method, &trial.authority);
        tracing::info!(method, host, "sends a request on an operator's word, as its application would");
        let captures = !self.worker.config.capture.outbound.is_empty();
        let way = if captures { self.as_captured(trial).await } else { self.as_proxied(trial).await };
        let Entrance { way, address, host, found } = match way {
            Ok(entrance) => entrance,
            Err(why) => return Tried::Refused(why),
        };
        let caller = Rc::new(Caller { address, trial: true, _permit: place });
        let serve = async {
            match way {
                TrialWay::Capture(_) => self.carry_found(stream, Rc::new(host), found, caller).await,
                TrialWay::HttpProxy => self.http(stream, Wire::Http1, None, caller).await,
            }
        };
        let both = async {
            let mut exchange = std::pin::pin!(exchange(client, &text));
            tokio::select! {
                answer = &mut exchange => answer,
                // What was written last is still to be read; then comes the end.
                () = serve => exchange.await,
            }
        };
        let answer = tokio::time::timeout(DEADLINE, both).await.ok().flatten();
        let (status, failure) = answer.unwrap_or_default();
        Tried::Sent { way, status, failure }
    }

    /// Where a connection of the application to that name goes, and what is there.
    async fn as_captured(&self, trial: &Trial) -> Result<Entrance, String> {
        let named = Host::parse(&trial.authority).map_err(|fault| fault.detail)?;
        let ip = self.dialled(&named).await?;
        let original = SocketAddr::new(ip, named.port);
        if ip.is_loopback() || net::is_ours(original, &self.own) {
            return Err(format!("{named} leads to {original}: to its own machine, and not into the mesh"));
        }
        let host = match self.dns.host_of(ip) {
            Some(name) => Host::new(name.to_string(), named.port),
            None => Host::captured(original),
        };
        let found = self.known(&host, &named).await?;
        let address = self.source_toward(original).await;
        Ok(Entrance { way: TrialWay::Capture(original), address, host, found })
    }

    /// The same where the application knows of the HTTP proxy port.
    async fn as_proxied(&self, trial: &Trial) -> Result<Entrance, String> {
        let Some(port) = self.worker.config.outbound_proxy else {
            let why = "its sidecar neither captures what it opens nor has an HTTP proxy port: only the application itself can be asked";
            return Err(why.to_owned());
        };
        let host = Host::parse(&trial.authority).map_err(|fault| fault.detail)?;
        let found = self.known(&host, &host).await?;
        Ok(Entrance { way: TrialWay::HttpProxy, address: port.ip(), host, found })
    }

    /// What a host stands for. Strangers are not asked on anybody's word: nothing says what they may be asked.
    async fn known(&self, host: &Host, named: &Host) -> Result<Result<Found, Fault>, String> {
        let found = self.discover(host).await;
        if matches!(found, Ok(Found::Foreign)) && !self.is_described(host) {
            return Err(format!("the mesh knows no {named}, and only what it knows is asked"));
        }
        Ok(found)
    }

    /// The address that the application gets for a name and dials.
    async fn dialled(&self, named: &Host) -> Result<IpAddr, String> {
        if let Ok(ip) = named.name.parse() {
            return Ok(ip);
        }
        let found = self.dns.for_application(&named.name, self.worker.config.timeouts.dns).await;
        let found =
            found.map_err(|why| format!("its application finds no address of {}: {why}", named.name))?;
        let first = found.first().copied();
        first.ok_or_else(|| format!("its application finds no address of {}", named.name))
    }

    /// Where a connection of the application would come from. Nothing is sent.
    async fn source_toward(&self, to: SocketAddr) -> IpAddr {
        let found = match &self.network {
            Some(network) => network.run(move || net::source_toward(to)).await.ok().flatten(),
            None => net::source_toward(to),
        };
        found.unwrap_or(if to.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        })
    }
}

/// How a trial comes in.
struct Entrance {
    way: TrialWay,
    /// Where the application's connection comes from.
    address: IpAddr,
    host: Host,
    found: Result<Found, Fault>,
}

/// Writes the request and reads its answer; `None`: there was none that is HTTP.
async fn exchange(mut client: DuplexStream, text: &text::Text) -> Option<Answer> {
    // The other end may have closed before it read everything; its answer counts.
    let _ = client.write_all(&text.bytes).await;
    let (mut read, mut answer) = (Vec::new(), None);
    let mut left = MAX_ANSWER;
    let mut piece = vec![0; BUFFER];
    while left > 0 {
        let Ok(count @ 1..) = client.read(&mut piece).await else { break };
        left = left.saturating_sub(count);
        if answer.is_none() {
            read.extend(piece.iter().take(count));
            match text::answer(&read, &text.method) {
                Ok(found) => answer = found,
                Err(why) => {
                    tracing::debug!(why, "the answer to an operator's request is not HTTP");
                    return None;
                }
            }
            if answer.is_none() && read.len() > MAX_HEAD {
                return None;
            }
        }
    }
    answer
}
