//! HTTP as the rest of the proxy sees it: one canonical request head, one body type, a server over a stream and connections to an
//! upstream. The codec (hyper today) is behind this boundary: no other module names it. It must not know routes or services.

mod body;
mod fault;
mod head;
mod hygiene;
mod server;
mod upgrade;
mod upstream;

pub use body::{Body, BodyEnd, BodyError, Observer};
pub use fault::{Fault, response_to};
pub use head::{BadHead, Form, Kind, RequestHead, Wire};
pub use hygiene::{HeaderEdits, clean_response};
pub use server::{Handler, Request, ServeEnd, ServerOptions, serve};
pub use upgrade::Upgrade;
pub use upstream::{Connector, ExchangeFailure, Held, Place, Unreached, Upstream, UpstreamResponse, encode};

/// An answer.
pub type Response = ::http::Response<Body>;
