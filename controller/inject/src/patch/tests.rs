//! The truth table of injection, and what the patch is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::settings::Capture;

fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "cart-1", "namespace": "shop", "labels": { "app": "cart" } },
        "spec": {
            "containers": [{
                "name": "app",
                "image": "cart:1",
                "ports": [{ "name": "web", "containerPort": 8080 }, { "containerPort": 9090 }],
                "readinessProbe": { "httpGet": { "path": "/ready?x=$(A)", "port": "web", "httpHeaders": [{ "name": "Host", "value": "cart" }] } },
                "livenessProbe": { "tcpSocket": { "port": 8080 }, "timeoutSeconds": 3, "periodSeconds": 7 },
                "startupProbe": { "grpc": { "port": 9090, "service": "" } },
                "fieldOfTheFuture": { "kept": true },
            }],
            "initContainers": [{ "name": "migrate", "image": "cart:1" }],
        },
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut pod = pod();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = pod.pointer_mut(parent).unwrap();
    parent[name.replace("~1", "/")] = value;
    pod
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
}

fn decide(pod: &Value, namespace: &str, namespace_labels: &[(&str, &str)], settings: &Settings) -> Decision {
    let namespace_labels = labels(namespace_labels);
    let subject = Subject { pod, namespace, namespace_labels: Some(&namespace_labels), asked: None };
    inject(subject, settings).unwrap()
}

const ENABLED: &[(&str, &str)] = &[("amime.io/inject", "enabled")];

fn injected(pod: &Value) -> Injected {
    match decide(pod, "shop", ENABLED, &Settings::default()) {
        Decision::Inject(injected) => *injected,
        other => panic!("{other:?}"),
    }
}

/// `inject`, or `skip: why`, or `refuse: why`.
fn said(decision: Decision) -> String {
    match decision {
        Decision::Inject(_) => "inject".to_owned(),
        Decision::Skip(reason) => format!("skip: {reason}"),
        Decision::Refuse(reason) => format!("refuse: {reason}"),
    }
}

fn label(value: &str) -> Value {
    with("/metadata/labels/amime.io~1inject", json!(value))
}

#[test]
fn the_label_of_the_pod_wins_over_that_of_the_namespace() {
    let of_namespace = |value: Option<&'static str>| value.map(|value| ("amime.io/inject", value));
    for (namespace, own, wanted) in [
        (None, None, "skip: neither the pod nor its namespace"),
        (Some("enabled"), None, "inject"),
        (Some("disabled"), None, "skip: the label amime.io/inject of the namespace is `disabled`"),
        (None, Some("enabled"), "inject"),
        (Some("disabled"), Some("enabled"), "inject"),
        (Some("enabled"), Some("disabled"), "skip: the label amime.io/inject of the pod is `disabled`"),
        (Some("yes"), None, "refuse: the label amime.io/inject of the namespace is `yes`"),
        (Some("enabled"), Some("true"), "refuse: the label amime.io/inject of the pod is `true`"),
    ] {
        let labels: Vec<_> = of_namespace(namespace).into_iter().collect();
        let pod = own.map_or_else(pod, label);
        let said = said(decide(&pod, "shop", &labels, &Settings::default()));
        assert!(said.starts_with(wanted), "{namespace:?} {own:?}: {said}");
    }
}

#[test]
fn system_namespaces_are_left_alone_whatever_is_asked() {
    for namespace in ["kube-system", "kube-public", "kube-node-lease", "amime-system"] {
        let said = said(decide(&label("enabled"), namespace, ENABLED, &Settings::default()));
        assert_eq!(said, format!("skip: pods in {namespace} never get a sidecar"));
    }
}

// T37
#[test]
fn what_cannot_have_a_sidecar_is_told_why() {
    let other = |name: &str| json!([{ "name": "app" }, { "name": name }]);
    for (pod, wanted) in [
        (with("/spec/hostNetwork", json!(true)), "skip: spec.hostNetwork is true"),
        (with("/spec/os", json!({ "name": "windows" })), "skip: it runs on Windows"),
        (with("/spec/nodeSelector", json!({ "kubernetes.io/os": "windows" })), "skip: it runs on Windows"),
        (
            with("/metadata/annotations", json!({ "kubernetes.io/config.mirror": "x" })),
            "skip: it is a static pod",
        ),
        (with("/spec/containers", json!([])), "skip: spec.containers is empty"),
        (
            with("/spec/containers", other("istio-proxy")),
            "refuse: spec.containers[1].name is `istio-proxy`: Istio",
        ),
        (
            with("/spec/containers", other("linkerd-proxy")),
            "refuse: spec.containers[1].name is `linkerd-proxy`: Linkerd",
        ),
        (
            with("/spec/initContainers", other("istio-proxy")),
            "refuse: spec.initContainers[1].name is `istio-proxy`",
        ),
        (
            with("/metadata/labels/istio.io~1dataplane-mode", json!("ambient")),
            "refuse: the label istio.io/dataplane-mode",
        ),
        (
            with("/spec/securityContext", json!({ "runAsUser": 1337 })),
            "refuse: spec.securityContext.runAsUser is 1337",
        ),
        (
            with("/spec/containers", json!([{ "name": "app", "securityContext": { "runAsUser": 1337 } }])),
            "refuse: spec.containers[0].securityContext.runAsUser is 1337",
        ),
        (with("/spec/containers", other("mesh-proxy")), "refuse: spec.containers[1] is named `mesh-proxy`"),
        (
            with("/spec/containers", json!([{ "name": "app", "ports": [{ "containerPort": 15001 }] }])),
            "refuse: spec.containers[0].ports[0].containerPort is 15001, where the sidecar listens (outbound)",
        ),
        (with("/spec/containers", json!([{ "name": 7 }])), "refuse: it is not a pod that can be read"),
        (with("/metadata/labels", json!([])), "refuse: it is not a pod that can be read: metadata.labels"),
        (
            with("/metadata/annotations", json!({ "amime.io/workers": "many" })),
            "refuse: annotation amime.io/workers: `many` is not a whole number",
        ),
    ] {
        let said = said(decide(&pod, "shop", ENABLED, &Settings::default()));
        assert!(said.starts_with(wanted), "{wanted}\n{said}");
    }
}

#[test]
fn a_pod_that_asks_for_itself_is_refused_where_its_namespace_would_let_it_pass() {
    for (pointer, value) in [("/spec/hostNetwork", json!(true)), ("/spec/os", json!({ "name": "windows" }))] {
        let mut pod = with(pointer, value);
        pod["metadata"]["labels"]["amime.io/inject"] = json!("enabled");
        assert!(said(decide(&pod, "shop", &[], &Settings::default())).starts_with("refuse: "));
    }
}

// T37
#[test]
fn a_namespace_that_forbids_the_capability_wants_the_cni_plugin() {
    let cni = Settings { capture: Capture::Cni, ..Settings::default() };
    for (level, wanted) in [("privileged", "inject"), ("baseline", "refuse: "), ("restricted", "refuse: ")] {
        let labels = [ENABLED[0], ("pod-security.kubernetes.io/enforce", level)];
        let said_init = said(decide(&pod(), "shop", &labels, &Settings::default()));
        assert!(said_init.starts_with(wanted), "{level}: {said_init}");
        assert_eq!(said(decide(&pod(), "shop", &labels, &cni)), "inject", "{level}");
        let annotated = with("/metadata/annotations", json!({ "amime.io/capture": "cni" }));
        assert_eq!(said(decide(&annotated, "shop", &labels, &Settings::default())), "inject", "{level}");
    }
}

#[test]
fn with_the_cni_plugin_nothing_starts_before_its_rules_are_in_force() {
    let annotated = with(
        "/metadata/annotations",
        json!({ "amime.io/capture": "cni", "amime.io/exclude-outbound-ports": "25" }),
    );
    let after = injected(&annotated).pod;
    let flags = "--proxy-uid 1337 --dns --exclude-outbound-port 25";
    assert_eq!(after["metadata"]["annotations"]["amime.io/cni"], flags);
    let containers = after["spec"]["initContainers"].clone();
    let names: Vec<&str> =
        containers.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mesh-validate", "mesh-proxy", "migrate"]);
    let args = json!(["init", "--check", "--proxy-uid", "1337", "--dns", "--exclude-outbound-port", "25"]);
    assert_eq!(containers[0]["args"], args);
    assert_eq!(containers[0]["securityContext"]["runAsNonRoot"], true);
    assert!(containers[0]["securityContext"]["capabilities"].get("add").is_none());
}

// T37
#[test]
fn jobs_and_generated_names_are_pods_like_others() {
    let mut job = with("/spec/restartPolicy", json!("Never"));
    job["metadata"] = json!({ "generateName": "migrate-", "ownerReferences": [
        { "apiVersion": "batch/v1", "kind": "Job", "name": "migrate", "uid": "x" } ] });
    let injected = injected(&job);
    assert_eq!(injected.pod["spec"]["initContainers"][1]["restartPolicy"], "Always");
    assert_eq!(injected.pod["spec"]["restartPolicy"], "Never");
}

#[test]
fn the_patch() {
    let injected = injected(&pod());
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&injected.patch).unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
}

// T37
#[test]
fn what_is_not_ours_stays_as_it_is() {
    let (before, after) = (pod(), injected(&pod()).pod);
    assert_eq!(after["spec"]["containers"][0]["fieldOfTheFuture"], json!({ "kept": true }));
    assert_eq!(after["spec"]["initContainers"][2], before["spec"]["initContainers"][0]);
    assert_eq!(after["spec"]["containers"][0]["ports"], before["spec"]["containers"][0]["ports"]);
}

// T37
#[test]
fn twice_is_once() {
    let once = injected(&pod()).pod;
    assert_eq!(
        said(decide(&once, "shop", ENABLED, &Settings::default())),
        "skip: it has the sidecar already"
    );
}

#[test]
fn a_container_that_comes_later_gets_what_the_others_have() {
    let mut once = injected(&pod()).pod;
    let late = json!({ "name": "late", "readinessProbe": { "httpGet": { "port": 7070 } } });
    once["spec"]["containers"].as_array_mut().unwrap().push(late);
    let twice = injected(&once).pod;
    let probe = &twice["spec"]["containers"][1]["readinessProbe"]["httpGet"];
    assert_eq!(probe["path"], "/probe/late/readiness");
    let proxy = &twice["spec"]["initContainers"][1];
    let table = proxy["env"].as_array().unwrap().iter().find(|one| one["name"] == "MESH_PROBES").unwrap();
    let table = probes::from_variable(table["value"].as_str().unwrap()).unwrap();
    assert_eq!(table.len(), 4);
    assert_eq!(twice["spec"]["terminationGracePeriodSeconds"], 35);
    assert_eq!(
        said(decide(&twice, "shop", ENABLED, &Settings::default())),
        "skip: it has the sidecar already"
    );
}

#[test]
fn what_was_injected_can_be_taken_away_again() {
    let mut before = pod();
    before["spec"]["terminationGracePeriodSeconds"] = json!(9);
    let ejected = crate::eject(&injected(&before).pod).unwrap();
    // Named ports have become numbers, and the kubelet's default deadline is written.
    before["spec"]["containers"][0]["readinessProbe"]["httpGet"]["port"] = json!(8080);
    before["spec"]["containers"][0]["readinessProbe"]["timeoutSeconds"] = json!(1);
    before["spec"]["containers"][0]["startupProbe"] =
        json!({ "grpc": { "port": 9090 }, "timeoutSeconds": 1 });
    assert_eq!(ejected.pod, before);
    assert!(crate::eject(&pod()).unwrap().patch.is_empty());
}

#[test]
fn dollars_of_a_probe_are_the_users_own() {
    let proxy = injected(&pod()).pod["spec"]["initContainers"][1].clone();
    let env = proxy["env"].as_array().unwrap();
    let value = env.iter().find(|one| one["name"] == "MESH_PROBES").unwrap()["value"].as_str().unwrap();
    assert!(value.contains("/ready?x=$$(A)"), "{value}");
}

// T36
#[test]
fn hostile_annotations_are_refused_or_literal() {
    let long = "9".repeat(200_000);
    for (name, value) in [
        ("amime.io/proxy-image", "x\"}]},{{.Values}}"),
        ("amime.io/proxy-image", "a b"),
        ("amime.io/proxy-image", ""),
        ("amime.io/proxy-memory-limit", "1Gi\n"),
        ("amime.io/proxy-memory-limit", "16Mi"),
        ("amime.io/log-level", "info\nx: y"),
        ("amime.io/log-level", "&a *a"),
        ("amime.io/exclude-outbound-ports", "0"),
        ("amime.io/exclude-outbound-cidrs", "10.0.0.1/8"),
        ("amime.io/drain-delay", "-1"),
        ("amime.io/drain-delay", "601"),
        ("amime.io/capture", "ebpf"),
        ("amime.io/workers", "0"),
        ("amime.io/workers", &long),
        ("amime.io/exclude-inbound-ports", &long),
        ("amime.io/exclude-inboud-ports", "22"),
        ("amime.io/inject", "enabled"),
    ] {
        let pod = with("/metadata/annotations", json!({ name: value }));
        let said = said(decide(&pod, "shop", ENABLED, &Settings::default()));
        assert!(said.starts_with("refuse: annotation amime.io/"), "{name}: {said}");
        assert!(said.len() < 400 && !said.contains('\n'), "{said}");
    }
}

#[test]
fn annotations_are_in_force() {
    let annotations = json!({
        "amime.io/proxy-image": "hub/p:9",
        "amime.io/proxy-cpu-limit": "2",
        "amime.io/log-level": "mesh_proxy=debug,info",
        "amime.io/exclude-inbound-ports": "22, 9000-9010",
        "amime.io/exclude-outbound-cidrs": "169.254.169.254",
        "amime.io/drain-seconds": "3",
        "amime.io/drain-delay": "0",
        "amime.io/dns": "disabled",
        "amime.io/workers": "2",
        "amime.io/probes": "keep",
        "example.com/other": "{{",
    });
    let after = injected(&with("/metadata/annotations", annotations)).pod;
    let [init, proxy] = [0, 1].map(|index| after["spec"]["initContainers"][index].clone());
    let words = |value: &Value| {
        value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        words(&init["args"]),
        "init --proxy-uid 1337 --exclude-inbound-port 22,9000-9010 --exclude-outbound-cidr 169.254.169.254"
    );
    assert!(words(&proxy["args"]).contains(" --workers 2 --drain-seconds 3 "));
    assert_eq!(proxy["image"], "hub/p:9");
    assert_eq!(proxy["resources"]["limits"]["cpu"], "2");
    assert_eq!(after["metadata"]["annotations"]["amime.io/proxy-version"], "9");
    assert_eq!(after["spec"]["containers"], pod()["spec"]["containers"]);
    assert!(after["spec"].get("terminationGracePeriodSeconds").is_none());
}

#[test]
fn the_workload_api_reaches_every_container_of_the_application_and_can_be_taken_away() {
    let mut before = with("/metadata/annotations", json!({ "amime.io/workload-api": "enabled" }));
    before["spec"]["containers"].as_array_mut().unwrap().push(json!({
        "name": "own", "image": "own:1",
        "env": [{ "name": "SPIFFE_ENDPOINT_SOCKET", "value": "unix:///elsewhere" }],
        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
    }));
    before["spec"]["terminationGracePeriodSeconds"] = json!(9);
    before["spec"]["containers"][0]["readinessProbe"] = json!({ "exec": { "command": ["true"] } });
    before["spec"]["containers"][0]["startupProbe"] = json!({ "exec": { "command": ["true"] } });
    let after = injected(&before).pod;
    let mount =
        json!({ "name": "amime-workload-api", "mountPath": "/var/run/amime/workload-api", "readOnly": true });
    let socket = "unix:///var/run/amime/workload-api/api.sock";
    let [app, own] = [0, 1].map(|index| after["spec"]["containers"][index].clone());
    assert_eq!(app["volumeMounts"], json!([mount]));
    assert_eq!(app["env"], json!([{ "name": "SPIFFE_ENDPOINT_SOCKET", "value": socket }]));
    assert_eq!(own["volumeMounts"][1], mount);
    assert_eq!(own["env"].as_array().unwrap().len(), 1, "its own variable stays");
    let proxy = &after["spec"]["initContainers"][1];
    let writable = json!({ "name": "amime-workload-api", "mountPath": "/var/run/amime/workload-api" });
    assert!(proxy["volumeMounts"].as_array().unwrap().contains(&writable));
    assert!(proxy["args"].as_array().unwrap().contains(&json!("--workload-api-peers")));
    assert!(after["spec"]["volumes"].as_array().unwrap().contains(
        &json!({ "name": "amime-workload-api", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } })
    ));
    let twice = decide(&after, "shop", ENABLED, &Settings::default());
    assert_eq!(said(twice), "skip: it has the sidecar already");
    let ejected = crate::eject(&after).unwrap().pod;
    before["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] = json!(3);
    assert_eq!(ejected["spec"], before["spec"]);
}

#[test]
fn headers_for_a_collector_are_mounted_into_the_sidecar_and_nowhere_else() {
    let settings = Settings { otlp_secret: Some("otlp".into()), ..Settings::default() };
    let Decision::Inject(injected) = decide(&pod(), "shop", ENABLED, &settings) else {
        panic!("it asks for it")
    };
    let volumes = injected.pod["spec"]["volumes"].as_array().unwrap();
    let of_secret: Vec<_> = volumes.iter().filter(|volume| volume["name"] == "amime-otlp").collect();
    let [volume] = of_secret[..] else { panic!("{volumes:?}") };
    assert_eq!(volume["secret"], json!({ "secretName": "otlp", "defaultMode": 0o444, "optional": true }));
    let with_it = |list: &str| {
        let containers = injected.pod["spec"][list].as_array().cloned().unwrap_or_default();
        let has = |one: &Value| one["volumeMounts"].to_string().contains("amime-otlp");
        containers.iter().filter(|one| has(one)).map(|one| one["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(with_it("initContainers"), ["mesh-proxy"]);
    assert_eq!(with_it("containers"), Vec::<Value>::new());
    let mounts = injected.pod["spec"]["initContainers"].to_string();
    assert!(
        mounts.contains(r#""mountPath":"/etc/amime/otlp","name":"amime-otlp","readOnly":true"#),
        "{mounts}"
    );
    let ejected = crate::eject(&injected.pod).unwrap().pod.to_string();
    assert!(!ejected.contains("amime-otlp"), "and it can be taken away again: {ejected}");
    assert!(!self::injected(&pod()).pod.to_string().contains("amime-otlp"));
}

#[test]
fn probes_that_do_not_come_over_the_captured_network_stay() {
    let container = json!({
        "name": "app",
        "readinessProbe": { "exec": { "command": ["true"] } },
        "livenessProbe": { "httpGet": { "port": 8080, "host": "10.0.0.1" } },
        "startupProbe": { "httpGet": { "port": "nowhere" } },
        "lifecycle": { "postStart": { "httpGet": { "port": 22 } }, "preStop": { "exec": { "command": ["x"] } } },
    });
    let mut pod = with("/spec/containers", json!([container]));
    pod["metadata"]["annotations"] = json!({ "amime.io/exclude-inbound-ports": "22" });
    let after = injected(&pod).pod;
    assert_eq!(after["spec"]["containers"][0], container);
    let hook = json!({ "name": "app", "lifecycle": { "preStop": { "httpGet": { "port": 8080, "path": "/stop" } } } });
    let after = injected(&with("/spec/containers", json!([hook]))).pod;
    let after = &after["spec"]["containers"][0]["lifecycle"]["preStop"];
    assert_eq!(after["httpGet"]["path"], "/probe/app/pre-stop");
}

#[test]
fn settings_say_which_field_is_wrong() {
    let wrong = |change: fn(&mut Settings)| {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.sidecar().unwrap_err().to_string()
    };
    assert!(wrong(|s| s.ca = "nowhere".into()).starts_with("ca: `nowhere` is not HOST:PORT"));
    assert!(wrong(|s| s.workers = 0).starts_with("workers: 0 is not from 1 to 64"));
    assert!(wrong(|s| s.memory_request = "1Ti".into()).starts_with("memoryRequest: `1Ti` is over the limit"));
    assert!(serde_saphyr::from_str::<Settings>("imgae: x").is_err());
    assert_eq!(serde_saphyr::from_str::<Settings>("workers: 2").unwrap().workers, 2);
}

#[test]
fn a_scrape_by_annotation_leads_to_the_sidecar_and_back() {
    let mut pod = with(
        "/metadata/annotations",
        json!({
            "prometheus.io/scrape": "true", "prometheus.io/port": "9090", "prometheus.io/path": "/m",
        }),
    );
    pod["metadata"]["labels"][crate::INJECT_LABEL] = json!("enabled");
    let once = injected(&pod);
    let annotations = &once.pod["metadata"]["annotations"];
    assert_eq!(annotations["prometheus.io/port"], "15020");
    assert_eq!(annotations["prometheus.io/path"], "/metrics");
    let env = once.pod["spec"]["initContainers"][1]["env"].as_array().unwrap();
    let told = env.iter().find(|one| one["name"] == scrape::VARIABLE).unwrap();
    assert_eq!(told["value"], "9090/m");
    assert_eq!(
        said(decide(&once.pod, "shop", ENABLED, &Settings::default())),
        "skip: it has the sidecar already"
    );
    let mut expected = pod.clone();
    expected["metadata"]["labels"].as_object_mut().unwrap().remove(crate::INJECT_LABEL);
    assert_eq!(crate::eject(&once.pod).unwrap().pod["metadata"], expected["metadata"]);
    // The annotations come later than the sidecar, from another webhook.
    let mut late = injected(&with("/metadata/annotations", json!({}))).pod;
    late["metadata"]["annotations"]["prometheus.io/scrape"] = json!("true");
    late["metadata"]["annotations"]["prometheus.io/port"] = json!("9090");
    let late = injected(&late);
    let added = late.pod["metadata"]["annotations"][ADDED_ANNOTATION].as_str().unwrap();
    assert!(added.contains("preStop") && added.contains(r#""prometheus.io/port":"9090""#), "{added}");
    pod["metadata"]["annotations"]["amime.io/application-metrics"] = json!("keep");
    assert_eq!(injected(&pod).pod["metadata"]["annotations"]["prometheus.io/port"], "9090");
}
