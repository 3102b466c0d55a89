//! The cluster itself, and the definitions of kinds in it.

use super::facts::{annotation, list, name, text, version};
use super::state::State;
use super::{Check, Stage, Verdict};

const GATEWAY: &str = ".gateway.networking.k8s.io";
/// Sidecars that end with their Pod are on by default from here on.
const OLDEST: (u32, u32) = (1, 29);
/// Newer ones have not been tried.
const NEWEST_TRIED: (u32, u32) = (1, 34);
/// The oldest bundle whose routes may have a Service as parent.
const OLDEST_BUNDLE: (u32, u32) = (1, 1);
/// Certificates are dated back by a minute.
const SKEW: i64 = 45;
/// nftables' maps and redirects that capture needs.
const OLDEST_KERNEL: (u32, u32) = (5, 2);

const NEEDED: [&str; 2] = ["httproutes.gateway.networking.k8s.io", "grpcroutes.gateway.networking.k8s.io"];
const OF_USE: [&str; 2] = ["tcproutes.gateway.networking.k8s.io", "tlsroutes.gateway.networking.k8s.io"];
/// Our kinds.
pub(super) const OWN: [&str; 8] = [
    "authenticationpolicies.amime.io",
    "authorizationpolicies.amime.io",
    "canaries.amime.io",
    "externalservices.amime.io",
    "federatedtrustdomains.amime.io",
    "meshconfigs.amime.io",
    "trafficpolicies.amime.io",
    "workloads.amime.io",
];
const OWN_VERSION: &str = "v1alpha1";

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "AMC001",
        group: "Kubernetes",
        stage: Stage::Before,
        title: "Kubernetes is new enough",
        meaning: "A Pod's sidecar has to start before its other containers and end after them, which Kubernetes does \
                  from 1.29 on. Without it, Jobs never end and init containers have no network.",
        remedy: "Upgrade the cluster. A version newer than those that were tried is a warning only.",
        judge: kubernetes,
    },
    Check {
        id: "AMC002",
        group: "Kubernetes",
        stage: Stage::Before,
        title: "you may install the mesh",
        meaning: "An installation makes definitions, roles, webhook configurations, and objects in a namespace. Who \
                  installs has to be allowed all of that, and whatever the roles allow.",
        remedy: "Use a context that is bound to cluster-admin, or ask somebody who has one.",
        judge: access,
    },
    Check {
        id: "AMC003",
        group: "Kubernetes",
        stage: Stage::Before,
        title: "clocks agree",
        meaning: "Certificates are valid from a minute before they are made. A clock that is further off refuses \
                  certificates that are good, or takes those that are over.",
        remedy: "Set the clocks with NTP: of this machine, of the control plane's nodes, of all nodes.",
        judge: clock,
    },
    Check {
        id: "AMC004",
        group: "Kubernetes",
        stage: Stage::Before,
        title: "nodes can capture traffic",
        meaning: "Traffic is captured with nftables of the node's kernel. Older kernels lack what the rules need, and \
                  init container mesh-init then fails.",
        remedy: "Upgrade these nodes' kernel, or keep members off them with a nodeSelector.",
        judge: kernels,
    },
    Check {
        id: "AMC010",
        group: "Definitions",
        stage: Stage::Before,
        title: "Gateway API can be used",
        meaning: "Routes are objects of Gateway API. Without their definitions nobody can make a route. Before an \
                  installation this is a warning only when some are there and others not: where there are none, meshctl \
                  install brings them.",
        remedy: "meshctl install, or: kubectl apply -f \
                 https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.3/standard-install.yaml",
        judge: gateway_api,
    },
    Check {
        id: "AMC011",
        group: "Definitions",
        stage: Stage::Before,
        title: "Gateway API is new enough",
        meaning: "The definitions of this cluster are of a release whose routes cannot have a Service as parent, or that \
                  lacks fields that the mesh follows. What is not defined there cannot be written.",
        remedy: "Upgrade the definitions; whoever installed them should do it. meshctl never changes those that it finds.",
        judge: bundle,
    },
    Check {
        id: "AMC012",
        group: "Definitions",
        stage: Stage::Installed,
        title: "all kinds that the mesh can follow are defined",
        meaning: "TCPRoute and TLSRoute steer connections. Nothing else depends on them.",
        remedy: "Install the channel of Gateway API that has them, if you want to use them.",
        judge: kinds_of_use,
    },
    Check {
        id: "AMC013",
        group: "Definitions",
        stage: Stage::Installed,
        title: "the mesh's own kinds are defined",
        meaning: "The controller watches MeshConfig, TrafficPolicy, AuthorizationPolicy, ExternalService, Canary and Workload. A definition that is \
                  missing or does not serve the version that this release reads keeps the controller from being ready.",
        remedy: "meshctl install (the same version again) or meshctl upgrade applies them; with Helm: kubectl apply \
                 --server-side -f deploy/crds, because Helm does not upgrade definitions.",
        judge: own_kinds,
    },
];

fn kubernetes(state: &State) -> Verdict {
    let (major, minor) = state.server;
    if state.server < OLDEST {
        return Verdict::errors(vec![format!(
            "this is {major}.{minor}, the oldest that fits is 1.{}",
            OLDEST.1
        )]);
    }
    if state.server > NEWEST_TRIED {
        let what = format!("this is {major}.{minor}, the newest that was tried is 1.{}", NEWEST_TRIED.1);
        return Verdict::warnings(vec![what]);
    }
    Verdict::Passed
}

fn access(state: &State) -> Verdict {
    if state.access.is_empty() {
        return Verdict::skipped("was not asked");
    }
    let refused = state.access.iter().filter(|access| !access.allowed);
    Verdict::errors(refused.map(|access| format!("you may not {}", access.what)).collect())
}

fn clock(state: &State) -> Verdict {
    let Some(server) = state.server_time else {
        return Verdict::skipped("the API server did not say what time it is");
    };
    let ahead = server - state.now;
    if ahead.abs() <= SKEW {
        return Verdict::Passed;
    }
    let word = if ahead > 0 { "ahead of" } else { "behind" };
    Verdict::errors(vec![format!("the API server is {} s {word} this machine", ahead.abs())])
}

fn kernels(state: &State) -> Verdict {
    let old = state.nodes.iter().filter_map(|node| {
        let kernel = text(node, "/status/nodeInfo/kernelVersion")?;
        (version(kernel)? < OLDEST_KERNEL).then(|| {
            format!(
                "node {} has Linux {kernel}; {}.{} is needed",
                name(node),
                OLDEST_KERNEL.0,
                OLDEST_KERNEL.1
            )
        })
    });
    Verdict::errors(old.collect())
}

fn has(state: &State, wanted: &str) -> bool {
    state.crds.iter().any(|crd| name(crd) == wanted)
}

fn gateway_api(state: &State) -> Verdict {
    let missing: Vec<&str> = NEEDED.into_iter().filter(|wanted| !has(state, wanted)).collect();
    let none = !state.crds.iter().any(|crd| name(crd).ends_with(GATEWAY));
    if none && !state.is_installed() {
        return Verdict::Passed;
    }
    Verdict::errors(
        missing.iter().map(|wanted| format!("CustomResourceDefinition {wanted} is missing")).collect(),
    )
}

fn bundle(state: &State) -> Verdict {
    let old = state.crds.iter().filter(|crd| NEEDED.contains(&name(crd))).filter_map(|crd| {
        let bundle = annotation(crd, "gateway.networking.k8s.io/bundle-version")?;
        (version(bundle)? < OLDEST_BUNDLE).then(|| format!("{} is of {bundle}, v1.1 is needed", name(crd)))
    });
    Verdict::errors(old.collect())
}

fn kinds_of_use(state: &State) -> Verdict {
    let missing = OF_USE.into_iter().filter(|wanted| !has(state, wanted));
    Verdict::warnings(missing.map(|wanted| format!("{wanted} is not defined")).collect())
}

fn own_kinds(state: &State) -> Verdict {
    if !state.is_installed() {
        return Verdict::skipped("nothing is installed");
    }
    let mut found = Vec::new();
    for wanted in OWN {
        let Some(crd) = state.own_crds.iter().find(|crd| name(crd) == wanted) else {
            found.push(format!("CustomResourceDefinition {wanted} is missing"));
            continue;
        };
        let served = list(crd, "/spec/versions").any(|version| {
            text(version, "/name") == Some(OWN_VERSION)
                && version.get("served").and_then(serde_json::Value::as_bool) == Some(true)
        });
        if !served {
            found.push(format!("CustomResourceDefinition {wanted} does not serve {OWN_VERSION}"));
        }
        let unestablished = list(crd, "/status/conditions").any(|condition| {
            text(condition, "/type") == Some("Established") && text(condition, "/status") == Some("False")
        });
        if unestablished {
            found.push(format!("CustomResourceDefinition {wanted} is not established"));
        }
    }
    Verdict::errors(found)
}
