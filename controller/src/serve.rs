//! Serves `mesh.config.v1` to proxies. A new [`snapshot`] enters through [`Publisher::publish`] with what it [`touched`]; what each proxy
//! subscribed to leaves on its stream, and streams that it does not concern do not hear of it. [`session`] decides (pure) what a proxy is to be told; [`stream`] is the shell around it; [`codec`] writes
//! resources that are encoded once for all, [`answers`] sends what it wrote; [`registry`] knows all streams. It must not know objects.

pub mod admission;
mod answers;
pub mod codec;
mod guards;
mod interests;
pub mod mine;
pub mod registry;
pub mod service;
pub mod session;
pub mod snapshot;
pub mod stream;
pub mod touched;

use std::sync::Arc;

use tokio::sync::watch;

pub use registry::Registry;
pub use service::ConfigServer;
pub use snapshot::Snapshot;
pub use touched::{Touched, Unseen};

/// Where snapshots are published. Streams see the newest, never a queue of them.
#[derive(Debug)]
pub struct Publisher {
    sender: watch::Sender<Arc<Snapshot>>,
    registry: Registry,
}

impl Publisher {
    /// Begins with this one, for the streams of `registry`.
    pub fn new(first: Arc<Snapshot>, registry: Registry) -> Self {
        Self { sender: watch::Sender::new(first), registry }
    }

    /// Replaces the snapshot, and wakes the streams that what is different concerns.
    pub fn publish(&self, snapshot: Arc<Snapshot>, touched: &Touched) {
        let revision = snapshot.revision;
        self.sender.send_replace(snapshot);
        // Only now: who is woken looks at the newest.
        self.registry.wake(touched, revision);
    }

    /// For a reader.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.sender.subscribe()
    }

    /// The newest.
    pub fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.sender.borrow())
    }
}

#[cfg(test)]
mod tests;
