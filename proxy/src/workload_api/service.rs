//! The calls of the Workload API. A stream gets a message when what it shows has changed, and the newest one only.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_identity::application::AskError;
use mesh_identity::jwt_svid;
use mesh_proto::spiffe::workload as wire;
use mesh_proto::spiffe::workload::spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer};
use tokio::net::UnixListener;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use super::counters::{Counters, Method, Refused};
use super::socket::Door;
use super::{Shared, WorkloadApi, claims, material};

/// Without it a call could be one that a browser was talked into (SPIFFE Workload Endpoint, section 6.2).
const HEADER: &str = "workload.spiffe.io";
/// Largest message; a token to validate is the largest one.
const MAX_MESSAGE: usize = 64 * 1024;
/// Calls at once on one connection.
const MAX_STREAMS: u32 = 16;
/// A peer that is gone is noticed after interval and timeout.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long a caller waits for the first certificate before it is told to come again.
const FIRST: Duration = Duration::from_secs(5);
/// The most audiences of one token.
const MAX_AUDIENCES: usize = 16;

pub(super) fn spawn(listener: UnixListener, api: &WorkloadApi) {
    let shared = Arc::clone(&api.shared);
    let door = Door {
        peers: shared.config.peers,
        own: rustix::process::geteuid().as_raw(),
        connections: shared.config.connections,
        counters: Arc::clone(&shared.counters),
    };
    let (out, callers) = mpsc::channel(1);
    let tasks = shared.tasks.clone();
    tasks.spawn("workload API socket", door.run(listener, out, tasks.token()));
    let (stop, counters) = (tasks.token(), Arc::clone(&shared.counters));
    let served = SpiffeWorkloadApiServer::new(Service(shared)).max_decoding_message_size(MAX_MESSAGE);
    let served = InterceptedService::new(served, move |request| has_header(request, &counters));
    tasks.spawn("workload API", async move {
        let served = Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE))
            .add_service(served)
            .serve_with_incoming_shutdown(ReceiverStream::new(callers), stop.cancelled())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the Workload API is not served any more");
        }
    });
}

fn has_header(request: Request<()>, counters: &Counters) -> Result<Request<()>, Status> {
    if request.metadata().get(HEADER).is_some_and(|value| value.as_bytes() == b"true") {
        return Ok(request);
    }
    counters.refused(Refused::Header);
    Err(Status::invalid_argument("the header `workload.spiffe.io: true` is missing"))
}

struct Service(Arc<Shared>);

type Out<T> = Result<Response<ReceiverStream<Result<T, Status>>>, Status>;

#[tonic::async_trait]
impl SpiffeWorkloadApi for Service {
    type FetchX509SVIDStream = ReceiverStream<Result<wire::X509svidResponse, Status>>;
    type FetchX509BundlesStream = ReceiverStream<Result<wire::X509BundlesResponse, Status>>;
    type FetchJWTBundlesStream = ReceiverStream<Result<wire::JwtBundlesResponse, Status>>;

    async fn fetch_x509svid(&self, _: Request<wire::X509svidRequest>) -> Out<wire::X509svidResponse> {
        let mut first = self.0.svid.clone();
        let there = tokio::time::timeout(FIRST, first.wait_for(Option::is_some)).await;
        if !matches!(there, Ok(Ok(_))) {
            self.0.counters.refused(Refused::Authority);
            return Err(Status::unavailable("the CA has not signed a certificate for the application yet"));
        }
        self.stream(Method::X509Svid, |shared| {
            let held = shared.svid.borrow().clone();
            held.map(|held| material::x509_svids(&held, &shared.identity.bundle()))
        })
    }

    async fn fetch_x509_bundles(
        &self,
        _: Request<wire::X509BundlesRequest>,
    ) -> Out<wire::X509BundlesResponse> {
        self.stream(Method::X509Bundles, |shared| Some(material::x509_bundles(&shared.identity.bundle())))
    }

    async fn fetch_jwt_bundles(&self, _: Request<wire::JwtBundlesRequest>) -> Out<wire::JwtBundlesResponse> {
        self.stream(Method::JwtBundles, |shared| Some(material::jwt_bundles(&shared.identity.bundle())))
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<wire::JwtsvidRequest>,
    ) -> Result<Response<wire::JwtsvidResponse>, Status> {
        let request = request.into_inner();
        let own = self.0.identity.svid().spiffe_id.to_string();
        if !request.spiffe_id.is_empty() && request.spiffe_id != own {
            return Err(
                self.refused(Code::PermissionDenied, &format!("this workload is `{own}` and nobody else"))
            );
        }
        if request.audience.is_empty() || request.audience.len() > MAX_AUDIENCES {
            let says = format!("name 1 to {MAX_AUDIENCES} audiences that the token is for");
            return Err(self.refused(Code::InvalidArgument, &says));
        }
        let svid = self.token(request.audience).await?;
        self.0.counters.answered(Method::JwtSvid);
        let svid = wire::Jwtsvid { spiffe_id: own, svid, hint: String::new() };
        Ok(Response::new(wire::JwtsvidResponse { svids: vec![svid] }))
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<wire::ValidateJwtsvidRequest>,
    ) -> Result<Response<wire::ValidateJwtsvidResponse>, Status> {
        let request = request.into_inner();
        match jwt_svid::verify(&request.svid, &request.audience, &self.0.identity.bundle()) {
            Ok(verified) => {
                self.0.counters.answered(Method::ValidateJwtSvid);
                let claims = Some(claims::to_struct(&verified.claims));
                Ok(Response::new(wire::ValidateJwtsvidResponse { spiffe_id: verified.spiffe_id, claims }))
            }
            Err(error) => {
                Err(self.refused(Code::InvalidArgument, &format!("the token does not hold: {error}")))
            }
        }
    }
}

impl Service {
    async fn token(&self, audience: Vec<String>) -> Result<String, Status> {
        if let Some(young) = self.0.tokens.young(&audience, unix_now()) {
            return Ok(young.token);
        }
        // As many callers as there are streams at most may wait for the CA.
        let _waiting = self.place()?;
        match self.0.issuer.jwt(audience.clone()).await {
            Ok(made) => {
                self.0.tokens.keep(audience, &made, unix_now());
                Ok(made.token)
            }
            Err(error) => {
                self.0.counters.refused(Refused::Authority);
                let text = mesh_identity::reasons(&error);
                tracing::warn!(reason = text, "no token for the application");
                Err(match error {
                    AskError::Refused(_) => Status::invalid_argument(text),
                    _ => Status::unavailable(text),
                })
            }
        }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        Arc::clone(&self.0.streams).try_acquire_owned().map_err(|_| {
            self.0.counters.refused(Refused::Streams);
            let most = self.0.config.streams;
            Status::resource_exhausted(format!("{most} streams are open, which is the most; close some"))
        })
    }

    fn refused(&self, code: Code, says: &str) -> Status {
        self.0.counters.refused(Refused::Request);
        Status::new(code, says)
    }

    /// A stream of what `shown` makes of the moment, whenever that changes.
    fn stream<T: Clone + PartialEq + Send + Sync + 'static>(
        &self,
        method: Method,
        shown: impl Fn(&Shared) -> Option<T> + Send + 'static,
    ) -> Out<T> {
        let place = self.place()?;
        let shared = Arc::clone(&self.0);
        let (out, stream) = mpsc::channel(1);
        let stop = shared.tasks.token();
        self.0.tasks.spawn("workload API stream", async move {
            let _place = place;
            let (mut svid, mut identity) = (shared.svid.clone(), shared.identity.changed());
            let mut last = None;
            loop {
                svid.mark_unchanged();
                identity.mark_unchanged();
                let now = shown(&shared);
                if let Some(message) = now.clone().filter(|_| now != last) {
                    let sent = tokio::select! {
                        () = stop.cancelled() => return,
                        sent = out.send(Ok(message)) => sent,
                    };
                    if sent.is_err() {
                        return;
                    }
                    shared.counters.answered(method);
                    last = now;
                }
                let changed = tokio::select! {
                    () = stop.cancelled() => return,
                    () = out.closed() => return,
                    changed = svid.changed() => changed,
                    changed = identity.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
