//! `mesh.config.v1.ConfigService` as a service of tonic, written by hand instead of generated so that it can answer with [`Answers`].

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context as TaskContext, Poll};

use mesh_identity::incoming::PeerInfo;
use mesh_lifecycle::Tasks;
use mesh_proto::config::v1::{ClientMessage, ServerMessage};
use tokio::sync::mpsc;
use tonic::codec::BufferSettings;
use tonic::codegen::{Body, Service, StdError, http};
use tonic::server::NamedService;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use super::answers::Answers;
use super::stream::{self, Context};

/// Messages that wait to be written: one, so that a slow proxy gets the newest state and not an old one.
const QUEUE: usize = 1;
/// Longest message of a proxy.
const MAX_MESSAGE: usize = 4 << 20;
/// What a stream begins to read with, in bytes: an ack is shorter.
const READ: usize = 512;

/// The service. Clones share everything.
#[derive(Debug, Clone)]
pub struct ConfigServer {
    context: Context,
    tasks: Tasks,
}

impl ConfigServer {
    /// Serves streams on `tasks`.
    pub fn new(context: Context, tasks: Tasks) -> Self {
        Self { context, tasks }
    }
}

impl NamedService for ConfigServer {
    const NAME: &'static str = "mesh.config.v1.ConfigService";
}

impl<B> Service<http::Request<B>> for ConfigServer
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path() != "/mesh.config.v1.ConfigService/Stream" {
            return ready(Ok(Status::unimplemented("ConfigService has one method, Stream").into_http()));
        }
        let (request, body) = request.into_parts();
        let peer = request.extensions.get::<PeerInfo>().cloned();
        // What is written at a time does not count here: messages are written one by one.
        let decoder =
            ProstCodec::<ServerMessage, ClientMessage>::raw_decoder(BufferSettings::new(READ, READ));
        let inbound = Streaming::new_request(decoder, body, None, Some(MAX_MESSAGE));
        let (out, answers) = mpsc::channel(QUEUE);
        let work = stream::run(self.context.clone(), peer, inbound, out);
        self.tasks.spawn("configuration stream", Box::pin(work));
        ready(Ok(Answers::respond(answers)))
    }
}
