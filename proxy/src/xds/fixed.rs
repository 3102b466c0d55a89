//! A configuration that a test holds in its hand. It goes through the same store as one from the controller.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_model::address::Sought;
use mesh_proto::config::v1::Update;
use mesh_proto::convert::{ModelResource, encode};
use tokio::sync::watch;

use crate::state::{Snapshot, Store};

/// Replaces the configuration of a [`super::Discovery::fixed`].
#[derive(Debug)]
pub struct FixedControl {
    store: Store,
    names: BTreeSet<String>,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

impl FixedControl {
    pub(super) fn new(
        client_namespace: &str,
        resources: Vec<ModelResource>,
    ) -> (Self, watch::Receiver<Arc<Snapshot>>) {
        let store = Store::new(client_namespace);
        let (snapshots, receiver) = watch::channel(Arc::clone(store.snapshot()));
        let mut control = Self { store, names: BTreeSet::new(), snapshots };
        control.replace(resources);
        (control, receiver)
    }

    /// From now on exactly these resources hold. What is equal to before keeps its `Arc`.
    pub fn replace(&mut self, resources: Vec<ModelResource>) {
        let names: BTreeSet<String> = resources.iter().map(ModelResource::name).collect();
        let removed = self.names.difference(&names).cloned().collect();
        for resource in &resources {
            match resource {
                ModelResource::Service(service) => self.store.want(&service.name),
                ModelResource::Address(address) => {
                    self.store.seek(&Sought::Address(address.ip));
                }
                ModelResource::Host(entry) => {
                    self.store.seek(&Sought::Host(entry.host.clone()));
                }
                _ => {}
            }
        }
        self.store.asked(1);
        let resources = resources.iter().map(encode).collect();
        let applied = self.store.apply(Update { resources, removed, ..Update::default() });
        debug_assert!(applied.rejects.is_empty(), "the model encodes to what decodes: {:?}", applied.rejects);
        self.names = names;
        self.snapshots.send_replace(applied.snapshot);
    }
}
