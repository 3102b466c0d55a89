//! The certificate authority as far as rotation goes: over the administrator's socket on this machine, over mutual TLS in a cluster. It
//! must not know how the answers are shown.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mesh_ca::admin_client::{AdminError, admin_channel};
use mesh_identity::{ExpectedServer, Way, channel, well_known};
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::ca::v1::ca_rotation_client::CaRotationClient;
use mesh_proto::ca::v1::rotate_request::What;
use mesh_proto::ca::v1::{RotateRequest, RotationStatus, RotationStatusRequest};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::inspect::{self, InspectError};
use crate::cluster::Inside;

const DEADLINE: Duration = Duration::from_secs(10);

/// Why the authority could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Inspect(#[from] InspectError),
    #[error("the certificate authority ({authority}) does not answer `{call}`: {reason}; see {see}")]
    Call { authority: String, call: &'static str, reason: String, see: &'static str },
}

/// A connection to one authority. In a cluster any replica will do: each knows what all know.
#[derive(Debug)]
pub(crate) struct AuthorityClient {
    client: CaRotationClient<Channel>,
    name: String,
    see: &'static str,
}

impl AuthorityClient {
    /// That of the mesh on this machine.
    pub(crate) async fn local(socket: &Path) -> Result<Self, AuthorityError> {
        let client = CaRotationClient::new(admin_channel(socket).await?);
        Ok(Self {
            client,
            name: socket.display().to_string(),
            see: "`logs/mesh-ca.log` in the mesh's folder",
        })
    }

    /// One in a cluster.
    pub(crate) async fn inside(cluster: &Inside, tasks: &Tasks) -> Result<Self, AuthorityError> {
        let (identity, domain, pod) = inspect::enter(cluster, tasks).await?;
        let way = Way::Through(Arc::new(pod));
        let name = way.to_string();
        let expected = ExpectedServer::Exactly(well_known::ca(&domain));
        let client = CaRotationClient::new(channel::connect(&identity, way, expected));
        Ok(Self { client, name, see: "the log of the Pods of mesh-ca" })
    }

    /// Where the rotation is.
    pub(crate) async fn status(&self) -> Result<RotationStatus, AuthorityError> {
        let mut client = self.client.clone();
        self.answer("rotation status", client.status(RotationStatusRequest {})).await
    }

    /// Asks for a rotation.
    pub(crate) async fn rotate(&self, what: What) -> Result<RotationStatus, AuthorityError> {
        let mut client = self.client.clone();
        self.answer("rotate", client.rotate(RotateRequest { what: i32::from(what) })).await
    }

    async fn answer<T>(
        &self,
        call: &'static str,
        response: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, AuthorityError> {
        let failed =
            |reason| AuthorityError::Call { authority: self.name.clone(), call, reason, see: self.see };
        match tokio::time::timeout(DEADLINE, response).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failed(inspect::reason(&status))),
            Err(_) => Err(failed(format!("nothing came in {} s", DEADLINE.as_secs()))),
        }
    }
}
