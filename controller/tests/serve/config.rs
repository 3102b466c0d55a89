//! Configuration streams.

use std::time::Duration;

use mesh_identity::testing::TestCa;
use mesh_model::address::Meaning;
use mesh_proto::config::v1::{Hello, Reject, backend, client_message, resource};
use mesh_proto::convert;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

use crate::world::{DEADLINE, Proxy, SHOP, World, condition, destination, line, names, object, start};

#[tokio::test]
async fn a_subscription_brings_everything_and_an_edit_brings_one_route() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &["web"]).await;
    let first = proxy.update().await;
    assert_eq!(
        names(&first.resources),
        [
            "authentication",
            "endpoints/shop/v1",
            "endpoints/shop/v2",
            "endpoints/shop/web",
            "httproute/shop/web",
            "mesh",
            "own",
            "service/shop/v1",
            "service/shop/v2",
            "service/shop/web"
        ]
    );
    assert_eq!(first.subscription, 1);
    for resource in first.resources {
        convert::decode(resource).expect("what is sent can be read");
    }
    proxy.ack(first.nonce, vec![]).await;
    world.edit(&SHOP.replace("weight: 90", "weight: 50"));
    let second = proxy.update().await;
    assert_eq!(names(&second.resources), ["httproute/shop/web"]);
    let Some(resource::Body::Route(route)) = &second.resources[0].body else { panic!("no route") };
    assert_eq!(route.rules[0].backends[0].weight, 50);
    let revision = second.watermark.unwrap().revision;
    assert!(revision > first.watermark.unwrap().revision);
    proxy.ack(second.nonce, vec![]).await;
    world
        .sync_until("the ack", |sync| (line(sync, "client")?.acked_revision == revision).then_some(()))
        .await;
    world
        .sync_until("programmed 1 of 1", |sync| {
            let route = object(sync, "HTTPRoute shop/web")?;
            ((route.programmed, route.programmed_of) == (1, 1)).then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_edit_without_meaning_sends_only_a_watermark() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &["web"]).await;
    let first = proxy.update().await;
    world.edit(&format!("# a comment moves every line\n{SHOP}"));
    let revision = first.watermark.unwrap().revision;
    loop {
        if proxy.watermark().await.revision > revision {
            return;
        }
    }
}

#[tokio::test]
async fn a_proxy_that_comes_back_with_all_it_needs_is_sent_nothing() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &["web"]).await;
    proxy.update().await;
    let held = std::mem::take(&mut proxy.held);
    drop(proxy);
    let mut again = world.proxy_with("client", &["web"], held.clone()).await;
    let answer = again.update().await;
    assert_eq!((names(&answer.resources), answer.removed.len()), (vec![], 0));

    // The controller is killed and another one takes its place: nothing of the first is needed.
    let successor = start(&world.ca, world.folder.path(), 100).await;
    let world = World { running: successor, ..world };
    world.edit(&SHOP.replace("weight: 90", "weight: 40"));
    world.sync_until("the edit", |sync| (sync.revision > 1).then_some(())).await;
    let mut other = world.proxy_with("client", &["web"], held).await;
    assert_eq!(
        names(&other.update().await.resources),
        ["httproute/shop/web"],
        "what changed meanwhile arrives"
    );
}

#[tokio::test]
async fn subscriptions_change_while_the_stream_is_open() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &[]).await;
    assert_eq!(names(&proxy.update().await.resources), ["authentication", "mesh", "own"]);
    proxy.subscribe(&["v1", "nobody"], &[]).await;
    let update = proxy.update().await;
    assert_eq!(names(&update.resources), ["endpoints/shop/v1", "service/shop/v1"]);
    assert_eq!((update.unknown, update.subscription), (vec![destination("nobody")], 2));
    proxy.subscribe(&[], &["v1"]).await;
    let update = proxy.update().await;
    assert_eq!(update.removed, ["endpoints/shop/v1", "service/shop/v1"]);
    world.edit(&format!("{SHOP}\n---\n{{apiVersion: v1, kind: Service, metadata: {{name: nobody, namespace: shop}}, spec: {{ports: [{{port: 1}}]}}}}\n"));
    assert_eq!(names(&proxy.update().await.resources), ["endpoints/shop/nobody", "service/shop/nobody"]);
}

#[tokio::test]
async fn a_route_to_a_missing_service_gives_its_share_an_invalid_backend_and_says_so() {
    let world =
        World::new(&SHOP.replace("{name: v2, port: 80, weight: 10}", "{name: v3, port: 80, weight: 10}"))
            .await;
    let mut proxy = world.proxy("client", &["web"]).await;
    let update = proxy.update().await;
    let route = update.resources.iter().find(|resource| resource.name == "httproute/shop/web").unwrap();
    let Some(resource::Body::Route(route)) = &route.body else { panic!("no route") };
    let Some(backend::Target::Invalid(invalid)) = &route.rules[0].backends[1].target else {
        panic!("not invalid")
    };
    assert_eq!(invalid.reference, "Service shop/v3:80");
    let sync = world.sync().await;
    let told = condition(&sync, "HTTPRoute shop/web", "ResolvedRefs", false).expect("told");
    assert_eq!(
        (told.reason.as_str(), told.field.as_str()),
        ("BackendNotFound", "spec.rules[0].backendRefs[1].name")
    );
}

#[tokio::test]
async fn a_policy_arrives_is_edited_and_goes_and_a_bad_edit_keeps_the_last_good_form() {
    let policy = "
---
apiVersion: amime.io/v1alpha1
kind: TrafficPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: web}]
  rateLimits: [{name: all, requests: 5}]
";
    let world = World::new(&format!("{SHOP}{policy}")).await;
    let mut proxy = world.proxy("client", &["web"]).await;
    let first = proxy.update().await;
    let found = first.resources.iter().find(|resource| resource.name == "trafficpolicy/shop/web").unwrap();
    let Ok(convert::ModelResource::Policy(read)) = convert::decode(found.clone()) else {
        panic!("no policy")
    };
    assert_eq!(read.settings.rate_limits.unwrap()[0].requests, 5);
    proxy.ack(first.nonce, vec![]).await;
    world
        .sync_until("programmed 1 of 1", |sync| {
            let policy = object(sync, "TrafficPolicy shop/web")?;
            ((policy.programmed, policy.programmed_of) == (1, 1)).then_some(())
        })
        .await;

    world.edit(&format!("{SHOP}{}", policy.replace("requests: 5", "requests: 0")));
    let told = world
        .sync_until("the fault", |sync| condition(sync, "TrafficPolicy shop/web", "Accepted", false).cloned())
        .await;
    assert_eq!(told.field, "spec.rateLimits[0].requests");
    assert_eq!(
        told.message,
        "all.yaml:26: 0 is out of bounds; use 1 to 1000000000; the last good form stays in force"
    );
    let mut other = world.proxy("other", &["web"]).await;
    assert!(names(&other.update().await.resources).contains(&"trafficpolicy/shop/web"), "still there");

    world.edit(&format!("{SHOP}{}", policy.replace("requests: 5", "requests: 6")));
    let second = proxy.update().await;
    assert_eq!(names(&second.resources), ["trafficpolicy/shop/web"]);
    world.edit(SHOP);
    assert_eq!(proxy.update().await.removed, ["trafficpolicy/shop/web"]);
}

#[tokio::test]
async fn a_proxy_is_told_what_its_own_workload_serves() {
    let world = World::new(SHOP).await;
    let own = |resources: Vec<mesh_proto::config::v1::Resource>| {
        let own = resources.into_iter().find(|resource| resource.name == "own")?;
        let Ok(convert::ModelResource::Own(own)) = convert::decode(own) else { panic!("no own services") };
        let line =
            |port: &mesh_model::service::OwnPort| format!("{} {}:{}", port.address, port.service, port.port);
        Some(own.ports.iter().map(line).collect::<Vec<_>>())
    };
    let mut proxy = Proxy::open(world.channel("shop", "web"), "shop", "web-1", &[], vec![]).await;
    let first = own(proxy.update().await.resources).unwrap();
    assert_eq!(first, ["127.7.0.1:15006 shop/v1:80", "127.7.0.1:15006 shop/web:80"]);
    world.edit(&SHOP.replace("selector: {app: web, v: '1'}", "selector: {app: web, v: '3'}"));
    assert_eq!(own(proxy.update().await.resources).unwrap(), ["127.7.0.1:15006 shop/web:80"]);
    let mut client = world.proxy("client", &[]).await;
    assert_eq!(own(client.update().await.resources).unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_captured_connections_address_is_answered_and_followed() {
    let virtual_address = |ip: &str| SHOP.replacen("spec: {", &format!("spec: {{clusterIP: {ip}, "), 1);
    let world = World::new(&virtual_address("10.96.0.1")).await;
    let mut proxy = world.proxy("client", &[]).await;
    proxy.update().await;
    proxy.seek(&["10.96.0.1", "10.96.0.2", "127.7.0.1"]).await;
    let answer = proxy.update().await;
    assert_eq!((answer.subscription, answer.unknown_sought.as_slice()), (2, &["10.96.0.2".to_owned()][..]));
    let meaning = |resources: &[mesh_proto::config::v1::Resource], name: &str| {
        let found = resources.iter().find(|resource| resource.name == name).expect("it is there").clone();
        let Ok(convert::ModelResource::Address(address)) = convert::decode(found) else {
            panic!("no address")
        };
        address.meaning
    };
    let Meaning::Service(service) = meaning(&answer.resources, "address/10.96.0.1") else {
        panic!("no service")
    };
    assert!(names(&answer.resources).contains(&format!("endpoints/{service}").as_str()));
    let Meaning::Served(served) = meaning(&answer.resources, "address/127.7.0.1") else {
        panic!("no endpoint")
    };
    assert!(served.ports.iter().any(|port| port.service.is_some()), "{served:?}");

    world.edit(&virtual_address("10.96.0.2"));
    let moved = proxy.update().await;
    assert_eq!(moved.removed, ["address/10.96.0.1"]);
    assert_eq!(moved.unknown_sought, ["10.96.0.1"]);
    assert_eq!(meaning(&moved.resources, "address/10.96.0.2"), Meaning::Service(service));
}

#[tokio::test]
async fn a_bad_edit_is_told_and_the_last_good_form_stays() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &["web"]).await;
    let first = proxy.update().await;
    proxy.ack(first.nonce, vec![]).await;
    world.edit(&SHOP.replace("weight: 90", "weight: 2000000"));
    let told = world
        .sync_until("the fault", |sync| condition(sync, "HTTPRoute shop/web", "Accepted", false).cloned())
        .await;
    assert_eq!(told.field, "spec.rules[0].backendRefs[0].weight");
    assert_eq!(told.message, "all.yaml:18: 2000000 is over 1000000; the last good form stays in force");
    world.edit("kind: [");
    world
        .sync_until("the syntax error", |sync| condition(sync, "all.yaml", "Readable", false).cloned())
        .await;
    // It is all still there: a new proxy gets it.
    let mut other = world.proxy("other", &["web"]).await;
    assert_eq!(names(&other.update().await.resources), names(&first.resources));
    world.edit(&SHOP.replace("weight: 90", "weight: 60"));
    assert_eq!(names(&proxy.update().await.resources), ["httproute/shop/web"]);
}

#[tokio::test]
async fn a_reject_is_shown() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &["web"]).await;
    let first = proxy.update().await;
    let reject = Reject {
        resource: "httproute/shop/web".into(),
        field: "rules[0]".into(),
        reason: "cannot be used".into(),
    };
    proxy.ack(first.nonce, vec![reject]).await;
    let rejects = world
        .sync_until("the reject", |sync| {
            line(sync, "client").map(|l| l.rejects.clone()).filter(|r| !r.is_empty())
        })
        .await;
    assert_eq!(
        (rejects[0].resource.as_str(), rejects[0].reason.as_str()),
        ("httproute/shop/web", "cannot be used")
    );
    let sync = world.sync().await;
    let route = object(&sync, "HTTPRoute shop/web").unwrap();
    assert_eq!((route.programmed, route.programmed_of), (0, 1));
    drop(proxy);
    world
        .sync_until("the proxy gone", |sync| line(sync, "client").filter(|l| !l.connected).map(|_| ()))
        .await;
}

#[tokio::test]
async fn somebody_else_is_refused_and_told_who_is_needed() {
    let world = World::new(SHOP).await;
    let mut thief = Proxy::open(world.channel("shop", "web"), "shop", "client", &["web"], vec![]).await;
    let status = thief.end().await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(
        status.message(),
        "the certificate is of spiffe://mesh.test/ns/shop/sa/web, but workload shop/client needs spiffe://mesh.test/ns/shop/sa/client"
    );
    // A Workload with a service account of its own needs that one.
    let mut named = Proxy::open(world.channel("shop", "web-1"), "shop", "web-1", &[], vec![]).await;
    assert_eq!(named.end().await.code(), Code::PermissionDenied);
    let mut right = Proxy::open(world.channel("shop", "web"), "shop", "web-1", &[], vec![]).await;
    assert_eq!(names(&right.update().await.resources), ["authentication", "mesh", "own"]);
    let mut meshctl = mesh_proto::inspect::v1::inspect_service_client::InspectServiceClient::new(
        world.channel("shop", "meshctl"),
    );
    let refused = meshctl.sync(mesh_proto::inspect::v1::SyncRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_certificate_of_another_mesh_or_an_expired_one_gets_no_connection() {
    let world = World::new(SHOP).await;
    let stranger = TestCa::new("other.test").identity("shop", "client");
    let expired = world.ca.expired_identity("shop", "client");
    for identity in [stranger, expired] {
        let call = mesh_proto::inspect::v1::inspect_service_client::InspectServiceClient::new(
            world.channel_of(&identity),
        )
        .sync(mesh_proto::inspect::v1::SyncRequest::default())
        .await;
        // What it looks like depends on which side refuses first; an answer it never is.
        let code = call.unwrap_err().code();
        assert!(matches!(code, Code::Unavailable | Code::Unknown), "{code:?}");
    }
}

#[tokio::test]
async fn a_stream_begins_with_one_hello() {
    let world = World::new(SHOP).await;
    let mut proxy = world.proxy("client", &[]).await;
    proxy.send(client_message::Message::Hello(Hello::default())).await;
    assert_eq!(proxy.end().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_proxy_too_many_is_refused_and_counted() {
    let world = World::new(SHOP).await;
    let small = start(&world.ca, world.folder.path(), 1).await;
    let world = World { running: small, ..world };
    let mut first = world.proxy("client", &[]).await;
    first.update().await;
    let mut second = world.proxy("other", &[]).await;
    assert_eq!(second.end().await.code(), Code::ResourceExhausted);
    let metrics = scrape(&world, "/metrics").await;
    assert!(metrics.contains("mesh_controller_config_streams_full_total 1"), "{metrics}");
    assert!(metrics.contains("mesh_controller_config_streams 1"), "{metrics}");
}

#[tokio::test]
async fn a_folder_that_comes_later_is_read_then() {
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later");
    let ca = TestCa::new("mesh.test");
    let running = start(&ca, &later, 100).await;
    let world = World { ca, folder, running };
    let mut proxy = world.proxy("client", &["web"]).await;
    assert_eq!(proxy.update().await.unknown, [destination("web")]);
    std::fs::create_dir(&later).unwrap();
    std::fs::write(later.join("all.yaml"), SHOP).unwrap();
    assert!(names(&proxy.update().await.resources).contains(&"service/shop/web"));
}

#[tokio::test]
async fn when_the_controller_stops_proxies_are_told() {
    let world = World::new(SHOP).await;
    assert!(scrape(&world, "/readyz").await.starts_with("HTTP/1.1 200"));
    let mut proxy = world.proxy("client", &[]).await;
    proxy.update().await;
    let tasks = world.running.tasks.clone();
    let (status, _) = tokio::join!(proxy.end(), tasks.shutdown(Duration::from_secs(20)));
    assert_eq!(status.code(), Code::Unavailable);
}

pub async fn scrape(world: &World, path: &str) -> String {
    let work = async {
        let mut stream = tokio::net::TcpStream::connect(world.running.metrics_addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(DEADLINE, work).await.unwrap()
}
