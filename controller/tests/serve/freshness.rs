//! That what a proxy holds is compared with what it was told, and that somebody who waits is told everything that there is.

use mesh_proto::config::v1::{Ack, Held, Holding, Subscribe, Watermark, client_message};
use mesh_proto::held::Checksum;
use mesh_proto::inspect::v1::{LackCause, SyncRequest, SyncResponse};

use crate::world::{Proxy, SHOP, World, destination, line, names, object};

fn sum(held: &[Held]) -> Checksum {
    held.iter().map(|held| (&held.name, &held.version)).collect()
}

/// The next watermark that says what the proxy should hold.
async fn proof(proxy: &mut Proxy) -> (Watermark, Checksum) {
    loop {
        let watermark = proxy.watermark().await;
        if watermark.resources > 0 {
            let told = Checksum { sum: watermark.checksum, resources: watermark.resources };
            return (watermark, told);
        }
    }
}

async fn asked(world: &World, request: SyncRequest) -> SyncResponse {
    world.inspect().sync(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_proxy_can_compare_what_it_holds_and_is_sent_what_it_lacks() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &["web"]).await;
    let first = proxy.update().await;
    proxy.ack(first.nonce, vec![]).await;
    let (watermark, told) = proof(&mut proxy).await;
    assert_eq!(told, sum(&proxy.held));
    assert!(watermark.stream_ms > 0 && watermark.lost.is_empty());
    let agreed = Ack { nonce: first.nonce, agreed_stream_ms: watermark.stream_ms, ..Ack::default() };
    proxy.send(client_message::Message::Ack(agreed)).await;
    world.sync_until("the comparison", |sync| (line(sync, "client")?.agreed_ms > 0).then_some(())).await;

    // Something was lost in there, and something is another than it was.
    proxy.held.retain(|held| held.name != "endpoints/shop/v1");
    proxy.held.iter_mut().filter(|held| held.name == "mesh").for_each(|held| held.version.clear());
    let holding = Some(Holding { held: proxy.held.clone() });
    let subscribe = Subscribe { sequence: 2, holding, ..Subscribe::default() };
    proxy.send(client_message::Message::Subscribe(subscribe)).await;
    let missing = proxy.update().await;
    assert_eq!(names(&missing.resources), ["endpoints/shop/v1", "mesh"]);
    proxy.ack(missing.nonce, vec![]).await;
    assert_eq!(proof(&mut proxy).await.1, sum(&proxy.held), "and it is compared again at once");
    let resyncs = world.sync().await;
    assert_eq!(line(&resyncs, "client").unwrap().resyncs, 1);
}

#[tokio::test]
async fn a_service_that_is_asked_for_anew_is_told_anew() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &["v1"]).await;
    let first = proxy.update().await;
    proxy.ack(first.nonce, vec![]).await;
    let again = Subscribe { sequence: 2, again: vec![destination("v1")], ..Subscribe::default() };
    proxy.send(client_message::Message::Subscribe(again)).await;
    let update = proxy.update().await;
    assert_eq!(
        (names(&update.resources), update.subscription),
        (vec!["endpoints/shop/v1", "service/shop/v1"], 2)
    );
}

#[tokio::test]
async fn who_asks_for_everything_is_told_of_an_edit_that_he_made_just_before() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &["web"]).await;
    let first = proxy.update().await;
    proxy.ack(first.nonce, vec![]).await;
    for weight in 30..40 {
        world.edit(&SHOP.replace("weight: 90", &format!("weight: {weight}")));
        let everything = SyncRequest { barrier: true, only_lacking: true, ..SyncRequest::default() };
        let answer = asked(&world, everything).await;
        let update = proxy.update().await;
        assert_eq!(update.watermark.unwrap().revision, answer.revision);
        // It cannot have confirmed what it reads only now.
        let lacks = &line(&answer, "client").expect("it lacks something").lacks;
        assert_eq!(lacks[0].resource, "httproute/shop/web");
        proxy.ack(update.nonce, vec![]).await;
        world
            .sync_until("the ack", |sync| {
                (line(sync, "client")?.acked_revision == answer.revision).then_some(())
            })
            .await;
    }
    // Nobody lacks anything, so nobody is told of.
    let answer = asked(&world, SyncRequest { only_lacking: true, ..SyncRequest::default() }).await;
    assert_eq!(answer.proxies, []);
}

#[tokio::test]
async fn of_one_object_only_those_are_told_that_lack_it() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &["web"]).await;
    let first = proxy.update().await;
    proxy.ack(first.nonce, vec![]).await;
    world.edit(&SHOP.replace("weight: 90", "weight: 50"));
    let update = proxy.update().await;
    let of =
        |name: &str| SyncRequest { only_lacking: true, object: name.to_owned(), ..SyncRequest::default() };
    let route = asked(&world, of("HTTPRoute shop/web")).await;
    let lacking = line(&route, "client").expect("it has not confirmed");
    assert_eq!((lacking.lacking, lacking.lacks[0].cause()), (1, LackCause::Unconfirmed));
    assert!(object(&route, "HTTPRoute shop/web").is_some() && object(&route, "Service shop/web").is_none());
    let service = asked(&world, of("Service shop/web")).await;
    assert_eq!(service.proxies, []);
    proxy.ack(update.nonce, vec![]).await;
    world.sync_until("the ack", |sync| (line(sync, "client")?.lacking == 0).then_some(())).await;
    assert_eq!(asked(&world, of("HTTPRoute shop/web")).await.proxies, []);
}
