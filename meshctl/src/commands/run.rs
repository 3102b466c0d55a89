//! `meshctl run`: any program as a member of a mesh on this machine. It gets an address, a sidecar and an identity;
//! others reach it by name as soon as its ports are open, and no longer once it ends.

use std::ffi::OsString;
use std::time::Duration;

use mesh_lifecycle::tasks::Tasks;
use rustix::process::Signal;

use super::Outcome;
use super::foreground::{self, Signals};
use crate::client::inspect::Inspect;
use crate::local::control::Said;
use crate::local::control_plane::{ControlPlane, Options, START_DEADLINE, StartError};
use crate::local::objects::Protocol;
use crate::local::paths::MeshPaths;
use crate::local::probe;
use crate::local::program::{Event, Mode, Prepared};
use crate::local::registration::Registration;
use crate::local::spec::WorkloadSpec;
use crate::local::state::{self, FindError, MeshState};
use crate::local::supervisor::Supervisor;
use crate::local::words;
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
    /// Give the command the SPIFFE Workload API of its sidecar (SPIFFE_ENDPOINT_SOCKET): certificates and tokens of its own
    #[arg(long)]
    workload_api: bool,
    /// Where the command serves metrics of its own: its sidecar's metrics have them too
    #[arg(long, value_name = "PORT[/PATH]", value_parser = words::metrics)]
    application_metrics: Option<String>,
    /// How what the command sends comes to its sidecar
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const HELP: &str = "\
The command gets a network namespace of its own, without root where the system has user
namespaces. Whatever it connects to goes through its sidecar, with no settings: services of
the mesh by name, as http://NAME[.NAMESPACE]:PORT, and the rest of the world as before. A
port on 127.0.0.1 that nothing inside listens on is that of this machine. UDP other than DNS
does not leave the namespace.

Where there can be no namespace, or with --mode explicit, the command finds its sidecar
through http_proxy and HTTP_PROXY, and a program that knows no proxy gets a port of its own
with --to.

Requests from others arrive at 127.0.0.1:PORT; there, or on all addresses, it must listen.
Others see the member once all its ports are open, and no longer once it is told to end.
When no mesh runs on this machine, one is started for as long as the command runs.

Also set: MESH_NAME, MESH_NAMESPACE, MESH_WORKLOAD, MESH_ADDRESS.
The exit code is that of the command, or 127 when it cannot be started, or 128+N when
signal N ended it.

Examples:
  meshctl run --name api --port 8080 -- python3 -m http.server 8080
  meshctl run --name me -- curl -s http://api:8080/
  meshctl run --name db --port 5432 --protocol tcp -- postgres -D data
  meshctl run --name load --to 9000=api:8080 -- h2load --h1 -n 1000 http://127.0.0.1:9000/";

/// How long connections get to end when the member ends.
const DRAIN: Duration = Duration::from_secs(5);
/// How long it may take until no caller uses the member any more.
const UNPUBLISH_DEADLINE: Duration = Duration::from_secs(3);

/// Runs the command until it ends.
pub(crate) async fn run(args: Args, mesh: &str, tasks: &Tasks) -> anyhow::Result<Outcome> {
    plan::check(&args)?;
    plan::program(&args).ports_are_free()?;
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
            Err(FindError::NotRunning(_)) => {
                match ControlPlane::start(mesh, Options::default(), tasks).await {
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
                }
            }
            Err(error @ FindError::Unreadable { .. }) => error.into(),
            Err(error) => return Err(error.into()),
        };
        if tokio::time::Instant::now() > until {
            return Err(starting);
        }
        tokio::time::sleep(probe::PACE).await;
    }
}

async fn in_mesh(args: &Args, mesh: &MeshState, tasks: &Tasks) -> anyhow::Result<Outcome> {
    let paths = MeshPaths::find(&mesh.name)?;
    let spec = plan::spec(args, DRAIN);
    let registration = Registration::take(&spec, mesh, &paths, shop::FIRST_FREE_HOST)?;
    let prepared = plan::program(args).prepare(mesh, &spec, registration.address()).await?;
    if let Some(reason) = &prepared.without {
        output::note(&format!("meshctl: {}", without_namespace(&spec.name, reason)));
    }
    let member = spec.member(registration.address(), prepared.place());
    let supervisor = Supervisor::new(tasks);
    supervisor.start(member.sidecar(mesh, &paths));
    let outcome = match supervisor.ready(&member.sidecar_name(), START_DEADLINE).await {
        Ok(()) => command(&spec, mesh, prepared, &registration, tasks).await,
        Err(error) => Err(error.into()),
    };
    drop(registration);
    supervisor.stop().await;
    outcome
}

/// One line: what is different, why, and what can be done about it.
pub(crate) fn without_namespace(name: &str, reason: &str) -> String {
    format!(
        "`{name}` finds its sidecar by HTTP_PROXY alone, for it has no network namespace of its own: {reason}; --mode explicit asks for that"
    )
}

/// Runs the command with a sidecar that is ready.
async fn command(
    spec: &WorkloadSpec,
    mesh: &MeshState,
    prepared: Prepared,
    registration: &Registration,
    tasks: &Tasks,
) -> anyhow::Result<Outcome> {
    let mut signals = Signals::new()?;
    let mut running = prepared.go()?;
    let mut published = false;
    loop {
        tokio::select! {
            event = running.next() => match event? {
                Event::Ended(status) => return Ok(Outcome::Code(foreground::code(status))),
                Event::Said(Said::Open) => {
                    let service = spec.service().unwrap_or_default();
                    registration.publish(&(spec.workload(registration.address()) + &service))?;
                    published = true;
                }
                Event::Said(Said::Waiting(why)) => {
                    output::note(&format!("meshctl: `{}` is not in the mesh yet: {why}", spec.name));
                }
                Event::Said(Said::Prepared | Said::Impossible(_)) => {}
            },
            signal = signals.next() => {
                if signal == Signal::TERM && published && !spec.ports.is_empty() {
                    leave(mesh, registration, tasks).await;
                }
                if let Some(signal) = foreground::to_pass_on(signal) {
                    running.signal(signal);
                }
            }
        }
    }
}

/// Takes the member out of the mesh before it ends, so that no caller is surprised, and waits until all sidecars know.
async fn leave(mesh: &MeshState, registration: &Registration, tasks: &Tasks) {
    let gone = async {
        let inspect = Inspect::connect(mesh, tasks).await?;
        let before = inspect.sync().await?.revision;
        registration.withdraw();
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
        registration.withdraw();
        tracing::warn!("cannot tell whether every sidecar knows that this member ends");
    }
}
