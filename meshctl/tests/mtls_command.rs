//! `meshctl mtls` beside a shop: a namespace is opened, somebody without a sidecar comes in and is told, and one Service after the other is
//! closed when that loses nobody.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/mesh.rs"]
mod support;

use std::net::SocketAddr;

use rustix::process::Signal;
use serde_json::Value;
use support::{Home, get, wait_for};

const OPEN: &str = "apiVersion: amime.io/v1alpha1
kind: AuthenticationPolicy
metadata: { name: open, namespace: shop }
spec: { mtls: { mode: Permissive } }
";

/// Where the sidecar of a workload takes connections.
fn mesh_port(home: &Home, workload: &str) -> SocketAddr {
    let files = std::fs::read_dir(home.objects()).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let found = texts.map(|path| std::fs::read_to_string(path).unwrap()).find_map(|text| {
        let objects = text.split("\n---").filter_map(|one| serde_saphyr::from_str::<Value>(one).ok());
        objects.into_iter().find(|one| one["kind"] == "Workload" && one["metadata"]["name"] == workload)
    });
    let spec = &found.unwrap()["spec"];
    let (address, port) = (spec["address"].as_str().unwrap(), &spec["ports"][0]["meshPort"]);
    format!("{address}:{port}").parse().unwrap()
}

/// What a command says as JSON, and its exit code.
fn says(home: &Home, args: &[&str]) -> (Option<i32>, Value) {
    let output = home.output(&[args, &["-o", "json"]].concat());
    let said = serde_json::from_slice(&output.stdout);
    let said = said.unwrap_or_else(|_| panic!("{args:?}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), said)
}

/// Whether somebody without a sidecar gets an answer.
async fn open(address: SocketAddr) -> bool {
    get(address, "/").await.is_ok_and(|reply| reply.status != 0)
}

#[tokio::test]
async fn who_speaks_plaintext_is_told_and_a_service_becomes_strict_when_that_loses_nobody() {
    let home = Home::new("closing");
    let mut demo = home.start("demo", &["demo"]);
    home.ready(&mut demo).await;
    let (catalog, cart) = (mesh_port(&home, "catalog"), mesh_port(&home, "cart"));
    assert!(!open(catalog).await, "the shop is strict");

    std::fs::write(home.objects().join("open.yaml"), OPEN).unwrap();
    wait_for("the namespace to be open", async || open(catalog).await.then_some(())).await;
    let (_, report) = wait_for("the stranger to be told", async || {
        let (code, report) = says(&home, &["mtls", "report", "-n", "shop"]);
        (code == Some(1)).then_some((code, report))
    })
    .await;
    let edge = &report["plaintext"][0];
    assert_eq!(
        (&edge["source"], &edge["destination"]["name"], &edge["why"]),
        (&Value::Null, &"catalog".into(), &"caller-without-sidecar".into()),
        "{report}"
    );
    assert!(edge["words"].as_str().unwrap().contains("AuthenticationPolicy shop/open"), "{report}");

    let (code, refused) = says(&home, &["mtls", "enforce", "shop/catalog"]);
    assert_eq!((code, &refused["verdict"]), (Some(1), &"callers-lost".into()), "{refused}");
    wait_for("calls of the cart to be told", async || {
        let (code, would) = says(&home, &["mtls", "enforce", "shop/cart", "--dry-run"]);
        assert_eq!((code, &would["verdict"]), (Some(0), &"nobody-lost".into()), "{would}");
        would["words"].as_str().unwrap().starts_with("all ").then_some(())
    })
    .await;
    let written = home.objects().join("mtls-shop-cart.yaml");
    assert!(!written.exists(), "that was a dry run");
    let (code, done) = says(&home, &["mtls", "enforce", "shop/cart"]);
    assert_eq!((code, written.exists()), (Some(0), true), "{done}");
    wait_for("the cart to be closed", async || (!open(cart).await).then_some(())).await;
    assert!(open(catalog).await, "only the cart");
    wait_for("every object to be in force", async || {
        (home.output(&["sync"]).status.code() == Some(0)).then_some(())
    })
    .await;
    let (code, again) = says(&home, &["mtls", "enforce", "shop/cart"]);
    assert_eq!((code, &again["verdict"]), (Some(0), &"already-strict".into()), "{again}");

    demo.signal(Signal::INT);
    assert_eq!(demo.ended().await, Some(0));
}
