//! The steps of `cargo xtask ci`, cheapest first where nothing forces another order.
//!
//! Two builds serve them all: clippy's, and one of everything with the `ci` profile. Runs of the mesh use that build too, with its
//! assertions and checks for overflow; every command of `cargo xtask` that runs a mesh by itself uses a release build.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cli::{
    BrowserArgs, ConformanceArgs, E2eArgs, HostileArgs, LabTestArgs, OnClusterArgs, RotationArgs, SoakArgs,
    SuitesArgs,
};
use crate::config::{Workspace, cargo};
use crate::exec::Program;
use crate::{browser, cluster, e2e, generate, helm, kubernetes, lab, links, suites, tidy};

use super::plan::Step;
use super::setup;

/// Those that mostly wait, for deadlines to pass: the steps after one of them run beside it.
pub(super) const WAITING: &[&str] = &["hostile"];

pub(super) const STEPS: &[Step<Workspace>] = &[
    Step { name: "setup", about: "what the tests need is on this machine", needs: &[], run: setup::run },
    Step { name: "fmt", about: "formatting", needs: &[], run: fmt },
    Step { name: "tidy", about: "architecture, sizes, manifests", needs: &[], run: tidy::run },
    Step { name: "links", about: "every link between pages leads somewhere", needs: &[], run: links::run },
    Step {
        name: "workflows",
        about: "GitHub's workflows are what GitHub understands",
        needs: &["setup"],
        run: workflows,
    },
    Step { name: "clippy", about: "lints, warnings are errors", needs: &[], run: clippy },
    Step { name: "deny", about: "dependencies: bans, licences, sources", needs: &["setup"], run: deny },
    Step { name: "build", about: "everything that the tests run", needs: &[], run: build },
    Step {
        name: "gen",
        about: "generated files are what the programs write",
        needs: &["build"],
        run: gen_check,
    },
    Step { name: "test", about: "unit, property and component tests", needs: &["build"], run: test },
    Step {
        name: "pkcs11",
        about: "keys of the authority in a PKCS #11 token",
        needs: &["setup", "build"],
        run: pkcs11,
    },
    Step { name: "doc", about: "API documents, warnings are errors", needs: &[], run: doc },
    Step {
        name: "hostile",
        about: "hostile input on a mesh: refused, bystanders served",
        needs: &["build"],
        run: hostile,
    },
    Step {
        name: "real-software",
        about: "nginx, grpcio, curl, h2load on a mesh",
        needs: &["setup", "build"],
        run: real_software,
    },
    Step {
        name: "suites",
        about: "h2spec, gRPC interop, WebSocket, OPA and a rate limit service by sidecars; Prometheus and OpenTelemetry's collector agree; TLS as Go and sslyze see it",
        needs: &["setup", "build"],
        run: protocol_suites,
    },
    Step {
        name: "browser",
        about: "the dashboard in Chromium: every page, keys, themes, phones, axe",
        needs: &["setup", "build"],
        run: in_browser,
    },
    Step {
        name: "lab",
        about: "captured programs and faults in network namespaces",
        needs: &["setup", "build"],
        run: lab_test,
    },
    Step {
        name: "cluster",
        about: "a Kubernetes of our own, and our images in it",
        needs: &["setup"],
        run: cluster::smoke,
    },
    Step {
        name: "e2e",
        about: "a user's life with the mesh on a cluster, from install to uninstall",
        needs: &["setup", "build"],
        run: end_to_end,
    },
    Step {
        name: "conformance",
        about: "Gateway API's mesh tests, and our own for what they leave unchecked",
        needs: &["setup", "build"],
        run: conformance,
    },
    Step {
        name: "helm",
        about: "the chart's objects are those that Helm makes",
        needs: &["setup", "build"],
        run: helm::run,
    },
    Step {
        name: "soak",
        about: "a minute of load while the configuration changes",
        needs: &["build"],
        run: soak,
    },
    Step {
        name: "expiry",
        about: "the authority stays away until certificates end: nobody is let in, and all recovers when it is back",
        needs: &["build"],
        run: expiry,
    },
    Step { name: "book", about: "every command of getting-started", needs: &["setup", "build"], run: book },
];

/// Cargo for CI: the target folder outside the checkout, the lock file as committed.
fn cargo_in(workspace: &Workspace, minutes: u64) -> Program {
    Program::new(cargo(), Duration::from_mins(minutes))
        .dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .env("CARGO_INCREMENTAL", "0")
        .without_env("MESH_LOG")
}

fn done(result: Result<()>) -> Result<bool> {
    result.map(|()| true)
}

fn fmt(workspace: &Workspace) -> Result<bool> {
    done(cargo_in(workspace, 2).args(["fmt", "--all", "--check"]).run())
}

fn clippy(workspace: &Workspace) -> Result<bool> {
    let command =
        ["clippy", "--locked", "--workspace", "--all-targets", "--profile", "ci", "--", "-D", "warnings"];
    done(cargo_in(workspace, 20).args(command).run())
}

/// With images that are built in a fraction of the time, and so with less load: at full rate the machine itself would be measured.
fn end_to_end(workspace: &Workspace) -> Result<bool> {
    kubernetes::e2e(workspace, &E2eArgs { on: on_cluster(workspace), rate: 100, only: Vec::new() })
}

/// The report that is kept is that of a run with released images.
fn conformance(workspace: &Workspace) -> Result<bool> {
    let report = Some(workspace.target.join("conformance-report.yaml"));
    let args =
        ConformanceArgs { on: on_cluster(workspace), profile: "all".to_owned(), only: Vec::new(), report };
    kubernetes::conformance(workspace, &args)
}

fn on_cluster(workspace: &Workspace) -> OnClusterArgs {
    OnClusterArgs {
        backend: "node".to_owned(),
        images: "ci".to_owned(),
        keep: false,
        output: "text".to_owned(),
        meshctl: Some(meshctl(workspace)),
    }
}

fn workflows(workspace: &Workspace) -> Result<bool> {
    let lint = Program::new(suites::actionlint(workspace)?, Duration::from_mins(2));
    done(lint.dir(&workspace.root).args(workflow_files(workspace)?).run())
}

fn workflow_files(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let folder = workspace.root.join(".github/workflows");
    let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    Ok(entries.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path()).collect())
}

fn deny(workspace: &Workspace) -> Result<bool> {
    let deny = workspace.tools().join("bin/cargo-deny");
    let command = ["--locked", "check", "bans", "licenses", "sources"];
    done(Program::new(deny, Duration::from_mins(5)).dir(&workspace.root).args(command).run())
}

fn build(workspace: &Workspace) -> Result<bool> {
    let command = ["build", "--locked", "--workspace", "--all-targets", "--profile", "ci"];
    done(cargo_in(workspace, 25).args(command).run())
}

fn gen_check(workspace: &Workspace) -> Result<bool> {
    let request = generate::Request {
        mode: generate::Mode::Check,
        parts: Vec::new(),
        bin_dir: Some(workspace.target.join("ci")),
    };
    generate::run(workspace, &request)
}

fn test(workspace: &Workspace) -> Result<bool> {
    let command = ["test", "--locked", "--workspace", "--no-fail-fast", "--profile", "ci"];
    done(cargo_in(workspace, 25).args(command).run())
}

/// A feature that no image has: a static program cannot load a module.
fn pkcs11(workspace: &Workspace) -> Result<bool> {
    let command =
        ["test", "--locked", "-p", "mesh-ca", "--features", "pkcs11", "--test", "pkcs11", "--profile", "ci"];
    done(cargo_in(workspace, 10).args(command).run())
}

fn doc(workspace: &Workspace) -> Result<bool> {
    let command =
        ["doc", "--locked", "--workspace", "--no-deps", "--document-private-items", "--profile", "ci"];
    done(
        cargo_in(workspace, 10)
            .args(command)
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")
            .run(),
    )
}

/// That of the tests' build.
fn meshctl(workspace: &Workspace) -> PathBuf {
    e2e::Binaries::of_tests(workspace).meshctl
}

fn real_software(workspace: &Workspace) -> Result<bool> {
    e2e::real_software(workspace, &e2e::Binaries::of_tests(workspace))
}

fn book(workspace: &Workspace) -> Result<bool> {
    e2e::book_test(workspace, Some(&e2e::Binaries::of_tests(workspace)))
}

fn hostile(workspace: &Workspace) -> Result<bool> {
    suites::hostile(workspace, &HostileArgs { meshctl: Some(meshctl(workspace)), ..HostileArgs::default() })
}

fn protocol_suites(workspace: &Workspace) -> Result<bool> {
    suites::suites(workspace, &SuitesArgs { meshctl: Some(meshctl(workspace)), ..SuitesArgs::default() })
}

fn in_browser(workspace: &Workspace) -> Result<bool> {
    browser::run(workspace, &BrowserArgs { meshctl: Some(meshctl(workspace)), screenshots: false })
}

fn lab_test(workspace: &Workspace) -> Result<bool> {
    lab::run(workspace, &LabTestArgs { meshctl: Some(meshctl(workspace)), ..LabTestArgs::default() })
}

/// With certificates of 20 s, and the part that e2e does not have: certificates that end. `cargo xtask rotation` has all parts, with a minute for
/// a certificate.
fn expiry(workspace: &Workspace) -> Result<bool> {
    let parts = vec!["expiry".to_owned()];
    suites::rotation(
        workspace,
        &RotationArgs { parts, svid_ttl_seconds: 20, meshctl: Some(meshctl(workspace)), output: None },
    )
}

fn soak(workspace: &Workspace) -> Result<bool> {
    suites::soak(
        workspace,
        &SoakArgs {
            minutes: 1,
            changes_per_second: 10,
            meshctl: Some(meshctl(workspace)),
            ..SoakArgs::default()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_a_step() {
        assert!(WAITING.iter().all(|name| STEPS.iter().any(|step| step.name == *name)));
    }
}
