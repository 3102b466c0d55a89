//! A mesh in one process: an authority, sidecars with a fixed configuration, and peers that do what a test says.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_identity::Identity;
use mesh_identity::testing::TestCa;
use mesh_lifecycle::tasks::Tasks;
use mesh_model::endpoint::{Endpoint, EndpointState, Endpoints, PortEndpoints, Transport};
use mesh_model::name::{Name, ServiceName, WorkloadName};
use mesh_model::route::{
    Backend, BackendTarget, Filter, Match, ParentRef, PathMatch, Route, RouteId, RouteKind, Rule, Target,
    Timeouts,
};
use mesh_model::service::{Protocol, Service, ServicePort};
use mesh_model::settings::{MeshSettings, MetricSettings, MtlsMode, OutboundMode, TracingSettings};
use mesh_model::spiffe::TrustDomain;
use mesh_proto::convert::ModelResource;
use mesh_proxy::app::{self, Running, Source};
use mesh_proxy::config::{Config, InboundListener, OutboundListener};
use mesh_proxy::xds::{Discovery, FixedControl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const TRUST_DOMAIN: &str = "test.mesh";

/// Waits for `future`, generously; a test that needs longer hangs.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("within 30 s")
}

/// Asks until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(mut ask: impl FnMut() -> F) {
    soon(async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The authority and the configuration that every sidecar of a test has.
pub(crate) struct Mesh {
    pub(crate) ca: TestCa,
    pub(crate) tasks: Tasks,
    pub(crate) settings: MeshSettings,
    pub(crate) services: Vec<ModelResource>,
    /// Whether sidecars begin with configuration; else a test gives it to them later.
    pub(crate) configured: bool,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        let settings = MeshSettings {
            trust_domain: TrustDomain::new(TRUST_DOMAIN).unwrap(),
            mtls_mode: MtlsMode::Strict,
            outbound_mode: OutboundMode::RegistryOnly,
            trace_sample_ppm: 0,
            access_log: None,
            access_log_overrides: Vec::new(),
            metrics: MetricSettings::default(),
            tracing: TracingSettings::default(),
            open_telemetry: None,
        };
        Self {
            ca: TestCa::new(TRUST_DOMAIN),
            tasks: Tasks::new(),
            settings,
            services: vec![],
            configured: true,
        }
    }

    pub(crate) fn resources(&self) -> Vec<ModelResource> {
        let mut all = self.services.clone();
        all.push(ModelResource::Mesh(self.settings.clone()));
        all
    }

    /// Service `shop/NAME` with one port and these endpoints.
    pub(crate) fn service(
        &mut self,
        name: &str,
        port: u16,
        protocol: Option<Protocol>,
        endpoints: Vec<Endpoint>,
    ) {
        let name = ServiceName::new("shop", name).unwrap();
        let ports = vec![ServicePort { port, name: String::new(), protocol }];
        let service = Service { name: name.clone(), ports, addresses: vec![], headless: false };
        self.services.push(ModelResource::Service(service));
        let ports = vec![PortEndpoints { service_port: port, endpoints }];
        self.services.push(ModelResource::Endpoints(Endpoints { service: name, ports }));
    }

    /// HTTPRoute `shop/NAME` on service `shop/NAME`.
    pub(crate) fn route(&mut self, name: &str, rules: Vec<Rule>) {
        self.services.push(ModelResource::Route(route(RouteKind::Http, name, rules)));
    }

    /// An endpoint that is member `workload` of the mesh.
    pub(crate) fn member(&self, address: SocketAddr, workload: &str) -> Endpoint {
        Endpoint {
            address,
            transport: Transport::Mesh(self.ca.id("shop", workload)),
            workload: WorkloadName::new("shop", workload).ok(),
            zone: String::new(),
            state: EndpointState::Ready,
            weight: 1,
            priority: 0,
        }
    }

    /// A sidecar in front of `app`.
    pub(crate) fn server(&self, workload: &str, app: SocketAddr) -> Sidecar {
        self.server_with(self.ca.identity("shop", workload), workload, app, |_| {})
    }

    pub(crate) fn server_with(
        &self,
        identity: Identity,
        workload: &str,
        app: SocketAddr,
        edit: impl FnOnce(&mut Config),
    ) -> Sidecar {
        let mut config = Config::new("shop", workload);
        config.inbound.push(InboundListener { listen: any_port(), app });
        edit(&mut config);
        self.start(config, identity)
    }

    /// A sidecar with an HTTP proxy port and one listener per `SERVICE:PORT`.
    pub(crate) fn client(&self, destinations: &[(&str, u16)]) -> Sidecar {
        self.client_with(destinations, |_| {})
    }

    pub(crate) fn client_with(
        &self,
        destinations: &[(&str, u16)],
        edit: impl FnOnce(&mut Config),
    ) -> Sidecar {
        let mut config = Config::new("shop", "web");
        config.outbound_proxy = Some(any_port());
        for (host, port) in destinations {
            config.outbound.push(OutboundListener {
                listen: any_port(),
                host: (*host).to_owned(),
                port: *port,
            });
        }
        edit(&mut config);
        self.start(config, self.ca.identity("shop", "web"))
    }

    /// The same for another workload.
    pub(crate) fn client_as(&self, workload: &str, destinations: &[(&str, u16)]) -> Sidecar {
        let mut config = Config::new("shop", workload);
        config.outbound.extend(destinations.iter().map(|(host, port)| OutboundListener {
            listen: any_port(),
            host: (*host).to_owned(),
            port: *port,
        }));
        self.start(config, self.ca.identity("shop", workload))
    }

    fn start(&self, mut config: Config, identity: Identity) -> Sidecar {
        config.metrics = Some(any_port());
        let resources = if self.configured { self.resources() } else { vec![] };
        let (discovery, control) = Discovery::fixed("shop", resources);
        Sidecar { running: app::start(config, Source::Fixed { identity, discovery }).unwrap(), control }
    }

    /// A whole path: `app` behind a server sidecar as service `cart:80`, and a client sidecar.
    pub(crate) fn pair(&mut self, app: SocketAddr, protocol: Option<Protocol>) -> (Sidecar, Sidecar) {
        let server = self.server("cart", app);
        let endpoint = self.member(server.inbound(), "cart");
        self.service("cart", 80, protocol, vec![endpoint]);
        let client = self.client(&[("cart", 80)]);
        (client, server)
    }
}

/// A running proxy.
pub(crate) struct Sidecar {
    pub(crate) running: Running,
    pub(crate) control: FixedControl,
}

impl Sidecar {
    pub(crate) fn inbound(&self) -> SocketAddr {
        self.running.addrs.inbound[0]
    }

    pub(crate) fn outbound(&self) -> SocketAddr {
        self.running.addrs.outbound[0]
    }

    pub(crate) fn proxy(&self) -> SocketAddr {
        self.running.addrs.outbound_proxy.unwrap()
    }

    /// The metrics page.
    pub(crate) async fn metrics(&self) -> String {
        let head = b"GET /metrics HTTP/1.1\r\nhost: m\r\nconnection: close\r\n\r\n";
        String::from_utf8(ask(self.running.addrs.metrics.unwrap(), head).await).unwrap()
    }

    /// The sum of all samples whose line has all these parts.
    pub(crate) async fn count(&self, parts: &[&str]) -> f64 {
        let page = self.metrics().await;
        let fits = |line: &&str| !line.starts_with('#') && parts.iter().all(|part| line.contains(part));
        page.lines().filter(fits).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until that sum is `want`.
    pub(crate) async fn counts(&self, parts: &[&str], want: f64) {
        let result = tokio::time::timeout(Duration::from_secs(30), async {
            while (self.count(parts).await - want).abs() > f64::EPSILON {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let met = result.await.is_ok();
        assert!(met, "{parts:?} is not {want} in\n{}", self.metrics().await);
    }
}

pub(crate) fn route(kind: RouteKind, name: &str, rules: Vec<Rule>) -> Route {
    Route {
        id: RouteId { kind, name: Name::new("shop", name).unwrap() },
        parents: vec![ParentRef { service: ServiceName::new("shop", name).unwrap(), port: None }],
        rules,
        created: 0,
        origin: "test.yaml:1".into(),
    }
}

/// A rule for a path prefix.
pub(crate) fn rule(prefix: &str, filters: Vec<Filter>, backends: Vec<Backend>) -> Rule {
    let target = Target::Http { path: PathMatch::Prefix(prefix.into()), method: None, query: vec![] };
    Rule {
        name: None,
        matches: vec![Match { target, headers: vec![] }],
        filters,
        backends,
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
    }
}

pub(crate) fn backend(name: &str, weight: u32) -> Backend {
    let target = BackendTarget::Service { service: ServiceName::new("shop", name).unwrap(), port: 80 };
    Backend { target, weight, filters: vec![], takes: vec![] }
}

/// Sends bytes and reads until the peer closes.
pub(crate) async fn ask(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![];
    // A reset after the answer is an end like another.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    answer
}

/// A peer that runs `script` on each connection; gives its address.
pub(crate) async fn peer<F, Fut>(tasks: &Tasks, script: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (owner, script) = (tasks.clone(), Arc::new(script));
    tasks.spawn("peer", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let script = Arc::clone(&script);
            owner.spawn("peer connection", async move { script(stream).await });
        }
    });
    address
}

pub(crate) type Answer = Response<Full<Bytes>>;

/// An HTTP/1.1 application.
pub(crate) async fn origin<F, Fut>(tasks: &Tasks, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    peer(tasks, move |stream| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let answer = answer.clone();
                async move { Ok::<_, std::convert::Infallible>(answer(request).await) }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.await;
        }
    })
    .await
}

/// Answers every request with this text.
pub(crate) async fn says(tasks: &Tasks, text: &'static str) -> SocketAddr {
    origin(tasks, move |_| async move { Response::new(Full::from(text)) }).await
}

/// Answers with method, path and headers of the request, then its body.
pub(crate) async fn echo(tasks: &Tasks) -> SocketAddr {
    origin(tasks, |request| async move { echoed(request).await }).await
}

pub(crate) async fn echoed(request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text.push('\n');
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(
        &body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default(),
    );
    Response::new(Full::from(bytes))
}

pub(crate) type Http1 = hyper::client::conn::http1::SendRequest<Full<Bytes>>;
pub(crate) type Http2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

pub(crate) async fn http1(tasks: &Tasks, address: SocketAddr) -> Http1 {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tasks.spawn("client", async move { drop(connection.await) });
    sender
}

pub(crate) async fn http2(tasks: &Tasks, address: SocketAddr) -> Http2 {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    tasks.spawn("client", async move { drop(connection.await) });
    sender
}

/// `GET path` to `host` over a connection to the sidecar.
pub(crate) fn get(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", host).body(Full::default()).unwrap()
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let bytes = soon(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// One request on a connection of its own: status, `x-mesh-failure`, body.
pub(crate) async fn fetch(
    tasks: &Tasks,
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> (u16, String, String) {
    let mut sender = http1(tasks, address).await;
    let response = soon(sender.send_request(request)).await.unwrap();
    let status = response.status().as_u16();
    let failure =
        response.headers().get("x-mesh-failure").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    (status, failure, text(response).await)
}
