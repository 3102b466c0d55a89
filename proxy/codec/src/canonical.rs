//! The one spelling of a path and of an authority. Routing, policy, logs and the next hop see this spelling and no other, so none
//! of them can be shown something else than the others. It must not know which codec the raw text came with.
//!
//! Both functions are idempotent, and give back the input itself where it is canonical already.

mod authority;
mod path;

pub(crate) use authority::check;
pub use authority::{authority, host_and_port};
pub use path::path;
