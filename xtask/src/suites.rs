//! `cargo xtask hostile`, `suites`, `soak` and `rotation`: builds `meshctl`, `mesh-suites` and the programs of others that it needs, and runs
//! `mesh-suites`, which knows the rest.

mod tools;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cli::{ControlFloodArgs, HostileArgs, RotationArgs, SoakArgs, SuitesArgs};
use crate::config::{Workspace, cargo, find_program};
use crate::e2e::Binaries;
use crate::exec::Program;
use crate::screen;

pub(crate) use self::tools::{
    actionlint, conformance_echo, conformance_suite, go_problem, helm, helm_program, lab_program,
};

const BUILD: Duration = Duration::from_mins(20);
/// The promise is three minutes; a proxy that refuses nothing takes longer, since every row then waits.
const HOSTILE: Duration = Duration::from_mins(10);
const SUITES: Duration = Duration::from_mins(15);
/// Eight minutes with certificates of a minute.
const ROTATION: Duration = Duration::from_mins(20);
/// Beyond the minutes of load: start, end, and what a machine that does other things adds.
const SOAK_EXTRA: Duration = Duration::from_mins(5);

/// False when a row failed.
pub(crate) fn hostile(workspace: &Workspace, args: &HostileArgs) -> Result<bool> {
    let mut program = program(workspace, "hostile", HOSTILE)?;
    let texts = [
        ("--address", &args.address),
        ("--recorder", &args.recorder),
        ("--host", &args.host),
        ("--role", &args.role),
        ("--server", &args.server),
        ("--output", &args.output),
    ];
    for (option, value) in texts {
        program = with(program, option, value.as_ref());
    }
    program = with(program, "--pid", args.pid.map(|pid| pid.to_string()).as_ref());
    program = args.row.iter().fold(program, |program, row| with(program, "--row", Some(row)));
    if let Some(mesh) = &args.mesh {
        program = program.arg("--mesh").arg(mesh);
    }
    if args.address.is_none() || args.mesh.is_some() {
        program = program.arg("--meshctl").arg(meshctl(workspace, args.meshctl.as_ref())?);
    }
    fine(program)
}

/// False when a case failed.
pub(crate) fn suites(workspace: &Workspace, args: &SuitesArgs) -> Result<bool> {
    let is_wanted = |name: &str| args.suites.is_empty() || args.suites.iter().any(|suite| suite == name);
    let mut program = program(workspace, "suites", SUITES)?.args(&args.suites);
    if is_wanted("h2spec") {
        program = program.arg("--h2spec").arg(tools::h2spec(workspace)?);
    }
    if is_wanted("grpc") {
        program = program.arg("--grpc-client").arg(tools::grpc_client(workspace)?);
        program = program.arg("--grpc-server").arg(tools::grpc_server(workspace)?);
        program = program.arg("--grpc-named").arg(tools::grpc_named(workspace)?);
    }
    if is_wanted("spiffe") {
        program = program.arg("--spiffe-go").arg(tools::spiffe_client(workspace)?);
        program = program.arg("--spiffe-python").arg(tools::spiffe_python(workspace)?);
        program =
            program.arg("--spiffe-script").arg(workspace.root.join("xtask/suites/python/workload_api.py"));
    }
    if is_wanted("ext-authz") {
        program = program.arg("--opa").arg(tools::opa(workspace)?);
        program = program.arg("--opa-policy").arg(workspace.root.join("xtask/suites/opa/policy.rego"));
    }
    if is_wanted("rate-limit") {
        program = program.arg("--rate-limit").arg(tools::rate_limit(workspace)?);
        let redis = find_program("redis-server")
            .context("there is no `redis-server` in PATH; `cargo xtask ci --only setup` installs it")?;
        program = program.arg("--redis").arg(redis);
    }
    if is_wanted("prometheus") {
        for (option, name) in [("--prometheus", "prometheus"), ("--promtool", "promtool")] {
            let found = find_program(name).with_context(|| {
                format!("there is no `{name}` in PATH; `cargo xtask ci --only setup` installs it")
            })?;
            program = program.arg(option).arg(found);
        }
        program = program.arg("--prometheus-rules").arg(workspace.root.join("deploy/prometheus/rules.yaml"));
    }
    if is_wanted("collector") {
        program = program.arg("--collector").arg(tools::collector(workspace)?);
    }
    if is_wanted("tls") {
        program = program.arg("--tls-client").arg(tools::tls_client(workspace)?);
        program = program.arg("--sslyze").arg(workspace.python().join("bin/sslyze"));
    }
    if let Some(wstest) = &args.autobahn {
        program = program.arg("--autobahn").arg(wstest);
    }
    program = with(program, "--output", args.output.as_ref());
    program = args.row.iter().fold(program, |program, row| with(program, "--row", Some(row)));
    fine(program.arg("--meshctl").arg(meshctl(workspace, args.meshctl.as_ref())?))
}

/// False when an error was not explained or memory grew.
pub(crate) fn soak(workspace: &Workspace, args: &SoakArgs) -> Result<bool> {
    let limit = Duration::from_secs(args.minutes * 60) + SOAK_EXTRA;
    let mut program = program(workspace, "soak", limit)?;
    program = with(program, "--minutes", Some(&args.minutes.to_string()));
    program = with(program, "--changes-per-second", Some(&args.changes_per_second.to_string()));
    program = with(program, "--output", args.output.as_ref());
    fine(program.arg("--meshctl").arg(meshctl(workspace, args.meshctl.as_ref())?))
}

/// False when a request failed, or a rotation left something behind.
pub(crate) fn rotation(workspace: &Workspace, args: &RotationArgs) -> Result<bool> {
    let program = program(workspace, "rotation", ROTATION)?.args(&args.parts);
    let program = with(program, "--svid-ttl-seconds", Some(&args.svid_ttl_seconds.to_string()));
    let program = with(program, "--output", args.output.as_ref());
    fine(program.arg("--meshctl").arg(meshctl(workspace, args.meshctl.as_ref())?))
}

/// False when an offender was not ended, others had to wait, or memory grew.
pub(crate) fn control_flood(workspace: &Workspace, args: &ControlFloodArgs) -> Result<bool> {
    let program = program(workspace, "control-flood", SUITES)?;
    let program = with(program, "--output", args.output.as_ref());
    fine(program.arg("--meshctl").arg(meshctl(workspace, args.meshctl.as_ref())?))
}

fn with(program: Program, option: &str, value: Option<&String>) -> Program {
    match value {
        Some(value) => program.arg(option).arg(value),
        None => program,
    }
}

/// `mesh-suites` with the profile of the tests: what it measures is others.
fn program(workspace: &Workspace, command: &str, limit: Duration) -> Result<Program> {
    screen::line("   building mesh-suites");
    Program::new(cargo(), BUILD)
        .args(["build", "--locked", "--profile", "ci", "--package", "mesh-suites"])
        .dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .env("CARGO_INCREMENTAL", "0")
        .run()
        .context("build mesh-suites")?;
    let program = workspace.target.join("ci/mesh-suites");
    Ok(Program::new(program, limit).dir(&workspace.root).arg(command))
}

pub(crate) fn meshctl(workspace: &Workspace, given: Option<&PathBuf>) -> Result<PathBuf> {
    match given {
        Some(path) => std::path::absolute(path).with_context(|| format!("find {}", path.display())),
        None => {
            screen::line("   building meshctl");
            Ok(Binaries::build(workspace)?.meshctl)
        }
    }
}

/// Rows that failed are exit code 1 and were printed; anything else that is not 0 is an error.
fn fine(program: Program) -> Result<bool> {
    match program.code()? {
        0 => Ok(true),
        1 => Ok(false),
        code => anyhow::bail!("mesh-suites ended with exit code {code}"),
    }
}
