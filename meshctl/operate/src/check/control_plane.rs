//! Controller and authority: whether they are there, run, are of one version and may do their work.

use serde_json::Value;

use super::facts::{full_name, image, label, list, name, namespace, tag, text, version};
use super::state::State;
use super::{Check, Stage, Verdict};
use crate::readiness;

const PARTS: [&str; 2] = ["mesh-ca", "mesh-controller"];
/// More restarts than these are no accident.
const RESTARTS: u64 = 3;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "AMC020",
        group: "Control plane",
        stage: Stage::Installed,
        title: "the mesh is installed",
        meaning: "The namespace of the mesh, or the controller's or the authority's Deployment in it, is not there.",
        remedy: "meshctl install. If the mesh is in another namespace, name it with --mesh-namespace.",
        judge: installed,
    },
    Check {
        id: "AMC021",
        group: "Control plane",
        stage: Stage::Installed,
        title: "every object of the installation is there",
        meaning: "meshctl remembers in ConfigMap amime-install what it made. Something of it was removed since.",
        remedy: "meshctl install makes it again; it changes nothing that is as it should be.",
        judge: complete,
    },
    Check {
        id: "AMC022",
        group: "Control plane",
        stage: Stage::Installed,
        title: "controller and authority may do their work",
        meaning: "A role lacks what the part asks the API server for: it then cannot watch objects, write conditions, \
                  review tokens or keep its certificate, and says so in its log.",
        remedy: "meshctl install applies the roles again.",
        judge: roles,
    },
    Check {
        id: "AMC023",
        group: "Control plane",
        stage: Stage::Installed,
        title: "the authority is ready",
        meaning: "Without mesh-ca no new Pod gets a certificate, and no certificate is renewed. Members go on with theirs \
                  until it ends.",
        remedy: "The reason stands beside it; kubectl describe pods and kubectl logs in the mesh's namespace say more.",
        judge: |state| ready(state, "mesh-ca"),
    },
    Check {
        id: "AMC024",
        group: "Control plane",
        stage: Stage::Installed,
        title: "the controller is ready",
        meaning: "Without mesh-controller nothing that changes reaches a proxy, and Pods that opted in are not made. \
                  Members go on with what they last knew.",
        remedy: "The reason stands beside it; kubectl describe pods and kubectl logs in the mesh's namespace say more.",
        judge: |state| ready(state, "mesh-controller"),
    },
    Check {
        id: "AMC025",
        group: "Control plane",
        stage: Stage::Installed,
        title: "nothing restarts again and again",
        meaning: "A container of the control plane has ended several times. It is served by another replica or by the \
                  next start, until it is not.",
        remedy: "kubectl logs --previous says why. OOMKilled: raise controller.resources.limits.memory or \
                 ca.resources.limits.memory with meshctl install --set.",
        judge: restarts,
    },
    Check {
        id: "AMC026",
        group: "Control plane",
        stage: Stage::Installed,
        title: "images can be pulled",
        meaning: "A node cannot get an image of the mesh: wrong hub or tag, a registry that asks who pulls, or no way to \
                  it.",
        remedy: "meshctl install --image-hub HUB --image-tag TAG, and --set image.pullSecrets={NAME} for a registry that \
                 asks.",
        judge: images,
    },
    Check {
        id: "AMC027",
        group: "Control plane",
        stage: Stage::Installed,
        title: "controller, authority and meshctl are of one version",
        meaning: "Parts of neighbouring versions work together; what this meshctl shows and installs is of its own.",
        remedy: "meshctl upgrade with the newer meshctl, or use the meshctl of the installed version.",
        judge: versions,
    },
    Check {
        id: "AMC028",
        group: "Control plane",
        stage: Stage::Installed,
        title: "a controller leads",
        meaning: "The replica that holds Lease mesh-controller writes conditions and copies roots into namespaces. Proxies \
                  are served by all replicas, with or without it.",
        remedy: "Look at the controllers' logs; a role without leases (AMC022) and clocks that differ (AMC003) are the \
                 usual causes.",
        judge: leader,
    },
    Check {
        id: "AMC029",
        group: "Control plane",
        stage: Stage::Installed,
        title: "Services have ready endpoints",
        meaning: "Proxies and the API server reach the control plane by Services mesh-ca and mesh-controller. One of them \
                  leads to no ready Pod.",
        remedy: "If the Deployments are ready, somebody changed the Service's or the Pods' labels: meshctl install.",
        judge: endpoints,
    },
    Check {
        id: "AMC030",
        group: "Control plane",
        stage: Stage::Installed,
        title: "there is one MeshConfig",
        meaning: "Settings of the whole mesh stand in MeshConfig `default`. Without it, defaults are in force; another one \
                  is read by nobody.",
        remedy: "meshctl install makes it; kubectl delete meshconfig NAME removes another one.",
        judge: mesh_config,
    },
];

fn installed(state: &State) -> Verdict {
    if state.namespace(&state.mesh_namespace).is_none() {
        return Verdict::errors(vec![format!("there is no namespace {}", state.mesh_namespace)]);
    }
    let missing = PARTS.into_iter().filter(|part| !state.deployments.contains_key(*part));
    Verdict::errors(
        missing.map(|part| format!("there is no Deployment {}/{part}", state.mesh_namespace)).collect(),
    )
}

fn complete(state: &State) -> Verdict {
    if !state.inventory {
        return Verdict::skipped("it was not installed by meshctl");
    }
    Verdict::errors(state.missing.iter().map(|object| format!("{object} is missing")).collect())
}

fn roles(state: &State) -> Verdict {
    let mut found = Vec::new();
    for (role, live, wanted) in &state.roles {
        let Some(live) = live else {
            found.push(format!("{role} is missing"));
            continue;
        };
        for rule in list(wanted, "/rules") {
            if !list(live, "/rules").any(|candidate| covers(candidate, rule)) {
                let strings = |key| list(rule, key).filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
                found.push(format!(
                    "{role} does not allow {} of {}",
                    strings("/verbs"),
                    strings("/resources")
                ));
            }
        }
    }
    Verdict::errors(found)
}

/// Whether one rule allows all that another one does.
fn covers(rule: &Value, wanted: &Value) -> bool {
    ["/apiGroups", "/resources", "/verbs"].into_iter().all(|key| {
        let all = list(rule, key).any(|value| value == "*");
        all || list(wanted, key).all(|value| list(rule, key).any(|allowed| allowed == value))
    }) && (list(rule, "/resourceNames").next().is_none()
        || list(wanted, "/resourceNames")
            .all(|value| list(rule, "/resourceNames").any(|allowed| allowed == value))
            && list(wanted, "/resourceNames").next().is_some())
}

fn pods_of<'a>(state: &'a State, part: &'a str) -> impl Iterator<Item = &'a Value> {
    state.control_pods.iter().filter(move |pod| label(pod, "app.kubernetes.io/name") == Some(part))
}

fn ready(state: &State, part: &str) -> Verdict {
    let Some(deployment) = state.deployments.get(part) else { return Verdict::skipped("it is not there") };
    let pods: Vec<Value> = pods_of(state, part).cloned().collect();
    let warning = |pod: &str| {
        let about = |event: &&Value| text(event, "/involvedObject/name") == Some(pod);
        state.warnings.iter().rfind(about).and_then(|event| text(event, "/message")).map(ToOwned::to_owned)
    };
    let progress = readiness::deployment(deployment, &pods, warning);
    Verdict::errors(if progress.ready { Vec::new() } else { vec![progress.words] })
}

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .flat_map(|path| list(pod, path))
}

fn restarts(state: &State) -> Verdict {
    let mut found = Vec::new();
    for pod in &state.control_pods {
        for container in statuses(pod) {
            let count = container.get("restartCount").and_then(Value::as_u64).unwrap_or_default();
            if count > RESTARTS {
                let reason = text(container, "/lastState/terminated/reason").unwrap_or("unknown reason");
                found.push(format!("{}: restarted {count} times, last because of {reason}", name(pod)));
            }
        }
    }
    Verdict::warnings(found)
}

fn images(state: &State) -> Verdict {
    let mut found = Vec::new();
    for pod in state.control_pods.iter().chain(&state.members) {
        for container in statuses(pod) {
            let why = text(container, "/state/waiting/reason").unwrap_or_default();
            if matches!(why, "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull") {
                let image = text(container, "/image").unwrap_or_default();
                let ours = ["mesh-proxy", "mesh-init", "mesh-ca", "mesh-controller"];
                if ours.iter().any(|name| text(container, "/name") == Some(name)) {
                    found.push(format!("{}: {why}: {image}", full_name(pod)));
                }
            }
        }
    }
    found.sort();
    found.truncate(5);
    Verdict::errors(found)
}

fn versions(state: &State) -> Verdict {
    let Some(own) = version(&state.version) else { return Verdict::skipped("meshctl has no version") };
    let mut found = Vec::new();
    for part in PARTS {
        let Some(deployment) = state.deployments.get(part) else { continue };
        // A label says it where an image's tag is a name of somebody's own.
        let said = label(deployment, "app.kubernetes.io/version")
            .or_else(|| tag(image(deployment.pointer("/spec/template/spec")?, part)?));
        if let Some(said) = said.filter(|said| version(said).is_some_and(|version| version != own)) {
            found.push(format!("{part} is {said}, meshctl is {}", state.version));
        }
    }
    Verdict::warnings(found)
}

fn leader(state: &State) -> Verdict {
    if !state.deployments.contains_key("mesh-controller") {
        return Verdict::skipped("there is no controller");
    }
    let Some(lease) = &state.lease else {
        return Verdict::errors(vec![
            "there is no Lease mesh-controller: no controller has ever led".to_owned(),
        ]);
    };
    let Some(holder) = text(lease, "/spec/holderIdentity").filter(|holder| !holder.is_empty()) else {
        return Verdict::errors(vec!["nobody holds Lease mesh-controller".to_owned()]);
    };
    let Some(renewed) = text(lease, "/spec/renewTime").and_then(unix) else {
        return Verdict::errors(vec![format!(
            "{holder} holds Lease mesh-controller and has never renewed it"
        )]);
    };
    let lasts = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_i64).unwrap_or(15);
    // What the API server's clock says counts where both are known.
    let age = state.server_time.unwrap_or(state.now) - renewed;
    if age > lasts + 5 {
        let what = format!("{holder} holds Lease mesh-controller and has not renewed it for {age} s");
        return Verdict::errors(vec![what]);
    }
    Verdict::Passed
}

/// Seconds of an RFC 3339 time.
fn unix(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

fn endpoints(state: &State) -> Verdict {
    let mut found = Vec::new();
    for part in PARTS.into_iter().filter(|part| state.deployments.contains_key(*part)) {
        let mut slices = state.slices.iter().filter(|slice| {
            label(slice, "kubernetes.io/service-name") == Some(part)
                && namespace(slice) == state.mesh_namespace
        });
        let ready = slices.any(|slice| {
            list(slice, "/endpoints")
                .any(|endpoint| endpoint.pointer("/conditions/ready").and_then(Value::as_bool) != Some(false))
        });
        if !ready {
            found.push(format!("Service {}/{part} has no ready endpoint", state.mesh_namespace));
        }
    }
    Verdict::errors(found)
}

fn mesh_config(state: &State) -> Verdict {
    if !state.is_installed() {
        return Verdict::skipped("nothing is installed");
    }
    let others = state.mesh_configs.iter().map(name).filter(|name| *name != "default");
    let mut found: Vec<String> = others
        .map(|other| format!("MeshConfig {other} is read by nobody: there is one, named default"))
        .collect();
    if !state.mesh_configs.iter().any(|config| name(config) == "default") {
        found.push("there is no MeshConfig default: defaults are in force".to_owned());
    }
    Verdict::warnings(found)
}
