//! `meshctl local`: programs of a file start in order, find each other by name, are looked into, and leave nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/mesh.rs"]
mod support;

use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;
use support::{Home, User, descendants, kill, lives, wait_for};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// A file in the test's folder.
fn file(home: &Home, text: &str) -> String {
    let path = home.path().join("mesh.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn programs(home: &Home) -> Vec<Value> {
    let output = home.output(&["local", "ps", "-o", "json"]);
    let ps: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    ps["programs"].as_array().unwrap().clone()
}

fn keeper(home: &Home) -> i32 {
    let output = home.output(&["local", "ps", "-o", "json"]);
    let ps: Value = serde_json::from_slice(&output.stdout).unwrap();
    ps["pid"].as_i64().unwrap().try_into().unwrap()
}

#[tokio::test]
async fn programs_of_a_file_are_a_mesh_until_they_are_told_to_end() {
    for user in User::all() {
        let home = Home::of("local", user);
        let binary = user.binary(home.path()).display().to_string();
        let file = file(
            &home,
            &format!(
                "workloads:\n\
                 - name: catalog\n  \
                   command: [{binary}, __shop, catalog, --listen, '127.0.0.1:8080', --proxy, '127.0.0.1:9']\n  \
                   ports: [{{port: 80, targetPort: 8080}}]\n  \
                   replicas: 2\n  \
                   ready: {{http: /products/1}}\n\
                 - name: seed\n  command: echo seeded\n  job: true\n\
                 - name: shell\n  command: [sh, -c, 'echo $GREETING; exec sleep 1000']\n  \
                   env: {{GREETING: hello}}\n  dependsOn: [catalog, seed]\n\
                 ---\n\
                 apiVersion: amime.io/v1alpha1\nkind: TrafficPolicy\n\
                 metadata: {{name: fast, namespace: default}}\n\
                 spec:\n  targetRefs: [{{group: '', kind: Service, name: catalog}}]\n  timeouts: {{request: 9s}}\n"
            ),
        );
        let up = home.output(&["local", "up", "--detach", "--file", &file]);
        assert_eq!(up.status.code(), Some(0), "{}\n{}", said(&up), home.logs());
        let keeper = keeper(&home);
        let all = descendants(keeper);
        let states: Vec<String> = programs(&home)
            .iter()
            .map(|p| format!("{} {}", p["name"], p["state"]).replace('"', ""))
            .collect();
        assert_eq!(states, ["catalog-1 ready", "catalog-2 ready", "seed done", "shell ready"]);

        let again = home.output(&["local", "up", "--detach", "--file", &file]);
        assert!(
            again.status.code() == Some(2) && said(&again).contains("meshctl local down"),
            "{}",
            said(&again)
        );
        assert_eq!(text(&home.output(&["local", "logs", "shell"]).stdout), "hello\n");
        let all_logs = text(&home.output(&["local", "logs", "--tail", "1"]).stdout);
        assert!(
            all_logs.contains("seed      | seeded") && all_logs.contains("shell     | hello"),
            "{all_logs}"
        );

        let exec = ["local", "exec", "shell", "--"];
        let output =
            home.output(&[&exec[..], &["sh", "-c", "echo $GREETING $MESH_WORKLOAD; exit 5"]].concat());
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(5), "hello shell\n"));
        let curl = ["curl", "-sS", "--fail", "--max-time", "20", "http://catalog/products/1"];
        let output = home.output(&[&exec[..], &curl].concat());
        assert!(text(&output.stdout).contains("\"net\""), "{}\n{}", said(&output), home.logs());
        let sync = text(&home.output(&["sync"]).stdout);
        assert!(sync.contains("TrafficPolicy default/fast"), "{sync}");

        let down = home.output(&["local", "down"]);
        assert_eq!(down.status.code(), Some(0), "{}", said(&down));
        assert!(!lives(keeper) && all.iter().all(|pid| !lives(*pid)), "{all:?}");
        let ps = home.output(&["local", "ps"]);
        assert!(ps.status.code() == Some(2) && said(&ps).contains("meshctl local up"), "{}", said(&ps));
        assert_eq!(home.output(&["local", "down"]).status.code(), Some(0));
    }
}

#[tokio::test]
async fn a_program_that_ends_is_started_again_and_one_that_cannot_start_is_told() {
    let home = Home::of("again", User::all()[0]);
    let file = file(
        &home,
        "workloads:\n- name: broken\n  command: [no-such-program]\n- name: after\n  command: sleep 1000\n  dependsOn: [broken]\n",
    );
    let up = home.output(&["local", "up", "-d", "-f", &file]);
    assert_eq!(up.status.code(), Some(1), "{}\n{}", said(&up), home.logs());
    assert!(said(&up).contains("something is wrong with broken.default"), "{}", said(&up));
    wait_for("a second start", async || programs(&home)[0]["restarts"].as_u64().filter(|count| *count > 1))
        .await;
    assert_eq!(programs(&home)[1]["state"], "waiting");
    // Between two attempts: while one is made, it is opening.
    wait_for("its end being told", async || {
        let ps = home.output(&["local", "ps"]);
        (ps.status.code() == Some(1) && said(&ps).contains("exit code 127")).then_some(())
    })
    .await;
    let log = text(&home.output(&["local", "logs", "broken"]).stdout);
    assert!(log.contains("cannot run `no-such-program`"), "{log}");
    assert_eq!(home.output(&["local", "down"]).status.code(), Some(0));
}

#[tokio::test]
async fn what_a_crash_leaves_is_cleaned_up() {
    let home = Home::of("crash", User::all()[0]);
    let file = file(&home, "workloads:\n- name: a\n  command: 'sleep 1000 & sleep 1000'\n");
    let up = home.output(&["local", "up", "-d", "-f", &file]);
    assert_eq!(up.status.code(), Some(0), "{}\n{}", said(&up), home.logs());
    let keeper = keeper(&home);
    let all = descendants(keeper);
    assert!(all.len() >= 5, "{all:?}");
    kill(keeper, Signal::KILL);
    wait_for("the keeper to be gone", async || (!lives(keeper)).then_some(())).await;
    let ps = home.output(&["local", "ps"]);
    assert!(ps.status.code() == Some(1) && said(&ps).contains("gone"), "{}", said(&ps));
    let down = home.output(&["local", "down"]);
    assert_eq!(down.status.code(), Some(0), "{}", said(&down));
    wait_for(&format!("{all:?} to end"), async || all.iter().all(|pid| !lives(*pid)).then_some(())).await;
    assert!(!home.path().join("crash/local.json").exists());
    // The name is free again.
    let again = home.output(&["run", "--name", "x", "--", "true"]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
}

#[tokio::test]
async fn a_program_may_ask_for_the_proxy_variables() {
    let home = Home::of("explicit", User::all()[0]);
    let file = file(&home, "workloads:\n- name: a\n  command: sleep 1000\n  mode: explicit\n");
    let up = home.output(&["local", "up", "-d", "-f", &file]);
    assert_eq!(up.status.code(), Some(0), "{}\n{}", said(&up), home.logs());
    assert_eq!(programs(&home)[0]["traffic"], "explicit");
    let output = home.output(&["local", "exec", "a", "--", "sh", "-c", "echo $http_proxy"]);
    assert!(text(&output.stdout).starts_with("http://127."), "{}", said(&output));
    assert_eq!(home.output(&["local", "down"]).status.code(), Some(0));
}

#[test]
fn a_mistake_in_the_file_is_told_before_anything_starts() {
    let home = Home::new("mistake");
    let file = file(&home, "workloads:\n- name: a\n  command: x\n  dependsOn: [b]\n");
    let output = home.output(&["local", "up", "-f", &file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("mesh.yaml: workloads[0].dependsOn[0]: no workload is called"),
        "{}",
        said(&output)
    );
    assert!(home.state().is_none());
}
