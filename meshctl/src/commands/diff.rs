//! `meshctl diff`: what objects of files would change, in terms of the mesh: which routes, which services, and which proxies
//! would be told. Both sides are compiled by the controller's own functions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::path::PathBuf;

use mesh_controller::compile::Compiled;
use mesh_model::route::Route;
use mesh_model::stream::StreamRoute;
use mesh_model::traffic::TrafficPolicy;

use super::Outcome;
use super::analyze::{LEFT_OUT, cluster_files, files_of, findings, objects};
use super::explain::objects::{Objects, Place};
use crate::cluster::{Api, ClusterArgs};
use crate::output;

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing would change, 1 something would, 2 the command failed.")]
pub(crate) struct Args {
    /// Folder or file with the objects as they would be, - for standard input
    #[arg(long = "filename", short = 'f', value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
    /// Compare with the objects of this folder or file instead of the cluster's
    #[arg(long, value_name = "PATH")]
    from: Vec<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Outcome> {
    let places: Vec<Place> = args.files.iter().map(|path| Place::parse(path)).collect();
    let (before, after) = if args.from.is_empty() {
        let api = Api::connect(&args.cluster).await?;
        let files = cluster_files(&api, LEFT_OUT).await?;
        (objects(files.clone(), &[])?, objects(files, &places)?)
    } else {
        let from: Vec<Place> = args.from.iter().map(|path| Place::parse(path)).collect();
        let files = files_of(&from)?;
        (objects(files.clone(), &[])?, objects(files, &places)?)
    };
    let lines = words(&before, &after);
    if lines.is_empty() {
        output::line("Nothing would change for any proxy.");
        return Ok(Outcome::Fine);
    }
    for line in lines {
        output::line(&line);
    }
    Ok(Outcome::Finding)
}

/// What would change, in lines.
fn words(before: &Objects, after: &Objects) -> Vec<String> {
    let (old, new) = (&before.compiled, &after.compiled);
    let mut lines = Vec::new();
    if old.mesh != new.mesh {
        lines.push("~ settings of the mesh: every proxy is told".to_owned());
    }
    section("route", &routes(old), &routes(new), &mut lines);
    section("route", &streams(old), &streams(new), &mut lines);
    section("policy", &policies(old), &policies(new), &mut lines);
    let services = |compiled: &Compiled| -> BTreeMap<String, _> {
        compiled.services.iter().map(|(name, (service, _))| (name.to_string(), service.clone())).collect()
    };
    section("service", &services(old), &services(new), &mut lines);
    let endpoints = |compiled: &Compiled| -> BTreeMap<String, _> {
        compiled.services.iter().map(|(name, (_, endpoints))| (name.to_string(), endpoints.clone())).collect()
    };
    section("endpoints of", &endpoints(old), &endpoints(new), &mut lines);
    let externals = |compiled: &Compiled| -> BTreeMap<String, _> {
        compiled.externals.iter().map(|(name, external)| (name.to_string(), external.clone())).collect()
    };
    section("external service", &externals(old), &externals(new), &mut lines);
    lines.extend(proxies(old, new));
    let told: BTreeSet<_> = findings(before).into_iter().collect();
    let fresh = findings(after).into_iter().filter(|finding| !told.contains(finding));
    lines.extend(fresh.map(|finding| format!("! [{}] {finding}", finding.code)));
    lines
}

fn routes(compiled: &Compiled) -> BTreeMap<String, Route> {
    let plain = |route: &Route| Route { origin: String::new(), created: 0, ..route.clone() };
    compiled.routes.iter().map(|route| (route.id.to_string(), plain(route))).collect()
}

fn streams(compiled: &Compiled) -> BTreeMap<String, StreamRoute> {
    let plain = |route: &StreamRoute| StreamRoute { origin: String::new(), created: 0, ..route.clone() };
    compiled.streams.iter().map(|route| (route.id.to_string(), plain(route))).collect()
}

fn policies(compiled: &Compiled) -> BTreeMap<String, TrafficPolicy> {
    let plain =
        |policy: &TrafficPolicy| TrafficPolicy { origin: String::new(), created: 0, ..policy.clone() };
    compiled.policies.iter().map(|policy| (policy.name.to_string(), plain(policy))).collect()
}

fn section<K: Ord + Display, V: PartialEq + Debug>(
    what: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    lines: &mut Vec<String>,
) {
    let names: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    for name in names {
        match (old.get(name), new.get(name)) {
            (None, Some(_)) => lines.push(format!("+ {what} {name}")),
            (Some(_), None) => lines.push(format!("- {what} {name}")),
            (Some(a), Some(b)) if a != b => lines.push(format!("~ {what} {name}")),
            _ => {}
        }
    }
}

/// Whose proxies are told.
fn proxies(old: &Compiled, new: &Compiled) -> Vec<String> {
    let mut callees = BTreeSet::new();
    let parents = |compiled: &Compiled| -> BTreeMap<String, BTreeSet<String>> {
        let http = compiled.routes.iter().map(|route| (route.id.to_string(), &route.parents));
        let streams = compiled.streams.iter().map(|route| (route.id.to_string(), &route.parents));
        let named = http.chain(streams);
        named
            .map(|(id, parents)| (id, parents.iter().map(|parent| parent.service.to_string()).collect()))
            .collect()
    };
    let (old_parents, new_parents) = (parents(old), parents(new));
    let changed = |id: &String| {
        routes(old).get(id) != routes(new).get(id) || streams(old).get(id) != streams(new).get(id)
    };
    for (id, parents) in old_parents.iter().chain(&new_parents) {
        if changed(id) {
            callees.extend(parents.iter().cloned());
        }
    }
    let names: BTreeSet<_> = old.services.keys().chain(new.services.keys()).collect();
    callees.extend(
        names
            .into_iter()
            .filter(|name| old.services.get(name) != new.services.get(name))
            .map(ToString::to_string),
    );
    let mut lines: Vec<String> =
        callees.into_iter().map(|service| format!("→ told: every proxy that calls {service}")).collect();
    let workloads: BTreeSet<_> = old.own.keys().chain(new.own.keys()).collect();
    let own = workloads.into_iter().filter(|workload| old.own.get(workload) != new.own.get(workload));
    lines.extend(own.map(|workload| format!("→ told: the proxy of {workload}, about what it serves")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_controller::sources::state::{Contents, DirState};

    fn load(text: &str) -> Objects {
        let files = vec![("a.yaml".into(), Contents::Bytes(text.into()))];
        Objects::of(DirState::default(), files, String::new()).unwrap()
    }

    #[test]
    fn a_change_is_told_in_words_of_the_mesh() {
        let service = |name: &str| {
            format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{ports: [{{port: 80}}]}}}}\n---\n"
            )
        };
        let route = |backends: &str| {
            format!(
                "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: web, namespace: shop}}, spec: {{parentRefs: [{{kind: Service, group: '', name: web}}], rules: [{{backendRefs: [{backends}]}}]}}}}\n"
            )
        };
        let base = service("web") + &service("v2");
        let before = load(&(base.clone() + &route("{name: web, port: 80}")));
        let after = load(
            &(base.clone()
                + &route("{name: web, port: 80, weight: 9}, {name: v2, port: 80}, {name: v3, port: 80}")),
        );
        assert_eq!(words(&before, &before), [""; 0]);
        insta::assert_snapshot!(words(&before, &after).join("\n"));
        let gone = load(&base);
        assert_eq!(
            words(&before, &gone),
            ["- route httproute/shop/web", "→ told: every proxy that calls shop/web"]
        );
    }
}
