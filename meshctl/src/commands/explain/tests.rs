//! What `meshctl explain` says about requests to a shop: the text as snapshots, and what counts as a finding.

use std::path::Path;

use mesh_controller::sources::state::{Contents, DirState};

use super::*;

/// The shop of the task pages, with routes and mistakes of each kind.
const ROUTES: &str = include_str!("tests/routes.yaml");

struct World {
    objects: Objects,
}

fn world(more: &str) -> World {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tasks/shop.yaml");
    let files = vec![
        ("shop.yaml".into(), Contents::Bytes(std::fs::read(shop).unwrap())),
        ("routes.yaml".into(), Contents::Bytes(more.into())),
    ];
    World { objects: Objects::of(DirState::default(), files, "objects".to_owned()).unwrap() }
}

/// Without the breaks of lines.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl World {
    fn ask(&self, url: &str, headers: &[&str], namespace: &str) -> (String, bool) {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        let question = Question::parse(None, url, &headers).unwrap();
        let caller = Caller::of(&self.objects, Some(namespace), None, None).unwrap();
        let answer = Answer::find(&self.objects, &question, &caller);
        let text = view::text(&answer, Paint::Plain);
        let json = json::json(&answer);
        assert_eq!(json["fine"], answer.is_fine());
        for line in text.lines() {
            assert_eq!(line, line.trim_end());
        }
        (text, answer.is_fine())
    }
}

#[test]
fn a_request_that_goes_to_one_of_several_backends() {
    let (text, fine) = world(ROUTES).ask("http://reviews.shop/list?x=1", &[], "shop");
    insta::assert_snapshot!(text);
    assert!(!fine, "a backend of the rule does not exist");
}

#[test]
fn filters_change_what_the_backend_sees() {
    let (text, _) = world(ROUTES).ask("http://reviews/beta/x", &[], "shop");
    insta::assert_snapshot!(text);
}

#[test]
fn a_redirect_calls_no_backend() {
    let (text, _) = world(ROUTES).ask("http://reviews/old", &[], "shop");
    assert!(text.contains("answered 301 with Location http://reviews/list"), "{text}");
}

#[test]
fn no_rule_that_fits_is_a_failure_with_its_code() {
    let (text, fine) = world(ROUTES).ask("http://reviews/other", &[], "shop");
    insta::assert_snapshot!(text);
    assert!(!fine);
}

#[test]
fn routes_of_the_callers_namespace_replace_those_of_the_service() {
    let (text, fine) = world(ROUTES).ask("http://reviews.shop/other", &[], "lab");
    assert!(text.contains("  taken         httproute/lab/mine#0:"), "{text}");
    assert!(flat(&text).contains("reviews: the caller's namespace has routes of its own"), "{text}");
    assert!(fine, "{text}");
}

#[test]
fn a_grpc_call_is_routed_by_service_and_method() {
    let (text, fine) = world(ROUTES).ask("grpc://cart:9000/shop.Cart/Get", &[], "shop");
    assert!(text.contains("  taken         grpcroute/shop/cart#0: service shop.Cart, method Get"), "{text}");
    assert!(fine, "{text}");
    let (text, fine) = world(ROUTES).ask("grpc://cart:9000/shop.Cart/Put", &[], "shop");
    assert!(text.contains("the mesh answers 404 no_route") && !fine, "{text}");
}

#[test]
fn a_host_that_is_no_service_leads_to_the_one_that_was_meant() {
    let (text, fine) = world(ROUTES).ask("http://reviews/", &[], "default");
    insta::assert_snapshot!(text);
    assert!(fine, "it may leave the mesh");
    let (text, fine) = world(ROUTES).ask("http://reviews.nowhere.svc/", &[], "default");
    assert!(text.contains("the mesh answers 502 unknown_destination") && !fine, "{text}");
    let (text, fine) = world(ROUTES).ask("http://reviews.shop:81/", &[], "default");
    assert!(flat(&text).contains("service shop/reviews has no port 81; it has 80") && !fine, "{text}");
}

#[test]
fn a_port_of_bytes_has_no_routes() {
    let tcp = "{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {ports: [{port: 5432, appProtocol: tcp}]}}";
    let (text, fine) = world(tcp).ask("http://db.shop:5432/", &[], "shop");
    assert!(text.contains("carried as bytes") && !text.contains("\nRoute\n") && fine, "{text}");
}

#[test]
fn an_object_that_is_not_in_force_is_a_finding_and_told_with_its_line() {
    let (text, fine) = world("kind: Nonsense\napiVersion: v1\n").ask("http://web.shop/", &[], "shop");
    assert!(text.contains("  not ok        routes.yaml:1"), "{text}");
    assert!(!fine);
}

#[test]
fn json_has_every_field() {
    let world = world(ROUTES);
    let question = Question::parse(None, "http://reviews.shop/list", &[]).unwrap();
    let caller = Caller::of(&world.objects, None, Some("web"), None).unwrap();
    let answer = Answer::find(&world.objects, &question, &caller);
    insta::assert_json_snapshot!(json::json(&answer));
}

#[test]
fn no_line_is_longer_than_80_columns() {
    let world = world(ROUTES);
    for url in ["http://reviews.shop/list", "http://reviews.shop/beta", "http://web.shop/", "http://x.test/"]
    {
        let question = Question::parse(None, url, &[]).unwrap();
        let caller = Caller::of(&world.objects, Some("shop"), None, None).unwrap();
        let text = view::text(&Answer::find(&world.objects, &question, &caller), Paint::Plain);
        assert_eq!(text.lines().find(|line| line.chars().count() > view::WIDTH), None);
    }
}
