//! HTTP as the rest of the proxy sees it: one canonical request head, one body type, a server over a stream and connections to an
//! upstream. The codecs ([`mesh_http1`] and [`mesh_http2`]) are behind this boundary: no other module names them. It must not
//! know routes or services.
//!
//! # How a request moves
//! The task of a client's connection drives everything of it: it reads the head, polls the handler, and through it the connection to
//! the upstream. A body is pulled by whoever writes it on, one piece at a time, so what waits is bounded by one piece each way and the
//! buffers of the kernel. There is no channel and no second task for HTTP/1; streams of HTTP/2 are driven by the task of their
//! connection, and only a connection to an upstream of HTTP/2, which many share, has a task of its own.
//!
//! # Memory
//! A connection that waits holds no buffer: buffers come from the worker's pool when bytes do, and go back. What is kept is the future
//! of the connection (about 1 KiB; that of a request is boxed and gone) and, with TLS, the session.

mod body;
mod buffers;
mod cut;
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
pub mod trial;
mod upgrade;
mod upstream;
mod websocket;

pub use body::{Body, BodyEnd, BodyError, Frame, Observer, Source};
pub use cut::Cut;
pub use deadline::sweeper;
pub use fault::{FAILURE, Fault, bad_request, refusal, response_to};
pub(crate) use head::kind_of;
pub use head::{BadHead, Form, Kind, RequestHead, Scheme, Wire};
pub use headers::{BadField, Headers};
pub use hygiene::HeaderEdits;
pub use interim::Interim;
pub use response::Response;
pub use server::{Handler, Request, ServeEnd, ServerOptions, serve};
pub use upgrade::{Changed, Upgrade};
pub use upstream::{Bounds, Connected, Exceeded, Held, OwnBounds};
pub use upstream::{
    Connector, ExchangeFailure, Place, Returned, Seen, Unreached, Upstream, UpstreamResponse,
};
