//! The cart: the shop's gRPC service, with its messages written by hand so that a demonstration needs no generated
//! code. It must not know who calls it.
//!
//! ```text
//! service shop.v1.Cart { rpc Get(GetRequest) returns (Contents); }
//! ```

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::{BoxFuture, Service};
use tonic::metadata::MetadataMap;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::server::trace_context;
use super::upstream::Upstream;

const GET: &str = "/shop.v1.Cart/Get";
const DEADLINE: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct GetRequest {
    #[prost(string, tag = "1")]
    pub(crate) visitor: String,
}

/// What is in the cart.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Contents {
    #[prost(string, repeated, tag = "1")]
    pub(crate) items: Vec<String>,
    /// How many of the first item are left.
    #[prost(uint64, tag = "2")]
    pub(crate) left: u64,
    #[prost(string, tag = "3")]
    pub(crate) version: String,
}

/// A connection to the cart that is made when it is first used, and again when it breaks.
pub(crate) fn channel(address: SocketAddr) -> Channel {
    let uri = http::Uri::builder().scheme("http").authority(address.to_string()).path_and_query("/").build();
    // An IP address with a port is always an authority.
    Endpoint::from(uri.unwrap_or_default()).connect_timeout(DEADLINE).tcp_nodelay(true).connect_lazy()
}

/// Asks for the cart's contents.
pub(crate) async fn get(channel: Channel, context: &HeaderMap) -> Result<Contents, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(root_cause(&error)))?;
    let mut request = Request::new(GetRequest { visitor: "somebody".to_owned() });
    *request.metadata_mut() = MetadataMap::from_headers(context.clone());
    request.set_timeout(DEADLINE);
    let codec = ProstCodec::<GetRequest, Contents>::default();
    Ok(grpc.unary(request, PathAndQuery::from_static(GET), codec).await?.into_inner())
}

/// The innermost error: tonic's own says only "transport error".
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Serves the cart until its process ends.
pub(crate) async fn serve(listener: TcpListener, upstream: Upstream) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .add_service(Cart { upstream })
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
}

#[derive(Debug, Clone)]
struct Cart {
    upstream: Upstream,
}

impl NamedService for Cart {
    const NAME: &'static str = "shop.v1.Cart";
}

impl Service<http::Request<tonic::body::Body>> for Cart {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let method = Get(self.upstream.clone());
        Box::pin(async move {
            if request.uri().path() != GET {
                return Ok(Status::unimplemented("the cart has one method: Get").into_http());
            }
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Contents, GetRequest>::default());
            Ok(grpc.unary(method, request).await)
        })
    }
}

struct Get(Upstream);

impl UnaryService<GetRequest> for Get {
    type Response = Contents;
    type Future = BoxFuture<Response<Contents>, Status>;

    fn call(&mut self, request: Request<GetRequest>) -> Self::Future {
        let upstream = self.0.clone();
        Box::pin(async move {
            let context = trace_context(request.metadata().as_ref());
            let reply = upstream.get("http://stock/stock/1", &context).await;
            let reply = reply.map_err(|error| Status::unavailable(format!("stock: {error}")))?;
            if !reply.status.is_success() {
                return Err(Status::unavailable(format!("stock: {}", reply.status.as_u16())));
            }
            let stock: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let left = stock.get("left").and_then(serde_json::Value::as_u64).unwrap_or_default();
            Ok(Response::new(Contents { items: vec!["net".to_owned()], left, version: "v1".to_owned() }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cart_answers_over_grpc_and_says_when_stock_is_away() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            // Nobody listens there any more.
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let context = HeaderMap::new();
            let call = get(channel(address), &context);
            let status = tokio::select! {
                _ = serve(listener, Upstream::new(gone)) => panic!("the server ended"),
                answer = call => answer.unwrap_err(),
            };
            assert_eq!(status.code(), tonic::Code::Unavailable);
            assert!(status.message().starts_with("stock: "), "{status}");
        });
    }
}
