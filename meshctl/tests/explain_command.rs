//! `meshctl explain` and `error` as programs: where objects come from, and what the exit code says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tasks/shop.yaml");
const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: web, namespace: shop }
spec:
  parentRefs: [{ group: '', kind: Service, name: web, port: 80 }]
  rules: [{ matches: [{ path: { value: /a } }], backendRefs: [{ name: web, port: 80 }] }]
";

fn meshctl(home: &Path, args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meshctl"))
        .args(args)
        .env("MESH_HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that ends before it has read all is no failure of the test.
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

fn outcome(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn objects_come_from_files_and_standard_input_together() {
    let home = tempfile::tempdir().unwrap();
    let args = ["explain", "http://web.shop/a/b", "-f", SHOP, "-f", "-"];
    let (code, out, err) = outcome(&meshctl(home.path(), &args, ROUTE));
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("httproute/shop/web#0: path /a and below") && out.contains("stdin:7"), "{out}");
}

#[test]
fn a_request_that_the_mesh_would_fail_ends_with_1() {
    let home = tempfile::tempdir().unwrap();
    let explain = |url: &str, more: &[&str]| {
        let args: Vec<&str> = ["explain", url, "-f", SHOP, "-f", "-"].iter().chain(more).copied().collect();
        outcome(&meshctl(home.path(), &args, ROUTE))
    };
    let (code, out, _) = explain("http://web.shop/b", &[]);
    assert!(code == 1 && out.contains("404 no_route"), "{out}");
    let (code, out, _) = explain("http://web.shop/a/%2e%2e/../..", &[]);
    assert!(code == 1 && out.contains("400 bad_request"), "{out}");
    let (code, out, _) = explain("http://web.shop/b", &["-o", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["result"]["code"], &answer["fine"]), (1, &"no_route".into(), &false.into()));
}

#[test]
fn without_objects_it_is_said_where_they_could_come_from() {
    let home = tempfile::tempdir().unwrap();
    let (code, _, err) = outcome(&meshctl(home.path(), &["explain", "http://web.shop/"], ""));
    assert!(code == 2 && err.contains("name a folder or a file with -f"), "{err}");
    let (code, _, err) =
        outcome(&meshctl(home.path(), &["explain", "http://web.shop/", "-f", "nowhere"], ""));
    assert!(code == 2 && err.contains("`nowhere`") && err.contains("no such file"), "{err}");
    let (code, _, err) = outcome(&meshctl(home.path(), &["explain", "ftp://web.shop/", "-f", SHOP], ""));
    assert!(code == 2 && err.contains("http:// or grpc://"), "{err}");
}

#[test]
fn a_code_is_explained_and_an_unknown_one_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let (code, out, _) = outcome(&meshctl(home.path(), &["error", "NR"], ""));
    assert!(code == 0 && out.starts_with("no_route (NR)"), "{out}");
    let (code, out, _) = outcome(&meshctl(home.path(), &["error", "-o", "json"], ""));
    let all: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, all["errors"].as_array().unwrap().len()), (0, mesh_model::failure::Failure::ALL.len()));
    let (code, _, err) = outcome(&meshctl(home.path(), &["error", "no_rout"], ""));
    assert!(code == 2 && err.contains("did you mean"), "{err}");
}
