//! A controller with a folder, an authority for tests, and clients.

use std::path::Path;
use std::time::Duration;

use mesh_controller::app::{self, Config, ObjectsFrom, Running};
use mesh_controller::canary::AskConfig;
use mesh_controller::keys::KeysConfig;
use mesh_fetch::Loopback;
use mesh_identity::testing::TestCa;
use mesh_identity::{ExpectedServer, Identity, channel};
use mesh_lifecycle::Tasks;
use mesh_proto::config::v1::config_service_client::ConfigServiceClient;
use mesh_proto::config::v1::{
    Ack, ClientMessage, Destination, Held, Hello, ProxyId, Reject, Resource, ServerMessage, Subscribe,
    Update, Watermark, client_message, server_message,
};
use mesh_proto::inspect::v1::inspect_service_client::InspectServiceClient;
use mesh_proto::inspect::v1::{Condition, ObjectStatus, ProxySync, SyncRequest, SyncResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// Generous: it ends a test that hangs, and says nothing about speed.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub const SHOP: &str = "
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: v1, namespace: shop}, spec: {selector: {app: web, v: '1'}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: v2, namespace: shop}, spec: {selector: {app: web, v: '2'}, ports: [{port: 80}]}}
---
apiVersion: amime.io/v1alpha1
kind: Workload
metadata: {name: web-1, namespace: shop, labels: {app: web, v: '1'}}
spec: {address: 127.7.0.1, serviceAccount: web, ports: [{port: 80, meshPort: 15006}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules: [{backendRefs: [{name: v1, port: 80, weight: 90}, {name: v2, port: 80, weight: 10}]}]
";

pub struct World {
    pub ca: TestCa,
    pub folder: tempfile::TempDir,
    pub running: Running,
}

impl World {
    pub async fn new(yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("all.yaml"), yaml).unwrap();
        let ca = TestCa::new("mesh.test");
        let running = start(&ca, folder.path(), 100).await;
        Self { ca, folder, running }
    }

    /// Keys of issuers are fetched as `keys` says.
    pub async fn with_keys(yaml: &str, keys: KeysConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("all.yaml"), yaml).unwrap();
        let ca = TestCa::new("mesh.test");
        let running = start_with(&ca, folder.path(), 100, keys).await;
        Self { ca, folder, running }
    }

    /// Replaces the file as editors do: a new one takes its place.
    pub fn edit(&self, yaml: &str) {
        let new = self.folder.path().join(".new");
        std::fs::write(&new, yaml).unwrap();
        std::fs::rename(&new, self.folder.path().join("all.yaml")).unwrap();
    }

    pub fn channel(&self, namespace: &str, account: &str) -> Channel {
        self.channel_of(&self.ca.identity(namespace, account))
    }

    pub fn channel_of(&self, identity: &Identity) -> Channel {
        let controller = ExpectedServer::Exactly(self.ca.id("amime-system", "mesh-controller"));
        channel::connect(identity, self.running.addr, controller)
    }

    /// A proxy that has said hello.
    pub async fn proxy(&self, workload: &str, destinations: &[&str]) -> Proxy {
        self.proxy_with(workload, destinations, vec![]).await
    }

    pub async fn proxy_with(&self, workload: &str, destinations: &[&str], held: Vec<Held>) -> Proxy {
        Proxy::open(self.channel("shop", workload), "shop", workload, destinations, held).await
    }

    pub fn inspect(&self) -> InspectServiceClient<Channel> {
        InspectServiceClient::new(self.channel("amime-system", "meshctl"))
    }

    pub async fn sync(&self) -> SyncResponse {
        self.inspect().sync(SyncRequest::default()).await.unwrap().into_inner()
    }

    /// Waits until `Sync` shows what is looked for.
    pub async fn sync_until<T>(&self, what: &str, look: impl Fn(&SyncResponse) -> Option<T>) -> T {
        let mut last = None;
        let wait = async {
            loop {
                let response = self.sync().await;
                if let Some(found) = look(&response) {
                    return found;
                }
                last = Some(response);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, wait).await.ok();
        found.unwrap_or_else(|| panic!("never seen: {what}; last was {last:#?}"))
    }
}

pub async fn start(ca: &TestCa, folder: &Path, max_proxies: usize) -> Running {
    start_with(ca, folder, max_proxies, keys()).await
}

async fn start_with(ca: &TestCa, folder: &Path, max_proxies: usize, keys: KeysConfig) -> Running {
    let any = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        objects: ObjectsFrom::Folder(folder.to_owned()),
        listen: any,
        metrics: any,
        max_proxies,
        webhook: None,
        keys,
        dashboard: Some(any),
        releases: None,
        asks: AskConfig::default(),
    };
    app::start(config, ca.identity("amime-system", "mesh-controller"), Tasks::new()).await.unwrap()
}

pub fn object<'a>(sync: &'a SyncResponse, name: &str) -> Option<&'a ObjectStatus> {
    sync.objects.iter().find(|object| object.object == name)
}

pub fn condition<'a>(sync: &'a SyncResponse, name: &str, kind: &str, status: bool) -> Option<&'a Condition> {
    object(sync, name)?
        .conditions
        .iter()
        .find(|condition| condition.r#type == kind && condition.status == status)
}

pub fn line<'a>(sync: &'a SyncResponse, workload: &str) -> Option<&'a ProxySync> {
    sync.proxies.iter().find(|proxy| proxy.workload == workload)
}

/// A scripted proxy.
pub struct Proxy {
    out: mpsc::Sender<ClientMessage>,
    inbound: Streaming<ServerMessage>,
    pub held: Vec<Held>,
    sequence: u64,
}

impl Proxy {
    pub async fn open(
        channel: Channel,
        namespace: &str,
        workload: &str,
        destinations: &[&str],
        held: Vec<Held>,
    ) -> Self {
        let (out, messages) = mpsc::channel(16);
        let proxy =
            ProxyId { namespace: namespace.into(), workload: workload.into(), instance: "test".into() };
        let destinations = destinations.iter().map(|name| destination(name)).collect();
        let hello = Hello {
            proxy: Some(proxy),
            held: held.clone(),
            destinations,
            proxy_version: "0.0.1".into(),
            ..Hello::default()
        };
        out.send(ClientMessage { message: Some(client_message::Message::Hello(hello)) }).await.unwrap();
        let call = ConfigServiceClient::new(channel).stream(ReceiverStream::new(messages)).await;
        let inbound = call.expect("the stream opens").into_inner();
        Self { out, inbound, held, sequence: 1 }
    }

    async fn message(&mut self) -> Result<Option<server_message::Message>, Status> {
        let message =
            tokio::time::timeout(DEADLINE, self.inbound.message()).await.expect("a message in time")?;
        Ok(message.and_then(|message| message.message))
    }

    /// The next update; watermarks before it are passed over.
    pub async fn update(&mut self) -> Update {
        loop {
            match self.message().await.unwrap().expect("the stream goes on") {
                server_message::Message::Update(update) => {
                    for resource in &update.resources {
                        self.held.retain(|held| held.name != resource.name);
                        self.held
                            .push(Held { name: resource.name.clone(), version: resource.version.clone() });
                    }
                    self.held.retain(|held| !update.removed.contains(&held.name));
                    return update;
                }
                server_message::Message::Watermark(_) => {}
            }
        }
    }

    /// The next message, which must be a watermark.
    pub async fn watermark(&mut self) -> Watermark {
        match self.message().await.unwrap().expect("the stream goes on") {
            server_message::Message::Watermark(watermark) => watermark,
            server_message::Message::Update(update) => panic!("an update without need: {update:?}"),
        }
    }

    /// Whether the stream is served: its first message, or why it is refused.
    pub async fn first(&mut self) -> Result<(), Status> {
        self.message().await.map(drop)
    }

    /// Why the stream ends.
    pub async fn end(&mut self) -> Status {
        loop {
            match self.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::new(Code::Ok, "ended"),
                Err(status) => return status,
            }
        }
    }

    pub async fn ack(&self, nonce: u64, rejects: Vec<Reject>) {
        self.send(client_message::Message::Ack(Ack { nonce, rejects, ..Ack::default() })).await;
    }

    pub async fn subscribe(&mut self, add: &[&str], remove: &[&str]) {
        self.sequence += 1;
        let list = |names: &[&str]| names.iter().map(|name| destination(name)).collect();
        let (add, remove) = (list(add), list(remove));
        let subscribe = Subscribe { add, remove, sequence: self.sequence, ..Subscribe::default() };
        self.send(client_message::Message::Subscribe(subscribe)).await;
    }

    /// Asks what addresses and hosts are.
    pub async fn seek(&mut self, sought: &[&str]) {
        self.sequence += 1;
        let add_sought = sought.iter().map(|one| (*one).to_owned()).collect();
        let subscribe = Subscribe { add_sought, sequence: self.sequence, ..Subscribe::default() };
        self.send(client_message::Message::Subscribe(subscribe)).await;
    }

    pub async fn send(&self, message: client_message::Message) {
        self.out.send(ClientMessage { message: Some(message) }).await.unwrap();
    }
}

pub fn destination(name: &str) -> Destination {
    Destination { namespace: "shop".into(), name: name.into() }
}

pub fn names(resources: &[Resource]) -> Vec<&str> {
    resources.iter().map(|resource| resource.name.as_str()).collect()
}

/// Nothing is fetched that a test does not ask for.
pub fn keys() -> KeysConfig {
    KeysConfig::new(Loopback::Refused, None)
}
