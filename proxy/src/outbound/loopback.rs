//! What an application in a network namespace of its own connects to on loopback: itself, where something inside listens, and else
//! the machine that it runs on, as a program without such a namespace expects. It must not know what is said.

use std::net::SocketAddr;
use std::rc::Rc;

use super::{Caller, Host, Outbound};
use crate::net::{self, Accepted, ConnectError, Dial};
use crate::tcp;
use crate::telemetry::Direction;

impl Outbound {
    /// Tries `inside` first. What stays there is the application's own affair: it is carried and not recorded.
    pub(super) fn serve_loopback(self: &Rc<Self>, accepted: Accepted, original: SocketAddr, inside: Dial) {
        let this = Rc::clone(self);
        self.worker.connections.spawn_local(
            "loopback",
            Box::pin(async move {
                let _open = this.worker.open(Direction::Outbound);
                let Accepted { stream: mut client, peer, permit } = accepted;
                let caller = Caller::of(peer, permit);
                let timeouts = &this.worker.config.timeouts;
                match net::connect(original, &inside, timeouts.connect).await {
                    Ok(mut server) => {
                        client.keep_alive();
                        server.keep_alive();
                        Box::pin(tcp::relay(&mut client, &mut server, None)).await;
                    }
                    Err(ConnectError::Refused { .. }) => {
                        this.carry(client, Rc::new(Host::captured(original)), Rc::new(caller)).await;
                    }
                    Err(error @ ConnectError::Timeout { .. }) => {
                        client.abort();
                        tracing::debug!(%error, "the application does not answer itself");
                    }
                }
            }),
        );
    }
}
