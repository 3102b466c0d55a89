//! `meshctl run`: any program as a member of a mesh on this machine. It gets an address, a sidecar and an identity;
//! others reach it by name as soon as its ports are open, and no longer once it ends.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, bail};
use mesh_lifecycle::bind::{self, ReusePort};
use mesh_lifecycle::tasks::Tasks;
use rustix::process::Signal;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

use super::Outcome;
use crate::local::control_plane::{self, ControlPlane, START_DEADLINE, StartError};
use crate::local::exec::INTERRUPT_COMMAND;
use crate::local::lock::{self, LockError, MeshLock};
use crate::local::member::Member;
use crate::local::objects::Protocol;
use crate::local::paths::MeshPaths;
use crate::local::state::{self, FindError, MeshState};
use crate::local::subnet::{self, AddressClaim, Subnet};
use crate::local::supervisor::Supervisor;
use crate::local::{probe, process};
use crate::{output, shop};

mod plan;

use plan::{Label, PortArgument, To, Zone};

/// Arguments of `meshctl run`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Name of the member and of its Service
    #[arg(long)]
    name: String,
    /// Its namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// A port that the command listens on; others call it by the same number
    #[arg(long = "port", value_name = "PORT[=NAME]")]
    ports: Vec<PortArgument>,
    /// What is spoken on its ports
    #[arg(long, value_enum, default_value_t)]
    protocol: Protocol,
    /// A local port that leads to a port of a service, for programs that know no HTTP proxy
    #[arg(long = "to", value_name = "[ADDR:]PORT=SERVICE[.NS]:PORT")]
    outbound: Vec<To>,
    /// A label of the member, besides `app=NAME`; routes and Services of your own can select it
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Where the member is: callers prefer members of their own zone
    #[arg(long)]
    zone: Option<Zone>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const HELP: &str = "\
The command finds its sidecar through http_proxy and HTTP_PROXY: curl, gRPC and most HTTP
clients then reach services of the mesh by name, as http://NAME[.NAMESPACE]:PORT. A program
that knows no proxy gets a port of its own with --to.
Requests from others arrive at 127.0.0.1:PORT; there, or on all addresses, it must listen.
Others see the member once all its ports are open, and no longer once it is told to end.
When no mesh runs on this machine, one is started for as long as the command runs.

Also set: MESH_NAME, MESH_NAMESPACE, MESH_WORKLOAD, MESH_ADDRESS, MESH_PROXY.
The exit code is that of the command, or 127 when it cannot be started, or 128+N when
signal N ended it.

Examples:
  meshctl run --name api --port 8080 -- python3 -m http.server 8080
  meshctl run --name me -- curl -s http://api:8080/
  meshctl run --name greeter --port 50051 --protocol grpc -- python3 greeter.py
  meshctl run --name load --to 9000=api:8080 -- h2load --h1 -n 1000 http://127.0.0.1:9000/";

/// How long connections get to end when the member ends.
const DRAIN: Duration = Duration::from_secs(5);
/// After this long without an open port the user is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take until no caller uses the member any more.
const UNPUBLISH_DEADLINE: Duration = Duration::from_secs(3);

/// Runs the command until it ends.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    plan::check(&args)?;
    for port in &args.ports {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number));
        // The command has to be able to listen there; better to say now who is in its way than to wait for it.
        bind::tcp(address, ReusePort::No).map_err(|error| error.with_option("--port"))?;
    }
    let (plane, mesh) = find_or_start(mesh, tasks).await?;
    let outcome = in_mesh(&args, &mesh, tasks).await;
    if let Some(plane) = plane {
        plane.stop().await;
    }
    outcome
}

/// The running mesh, or one of our own that ends with us.
async fn find_or_start(mesh: &str, tasks: &Tasks) -> anyhow::Result<(Option<ControlPlane>, MeshState)> {
    let until = tokio::time::Instant::now() + START_DEADLINE;
    loop {
        let starting = match state::find(mesh) {
            Ok(state) => return Ok((None, state)),
            Err(FindError::NotRunning(_)) => match ControlPlane::start(mesh, tasks).await {
                Ok(plane) => {
                    output::note(&format!(
                        "meshctl: no mesh `{mesh}` ran on this machine; started one for as long as this command runs"
                    ));
                    plane.publish(Vec::new(), true)?;
                    let state = plane.state();
                    return Ok((Some(plane), state));
                }
                // Somebody else was faster.
                Err(error @ StartError::Running { .. }) => anyhow::Error::from(error),
                Err(error) => return Err(error.into()),
            },
            Err(error @ FindError::Unreadable { .. }) => error.into(),
            Err(error) => return Err(error.into()),
        };
        if tokio::time::Instant::now() > until {
            return Err(starting);
        }
        tokio::time::sleep(probe::PACE).await;
    }
}

/// What makes a member one of a kind: its name and its address. Both are free again when this is dropped.
struct Registration {
    _name: MeshLock,
    address: AddressClaim,
    file: PathBuf,
    objects: PathBuf,
}

impl Drop for Registration {
    fn drop(&mut self) {
        std::fs::remove_file(&self.objects).ok();
        std::fs::remove_file(&self.file).ok();
    }
}

fn register(args: &Args, mesh: &MeshState, paths: &MeshPaths) -> anyhow::Result<Registration> {
    let full = format!("{}.{}", args.name, args.namespace);
    let ours =
        mesh.members.iter().any(|member| member.name == args.name && member.namespace == args.namespace);
    if ours {
        bail!("`{full}` is a member of this mesh already; choose another --name or --namespace");
    }
    let file = paths.members().join(&full);
    let name = lock::take(&file).map_err(|error| match error {
        LockError::Held { pid } => {
            anyhow::anyhow!(
                "`{full}` is a member of this mesh already, run by process {pid}; choose another --name"
            )
        }
        error @ LockError::Io { .. } => error.into(),
    })?;
    let address = subnet::claim_address(Subnet::of(mesh.subnet), shop::FIRST_FREE_HOST)
        .context("this mesh has no address left for another member")?;
    let objects = mesh.objects.join(format!("{}{full}.yaml", control_plane::MEMBER_PREFIX));
    Ok(Registration { _name: name, address, file, objects })
}

async fn in_mesh(args: &Args, mesh: &MeshState, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let paths = MeshPaths::find(&mesh.name)?;
    let registration = register(args, mesh, &paths)?;
    let member = plan::member(args, registration.address.address(), DRAIN);
    let supervisor = Supervisor::new(tasks);
    supervisor.start(member.sidecar(mesh, &paths));
    let outcome = match supervisor.ready(&member.sidecar_name(), START_DEADLINE).await {
        Ok(()) => command(args, mesh, &member, &registration, tasks).await,
        Err(error) => Err(error.into()),
    };
    drop(registration);
    supervisor.stop().await;
    outcome
}

/// Runs the command with a sidecar that is ready.
async fn command(
    args: &Args,
    mesh: &MeshState,
    member: &Member,
    registration: &Registration,
    tasks: &Tasks,
) -> anyhow::Result<Outcome> {
    let mut signals = Signals::new()?;
    let mut child = process::ourselves();
    child.arg("__exec").args(&args.command).envs(plan::environment(mesh, member)).kill_on_drop(true);
    for name in plan::REMOVED_VARIABLES {
        child.env_remove(name);
    }
    let mut child = child.spawn().context("cannot start the command's watcher")?;
    let mut published = false;
    let open = all_open(args);
    tokio::pin!(open);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            () = &mut open, if !published => {
                state::replace(&registration.objects, &plan::objects(args, member))
                    .with_context(|| format!("cannot write `{}`", registration.objects.display()))?;
                published = true;
            }
            signal = signals.next() => {
                if signal == Signal::TERM && published && !args.ports.is_empty() {
                    unpublish(mesh, registration, tasks).await;
                }
                pass_on(&child, signal);
            }
        }
    };
    Ok(Outcome::Code(code(status)))
}

/// Ends when every port of the command accepts connections.
async fn all_open(args: &Args) {
    let began = tokio::time::Instant::now();
    let mut told = false;
    for port in &args.ports {
        while !probe::open(SocketAddr::from((Ipv4Addr::LOCALHOST, port.number))).await {
            if !told && began.elapsed() > PATIENCE {
                let (name, number) = (&args.name, port.number);
                output::note(&format!(
                    "meshctl: `{name}` is not in the mesh yet: its command does not listen on 127.0.0.1:{number}"
                ));
                told = true;
            }
            tokio::time::sleep(probe::PACE).await;
        }
    }
}

/// Takes the member out of the mesh before it ends, so that no caller is surprised, and waits until all sidecars know.
async fn unpublish(mesh: &MeshState, registration: &Registration, tasks: &Tasks) {
    let gone = async {
        let inspect = crate::client::inspect::Inspect::connect(mesh, tasks).await?;
        let before = inspect.sync().await?.revision;
        std::fs::remove_file(&registration.objects)?;
        loop {
            let now = inspect.sync().await?;
            let known = now
                .proxies
                .iter()
                .all(|proxy| !proxy.connected || proxy.acked_revision >= proxy.sent_revision);
            if now.revision > before && known {
                return anyhow::Ok(());
            }
            tokio::time::sleep(probe::PACE).await;
        }
    };
    if !matches!(tokio::time::timeout(UNPUBLISH_DEADLINE, gone).await, Ok(Ok(()))) {
        // The command is told to end all the same; callers find out by themselves.
        std::fs::remove_file(&registration.objects).ok();
        tracing::warn!("cannot tell whether every sidecar knows that this member ends");
    }
}

fn pass_on(watcher: &Child, signal: Signal) {
    // A Ctrl-C in the terminal has reached the command without us: it is in the same process group.
    let from_terminal = [std::io::stdin().is_terminal(), std::io::stderr().is_terminal()].contains(&true);
    match signal {
        Signal::INT if from_terminal => {}
        Signal::INT => process::signal(watcher, INTERRUPT_COMMAND),
        other => process::signal(watcher, other),
    }
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The signals that are the command's business.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.hangup.recv() => Signal::HUP,
        }
    }
}
