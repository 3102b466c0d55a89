//! `meshctl demo --check` on a mesh whose settings turn mutual TLS off: it fails and says why. A file of its own, so that
//! it does not share the machine with the check that has to pass.
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
fn the_check_fails_and_says_why_when_hops_are_plaintext() {
    let home = Home::new("plain");
    std::fs::create_dir_all(home.objects()).unwrap();
    let settings = "apiVersion: amime.io/v1alpha1\nkind: MeshConfig\nmetadata:\n  name: default\n\
                    spec:\n  trustDomain: mesh.local\n  mtls:\n    mode: Disabled\n";
    std::fs::write(home.objects().join("mesh.yaml"), settings).unwrap();
    let output = home.output(&["demo", "--check", "-o", "json"]);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{stdout}\n{stderr}\n{}", home.logs());
    assert!(stderr.contains("were not encrypted with mutual TLS"), "{stderr}");
    let json: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert!(json["plaintext_requests"].as_u64().unwrap() > 0, "{json}");
    assert_eq!(json["failed"], 0, "{json}");
}
