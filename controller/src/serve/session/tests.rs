//! What a proxy is told, over time.

use mesh_proto::config::v1::{Held, Reject};

use super::*;
use crate::serve::snapshot::News;
use crate::serve::snapshot::tests::{SHOP, snapshot};

fn proxy(namespace: &str) -> Proxy {
    Proxy {
        namespace: namespace.into(),
        workload: "client".into(),
        instance: "1".into(),
        version: "test".into(),
        spiffe_id: SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/client").unwrap(),
    }
}

fn destination(name: &str) -> Destination {
    Destination { namespace: "shop".into(), name: name.into() }
}

fn session(destinations: &[&str]) -> Session {
    let destinations = destinations.iter().map(|name| destination(name)).collect();
    Session::new(proxy("shop"), Hello { destinations, ..Hello::default() }).unwrap()
}

/// `NONCE +resource -removed ?unknown`, empty if nothing is to be told.
fn next(session: &mut Session, snapshot: &Snapshot) -> String {
    match session.next_update(snapshot, 0) {
        None | Some(Outgoing::Watermark(_)) => String::new(),
        Some(Outgoing::Update { resources, rest }) => {
            let mut parts = vec![rest.nonce.to_string()];
            parts.extend(resources.iter().map(|resource| format!("+{}", resource.name)));
            parts.extend(rest.removed.iter().map(|name| format!("-{name}")));
            parts.extend(
                rest.unknown.iter().map(|unknown| format!("?{}/{}", unknown.namespace, unknown.name)),
            );
            parts.join(" ")
        }
    }
}

fn ack(session: &mut Session, nonce: u64) {
    session.ack(Ack { nonce, rejects: vec![] });
}

#[test]
fn a_proxy_is_told_what_it_needs_and_then_only_what_changes() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    assert_eq!(
        next(&mut session, &first),
        "1 +endpoints/shop/v1 +endpoints/shop/v2 +endpoints/shop/web +httproute/shop/web +mesh +own +service/shop/v1 +service/shop/v2 +service/shop/web"
    );
    assert_eq!(next(&mut session, &first), "");
    let (edited, _) = snapshot(&SHOP.replace("weight: 90", "weight: 50"), 2, Some(&first));
    assert_eq!(next(&mut session, &edited), "2 +httproute/shop/web");
    ack(&mut session, 2);
    assert_eq!((session.sent_revision(), session.acked_revision()), (2, 2));
}

#[test]
fn a_proxy_is_told_what_its_workload_serves_and_when_that_changes() {
    let workload = "
---
{apiVersion: amime.io/v1alpha1, kind: Workload, metadata: {name: client, namespace: shop, labels: {app: LABEL}}, spec: {address: 127.7.0.9, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: own, namespace: shop}, spec: {selector: {app: client}, ports: [{port: 80}]}}
";
    let yaml = format!("{SHOP}{workload}");
    let (first, _) = snapshot(&yaml.replace("LABEL", "client"), 1, None);
    let mut session = session(&[]);
    assert_eq!(next(&mut session, &first), "1 +mesh +own");
    ack(&mut session, 1);
    let mut in_force = Vec::new();
    session.holdings(&first, |name, holding| in_force.push((name.to_string(), holding == Holding::InForce)));
    in_force.sort_unstable();
    assert_eq!(in_force, [("mesh".to_owned(), true), ("own".to_owned(), true)]);
    let (moved, news) = snapshot(&yaml.replace("LABEL", "other"), 2, Some(&first));
    assert_eq!(news, News::Some);
    assert_eq!(next(&mut session, &moved), "2 +own");
    let (back, _) = snapshot(&yaml.replace("LABEL", "client"), 3, Some(&moved));
    assert_eq!(next(&mut session, &back), "3 +own");
    let (same, news) = snapshot(&yaml.replace("LABEL", "client"), 4, Some(&back));
    assert_eq!((next(&mut session, &same), news), (String::new(), News::None));
    assert_eq!(next(&mut self::session(&[]), &moved), "1 +mesh +own", "who serves nothing is told so");
}

#[test]
fn a_revision_without_meaning_waits_for_no_answer() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    next(&mut session, &first);
    let (same, _) = snapshot(SHOP, 2, Some(&first));
    assert_eq!(next(&mut session, &same), "");
    assert_eq!((session.sent_revision(), session.acked_revision()), (2, 0), "the first update is still out");
    ack(&mut session, 1);
    assert_eq!((session.sent_revision(), session.acked_revision()), (2, 2));
    let (same, _) = snapshot(SHOP, 3, Some(&same));
    assert_eq!(next(&mut session, &same), "");
    assert_eq!((session.sent_revision(), session.acked_revision()), (3, 3));
}

#[test]
fn a_slow_proxy_gets_the_newest_state_and_nothing_between() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    next(&mut session, &first);
    let (_, _) = snapshot(&SHOP.replace("weight: 90", "weight: 50"), 2, Some(&first));
    let (back, _) = snapshot(SHOP, 3, Some(&first));
    assert_eq!(next(&mut session, &back), "", "changed and changed back");
}

#[test]
fn a_proxy_that_holds_everything_gets_an_empty_answer() {
    let (snapshot, _) = snapshot(SHOP, 1, None);
    let mut first = session(&["v1"]);
    next(&mut first, &snapshot);
    let own = snapshot.own(None).version.to_string();
    let held = ["mesh", "own", "service/shop/v1", "endpoints/shop/v1"].map(|name| Held {
        name: name.into(),
        version: snapshot.resource(name).map_or(own.clone(), |resource| resource.version.to_string()),
    });
    let stale = Held { name: "service/shop/gone".into(), version: "x".into() };
    let hello = |held: Vec<Held>| Hello { held, destinations: vec![destination("v1")], ..Hello::default() };
    let mut again = Session::new(proxy("shop"), hello(held.to_vec())).unwrap();
    assert_eq!(next(&mut again, &snapshot), "1");
    assert_eq!(next(&mut again, &snapshot), "");
    let mut with_stale =
        Session::new(proxy("shop"), hello(held.iter().cloned().chain([stale]).collect())).unwrap();
    assert_eq!(next(&mut with_stale, &snapshot), "1 -service/shop/gone");
}

#[test]
fn every_subscription_is_answered() {
    let (snapshot, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["v1"]);
    next(&mut session, &snapshot);
    session.subscribe(Subscribe { add: vec![destination("v1")], remove: vec![], sequence: 2 }).unwrap();
    assert!(session.owes_answer());
    let Some(Outgoing::Update { resources, rest }) = session.next_update(&snapshot, 0) else {
        panic!("no answer")
    };
    assert_eq!((resources.len(), rest.subscription), (0, 2));
    session.subscribe(Subscribe { add: vec![], remove: vec![destination("v1")], sequence: 3 }).unwrap();
    assert_eq!(next(&mut session, &snapshot), "3 -endpoints/shop/v1 -service/shop/v1");
}

#[test]
fn an_unknown_destination_is_told_once_and_comes_when_it_exists() {
    let (nothing, _) = snapshot("# none\n", 1, None);
    let mut session = session(&["web"]);
    assert_eq!(next(&mut session, &nothing), "1 +mesh +own ?shop/web");
    assert_eq!(next(&mut session, &nothing), "");
    session.subscribe(Subscribe { add: vec![destination("web")], remove: vec![], sequence: 2 }).unwrap();
    assert_eq!(next(&mut session, &nothing), "2 ?shop/web", "asked again, told again");
    let (shop, _) = snapshot(SHOP, 2, Some(&nothing));
    assert!(next(&mut session, &shop).contains("+service/shop/web"));
    let (gone, _) = snapshot("# none\n", 3, Some(&shop));
    let told = next(&mut session, &gone);
    assert!(told.contains("-service/shop/web") && told.ends_with("?shop/web"), "{told}");
}

#[test]
fn what_cannot_be_a_name_is_unknown() {
    let (nothing, _) = snapshot("# none\n", 1, None);
    let mut session = session(&["No_Name"]);
    assert_eq!(next(&mut session, &nothing), "1 +mesh +own ?shop/No_Name");
}

#[test]
fn a_reject_is_kept_until_the_resource_changes() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    next(&mut session, &first);
    let reject =
        |name: &str| Reject { resource: name.into(), field: "rules[0]".into(), reason: "strange".into() };
    let rejected = session
        .ack(Ack { nonce: 1, rejects: vec![reject("httproute/shop/web"), reject("service/never/sent")] });
    assert_eq!(rejected, 1);
    assert_eq!(
        session.rejects(),
        [Rejected {
            resource: "httproute/shop/web".into(),
            field: "rules[0]".into(),
            reason: "strange".into()
        }]
    );
    let mut behind = Vec::new();
    session.holdings(&first, |name, holding| {
        if holding == Holding::Behind {
            behind.push(name.to_string());
        }
    });
    assert_eq!(behind, ["httproute/shop/web"]);
    let (edited, _) = snapshot(&SHOP.replace("weight: 90", "weight: 50"), 2, Some(&first));
    next(&mut session, &edited);
    ack(&mut session, 2);
    assert_eq!(session.rejects(), []);
}

#[test]
fn an_old_ack_says_nothing_about_a_newer_update() {
    let (first, _) = snapshot(SHOP, 1, None);
    let (edited, _) = snapshot(&SHOP.replace("weight: 90", "weight: 50"), 2, Some(&first));
    let mut session = session(&["web"]);
    next(&mut session, &first);
    next(&mut session, &edited);
    ack(&mut session, 1);
    assert_eq!(session.acked_revision(), 1);
    let mut behind = 0;
    session.holdings(&edited, |_, holding| behind += u32::from(holding == Holding::Behind));
    assert_eq!(behind, 1, "the route of the second update");
    assert!(session.waits_for_ack());
}

#[test]
fn bounds_end_a_stream() {
    let many = |n: usize| (0..n).map(|i| destination(&format!("s{i}"))).collect::<Vec<_>>();
    let hello =
        |destinations, held| Session::new(proxy("shop"), Hello { destinations, held, ..Hello::default() });
    assert!(hello(many(MAX_DESTINATIONS), vec![]).is_ok());
    assert_eq!(
        hello(many(MAX_DESTINATIONS + 1), vec![]).unwrap_err(),
        Refused::Destinations(MAX_DESTINATIONS + 1)
    );
    let held = (0..=MAX_HELD).map(|i| Held { name: i.to_string(), version: String::new() }).collect();
    assert_eq!(hello(vec![], held).unwrap_err(), Refused::Held(MAX_HELD + 1));
    let mut session = hello(many(MAX_DESTINATIONS), vec![]).unwrap();
    assert!(
        session.subscribe(Subscribe { add: vec![destination("more")], remove: vec![], sequence: 2 }).is_err()
    );
}

#[test]
fn acks_that_never_come_take_no_memory() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    for n in 0..1_000 {
        let (edited, _) = snapshot(&SHOP.replace("weight: 90", &format!("weight: {n}")), n, Some(&first));
        next(&mut session, &edited);
    }
    assert!(session.pending.len() <= MAX_PENDING);
}
