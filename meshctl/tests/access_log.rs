//! Access logs of a mesh from YAML: they are written as the MeshConfig of the hour says, `meshctl policy audit` reads them, and a file of theirs may be
//! moved away.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/mesh.rs"]
mod support;

use std::fs;

use rustix::process::Signal;
use serde_json::Value;
use support::{Home, wait_for};

const AUDIT: &str = "
apiVersion: amime.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: catalog-next, namespace: shop }
spec:
  targetRefs: [{ kind: Service, name: catalog }]
  action: Audit
  rules: [{ from: [{ serviceAccounts: [nobody] }] }]
";

fn configure(home: &Home, access_log: &str) {
    let text = format!(
        "apiVersion: amime.io/v1alpha1\nkind: MeshConfig\nmetadata:\n  name: default\nspec:\n  trustDomain: mesh.local\n  accessLog: {access_log}\n"
    );
    // As an editor does: the controller never sees half of it.
    let written = home.path().join("mesh.yaml.new");
    fs::write(&written, text).unwrap();
    fs::rename(written, home.objects().join("mesh.yaml")).unwrap();
}

/// The lines of JSON in a log of the mesh.
fn lines(home: &Home, log: &str) -> Vec<Value> {
    let text = fs::read_to_string(home.objects().join("../logs").join(log)).unwrap_or_default();
    let of_json = text.lines().filter(|line| line.starts_with("{\"time\""));
    of_json.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test]
async fn the_shop_is_written_as_its_mesh_config_says() {
    let home = Home::new("access-log");
    let mut demo = home.start("demo", &["demo"]);
    home.ready(&mut demo).await;
    fs::write(home.objects().join("audit.yaml"), AUDIT).unwrap();
    configure(&home, "{ enabled: true, filter: \"proxy.side == 'inbound'\", requestHeaders: [traceparent] }");
    let line = wait_for("a call that a policy would have refused", async || {
        lines(&home, "catalog.shop-sidecar.log").into_iter().find(|line| line["verdict"] == "audit")
    })
    .await;
    assert_eq!(
        (&line["source"], &line["destination"], &line["side"]),
        (&"shop/web".into(), &"shop/catalog".into(), &"inbound".into())
    );
    assert_eq!((&line["policy"], &line["status"]), (&"shop/catalog-next".into(), &200.into()));
    assert!(
        line["request_headers"]["traceparent"].as_str().unwrap().contains(line["trace_id"].as_str().unwrap()),
        "{line}"
    );
    let audit = home.output(&["policy", "audit", "catalog.shop", "-o", "json"]);
    let audit: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(audit["rows"][0]["source"], "shop/web", "{audit}");
    assert_eq!(audit["rows"][0]["policy"], "shop/catalog-next");

    // Text into a file, as a template says; the file is moved away while requests go on.
    let path = home.path().join("access.log");
    let text = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default();
    configure(
        &home,
        &format!(
            "{{ enabled: true, format: Text, sink: File, path: {}, template: '{{method}} {{path}} {{status}} {{side}}' }}",
            path.display()
        ),
    );
    wait_for("lines of text", async || text(&path).contains("GET /products/").then_some(())).await;
    let moved = home.path().join("access.log.1");
    fs::rename(&path, &moved).unwrap();
    wait_for("the file to be opened anew", async || text(&path).contains("GET / 200 inbound").then_some(()))
        .await;
    for line in text(&path).lines().chain(text(&moved).lines()) {
        assert_eq!(line.split(' ').count(), 4, "{line}");
    }

    // What cannot be read is refused and told, and what was in force stays.
    configure(&home, "{ enabled: true, filter: response.status == 500 }");
    wait_for("what is wrong to be told", async || {
        let sync = home.output(&["sync"]);
        let text = String::from_utf8_lossy(&sync.stdout);
        let told = ["spec.accessLog.filter", "line 1, column 1: there is no variable `response.status`"];
        told.iter().all(|part| text.contains(part)).then_some(())
    })
    .await;
    let before = text(&path).len();
    wait_for("more lines of the old form", async || (text(&path).len() > before).then_some(())).await;
    demo.signal(Signal::INT);
    assert_eq!(demo.ended().await, Some(0));
}
