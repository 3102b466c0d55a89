//! Serves `mesh.config.v1` to proxies. A new [`snapshot`] enters through [`Publisher::publish`]; what each proxy subscribed to leaves on
//! its stream. [`session`] decides (pure) what a proxy is to be told; [`stream`] is the shell around it; [`codec`] writes
//! resources that are encoded once for all; [`registry`] knows all streams. It must not know objects.

pub mod codec;
mod guards;
pub mod mine;
pub mod registry;
pub mod service;
pub mod session;
pub mod snapshot;
pub mod stream;

use std::sync::Arc;

use tokio::sync::watch;

pub use registry::Registry;
pub use service::ConfigServer;
pub use snapshot::Snapshot;

/// Where snapshots are published. Streams see the newest, never a queue of them.
#[derive(Debug)]
pub struct Publisher {
    sender: watch::Sender<Arc<Snapshot>>,
}

impl Publisher {
    /// Begins with this one.
    pub fn new(first: Arc<Snapshot>) -> Self {
        Self { sender: watch::Sender::new(first) }
    }

    /// Replaces the snapshot; every stream is told what concerns it.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.sender.send_replace(snapshot);
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
