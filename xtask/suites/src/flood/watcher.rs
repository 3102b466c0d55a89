//! A proxy that does nothing wrong: a service that it uses changes again and again, and it measures until it has been told.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mesh_identity::{ExpectedServer, channel, well_known};
use mesh_lifecycle::tasks::Tasks;
use mesh_proto::config::v1::config_service_client::ConfigServiceClient;
use mesh_proto::config::v1::{
    Ack, ClientMessage, Destination, Hello, ProxyId, ServerMessage, client_message, server_message,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::mesh::Mesh;
use crate::mesh::objects::NAMESPACE;

/// Between changes.
const PACE: Duration = Duration::from_millis(250);
/// Told later than that it is not told.
const DEADLINE: Duration = Duration::from_secs(20);
const WORKLOAD: &str = "watcher";
const SERVICE: &str = "watched";

/// How long it took to be told.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) updates: usize,
    pub(super) p99: Duration,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} updates, p99 {} ms", self.updates, self.p99.as_millis())
    }
}

pub(super) struct Watcher {
    out: mpsc::Sender<ClientMessage>,
    inbound: Streaming<ServerMessage>,
    number: u32,
    took: RefCell<Vec<Duration>>,
}

impl Watcher {
    pub(super) async fn start(mesh: &Mesh, tasks: &Tasks) -> Result<Self> {
        mesh.write("watched.yaml", &service(0))?;
        let identity = mesh.member(WORKLOAD, tasks).await?;
        let server =
            ExpectedServer::Exactly(well_known::controller(identity.svid().spiffe_id.trust_domain()));
        let channel = channel::connect(&identity, mesh.controller(), server);
        let (out, messages) = mpsc::channel(4);
        let hello = hello(WORKLOAD, vec![destination(SERVICE)]);
        out.send(hello).await.context("say Hello")?;
        let inbound =
            ConfigServiceClient::new(channel).stream(ReceiverStream::new(messages)).await?.into_inner();
        let mut watcher = Self { out, inbound, number: 0, took: RefCell::default() };
        watcher.update().await?;
        Ok(watcher)
    }

    /// For so long.
    pub(super) async fn watch(&mut self, mesh: &Mesh, how_long: Duration) -> Result<Told> {
        // The time is what ends it.
        match tokio::time::timeout(how_long, self.watch_until(mesh)).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(never)) => match never {},
            Err(_) => Ok(self.take()),
        }
    }

    /// Until it is dropped; it fails when a change is not told.
    pub(super) async fn watch_until(&mut self, mesh: &Mesh) -> Result<std::convert::Infallible> {
        loop {
            self.number += 1;
            let begin = Instant::now();
            mesh.write("watched.yaml", &service(self.number))?;
            self.update().await?;
            self.took.borrow_mut().push(begin.elapsed());
            tokio::time::sleep(PACE).await;
        }
    }

    pub(super) fn take(&self) -> Told {
        let mut took = std::mem::take(&mut *self.took.borrow_mut());
        took.sort_unstable();
        let at = (took.len() * 99).div_ceil(100).saturating_sub(1);
        Told { updates: took.len(), p99: took.get(at).copied().unwrap_or_default() }
    }

    async fn update(&mut self) -> Result<()> {
        let told = async {
            loop {
                let message = self.inbound.message().await?.context("the stream ended")?;
                if let Some(server_message::Message::Update(update)) = message.message {
                    let ack = Ack { nonce: update.nonce, ..Ack::default() };
                    let message = ClientMessage { message: Some(client_message::Message::Ack(ack)) };
                    return self.out.send(message).await.context("confirm");
                }
            }
        };
        match tokio::time::timeout(DEADLINE, told).await {
            Ok(told) => told,
            Err(_) => bail!("a change was not told within {} s", DEADLINE.as_secs()),
        }
    }
}

pub(super) fn hello(workload: &str, destinations: Vec<Destination>) -> ClientMessage {
    let proxy = ProxyId { namespace: NAMESPACE.into(), workload: workload.into(), instance: "flood".into() };
    let hello = Hello { proxy: Some(proxy), destinations, ..Hello::default() };
    ClientMessage { message: Some(client_message::Message::Hello(hello)) }
}

pub(super) fn destination(name: &str) -> Destination {
    Destination { namespace: NAMESPACE.into(), name: name.into() }
}

/// The service in another form each time.
fn service(number: u32) -> String {
    let port = 1000 + number % 50_000;
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {SERVICE}, namespace: {NAMESPACE} }}\nspec:\n  ports:\n    - {{ name: p, port: {port} }}\n"
    )
}
