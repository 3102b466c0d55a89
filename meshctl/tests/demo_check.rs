//! `meshctl demo --check` on a healthy mesh: it passes, and its last line is the JSON that the README promises.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/mesh.rs"]
mod support;

use serde_json::Value;
use support::Home;

#[test]
fn the_check_passes_and_its_last_line_is_the_promised_json() {
    let home = Home::new("check");
    let output = home.output(&["demo", "--check", "-o", "json"]);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}\n{}", home.logs());
    let json: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let count = |name: &str| json[name].as_u64().unwrap_or_else(|| panic!("{name} in {json}"));
    let number = |name: &str| json[name].as_f64().unwrap_or_else(|| panic!("{name} in {json}"));
    assert!(count("requests") > 1000, "{json}");
    assert_eq!(count("failed"), 0, "{json}");
    assert_eq!(count("plaintext_requests"), 0, "{json}");
    assert!(count("mtls_requests") > count("requests"), "{json}");
    assert_eq!(json["traces_complete"], true, "{json}");
    assert!(count("traces_seen") > 0, "{json}");
    for name in ["p50_ms", "p99_ms", "first_request_ms", "weight_change_ms", "controller_private_kb"] {
        assert!(number(name) >= 0.0, "{name} in {json}");
    }
    let [v1, v2] = ["v1", "v2"].map(|version| json["split"][version].as_f64().unwrap());
    assert!((v1 - 0.9).abs() <= 0.03 && (v1 + v2 - 1.0).abs() < 0.001, "{json}");
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(0), "{json}");
    assert!(home.state().is_none(), "the mesh of a check that has ended cannot be found");
}
