//! Roots of trust, and whether all have the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::certificate::{Certificate, read, span};
use super::facts::{name, namespace, some, text};
use super::state::State;
use super::{Check, Stage, Verdict};
use crate::install::trust_domain_of;

/// Roots that end sooner are told.
const SOON: i64 = 30 * 86_400;
/// Namespaces that get no roots.
const WITHOUT: &str = "kube-";

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "AMC040",
        group: "Identity",
        stage: Stage::Installed,
        title: "the authority has published its roots",
        meaning: "ConfigMap amime-ca-roots in the mesh's namespace holds the roots by which everybody trusts the authority. \
                  The controller does not start without it.",
        remedy: "mesh-ca makes it once it is ready: see AMC023, and AMC022 for whether it may.",
        judge: published,
    },
    Check {
        id: "AMC041",
        group: "Identity",
        stage: Stage::Installed,
        title: "roots are valid for a while",
        meaning: "When the root ends, no certificate of the mesh is trusted any more.",
        remedy: "Renew the root before: members have to know the new one for at least one lifetime of a certificate before \
                 anything is signed under it.",
        judge: validity,
    },
    Check {
        id: "AMC042",
        group: "Identity",
        stage: Stage::Installed,
        title: "every namespace that opted in has the roots",
        meaning: "Injected Pods mount ConfigMap amime-ca-roots of their own namespace, and wait in ContainerCreating while it \
                  is not there. The leading controller copies it within seconds.",
        remedy: "See AMC028 (a controller leads) and AMC022 (it may make ConfigMaps).",
        judge: copies,
    },
    Check {
        id: "AMC043",
        group: "Identity",
        stage: Stage::Installed,
        title: "all have the authority's roots",
        meaning: "The copy of the roots in a namespace is not what the authority published: Pods there refuse the authority \
                  and cannot get a certificate.",
        remedy: "Remove the copy (kubectl delete configmap amime-ca-roots -n NAMESPACE): the controller makes it again. See \
                 AMC028 if it does not.",
        judge: equal,
    },
    Check {
        id: "AMC044",
        group: "Identity",
        stage: Stage::Installed,
        title: "there is one trust domain",
        meaning: "The authority signs for one trust domain and MeshConfig names another: the controller refuses the settings.",
        remedy: "Take spec.trustDomain out of MeshConfig default, or make it the authority's. The authority's is the value \
                 trustDomain of the installation and stays as long as there are members.",
        judge: trust_domain,
    },
];

fn roots_in<'a>(state: &'a State, wanted: &str) -> Option<&'a Value> {
    state.roots.iter().find(|roots| namespace(roots) == wanted && name(roots) == "amime-ca-roots")
}

fn pem(roots: &Value) -> &str {
    roots.pointer("/data").and_then(|data| data.get("roots.pem")).and_then(Value::as_str).unwrap_or_default()
}

fn own(state: &State) -> Option<Result<Vec<Certificate>, String>> {
    roots_in(state, &state.mesh_namespace).map(|roots| read(pem(roots)))
}

fn published(state: &State) -> Verdict {
    if !state.is_installed() {
        return Verdict::skipped("nothing is installed");
    }
    let at = format!("ConfigMap {}/amime-ca-roots", state.mesh_namespace);
    match own(state) {
        None => Verdict::errors(vec![format!("{at} is not there")]),
        Some(Err(why)) => Verdict::errors(vec![format!("{at}, key roots.pem: {why}")]),
        Some(Ok(_)) => Verdict::Passed,
    }
}

fn validity(state: &State) -> Verdict {
    let Some(Ok(roots)) = own(state) else { return Verdict::skipped("there are none to look at") };
    // While one goes and another comes, the one that lasts counts.
    let Some(last) = roots.iter().max_by_key(|root| root.not_after) else { return Verdict::Passed };
    let left = last.not_after - state.now;
    if left <= 0 {
        return Verdict::errors(vec![format!("the root has been over for {}", span(-left))]);
    }
    if last.not_before > state.now {
        return Verdict::errors(vec![format!("the root begins in {}", span(last.not_before - state.now))]);
    }
    let soon = left < SOON;
    Verdict::warnings(if soon { vec![format!("the root ends in {}", span(left))] } else { Vec::new() })
}

fn copies(state: &State) -> Verdict {
    if own(state).is_none() {
        return Verdict::skipped("there are none to copy");
    }
    let without = state.opted_in_namespaces().map(name);
    let without = without.filter(|name| !name.starts_with(WITHOUT) && roots_in(state, name).is_none());
    let without = without.map(|name| format!("namespace {name}")).collect();
    Verdict::errors(some(without, "has no ConfigMap amime-ca-roots"))
}

fn equal(state: &State) -> Verdict {
    let Some(Ok(own)) = own(state) else { return Verdict::skipped("there are none to compare with") };
    let sorted =
        |roots: &[Certificate]| -> BTreeSet<Vec<u8>> { roots.iter().map(|root| root.der.clone()).collect() };
    let wanted = sorted(&own);
    let mut found = Vec::new();
    for roots in state.roots.iter().filter(|roots| namespace(roots) != state.mesh_namespace) {
        let at = format!("ConfigMap {}/amime-ca-roots", namespace(roots));
        match read(pem(roots)) {
            Err(why) => found.push(format!("{at}, key roots.pem: {why}")),
            Ok(copy) if sorted(&copy) != wanted => found.push(format!("{at} differs from the authority's")),
            Ok(_) => {}
        }
    }
    found.truncate(5);
    Verdict::errors(found)
}

fn trust_domain(state: &State) -> Verdict {
    let Some(signed) = state.deployments.get("mesh-ca").and_then(trust_domain_of) else {
        return Verdict::skipped("the authority does not say for which it signs");
    };
    let said = state.mesh_configs.iter().find(|config| name(config) == "default");
    let said = said.and_then(|config| text(config, "/spec/trustDomain"));
    let other = said.filter(|said| *said != signed);
    let words =
        |said| format!("MeshConfig default, spec.trustDomain: {said}, and the authority signs for {signed}");
    Verdict::errors(other.map(words).into_iter().collect())
}
