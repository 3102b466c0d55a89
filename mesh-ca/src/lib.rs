//! The certificate authority of the mesh: attests who a member is, signs its SVID, publishes the trust bundle.
//!
//! A request enters in `serve::issue`: csr → attest (`tokens`, `oidc`, `kubernetes`, or the certificate of the connection) →
//! `authority` (template → sign → validate) → answer. An identity comes from the attested credential alone, never from
//! the request. It must not know routes, services or who may call whom.

pub mod admin_client;
pub mod audit;
pub mod cli;
pub mod config;
pub mod serve;

mod authority;
mod clock;
mod csr;
mod federation;
mod jwt;
mod keeper;
mod kubernetes;
mod limits;
mod live;
mod members;
mod metrics;
mod oidc;
mod own;
mod refusal;
mod rotation;
mod state;
mod store;
mod tokens;
mod upstream;
mod vault;

/// An API server that a test plays.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    pub use crate::kubernetes::testing::{FakeApi, Review};
}

pub use authority::AuthorityError;
pub use config::{AuditTo, Config, Issuers, Oidc, State};
pub use csr::InvalidCsr;
pub use federation::{BundleEndpoint, EndpointError, Loopback};
pub use keeper::OpenError;
pub use kubernetes::{ApiFailure, Cluster, IssuerRef};
pub use oidc::InvalidJwks;
pub use own::OwnError;
pub use serve::{Running, StartError, start};
pub use state::StateError;
pub use store::StoreError;
pub use upstream::UpstreamError;
pub use vault::BadKeys;
