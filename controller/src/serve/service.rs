//! `mesh.config.v1.ConfigService` as a service of tonic, written by hand instead of generated so that it can use [`ConfigCodec`].

use std::convert::Infallible;
use std::task::{Context as TaskContext, Poll};

use mesh_identity::incoming::PeerInfo;
use mesh_lifecycle::Tasks;
use mesh_proto::config::v1::ClientMessage;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};

use super::codec::{ConfigCodec, Outgoing};
use super::stream::{self, Answer, Context};

/// Messages that wait to be written: one, so that a slow proxy gets the newest state and not an old one.
const QUEUE: usize = 1;
/// Longest message of a proxy.
const MAX_MESSAGE: usize = 4 << 20;

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

impl StreamingService<ClientMessage> for ConfigServer {
    type Response = Outgoing;
    type ResponseStream = ReceiverStream<Answer>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<ClientMessage>>) -> Self::Future {
        let peer = request.extensions().get::<PeerInfo>().cloned();
        let (out, answers) = mpsc::channel(QUEUE);
        let work = stream::run(self.context.clone(), peer, request.into_inner(), out);
        self.tasks.spawn("configuration stream", Box::pin(work));
        std::future::ready(Ok(Response::new(ReceiverStream::new(answers))))
    }
}

impl<B> Service<http::Request<B>> for ConfigServer
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != "/mesh.config.v1.ConfigService/Stream" {
                return Ok(Status::unimplemented("ConfigService has one method, Stream").into_http());
            }
            let mut grpc = Grpc::new(ConfigCodec::default()).max_decoding_message_size(MAX_MESSAGE);
            Ok(grpc.streaming(service, request).await)
        })
    }
}
