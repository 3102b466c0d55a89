//! Has a workload's own proxy send one request as its application would, here or at the replica that the proxy reports to. Who may ask is
//! decided before; what is asked is checked by the proxy that sends it. It must not know how it is sent.

use std::time::Duration;

use mesh_proto::inspect::v1::{SendTrialRequest, SendTrialResponse};
use tonic::{Code, Status};

use super::Inspector;
use crate::observe::trials::Unasked;

/// For the proxy to answer: longer than it gives the request.
const DEADLINE: Duration = Duration::from_secs(35);
/// For another replica, which waits for its proxy.
const ELSEWHERE: Duration = Duration::from_secs(40);

impl Inspector {
    /// Asks the proxy, and waits for what came of it.
    pub(super) async fn try_out(&self, request: SendTrialRequest) -> Result<SendTrialResponse, Status> {
        let SendTrialRequest { namespace, workload, trial, .. } = &request;
        let trial = trial.clone().ok_or_else(|| Status::invalid_argument("trial: is missing"))?;
        let trials = self.observatory.trials();
        let begun = trials.begin((namespace, workload), trial.clone());
        let mut pending = match begun {
            Ok(pending) => pending,
            Err(full @ Unasked::Full) => return Err(Status::resource_exhausted(full.to_string())),
            Err(nobody @ Unasked::Nobody(_)) if request.local_only => {
                return Err(Status::not_found(nobody.to_string()));
            }
            Err(nobody @ Unasked::Nobody(_)) => return self.elsewhere(request, &nobody).await,
        };
        // Of headers nothing is told: they may be secrets.
        let (method, host) = (&trial.method, &trial.authority);
        tracing::info!(namespace, workload, method, host, "an operator has a sidecar send a request");
        match tokio::time::timeout(DEADLINE, pending.came()).await {
            Ok(Some(tried)) => Ok(SendTrialResponse { tried: Some(tried) }),
            Ok(None) => Err(Status::unavailable("the controller ends")),
            Err(_) => Err(Status::deadline_exceeded(format!(
                "the sidecar of {workload}.{namespace} did not say what came of it in {} s; one of an older version does not know how",
                DEADLINE.as_secs()
            ))),
        }
    }

    async fn elsewhere(
        &self,
        request: SendTrialRequest,
        nobody: &Unasked,
    ) -> Result<SendTrialResponse, Status> {
        let asked = SendTrialRequest { local_only: true, ..request };
        for (address, mut client) in self.others.clients() {
            match tokio::time::timeout(ELSEWHERE, client.send_trial(asked.clone())).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if matches!(status.code(), Code::NotFound | Code::Unavailable) => {
                    tracing::debug!(%address, %status, "another replica has no such sidecar");
                }
                // It may have been sent: it is not sent again.
                Ok(Err(status)) => return Err(status),
                Err(_) => return Err(Status::deadline_exceeded("another replica did not answer in time")),
            }
        }
        Err(Status::not_found(nobody.to_string()))
    }
}
