//! T37: kinds of pods that other injectors got wrong, one by one. What is refused and why is in `patch/tests.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use mesh_inject::{Asked, Decision, Settings, Subject, inject};
use serde_json::{Value, json};

fn injected(pod: &Value, settings: &Settings) -> Value {
    let subject = Subject { pod, namespace: "shop", namespace_labels: None, asked: Some(Asked::Namespace) };
    match inject(subject, settings).unwrap() {
        Decision::Inject(injected) => injected.pod,
        other => panic!("{other:?}"),
    }
}

fn pod(spec: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": spec })
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

fn cni() -> Settings {
    serde_json::from_value(json!({ "capture": "cni" })).unwrap()
}

/// What Pod Security `restricted` asks of a container (Kubernetes: Pod Security Standards), written down from the standard.
fn restricted_violations(pod: &Value, container: &Value) -> Vec<&'static str> {
    let (own, of_pod) = (&container["securityContext"], &pod["spec"]["securityContext"]);
    let either = |field: &str| if own[field].is_null() { of_pod[field].clone() } else { own[field].clone() };
    let capabilities = &own["capabilities"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what| {
        if !holds {
            wrong.push(what);
        }
    };
    must(own["privileged"] != true, "privileged");
    must(own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation");
    must(list(&capabilities["drop"]).contains(&json!("ALL")), "capabilities.drop");
    must(list(&capabilities["add"]).iter().all(|one| one == "NET_BIND_SERVICE"), "capabilities.add");
    must(either("runAsNonRoot") == true, "runAsNonRoot");
    must(either("runAsUser") != 0, "runAsUser");
    must(
        ["RuntimeDefault", "Localhost"].map(Value::from).contains(&either("seccompProfile")["type"]),
        "seccompProfile",
    );
    must(list(&container["ports"]).iter().all(|port| port["hostPort"].is_null()), "hostPort");
    must(own["procMount"].is_null(), "procMount");
    wrong
}

#[test]
fn with_the_cni_plugin_a_pod_is_admitted_where_pod_security_is_restricted() {
    let after = injected(&pod(json!({ "containers": [{ "name": "app" }] })), &cni());
    for ours in after["spec"]["initContainers"].as_array().unwrap() {
        assert_eq!(restricted_violations(&after, ours), [""; 0], "{}", ours["name"]);
    }
    for volume in after["spec"]["volumes"].as_array().unwrap() {
        let kinds: Vec<_> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
        let allowed = [
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        assert!(kinds.iter().all(|kind| allowed.contains(&kind.as_str())), "{volume}");
    }
    // Without the plugin there is one capability, and the judge above sees it.
    let after = injected(&pod(json!({ "containers": [{ "name": "app" }] })), &Settings::default());
    let init = &after["spec"]["initContainers"][0];
    assert_eq!(restricted_violations(&after, init), ["capabilities.add", "runAsNonRoot", "runAsUser"]);
}

#[test]
fn the_sidecar_starts_before_every_init_container_and_sidecar_of_the_application() {
    let theirs = json!([{ "name": "migrate" }, { "name": "log-shipper", "restartPolicy": "Always" }, { "name": "warm-up" }]);
    let before = pod(json!({ "initContainers": theirs, "containers": [{ "name": "app" }] }));
    for (settings, first) in [(Settings::default(), "mesh-init"), (cni(), "mesh-validate")] {
        let after = injected(&before, &settings);
        let wanted = [first, "mesh-proxy", "migrate", "log-shipper", "warm-up"];
        assert_eq!(names(&after["spec"]["initContainers"]), wanted);
        assert_eq!(
            after["spec"]["initContainers"][1]["restartPolicy"], "Always",
            "it ends after the application"
        );
        assert_eq!(after["spec"]["initContainers"][2], json!({ "name": "migrate" }));
        assert_eq!(names(&after["spec"]["containers"]), ["app"]);
    }
}

#[test]
fn a_job_ends_when_its_containers_do() {
    for policy in ["Never", "OnFailure"] {
        let job = pod(
            json!({ "restartPolicy": policy, "activeDeadlineSeconds": 60, "containers": [{ "name": "work" }] }),
        );
        let after = injected(&job, &Settings::default());
        assert_eq!(
            names(&after["spec"]["containers"]),
            ["work"],
            "a sidecar among the containers would keep it from ending"
        );
        assert_eq!(
            (&after["spec"]["restartPolicy"], &after["spec"]["activeDeadlineSeconds"]),
            (&json!(policy), &json!(60))
        );
    }
}

#[test]
fn ephemeral_containers_stay_as_they_are_and_take_no_name_of_ours() {
    let debug = json!([{ "name": "debug", "image": "busybox", "targetContainerName": "app", "stdin": true }]);
    let before = pod(json!({ "containers": [{ "name": "app" }], "ephemeralContainers": debug }));
    let after = injected(&before, &Settings::default());
    assert_eq!(after["spec"]["ephemeralContainers"], debug);
    // One more, as `kubectl debug` adds it: nothing is left to do.
    let mut later = after;
    later["spec"]["ephemeralContainers"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "again", "image": "busybox" }));
    let subject = Subject { pod: &later, namespace: "shop", namespace_labels: None, asked: Some(Asked::Pod) };
    let decision = inject(subject, &Settings::default()).unwrap();
    assert!(matches!(&decision, Decision::Skip(mesh_inject::Reason::AlreadyInjected)), "{decision:?}");
}

#[test]
fn nothing_in_the_sidecar_depends_on_the_family_of_the_pods_addresses() {
    let ips = |list: &[&str]| list.iter().map(|ip| json!({ "ip": ip })).collect::<Vec<_>>();
    let with = |list: &[&str]| {
        let mut pod = pod(json!({ "containers": [{ "name": "app", "ports": [{ "containerPort": 80 }] }] }));
        pod["status"] = json!({ "podIP": list[0], "podIPs": ips(list) });
        injected(&pod, &Settings::default())["spec"]["initContainers"].clone()
    };
    let v4 = with(&["10.1.2.3"]);
    assert_eq!((&v4, &v4), (&with(&["fd00::3"]), &with(&["10.1.2.3", "fd00::3"])));
    let flags: Vec<_> =
        v4[1]["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap().to_owned()).collect();
    let of = |name: &str| flags.iter().skip_while(|flag| *flag != name).nth(1).unwrap().as_str();
    // Ports alone: the sidecar listens on both families, and what it finds there is judged by what the pod has when it runs.
    assert_eq!((of("--capture-inbound"), of("--capture-outbound")), ("15006", "15001"));
}
