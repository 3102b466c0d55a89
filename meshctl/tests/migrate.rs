//! What comes of the examples of other meshes treats requests as those meshes do: tables of requests, written from the sources' own
//! words, judged by `meshctl explain` and `meshctl test` offline, and sent through real sidecars.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "traffic_features/app.rs"]
#[allow(dead_code, reason = "the other tests use its other parts")]
mod app;
#[path = "support/mesh.rs"]
mod support;

#[path = "migrate/examples.rs"]
mod examples;

use std::collections::BTreeMap;

use app::{App, ask};
use examples::{Example, Expected, examples};
use mesh_lifecycle::tasks::Tasks;
use support::{Home, free_port, wait_for};

#[test]
fn requests_are_treated_as_the_other_mesh_treats_them() {
    let home = Home::new("migrate");
    let (mut wrong, mut judged) = (Vec::new(), BTreeMap::<String, usize>::new());
    for example in examples() {
        let folder = example.write(&home);
        let folder = folder.to_str().unwrap();
        for row in &example.rows {
            let mut args = vec!["explain", "-n", "default", "-o", "json", "-f", folder];
            args.extend([row.method.as_str(), row.url.as_str()]);
            let headers: Vec<String> =
                row.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            args.extend(headers.iter().flat_map(|header| ["-H", header.as_str()]));
            let output = home.output(&args);
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|_| panic!("{row:?}: {}", String::from_utf8_lossy(&output.stderr)));
            if let Some(why) = row.expected.differs(&answer) {
                wrong.push(format!("{}: {} {}: {why}", example.name, row.method, row.url));
            }
            *judged.entry(example.source.clone()).or_default() += 1;
        }
        if let Some(tests) = &example.tests {
            let output = home.output(&["test", "-f", tests.to_str().unwrap(), "--config-dir", folder]);
            if output.status.code() != Some(0) {
                wrong.push(format!(
                    "{}: {}{}",
                    example.name,
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(judged.len(), 5, "{judged:?}");
    assert!(judged.values().sum::<usize>() > 60, "{judged:?}");
}

#[test]
fn the_command_prints_objects_and_report_and_says_by_its_code_whether_anything_changes() {
    let home = Home::new("migrate-cli");
    let all = examples();
    let of = |name: &str| all.iter().find(|one| one.name == name).unwrap().file.to_str().unwrap().to_owned();
    let (same, changed) = (of("app-mesh/color-app"), of("app-mesh/matches"));
    let good = home.output(&["migrate", "app-mesh", &same]);
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));
    assert!(String::from_utf8_lossy(&good.stdout).contains("kind: HTTPRoute"));
    assert!(String::from_utf8_lossy(&good.stderr).contains("carried over"));
    let other = home.output(&["migrate", "app-mesh", "-f", &changed, "--report", "-o", "json"]);
    assert_eq!(other.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!((report["same"].as_bool(), report["worst"].as_str()), (Some(false), Some("behaviour")));
    let whole = home.output(&["migrate", "app-mesh", &same, "-o", "json"]);
    let whole: serde_json::Value = serde_json::from_slice(&whole.stdout).unwrap();
    assert_eq!(whole["kind"], "Migration");
    assert!(
        whole["objects"].as_array().unwrap().len() > 3
            && whole["report"]["fields"].as_array().unwrap().len() > 50
    );
    let missing = home.output(&["migrate", "istio", "/nowhere.yaml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere.yaml"));
}

/// Requests of these examples are sent: each Service behind a route is one of the workloads.
const SENT: [&str; 3] = ["app-mesh/color-app", "app-mesh/matches", "istio/bookinfo-routing"];

#[tokio::test]
async fn requests_take_the_same_ways_through_real_sidecars() {
    let (home, tasks) = (Home::new("migrated"), Tasks::new());
    let mut up = home.start("up", &["up"]);
    home.ready(&mut up).await;
    let mut running = vec![up];
    let examples: Vec<Example> =
        examples().into_iter().filter(|one| SENT.contains(&one.name.as_str())).collect();
    let mut versions: Vec<&'static str> = Vec::new();
    for example in &examples {
        for (service, labels) in example.behind(&home) {
            if versions.contains(&service.as_str()) {
                continue;
            }
            let name: &'static str = Box::leak(service.into_boxed_str());
            versions.push(name);
            let app = App::new(name);
            let port = free_port();
            let (namespace, short) = name.split_once('/').unwrap();
            let member = format!("{short}.{namespace}");
            let number = format!("{port}=http");
            let mut args =
                vec!["run", "--mode", "explicit", "-n", namespace, "--name", short, "--port", &number];
            args.extend(labels.iter().flat_map(|label| ["--label", label.as_str()]));
            args.extend(["--", "sleep", "1000"]);
            running.push(home.start(&member, &args));
            let registered = home.objects().with_file_name("members").join(&member);
            wait_for("the member to be registered", async || registered.exists().then_some(())).await;
            app.listen(&tasks, port).await;
        }
    }
    let caller = home.start(
        "caller",
        &["run", "--mode", "explicit", "--name", "caller", "--", "sh", "-c", "echo $http_proxy; sleep 1000"],
    );
    let proxy: std::net::SocketAddr =
        wait_for("the caller's proxy", async || caller.stdout().trim().strip_prefix("http://")?.parse().ok())
            .await;
    for example in &examples {
        example.apply(&home);
    }
    let mut sent = 0;
    for example in &examples {
        for row in example.rows.iter().filter(|row| row.method == "GET" || row.method == "POST") {
            let headers: Vec<(&str, &str)> =
                row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let what = format!("{}: {} {} to become {:?}", example.name, row.method, row.url, row.expected);
            wait_for(&what, async || {
                let answer = ask(proxy, &row.method, &row.url, &headers, "").await;
                let got =
                    (answer.status, answer.head("x-app").to_owned(), answer.head("location").to_owned());
                row.expected.answered(&got, &answer.body).is_none().then_some(())
            })
            .await;
            sent += 1;
        }
    }
    assert!(sent > 20, "{sent}");
    // Once it is in force, shares hold: what has one backend never goes elsewhere.
    for example in &examples {
        for row in example.rows.iter().filter(|row| matches!(row.expected, Expected::Sent { .. })) {
            let headers: Vec<(&str, &str)> =
                row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            for _ in 0..5 {
                let answer = ask(proxy, &row.method, &row.url, &headers, "").await;
                let got = (answer.status, answer.head("x-app").to_owned(), String::new());
                assert_eq!(row.expected.answered(&got, &answer.body), None, "{}: {}", example.name, row.url);
            }
        }
    }
}
