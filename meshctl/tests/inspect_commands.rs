//! The commands that look into a mesh, against a shop with a visitor in it: each shows what is there, and says so when an
//! object is not in force.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/mesh.rs"]
mod support;

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use support::{Home, kill, pid_of, wait_for};

/// The output of a command that has to succeed, as JSON.
fn json(home: &Home, args: &[&str]) -> Value {
    let output = home.output(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(home: &Home, args: &[&str]) -> String {
    String::from_utf8_lossy(&home.output(args).stdout).into_owned()
}

/// Of commands that print a document a line.
fn documents(home: &Home, args: &[&str]) -> Vec<Value> {
    text(home, args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What tells apart by kind, by edge, by route, by port, and request by request.
fn traffic_from_every_side(home: &Home) {
    for (kind, name) in [("deploy", "web"), ("pod", "web"), ("svc", "web"), ("route", "reviews")] {
        let stat = json(home, &["stat", kind, "-o", "json"]);
        let rows = stat["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{kind}: {stat}"));
        assert!(row["requests"].as_u64().unwrap() > 0 && row["p99_ms"].as_f64().unwrap() > 0.0, "{row}");
    }
    let asked = json(home, &["stat", "deploy", "--to", "reviews", "-o", "json"]);
    assert_eq!(asked["rows"][0]["name"], "web", "{asked}");

    let edges = json(home, &["edges", "-o", "json"]);
    let edges = edges["edges"].as_array().unwrap();
    let walked = edges.iter().find(|edge| edge["source"]["workload"] == "visitor").unwrap();
    assert!(walked["security"] == "mtls" && walked["unsecured"].is_null(), "{walked}");
    let routes = text(home, &["routes", "reviews"]);
    assert!(routes.contains("reviews"), "{routes}");
    let ports = text(home, &["protocols"]);
    assert!(ports.contains("grpc (") && ports.contains("http ("), "{ports}");

    let tapped = documents(home, &["tap", "web", "--side", "inbound", "--limit", "3", "-o", "json"]);
    assert_eq!(tapped.len(), 3);
    for request in &tapped {
        assert!(request["side"] == "inbound" && request["destination"]["workload"] == "web", "{request}");
    }
}

/// Right after an edit `wait` returns when it is in force everywhere, and says who lacks it while it is not.
fn a_script_waits_until_an_edit_counts(home: &Home, route: &Path, good: &str) {
    for weight in [20, 30, 40] {
        std::fs::write(route, good.replace("weight: 10\n", &format!("weight: {weight}\n"))).unwrap();
        let waited = json(home, &["wait", "httproute/shop/reviews", "-o", "json"]);
        assert!(waited["done"] == true && waited["object"] == "HTTPRoute shop/reviews", "{waited}");
        let sync = json(home, &["sync", "-o", "json"]);
        let object = sync["objects"]
            .as_array()
            .unwrap()
            .iter()
            .find(|object| object["object"] == "HTTPRoute shop/reviews");
        let object = object.unwrap();
        assert!(object["programmed"] == object["programmed_of"] && object["programmed"] != 0, "{object}");
    }
    // The only one that calls reviews stands still.
    let state = home.state().unwrap();
    let web = pid_of(&state, "web.shop-sidecar").unwrap();
    kill(web, Signal::STOP);
    std::fs::write(route, good).unwrap();
    let late = home.output(&["wait", "--timeout", "2"]);
    let said = String::from_utf8_lossy(&late.stdout);
    assert_eq!(late.status.code(), Some(1), "{said}");
    assert!(said.contains("web.shop lacks httproute/shop/reviews: not confirmed"), "{said}");
    kill(web, Signal::CONT);
    assert_eq!(home.output(&["wait", "--for", "synced"]).status.code(), Some(0), "{}", text(home, &["sync"]));
    let nobody = home.output(&["wait", "httproute/shop/nobody"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("there is no HTTPRoute shop/nobody"));
}

#[tokio::test]
async fn every_command_shows_the_shop_and_a_broken_object_is_a_finding() {
    let home = Home::new("look");
    let mut demo = home.start("demo", &["demo"]);
    home.ready(&mut demo).await;

    let edges =
        [("visitor", "web"), ("web", "catalog"), ("web", "cart"), ("cart", "stock"), ("web", "recommend")];
    wait_for("every edge to be reported", async || {
        let stat = json(&home, &["stat", "-o", "json"]);
        let rows = stat["rows"].as_array().unwrap();
        assert!(rows.iter().all(|row| row["security"] == "mtls"), "{stat}");
        let seen = |from, to| {
            rows.iter().any(|row| row["source"]["workload"] == from && row["service"]["name"] == to)
        };
        edges.iter().all(|(from, to)| seen(*from, *to)).then_some(())
    })
    .await;
    let top = text(&home, &["top", "--once", "--from", "visitor"]);
    assert!(top.contains("web.shop") && top.contains("mTLS") && !top.contains("cart.shop"), "{top}");

    let traces = text(&home, &["trace", "-n", "8", "-o", "json"]);
    let traces: Vec<Value> = traces.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(traces.len(), 8);
    let tree = text(&home, &["trace", "-n", "1"]);
    assert!(tree.contains("visitor → web") && tree.contains("└─ web → "), "{tree}");

    traffic_from_every_side(&home);
    let certs = json(&home, &["certs", "-o", "json"]);
    let ids: Vec<&str> = certs["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["spiffe_id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"spiffe://mesh.local/ns/shop/sa/web") && ids.len() == 8, "{ids:?}");
    let version = json(&home, &["version", "-o", "json"]);
    assert_eq!(version["proxies"][0]["count"], 8, "{version}");

    // Without -f, of the objects of the mesh that runs.
    let explained = json(&home, &["explain", "http://reviews/", "--from", "web.shop", "-o", "json"]);
    assert_eq!(explained["result"]["kind"], "sent", "{explained}");
    let canary = &explained["backends"][1];
    assert_eq!((&canary["target"], &canary["weight"]), (&"shop/reviews-v2:80".into(), &10.into()));
    assert!(canary["source"]["at"].as_str().unwrap().contains("reviews-route.yaml:"), "{canary}");

    assert_eq!(home.output(&["sync"]).status.code(), Some(0), "{}", text(&home, &["sync"]));
    let route = home.objects().join("reviews-route.yaml");
    let good = std::fs::read_to_string(&route).unwrap();
    std::fs::write(&route, good.replace("weight: 10\n", "weight: 10000000\n")).unwrap();
    let found = wait_for("the broken route to be found", async || {
        (home.output(&["sync"]).status.code() == Some(1)).then(|| text(&home, &["sync"]))
    })
    .await;
    assert!(found.contains("reviews-route.yaml") && found.contains("weight"), "{found}");
    std::fs::write(&route, &good).unwrap();
    wait_for("the route to be whole again", async || {
        (home.output(&["sync"]).status.code() == Some(0)).then_some(())
    })
    .await;
    a_script_waits_until_an_edit_counts(&home, &route, &good);
    demo.signal(Signal::INT);
    assert_eq!(demo.ended().await, Some(0));
}
