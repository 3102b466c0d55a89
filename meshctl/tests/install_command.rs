//! `meshctl install` and `uninstall` against a scripted API server: in which order objects come and go, what a second run does,
//! and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says plainly what it expects"
)]

#[path = "support/api_server.rs"]
mod api_server;

use std::path::PathBuf;
use std::process::Command;

use api_server::ApiServer;
use serde_json::json;

struct Run {
    code: i32,
    out: String,
    errors: String,
}

struct User {
    server: ApiServer,
    home: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        let (server, home) = (ApiServer::start(), tempfile::tempdir().unwrap());
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server.url()}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        std::fs::write(home.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        Self { server, home }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("kubeconfig")
    }

    fn meshctl(&self, args: &[&str]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_meshctl"))
            .args(args)
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { code: output.status.code().unwrap(), out: text(&output.stdout), errors: text(&output.stderr) }
    }
}

fn position(list: &[String], part: &str) -> usize {
    list.iter().position(|path| path.contains(part)).unwrap_or_else(|| panic!("{part} is not in {list:#?}"))
}

#[test]
fn definitions_come_first_what_runs_after_what_it_needs_and_a_second_run_changes_nothing() {
    let user = User::new();
    let ran = user.meshctl(&["install"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.errors);
    let applied = user.server.written("PATCH");
    let order = [
        "customresourcedefinitions/httproutes.gateway",
        "customresourcedefinitions/meshconfigs.amime.io",
        "/api/v1/namespaces/amime-system",
        "configmaps/amime-install",
        "serviceaccounts/mesh-ca",
        "clusterroles/mesh-controller",
        "deployments/mesh-ca",
        "meshconfigs/default",
        "mutatingwebhookconfigurations/amime-injector",
    ];
    let positions: Vec<usize> = order.iter().map(|part| position(&applied, part)).collect();
    assert!(positions.is_sorted(), "{positions:?} {applied:#?}");
    assert!(applied.iter().all(|path| path.contains("fieldManager=meshctl&force=true")), "{applied:#?}");
    assert!(ran.out.contains("√ mesh-controller: 1 of 1 ready"), "{}", ran.out);
    let again = user.meshctl(&["install"]);
    assert_eq!(again.code, 0, "{}", again.errors);
    assert!(!again.out.contains(" created") && !again.out.contains(" configured"), "{}", again.out);
}

#[test]
fn a_dry_run_and_printing_store_nothing() {
    let user = User::new();
    for args in [["install", "--dry-run"].as_slice(), &["install", "-o", "yaml"]] {
        let ran = user.meshctl(args);
        assert_eq!(ran.code, 0, "{}", ran.errors);
        assert!(ran.out.contains("amime-injector"));
    }
    assert_eq!(user.server.objects(), [""; 0]);
}

#[test]
fn what_contradicts_is_refused_before_anything_is_written() {
    let user = User::new();
    assert_eq!(user.meshctl(&["install"]).code, 0);
    let before = user.server.written("PATCH").len();
    let ran = user.meshctl(&["install", "--set", "trustDomain=example.org"]);
    assert_eq!(ran.code, 2);
    assert!(ran.errors.contains("members have identities of trust domain cluster.local"), "{}", ran.errors);
    let typo = user.meshctl(&["install", "--set", "controller.replica=2"]);
    assert!(typo.errors.contains("controller.replica: there is no such value"), "{}", typo.errors);
    assert_eq!(user.server.written("PATCH").len(), before);
}

#[test]
fn removal_asks_begins_with_webhooks_and_leaves_nothing() {
    let user = User::new();
    assert_eq!(user.meshctl(&["install"]).code, 0);
    let unasked = user.meshctl(&["uninstall"]);
    assert_eq!(unasked.code, 2);
    assert!(unasked.errors.contains("--yes"), "{}", unasked.errors);
    assert_eq!(user.server.written("DELETE"), [""; 0]);
    let ran = user.meshctl(&["uninstall", "--yes", "--purge"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.errors);
    let removed = user.server.written("DELETE");
    assert!(removed[..2].iter().all(|path| path.contains("webhookconfigurations")), "{removed:#?}");
    assert!(removed.last().unwrap().ends_with("/namespaces/amime-system"), "{removed:#?}");
    assert_eq!(user.server.objects(), [""; 0]);
}

#[test]
fn an_upgrade_takes_away_what_the_values_no_longer_make() {
    let user = User::new();
    assert_eq!(user.meshctl(&["install", "--ha"]).code, 0);
    assert!(user.server.objects().iter().any(|path| path.contains("poddisruptionbudgets/mesh-ca")));
    let shown = user.meshctl(&["upgrade", "--dry-run", "--set", "podDisruptionBudgets.enabled=false"]);
    assert!(shown.out.contains("podDisruptionBudgets.enabled: true → false"), "{}", shown.out);
    assert!(shown.out.contains("PodDisruptionBudget amime-system/mesh-ca goes"), "{}", shown.out);
    let ran = user.meshctl(&["upgrade", "--yes", "--set", "podDisruptionBudgets.enabled=false"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.errors);
    let objects = user.server.objects();
    assert!(!objects.iter().any(|path| path.contains("poddisruptionbudgets")), "{objects:#?}");
    assert!(objects.iter().any(|path| path.contains("deployments/mesh-controller")));
}

#[test]
fn the_plugin_on_nodes_is_waited_for_and_told_to_go_before_it_goes() {
    let user = User::new();
    let refused = user.meshctl(&["install", "--set", "injection.capture=cni"]);
    assert_eq!(refused.code, 2);
    assert!(refused.errors.contains("set cni.enabled=true"), "{}", refused.errors);
    let with_plugin = ["install", "--set", "injection.capture=cni", "--set", "cni.enabled=true"];
    let ran = user.meshctl(&with_plugin);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.errors);
    assert!(ran.out.contains("√ mesh-cni: 2 of 2 nodes ready"), "{}", ran.out);
    for leave in [["install"].as_slice(), &["uninstall", "--yes", "--purge"]] {
        assert_eq!(user.meshctl(&with_plugin).code, 0);
        let ran = user.meshctl(leave);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.errors);
        assert!(ran.out.contains("is told to take the plugin off its nodes"), "{}", ran.out);
        let removed = user.server.written("DELETE");
        let (set, namespace) = ("daemonsets/mesh-cni", "/namespaces/amime-cni");
        let last = |part: &str| removed.iter().rposition(|path| path.ends_with(part)).unwrap();
        assert!(last(set) < last(namespace), "{removed:#?}");
        assert!(!user.server.objects().iter().any(|path| path.contains("amime-cni")));
    }
    assert_eq!(user.server.objects(), [""; 0]);
}
