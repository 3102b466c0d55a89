//! Whether a proxy holds what it was told, what it lacks, and what it may ask for.

use super::*;

fn at(secs: u64) -> Now {
    Now { stream: Duration::from_secs(secs), ..Now::default() }
}

fn update(session: &mut Session, snapshot: &Snapshot, secs: u64) -> u64 {
    match session.next_update(snapshot, at(secs)) {
        Some(Outgoing::Update { rest, .. }) => rest.nonce,
        other => panic!("no update: {other:?}"),
    }
}

fn held(session: &Session) -> Vec<Held> {
    let told = session.told.iter();
    told.map(|(name, told)| Held { name: name.to_string(), version: told.version.to_string() }).collect()
}

#[test]
fn a_proxy_that_does_not_hold_what_it_was_told_is_sent_what_is_missing_different_or_too_much() {
    let (snapshot, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    let nonce = update(&mut session, &snapshot, 0);
    ack(&mut session, nonce);
    let believed = session.checksum();
    let mut really = held(&session);
    really.retain(|held| held.name != "endpoints/shop/v1");
    really
        .iter_mut()
        .filter(|held| held.name == "httproute/shop/web")
        .for_each(|held| held.version = "old".into());
    really.push(Held { name: "service/shop/gone".into(), version: "1".into() });
    let differs: mesh_proto::held::Checksum = really.iter().map(|held| (&held.name, &held.version)).collect();
    assert_ne!(believed, differs);
    let holding = Some(mesh_proto::config::v1::Holding { held: really });
    let subscribe = Subscribe { sequence: 2, holding, ..Subscribe::default() };
    session.subscribe(subscribe.clone(), Duration::from_secs(30)).unwrap();
    assert_eq!(next(&mut session, &snapshot), "2 +endpoints/shop/v1 +httproute/shop/web -service/shop/gone");
    assert_eq!((session.checksum(), session.resyncs()), (believed, 1));
    // It costs as much as a new stream, and is not taken as often as a proxy likes.
    let soon = session.subscribe(Subscribe { sequence: 3, ..subscribe.clone() }, Duration::from_secs(34));
    assert_eq!(soon, Err(Refused::Resync));
    let later = session.subscribe(Subscribe { sequence: 4, ..subscribe }, Duration::from_secs(35));
    assert_eq!(later, Ok(()));
}

#[test]
fn what_a_proxy_holds_is_bounded_whenever_it_says_so() {
    let mut session = session(&[]);
    let held = vec![Held::default(); MAX_HELD + 1];
    let holding = Some(mesh_proto::config::v1::Holding { held });
    let refused = session.subscribe(Subscribe { holding, ..Subscribe::default() }, Duration::ZERO);
    assert_eq!(refused, Err(Refused::Held(MAX_HELD + 1)));
}

#[test]
fn a_service_that_is_asked_for_anew_is_told_anew_with_its_endpoints_and_nothing_else() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["v1"]);
    let nonce = update(&mut session, &first, 0);
    ack(&mut session, nonce);
    let again =
        |name: &str, sequence| Subscribe { sequence, again: vec![destination(name)], ..Subscribe::default() };
    session.subscribe(again("v1", 2), Duration::ZERO).unwrap();
    assert_eq!(next(&mut session, &first), "2 +endpoints/shop/v1 +service/shop/v1");
    // Of what it does not have there is nothing to be told, but an answer.
    session.subscribe(again("v2", 3), Duration::ZERO).unwrap();
    assert_eq!(next(&mut session, &first), "3");
    // One that is gone meanwhile is taken back.
    session.subscribe(again("v1", 4), Duration::ZERO).unwrap();
    let (without, _) =
        snapshot(&SHOP.replace("name: v1, namespace: shop", "name: v9, namespace: shop"), 2, Some(&first));
    assert_eq!(next(&mut session, &without), "4 -endpoints/shop/v1 -service/shop/v1 ?shop/v1");
}

#[test]
fn what_a_proxy_lacks_is_told_with_the_cause_and_since_when() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    let lacks = |session: &Session, snapshot: &Snapshot, now, unsent| {
        let lacks = session.lacks(snapshot, Duration::from_secs(now), Duration::from_secs(unsent));
        let line = |lack: &Lack| format!("{} {:?} {}", lack.resource, lack.cause, lack.age.as_secs());
        lacks.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(lacks(&session, &first, 3, 3).len(), 10, "nothing was sent yet");
    let nonce = update(&mut session, &first, 3);
    assert!(lacks(&session, &first, 5, 0).iter().all(|line| line.ends_with(" Unconfirmed 2")));
    ack(&mut session, nonce);
    assert_eq!(lacks(&session, &first, 9, 0), Vec::<String>::new());
    assert!(!session.is_owed());
    let (second, _) = snapshot(&SHOP.replace("weight: 90", "weight: 50"), 2, Some(&first));
    assert_eq!(lacks(&session, &second, 12, 1), ["httproute/shop/web Unsent 1"]);
    let nonce = update(&mut session, &second, 12);
    let reject = Reject { resource: "httproute/shop/web".into(), ..Reject::default() };
    session.ack(Ack { nonce, rejects: vec![reject], ..Ack::default() });
    assert_eq!(lacks(&session, &second, 20, 0), ["httproute/shop/web Rejected 8"]);
    // Another form that it may be able to use does not make it newer than it is.
    let (third, _) = snapshot(&SHOP.replace("weight: 90", "weight: 60"), 3, Some(&second));
    update(&mut session, &third, 22);
    assert_eq!(lacks(&session, &third, 25, 0), ["httproute/shop/web Unconfirmed 13"]);
    session
        .subscribe(Subscribe { remove: vec![destination("web")], ..Subscribe::default() }, Duration::ZERO)
        .unwrap();
    let surplus = lacks(&session, &third, 26, 1);
    assert_eq!(surplus.len(), 7, "{surplus:?}");
    assert!(surplus.iter().all(|line| line.ends_with(" Surplus 1")), "{surplus:?}");
}

#[test]
fn acks_cost_no_more_than_what_was_sent_however_many_come() {
    let (first, _) = snapshot(SHOP, 1, None);
    let mut session = session(&["web"]);
    let nonce = update(&mut session, &first, 0);
    // From the future: it confirms what was sent, and no more.
    ack(&mut session, u64::MAX);
    assert_eq!((session.heard, session.acked_revision()), (nonce, 1));
    let (second, _) = snapshot(&SHOP.replace("weight: 90", "weight: 50"), 2, Some(&first));
    let nonce = update(&mut session, &second, 0);
    ack(&mut session, nonce - 1);
    assert!(session.waits_for_ack(), "an old one confirms nothing new");
    session.ack(Ack { nonce, agreed_stream_ms: 30_000, ..Ack::default() });
    session.ack(Ack { nonce, agreed_stream_ms: 20_000, ..Ack::default() });
    assert_eq!((session.agreed(), session.is_owed()), (Some(Duration::from_secs(30)), false));
}
