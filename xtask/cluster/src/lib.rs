//! A Kubernetes to test on, and images for it without a container engine.
//!
//! [`Cluster`] is the door: bring one up, load images, run kubectl or any other program against it, take it down. Behind it are two
//! backends: `node` makes a real node out of namespaces of this machine, `kind` asks kind. Only making a cluster, loading an image and
//! reaching the network differ. It must not know the mesh.

mod artifacts;
mod cluster;
mod folders;
mod images;
mod kind;
pub mod node;
mod oci;
mod program;
mod screen;
mod smoke;
mod tar;

pub use self::cluster::{Backend, Cluster, Extent, Lent, NodeStatus, Request, Status, Use, watch};
pub use self::folders::{Folders, Name};
pub use self::images::{bundle, pack};
pub use self::program::{Printed, Program, wait_until};
pub use self::smoke::smoke;
