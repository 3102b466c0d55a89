//! Programs of others that the suites run, built from Go modules into the user's cache. Their versions, and the checksums of all
//! that they are built from, are in the modules' `go.mod` and `go.sum`, and nowhere else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::config::{Workspace, find_program};
use crate::exec::Program;
use crate::screen;

/// The first build brings some forty modules and compiles them.
const BUILD: Duration = Duration::from_mins(20);
/// Python's packages are downloaded.
const PIP: Duration = Duration::from_mins(10);
/// What go.mod asks for.
const GO: (u32, u32) = (1, 26);

pub(super) fn h2spec(workspace: &Workspace) -> Result<PathBuf> {
    built(workspace, "h2spec", "github.com/summerwind/h2spec/cmd/h2spec")
}

pub(super) fn grpc_client(workspace: &Workspace) -> Result<PathBuf> {
    built(workspace, "grpc-interop-client", "google.golang.org/grpc/interop/client")
}

pub(super) fn grpc_server(workspace: &Workspace) -> Result<PathBuf> {
    built(workspace, "grpc-interop-server", "google.golang.org/grpc/interop/server")
}

pub(super) fn grpc_named(workspace: &Workspace) -> Result<PathBuf> {
    built(workspace, "grpc-interop-named", "./named")
}

pub(super) fn spiffe_client(workspace: &Workspace) -> Result<PathBuf> {
    built(workspace, "spiffe-client", "./spiffe")
}

/// A Python with py-spiffe, of the version in the suites' `requirements.txt`.
pub(super) fn spiffe_python(workspace: &Workspace) -> Result<PathBuf> {
    let wanted = workspace.root.join("xtask/suites/python/requirements.txt");
    let text = std::fs::read_to_string(&wanted).context("read requirements.txt")?;
    let folder = workspace.tools().join("py-spiffe");
    let interpreter = folder.join("bin/python");
    let there = Program::new(&interpreter, Duration::from_mins(1)).args(["-m", "pip", "freeze"]).capture();
    let packages = || text.lines().filter(|line| !line.starts_with('#'));
    if there.is_ok_and(|there| packages().all(|package| there.stdout.lines().any(|line| line == package))) {
        return Ok(interpreter);
    }
    screen::line("   installing py-spiffe");
    let python = Program::new("python3", PIP).args(["-m", "venv", "--clear"]).arg(&folder);
    python.output().context("make a Python environment")?;
    Program::new(&interpreter, PIP)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            "-r",
        ])
        .arg(&wanted)
        .output()
        .context("install py-spiffe")?;
    Ok(interpreter)
}

/// OPA behind Envoy's external authorization API.
pub(super) fn opa(workspace: &Workspace) -> Result<PathBuf> {
    built_in(workspace, "xtask/suites/opa", "opa-ext-authz", ".")
}

/// Envoy's rate limit service.
pub(super) fn rate_limit(workspace: &Workspace) -> Result<PathBuf> {
    let package = "github.com/envoyproxy/ratelimit/src/service_cmd";
    built_in(workspace, "xtask/suites/ratelimit", "ratelimit", package)
}

/// OpenTelemetry's collector, of its receiver for OTLP and its exporter to files.
pub(super) fn collector(workspace: &Workspace) -> Result<PathBuf> {
    built_in(workspace, "xtask/suites/collector", "otel-collector", ".")
}

pub(super) fn tls_client(workspace: &Workspace) -> Result<PathBuf> {
    built(workspace, "tlsclient", "./tlsclient")
}

/// The client and server of the lab. It is of Go's own library alone.
pub(crate) fn lab_program(workspace: &Workspace) -> Result<PathBuf> {
    built_in(workspace, "xtask/lab/assets/go", "lab", ".")
}

/// Checks GitHub's workflows.
pub(crate) fn actionlint(workspace: &Workspace) -> Result<PathBuf> {
    built_in(workspace, "xtask/assets/actionlint", "actionlint", "github.com/rhysd/actionlint/cmd/actionlint")
}

/// Helm's engine with a command line.
pub(crate) fn helm_program(workspace: &Workspace) -> Result<PathBuf> {
    built_in(workspace, "xtask/helm", "helm-render", ".")
}

/// Helm, the program.
pub(crate) fn helm(workspace: &Workspace) -> Result<PathBuf> {
    built_in(workspace, "xtask/helm", "helm", "helm.sh/helm/v3/cmd/helm")
}

/// Why Go programs cannot be built here, if so. Debian's Go is too old, and a toolchain is nothing that we install by ourselves.
pub(crate) fn go_problem() -> Option<String> {
    let (major, minor) = GO;
    let missing = format!("the suites need Go {major}.{minor} or newer (https://go.dev/doc/install)");
    let Some(go) = go() else { return Some(format!("{missing}; there is no `go` in PATH")) };
    let printed = match Program::new(go, Duration::from_mins(1)).arg("version").output() {
        Ok(printed) => printed,
        Err(error) => return Some(format!("{missing}: {error:#}")),
    };
    match version(&printed) {
        Some(found) if found >= GO => None,
        Some((major, minor)) => Some(format!("{missing}; this one is {major}.{minor}")),
        None => Some(format!("{missing}; `go version` says `{}`", printed.trim())),
    }
}

fn go() -> Option<PathBuf> {
    let usual = Path::new("/usr/local/go/bin/go");
    find_program("go").or_else(|| usual.is_file().then(|| usual.to_path_buf()))
}

/// `go version go1.26.8 linux/amd64`
fn version(printed: &str) -> Option<(u32, u32)> {
    let mut parts = printed.split_ascii_whitespace().nth(2)?.strip_prefix("go")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn built(workspace: &Workspace, name: &str, package: &str) -> Result<PathBuf> {
    built_in(workspace, "xtask/suites/go", name, package)
}

/// The conformance suite of Gateway API, as a program. It is a test of Go's, and those are built another way.
pub(crate) fn conformance_suite(workspace: &Workspace) -> Result<PathBuf> {
    let program = workspace.tools().join("go/gateway-api-conformance");
    let words = ["test", "-c", "-mod=readonly", "-trimpath", "-tags=netgo,osusergo", "-ldflags=-s -w", "-o"];
    let suite = "sigs.k8s.io/gateway-api/conformance";
    go_builds(workspace, "xtask/e2e/go/suite", &program, &words, suite)?;
    Ok(program)
}

/// Client and server of the image that its mesh tests use. They run in an image of their own: nothing of C in them.
pub(crate) fn conformance_echo(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let program = workspace.tools().join("go").join(format!("conformance-echo-{name}"));
    let words = ["build", "-mod=readonly", "-trimpath", "-tags=netgo,osusergo", "-ldflags=-s -w", "-o"];
    let package = format!("istio.io/istio/pkg/test/echo/cmd/{name}");
    go_builds(workspace, "xtask/e2e/go/echo", &program, &words, &package)?;
    Ok(program)
}

/// Go itself knows what is up to date, so it is asked each time.
fn built_in(workspace: &Workspace, module: &str, name: &str, package: &str) -> Result<PathBuf> {
    let program = workspace.tools().join("go").join(name);
    go_builds(workspace, module, &program, &["build", "-mod=readonly", "-buildvcs=false", "-o"], package)?;
    Ok(program)
}

fn go_builds(
    workspace: &Workspace,
    module: &str,
    program: &Path,
    words: &[&str],
    package: &str,
) -> Result<()> {
    if let Some(problem) = go_problem() {
        bail!("{problem}");
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    screen::line(&format!("   building {name}"));
    Program::new(go().context("no `go` in PATH")?, BUILD)
        .args(words)
        .arg(program)
        .arg(package)
        .dir(&workspace.root.join(module))
        .run()
        .with_context(|| format!("build {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_version_is_read() {
        assert_eq!(version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(version("go version devel +abc"), None);
        assert_eq!(version(""), None);
    }
}
