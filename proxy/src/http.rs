//! HTTP as the rest of the proxy sees it: one canonical request head, one body type, a server over a stream and connections to an
//! upstream. The codec (hyper today) is behind this boundary: no other module names it. It must not know routes or services.

mod body;
mod buffers;
mod deadline;
mod fault;
mod h1;
mod h2;
mod head;
mod headers;
mod hygiene;
mod interim;
mod io;
mod response;
mod server;
mod upgrade;
mod upstream;

pub use body::{Body, BodyEnd, BodyError, Frame, Observer, Source};
pub use deadline::sweeper;
pub use fault::{Fault, response_to};
pub use head::{BadHead, Form, Kind, RequestHead, Wire};
pub use interim::Interim;
pub use headers::{BadField, Headers};
pub use hygiene::HeaderEdits;
pub use response::Response;
pub use server::{Handler, Request, ServeEnd, ServerOptions, serve};
pub use upgrade::{Changed, Upgrade};
pub use upstream::{Connector, ExchangeFailure, Place, Returned, Seen, Unreached, Upstream, UpstreamResponse};
