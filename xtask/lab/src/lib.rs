//! A lab of network namespaces: pods on a bridge, made by an ordinary test without root and gone with it.
//!
//! [`enter()`] starts this program again in namespaces of its own; inside, [`Network`] makes pods, [`Pod::program`] starts
//! programs in them and [`Pod::inside`] runs code of the test in them. It must not know the mesh: what is put into the pods is the
//! caller's matter.

mod enter;
mod link;
mod namespace;
mod netlink;
mod network;
mod program;
mod shape;
mod wait;

pub use self::enter::{Limits, Outcome, enter, folder, in_a_lab};
pub use self::link::Cidr;
pub use self::namespace::Namespace;
pub use self::network::{Families, Network, Pod};
pub use self::program::{Printed, Program, Running, User};
pub use self::shape::Shape;
pub use self::wait::wait_until;
