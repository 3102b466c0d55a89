//! How one part of the mesh reaches another: `HOST:PORT` as a type, its addresses by the machine's own rules, and a connection to
//! whichever of them answers first.
//!
//! Names are resolved here and not by the C library, because a static binary in an image without files has none of what that would
//! load. It must not know who is called or what is said.

pub mod exchange;
pub mod resolve;

mod dial;
mod host_port;

pub use dial::{DialError, tcp};
pub use host_port::{HostPort, InvalidHostPort};
pub use resolve::{Resolver, Unresolved};
