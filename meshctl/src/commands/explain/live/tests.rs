//! What is sent, which spans are ours, and what counts as a difference.

use mesh_proto::report::v1::{Security, Timings};
use serde_json::json;

use super::*;
use crate::output::Paint;

fn span(side: Side, id: u8, parent: u8) -> Span {
    Span {
        side: side.into(),
        span_id: vec![id; 8].into(),
        parent_span_id: vec![parent; 8].into(),
        source_workload: "web".into(),
        destination_workload: "cart-1".into(),
        endpoint: "127.7.0.3:15006".into(),
        route: "httproute/shop/cart#0".into(),
        security: Security::Mtls.into(),
        status: 200,
        duration_us: 9_000,
        first_byte_us: 8_500,
        timings: Some(Timings {
            discover_us: 100,
            connect_us: 3_000,
            tls_us: 2_000,
            upstream_us: 5_000,
            ..Timings::default()
        }),
        attempts_made: 1,
        ..Span::default()
    }
}

fn live() -> Live {
    let (outbound, inbound) = hop(
        vec![
            span(Side::Inbound, 3, 2),
            span(Side::Outbound, 4, 3),
            span(Side::Outbound, 2, 1),
            span(Side::Inbound, 5, 4),
        ],
        &[1; 8],
    );
    Live {
        trace_id: [9; 16],
        through: "127.7.0.2:15001".into(),
        status: 200,
        outbound,
        inbound,
        ..Live::default()
    }
}

fn explained() -> Value {
    json!({ "result": { "kind": "sent" }, "route": { "taken": { "rule": "httproute/shop/cart#0" } }, "authorization": [] })
}

#[test]
fn the_hop_of_our_own_request_is_found_among_what_the_application_asked() {
    let live = live();
    assert_eq!(
        (live.outbound.unwrap().span_id, live.inbound.unwrap().span_id),
        (vec![2; 8].into(), vec![3; 8].into())
    );
    assert_eq!(hop(vec![span(Side::Outbound, 2, 7)], &[1; 8]), (None, None));
}

#[test]
fn the_request_carries_a_trace_that_is_to_be_told() {
    let question =
        Question::parse(Some("PUT"), "http://cart.shop/a?b=1", &["X-User: ann".to_owned()]).unwrap();
    insta::assert_snapshot!(request(&question, &[1; 16], [2; 8]).replace('\r', ""));
    assert_eq!(
        read(b"HTTP/1.1 503 X\r\nX-Mesh-Failure: no_route\r\n\r\nx-mesh-failure: no"),
        (503, "no_route".to_owned())
    );
    assert_eq!(read(b""), (0, String::new()));
}

#[test]
fn what_is_not_as_explained_is_said() {
    let differs = |edit: &dyn Fn(&mut Live, &mut Value)| {
        let (mut live, mut explained) = (live(), explained());
        edit(&mut live, &mut explained);
        differences(&live, &explained).join("; ")
    };
    assert_eq!(differs(&|_, _| {}), "");
    assert_eq!(
        differs(&|live, _| live.failure = "connect_failed".into()),
        "the mesh failed it: connect_failed; `meshctl why` says from what"
    );
    let failing = json!({ "kind": "failure", "code": "no_route" });
    assert_eq!(
        differs(&|_, told| told["result"] = failing.clone()),
        "no_route was explained, and the answer is 200"
    );
    assert_eq!(
        differs(&|live, told| (live.failure, told["result"]) = ("no_route".into(), failing.clone())),
        ""
    );
    assert!(
        differs(&|live, _| live.outbound.as_mut().unwrap().route = String::new())
            .contains("and none was taken")
    );
    assert!(differs(&|live, _| live.inbound = None).contains("callee's sidecar did not report"));
    assert!(differs(&|live, _| live.outbound = None).contains("caller's sidecar did not report"));
    let refused = json!([{ "verdict": "refused", "mirror": false }]);
    assert!(differs(&|_, told| told["authorization"] = refused.clone()).contains("it was let in"));
    assert_eq!(
        differs(
            &|live, told| (live.failure, told["authorization"]) = ("policy_denied".into(), refused.clone())
        ),
        ""
    );
}

#[test]
fn stages_are_told_of_both_sidecars() {
    insta::assert_snapshot!(text(&live(), Paint::Plain));
}

#[test]
fn json_has_every_field() {
    insta::assert_json_snapshot!(json(&live()));
}
