//! What folders of objects compile to. The expected results are snapshots beside this file; review them like code.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mesh_controller::compile::compile;
use mesh_controller::index::Index;
use mesh_controller::sources::scan;
use mesh_controller::sources::state::DirState;
use mesh_model::route::{BackendTarget, Route};
use mesh_model::spiffe::TrustDomain;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Everything that a folder compiles to, a line each.
fn compiled(name: &str) -> String {
    let root = fixture(name);
    let mut state = DirState::default();
    let files = scan::list(&root).files.into_keys();
    let changes = state.apply_all(files.map(|path| (path.clone(), scan::read(&root.join(&*path)))));
    assert_eq!(state.reports(), [], "the fixture itself is good");
    let mut index = Index::default();
    index.apply(changes, 1);
    let compiled = compile(&index, &TrustDomain::new("mesh.test").unwrap());

    let mut text = String::new();
    writeln!(text, "{:?}", compiled.mesh).unwrap();
    for (name, (service, endpoints)) in &compiled.services {
        writeln!(text, "\nservice {name} {:?}", service.addresses).unwrap();
        for port in &service.ports {
            writeln!(text, "  port {} `{}` {:?}", port.port, port.name, port.protocol).unwrap();
            for endpoint in endpoints.port(port.port) {
                let (workload, zone) = (&endpoint.workload, &endpoint.zone);
                writeln!(
                    text,
                    "    {} {:?} {workload:?} `{zone}` {:?} weight {} priority {}",
                    endpoint.address, endpoint.transport, endpoint.state, endpoint.weight, endpoint.priority
                )
                .unwrap();
            }
        }
    }
    for route in &compiled.routes {
        write_route(&mut text, route);
    }
    for policy in &compiled.policies {
        writeln!(text, "\n{} created {} from {}", policy.resource_name(), policy.created, policy.origin)
            .unwrap();
        for target in &policy.targets {
            writeln!(text, "  target {target:?}").unwrap();
        }
        if let Some(budget) = &policy.settings.retry_budget {
            writeln!(text, "  {budget:?}").unwrap();
        }
    }
    for (ip, address) in compiled.addresses.iter().filter(|_| name == "pods") {
        writeln!(text, "\n{ip} {:?}", address.meaning).unwrap();
    }
    for (workload, own) in &compiled.own {
        writeln!(text, "\nworkload {workload}").unwrap();
        for port in &own.ports {
            writeln!(text, "  {} is {}:{}", port.address, port.service, port.port).unwrap();
        }
    }
    writeln!(text, "\nobjects").unwrap();
    for (key, report) in &compiled.objects {
        writeln!(text, "  {key} ({}) {}", report.origin, report.resource.as_deref().unwrap_or("-")).unwrap();
        for c in &report.conditions {
            writeln!(text, "    {}={:?} {} {}: {}", c.kind.as_str(), c.verdict, c.reason, c.field, c.message)
                .unwrap();
        }
    }
    text
}

fn write_route(text: &mut String, route: &Route) {
    writeln!(text, "\n{} created {} from {}", route.id, route.created, route.origin).unwrap();
    for parent in &route.parents {
        writeln!(text, "  parent {} {:?}", parent.service, parent.port).unwrap();
    }
    for rule in &route.rules {
        writeln!(text, "  rule {:?} {:?}", rule.name, rule.timeouts).unwrap();
        if let Some(retry) = &rule.retry {
            writeln!(text, "    {retry:?}").unwrap();
        }
        if let Some(session) = &rule.session {
            writeln!(text, "    {session:?}").unwrap();
        }
        for m in &rule.matches {
            writeln!(text, "    match {:?} {:?}", m.target, m.headers).unwrap();
        }
        for filter in &rule.filters {
            writeln!(text, "    filter {filter:?}").unwrap();
        }
        for backend in &rule.backends {
            let target = match &backend.target {
                BackendTarget::Service { service, port } => format!("{service}:{port}"),
                BackendTarget::Invalid { reference, reason } => format!("INVALID {reference} ({reason})"),
            };
            writeln!(text, "    backend {} {target} {:?}", backend.weight, backend.filters).unwrap();
        }
    }
}

#[test]
fn a_shop_with_a_canary() {
    insta::assert_snapshot!(compiled("shop"));
}

#[test]
fn references_that_lead_nowhere_and_elsewhere() {
    insta::assert_snapshot!(compiled("references"));
}

#[test]
fn a_grpc_service() {
    insta::assert_snapshot!(compiled("grpc"));
}

#[test]
fn endpoints_from_slices() {
    insta::assert_snapshot!(compiled("slices"));
}

#[test]
fn pods_are_workloads_with_the_identity_of_their_service_account() {
    insta::assert_snapshot!(compiled("pods"));
}

#[test]
fn what_is_not_supported_answers_500() {
    insta::assert_snapshot!(compiled("unsupported"));
}

#[test]
fn rules_with_mirrors_scripts_retries_and_sessions() {
    insta::assert_snapshot!(compiled("routes"));
}

#[test]
fn policies_find_their_targets_and_settle_their_conflicts() {
    insta::assert_snapshot!(compiled("policies"));
}

#[test]
fn nothing_has_defaults() {
    insta::assert_snapshot!(compiled("empty"));
}

#[test]
fn the_committed_crds_are_what_the_types_say() {
    for (name, yaml) in mesh_controller::api::crds::crds().unwrap() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds").join(&name);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, yaml, "deploy/crds/{name} is stale: run `cargo xtask gen`");
    }
}
