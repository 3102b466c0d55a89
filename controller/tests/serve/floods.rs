//! T34: proxies that ask for too much, in every way that is bounded. Each is refused or ended and counted, and the others' updates go on.
//! With processes of their own and memory measured: `cargo xtask control-flood`.

use std::time::Duration;

use mesh_controller::serve::admission::{
    IDLE_ACKS, OPENED_IN_A_ROW, OPENINGS_OF_AN_IDENTITY, SAID_IN_A_ROW, STREAMS_OF_A_WORKLOAD,
};
use mesh_proto::config::v1::config_service_client::ConfigServiceClient;
use mesh_proto::config::v1::{ClientMessage, Destination, Hello, ProxyId, Subscribe, client_message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::config::scrape;
use crate::world::{DEADLINE, Proxy, SHOP, World, names};

/// What others are told goes on: an edit arrives at this proxy.
async fn others_go_on(world: &World, bystander: &mut Proxy, weight: u32) {
    world.edit(&SHOP.replace("weight: 90", &format!("weight: {weight}")));
    assert_eq!(names(&bystander.update().await.resources), ["httproute/shop/web"]);
}

async fn bystander(world: &World) -> Proxy {
    let mut proxy = world.proxy("bystander", &["web"]).await;
    proxy.update().await;
    proxy
}

async fn counted(world: &World, counter: &str) -> u64 {
    let metrics = scrape(world, "/metrics").await;
    let name = format!("mesh_controller_config_{counter}_total ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
    value.unwrap_or_else(|| panic!("no {counter} in {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn ten_thousand_subscriptions_end_the_stream() {
    let world = World::new(SHOP).await;
    let mut bystander = bystander(&world).await;
    let mut greedy = world.proxy("greedy", &[]).await;
    greedy.update().await;
    let name = |number| Destination { namespace: "shop".into(), name: format!("s{number}") };
    let add = (0..10_000).map(name).collect();
    greedy
        .send(client_message::Message::Subscribe(Subscribe { add, sequence: 2, ..Subscribe::default() }))
        .await;
    let status = greedy.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.message(), "10000 destinations, at most 8192 are served on a stream");
    assert_eq!(counted(&world, "streams_refused").await, 1);
    others_go_on(&world, &mut bystander, 80).await;
}

#[tokio::test]
async fn a_message_of_five_megabytes_ends_the_stream() {
    let world = World::new(SHOP).await;
    let mut bystander = bystander(&world).await;
    let mut large = world.proxy("large", &[]).await;
    large.update().await;
    let add = vec![Destination { namespace: "shop".into(), name: "x".repeat(5 << 20) }];
    large
        .send(client_message::Message::Subscribe(Subscribe { add, sequence: 2, ..Subscribe::default() }))
        .await;
    let status = large.end().await;
    // The length alone is read of it.
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(counted(&world, "messages_too_large").await, 1);
    others_go_on(&world, &mut bystander, 80).await;
}

#[tokio::test]
async fn a_storm_of_acks_ends_the_stream() {
    let world = World::new(SHOP).await;
    let mut bystander = bystander(&world).await;
    let mut babbling = world.proxy("babbling", &[]).await;
    let first = babbling.update().await;
    babbling.ack(first.nonce, vec![]).await;
    for _ in 0..=IDLE_ACKS {
        babbling.ack(first.nonce, vec![]).await;
    }
    let status = babbling.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(counted(&world, "streams_idle_acks").await, 1);
    others_go_on(&world, &mut bystander, 80).await;
}

/// What a proxy says too fast is heard later, and nothing of it is lost.
#[tokio::test]
async fn a_storm_of_questions_is_heard_one_by_one() {
    let world = World::new(SHOP).await;
    let mut bystander = bystander(&world).await;
    let mut asking = world.proxy("asking", &[]).await;
    asking.update().await;
    let last = u64::from(SAID_IN_A_ROW) + 200;
    for sequence in 2..=last {
        asking.send(client_message::Message::Subscribe(Subscribe { sequence, ..Subscribe::default() })).await;
    }
    while asking.update().await.subscription < last {}
    assert!(counted(&world, "streams_throttled").await >= 1);
    others_go_on(&world, &mut bystander, 80).await;
}

#[tokio::test]
async fn a_workload_has_so_many_streams_and_no_more() {
    let world = World::new(SHOP).await;
    let mut bystander = bystander(&world).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS_OF_A_WORKLOAD {
        let mut one = world.proxy("many", &[]).await;
        one.update().await;
        streams.push(one);
    }
    let status = world.proxy("many", &[]).await.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().starts_with("the workload has 8 streams"), "{status}");
    assert_eq!(counted(&world, "workload_streams_full").await, 1);
    others_go_on(&world, &mut bystander, 80).await;
}

#[tokio::test]
async fn a_workload_that_comes_again_and_again_is_told_to_wait() {
    let world = World::new(SHOP).await;
    let mut bystander = bystander(&world).await;
    let channel = world.channel("shop", "again");
    let mut refused = None;
    for _ in 0..OPENED_IN_A_ROW + 10 {
        let mut one = Proxy::open(channel.clone(), "shop", "again", &[], vec![]).await;
        match one.first().await {
            Ok(()) => {}
            // Streams that it dropped may not be missed yet: that is another bound.
            Err(status) if status.message().starts_with("the workload has") => {}
            Err(status) => refused = Some(status),
        }
    }
    let status = refused.expect("it was refused at last");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(
        status.message().starts_with("the workload opens streams too often; connect again in "),
        "{status}"
    );
    assert!(counted(&world, "workload_streams_too_often").await >= 1);
    others_go_on(&world, &mut bystander, 80).await;
}

/// Streams that never say who they are take the turns of their own identity alone.
#[tokio::test]
async fn who_says_nothing_holds_up_nobody_but_its_own_identity() {
    let world = World::new(SHOP).await;
    let mut bystander = bystander(&world).await;
    let channel = world.channel("shop", "silent");
    let mut open = Vec::new();
    for _ in 0..OPENINGS_OF_AN_IDENTITY {
        let (out, messages) = mpsc::channel::<ClientMessage>(1);
        let mut service = ConfigServiceClient::new(channel.clone());
        let stream = service.stream(ReceiverStream::new(messages)).await.unwrap().into_inner();
        open.push((out, stream));
    }
    let (out, messages) = mpsc::channel(1);
    let proxy = ProxyId { namespace: "shop".into(), workload: "silent".into(), instance: "1".into() };
    let hello = Hello { proxy: Some(proxy), ..Hello::default() };
    out.send(ClientMessage { message: Some(client_message::Message::Hello(hello)) }).await.unwrap();
    let mut ninth =
        ConfigServiceClient::new(channel).stream(ReceiverStream::new(messages)).await.unwrap().into_inner();
    let early = tokio::time::timeout(Duration::from_millis(200), ninth.message()).await;
    assert!(early.is_err(), "it waits for its turn: {early:?}");
    others_go_on(&world, &mut bystander, 80).await;
    drop(open);
    let answer = tokio::time::timeout(DEADLINE, ninth.message()).await.unwrap();
    assert!(answer.unwrap().is_some(), "its turn has come");
}
