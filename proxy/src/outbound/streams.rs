//! Routes of connections on their way out: the name that a client asks for in TLS, and the backend that it comes to. It must not know
//! how a backend is reached.

use std::sync::Arc;

use mesh_model::name::ServiceName;
use mesh_model::route::BackendTarget;
use mesh_model::stream::{StreamDecision, StreamTable};

use super::Outbound;
use super::destination::Found;
use crate::net::Stream;
use crate::state::Destination;
use crate::telemetry::Failure;
use crate::tls;
use crate::worker::record::Record;

impl Found {
    /// The routes of connections, where some count: then everything there is carried as bytes.
    pub(super) fn streams(&self) -> Option<&Arc<StreamTable>> {
        match self {
            Self::Service { destination, port } => {
                destination.streams(*port).filter(|table| !table.is_empty())
            }
            Self::Direct(_) | Self::Foreign => None,
        }
    }
}

impl Outbound {
    /// What the client asks for in TLS, where routes decide by it. It is read and stays in front of the stream. `None`: it asks for
    /// nothing, speaks no TLS, or says nothing in time.
    pub(super) async fn asked_for(&self, client: &mut Stream, found: &Found) -> Option<Box<str>> {
        if !found.streams()?.needs_name() {
            return None;
        }
        match tokio::time::timeout(self.worker.config.timeouts.handshake, tls::hello(client)).await {
            Ok(Ok(tls::Hello::Foreign(name))) => name,
            Ok(Ok(tls::Hello::Mesh) | Err(_)) | Err(_) => None,
        }
    }

    /// The service and port that a connection to `destination` goes to: the backend of a route, or the service itself.
    pub(super) fn stream_backend(
        &self,
        destination: &Destination,
        port: u16,
        asked_for: Option<&str>,
        record: &mut Record,
    ) -> Result<(ServiceName, u16), Failure> {
        let itself = || (destination.service.name.clone(), port);
        let Some(table) = destination.streams(port) else { return Ok(itself()) };
        match table.decide(asked_for, self.worker.random()) {
            StreamDecision::Service => Ok(itself()),
            StreamDecision::NoRoute => Err(Failure::NoRoute),
            StreamDecision::NoBackend(route) => {
                record.route(&route.label().into());
                Err(Failure::NoBackend)
            }
            StreamDecision::Backend(route, backend) => {
                record.route(&route.label().into());
                match &backend.target {
                    BackendTarget::Service { service, port } => Ok((service.clone(), *port)),
                    BackendTarget::Invalid { .. } => Err(Failure::BackendInvalid),
                }
            }
        }
    }
}
