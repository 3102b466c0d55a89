//! The command line as types, and which command each leads to. It must not know how commands work.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use mesh_lifecycle::log::Format as LogFormat;
use mesh_lifecycle::tasks::Tasks;

use crate::commands::{
    Outcome, analyze, authz, bug_report, canary, certs, cluster_check, cost, dashboard, demo, diff, edges,
    error, explain, inject, install, local, migrate, mtls, policy, protocols, proxy, routes, run, stat, sync,
    tap, test, top, trace, uninstall, up, upgrade, version, wait, why,
};
use crate::{output, parts};

/// How long tasks get to end after the command did.
const WIND_UP: Duration = Duration::from_secs(2);

/// Run a service mesh on this machine, and look into it
#[derive(Debug, Parser)]
#[command(name = "meshctl", version, arg_required_else_help = true, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// The mesh on this machine
    #[arg(long, global = true, default_value = "default", value_name = "NAME", value_parser = mesh_name)]
    mesh: String,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  meshctl demo                                      a shop with mTLS and a canary split
  meshctl run --name api --port 8080 -- ./server    make any program a member of the mesh
  meshctl run --name me -- curl http://api:8080/    call it from another member
  meshctl local up -f mesh.yaml                     run several programs as a mesh
  meshctl top                                       watch the traffic

Exit codes: 0 fine, 1 something was found to be wrong, 2 the command itself failed.
Files are kept in $MESH_HOME, $XDG_STATE_HOME/amime or ~/.local/state/amime.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a mesh with a shop in it and look at it work
    Demo(demo::Args),
    /// Put the mesh into a Kubernetes cluster, and wait until it is ready
    Install(Box<install::Args>),
    /// Show what another version or other values change in the cluster, ask, and do it
    Upgrade(Box<upgrade::Args>),
    /// Remove the mesh from the cluster
    Uninstall(uninstall::Args),
    /// Look for what is wrong with the mesh in the cluster; exit code 1 if something is
    Check(Box<cluster_check::Args>),
    /// Show what is wrong with objects, of files or of the cluster; exit code 1 if something is
    Analyze(Box<analyze::Args>),
    /// Show what objects of files would change in the mesh; exit code 1 if something would
    Diff(diff::Args),
    /// Start a mesh without members; add them with `meshctl run`
    Up(up::Args),
    /// Run a command as a member of the mesh
    Run(run::Args),
    /// Run several programs as a mesh, from one file
    Local(local::Args),
    /// Watch traffic live: who calls whom, how often, how fast, with what success
    Top(top::Args),
    /// Show traffic of the last while, by who calls whom, deployment, pod, service, namespace or route
    Stat(Box<stat::Args>),
    /// Show the CPU, memory and latency that the mesh itself adds
    Cost(Box<cost::Args>),
    /// Show who talks to whom, and whether that is secured or why not
    Edges(edges::Args),
    /// Show success, rate and latency of each route
    Routes(routes::Args),
    /// Show what each port is declared to speak and what was seen there; exit code 1 if they contradict
    Protocols(protocols::Args),
    /// Show requests as they end, as sidecars see them
    Tap(Box<tap::Args>),
    /// Show requests as trees across services, as they happen
    Trace(trace::Args),
    /// Follow and steer the release of a new version
    Canary(canary::Args),
    /// Open the dashboard: topology, traffic, requests, traces, certificates and configuration in a browser
    Dashboard(dashboard::Args),
    /// Show why requests failed: causes in words, with an example of each and what to do; exit code 1 if something did
    Why(Box<why::Args>),
    /// Show the certificates of all sidecars; rotate what signs them
    Certs(certs::Args),
    /// Show who still speaks plaintext to whom, and make Services strict
    Mtls(mtls::Args),
    /// Show whether every sidecar and every object is up to date; exit code 1 if not
    Sync(sync::Args),
    /// Wait until every connected sidecar has what the objects say by now; exit code 1 if it does not come to that in time
    Wait(Box<wait::Args>),
    /// Show what the mesh would do with a request, and which object and field says so
    Explain(Box<explain::Args>),
    /// Show who may call what, by which policy and rule, who may not and why; with --from exit code 1 if that caller may not
    Authz(Box<authz::Args>),
    /// Check assertions of files: who may call what, and which route takes it; exit code 1 if one fails
    Test(Box<test::Args>),
    /// Write policies from observed traffic; show what policies would refuse of it, and what audit policies recorded
    Policy(policy::Args),
    /// Turn objects of another mesh into those of this one, and say what became of every field; exit code 1 if something changes
    Migrate(migrate::Args),
    /// Put workloads in files into the mesh, for `kubectl apply`
    Inject(inject::InjectArgs),
    /// Take workloads in files out of the mesh
    Uninject(inject::UninjectArgs),
    /// Look into one sidecar of a cluster: its configuration, endpoints, certificate and log
    Proxy(proxy::Args),
    /// Collect in an archive, without secrets, what is needed to find out what is wrong with the mesh in a cluster
    BugReport(bug_report::Args),
    /// Explain a failure code of the mesh; without one, list all
    Error(error::Args),
    /// Show the versions of this program, the controller and the sidecars
    Version(version::Args),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Names of meshes become folder names.
fn mesh_name(text: &str) -> Result<String, String> {
    mesh_model::name::Name::new(text, "x")
        .map(|name| name.namespace().to_owned())
        .map_err(|error| error.to_string())
}

/// What `main` does.
pub fn main() -> ExitCode {
    let began = Instant::now();
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = parts::dispatch(&args) {
        return code;
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; where they go, clap knows.
            error.print().ok();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    mesh_lifecycle::log::init("error,kube_client=off", LogFormat::Text);
    match carry_out(cli, began) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Finding) => ExitCode::from(1),
        Ok(Outcome::Code(code)) => ExitCode::from(code),
        Err(error) => {
            output::note(&format!("meshctl: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn carry_out(cli: Cli, began: Instant) -> anyhow::Result<Outcome> {
    // One thread: processes that die with the thread that started them die with the process.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = Tasks::new();
    let outcome = runtime.block_on(async {
        let mesh = cli.mesh.as_str();
        let outcome = Box::pin(command(cli.command, mesh, &tasks, began)).await;
        tasks.shutdown(WIND_UP).await;
        outcome
    });
    // A blocking read of standard input must not keep us.
    runtime.shutdown_background();
    outcome
}

async fn command(command: Command, mesh: &str, tasks: &Tasks, began: Instant) -> anyhow::Result<Outcome> {
    match command {
        Command::Demo(args) => demo::run(args, mesh, tasks, began).await,
        Command::Install(args) => install::run(*args).await,
        Command::Upgrade(args) => upgrade::run(*args).await,
        Command::Uninstall(args) => uninstall::run(args).await,
        Command::Check(args) => Box::pin(cluster_check::run(*args, tasks)).await,
        Command::Analyze(args) => analyze::run(*args).await,
        Command::Diff(args) => diff::run(args).await,
        Command::Up(args) => up::run(args, mesh, tasks).await,
        Command::Run(args) => run::run(args, mesh, tasks).await,
        Command::Local(args) => local::run(args, mesh, tasks).await,
        Command::Top(args) => top::run(args, mesh, tasks).await,
        Command::Cost(args) => Box::pin(cost::run(*args, mesh, tasks)).await,
        Command::Stat(args) => Box::pin(stat::run(*args, mesh, tasks)).await,
        Command::Edges(args) => edges::run(args, mesh, tasks).await,
        Command::Routes(args) => routes::run(args, mesh, tasks).await,
        Command::Protocols(args) => protocols::run(args, mesh, tasks).await,
        Command::Tap(args) => Box::pin(tap::run(*args, mesh, tasks)).await,
        Command::Trace(args) => trace::run(args, mesh, tasks).await,
        Command::Dashboard(args) => Box::pin(dashboard::run(args, mesh, tasks)).await,
        Command::Canary(args) => Box::pin(canary::run(args, mesh, tasks)).await,
        Command::Why(args) => Box::pin(why::run(*args, mesh, tasks)).await,
        Command::Certs(args) => certs::run(args, mesh, tasks).await,
        Command::Mtls(args) => mtls::run(args, mesh, tasks).await,
        Command::Sync(args) => sync::run(args, mesh, tasks).await,
        Command::Wait(args) => Box::pin(wait::run(*args, mesh, tasks)).await,
        Command::Explain(args) => Box::pin(explain::run(&args, mesh, tasks)).await,
        Command::Authz(args) => Box::pin(authz::run(&args, mesh, tasks)).await,
        Command::Test(args) => Box::pin(test::run(&args, mesh)).await,
        Command::Policy(args) => Box::pin(policy::run(args, mesh, tasks)).await,
        Command::Migrate(args) => migrate::run(&args),
        Command::Inject(args) => inject::inject(&args),
        Command::Uninject(args) => inject::uninject(&args),
        Command::Proxy(args) => Box::pin(proxy::run(args)).await,
        Command::BugReport(args) => Box::pin(bug_report::run(args, tasks)).await,
        Command::Error(args) => error::run(&args),
        Command::Version(args) => version::run(args, mesh, tasks).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(
                shell,
                &mut <Cli as clap::CommandFactory>::command(),
                "meshctl",
                &mut script,
            );
            output::print(&String::from_utf8_lossy(&script));
            Ok(Outcome::Fine)
        }
    }
}

#[cfg(test)]
mod tests;
