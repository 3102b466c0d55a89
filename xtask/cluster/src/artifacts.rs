//! What a node is made of and what is built once: programs out of Go modules, kept under a key of all that they are built from, and
//! Debian's packages.

mod go;
mod packages;

pub(crate) use self::go::{KUBERNETES, Programs};
pub(crate) use self::packages::{install, network_plugins};
