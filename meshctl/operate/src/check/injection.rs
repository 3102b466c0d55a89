//! The webhooks of the controller, and what would keep Pods from being injected.

use serde_json::Value;

use super::certificate::{Certificate, read, span};
use super::facts::{label, list, name, namespace, some, text};
use super::state::{DryRun, State};
use super::{Check, Stage, Verdict};

const INJECTOR: &str = "amime-injector";
/// A certificate that renews itself has more left than this.
const SOON: i64 = 12 * 3600;

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "AMC050",
        group: "Injection",
        stage: Stage::Installed,
        title: "the API server asks the controller about Pods",
        meaning: "MutatingWebhookConfiguration amime-injector is missing, or leads to another Service: Pods that opted in \
                  start outside the mesh.",
        remedy: "meshctl install makes it again. Then restart the Pods that started meanwhile: AMC060 names them.",
        judge: configured,
    },
    Check {
        id: "AMC051",
        group: "Injection",
        stage: Stage::Installed,
        title: "the API server trusts the controller's webhook",
        meaning: "The controller writes the roots of its webhook's certificate (caBundle) into the configurations. Without \
                  them, or with such as are over, the API server cannot ask: Pods that opted in are not made.",
        remedy: "See AMC024 and AMC022: the leading controller writes and renews it by itself.",
        judge: bundles,
    },
    Check {
        id: "AMC052",
        group: "Injection",
        stage: Stage::Installed,
        title: "webhooks trust the certificate that the controller shows",
        meaning: "The caBundle of a webhook does not hold the certificate that is in Secret amime-webhook: the API server \
                  refuses the controller.",
        remedy: "Restart the controller: kubectl rollout restart deployment mesh-controller -n amime-system. If something \
                 else writes into the configuration (a GitOps tool), make it leave caBundle alone.",
        judge: same,
    },
    Check {
        id: "AMC053",
        group: "Injection",
        stage: Stage::Installed,
        title: "a Pod that opts in gets a sidecar",
        meaning: "A Pod was sent for creation, without being stored, and came back without a sidecar or was refused: the way \
                  from the API server to the controller is not open, or the controller refused.",
        remedy: "If the API server cannot reach the controller: let it reach port 15017 of its Pods (a firewall of the \
                 cloud between control plane and nodes, a NetworkPolicy). Its message stands beside this.",
        judge: answers,
    },
    Check {
        id: "AMC054",
        group: "Injection",
        stage: Stage::Installed,
        title: "Pod Security lets Pods capture their traffic",
        meaning: "Init container mesh-init needs NET_ADMIN and NET_RAW, which Pod Security forbids in this namespace \
                  (baseline and restricted). Its Pods are refused.",
        remedy: "Label the namespace pod-security.kubernetes.io/enforce=privileged, or let the CNI plugin capture (values \
                 injection.capture=cni and cni.enabled=true), which needs nothing of the Pod.",
        judge: pod_security,
    },
    Check {
        id: "AMC055",
        group: "Injection",
        stage: Stage::Installed,
        title: "quotas and limits leave room for sidecars",
        meaning: "A ResourceQuota that is used up, or a LimitRange whose bounds the sidecar's requests and limits do not \
                  keep, makes Pods of this namespace fail.",
        remedy: "Raise the quota or the range, or change the sidecar's with the values injection.cpuRequest, cpuLimit, \
                 memoryRequest and memoryLimit.",
        judge: room,
    },
    Check {
        id: "AMC056",
        group: "Injection",
        stage: Stage::Installed,
        title: "the CNI plugin is ready where it captures",
        meaning: "Pods with `capture: cni` get their rules from a plugin that DaemonSet amime-cni/mesh-cni puts on each node. \
                  Where it is missing or not ready, such Pods do not start: their mesh-validate fails.",
        remedy: "kubectl describe pods and kubectl logs in namespace amime-cni say why. If there is no DaemonSet: meshctl install \
                 --set cni.enabled=true, or cni.external=true where somebody else installs the plugin.",
        judge: super::plugin::ready,
    },
];

fn webhooks(state: &State) -> impl Iterator<Item = (&str, &Value)> {
    state.webhooks.iter().flat_map(|(configuration, object)| {
        list(object, "/webhooks").map(move |webhook| (configuration.as_str(), webhook))
    })
}

fn configured(state: &State) -> Verdict {
    if !state.is_installed() {
        return Verdict::skipped("nothing is installed");
    }
    let Some(injector) = state.webhooks.get(INJECTOR) else {
        return Verdict::errors(vec![format!("there is no MutatingWebhookConfiguration {INJECTOR}")]);
    };
    let mut found = Vec::new();
    if list(injector, "/webhooks").next().is_none() {
        found.push(format!("MutatingWebhookConfiguration {INJECTOR} has no webhooks"));
    }
    for (configuration, webhook) in webhooks(state) {
        let service = |key: &str| text(webhook, &format!("/clientConfig/service/{key}"));
        if service("name") != Some("mesh-controller") || service("namespace") != Some(&state.mesh_namespace) {
            let webhook = text(webhook, "/name").unwrap_or_default();
            found.push(format!(
                "{configuration}, webhook {webhook}: leads to {}/{}, not to {}/mesh-controller",
                service("namespace").unwrap_or("-"),
                service("name").unwrap_or("-"),
                state.mesh_namespace,
            ));
        }
    }
    Verdict::errors(found)
}

/// The certificates of a webhook's caBundle, which is PEM in base64.
fn bundle(webhook: &Value) -> Result<Vec<Certificate>, String> {
    let encoded = text(webhook, "/clientConfig/caBundle").filter(|text| !text.is_empty());
    let encoded = encoded.ok_or("is empty")?;
    let pem = crate::base64::decode(encoded).ok_or("is no base64")?;
    read(&String::from_utf8_lossy(&pem))
}

fn bundles(state: &State) -> Verdict {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for (configuration, webhook) in webhooks(state) {
        let at = format!("{configuration}, webhook {}", text(webhook, "/name").unwrap_or_default());
        match bundle(webhook) {
            Err(why) => errors.push(format!("{at}: caBundle {why}")),
            Ok(certificates) => {
                let left = certificates.iter().map(|c| c.not_after).max().unwrap_or_default() - state.now;
                if left <= 0 {
                    errors.push(format!("{at}: the certificate has been over for {}", span(-left)));
                } else if left < SOON {
                    warnings
                        .push(format!("{at}: the certificate ends in {} and was not renewed", span(left)));
                }
            }
        }
    }
    if errors.is_empty() { Verdict::warnings(warnings) } else { Verdict::errors(errors) }
}

fn same(state: &State) -> Verdict {
    let Some(shown) = &state.webhook_certificate else {
        return Verdict::skipped("Secret amime-webhook cannot be read, or is empty");
    };
    let Ok(shown) = read(shown) else {
        return Verdict::errors(vec!["Secret amime-webhook, key tls.crt holds no certificate".to_owned()]);
    };
    let mut found = Vec::new();
    for (configuration, webhook) in webhooks(state) {
        let Ok(trusted) = bundle(webhook) else { continue };
        let holds = trusted.iter().any(|root| shown.iter().any(|certificate| certificate.der == root.der));
        if !holds {
            let webhook = text(webhook, "/name").unwrap_or_default();
            found.push(format!("{configuration}, webhook {webhook}: caBundle is of another certificate"));
        }
    }
    Verdict::errors(found)
}

fn answers(state: &State) -> Verdict {
    match &state.dry_run {
        None => Verdict::skipped("no Pod could be sent for a trial"),
        Some(DryRun::Refused(why)) => Verdict::errors(vec![why.clone()]),
        Some(DryRun::Pod(pod)) => {
            let has = list(pod, "/spec/initContainers").any(|container| name_of(container) == "mesh-proxy");
            let what = "the API server stored it as it was: nobody was asked".to_owned();
            Verdict::errors(if has { Vec::new() } else { vec![what] })
        }
    }
}

fn name_of(container: &Value) -> &str {
    text(container, "/name").unwrap_or_default()
}

fn pod_security(state: &State) -> Verdict {
    if state.injection_setting("capture").unwrap_or_else(|| "init".to_owned()) != "init" {
        return Verdict::Passed;
    }
    let strict = state.opted_in_namespaces().filter_map(|namespace| {
        let level = label(namespace, "pod-security.kubernetes.io/enforce")?;
        matches!(level, "baseline" | "restricted").then(|| format!("namespace {} ({level})", name(namespace)))
    });
    Verdict::errors(some(strict.collect(), "forbids the capabilities that mesh-init needs"))
}

fn room(state: &State) -> Verdict {
    let opted_in: Vec<&str> = state.opted_in_namespaces().map(name).collect();
    let mut found = Vec::new();
    for quota in state.quotas.iter().filter(|quota| opted_in.contains(&namespace(quota))) {
        let at = format!("ResourceQuota {}/{}", namespace(quota), name(quota));
        let hard = quota.pointer("/status/hard").and_then(Value::as_object);
        for (resource, hard) in hard.into_iter().flatten() {
            let used = quota.pointer("/status/used").and_then(|used| used.get(resource));
            let (Some(hard), Some(used)) = (amount(Some(hard)), amount(used)) else { continue };
            let counts = ["cpu", "memory"].iter().any(|part| resource.ends_with(part)) || resource == "pods";
            if counts && used >= hard {
                found.push(format!("{at}: {resource} is used up"));
            }
            let limits_needed = resource == "limits.cpu";
            if limits_needed && state.injection_setting("cpuLimit").is_none_or(|limit| limit.is_empty()) {
                found.push(format!("{at}: asks for a CPU limit of every container, and sidecars have none"));
            }
        }
    }
    for range in state.limit_ranges.iter().filter(|range| opted_in.contains(&namespace(range))) {
        for limit in list(range, "/spec/limits").filter(|limit| text(limit, "/type") == Some("Container")) {
            found.extend(
                outside(state, limit)
                    .map(|what| format!("LimitRange {}/{}: {what}", namespace(range), name(range))),
            );
        }
    }
    found.truncate(5);
    Verdict::errors(found)
}

/// What of the sidecar a range does not allow.
fn outside(state: &State, range: &Value) -> Option<String> {
    for (resource, request, limit) in
        [("memory", "memoryRequest", "memoryLimit"), ("cpu", "cpuRequest", "cpuLimit")]
    {
        let bound = |key: &str| amount(range.pointer(&format!("/{key}/{resource}")));
        let asked = |key| state.injection_setting(key).and_then(|text| amount(Some(&Value::String(text))));
        if let (Some(least), Some(request)) = (bound("min"), asked(request))
            && request < least
        {
            return Some(format!("a container must ask for more {resource} than sidecars do"));
        }
        if let (Some(most), Some(limit)) = (bound("max"), asked(limit))
            && limit > most
        {
            return Some(format!("a container may have less {resource} than sidecars' limit"));
        }
    }
    None
}

/// A quantity of Kubernetes as a number.
fn amount(value: Option<&Value>) -> Option<f64> {
    let text = match value? {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.get(digits.len()..)? {
        "" => 1.0,
        "m" => 0.001,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    digits.parse::<f64>().ok().map(|number| number * factor)
}
