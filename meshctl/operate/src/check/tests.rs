//! A healthy mesh passes every check; each way of breaking it is named by the check that should.
#![allow(
    clippy::semicolon_if_nothing_returned,
    clippy::format_push_string,
    clippy::default_trait_access,
    reason = "a table of small changes reads best as such"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::*;
use crate::object::ObjectRef;

const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A certificate that ends so long after now, as PEM.
fn certificate(left: i64) -> String {
    let mut params = CertificateParams::new(vec!["x".to_owned()]).unwrap();
    let at = |unix: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(unix.unsigned_abs());
    params.not_before = at(NOW - 4000 * DAY);
    params.not_after = at(NOW + left);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn deployment(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "generation": 1, "labels": {"app.kubernetes.io/version": "0.1.0"}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [
            {"name": name, "image": format!("hub/{name}:dev"), "args": ["serve", "--trust-domain=cluster.local"]}]}}},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    })
}

fn pod(namespace: &str, name: &str, labels: Value) -> Value {
    json!({
        "metadata": {"namespace": namespace, "name": name, "labels": labels,
                     "annotations": {"amime.io/proxy-version": "0.1.0"}},
        "spec": {},
        "status": {"phase": "Running", "initContainerStatuses": [
            {"name": "mesh-init", "state": {"terminated": {"exitCode": 0}}},
            {"name": "mesh-proxy", "started": true, "state": {"running": {}}}]},
    })
}

fn webhooks(pem: &str, names: &[&str]) -> Value {
    let webhook = |name: &&str| {
        json!({"name": name, "clientConfig": {
        "caBundle": STANDARD.encode(pem),
        "service": {"namespace": "amime-system", "name": "mesh-controller", "port": 443}}})
    };
    json!({"webhooks": names.iter().map(webhook).collect::<Vec<_>>()})
}

fn roots(namespace: &str, pem: &str) -> Value {
    json!({"metadata": {"name": "amime-ca-roots", "namespace": namespace}, "data": {"roots.pem": pem}})
}

fn crd(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "annotations": {"gateway.networking.k8s.io/bundle-version": "v1.6.3"}},
        "spec": {"versions": [{"name": "v1alpha1", "served": true}]},
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    })
}

fn role() -> Value {
    json!({"rules": [{"apiGroups": [""], "resources": ["services", "pods"], "verbs": ["list", "watch"]}]})
}

fn slice(service: &str) -> Value {
    json!({
        "metadata": {"namespace": "amime-system", "labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
    })
}

/// A mesh in which all is well.
fn healthy() -> State {
    let (root, shown) = (certificate(3000 * DAY), certificate(20 * DAY));
    let text = ToOwned::to_owned;
    let kinds = [
        "httproutes.gateway.networking.k8s.io",
        "grpcroutes.gateway.networking.k8s.io",
        "tcproutes.gateway.networking.k8s.io",
        "tlsroutes.gateway.networking.k8s.io",
        "xmeshes.gateway.networking.x-k8s.io",
    ];
    let values = "capture: init\nmemoryRequest: 32Mi\nmemoryLimit: 256Mi\ncpuRequest: 10m\ncpuLimit: \"\"\n";
    State {
        now: NOW,
        server_time: Some(NOW + 1),
        version: text("0.1.0"),
        mesh_namespace: text("amime-system"),
        server: (1, 34),
        access: vec![Access { what: text("create clusterroles"), allowed: true }],
        nodes: vec![
            json!({"metadata": {"name": "n1"}, "status": {"nodeInfo": {"kernelVersion": "6.18.1-x"}}}),
        ],
        crds: kinds.iter().chain(&definitions::OWN).map(|name| crd(name)).collect(),
        own_crds: definitions::OWN.iter().map(|name| crd(name)).collect(),
        namespaces: vec![
            json!({"metadata": {"name": "amime-system"}}),
            json!({"metadata": {"name": "shop", "labels": {"amime.io/inject": "enabled"}}}),
            json!({"metadata": {"name": "other"}}),
        ],
        deployments: ["mesh-ca", "mesh-controller"].map(|name| (text(name), deployment(name))).into(),
        control_pods: vec![pod("amime-system", "mesh-ca-1", json!({"app.kubernetes.io/name": "mesh-ca"}))],
        slices: vec![slice("mesh-ca"), slice("mesh-controller")],
        inventory: true,
        roles: vec![(text("ClusterRole mesh-controller"), Some(role()), role())],
        webhooks: [
            (text("amime-injector"), webhooks(&shown, &["namespace.inject.amime.io", "pod.inject.amime.io"])),
            (text("amime-validator"), webhooks(&shown, &["validate.amime.io"])),
        ]
        .into(),
        webhook_certificate: Some(shown),
        dry_run: Some(DryRun::Pod(Box::new(json!({"spec": {"initContainers": [{"name": "mesh-proxy"}]}})))),
        lease: Some(json!({"spec": {
            "holderIdentity": "mesh-controller-1", "leaseDurationSeconds": 15,
            "renewTime": jiff::Timestamp::from_second(NOW - 4).unwrap().to_string()}})),
        mesh_configs: vec![json!({"metadata": {"name": "default"}, "spec": {}})],
        roots: vec![roots("amime-system", &root), roots("shop", &root)],
        injection: Some(json!({"data": {"values.yaml": values}})),
        members: vec![pod("shop", "web-1", json!({"amime.io/injected": "true"}))],
        opted_in: vec![pod("shop", "web-1", json!({"amime.io/injected": "true"}))],
        proxies: Proxies::Connected(vec![Proxy { workload: text("shop/web-1"), version: text("0.1.0") }]),
        plugin: Plugin { external: Some(false), ..Plugin::default() },
        ..State::default()
    }
}

fn everything() -> Selection {
    Selection { members: true, ..Selection::default() }
}

/// What was found: ids with their findings.
fn findings(state: &State) -> Vec<(&'static str, Vec<String>)> {
    let lines = run(state, &everything()).lines.into_iter();
    lines
        .filter_map(|line| match line.verdict {
            Verdict::Found(_, found) => Some((line.check.id, found)),
            Verdict::Passed | Verdict::Skipped(_) => None,
        })
        .collect()
}

#[test]
fn a_healthy_mesh_passes() {
    let report = run(&healthy(), &everything());
    assert_eq!(report.short(ToOwned::to_owned), "");
    assert_eq!(report.count().passed, all().count());
    assert!(all().count() >= 25);
}

#[test]
fn ids_are_unique_and_explained() {
    let mut ids = BTreeSet::new();
    for check in all() {
        assert!(ids.insert(check.id), "{} is there twice", check.id);
        assert!(check.id.len() == 6 && check.id.starts_with("AMC"), "{}", check.id);
        assert!(!check.meaning.is_empty() && !check.remedy.is_empty(), "{}", check.id);
    }
    assert_eq!(find("amc051").map(|check| check.id), Some("AMC051"));
    assert!(find("AMC999").is_none());
}

/// A way to break a mesh.
type Breakage = (&'static str, &'static str, fn(&mut State));

/// What is broken, the check that names it, and how.
const BROKEN: &[Breakage] = &[
    ("old Kubernetes", "AMC001", |s| s.server = (1, 27)),
    ("newer Kubernetes than tried", "AMC001", |s| s.server = (1, 99)),
    ("no rights", "AMC002", |s| {
        s.access = vec![Access { what: "create clusterroles".to_owned(), allowed: false }]
    }),
    ("clock skew", "AMC003", |s| s.server_time = Some(NOW - 600)),
    ("old kernel", "AMC004", |s| s.nodes[0]["status"]["nodeInfo"]["kernelVersion"] = json!("4.19.0-25")),
    ("no Gateway API", "AMC010", |s| s.crds.retain(|crd| !facts::name(crd).starts_with("httproutes"))),
    ("old Gateway API", "AMC011", |s| {
        s.crds[0]["metadata"]["annotations"]["gateway.networking.k8s.io/bundle-version"] = json!("v0.8.1");
    }),
    ("no routes of connections", "AMC012", |s| {
        s.crds.retain(|crd| !facts::name(crd).starts_with("tcproutes"))
    }),
    ("missing CRD of ours", "AMC013", |s| s.own_crds.truncate(3)),
    ("wrong version of a CRD", "AMC013", |s| s.own_crds[0]["spec"]["versions"][0]["name"] = json!("v1beta1")),
    ("a CRD that is not established", "AMC013", |s| {
        s.own_crds[0]["status"]["conditions"][0]["status"] = json!("False");
    }),
    ("no namespace", "AMC020", |s| drop(s.namespaces.remove(0))),
    ("no controller", "AMC020", |s| drop(s.deployments.remove("mesh-controller"))),
    ("a missing object", "AMC021", |s| {
        s.missing = vec![ObjectRef::namespaced("v1", "Service", "amime-system", "mesh-ca")]
    }),
    ("a missing role", "AMC022", |s| s.roles[0].1 = None),
    ("a role without a verb", "AMC022", |s| {
        s.roles[0].1.as_mut().unwrap()["rules"][0]["verbs"] = json!(["list"])
    }),
    ("authority down", "AMC023", |s| {
        s.deployments.get_mut("mesh-ca").unwrap()["status"]["availableReplicas"] = json!(0)
    }),
    ("controller crash loop", "AMC024", |s| {
        s.deployments.get_mut("mesh-controller").unwrap()["status"]["availableReplicas"] = json!(0);
        let mut pod =
            pod("amime-system", "mesh-controller-1", json!({"app.kubernetes.io/name": "mesh-controller"}));
        pod["status"]["containerStatuses"] = json!([{"name": "mesh-controller", "restartCount": 2,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 2}}}]);
        s.control_pods.push(pod);
    }),
    ("many restarts", "AMC025", |s| {
        s.control_pods[0]["status"]["containerStatuses"] = json!([
        {"name": "mesh-ca", "restartCount": 9, "lastState": {"terminated": {"reason": "OOMKilled"}}}])
    }),
    ("image of the control plane", "AMC026", |s| {
        s.control_pods[0]["status"]["containerStatuses"] = json!([
        {"name": "mesh-ca", "image": "hub/mesh-ca:x", "state": {"waiting": {"reason": "ImagePullBackOff"}}}])
    }),
    ("version skew with the controller", "AMC027", |s| {
        let controller = s.deployments.get_mut("mesh-controller").unwrap();
        controller["metadata"]["labels"]["app.kubernetes.io/version"] = json!("0.3.0");
    }),
    ("no Lease", "AMC028", |s| s.lease = None),
    ("an expired Lease", "AMC028", |s| {
        s.lease.as_mut().unwrap()["spec"]["renewTime"] = json!("2026-01-01T00:00:00Z")
    }),
    ("a Lease that nobody holds", "AMC028", |s| {
        s.lease.as_mut().unwrap()["spec"]["holderIdentity"] = json!("")
    }),
    ("no endpoints", "AMC029", |s| s.slices[1]["endpoints"][0]["conditions"]["ready"] = json!(false)),
    ("no MeshConfig", "AMC030", |s| s.mesh_configs.clear()),
    ("two MeshConfigs", "AMC030", |s| s.mesh_configs.push(json!({"metadata": {"name": "mine"}}))),
    ("no roots", "AMC040", |s| drop(s.roots.remove(0))),
    ("roots that are none", "AMC040", |s| s.roots[0] = roots("amime-system", "nothing")),
    ("the root is over", "AMC041", |s| {
        let over = certificate(-DAY);
        s.roots = ["amime-system", "shop"].map(|namespace| roots(namespace, &over)).to_vec();
    }),
    ("a namespace without roots", "AMC042", |s| drop(s.roots.remove(1))),
    ("a namespace with other roots", "AMC043", |s| s.roots[1] = roots("shop", &certificate(DAY))),
    ("two trust domains", "AMC044", |s| s.mesh_configs[0]["spec"]["trustDomain"] = json!("example.org")),
    ("no injector", "AMC050", |s| drop(s.webhooks.remove("amime-injector"))),
    ("an injector of another Service", "AMC050", |s| {
        s.webhooks.get_mut("amime-injector").unwrap()["webhooks"][0]["clientConfig"]["service"]["namespace"] =
            json!("x");
    }),
    ("no caBundle", "AMC051", |s| {
        s.webhooks.get_mut("amime-injector").unwrap()["webhooks"][1]["clientConfig"]["caBundle"] = json!("");
    }),
    ("a webhook certificate that is over", "AMC051", |s| break_webhooks(s, &certificate(-HOUR))),
    ("a webhook certificate that ends soon", "AMC051", |s| break_webhooks(s, &certificate(HOUR))),
    ("another certificate in the Secret", "AMC052", |s| s.webhook_certificate = Some(certificate(DAY))),
    ("a webhook that is not reached", "AMC053", |s| {
        s.dry_run = Some(DryRun::Refused("connection refused".to_owned()))
    }),
    ("a webhook that is not asked", "AMC053", |s| {
        s.dry_run = Some(DryRun::Pod(Box::new(json!({"spec": {}}))))
    }),
    ("Pod Security", "AMC054", |s| {
        s.namespaces[1]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = json!("restricted");
    }),
    ("a quota that is used up", "AMC055", |s| {
        s.quotas = vec![json!({
        "metadata": {"namespace": "shop", "name": "q"},
        "status": {"hard": {"requests.memory": "1Gi"}, "used": {"requests.memory": "1024Mi"}}})]
    }),
    ("a range that sidecars do not keep", "AMC055", |s| {
        s.limit_ranges = vec![json!({
        "metadata": {"namespace": "shop", "name": "r"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "128Mi"}}]}})]
    }),
    ("capture by a plugin that nobody installs", "AMC056", |s| {
        s.injection = Some(json!({"data": {"values.yaml": "capture: cni\nmemoryLimit: 256Mi\n"}}));
    }),
    ("Pods that ask for a plugin that nobody installs", "AMC056", |s| capture_by_plugin(s)),
    ("a node without the plugin", "AMC056", |s| {
        install_plugin(s, "True");
        s.nodes.push(json!({"metadata": {"name": "n2"}, "status": {
            "conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kernelVersion": "6.18.1"}}}));
    }),
    ("a plugin that is not ready, with Pods", "AMC056", |s| {
        install_plugin(s, "False");
        capture_by_plugin(s);
    }),
    ("a Pod without sidecar", "AMC060", |s| s.opted_in.push(pod("shop", "old-1", json!({})))),
    ("a failed sidecar", "AMC061", |s| {
        s.members[0]["status"]["initContainerStatuses"][1]["state"] =
            json!({"waiting": {"reason": "CrashLoopBackOff"}});
    }),
    ("capture failed", "AMC062", |s| {
        s.members[0]["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] = json!(1);
    }),
    ("the plugin has not captured", "AMC062", |s| {
        s.members[0]["status"]["initContainerStatuses"][0] = json!({"name": "mesh-validate",
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}});
    }),
    ("an old sidecar", "AMC063", |s| {
        s.members[0]["metadata"]["annotations"]["amime.io/proxy-version"] = json!("1.0.0")
    }),
    ("a sidecar that is not connected", "AMC064", |s| s.proxies = Proxies::Connected(Vec::new())),
    ("a Pod on its node's network", "AMC065", |s| {
        let mut agent = pod("other", "agent-1", json!({"amime.io/inject": "enabled"}));
        agent["spec"]["hostNetwork"] = json!(true);
        s.opted_in.push(agent);
    }),
];

/// A DaemonSet with one Pod on the first node.
fn install_plugin(state: &mut State, ready: &str) {
    let conditions = json!([{"type": "Ready", "status": ready}]);
    state.plugin.set = Some(json!({"metadata": {"namespace": "amime-cni", "name": "mesh-cni"}}));
    state.plugin.pods = vec![json!({"metadata": {"namespace": "amime-cni", "name": "mesh-cni-1"},
        "spec": {"nodeName": "n1"}, "status": {"conditions": conditions}})];
}

fn capture_by_plugin(state: &mut State) {
    state.members[0]["metadata"]["annotations"]["amime.io/cni"] = json!("--proxy-uid 1337");
    state.members[0]["spec"]["nodeName"] = json!("n1");
}

fn break_webhooks(state: &mut State, pem: &str) {
    for (name, names) in [("amime-injector", ["a"]), ("amime-validator", ["b"])] {
        state.webhooks.insert(name.to_owned(), webhooks(pem, &names));
    }
    state.webhook_certificate = Some(pem.to_owned());
}

#[test]
fn every_breakage_is_named_by_its_check_and_by_no_other() {
    for (what, id, damage) in BROKEN {
        let mut state = healthy();
        damage(&mut state);
        let found = findings(&state);
        let ids: Vec<&str> = found.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [*id], "{what}: {found:?}");
    }
    let covered: BTreeSet<&str> = BROKEN.iter().map(|(_, id, _)| *id).collect();
    let uncovered: Vec<&str> = all().map(|check| check.id).filter(|id| !covered.contains(id)).collect();
    assert_eq!(uncovered, [""; 0], "checks that nothing breaks");
}

#[test]
fn a_plugin_that_is_ready_is_well_and_one_of_somebody_else_is_not_judged() {
    let verdict = |change: fn(&mut State)| {
        let mut state = healthy();
        capture_by_plugin(&mut state);
        change(&mut state);
        let only = Selection { only: vec!["AMC056".to_owned()], ..everything() };
        run(&state, &only).lines.remove(0).verdict
    };
    assert_eq!(verdict(|s| install_plugin(s, "True")), Verdict::Passed);
    assert!(matches!(verdict(|s| s.plugin.external = Some(true)), Verdict::Skipped(_)));
    assert!(matches!(verdict(|s| s.plugin.external = None), Verdict::Skipped(_)));
}

#[test]
fn what_the_findings_say() {
    let mut text = String::new();
    for (what, _, damage) in BROKEN {
        let mut state = healthy();
        damage(&mut state);
        for (id, found) in findings(&state) {
            text.push_str(&format!("{what}\n  {id} {}\n", found.join("\n         ")));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn before_an_installation_nothing_of_it_is_asked() {
    let state = State { deployments: Default::default(), inventory: false, crds: Vec::new(), ..healthy() };
    let selection = Selection { before: true, ..Selection::default() };
    let report = run(&state, &selection);
    assert_eq!(report.short(ToOwned::to_owned), "");
    assert!(report.lines.iter().all(|line| line.check.stage == Stage::Before));
    let only = Selection { only: vec!["amc020".to_owned()], ..Selection::default() };
    assert_eq!(run(&state, &only).lines.len(), 1);
    let skip = Selection { skip: vec!["AMC001".to_owned()], ..selection };
    assert_eq!(run(&state, &skip).lines.len(), report.lines.len() - 1);
}

#[test]
fn reports_for_people_and_machines() {
    let mut state = healthy();
    state.server = (1, 27);
    state.proxies = Proxies::Unanswered("no Pod of mesh-controller is ready".to_owned());
    let selection = Selection {
        only: vec!["AMC001".to_owned(), "AMC002".to_owned(), "AMC064".to_owned()],
        ..everything()
    };
    let report = run(&state, &selection);
    insta::assert_snapshot!("text", report.text(ToOwned::to_owned));
    insta::assert_snapshot!("short", report.short(ToOwned::to_owned));
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&report.json()).unwrap());
    insta::assert_snapshot!("junit", report.junit());
}

#[test]
fn an_empty_cluster_is_told_to_install() {
    let state =
        State { now: NOW, server: (1, 34), mesh_namespace: "amime-system".to_owned(), ..State::default() };
    let ids: Vec<&str> = findings(&state).iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, ["AMC012", "AMC020"]);
}

/// The page of all checks.
fn page() -> String {
    let mut out = PAGE.to_owned();
    let mut group = "";
    for check in all() {
        if check.group != group {
            group = check.group;
            out.push_str(&format!("\n## {group}\n"));
        }
        let asked = if check.stage == Stage::Members { " (with `--proxy`)" } else { "" };
        out.push_str(&format!(
            "\n### {}: {}{asked}\n\n{}\n\n**What to do:** {}\n",
            check.id, check.title, check.meaning, check.remedy
        ));
    }
    out
}

const PAGE: &str = "# Checks

<!-- Written from the checks by `UPDATE_PAGES=1 cargo test -p mesh-operate`. Do not edit. -->

What `meshctl check` looks at. Ids never change their meaning. `meshctl check --explain ID` prints the same without a network.
";

#[test]
fn the_reference_of_checks_is_written_from_them() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/check.md");
    if std::env::var_os("UPDATE_PAGES").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page(), "UPDATE_PAGES=1 writes it");
}
