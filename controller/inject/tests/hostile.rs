//! T36: whatever is written in our annotations, a pod is refused in one line that names the annotation, or gets a sidecar, and then nothing of
//! it has changed but what is ours. The proof is a difference of the two documents that knows nothing of how the patch is made.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use mesh_inject::annotations::ANNOTATIONS;
use mesh_inject::{Decision, Injected, Op, Reason, Settings, Subject, inject};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Values that meant something to a template, a shell, a parser of YAML or of JSON, somewhere.
const HOSTILE: &[&str] = &[
    "",
    " ",
    "\n",
    "info\nargs: [\"--evil\"]",
    "x\r\ny",
    "}}",
    "{{ .Values.x }}",
    "{{- range . }}",
    "\"}]},{\"name\":\"evil\",\"image\":\"evil",
    "'\"`",
    "\\",
    "\\u0000",
    "\u{0}",
    "\u{202e}gnp",
    "&anchor value",
    "*anchor",
    "<<: *x",
    "!!binary x",
    "- a\n- b",
    "| \n  text",
    "# comment",
    "null",
    "true",
    "7",
    "-1",
    "1e9",
    "0x10",
    "99999999999999999999",
    "NaN",
    "[]",
    "{\"a\":1}",
    "$(POD_IP)",
    "$$(x)",
    "${PATH}",
    "$(touch /tmp/x)",
    "`id`",
    "; rm -rf /",
    "--admin=0.0.0.0:1",
    "-x",
    "a b",
    "../../etc/passwd",
    "%s%n",
    "évil",
];
/// Values that are good for some annotation.
const GOOD: &[&str] = &[
    "hub.example:5000/a/b:1@sha256:00",
    "100m",
    "2",
    "64Mi",
    "1Gi",
    "mesh_proxy=debug,info",
    "22,8000-8010",
    "10.8.0.0/16",
    "fd00::/8",
    "init",
    "cni",
    "none",
    "enabled",
    "disabled",
    "rewrite",
    "keep",
    "0",
    "5",
    "64",
];

fn pod(annotations: &BTreeMap<String, Value>) -> Value {
    let theirs = ("example.com/theirs".to_owned(), json!("{{"));
    let all: Map<String, Value> = annotations.clone().into_iter().chain([theirs]).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "cart-1", "labels": { "app": "cart", "a~b/c": "d" },
            "annotations": all,
        },
        "spec": {
            "serviceAccountName": "cart",
            "initContainers": [{ "name": "migrate", "image": "m:1", "args": ["a", "b"] }],
            "containers": [
                {
                    "name": "app", "image": "cart:1", "args": ["--x={{ y }}"], "env": [{ "name": "A", "value": "&a" }],
                    "ports": [{ "name": "web", "containerPort": 8080 }], "fieldOfTheFuture": { "kept": true },
                    "readinessProbe": { "httpGet": { "path": "/ready", "port": "web" } },
                },
                { "name": "second", "image": "s:1", "lifecycle": { "preStop": { "exec": { "command": ["true"] } } } },
            ],
            "volumes": [{ "name": "data", "emptyDir": {} }],
            "nodeSelector": { "disk": "ssd" },
        },
        "status": { "phase": "Pending" },
    })
}

fn decide(pod: &Value) -> Decision {
    let labels = [("amime.io/inject".to_owned(), "enabled".to_owned())].into();
    let subject = Subject { pod, namespace: "shop", namespace_labels: Some(&labels), asked: None };
    inject(subject, &Settings::default()).unwrap()
}

/// Every place at which two documents differ. Lists of named things are compared by name.
fn differences(at: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for key in before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))) {
                let none = Value::Null;
                let of = |map: &Map<String, Value>| map.get(key).unwrap_or(&none).clone();
                differences(&format!("{at}/{}", key.replace('/', "~")), &of(before), &of(after), found);
            }
        }
        (Value::Array(_) | Value::Null, Value::Array(list))
            if named(after) && (before.is_null() || named(before)) =>
        {
            let old: Vec<&Value> = before.as_array().into_iter().flatten().collect();
            let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
            let kept: Vec<_> =
                list.iter().map(name).filter(|of| old.iter().any(|one| name(one) == *of)).collect();
            assert_eq!(
                kept,
                old.iter().map(|one| name(one)).collect::<Vec<_>>(),
                "{at}: what was there is in its order"
            );
            for one in list {
                let none = Value::Null;
                let was = old.iter().find(|old| name(old) == name(one)).copied().unwrap_or(&none);
                let place = format!("{at}[{}]", name(one));
                if was.is_null() { found.push(place) } else { differences(&place, was, one, found) }
            }
        }
        _ if before == after => {}
        _ => found.push(at.to_owned()),
    }
}

fn named(list: &Value) -> bool {
    list.as_array().is_some_and(|list| list.iter().all(|one| one["name"].is_string()))
}

/// All that may be different.
fn is_ours(place: &str) -> bool {
    let container = |rest: &str| {
        ["app", "second"].iter().any(|name| {
            let of = rest.strip_prefix(&format!("[{name}]"));
            of.is_some_and(|field| {
                // The kubelet's probes go through the sidecar, and the end waits for callers.
                ["/readinessProbe", "/livenessProbe", "/startupProbe", "/lifecycle"]
                    .iter()
                    .any(|ours| field.starts_with(ours))
                    || ["/env[SPIFFE_ENDPOINT_SOCKET]", "/volumeMounts[amime-workload-api]"].contains(&field)
            })
        })
    };
    [
        "/metadata/labels/amime.io~injected",
        "/metadata/annotations/amime.io~proxy-version",
        "/metadata/annotations/amime.io~added",
        "/metadata/annotations/amime.io~cni",
        "/spec/initContainers[mesh-init]",
        "/spec/initContainers[mesh-validate]",
        "/spec/initContainers[mesh-proxy]",
        "/spec/terminationGracePeriodSeconds",
    ]
    .contains(&place)
        || place.starts_with("/spec/volumes[amime-")
        || place.strip_prefix("/spec/containers").is_some_and(container)
}

/// A JSON patch (RFC 6902) as an API server applies it.
fn apply(mut document: Value, patch: &[Op]) -> Value {
    for op in patch {
        let (path, value) = match op {
            Op::Add { path, value } | Op::Replace { path, value } => (path, Some(value.clone())),
            Op::Remove { path } => (path, None),
        };
        let (parent, last) = path.rsplit_once('/').unwrap();
        let last = last.replace("~1", "/").replace("~0", "~");
        match (document.pointer_mut(parent).unwrap(), value) {
            (Value::Object(map), Some(value)) => drop(map.insert(last, value)),
            (Value::Object(map), None) => drop(map.remove(&last).unwrap()),
            (Value::Array(list), Some(value)) if matches!(op, Op::Add { .. }) => {
                list.insert(if last == "-" { list.len() } else { last.parse().unwrap() }, value);
            }
            (Value::Array(list), Some(value)) => list[last.parse::<usize>().unwrap()] = value,
            (Value::Array(list), None) => drop(list.remove(last.parse().unwrap())),
            (other, _) => panic!("{path} is in {other}"),
        }
    }
    document
}

/// What has to hold for every pod, whatever its annotations.
fn holds(pod: &Value) {
    match decide(pod) {
        Decision::Refuse(Reason::Annotation(error)) => {
            let text = error.to_string();
            assert!(error.name.starts_with("amime.io/") || error.name.starts_with('`'), "{text}");
            assert!(text.len() < 500 && !text.chars().any(char::is_control), "{text:?}");
        }
        Decision::Refuse(Reason::NotAPod(why)) => assert!(why.contains("invalid type"), "{why}"),
        Decision::Inject(injected) => {
            let Injected { pod: after, patch } = *injected;
            assert_eq!(apply(pod.clone(), &patch), after, "the patch makes what is said");
            let mut found = Vec::new();
            differences("", pod, &after, &mut found);
            let foreign: Vec<_> = found.iter().filter(|place| !is_ours(place)).collect();
            assert!(foreign.is_empty(), "changed, and not ours: {foreign:?}");
            assert!(found.iter().any(|place| place.ends_with("[mesh-proxy]")), "{found:?}");
            // What somebody wrote never becomes a container, an image of another one or a flag of its own.
            let proxy = &after["spec"]["initContainers"]
                .as_array()
                .unwrap()
                .iter()
                .find(|one| one["name"] == "mesh-proxy")
                .unwrap();
            let flags = proxy["args"].as_array().unwrap().iter().filter_map(Value::as_str);
            let admin: Vec<_> = flags.skip_while(|flag| *flag != "--admin").take(2).collect();
            assert_eq!(admin, ["--admin", "127.0.0.1:15000"]);
            assert!(!serde_json::to_string(proxy).unwrap().contains("evil"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_annotation_with_every_hostile_value_is_refused_or_literal() {
    let (mut refused, mut injected) = (0, 0);
    for annotation in ANNOTATIONS {
        for value in HOSTILE.iter().chain(GOOD) {
            let pod = pod(&[(annotation.name.to_owned(), json!(value))].into());
            holds(&pod);
            match decide(&pod) {
                Decision::Inject(_) => injected += 1,
                _ => refused += 1,
            }
        }
    }
    assert!(refused > 500 && injected > 100, "{refused} {injected}");
}

#[test]
fn a_value_of_256_kilobytes_or_of_another_type_is_refused_in_one_line() {
    for annotation in ANNOTATIONS {
        for value in ["9", "a", "1,", "\n", "é"].map(|one| one.repeat(256 * 1024 / one.len())) {
            holds(&pod(&[(annotation.name.to_owned(), json!(value))].into()));
            let decision = decide(&pod(&[(annotation.name.to_owned(), json!(value))].into()));
            assert!(matches!(decision, Decision::Refuse(Reason::Annotation(_))), "{}", annotation.name);
        }
        for value in [json!(7), json!(true), json!(["x"]), json!({ "a": "b" }), json!(1.5)] {
            let decision = decide(&pod(&[(annotation.name.to_owned(), value.clone())].into()));
            let Decision::Refuse(Reason::NotAPod(why)) = decision else {
                panic!("{}: {value}", annotation.name)
            };
            assert!(why.contains("invalid type"), "{why}");
        }
    }
}

#[test]
fn a_name_that_is_nearly_ours_is_refused_and_one_of_others_is_left_alone() {
    for name in [
        "amime.io/",
        "amime.io/x\ny",
        "amime.io/~0",
        "amime.io/Workers",
        "amime.io/workers ",
        "amime.io/{{x}}",
    ] {
        let pod = pod(&[(name.to_owned(), json!("1"))].into());
        holds(&pod);
        assert!(matches!(decide(&pod), Decision::Refuse(Reason::Annotation(_))), "{name:?}");
    }
    for name in
        ["amime.iox/workers", "xamime.io/workers", "a.amime.io/workers", "workers", "amime.io", "a/b~1c\"{{"]
    {
        let pod = pod(&[(name.to_owned(), json!("{{\n*x"))].into());
        holds(&pod);
        assert!(matches!(decide(&pod), Decision::Inject(_)), "{name:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_annotations_at_once_change_only_what_is_ours(
        chosen in proptest::collection::btree_map(
            (0..ANNOTATIONS.len()).prop_map(|at| ANNOTATIONS[at].name.to_owned()),
            prop_oneof![
                4 => select(GOOD).prop_map(str::to_owned),
                1 => select(HOSTILE).prop_map(str::to_owned),
                1 => "\\PC{0,40}",
                1 => "[0-9a-z,./:=@-]{0,20}",
            ],
            0..5,
        ),
    ) {
        holds(&pod(&chosen.into_iter().map(|(name, value)| (name, json!(value))).collect()));
    }
}
