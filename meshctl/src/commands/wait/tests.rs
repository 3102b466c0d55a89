//! What is waited for, when it is so, and what is said when it is not.

use mesh_proto::inspect::v1::{Condition, Lack, LackCause, ObjectStatus, ProxySync, RejectedResource};

use super::*;

const ROUTE: &str = "HTTPRoute shop/reviews";

fn proxy(workload: &str, acked_revision: u64, lacks: &[(&str, LackCause)]) -> ProxySync {
    let lack = |(resource, cause): &(&str, LackCause)| Lack {
        resource: (*resource).to_owned(),
        cause: (*cause).into(),
        for_ms: 3_200,
    };
    ProxySync {
        namespace: "shop".into(),
        workload: workload.into(),
        instance: "1".into(),
        connected: true,
        sent_revision: acked_revision,
        acked_revision,
        lacks: lacks.iter().map(lack).collect(),
        lacking: u32::try_from(lacks.len()).unwrap(),
        ..ProxySync::default()
    }
}

fn answer(proxies: Vec<ProxySync>) -> SyncResponse {
    let object = ObjectStatus { object: ROUTE.into(), origin: "a.yaml:3".into(), ..ObjectStatus::default() };
    let gone = ObjectStatus { object: "Workload shop/lost".into(), ..ObjectStatus::default() };
    SyncResponse { revision: 7, proxies, objects: vec![object, gone], ..SyncResponse::default() }
}

fn verdict(goal: &Goal, answer: SyncResponse) -> Verdict {
    judge::judge(goal, &[7], &[answer])
}

fn one() -> Goal {
    Goal::Object(ROUTE.to_owned())
}

const UNSENT: (&str, LackCause) = ("endpoints/shop/cart", LackCause::Unsent);
const UNCONFIRMED: (&str, LackCause) = ("httproute/shop/reviews", LackCause::Unconfirmed);

#[test]
fn the_object_is_written_as_objects_are_named_and_a_kind_in_any_case() {
    let of = |object: &str| goal(None, Some(object)).map_err(|error| error.to_string());
    assert_eq!(of("httproute/shop/reviews").unwrap(), one());
    assert!(
        of("route/shop/reviews")
            .unwrap_err()
            .starts_with("`route` is no kind of the mesh; it knows Service,")
    );
    assert_eq!(
        of("reviews").unwrap_err(),
        "`reviews` is not KIND/NAMESPACE/NAME, such as httproute/shop/reviews"
    );
    assert_eq!(goal(Some(State::Synced), None).unwrap(), Goal::All);
    assert!(goal(Some(State::Synced), Some("service/a/b")).is_err());
    assert!(goal(Some(State::Programmed), None).is_err());
}

#[test]
fn what_was_edited_after_the_question_is_not_waited_for() {
    // It had all of revision 7, and lacks something of a later one.
    assert_eq!(verdict(&Goal::All, answer(vec![proxy("web", 7, &[UNSENT])])), Verdict::Done);
    assert!(matches!(verdict(&Goal::All, answer(vec![proxy("web", 6, &[UNSENT])])), Verdict::Waiting(_)));
    assert_eq!(verdict(&Goal::All, answer(vec![])), Verdict::Done, "only who lacks something is told of");
}

#[test]
fn who_left_is_not_waited_for_and_who_is_away_is() {
    let away = |workload: &str| ProxySync { connected: false, ..proxy(workload, 7, &[]) };
    assert_eq!(verdict(&Goal::All, answer(vec![away("ended")])), Verdict::Done);
    let Verdict::Waiting(missing) = verdict(&Goal::All, answer(vec![away("lost")])) else {
        panic!("not missed")
    };
    assert_eq!(missing[0].to_string(), "lost.shop is not connected");
}

#[test]
fn what_cannot_come_to_be_is_not_waited_for() {
    let reject = RejectedResource {
        resource: "httproute/shop/reviews".into(),
        field: "rules[0]".into(),
        reason: "unknown filter".into(),
    };
    let rejecting = ProxySync { rejects: vec![reject], ..proxy("web", 7, &[]) };
    let told = "web.shop rejects httproute/shop/reviews: rules[0]: unknown filter".to_owned();
    assert_eq!(verdict(&one(), answer(vec![rejecting])), Verdict::Never(vec![told]));
    let mut refused = answer(vec![]);
    refused.objects[0].conditions = vec![Condition {
        r#type: "ResolvedRefs".into(),
        message: "there is no Service shop/reviews-v3".into(),
        ..Condition::default()
    }];
    let told =
        "HTTPRoute shop/reviews (a.yaml:3): ResolvedRefs: there is no Service shop/reviews-v3".to_owned();
    assert_eq!(verdict(&one(), refused.clone()), Verdict::Never(vec![told]));
    // Of all objects it is waited for what results from them, whatever is wrong with them.
    assert_eq!(verdict(&Goal::All, refused), Verdict::Done);
    let unknown = Goal::Object("HTTPRoute shop/other".into());
    assert_eq!(verdict(&unknown, answer(vec![])), Verdict::NoObject("HTTPRoute shop/other".into()));
}

#[test]
fn every_end_in_words_and_as_json() {
    let all = [
        proxy("web", 6, &[UNCONFIRMED, UNSENT]),
        proxy("slow", 6, &[("service/shop/a", LackCause::Surplus)]),
        proxy("new", 0, &[]),
    ];
    let mut crowd = all.to_vec();
    crowd.push(ProxySync { lacking: 1, ..proxy("odd", 3, &[]) });
    crowd.extend((0..30).map(|number| proxy(&format!("crowd-{number}"), 6, &[UNSENT])));
    let response = answer(crowd);
    let Verdict::Waiting(missing) = verdict(&Goal::All, response.clone()) else { panic!("not missing") };
    let late = Ended::Late(missing);
    let few = Ended::Late(match verdict(&one(), answer(all.to_vec())) {
        Verdict::Waiting(missing) => missing,
        other => panic!("{other:?}"),
    });
    let never =
        Ended::Never(vec!["web.shop rejects httproute/shop/reviews: rules[0]: unknown filter".into()]);
    let text = [
        Ended::Done.text(&Goal::All, 60),
        Ended::Done.text(&one(), 60),
        late.text(&Goal::All, 60),
        few.text(&one(), 5),
        never.text(&one(), 60),
    ];
    insta::assert_snapshot!(text.join("\n"));
    insta::assert_json_snapshot!(few.json(&one(), &[response], Duration::from_millis(5_010)));
}
