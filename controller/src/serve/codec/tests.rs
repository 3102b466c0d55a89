//! What is written by hand reads as the generated code writes it.

use mesh_proto::config::v1::Resource as WireResource;
use mesh_proto::config::v1::{MeshSettings, resource};

use super::*;

fn wire(name: &str, access_log: bool) -> WireResource {
    let mesh = MeshSettings { trust_domain: "x".repeat(200), access_log, ..MeshSettings::default() };
    WireResource { name: name.into(), version: "1".into(), body: Some(resource::Body::Mesh(mesh)) }
}

fn shared(wire: &WireResource) -> Arc<Resource> {
    Arc::new(Resource {
        name: wire.name.as_str().into(),
        version: wire.version.as_str().into(),
        bytes: wire.encode_to_vec().into(),
    })
}

fn watermark() -> Watermark {
    Watermark { revision: 7, source_time_ms: 8, sent_ms: 9, ..Watermark::default() }
}

/// What generated code reads, after a prefix that says how long it is.
fn read(outgoing: &Outgoing) -> server_message::Message {
    let frame = outgoing.frame().unwrap();
    let (prefix, message) = frame.split_at(PREFIX);
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    assert_eq!(prefix, [[0].as_slice(), &len].concat());
    ServerMessage::decode(message).unwrap().message.unwrap()
}

#[test]
fn an_update_reads_as_generated_code_reads_it() {
    let resources = [wire("a", true), wire("b", false)];
    let unknown = vec![Destination { namespace: "n".into(), name: "s".into() }];
    let at = At { watermark: watermark(), subscription: 4 };
    let gone = Gone {
        removed: vec!["gone".into()],
        unknown: unknown.clone(),
        unknown_sought: vec!["10.0.0.1".into()],
    };
    let outgoing = Outgoing::update(3, resources.iter().map(shared).collect(), gone, at);
    let expected = Update {
        nonce: 3,
        resources: resources.to_vec(),
        removed: vec!["gone".into()],
        unknown,
        watermark: Some(watermark()),
        subscription: 4,
        unknown_sought: vec!["10.0.0.1".into()],
    };
    assert_eq!(read(&outgoing), server_message::Message::Update(expected));
}

#[test]
fn an_empty_update_and_a_watermark_are_messages_too() {
    let at = At { watermark: watermark(), subscription: 1 };
    let empty = read(&Outgoing::update(1, vec![], Gone::default(), at));
    assert!(
        matches!(empty, server_message::Message::Update(update) if update.nonce == 1 && update.resources.is_empty())
    );
    let message = read(&Outgoing::Watermark(watermark()));
    assert_eq!(message, server_message::Message::Watermark(watermark()));
}
