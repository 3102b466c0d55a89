//! DNS as decisions: what a query asks, which names are the mesh's, what is answered, cached and forwarded, and in which order
//! addresses are dialled. Pure: bytes in, bytes out, time is an argument. It must not know sockets, tasks, or where services come
//! from.

pub mod budget;
pub mod cache;
pub mod eyeballs;
pub mod hosts;
pub mod names;
pub mod resolv_conf;
pub mod upstreams;
pub mod virtual_addresses;
pub mod wire;
