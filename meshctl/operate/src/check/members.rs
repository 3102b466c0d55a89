//! Members: Pods that have a sidecar, and those that should.

use std::collections::BTreeSet;

use serde_json::Value;

use super::facts::{INJECT, annotation, full_name, label, list, name, namespace, some, text, version};
use super::state::{Proxies, State};
use super::{Check, Stage, Verdict};

/// Proxies so many minor versions behind are served.
const BEHIND: u32 = 2;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "AMC060",
        group: "Members",
        stage: Stage::Members,
        title: "Pods of namespaces that opted in have a sidecar",
        meaning: "These Pods were made before their namespace opted in, or while nobody injected. They are outside the mesh: \
                  no mTLS, no routes.",
        remedy: "Make them anew: kubectl rollout restart deployment -n NAMESPACE. Pods that should stay outside get the label \
                 amime.io/inject=disabled.",
        judge: uninjected,
    },
    Check {
        id: "AMC061",
        group: "Members",
        stage: Stage::Members,
        title: "sidecars run",
        meaning: "The sidecar of these Pods does not run: their captured traffic goes nowhere.",
        remedy: "kubectl logs POD -c mesh-proxy says why: mostly no certificate, because the authority is away (AMC023) or \
                 the roots are wrong (AMC043).",
        judge: failed,
    },
    Check {
        id: "AMC062",
        group: "Members",
        stage: Stage::Members,
        title: "traffic is captured",
        meaning: "Init container mesh-init failed in these Pods: it could not write the rules that bring traffic to the \
                  sidecar. Or mesh-validate did: the CNI plugin has not written them.",
        remedy: "kubectl logs POD -c mesh-init says why: a kernel without nftables (AMC004), or missing capabilities \
                 (AMC054). Of mesh-validate: look whether the plugin is ready on the node (AMC056), and delete the Pod.",
        judge: uncaptured,
    },
    Check {
        id: "AMC063",
        group: "Members",
        stage: Stage::Members,
        title: "sidecars are new enough",
        meaning: "The controller serves sidecars of two minor versions before its own, and of the next one. These are \
                  further away.",
        remedy: "Make the Pods anew: kubectl rollout restart deployment -n NAMESPACE.",
        judge: skew,
    },
    Check {
        id: "AMC064",
        group: "Members",
        stage: Stage::Members,
        title: "sidecars are connected to the controller",
        meaning: "These Pods have a sidecar that no controller knows: it serves what it last knew, and gets nothing new.",
        remedy: "meshctl proxy certs POD and kubectl logs POD -c mesh-proxy: a certificate, a NetworkPolicy that forbids port \
                 15010, or names that do not resolve.",
        judge: disconnected,
    },
    Check {
        id: "AMC065",
        group: "Members",
        stage: Stage::Members,
        title: "no Pod wants a sidecar and cannot have one",
        meaning: "A Pod on its node's network shares it with everything there: its traffic cannot be captured.",
        remedy: "Take hostNetwork out of the Pod, or label it amime.io/inject=disabled to say that it stays outside.",
        judge: host_network,
    },
];

fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), Some("Succeeded" | "Failed"))
        || pod.pointer("/metadata/deletionTimestamp").is_some()
}

fn is_injected(pod: &Value) -> bool {
    label(pod, "amime.io/injected") == Some("true")
}

fn uninjected(state: &State) -> Verdict {
    let namespaces: BTreeSet<&str> = state.opted_in_namespaces().map(name).collect();
    let without = state.opted_in.iter().filter(|pod| {
        let out = label(pod, INJECT) == Some("disabled");
        namespaces.contains(namespace(pod)) && !out && !is_injected(pod) && !is_over(pod) && !on_host(pod)
    });
    Verdict::warnings(some(without.map(full_name).collect(), "has no sidecar"))
}

/// Only whole Pods say it; of metadata it is not known.
fn on_host(pod: &Value) -> bool {
    pod.pointer("/spec/hostNetwork").and_then(Value::as_bool) == Some(true)
}

fn status<'a>(pod: &'a Value, container: &'a str) -> Option<&'a Value> {
    list(pod, "/status/initContainerStatuses").find(|status| text(status, "/name") == Some(container))
}

fn failed(state: &State) -> Verdict {
    let failed = state.members.iter().filter(|pod| !is_over(pod)).filter_map(|pod| {
        let status = status(pod, "mesh-proxy")?;
        let waiting = text(status, "/state/waiting/reason");
        let why = match waiting {
            Some("PodInitializing" | "ContainerCreating") | None => None,
            Some(reason) => Some(reason.to_owned()),
        };
        let ended = status.pointer("/state/terminated").map(|state| {
            format!(
                "ended with exit code {}",
                state.get("exitCode").and_then(Value::as_i64).unwrap_or_default()
            )
        });
        why.or(ended).map(|why| format!("{} ({why})", full_name(pod)))
    });
    Verdict::errors(some(failed.collect(), "its sidecar does not run"))
}

fn uncaptured(state: &State) -> Verdict {
    let failed = |pod: &Value, container: &str| {
        let Some(status) = status(pod, container) else { return false };
        ["/state/terminated/exitCode", "/lastState/terminated/exitCode"]
            .into_iter()
            .find_map(|path| status.pointer(path)?.as_i64())
            .is_some_and(|code| code != 0)
    };
    let pods = || state.members.iter().filter(|pod| !is_over(pod));
    let found = ["mesh-init", "mesh-validate"].into_iter().flat_map(|container| {
        let subjects = pods().filter(|pod| failed(pod, container)).map(full_name);
        some(subjects.collect(), &format!("{container} failed"))
    });
    Verdict::errors(found.collect())
}

fn skew(state: &State) -> Verdict {
    let Some(own) = version(&state.version) else { return Verdict::skipped("meshctl has no version") };
    let far = state.members.iter().filter(|pod| !is_over(pod)).filter_map(|pod| {
        let said = annotation(pod, "amime.io/proxy-version")?;
        let theirs = version(said)?;
        let fits = theirs.0 == own.0 && theirs.1 + BEHIND >= own.1 && theirs.1 <= own.1 + 1;
        (!fits).then(|| format!("{} ({said})", full_name(pod)))
    });
    Verdict::warnings(some(far.collect(), &format!("is too far from {}", state.version)))
}

fn disconnected(state: &State) -> Verdict {
    let proxies = match &state.proxies {
        Proxies::NotAsked => return Verdict::skipped("the controller was not asked"),
        Proxies::Unanswered(why) => {
            return Verdict::Skipped(format!("the controller could not be asked: {why}"));
        }
        Proxies::Connected(proxies) => proxies,
    };
    let known: BTreeSet<&str> = proxies.iter().map(|proxy| proxy.workload.as_str()).collect();
    let running = state.members.iter().filter(|pod| {
        let started = status(pod, "mesh-proxy").and_then(|status| status.get("started")?.as_bool());
        !is_over(pod) && started == Some(true)
    });
    let unknown = running.map(full_name).filter(|name| !known.contains(name.as_str()));
    Verdict::errors(some(unknown.collect(), "is not connected to a controller"))
}

fn host_network(state: &State) -> Verdict {
    let asked = state.opted_in.iter().chain(&state.members).filter(|pod| {
        on_host(pod) && !is_injected(pod) && label(pod, INJECT) == Some("enabled") && !is_over(pod)
    });
    Verdict::warnings(some(asked.map(full_name).collect(), "is on its node's network"))
}
