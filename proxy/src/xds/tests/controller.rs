//! A controller that a test plays: both of its services over mTLS, each stream handed to the test as it comes.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use mesh_identity::testing::TestCa;
use mesh_identity::{ClientAuth, incoming};
use mesh_lifecycle::Tasks;
use mesh_proto::config::v1::config_service_server::{ConfigService, ConfigServiceServer};
use mesh_proto::config::v1::{
    Ack, ClientMessage, Hello, ServerMessage, Subscribe, Update, client_message, server_message,
};
use mesh_proto::report::v1::report_service_server::{ReportService, ReportServiceServer};
use mesh_proto::report::v1::{ProxyReport, ReportCommand};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Generous: a test that needs it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One stream: what the proxy says, and the way to answer.
pub(crate) struct Talk<In, Out> {
    inbound: Streaming<In>,
    outbound: mpsc::Sender<Result<Out, Status>>,
}

pub(crate) type ConfigTalk = Talk<ClientMessage, ServerMessage>;
pub(crate) type ReportTalk = Talk<ProxyReport, ReportCommand>;

impl<In, Out> Talk<In, Out> {
    /// What the proxy says next; `None` when the stream is over.
    pub(crate) async fn next(&mut self) -> Option<In> {
        tokio::time::timeout(DEADLINE, self.inbound.message()).await.unwrap().ok().flatten()
    }

    pub(crate) async fn say(&self, message: Out) {
        self.outbound.send(Ok(message)).await.unwrap();
    }
}

impl ConfigTalk {
    async fn message(&mut self) -> client_message::Message {
        self.next().await.unwrap().message.unwrap()
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.message().await {
            client_message::Message::Hello(hello) => hello,
            other => panic!("not a Hello: {other:?}"),
        }
    }

    pub(crate) async fn subscribe(&mut self) -> Subscribe {
        match self.message().await {
            client_message::Message::Subscribe(subscribe) => subscribe,
            other => panic!("not a Subscribe: {other:?}"),
        }
    }

    pub(crate) async fn ack(&mut self) -> Ack {
        match self.message().await {
            client_message::Message::Ack(ack) => ack,
            other => panic!("not an Ack: {other:?}"),
        }
    }

    pub(crate) async fn update(&self, update: Update) {
        self.say(ServerMessage { message: Some(server_message::Message::Update(update)) }).await;
    }
}

struct Script {
    configs: mpsc::Sender<ConfigTalk>,
    reports: mpsc::Sender<ReportTalk>,
}

#[tonic::async_trait]
impl ConfigService for Script {
    type StreamStream = Replies<ServerMessage>;

    async fn stream(
        &self,
        request: Request<Streaming<ClientMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (outbound, receiver) = mpsc::channel(16);
        let _ = self.configs.send(Talk { inbound: request.into_inner(), outbound }).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

#[tonic::async_trait]
impl ReportService for Script {
    type StreamStream = Replies<ReportCommand>;

    async fn stream(
        &self,
        request: Request<Streaming<ProxyReport>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (outbound, receiver) = mpsc::channel(16);
        let _ = self.reports.send(Talk { inbound: request.into_inner(), outbound }).await;
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// A running controller. Dropping it is a SIGKILL: its runtime ends with every connection.
pub(crate) struct Controller {
    pub(crate) address: SocketAddr,
    configs: mpsc::Receiver<ConfigTalk>,
    reports: mpsc::Receiver<ReportTalk>,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Controller {
    /// On a free port.
    pub(crate) fn start(ca: &TestCa) -> Self {
        Self::start_at(ca, ([127, 0, 0, 1], 0).into())
    }

    /// Again where one was before.
    pub(crate) fn start_at(ca: &TestCa, address: SocketAddr) -> Self {
        Self::start_as(ca, address, "mesh-controller")
    }

    /// With the certificate of that service account.
    pub(crate) fn start_as(ca: &TestCa, address: SocketAddr, account: &str) -> Self {
        let listener = mesh_lifecycle::bind::tcp(address, mesh_lifecycle::bind::ReusePort::No).unwrap();
        let address = listener.local_addr().unwrap();
        let tls = ca.identity("amime-system", account).server_config(ClientAuth::Required, &[b"h2"]);
        let (configs_in, configs) = mpsc::channel(16);
        let (reports_in, reports) = mpsc::channel(16);
        let (kill, killed) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let script = || Script { configs: configs_in.clone(), reports: reports_in.clone() };
            runtime.block_on(async {
                let tasks = Tasks::new();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let server = tonic::transport::Server::builder()
                    .add_service(ConfigServiceServer::new(script()))
                    .add_service(ReportServiceServer::new(script()))
                    .serve_with_incoming(incoming::mtls(listener, tls, &tasks, 16));
                tokio::select! {
                    served = server => served.unwrap(),
                    _ = killed => {}
                }
            });
        });
        Self { address, configs, reports, kill: Some(kill), thread: Some(thread) }
    }

    pub(crate) async fn config(&mut self) -> ConfigTalk {
        tokio::time::timeout(DEADLINE, self.configs.recv()).await.unwrap().unwrap()
    }

    pub(crate) async fn report(&mut self) -> ReportTalk {
        tokio::time::timeout(DEADLINE, self.reports.recv()).await.unwrap().unwrap()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
