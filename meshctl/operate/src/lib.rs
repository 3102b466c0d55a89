//! What operators of a mesh in a cluster decide, apart from every cluster: what to install and in which order
//! ([`install`]), what another version changes ([`upgrade`]), which objects there are and where the API server has them
//! ([`object`]), whether a Deployment or DaemonSet came up and if not why ([`readiness`]), what is wrong with a mesh ([`check`]). Objects are JSON here, as an API server sends them. Pure: it must not know how
//! anything is read or written.

mod base64;
pub mod check;
pub mod install;
pub mod object;
pub mod readiness;
pub mod upgrade;
