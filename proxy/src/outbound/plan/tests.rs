//! Facts about what becomes of a request. Matching itself is tested in the model.

use std::sync::{Arc, LazyLock};

use mesh_model::name::{Name, ServiceName};
use mesh_model::route::table::RouteTable;
use mesh_model::route::{
    Backend, BackendTarget, Filter, HeaderEdit, Match, ParentRef, PathMatch, PathRewrite, Redirect, Route,
    RouteId, RouteKind, Rule, Target, TextMatch, Timeouts, UrlRewrite, ValueMatch,
};

use super::{Outcome, Plan, plan};
use crate::http::{Form, Headers, Kind, RequestHead, Wire};
use crate::telemetry::Failure;

fn head(path: &str) -> Box<RequestHead> {
    Box::new(RequestHead {
        method: http::Method::GET,
        target: path.parse().unwrap(),
        authority: "cart".into(),
        headers: Headers::new(),
        wire: Wire::Http1,
        form: Form::Origin,
        kind: Kind::Http,
        upgrade: None,
        interim: crate::http::Interim::nowhere(),
    })
}

fn service(name: &str) -> ServiceName {
    ServiceName::new("shop", name).unwrap()
}

fn backend(target: BackendTarget, weight: u32) -> Backend {
    Backend { target, weight, filters: vec![], takes: vec![] }
}

fn to(name: &str) -> BackendTarget {
    BackendTarget::Service { service: service(name), port: 80 }
}

fn table(filters: Vec<Filter>, backends: Vec<Backend>) -> RouteTable {
    let rule = Rule {
        name: None,
        matches: vec![Match {
            target: Target::Http { path: PathMatch::Prefix("/v1".into()), method: None, query: vec![] },
            headers: vec![],
        }],
        filters,
        backends,
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
    };
    let route = Route {
        id: RouteId { kind: RouteKind::Http, name: Name::new("shop", "cart").unwrap() },
        parents: vec![ParentRef { service: service("cart"), port: None }],
        rules: vec![rule],
        created: 0,
        origin: String::new(),
    };
    RouteTable::build(&service("cart"), 80, "shop", &[Arc::new(route)], &[])
}

static CART: LazyLock<ServiceName> = LazyLock::new(|| service("cart"));

fn planned<'a>(table: Option<&'a RouteTable>, head: &mut RequestHead, random: u64) -> Plan<'a> {
    plan(
        table,
        &CART,
        80,
        head,
        |_, _| crate::outbound::affinity::Lot { place: random, cookie: None },
        |_, _, _, _| false,
    )
}

fn failure(outcome: &Outcome<'_>) -> Option<Failure> {
    match outcome {
        Outcome::Fault(fault) => Some(fault.failure),
        Outcome::Backend { .. } | Outcome::Redirect(_) | Outcome::Preflight(_) => None,
    }
}

#[test]
fn without_a_route_the_service_itself_is_the_backend() {
    let plan = planned(None, &mut head("/x"), 0);
    assert!(matches!(plan.outcome, Outcome::Backend { service: s, port: 80 } if *s == *CART));
    assert!(plan.label.is_none());
}

#[test]
fn a_request_that_fits_no_rule_has_no_route() {
    let table = table(vec![], vec![backend(to("a"), 1)]);
    assert_eq!(failure(&planned(Some(&table), &mut head("/v2"), 0).outcome), Some(Failure::NoRoute));
}

#[test]
fn an_invalid_backend_fails_its_share_only() {
    let invalid = BackendTarget::Invalid { reference: "gone".into(), reason: "there is none".into() };
    let table = table(vec![], vec![backend(to("a"), 1), backend(invalid, 1)]);
    assert_eq!(failure(&planned(Some(&table), &mut head("/v1"), 0).outcome), None);
    assert_eq!(
        failure(&planned(Some(&table), &mut head("/v1"), u64::MAX).outcome),
        Some(Failure::BackendInvalid)
    );
}

#[test]
fn a_request_with_the_header_of_a_cohort_goes_to_its_backend_whatever_the_weights() {
    let beta = ValueMatch { name: "x-group".into(), value: TextMatch::Exact("beta".into()) };
    let new = Backend { takes: vec![beta], ..backend(to("b"), 0) };
    let table = table(vec![], vec![backend(to("a"), 1), new]);
    let mut of_cohort = head("/v1");
    of_cohort.headers.append("x-group", b"beta").unwrap();
    for (mut head, name) in [(of_cohort, "b"), (head("/v1"), "a")] {
        let plan = planned(Some(&table), &mut head, 0);
        let Outcome::Backend { service, .. } = plan.outcome else { panic!("no backend") };
        assert_eq!(service.0.name(), name);
    }
}

#[test]
fn a_rule_without_a_weight_has_no_backend() {
    for backends in [vec![], vec![backend(to("a"), 0)]] {
        let table = table(vec![], backends);
        assert_eq!(failure(&planned(Some(&table), &mut head("/v1"), 0).outcome), Some(Failure::NoBackend));
    }
}

#[test]
fn filters_edit_the_head_and_keep_response_edits_for_later() {
    let edit = |value: &str| HeaderEdit { set: vec![("x-a".into(), value.into())], ..HeaderEdit::default() };
    let rewrite =
        UrlRewrite { hostname: Some("new.host".into()), path: Some(PathRewrite::Prefix("/v9".into())) };
    let filters =
        vec![Filter::RequestHeaders(edit("1")), Filter::Rewrite(rewrite), Filter::ResponseHeaders(edit("2"))];
    let table = table(filters, vec![backend(to("a"), 1)]);
    let mut head = head("/v1/items?q=1");
    let plan = planned(Some(&table), &mut head, 0);
    assert_eq!(
        (head.target.as_str(), head.authority.as_str(), head.header("x-a")),
        ("/v9/items?q=1", "new.host", Some("1"))
    );
    assert_eq!(plan.response.as_slice(), [&edit("2")]);
    assert_eq!(plan.label.map(|label| &**label), Some("httproute/shop/cart#0"));
}

#[test]
fn a_redirect_needs_no_backend() {
    let filter = Filter::Redirect(Redirect {
        scheme: Some("https".into()),
        hostname: None,
        path: None,
        port: None,
        status: 301,
    });
    let table = table(vec![filter], vec![]);
    let plan = planned(Some(&table), &mut head("/v1?a=b"), 0);
    assert!(
        matches!(plan.outcome, Outcome::Redirect(r) if r.status == 301 && r.location == "https://cart/v1?a=b")
    );
}
