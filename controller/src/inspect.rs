//! `mesh.inspect.v1.InspectService`: answers `meshctl` from what is known. Read only. It must not know how things came to be known.

pub mod objects;
pub mod peers;
pub mod trace;

use std::sync::Arc;

use mesh_identity::incoming::PeerInfo;
use mesh_lifecycle::Tasks;
use mesh_proto::inspect::v1::inspect_service_server::InspectService;
use mesh_proto::inspect::v1::{
    CertsRequest, CertsResponse, ProxySync, ProxyVersion, RejectedResource, StatRequest, StatResponse,
    SyncRequest, SyncResponse, TraceRequest, TraceResponse, VersionRequest, VersionResponse,
};
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::access::Access;
use crate::clock::now_ms;
use crate::observe::Observatory;
use crate::serve::registry::{Connected, ProxyLine};
use crate::serve::{Registry, Snapshot};
use objects::Objects;

/// The service.
#[derive(Debug, Clone)]
pub struct Inspector {
    /// Who may ask.
    pub access: Access,
    /// What proxies reported.
    pub observatory: Observatory,
    /// All configuration streams.
    pub registry: Registry,
    /// The newest snapshot.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What is to be said about objects.
    pub objects: watch::Receiver<Arc<Objects>>,
    /// For `Trace`.
    pub tasks: Tasks,
}

impl Inspector {
    fn admit<T>(&self, request: Request<T>) -> Result<T, Status> {
        let peer = request.extensions().get::<PeerInfo>().and_then(|peer| peer.spiffe_id.clone());
        match self.access.tool(peer.as_ref()) {
            Ok(()) => Ok(request.into_inner()),
            Err(denied) => Err(Status::permission_denied(denied.to_string())),
        }
    }
}

#[tonic::async_trait]
impl InspectService for Inspector {
    type TraceStream = ReceiverStream<Result<TraceResponse, Status>>;

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<StatResponse>, Status> {
        let request = self.admit(request)?;
        if request.window_seconds > 3600 {
            let window = request.window_seconds;
            return Err(Status::invalid_argument(format!(
                "window_seconds: {window} is over 3600; one hour is kept"
            )));
        }
        Ok(Response::new(self.observatory.stat(&request, now_ms() / 1000)))
    }

    async fn trace(&self, request: Request<TraceRequest>) -> Result<Response<Self::TraceStream>, Status> {
        let request = self.admit(request)?;
        Ok(Response::new(trace::follow(self.observatory.clone(), request, &self.tasks)))
    }

    async fn sync(&self, request: Request<SyncRequest>) -> Result<Response<SyncResponse>, Status> {
        self.admit(request)?;
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let objects = Arc::clone(&self.objects.borrow());
        let programmed = self.registry.programmed(&snapshot);
        Ok(Response::new(SyncResponse {
            revision: snapshot.revision,
            source_time_ms: snapshot.time_ms,
            proxies: self.registry.lines(now_ms()).into_iter().map(proxy_sync).collect(),
            objects: objects.statuses(&programmed),
        }))
    }

    async fn certs(&self, request: Request<CertsRequest>) -> Result<Response<CertsResponse>, Status> {
        self.admit(request)?;
        let certificates = self.observatory.proxies(|proxies| proxies.certificates());
        Ok(Response::new(CertsResponse { certificates }))
    }

    async fn version(&self, request: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
        self.admit(request)?;
        let versions = self.registry.versions().into_iter();
        let proxies = versions.map(|(version, count)| ProxyVersion { version, count }).collect();
        Ok(Response::new(VersionResponse { version: env!("CARGO_PKG_VERSION").to_owned(), proxies }))
    }
}

fn proxy_sync(line: ProxyLine) -> ProxySync {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let rejects = line.rejects.into_iter();
    let rejects =
        rejects.map(|r| RejectedResource { resource: r.resource, field: r.field, reason: r.reason });
    ProxySync {
        namespace: line.proxy.namespace,
        workload: line.proxy.workload,
        instance: line.proxy.instance,
        spiffe_id: line.proxy.spiffe_id.to_string(),
        proxy_version: line.proxy.version,
        connected: line.connected == Connected::Yes,
        sent_revision: line.sent_revision,
        acked_revision: line.acked_revision,
        resources: count(line.resources),
        destinations: count(line.destinations),
        rejects: rejects.collect(),
        since_ms: line.since_ms,
    }
}
