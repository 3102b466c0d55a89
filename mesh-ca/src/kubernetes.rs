//! What a CA does as replicas in a cluster: the API server says who a token's holder is (`review`), a Secret keeps the vault and a ConfigMap
//! what replicas know of members (`store`), another Secret the keys of tokens (`jwt_secret`), another ConfigMap tells members the roots
//! (`roots`). The arrow points down: `kubernetes → {review, store, jwt_secret, cert_manager} → roots → api`. It must not know how members connect.

mod api;
mod cert_manager;
mod federated;
mod jwt_secret;
mod review;
mod roots;
mod store;

pub use api::{ApiFailure, Cluster};
pub(crate) use cert_manager::CertManager;
pub use cert_manager::IssuerRef;
pub(crate) use federated::FederatedObjects;
pub(crate) use jwt_secret::{JwtSecret, SecretVersion};
pub(crate) use review::Reviewer;
pub(crate) use store::Shared;

#[cfg(any(test, feature = "testing"))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
