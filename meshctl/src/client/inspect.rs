//! The inspect API of the controller, over mutual TLS with an identity of our own that lives in memory only. In a cluster one
//! replica answers for all, or all are asked where each knows its own. It must not know how the answers are shown.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mesh_ca::admin_client::{AdminError, create_join_token};
use mesh_controller::inspect::together;
use mesh_identity::{
    Credential, ExpectedServer, Identity, ObtainConfig, TrustBundle, Way, channel, obtain, well_known,
};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::spiffe::TrustDomain;
use mesh_proto::inspect::v1::inspect_service_client::InspectServiceClient;
use mesh_proto::inspect::v1::{
    CanariesRequest, CanaryRelease, CertsRequest, CertsResponse, ComparisonsRequest, ComparisonsResponse,
    CostRequest, CostResponse, DashboardRequest, DashboardResponse, EdgesRequest, EdgesResponse,
    FailuresRequest, FailuresResponse, ObjectivesRequest, ObjectivesResponse, ProtocolsRequest,
    ProtocolsResponse, SendTrialRequest, ServicesRequest, ServicesResponse, StatRequest, StatResponse,
    StatRow, SteerCanaryRequest, SyncRequest, SyncResponse, TapRequest, TapResponse, TraceRequest,
    TraceResponse, VersionRequest, VersionResponse,
};
use mesh_proto::report::v1::Tried;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

use crate::cluster::{Inside, InsideError, PodPort};
use crate::local::control_plane::SYSTEM_NAMESPACE;
use crate::local::state::MeshState;

const DEADLINE: Duration = Duration::from_secs(10);
/// For an order to be obeyed: a replica waits for another one, which waits for what it does.
const ORDER: Duration = Duration::from_secs(25);
/// For a sidecar to have sent a request, at another replica perhaps.
const TRIAL: Duration = Duration::from_secs(45);
/// Of our own certificate.
const LIFETIME: Duration = Duration::from_mins(2);
const SERVICE_ACCOUNT: &str = "meshctl";
/// Where Pods listen.
const CA_PORT: u16 = 15012;
const CONTROLLER_PORT: u16 = 15010;
/// Answers about a mesh on one machine are far smaller.
const MAX_ANSWER: usize = 64 << 20;

/// Where logs are, for errors.
const LOCAL_LOG: &str = "see `logs/mesh-controller.log` in the mesh's folder";
const CLUSTER_LOG: &str = "see the log of the Pods of mesh-controller";

/// Why the controller could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    #[error(transparent)]
    Token(#[from] AdminError),
    #[error(transparent)]
    Inside(#[from] InsideError),
    #[error("the certificate authority gave `meshctl` no identity")]
    Identity(#[source] mesh_identity::ObtainError),
    #[error("the roots of the mesh cannot be used")]
    Roots(#[source] mesh_identity::InvalidBundle),
    #[error("the roots of the mesh cannot be kept in a file for the moment")]
    File(#[source] std::io::Error),
    #[error("the mesh's trust domain in mesh.json is not valid")]
    TrustDomain(#[source] mesh_model::spiffe::InvalidSpiffeId),
    #[error("no answer from the certificate authority ({ca}) in {} s", DEADLINE.as_secs())]
    NoIdentity { ca: String },
    #[error("the order was not obeyed: {0}")]
    Order(String),
    #[error("it was not sent: {0}")]
    Trial(String),
    #[error("the controller ({controller}) does not answer `{call}`: {reason}; {see}")]
    Call { controller: String, call: &'static str, reason: String, see: &'static str },
}

/// Connections to all replicas of the controller. They are made again when they break.
#[derive(Debug, Clone)]
pub(crate) struct Inspect {
    replicas: Vec<Replica>,
}

#[derive(Debug, Clone)]
struct Replica {
    client: InspectServiceClient<Channel>,
    name: String,
    see: &'static str,
    /// The Pod that it runs in; `None` on this machine.
    pod: Option<PodPort>,
}

impl Inspect {
    /// The mesh on this machine: obtains an identity with a one-time token and prepares the connection.
    pub(crate) async fn connect(mesh: &MeshState, tasks: &Tasks) -> Result<Self, InspectError> {
        let token = create_join_token(&mesh.ca.admin_socket, SYSTEM_NAMESPACE, SERVICE_ACCOUNT, None).await?;
        let trust_domain = TrustDomain::new(&mesh.trust_domain).map_err(InspectError::TrustDomain)?;
        let config = ObtainConfig::new(mesh.ca.address, mesh.root_pem.clone(), Credential::JoinToken(token));
        let identity = identity(config, tasks).await?;
        let way = mesh.controller.address.into();
        Ok(Self { replicas: vec![Replica::new(&identity, &trust_domain, way, LOCAL_LOG)] })
    }

    /// The mesh in a cluster: the API server gives a token for the account `meshctl`, and carries the connections.
    pub(crate) async fn inside(cluster: &Inside, tasks: &Tasks) -> Result<Self, InspectError> {
        let (identity, domain, _) = enter(cluster, tasks).await?;
        let controllers = cluster.pods("mesh-controller", CONTROLLER_PORT).await?.into_iter();
        let replica = |pod: PodPort| {
            let way = Way::Through(Arc::new(pod.clone()));
            Replica { pod: Some(pod), ..Replica::new(&identity, &domain, way, CLUSTER_LOG) }
        };
        Ok(Self { replicas: controllers.map(replica).collect() })
    }

    /// Traffic of the last while.
    pub(crate) async fn stat(&self, request: StatRequest) -> Result<StatResponse, InspectError> {
        self.any("stat", |mut client| {
            let request = request.clone();
            async move { client.stat(request).await }
        })
        .await
    }

    /// The same as proxies reported it, of both sides and with ports, not put together.
    pub(crate) async fn series(&self, request: StatRequest) -> Result<Vec<StatRow>, InspectError> {
        let request = StatRequest { local_only: true, ..request };
        let all = self.all(|replica| {
            let request = request.clone();
            async move { replica.answer("stat", replica.client.clone().stat(request)).await }
        });
        Ok(all.await?.into_iter().flat_map(|one| one.rows).collect())
    }

    /// Who talks to whom.
    pub(crate) async fn edges(&self, request: EdgesRequest) -> Result<EdgesResponse, InspectError> {
        self.any("edges", |mut client| {
            let request = request.clone();
            async move { client.edges(request).await }
        })
        .await
    }

    /// What policies promise, and how it is kept.
    pub(crate) async fn objectives(
        &self,
        request: ObjectivesRequest,
    ) -> Result<ObjectivesResponse, InspectError> {
        self.any("objectives", |mut client| {
            let request = request.clone();
            async move { client.objectives(request).await }
        })
        .await
    }

    /// What the mesh itself takes.
    pub(crate) async fn cost(&self, request: CostRequest) -> Result<CostResponse, InspectError> {
        self.any("cost", |mut client| {
            let request = request.clone();
            async move { client.cost(request).await }
        })
        .await
    }

    /// What ports speak.
    pub(crate) async fn protocols(
        &self,
        request: ProtocolsRequest,
    ) -> Result<ProtocolsResponse, InspectError> {
        self.any("protocols", |mut client| {
            let request = request.clone();
            async move { client.protocols(request).await }
        })
        .await
    }

    /// How answers to copies compare with those of the backend.
    pub(crate) async fn comparisons(
        &self,
        request: ComparisonsRequest,
    ) -> Result<ComparisonsResponse, InspectError> {
        self.any("comparisons", |mut client| {
            let request = request.clone();
            async move { client.comparisons(request).await }
        })
        .await
    }

    /// Where releases stand.
    pub(crate) async fn canaries(&self, namespace: &str) -> Result<Vec<CanaryRelease>, InspectError> {
        let request = CanariesRequest { namespace: namespace.to_owned() };
        let answer = self.any("canaries", |mut client| {
            let request = request.clone();
            async move { client.canaries(request).await }
        });
        Ok(answer.await?.canaries)
    }

    /// Gives an order to a release; what became of it, in a sentence.
    pub(crate) async fn steer_canary(&self, request: SteerCanaryRequest) -> Result<String, InspectError> {
        // One replica passes it on to the one that leads. The next one is asked only where this one was not reached at all: an order
        // that was obeyed must not be given twice.
        for replica in &self.replicas {
            let mut client = replica.client.clone();
            match tokio::time::timeout(ORDER, client.steer_canary(request.clone())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner().message),
                Ok(Err(status)) if status.code() == Code::Unavailable => {}
                Ok(Err(status)) => return Err(InspectError::Order(status.message().to_owned())),
                Err(_) => {
                    return Err(InspectError::Order(
                        "no answer in time; look with `meshctl canary list`".into(),
                    ));
                }
            }
        }
        Err(InspectError::Order(
            "no replica of the controller is reached that leads; try again in a few seconds".into(),
        ))
    }

    /// Has a workload's sidecar send a request, and waits for what came of it.
    pub(crate) async fn send_trial(&self, request: SendTrialRequest) -> Result<Tried, InspectError> {
        let mut last = no_replica("explain --live");
        for replica in &self.replicas {
            let failed = |reason| InspectError::Call {
                controller: replica.name.clone(),
                call: "explain --live",
                reason,
                see: replica.see,
            };
            match tokio::time::timeout(TRIAL, replica.client.clone().send_trial(request.clone())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner().tried.unwrap_or_default()),
                // Only where this one was not reached at all: what was sent must not be sent twice.
                Ok(Err(status)) if status.code() == Code::Unavailable => last = failed(reason(&status)),
                Ok(Err(status)) => return Err(InspectError::Trial(status.message().to_owned())),
                Err(_) => return Err(failed(format!("nothing came in {} s", TRIAL.as_secs()))),
            }
        }
        Err(last)
    }

    /// What failed.
    pub(crate) async fn failures(&self, request: FailuresRequest) -> Result<FailuresResponse, InspectError> {
        self.any("failures", |mut client| {
            let request = request.clone();
            async move { client.failures(request).await }
        })
        .await
    }

    /// Services and who is behind them.
    pub(crate) async fn services(&self, request: ServicesRequest) -> Result<ServicesResponse, InspectError> {
        self.any("services", |mut client| {
            let request = request.clone();
            async move { client.services(request).await }
        })
        .await
    }

    /// Traces as they become complete.
    pub(crate) async fn trace(
        &self,
        request: TraceRequest,
    ) -> Result<Following<TraceResponse>, InspectError> {
        let stream = self
            .any("trace", |mut client| {
                let request = request.clone();
                async move { client.trace(request).await }
            })
            .await?;
        Ok(Following { call: "trace", stream })
    }

    /// Requests as they end.
    pub(crate) async fn tap(&self, request: TapRequest) -> Result<Following<TapResponse>, InspectError> {
        let stream = self
            .any("tap", |mut client| {
                let request = request.clone();
                async move { client.tap(request).await }
            })
            .await?;
        Ok(Following { call: "tap", stream })
    }

    /// Which proxies and objects are up to date.
    pub(crate) async fn sync(&self) -> Result<SyncResponse, InspectError> {
        Ok(together::sync(self.sync_of_each(SyncRequest::default()).await?))
    }

    /// The same as each replica says it, in the same order every time: revisions are a replica's own.
    pub(crate) async fn sync_of_each(&self, request: SyncRequest) -> Result<Vec<SyncResponse>, InspectError> {
        self.all(|replica| {
            let request = request.clone();
            async move { replica.answer("sync", replica.client.clone().sync(request)).await }
        })
        .await
    }

    /// The certificates of all proxies.
    pub(crate) async fn certs(&self) -> Result<CertsResponse, InspectError> {
        let all = self.all(|replica| async move {
            replica.answer("certs", replica.client.clone().certs(CertsRequest {})).await
        });
        Ok(together::certs(all.await?))
    }

    /// What runs in which version.
    pub(crate) async fn version(&self) -> Result<VersionResponse, InspectError> {
        let all = self.all(|replica| async move {
            replica.answer("version", replica.client.clone().version(VersionRequest {})).await
        });
        Ok(together::version(all.await?))
    }

    /// A ticket for the dashboard of one replica, and the Pod that serves it.
    pub(crate) async fn dashboard(&self) -> Result<(DashboardResponse, Option<PodPort>), InspectError> {
        let mut last = None;
        for replica in &self.replicas {
            let mut client = replica.client.clone();
            match replica.answer("dashboard", client.dashboard(DashboardRequest {})).await {
                Ok(answer) => return Ok((answer, replica.pod.clone())),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| no_replica("dashboard")))
    }

    /// Asks one replica, which asks the others; the next one if it does not answer.
    async fn any<T, F>(
        &self,
        call: &'static str,
        ask: impl Fn(InspectServiceClient<Channel>) -> F,
    ) -> Result<T, InspectError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut last = None;
        for replica in &self.replicas {
            match replica.answer(call, ask(replica.client.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| no_replica(call)))
    }

    /// Asks all replicas at once: each knows the proxies that are connected to it, so that an answer without one is no answer.
    async fn all<T, F: Future<Output = Result<T, InspectError>>>(
        &self,
        ask: impl Fn(Replica) -> F,
    ) -> Result<Vec<T>, InspectError> {
        futures_util::future::try_join_all(self.replicas.iter().cloned().map(ask)).await
    }
}

fn no_replica(call: &'static str) -> InspectError {
    InspectError::Call {
        controller: "no Pod".to_owned(),
        call,
        reason: "there is no replica".to_owned(),
        see: CLUSTER_LOG,
    }
}

/// An identity of the mesh in a cluster, its trust domain, and the authority that gave it.
pub(super) async fn enter(
    cluster: &Inside,
    tasks: &Tasks,
) -> Result<(Identity, TrustDomain, PodPort), InspectError> {
    let roots = cluster.roots().await?;
    let bundle = TrustBundle::from_pem(roots.as_bytes(), None).map_err(InspectError::Roots)?;
    let mut file = tempfile::NamedTempFile::new().map_err(InspectError::File)?;
    std::io::Write::write_all(&mut file, roots.as_bytes()).map_err(InspectError::File)?;
    let (token, authorities) = (cluster.token().await?, cluster.pods("mesh-ca", CA_PORT).await?);
    let mut last = None;
    for ca in authorities {
        let way = Way::Through(Arc::new(ca.clone()));
        let credential = Credential::Jwt(token.clone());
        let config = ObtainConfig::new(way, file.path().to_owned(), credential);
        match identity(config, tasks).await {
            Ok(identity) => return Ok((identity, bundle.trust_domain().clone(), ca)),
            // A replica that does not answer is not all of them.
            Err(error @ InspectError::NoIdentity { .. }) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or(InspectError::NoIdentity { ca: "no Pod".to_owned() }))
}

/// An identity that lives as long as this process.
async fn identity(config: ObtainConfig, tasks: &Tasks) -> Result<Identity, InspectError> {
    let ca = config.ca.to_string();
    // It is renewed while this runs, and a rotation of roots does not wait long for it afterwards.
    let config = ObtainConfig { ttl: Some(LIFETIME), ..config };
    let identity = tokio::time::timeout(DEADLINE, Box::pin(obtain(config, tasks))).await;
    identity.map_err(|_| InspectError::NoIdentity { ca })?.map_err(InspectError::Identity)
}

/// What a replica tells, until any side ends.
#[derive(Debug)]
pub(crate) struct Following<T> {
    call: &'static str,
    stream: Streaming<T>,
}

impl<T> Following<T> {
    /// The next one; None when the controller ended the stream. Waits as long as it takes.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, InspectError> {
        self.stream.message().await.map_err(|status| InspectError::Call {
            controller: "a replica".to_owned(),
            call: self.call,
            reason: reason(&status),
            see: CLUSTER_LOG,
        })
    }
}

impl Replica {
    fn new(identity: &Identity, trust_domain: &TrustDomain, way: Way, see: &'static str) -> Self {
        let name = way.to_string();
        let expected = ExpectedServer::Exactly(well_known::controller(trust_domain));
        let channel = channel::connect(identity, way, expected);
        let client = InspectServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        Self { client, name, see, pod: None }
    }

    async fn answer<T>(
        &self,
        call: &'static str,
        response: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, InspectError> {
        let failed =
            |reason| InspectError::Call { controller: self.name.clone(), call, reason, see: self.see };
        match tokio::time::timeout(DEADLINE, response).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failed(reason(&status))),
            Err(_) => Err(failed(format!("nothing came in {} s", DEADLINE.as_secs()))),
        }
    }
}

pub(super) fn reason(status: &Status) -> String {
    format!("{} ({:?})", mesh_identity::reasons(status), status.code())
}
