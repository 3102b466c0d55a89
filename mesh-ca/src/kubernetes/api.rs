//! The API server as far as the CA asks it: who it is, how long it may take, what its errors mean. It must not know what is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use kube::api::ObjectMeta;

/// The API server has this long for an answer, connecting included.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// Where the CA's objects are.
#[derive(Clone)]
pub struct Cluster {
    /// The API.
    pub client: kube::Client,
    /// The namespace of the mesh's own parts.
    pub namespace: String,
    /// The name of this replica among those that share the keys: that of its pod.
    pub replica: String,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// What the API server did instead of what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiFailure {
    /// Nothing.
    #[error("the API server did not {0} in {limit} s", limit = DEADLINE.as_secs())]
    Late(String),
    /// It may not be done.
    #[error("the API server lets this CA not {what}: {why}; the ClusterRole and Role `mesh-ca` grant it")]
    Forbidden {
        /// What was asked.
        what: String,
        /// What it says.
        why: String,
    },
    /// The object changed meanwhile, or is there already.
    #[error("cannot {what}: somebody else was faster")]
    Conflict {
        /// What was asked.
        what: String,
    },
    /// It cannot be reached, or has a problem.
    #[error("cannot {what}: {why}")]
    Failed {
        /// What was asked.
        what: String,
        /// What is wrong.
        why: String,
    },
}

/// Asks, and waits no longer than the deadline. `what` completes "cannot …".
pub(super) async fn ask<T>(
    what: impl Fn() -> String,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiFailure> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(match status.code {
            409 => ApiFailure::Conflict { what: what() },
            401 | 403 => ApiFailure::Forbidden { what: what(), why: status.message.clone() },
            code => ApiFailure::Failed { what: what(), why: format!("{} (HTTP {code})", status.message) },
        }),
        Ok(Err(error)) => Err(ApiFailure::Failed { what: what(), why: mesh_identity::reasons(&error) }),
        Err(_) => Err(ApiFailure::Late(what())),
    }
}

/// The name and whose it is.
pub(super) fn labelled(name: &str) -> ObjectMeta {
    let labels: BTreeMap<_, _> = [
        ("app.kubernetes.io/name", "mesh-ca"),
        ("app.kubernetes.io/part-of", "amime"),
        ("app.kubernetes.io/managed-by", "mesh-ca"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() }
}
