//! The proxy as its neighbours see it: a client sidecar, a server sidecar and scripted peers in one process, on port 0.

mod capture;
mod config;
mod drain;
mod failures;
mod harness;
mod http1;
mod http2;
mod identity;
mod opaque;
mod routes;
