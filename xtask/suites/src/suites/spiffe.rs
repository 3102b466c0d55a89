//! go-spiffe and py-spiffe as clients of a sidecar's Workload API. Certificates live for 60 seconds, so that every client sees one
//! replace the other.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::cli::Suites;
use crate::mesh::objects::{self, Mtls};
use crate::mesh::{self, Authority, Mesh};
use crate::process::free_address;
use crate::report::{Outcome, Report, wanted};
use crate::screen;

const WORKLOAD: &str = "spiffe";
/// Half a minute until the certificates are replaced, and what a machine that does other things adds.
const LIMIT: Duration = Duration::from_mins(3);

/// What go-spiffe is asked to do, in the program's order.
const GO: [&str; 6] = ["x509-svid", "x509-bundles", "jwt-svid", "jwt-for-another", "mtls", "rotation"];
/// The same for py-spiffe.
const PYTHON: [&str; 6] =
    ["x509-svid", "x509-bundles", "jwt-svid", "jwt-for-another", "jwt-bundles", "rotation"];

pub(super) async fn run(args: &Suites, report: &mut Report) -> Result<()> {
    let go = args.spiffe_go.as_ref().context("the client on go-spiffe was not given (--spiffe-go)")?;
    let python = args.spiffe_python.as_ref().context("no Python was given (--spiffe-python)")?;
    let script =
        args.spiffe_script.as_ref().context("the client on py-spiffe was not given (--spiffe-script)")?;
    screen::line("   starting a mesh on loopback with certificates of 60 seconds");
    let objects = objects::file(&[objects::settings(Mtls::Strict), objects::client(WORKLOAD)]);
    let authority = Authority { options: "--svid-ttl 60s", ..Authority::default() };
    let mesh = Mesh::start_with(&args.meshctl, &objects, authority).await?;
    let path = mesh.folder().join("api.sock");
    let listen = free_address()?;
    let options = format!("--outbound-proxy {listen} --workload-api {}", path.display());
    let mut sidecar = mesh.sidecar(WORKLOAD, &options)?;
    sidecar.wait_for("serves the Workload API", || async { path.exists() }).await?;
    let (socket, id) = (format!("unix://{}", path.display()), mesh::member_id(WORKLOAD)?.to_string());
    let roots = mesh.roots().display().to_string();
    let go_args = ["-socket", &socket, "-id", &id, "-roots", &roots];
    let script = script.display().to_string();
    let python_args = [script.as_str(), &socket, &id];
    let (go, python) = tokio::join!(client(go, &go_args), client(python, &python_args));
    rows(report, "go-spiffe", &GO, &go, &args.row);
    rows(report, "py-spiffe", &PYTHON, &python, &args.row);
    Ok(())
}

/// What a client printed.
async fn client(program: &Path, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(LIMIT, command.output()).await {
        Err(_) => format!("it did not end within {} s", LIMIT.as_secs()),
        Ok(Err(error)) => format!("it cannot be started: {error}"),
        Ok(Ok(output)) => {
            let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
            format!("{out}{err}")
        }
    }
}

/// A row a case; one of which nothing was printed has failed.
fn rows(report: &mut Report, client: &str, cases: &[&str], printed: &str, names: &[String]) {
    for case in cases.iter().filter(|case| wanted(names, case)) {
        let said = |word: &str| {
            let start = format!("{word} {case}: ");
            printed.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
        };
        let outcome = match (said("passed"), said("FAILED")) {
            (Some(got), _) => Outcome::passed(got),
            (None, Some(why)) => Outcome::failed(why),
            (None, None) => Outcome::failed(format!("it says nothing of it: {printed}")),
        };
        report.row("spiffe", &format!("{client} {case}"), case, "as the client expects", &outcome);
    }
}
