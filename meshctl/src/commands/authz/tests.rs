//! Who may call what in a shop, as snapshots, and that no verdict differs from the one of the sidecar. They must not start a mesh.

use mesh_controller::sources::state::{Contents, DirState};
use mesh_proto::inspect::v1::{FailureCount, StatResponse, StatRow};

use super::*;

const OBJECTS: &str = include_str!("tests/objects.yaml");

fn objects() -> Objects {
    let files = vec![("objects.yaml".into(), Contents::Bytes(OBJECTS.into()))];
    Objects::of(DirState::default(), files, "objects".to_owned()).unwrap()
}

fn service(name: &str) -> Target {
    Target::Service(ServiceName::new("shop", name).unwrap())
}

fn asked(objects: &Objects, target: Target, from: Option<&str>, request: Option<&str>) -> Asked {
    let caller = from.map(|from| Caller::of(objects, Some("shop"), Some(from), None).unwrap());
    let request = request.map(|words| {
        let (method, path) = words.split_once(' ').unwrap();
        Question::parse(Some(method), &format!("http://orders.shop{path}"), &[]).unwrap()
    });
    Asked { target, port: None, caller, request }
}

fn calls() -> Calls {
    let row = |source: &str, workload: &str, requests, refused| StatRow {
        source_namespace: if source.is_empty() { String::new() } else { "shop".into() },
        source_workload: source.into(),
        destination_namespace: "shop".into(),
        destination_workload: workload.into(),
        requests,
        failure_codes: vec![
            FailureCount { code: "policy_denied".into(), count: refused },
            FailureCount { code: "no_route".into(), count: 1 },
        ],
        ..StatRow::default()
    };
    let rows = vec![
        row("web", "orders-1", 20, 3),
        row("web", "orders-2", 22, 0),
        row("", "orders-1", 4, 4),
        row("orders", "db-1", 7, 0),
    ];
    Calls::of(&StatResponse { window_seconds: 600, rows, ..StatResponse::default() })
}

fn text(asked: &Asked, objects: &Objects, calls: Option<&Calls>) -> String {
    let report = Report::find(objects, asked, calls);
    let text = view::text(&report, Paint::Plain);
    for line in text.lines() {
        assert_eq!(line, line.trim_end());
    }
    text
}

#[test]
fn everything_about_one_service() {
    let objects = objects();
    insta::assert_snapshot!(
        "service",
        text(&asked(&objects, service("orders"), None, None), &objects, Some(&calls()))
    );
    insta::assert_snapshot!("bytes", text(&asked(&objects, service("db"), None, None), &objects, None));
}

#[test]
fn everybody_and_every_service_is_a_table() {
    let objects = objects();
    let all = asked(&objects, Target::All(Some("shop".to_owned())), None, None);
    insta::assert_snapshot!("table", text(&all, &objects, Some(&calls())));
    let none = asked(&objects, Target::All(Some("lab".to_owned())), None, None);
    assert!(Report::find(&objects, &none, None).doors.is_empty());
}

#[test]
fn one_caller_one_request() {
    let objects = objects();
    let asked = |from, request| asked(&objects, service("orders"), Some(from), Some(request));
    let refused = asked("web-1", "DELETE /orders/7");
    let report = Report::find(&objects, &refused, None);
    assert!(!report.is_fine());
    insta::assert_snapshot!("request", view::text(&report, Paint::Plain));
    insta::assert_json_snapshot!("request_json", json::json(&report));
    let mut fine = asked("web-1", "GET /orders/7");
    assert!(Report::find(&objects, &fine, None).is_fine());
    // A workload has the ports of its application.
    fine.target = Target::Workload(WorkloadName::new("shop", "orders-1").unwrap());
    let report = Report::find(&objects, &fine, None);
    assert_eq!(report.doors.iter().map(|door| door.port).collect::<Vec<_>>(), [8080, 9000]);
}

/// What is said of whatever a caller asks for is what is said of each request: always, never, or the one and the other.
#[test]
fn an_open_verdict_is_that_of_every_request() {
    let objects = objects();
    let requests = ["GET /orders/7", "DELETE /orders/7", "GET /admin/x", "GET /"];
    for name in ["orders", "db"] {
        let open = Report::find(&objects, &asked(&objects, service(name), None, None), None)
            .doors
            .iter()
            .map(|door| {
                door.rows.iter().map(|row| (row.identity.clone(), row.outlook.word)).collect::<Vec<_>>()
            })
            .collect::<Vec<_>>();
        for (at, rows) in open.iter().enumerate() {
            for (identity, word) in rows {
                let said = requests.map(|request| {
                    let report_asked = asked(&objects, service(name), None, Some(request));
                    let report = Report::find(&objects, &report_asked, None);
                    let row = report.doors[at].rows.iter().find(|row| row.identity == *identity).unwrap();
                    row.outlook.word == open::Word::Allowed
                });
                let wanted = match word {
                    open::Word::Allowed => [true].as_slice(),
                    open::Word::Refused => &[false],
                    open::Word::Depends => &[true, false],
                };
                for one in said {
                    assert!(wanted.contains(&one), "{name} {identity:?} {word:?}: {said:?}");
                }
                if *word == open::Word::Depends {
                    assert!(said.contains(&true) && said.contains(&false), "{name} {identity:?}: {said:?}");
                }
            }
        }
    }
}
