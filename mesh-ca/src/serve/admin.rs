//! The administrator's service: makes join tokens. A door to `mesh.ca.v1`.

use std::sync::Arc;
use std::time::Duration;

use mesh_identity::well_known;
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use mesh_proto::ca::v1 as wire;
use mesh_proto::ca::v1::ca_admin_server::CaAdmin;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status};

use crate::clock::unix_now;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::tokens::{Grant, JoinTokens};

/// How long a token may wait for its use unless the administrator says.
const DEFAULT_TTL: Duration = Duration::from_mins(10);
/// And at most.
const MAX_TTL: Duration = Duration::from_hours(24);

#[derive(Debug)]
pub(super) struct Admin {
    pub(super) trust_domain: TrustDomain,
    pub(super) tokens: Arc<JoinTokens>,
    pub(super) metrics: Metrics,
}

/// The user that runs the CA, and root.
pub(super) fn is_owner(uid: Option<u32>) -> bool {
    uid == Some(rustix::process::geteuid().as_raw()) || uid == Some(0)
}

#[tonic::async_trait]
impl CaAdmin for Admin {
    async fn create_join_token(
        &self,
        request: Request<wire::CreateJoinTokenRequest>,
    ) -> Result<Response<wire::CreateJoinTokenResponse>, Status> {
        let uid = request
            .extensions()
            .get::<UdsConnectInfo>()
            .and_then(|peer| peer.peer_cred)
            .map(|peer| peer.uid());
        let wanted = request.into_inner();
        match self.create(&wanted, uid) {
            Ok((token, id, expires)) => {
                tracing::info!(%id, expires, uid, "join token created");
                Ok(Response::new(wire::CreateJoinTokenResponse { token, expires }))
            }
            Err(refusal) => {
                self.metrics.refused(refusal.label());
                tracing::warn!(
                    namespace = wanted.namespace, service_account = wanted.service_account, uid,
                    reason = %refusal, detail = refusal.detail(), "join token refused"
                );
                Err(refusal.into())
            }
        }
    }
}

impl Admin {
    pub(super) fn create(
        &self,
        wanted: &wire::CreateJoinTokenRequest,
        uid: Option<u32>,
    ) -> Result<(String, SpiffeId, u64), Refusal> {
        if !is_owner(uid) {
            return Err(Refusal::NotTheOwner);
        }
        let id = SpiffeId::new(self.trust_domain.clone(), &wanted.namespace, &wanted.service_account)
            .map_err(|error| Refusal::Argument(error.to_string()))?;
        if id == well_known::ca(&self.trust_domain) {
            return Err(Refusal::OwnName(id));
        }
        let ttl = match wanted.ttl_seconds {
            0 => DEFAULT_TTL,
            seconds => Duration::from_secs(seconds.into()),
        };
        if ttl > MAX_TTL {
            let text = mesh_model::duration::format(ttl);
            return Err(Refusal::Argument(format!(
                "ttl_seconds: a join token cannot wait {text}, at most 24h"
            )));
        }
        let now = unix_now();
        let expires = now + ttl.as_secs();
        let grant = Grant {
            namespace: wanted.namespace.clone(),
            service_account: wanted.service_account.clone(),
            expires,
        };
        Ok((self.tokens.create(&grant, now)?, id, expires))
    }
}
