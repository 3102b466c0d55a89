//! `mesh.inspect.v1.InspectService`: answers `meshctl` and the dashboard from what is known, here and at the other replicas. It
//! changes nothing but by passing an order to a release on. It must not know how things came to be known.

pub mod canary;
pub mod cost;
pub mod edges;
pub mod facts;
pub mod failures;
pub mod json;
pub mod objects;
pub mod others;
pub mod peers;
pub mod protocols;
pub mod services;
pub mod spans;
mod sync;
pub mod tap;
pub mod together;
pub mod trace;
pub mod trial;

use std::sync::Arc;

use mesh_identity::incoming::PeerInfo;
use mesh_lifecycle::{Tasks, usage};
use mesh_proto::inspect::v1::inspect_service_server::InspectService;
use mesh_proto::inspect::v1::{
    CanariesRequest, CanariesResponse, CertsRequest, CertsResponse, ComparisonsRequest, ComparisonsResponse,
    CostRequest, CostResponse, DaemonCost, DashboardRequest, DashboardResponse, EdgesRequest, EdgesResponse,
    FailuresRequest, FailuresResponse, ObjectivesRequest, ObjectivesResponse, ProtocolsRequest,
    ProtocolsResponse, ProxyVersion, SendTrialRequest, SendTrialResponse, ServicesRequest, ServicesResponse,
    SpansRequest, SpansResponse, StatRequest, StatResponse, SteerCanaryRequest, SteerCanaryResponse,
    SyncRequest, SyncResponse, TapRequest, TapResponse, TraceRequest, TraceResponse, VersionRequest,
    VersionResponse,
};
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::access::Access;
use crate::access::sessions::{Desk, SignedIn, TICKET_SECONDS};
use crate::clock::now_ms;
use crate::observe::failures::window as failures_window;
use crate::observe::stats::group::{self, World};
use crate::observe::{Observatory, comparisons, costs, promises};
use crate::serve::{Registry, Snapshot};
use crate::sources::barrier::Barrier;
use crate::sources::freshness::Freshness;
use objects::Objects;
use others::Others;

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
    /// Whether the source is followed.
    pub freshness: Freshness,
    /// For who wants to know what the source has by now.
    pub barrier: Barrier,
    /// What is to be said about objects.
    pub objects: watch::Receiver<Arc<Objects>>,
    /// The other replicas.
    pub others: Others,
    /// For streams.
    pub tasks: Tasks,
    /// Where orders to releases are given.
    pub orders: canary::Orders,
    /// Who is signed in to the dashboard; `None`: there is none.
    pub desk: Option<Desk>,
}

impl Inspector {
    /// Whoever shows the certificate of the tool or of a replica; within this process a session of the dashboard, too.
    fn admit<T>(&self, request: Request<T>) -> Result<T, Status> {
        if request.extensions().get::<SignedIn>().is_some() {
            return Ok(request.into_inner());
        }
        self.admit_peer(request)
    }

    fn admit_peer<T>(&self, request: Request<T>) -> Result<T, Status> {
        let peer = request.extensions().get::<PeerInfo>().and_then(|peer| peer.spiffe_id.clone());
        match self.access.tool(peer.as_ref()) {
            Ok(()) => Ok(request.into_inner()),
            Err(denied) => Err(Status::permission_denied(denied.to_string())),
        }
    }

    fn objects(&self) -> Arc<Objects> {
        Arc::clone(&self.objects.borrow())
    }

    /// What proxies of all replicas said.
    async fn traffic(&self, request: &StatRequest, objects: &Objects) -> StatResponse {
        let here = self.observatory.stat(request, now_ms() / 1000, objects.facts.members());
        let asked = StatRequest { local_only: true, ..request.clone() };
        let (mut all, unanswered) = self
            .others
            .ask(|mut client| {
                let asked = asked.clone();
                async move { client.stat(asked).await }
            })
            .await;
        all.push(here);
        StatResponse { unanswered, ..group::together(all) }
    }

    /// What this process took since it began.
    fn own_cost(&self) -> DaemonCost {
        let usage = usage::now();
        let number = |of: u128| u64::try_from(of).unwrap_or(u64::MAX);
        DaemonCost {
            name: "controller".to_owned(),
            instance: self.others.own().to_owned(),
            interval_ms: number(usage.up.as_millis()),
            cpu_us: number(usage.cpu.as_micros()),
            resident_bytes: usage.resident_bytes,
        }
    }

    async fn failed(&self, request: &FailuresRequest, objects: &Objects) -> FailuresResponse {
        let now = now_ms();
        let behind = objects.facts.behind();
        let world = World { members: objects.facts.members(), services: &behind };
        let rows = self.observatory.failures(|failures| failures.rows(request, now, world));
        let window_seconds = failures_window(request);
        let here = FailuresResponse { window_seconds, rows, unanswered: Vec::new() };
        if request.local_only {
            return here;
        }
        let asked = FailuresRequest { local_only: true, ..request.clone() };
        let (mut all, unanswered) = self
            .others
            .ask(|mut client| {
                let asked = asked.clone();
                async move { client.failures(asked).await }
            })
            .await;
        all.push(here);
        let about =
            StatRequest { window_seconds, namespace: request.namespace.clone(), ..StatRequest::default() };
        let traffic = self.traffic(&about, objects).await;
        FailuresResponse { unanswered, ..failures::together(all, &traffic) }
    }
}

/// One hour is kept.
fn within_an_hour(window: u32) -> Result<(), Status> {
    if window > 3600 {
        return Err(Status::invalid_argument(format!(
            "window_seconds: {window} is over 3600; one hour is kept"
        )));
    }
    Ok(())
}

#[tonic::async_trait]
impl InspectService for Inspector {
    type TraceStream = ReceiverStream<Result<TraceResponse, Status>>;
    type TapStream = ReceiverStream<Result<TapResponse, Status>>;
    type SpansStream = ReceiverStream<Result<SpansResponse, Status>>;

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<StatResponse>, Status> {
        let request = self.admit(request)?;
        within_an_hour(request.window_seconds)?;
        let objects = self.objects();
        if request.local_only {
            let members = objects.facts.members();
            return Ok(Response::new(self.observatory.stat(&request, now_ms() / 1000, members)));
        }
        let all = self.traffic(&request, &objects).await;
        let services = objects.facts.behind();
        let world = World { members: objects.facts.members(), services: &services };
        Ok(Response::new(group::answer(all, &request, world)))
    }

    async fn edges(&self, request: Request<EdgesRequest>) -> Result<Response<EdgesResponse>, Status> {
        let request = self.admit(request)?;
        within_an_hour(request.window_seconds)?;
        let objects = self.objects();
        let about = StatRequest {
            window_seconds: edges::window(&request),
            namespace: request.namespace,
            from: request.from,
            to: request.to,
            ..StatRequest::default()
        };
        let all = self.traffic(&about, &objects).await;
        Ok(Response::new(edges::edges(all, &objects.facts)))
    }

    async fn failures(
        &self,
        request: Request<FailuresRequest>,
    ) -> Result<Response<FailuresResponse>, Status> {
        let request = self.admit(request)?;
        within_an_hour(request.window_seconds)?;
        Ok(Response::new(self.failed(&request, &self.objects()).await))
    }

    async fn services(
        &self,
        request: Request<ServicesRequest>,
    ) -> Result<Response<ServicesResponse>, Status> {
        let request = self.admit(request)?;
        Ok(Response::new(services::services(&request, &self.objects().facts)))
    }

    async fn protocols(
        &self,
        request: Request<ProtocolsRequest>,
    ) -> Result<Response<ProtocolsResponse>, Status> {
        let request = self.admit(request)?;
        let objects = self.objects();
        let about = StatRequest {
            window_seconds: 3600,
            namespace: request.namespace.clone(),
            ..StatRequest::default()
        };
        let all = self.traffic(&about, &objects).await;
        Ok(Response::new(protocols::protocols(all, &request, &objects.facts)))
    }

    async fn tap(&self, request: Request<TapRequest>) -> Result<Response<Self::TapStream>, Status> {
        let request = self.admit(request)?;
        tap::follow(&self.observatory, &self.others, request, &self.tasks).map(Response::new)
    }

    async fn objectives(
        &self,
        request: Request<ObjectivesRequest>,
    ) -> Result<Response<ObjectivesResponse>, Status> {
        let request = self.admit(request)?;
        let now = now_ms() / 1000;
        let (here, kept_seconds) =
            self.observatory.promises(|promises| promises.objectives(&request.namespace, now));
        let mut all = ObjectivesResponse { objectives: here, unanswered: Vec::new(), kept_seconds };
        if request.local_only {
            return Ok(Response::new(all));
        }
        let asked = ObjectivesRequest { local_only: true, ..request };
        let (others, unanswered) = self
            .others
            .ask(|mut client| {
                let asked = asked.clone();
                async move { client.objectives(asked).await }
            })
            .await;
        let mut counted = vec![all.objectives];
        for other in others {
            all.kept_seconds = all.kept_seconds.max(other.kept_seconds);
            counted.push(other.objectives);
        }
        let objectives = promises::together(counted);
        Ok(Response::new(ObjectivesResponse { objectives, unanswered, kept_seconds: all.kept_seconds }))
    }

    async fn cost(&self, request: Request<CostRequest>) -> Result<Response<CostResponse>, Status> {
        let request = self.admit(request)?;
        let (namespace, window) = (request.namespace.as_str(), request.window_seconds);
        if u64::from(window) * 1000 > costs::KEPT_MS {
            return Err(Status::invalid_argument(format!(
                "window_seconds: {window} is over {}; ten minutes are kept",
                costs::KEPT_MS / 1000
            )));
        }
        let mut proxies = self.observatory.costs(|costs| costs.rows(namespace, window, now_ms()));
        let objects = self.objects();
        for proxy in &mut proxies {
            proxy.owner = objects.facts.members().owner(&proxy.namespace, &proxy.workload).to_owned();
        }
        let own = self.own_cost();
        let mut all = CostResponse { proxies, control_plane: vec![own], unanswered: Vec::new() };
        if !request.local_only {
            let asked = CostRequest { local_only: true, ..request };
            let (others, unanswered) = self
                .others
                .ask(|mut client| {
                    let asked = asked.clone();
                    async move { client.cost(asked).await }
                })
                .await;
            all.unanswered = unanswered;
            for other in others {
                all.proxies.extend(other.proxies);
                all.control_plane.extend(other.control_plane);
            }
        }
        Ok(Response::new(all))
    }

    async fn spans(&self, request: Request<SpansRequest>) -> Result<Response<Self::SpansStream>, Status> {
        let request = self.admit(request)?;
        Ok(Response::new(spans::follow(self.observatory.clone(), request, &self.tasks)))
    }

    async fn trace(&self, request: Request<TraceRequest>) -> Result<Response<Self::TraceStream>, Status> {
        let request = self.admit(request)?;
        Ok(Response::new(trace::follow(self.observatory.clone(), request, &self.tasks)))
    }

    async fn sync(&self, request: Request<SyncRequest>) -> Result<Response<SyncResponse>, Status> {
        let request = self.admit(request)?;
        if request.barrier {
            let looked = tokio::time::timeout(sync::BARRIER, self.barrier.wait()).await;
            looked.map_err(|_| Status::unavailable("the objects could not be looked at anew in time"))?;
        }
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let (objects, now) = (self.objects(), now_ms());
        let programmed = self.registry.programmed(&snapshot);
        let mut lines = self.registry.lines(&snapshot, now);
        let mut statuses = objects.statuses(&programmed);
        if !request.object.is_empty() {
            let carried = objects.resource(&request.object);
            statuses = sync::object(statuses, &request.object);
            // One that is not told by itself has its effect in others, so whoever lacks anything may lack it.
            if carried.is_some() {
                sync::only(&mut lines, &sync::resources(carried));
            }
        }
        if request.only_lacking {
            lines.retain(|line| !sync::has_all(line));
        }
        Ok(Response::new(SyncResponse {
            revision: snapshot.revision,
            source_time_ms: snapshot.time_ms,
            proxies: lines.into_iter().map(|line| sync::proxy(line, now)).collect(),
            objects: statuses,
            source_lost_ms: now.saturating_sub(self.freshness.as_of(now)),
        }))
    }

    async fn certs(&self, request: Request<CertsRequest>) -> Result<Response<CertsResponse>, Status> {
        self.admit(request)?;
        let certificates = self.observatory.proxies(|proxies| proxies.certificates());
        Ok(Response::new(CertsResponse { certificates }))
    }

    /// A ticket is for who may inspect by itself; a session does not make further ones.
    async fn dashboard(
        &self,
        request: Request<DashboardRequest>,
    ) -> Result<Response<DashboardResponse>, Status> {
        self.admit_peer(request)?;
        let none = || {
            Status::failed_precondition("the controller serves no dashboard; it is started with --dashboard")
        };
        let desk = self.desk.as_ref().ok_or_else(none)?;
        let ticket = desk.ticket(now_ms()).map_err(|error| Status::internal(error.to_string()))?;
        let address = desk.address().to_string();
        Ok(Response::new(DashboardResponse { address, ticket, ticket_seconds: TICKET_SECONDS }))
    }

    async fn canaries(
        &self,
        request: Request<CanariesRequest>,
    ) -> Result<Response<CanariesResponse>, Status> {
        let request = self.admit(request)?;
        Ok(Response::new(self.canaries_now(&request)))
    }

    /// An order changes where requests go: it is for who may inspect by itself, not for a session of the dashboard.
    async fn steer_canary(
        &self,
        request: Request<SteerCanaryRequest>,
    ) -> Result<Response<SteerCanaryResponse>, Status> {
        let request = self.admit_peer(request)?;
        self.steer(request).await.map(Response::new)
    }

    async fn comparisons(
        &self,
        request: Request<ComparisonsRequest>,
    ) -> Result<Response<ComparisonsResponse>, Status> {
        let request = self.admit(request)?;
        within_an_hour(request.window_seconds)?;
        let (here, dropped) =
            self.observatory.comparisons(|all| (all.rows(&request, now_ms()), all.overflow()));
        let mut all = ComparisonsResponse { comparisons: here, dropped, unanswered: Vec::new() };
        if request.local_only {
            return Ok(Response::new(all));
        }
        let asked = ComparisonsRequest { local_only: true, ..request };
        let (others, unanswered) = self
            .others
            .ask(|mut client| {
                let asked = asked.clone();
                async move { client.comparisons(asked).await }
            })
            .await;
        for other in others {
            all.comparisons.extend(other.comparisons);
            all.dropped = all.dropped.saturating_add(other.dropped);
        }
        let comparisons = comparisons::together(all.comparisons);
        Ok(Response::new(ComparisonsResponse { comparisons, unanswered, ..all }))
    }

    /// It is sent in a workload's name: it is for who may inspect by itself, not for a session of the dashboard.
    async fn send_trial(
        &self,
        request: Request<SendTrialRequest>,
    ) -> Result<Response<SendTrialResponse>, Status> {
        let request = self.admit_peer(request)?;
        self.try_out(request).await.map(Response::new)
    }

    async fn version(&self, request: Request<VersionRequest>) -> Result<Response<VersionResponse>, Status> {
        self.admit(request)?;
        let versions = self.registry.versions().into_iter();
        let proxies = versions.map(|(version, count)| ProxyVersion { version, count }).collect();
        Ok(Response::new(VersionResponse { version: env!("CARGO_PKG_VERSION").to_owned(), proxies }))
    }
}
