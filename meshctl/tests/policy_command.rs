//! `meshctl policy` and `meshctl test` against a mesh that runs: what was observed becomes policies, they let the shop go on and keep
//! strangers out, and assertions say so.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/mesh.rs"]
mod support;

use rustix::process::Signal;
use serde_json::Value;
use support::{Home, get, proxy_of, wait_for};

const TESTS: &str = "
apiVersion: amime.io/v1alpha1
kind: MeshTest
tests:
  - name: the visitor sees the shop
    from: { workload: shop/visitor }
    to: { service: shop/web }
    expect: { verdict: allow, policy: shop/web-observed }
  - name: the visitor reaches no catalog
    from: { workload: shop/visitor }
    to: { service: shop/catalog }
    expect: { verdict: deny, policy: shop/catalog-observed, status: 403 }
";

fn run(home: &Home, args: &[&str]) -> (Option<i32>, String, String) {
    let output = home.output(args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn what_was_observed_becomes_policies_that_let_the_shop_go_on_and_keep_strangers_out() {
    let home = Home::new("policy");
    let mut demo = home.start("demo", &["demo"]);
    let state = home.ready(&mut demo).await;
    let called = ["web", "catalog", "cart", "stock", "recommend", "reviews-v1", "reviews-v2"];
    wait_for("every workload to be called", async || {
        let (code, out, err) = run(&home, &["policy", "suggest", "-n", "shop", "-o", "json"]);
        assert_eq!(code, Some(0), "{err}");
        let seen: Value = serde_json::from_str(&out).unwrap();
        let edges = seen["edges"].as_array().unwrap();
        called
            .iter()
            .all(|name| edges.iter().any(|edge| edge["workload"] == format!("shop/{name}")))
            .then_some(())
    })
    .await;
    let (_, policies, _) = run(&home, &["policy", "suggest", "-n", "shop"]);
    assert!(policies.contains("# Observed for") && !policies.contains("WARNING"), "{policies}");
    std::fs::write(home.objects().join("observed.yaml"), &policies).unwrap();
    let (code, out, err) = run(&home, &["policy", "suggest", "--check"]);
    assert_eq!(code, Some(0), "{out}{err}");

    // The sidecars do what the assertions say.
    let visitor = proxy_of(&state, "visitor");
    wait_for("the catalog to be closed to visitors", async || {
        let reply = get(visitor, "http://catalog.shop/").await.ok()?;
        (reply.status == 403 && reply.text.contains("policy_denied")).then_some(())
    })
    .await;
    assert_eq!(get(visitor, "http://web.shop/").await.unwrap().status, 200);

    // Judged, and sent through the sidecar of the caller.
    let tests = home.path().join("tests.yml");
    std::fs::write(&tests, TESTS).unwrap();
    let (code, out, err) = run(&home, &["test", "-f", tests.to_str().unwrap(), "--live"]);
    assert_eq!(code, Some(0), "{out}{err}");
    for part in ["the application answers 200", "the mesh answers 403 policy_denied", "2 of 2 sent"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    who_may_call_what(&home).await;

    // A file of assertions that asks for the contrary, and one that is broken.
    std::fs::write(&tests, TESTS.replace("verdict: deny", "verdict: allow")).unwrap();
    let (code, out, _) = run(&home, &["test", "-f", tests.to_str().unwrap()]);
    assert!(
        code == Some(1) && out.contains("1 passed, 1 failed") && out.contains("shop/catalog-observed"),
        "{out}"
    );
    std::fs::write(&tests, TESTS.replace("verdict: deny", "verdikt: deny")).unwrap();
    let (code, _, err) = run(&home, &["test", "-f", tests.to_str().unwrap()]);
    assert!(code == Some(2) && err.contains("verdikt"), "{err}");
    demo.signal(Signal::INT);
    assert_eq!(demo.ended().await, Some(0));
}

/// `meshctl authz` with the calls that the called sidecars have reported: those of the visitor that went on and those that were refused.
async fn who_may_call_what(home: &Home) {
    wait_for("calls of the visitor to be reported", async || {
        let (code, out, err) = run(home, &["authz", "catalog.shop", "--from", "visitor.shop", "-o", "json"]);
        assert_eq!(code, Some(1), "{out}{err}");
        let report: Value = serde_json::from_str(&out).unwrap();
        let row = &report["doors"][0]["callers"][0];
        assert_eq!(
            (&row["verdict"], &report["doors"][0]["default"]),
            (&"refused".into(), &"deny".into()),
            "{out}"
        );
        (row["calls"]["refused"].as_u64().unwrap() > 0).then_some(())
    })
    .await;
    let (code, out, err) = run(home, &["authz", "-n", "shop"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let web =
        out.lines().find(|line| line.starts_with("shop/visitor ") && line.contains("shop/web:80")).unwrap();
    assert!(web.contains("allowed") && web.contains("spec.rules[0] of"), "{web}");
}
