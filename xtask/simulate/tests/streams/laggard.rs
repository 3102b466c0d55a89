//! A client that asks for everything and never reads: nobody else may suffer from it.

use std::sync::Arc;
use std::time::Duration;

use mesh_identity::{ExpectedServer, Identity, Way, channel, well_known};
use mesh_proto::config::v1::config_service_client::ConfigServiceClient;
use mesh_proto::config::v1::{ClientMessage, Destination, Hello, ProxyId, client_message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::network::ToHost;
use crate::proxy::CONTROLLER;
use crate::truth::{self, SERVICES};

/// Runs until the host is killed; opens another stream whenever one ends.
pub async fn run(identity: Identity) -> turmoil::Result {
    let server = ExpectedServer::Exactly(well_known::controller(identity.svid().spiffe_id.trust_domain()));
    loop {
        let way = Way::Through(Arc::new(ToHost(CONTROLLER)));
        let mut service = ConfigServiceClient::new(channel::connect(&identity, way, server.clone()));
        let (out, messages) = mpsc::channel(1);
        let destination = |service| Destination { namespace: "shop".to_owned(), name: truth::name(service) };
        let hello = Hello {
            proxy: Some(ProxyId {
                namespace: "shop".into(),
                workload: "laggard".into(),
                instance: "1".into(),
            }),
            destinations: (0..SERVICES).map(destination).collect(),
            ..Hello::default()
        };
        out.send(ClientMessage { message: Some(client_message::Message::Hello(hello)) }).await?;
        let opened = service.stream(ReceiverStream::new(messages)).await;
        if opened.is_ok() {
            // The answer is held and never looked at, until the other side gives the stream up.
            out.closed().await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
