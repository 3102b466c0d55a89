//! The inspect API of the controller, over mutual TLS with an identity of our own that lives in memory only. It must
//! not know how the answers are shown.

use std::future::Future;
use std::time::Duration;

use mesh_ca::admin_client::{AdminError, create_join_token};
use mesh_identity::{Credential, ExpectedServer, ObtainConfig, channel, obtain, well_known};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::spiffe::TrustDomain;
use mesh_proto::inspect::v1::inspect_service_client::InspectServiceClient;
use mesh_proto::inspect::v1::{
    CertsRequest, CertsResponse, StatRequest, StatResponse, SyncRequest, SyncResponse, TraceRequest,
    TraceResponse, VersionRequest, VersionResponse,
};
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use crate::local::control_plane::SYSTEM_NAMESPACE;
use crate::local::state::MeshState;

const DEADLINE: Duration = Duration::from_secs(10);
const SERVICE_ACCOUNT: &str = "meshctl";
/// Answers about a mesh on one machine are far smaller.
const MAX_ANSWER: usize = 64 << 20;

/// Why the controller could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    #[error(transparent)]
    Token(#[from] AdminError),
    #[error("the certificate authority gave `meshctl` no identity")]
    Identity(#[source] mesh_identity::ObtainError),
    #[error("the mesh's trust domain in mesh.json is not valid")]
    TrustDomain(#[source] mesh_model::spiffe::InvalidSpiffeId),
    #[error("no answer from the certificate authority in {} s; see `logs/mesh-ca.log` in the mesh's folder", DEADLINE.as_secs())]
    NoIdentity,
    #[error(
        "the controller does not answer `{call}`: {reason}; see `logs/mesh-controller.log` in the mesh's folder"
    )]
    Call { call: &'static str, reason: String },
}

/// A connection to the controller. It is made again when it breaks.
#[derive(Debug, Clone)]
pub(crate) struct Inspect {
    client: InspectServiceClient<Channel>,
}

impl Inspect {
    /// Obtains an identity with a one-time token and prepares the connection.
    pub(crate) async fn connect(mesh: &MeshState, tasks: &Tasks) -> Result<Self, InspectError> {
        let token = create_join_token(&mesh.ca.admin_socket, SYSTEM_NAMESPACE, SERVICE_ACCOUNT, None).await?;
        let trust_domain = TrustDomain::new(&mesh.trust_domain).map_err(InspectError::TrustDomain)?;
        let config = ObtainConfig::new(mesh.ca.address, mesh.root_pem.clone(), Credential::JoinToken(token));
        let identity = tokio::time::timeout(DEADLINE, obtain(config, tasks)).await;
        let identity = identity.map_err(|_| InspectError::NoIdentity)?.map_err(InspectError::Identity)?;
        let expected = ExpectedServer::Exactly(well_known::controller(&trust_domain));
        let channel = channel::connect(&identity, mesh.controller.address, expected);
        Ok(Self { client: InspectServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER) })
    }

    /// Traffic of the last while.
    pub(crate) async fn stat(&self, request: StatRequest) -> Result<StatResponse, InspectError> {
        let mut client = self.client.clone();
        answer("stat", client.stat(request)).await
    }

    /// Traces as they become complete.
    pub(crate) async fn trace(&self, request: TraceRequest) -> Result<Traces, InspectError> {
        let mut client = self.client.clone();
        Ok(Traces(answer("trace", client.trace(request)).await?))
    }

    /// Which proxies and objects are up to date.
    pub(crate) async fn sync(&self) -> Result<SyncResponse, InspectError> {
        let mut client = self.client.clone();
        answer("sync", client.sync(SyncRequest {})).await
    }

    /// The certificates of all proxies.
    pub(crate) async fn certs(&self) -> Result<CertsResponse, InspectError> {
        let mut client = self.client.clone();
        answer("certs", client.certs(CertsRequest {})).await
    }

    /// What runs in which version.
    pub(crate) async fn version(&self) -> Result<VersionResponse, InspectError> {
        let mut client = self.client.clone();
        answer("version", client.version(VersionRequest {})).await
    }
}

/// Traces, until either side ends.
#[derive(Debug)]
pub(crate) struct Traces(Streaming<TraceResponse>);

impl Traces {
    /// The next one; None when the controller ended the stream. Waits as long as it takes.
    pub(crate) async fn next(&mut self) -> Result<Option<TraceResponse>, InspectError> {
        self.0.message().await.map_err(|status| failed("trace", &status))
    }
}

async fn answer<T>(
    call: &'static str,
    response: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, InspectError> {
    match tokio::time::timeout(DEADLINE, response).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failed(call, &status)),
        Err(_) => {
            Err(InspectError::Call { call, reason: format!("nothing came in {} s", DEADLINE.as_secs()) })
        }
    }
}

fn failed(call: &'static str, status: &Status) -> InspectError {
    InspectError::Call { call, reason: format!("{} ({:?})", status.message(), status.code()) }
}
