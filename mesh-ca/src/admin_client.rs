//! The administrator's side of the Unix socket. It must not know what the token is for.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_proto::ca::v1::CreateJoinTokenRequest;
use mesh_proto::ca::v1::ca_admin_client::CaAdminClient;
use tonic::transport::{Channel, Endpoint};

/// The CA answers from memory or one file.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks the CA behind `socket` for a one-time token with which one workload may ask for its first certificate.
/// Without `ttl` it is good for the CA's default of ten minutes.
pub async fn create_join_token(
    socket: &Path,
    namespace: &str,
    service_account: &str,
    ttl: Option<Duration>,
) -> Result<String, AdminError> {
    let channel = admin_channel(socket).await?;
    let request = CreateJoinTokenRequest {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        ttl_seconds: ttl.map_or(0, |ttl| u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).max(1)),
    };
    let answer = CaAdminClient::new(channel).create_join_token(request).await;
    let refused = |status: tonic::Status| AdminError::Refused {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        reason: status.message().to_owned(),
    };
    Ok(answer.map_err(refused)?.into_inner().token)
}

/// A channel to the CA behind `socket`, for the user that runs it.
pub async fn admin_channel(socket: &Path) -> Result<Channel, AdminError> {
    let unreachable = |error: tonic::transport::Error| {
        let mut cause: &dyn StdError = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        AdminError::Unreachable { socket: socket.to_owned(), reason: cause.to_string() }
    };
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(unreachable)?;
    endpoint.connect_timeout(DEADLINE).timeout(DEADLINE).connect().await.map_err(unreachable)
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody serves the socket.
    #[error("the CA does not answer on `{}`: {reason}; is it running, with this --admin-socket?", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the kernel says.
        reason: String,
    },
    /// The CA decided against it.
    #[error("the CA made no join token for {namespace}/{service_account}: {reason}")]
    Refused {
        /// As asked.
        namespace: String,
        /// As asked.
        service_account: String,
        /// What the CA says.
        reason: String,
    },
}
