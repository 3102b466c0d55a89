//! Tunnels: two streams that carry bytes for each other, with one record. It must not know where they lead.

use std::rc::Rc;
use std::time::Duration;

use super::Worker;
use super::record::Record;
use crate::http::Upgrade;
use crate::net::Stream;
use crate::tcp::{self, Ended};
use crate::telemetry::{Event, Failure};

impl Worker {
    /// Carries bytes both ways until both sides have ended, then writes the record. Without `idle` the two may be silent for as long as
    /// both are there, which the system asks them now and then.
    pub async fn carry(
        &self,
        mut record: Record,
        client: &mut Stream,
        server: &mut Stream,
        idle: Option<Duration>,
    ) {
        client.keep_alive();
        server.keep_alive();
        let relay = tcp::relay(client, server, idle);
        // Dropping the relay resets both sides.
        let relayed = match (record.until(), record.cut()) {
            (None, None) => relay.await,
            (Some((by, failure)), _) => match tokio::time::timeout_at(by, relay).await {
                Ok(relayed) => relayed,
                Err(_) => return record.failure(failure),
            },
            (None, Some(cut)) => tokio::select! {
                biased;
                failure = cut.happens() => return record.failure(failure),
                relayed = relay => relayed,
            },
        };
        record.carried(relayed.to_server, relayed.to_client);
        match relayed.ended {
            Ended::Closed => {}
            Ended::Client(error) => tracing::debug!(%error, "the client's side of a tunnel failed"),
            Ended::Idle => self.telemetry.count(Event::IdleTimeout),
            Ended::Server(error) => {
                tracing::debug!(%error, "the server's side of a tunnel failed");
                record.failure(Failure::UpstreamReset);
            }
        }
    }

    /// After 101 on both sides: what is left of the two connections becomes a tunnel, on a task of its own. `keep` is held until
    /// its end, which comes with `no_longer` at the latest.
    pub fn splice(
        self: &Rc<Self>,
        record: Record,
        client: Upgrade,
        server: Upgrade,
        keep: impl Sized + 'static,
        no_longer: impl Future<Output = ()> + 'static,
    ) {
        let worker = Rc::clone(self);
        self.connections.spawn_local("upgraded", async move {
            let _keep = keep;
            let mut record = record;
            let deadline = worker.config.timeouts.head;
            match tokio::try_join!(client.stream(deadline), server.stream(deadline)) {
                Ok((mut client, mut server)) => {
                    let idle = Some(worker.config.timeouts.tunnel_idle);
                    tokio::select! {
                        () = worker.carry(record, &mut client.stream, &mut server.stream, idle) => {}
                        () = no_longer => {}
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection did not change its protocol");
                    record.failure(Failure::UpstreamReset);
                }
            }
        });
    }
}
