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
        workload: "web.shop".into(),
        way: TrialWay::Capture,
        address: "10.96.0.7:9000".into(),
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

fn asked(method: &str, url: &str, headers: &[&str]) -> anyhow::Result<Trial> {
    let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
    let question = Question::parse(Some(method), url, &headers).unwrap();
    trial(&question, [1; 16], [2; 8])
}

#[test]
fn the_request_is_the_one_that_was_explained_with_a_trace() {
    let trial = asked("GET", "http://Cart.shop:9000/a/../b?c=1", &["X-User: ann"]).unwrap();
    assert_eq!(
        (trial.method.as_str(), trial.authority.as_str(), trial.target.as_str()),
        ("GET", "cart.shop:9000", "/b?c=1")
    );
    let headers: Vec<_> = trial.headers.iter().map(|one| (one.name.as_str(), one.value.as_str())).collect();
    assert_eq!(headers, [("x-user", "ann")]);
    assert_eq!((&trial.trace_id[..], &trial.parent_span_id[..]), (&[1; 16][..], &[2; 8][..]));
}

#[test]
fn what_may_change_something_is_not_sent() {
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let error = asked(method, "http://cart.shop/", &[]).unwrap_err().to_string();
        assert!(error.contains(&format!("without --live {method} is explained")), "{error}");
    }
    assert!(asked("POST", "grpc://cart.shop:9000/shop.Cart/Get", &[]).is_ok());
    let error = asked("GET", "http://cart.shop/", &["traceparent: x"]).unwrap_err().to_string();
    assert!(error.contains("`traceparent`"), "{error}");
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
    assert!(differs(&|live, _| live.outbound = None).contains("caller's sidecar reported no request"));
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
