//! Join tokens from the certificate authority's admin socket. It must not know who uses them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_proto::ca::v1::CreateJoinTokenRequest;
use mesh_proto::ca::v1::ca_admin_client::CaAdminClient;
use tonic::transport::Endpoint;

const DEADLINE: Duration = Duration::from_secs(5);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the certificate authority does not answer at {socket}: {reason}")]
    Unreachable { socket: PathBuf, reason: String },
    #[error("the certificate authority gives no join token for {namespace}/{service_account}: {reason}")]
    Refused { namespace: String, service_account: String, reason: String },
}

/// A one-time token for one service account, good for the CA's default time.
pub(crate) async fn join_token(
    socket: &Path,
    namespace: &str,
    service_account: &str,
) -> Result<String, TokenError> {
    let unreachable = |reason: String| TokenError::Unreachable { socket: socket.to_owned(), reason };
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()));
    let endpoint = endpoint.map_err(|error| unreachable(error.to_string()))?;
    let endpoint = endpoint.connect_timeout(DEADLINE).timeout(DEADLINE);
    let channel = endpoint.connect().await.map_err(|error| unreachable(root_cause(&error)))?;
    let request = CreateJoinTokenRequest {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        ttl_seconds: 0,
    };
    let answer = CaAdminClient::new(channel).create_join_token(request).await;
    answer.map(|response| response.into_inner().token).map_err(|status| TokenError::Refused {
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        reason: status.message().to_owned(),
    })
}

/// The innermost error: tonic's own says only "transport error".
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
