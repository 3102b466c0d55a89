//! How new what a proxy holds is, that it notices when it is not what it was told, and what it does when nobody can be reached.

use mesh_proto::config::v1::{Lost, ResourceKind, ServerMessage, Watermark, server_message};
use mesh_proto::held::Checksum;

use super::controller::ConfigTalk;
use super::*;

fn watermark(stream_ms: u64) -> Watermark {
    Watermark { revision: 1, stream_ms, ..Watermark::default() }
}

/// One that says what the proxy should hold.
fn proof(stream_ms: u64, told: &[ModelResource]) -> Watermark {
    let told: Checksum = told.iter().map(|resource| (resource.name(), resource.version())).collect();
    Watermark { checksum: told.sum, resources: told.resources, ..watermark(stream_ms) }
}

async fn say(talk: &ConfigTalk, watermark: Watermark) {
    talk.say(ServerMessage { message: Some(server_message::Message::Watermark(watermark)) }).await;
}

/// No process of a test is so old, in seconds.
const YOUNG: f64 = 600.0;

/// How old what is about this is, in seconds.
fn staleness(proxy: &Proxy, kind: &str) -> f64 {
    let begins = format!("mesh_config_staleness_seconds{{kind=\"{kind}\"}} ");
    let text = proxy.metrics();
    let sample = text.lines().find_map(|line| line.strip_prefix(&begins)).expect("it is there");
    sample.parse().unwrap()
}

#[tokio::test]
async fn a_watermark_proves_every_kind_but_those_that_the_controller_has_lost() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    let lost = Lost { kind: ResourceKind::Endpoints.into(), for_ms: 3_600_000 };
    let first = Watermark { lost: vec![lost], ..watermark(1) };
    talk.update(Update { watermark: Some(first), ..answer(1, 1, &[mesh(false)]) }).await;
    talk.ack().await;
    assert!(staleness(&proxy, "routes") < YOUNG);
    // Nothing was proved yet that is newer than the process, so it is as old as that: less than an hour.
    assert!(staleness(&proxy, "endpoints") < YOUNG);
    assert!(proxy.metrics().contains("mesh_config_connected 1"));
}

#[tokio::test]
async fn a_wall_clock_makes_nothing_new_that_says_nothing_else_than_it() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    // Of a controller that is older, and whose clock is an hour ahead; then one that is an hour behind. Neither makes it older than it is.
    let now = Clock::default().now_ms();
    for sent_ms in [now + 3_600_000, now - 3_600_000] {
        say(&talk, Watermark { sent_ms, ..watermark(0) }).await;
    }
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    assert!(staleness(&proxy, "endpoints") < YOUNG);
}

#[tokio::test]
async fn what_is_held_as_told_is_confirmed_and_nothing_is_sent() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 7, &[mesh(false)])).await;
    talk.ack().await;
    say(&talk, proof(30_001, &[mesh(false)])).await;
    let ack = talk.ack().await;
    assert_eq!((ack.nonce, ack.agreed_stream_ms), (7, 30_001));
    assert!(proxy.metrics().contains("mesh_config_resyncs_total 0"));
}

#[tokio::test]
async fn what_was_lost_on_the_way_is_noticed_and_heals() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    let asked = async {
        talk.subscribe().await;
        talk.update(answer(2, 2, &cart())).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.find("cart"), asked);
    found.unwrap();
    // The controller believes that it has told of a second endpoint, and nothing of that has come.
    let told = [mesh(false), service("cart"), endpoints("cart", &[1, 2])];
    say(&talk, proof(30_001, &told)).await;
    let doubt = talk.subscribe().await;
    let mut held = doubt.holding.expect("all that is held").held;
    held.sort_by(|a, b| a.name.cmp(&b.name));
    let expected: Vec<_> = [endpoints("cart", &[1]), mesh(false), service("cart")]
        .map(|resource| (resource.name(), resource.version()))
        .into();
    assert_eq!(held.into_iter().map(|held| (held.name, held.version)).collect::<Vec<_>>(), expected);
    let missing = Update { watermark: Some(proof(30_002, &told)), ..answer(doubt.sequence, 3, &told[2..]) };
    talk.update(missing).await;
    let ack = talk.ack().await;
    assert_eq!((ack.nonce, ack.agreed_stream_ms), (3, 30_002));
    proxy.until(|s| s.endpoints(&name("cart")).is_some_and(|e| e.port(80).len() == 2)).await;
    assert!(proxy.metrics().contains("mesh_config_resyncs_total 1"), "{}", proxy.metrics());
}

#[tokio::test]
async fn a_rejected_resource_is_no_difference_and_makes_its_kind_old() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    let bad = bad(&endpoints("cart", &[7]));
    let mut told: Checksum = [(mesh(false).name(), mesh(false).version())].into_iter().collect();
    told.add(&bad.name, &bad.version);
    let mut first = answer(1, 1, &[mesh(false)]);
    first.resources.push(bad);
    first.watermark = Some(Watermark { checksum: told.sum, resources: told.resources, ..watermark(5) });
    talk.update(first).await;
    let ack = talk.ack().await;
    assert_eq!((ack.rejects.len(), ack.agreed_stream_ms), (1, 5));
    assert!(proxy.metrics().contains("mesh_config_resyncs_total 0"));
}

#[tokio::test]
async fn a_service_of_which_nobody_is_reached_is_asked_for_anew_once_however_many_calls_fail() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let proxy = proxy(&ca, controller.address);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    let asked = async {
        talk.subscribe().await;
        talk.update(answer(2, 2, &cart())).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.find("cart"), asked);
    found.unwrap();
    for _ in 0..100 {
        proxy.discovery.unreachable(&name("cart"));
    }
    // Of one that is not subscribed nothing is asked.
    proxy.discovery.unreachable(&name("stock"));
    let again = talk.subscribe().await;
    assert_eq!((names(&again.again), again.add.len(), again.holding), (vec!["cart"], 0, None));
    talk.update(answer(again.sequence, 3, &[service("cart"), endpoints("cart", &[2])])).await;
    assert_eq!(talk.ack().await.nonce, 3);
    proxy
        .until(|s| {
            s.endpoints(&name("cart"))
                .is_some_and(|e| e.port(80)[0].address.ip() != std::net::IpAddr::from([127, 0, 0, 1]))
        })
        .await;
    assert!(proxy.metrics().contains("mesh_config_asked_again_total 1"), "{}", proxy.metrics());
}

#[tokio::test]
async fn a_stream_that_does_not_answer_though_nobody_is_reached_is_given_up_soon() {
    let ca = TestCa::new("amime.test");
    let mut controller = Controller::start(&ca);
    let tuning = Tuning { answer: Duration::from_millis(20), ..Tuning::default() };
    let proxy = tuned(&ca, controller.address, tuning);
    let mut talk = controller.config().await;
    talk.hello().await;
    talk.update(answer(1, 1, &[mesh(false)])).await;
    talk.ack().await;
    let asked = async {
        talk.subscribe().await;
        talk.update(answer(2, 2, &cart())).await;
        talk.ack().await;
    };
    let (found, ()) = tokio::join!(proxy.find("cart"), asked);
    found.unwrap();
    proxy.discovery.unreachable(&name("cart"));
    // Long before a stream is given up on which nothing comes.
    let mut again = controller.config().await;
    assert_eq!(names(&again.hello().await.destinations), ["cart"]);
}
