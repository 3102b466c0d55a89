//! The domain of the mesh: ids, addresses, services, endpoints, routes, and every decision about them as a pure
//! function.
//!
//! It performs no I/O, reads no clock, and knows no wire format and no Kubernetes (INV-1). A request enters as a
//! [`head::HeadView`]; a configuration enters as the plain types of [`service`], [`endpoint`], [`route`],
//! [`traffic`] and [`settings`]. What leaves is a decision that names the object and the field it came from.

pub mod access_log;
pub mod address;
pub mod asking;
pub mod authentication;
pub mod authority;
pub mod compare;
pub mod duration;
pub mod endpoint;
pub mod explain;
pub mod external;
pub mod failure;
pub mod head;
pub mod host;
pub mod matter;
pub mod name;
pub mod policy;
pub mod route;
#[cfg(test)]
mod sample;
pub mod service;
pub mod settings;
pub mod spiffe;
pub mod stream;
pub mod traffic;
