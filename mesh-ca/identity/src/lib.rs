//! How a member of the mesh holds its identity: the key it made itself, the SVID that the CA signed for it, the
//! trust bundle, and the TLS configurations that follow both while they change.
//!
//! An identity enters by [`obtain()`]; what leaves are rustls configurations ([`Identity::server_config`],
//! [`Identity::client_config`]), gRPC channels ([`channel`]) and accepted connections ([`incoming`]). The private
//! key never leaves (INV-8). It must not know routes, configuration or who may call what.

pub mod application;
pub mod channel;
pub mod incoming;
pub mod jwt_svid;
pub mod obtain;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod well_known;

mod bundle;
mod ca_client;
mod client_sessions;
mod clock;
mod identity;
mod key;
mod peer;
mod refusal;
mod renewal;
mod server_sessions;
mod sessions;
mod svid;
mod tls;
mod verify;
mod way;

pub use bundle::{InvalidBundle, MAX_FEDERATED, TrustBundle, pem_of, trust_domain_line};
pub use ca_client::reasons;
pub use clock::ClockOff;
pub use identity::{BundleChange, ExpectedServer, Identity, Renewals};
pub use key::{KeyError, MemberKey};
pub use obtain::{Credential, ObtainConfig, ObtainError, obtain};
pub use peer::{PeerIdentityError, peer_identity_error, peer_spiffe_id};
pub use refusal::{Refusal, refusal};
pub use svid::{InvalidSvid, Svid};
pub use tls::{ClientAuth, anonymous_client, server_name};
pub use way::{Bytes, Duplex, Opening, Tunnel, Way};

#[cfg(test)]
mod tests;
