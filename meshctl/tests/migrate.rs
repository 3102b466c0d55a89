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
#[path = "migrate/mesh.rs"]
mod mesh;

use std::collections::BTreeMap;

use examples::{Expected, Row, Sent, examples};
use mesh::{Mesh, Tried};
use support::{Home, wait_for};

/// Examples of which nothing can be sent on one machine, and why.
const NOT_SENT: [(&str, &str); 2] = [
    ("argo-rollouts/subsets", "nothing comes of it, which the report says"),
    ("istio/egress", "its hosts are outside of this machine"),
];

fn all(home: &Home) -> Vec<Tried> {
    let tried = |example: examples::Example| Tried { migration: example.migration(home), example };
    examples().into_iter().map(tried).collect()
}

#[test]
fn requests_are_treated_as_the_other_mesh_treats_them() {
    let home = Home::new("migrate");
    let (mut wrong, mut judged) = (Vec::new(), BTreeMap::<String, usize>::new());
    for Tried { example, migration } in all(&home) {
        wrong.extend(
            example.unsaid(&migration).iter().map(|words| format!("{}: not said: {words}", example.name)),
        );
        let folder = example.write(&home, &migration);
        let folder = folder.to_str().unwrap();
        for row in example.rows.iter().filter(|row| row.offline) {
            if let Some(why) = row.expected.differs(&explained(&home, folder, row)) {
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

fn explained(home: &Home, folder: &str, row: &Row) -> serde_json::Value {
    let mut args = vec!["explain", "-n", "default", "-o", "json", "-f", folder];
    if row.method != "TCP" {
        args.push(row.method.as_str());
    }
    args.push(row.url.as_str());
    let headers: Vec<String> = row.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    args.extend(headers.iter().flat_map(|header| ["-H", header.as_str()]));
    let output = home.output(&args);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{row:?}: {}", String::from_utf8_lossy(&output.stderr)))
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

/// Kubernetes' lists, folders, standard input, several documents, and JSON texts one after the other are the same objects.
#[test]
fn whatever_holds_the_objects_the_same_comes_of_them() {
    use std::io::Write as _;
    let home = Home::new("migrate-inputs");
    let all = examples();
    let file = &all.iter().find(|one| one.name == "app-mesh/color-app").unwrap().file;
    let text = std::fs::read_to_string(file).unwrap();
    let documents: Vec<serde_json::Value> =
        text.split("\n---\n").map(|part| serde_saphyr::from_str(part).unwrap()).collect();
    let objects = |output: &std::process::Output| {
        let all: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        all["objects"].clone()
    };
    let migrate = |path: &str| home.output(&["migrate", "app-mesh", path, "-o", "json"]);
    let wanted = objects(&migrate(file.to_str().unwrap()));
    assert!(wanted.as_array().unwrap().len() > 3);
    let folder = home.path().join("folder");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    for (at, document) in documents.iter().enumerate() {
        let place = if at % 2 == 0 { folder.clone() } else { folder.join("deep") };
        std::fs::write(place.join(format!("{at}.yaml")), document.to_string()).unwrap();
    }
    std::fs::write(folder.join("README.md"), "no object").unwrap();
    assert_eq!(objects(&migrate(folder.to_str().unwrap())), wanted, "a folder");
    let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": documents }).to_string();
    let texts = documents.iter().map(|one| format!("{one:#}\n")).collect::<Vec<_>>().concat();
    let array = serde_json::Value::Array(documents).to_string();
    for (what, text) in [
        ("list.yaml", list),
        ("texts.json", texts),
        ("array.json", array),
        ("crlf.yaml", text.replace('\n', "\r\n")),
    ] {
        let file = home.path().join(what);
        std::fs::write(&file, text).unwrap();
        assert_eq!(objects(&migrate(file.to_str().unwrap())), wanted, "{what}");
    }
    let mut command = home.command(&["migrate", "app-mesh", "-", "-o", "json"]);
    let command = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert_eq!(objects(&child.wait_with_output().unwrap()), wanted, "standard input");
    for (what, text) in [("half.yaml", "kind: ["), ("other.json", "{\"a\": 1}")] {
        let file = home.path().join(what);
        std::fs::write(&file, text).unwrap();
        let output = migrate(file.to_str().unwrap());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(&format!("{what}:1: ")), "{stderr}");
    }
}

#[tokio::test]
async fn requests_take_the_same_ways_through_real_sidecars() {
    let home = Home::new("migrate-all");
    let all = all(&home);
    let mesh = Mesh::start(&all).await;
    let mut sent = BTreeMap::<String, usize>::new();
    for tried in &all {
        let name = &tried.example.name;
        let count = if NOT_SENT.iter().any(|(not, _)| not == name) {
            0
        } else {
            mesh.put(tried);
            let count = rows(&mesh, tried).await + assertions(&mesh, tried).await;
            assert!(count > 0, "{name}: nothing is sent");
            count
        };
        *sent.entry(tried.example.source.clone()).or_default() += count;
    }
    println!("requests by source: {sent:?}");
    assert!(sent.len() == 5 && sent.values().sum::<usize>() > 100, "{sent:?}");
}

/// Each row until it is as it should be; once all are, each strictly.
async fn rows(mesh: &Mesh, tried: &Tried) -> usize {
    for row in &tried.example.rows {
        let what = format!("{}: {} {} to become {:?}", tried.example.name, row.method, row.url, row.expected);
        let mut tries = 0;
        let asked = wait_for(&what, async || {
            let why = row.expected.answered(&mesh.send(row).await);
            tries += 1;
            assert!(
                why.is_none() || tries < 1_000,
                "{}: {} {}: {why:?}",
                tried.example.name,
                row.method,
                row.url
            );
            why.is_none().then_some(())
        });
        asked.await;
    }
    for row in &tried.example.rows {
        if let Expected::Sent(wanted) = &row.expected {
            shared(mesh, tried, row, wanted).await;
            if wanted.word("aborts").is_some() {
                continue;
            }
            if let Some(copied) = wanted.word("copied") {
                let before = mesh.asked(copied);
                wait_for("a copy", async || {
                    mesh.send(row).await;
                    (mesh.asked(copied) > before).then_some(())
                })
                .await;
            }
        }
        let why = row.expected.answered(&mesh.send(row).await);
        assert_eq!(why, None, "{}: {} {}", tried.example.name, row.method, row.url);
    }
    tried.example.rows.len()
}

/// Requests are shared out as the weights say, and as many are broken off on purpose as are to be.
async fn shared(mesh: &Mesh, tried: &Tried, row: &Row, wanted: &Sent) {
    let mut shares: BTreeMap<&str, f64> = wanted
        .backends
        .iter()
        .filter_map(|(backend, share)| Some((backend.rsplit_once(':').unwrap().0, f64::from((*share)?))))
        .collect();
    if let Some(aborts) = wanted.word("aborts") {
        shares.insert("", aborts.parse().unwrap());
    }
    if shares.is_empty() {
        return;
    }
    let (name, url) = (&tried.example.name, &row.url);
    let count = if row.method == "TCP" { 100 } else { 300 };
    let got = mesh.shares(row, count).await;
    let known = |by: &String| match by.as_str() {
        "" => shares.contains_key(""),
        by => wanted.services().any(|of| of == by),
    };
    assert!(got.keys().all(known), "{name}: {url}: {got:?}");
    for (service, percent) in shares {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let (times, count) = (got.get(service).copied().unwrap_or_default() as f64, count as f64);
        let share = percent / 100.0;
        let off = (times - count * share).abs() / (count * share * (1.0 - share)).sqrt();
        // One run in a million is so far off by chance.
        assert!(off < 5.0, "{name}: {url}: {service} got {times} of {count}, {share} is its share: {got:?}");
    }
}

/// What `meshctl test` judges is sent by callers with those identities.
async fn assertions(mesh: &Mesh, tried: &Tried) -> usize {
    let tests = tried.example.assertions();
    let mut sent = 0;
    for test in tests.iter().chain(&tests) {
        let what = format!("{}: {}", tried.example.name, test["name"]);
        let wanted = test["expect"]["verdict"] == "allow";
        let asked = wait_for(&what, async || match mesh.asked_for(tried, test).await {
            Some(came) if came != wanted => None,
            other => Some(other),
        });
        sent += usize::from(asked.await.is_some());
    }
    sent / 2
}
