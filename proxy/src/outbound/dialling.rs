//! Dialling a host outside the mesh that has several addresses: families take turns, an address that is silent holds up the next one
//! for a moment only, the first that answers is taken (RFC 8305). It must not know what the connection is for.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mesh_dns::eyeballs::{Attempts, Step};

use super::Outbound;
use crate::config::CONNECT_ATTEMPTS;
use crate::http::Unreached;

impl Outbound {
    /// The first of the addresses that `dial` reaches, with what it gives; those under way are dropped. `None`: there was no address.
    pub(super) async fn first_reached<T, F: Future<Output = Result<T, Unreached>>>(
        &self,
        addresses: Vec<SocketAddr>,
        dial: impl Fn(SocketAddr) -> F,
    ) -> Result<(SocketAddr, T), Option<Unreached>> {
        let mut attempts = Attempts::new(addresses, CONNECT_ATTEMPTS);
        let mut under_way = FuturesUnordered::new();
        let mut last = None;
        loop {
            let step = attempts.step(Instant::now());
            if let Step::Dial(address) = step {
                let attempt = dial(address);
                under_way.push(async move { (address, attempt.await) });
                continue;
            }
            if step == Step::Exhausted && under_way.is_empty() {
                return Err(last);
            }
            let next = async {
                match step {
                    Step::Wait(until) => tokio::time::sleep_until(until.into()).await,
                    Step::Exhausted | Step::Dial(_) => pending().await,
                }
            };
            // An attempt that is not taken goes on in the next turn.
            tokio::select! {
                biased;
                Some((address, result)) = under_way.next() => match result {
                    Ok(reached) => return Ok((address, reached)),
                    Err(why) => {
                        self.unreached(&why);
                        last = Some(why);
                        attempts.failed();
                    }
                },
                () = next => {}
            }
        }
    }
}
