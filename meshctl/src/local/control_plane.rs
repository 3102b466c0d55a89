//! The control plane of a mesh on this machine: certificate authority and controller as processes, and the file that
//! tells others where they are. It must not know which members the mesh has.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_lifecycle::tasks::Tasks;
use tokio_util::sync::CancellationToken;

use super::lock::{self, LockError, MeshLock};
use super::objects;
use super::paths::{MeshPaths, PathError};
use super::process::Launch;
use super::state::{self, CaState, ControllerState, MemberState, MeshState};
use super::subnet::{self, Claim, NoSubnet, Subnet};
use super::supervisor::{ChildSpec, Kind, NotReady, Supervisor, TokenFor};

/// Configuration, reports and inspection.
pub(crate) const CONTROLLER_PORT: u16 = 15010;
/// The certificate authority.
pub(crate) const CA_PORT: u16 = 15012;
/// Metrics and readiness of both.
const METRICS_PORT: u16 = 15020;
/// The dashboard of the controller.
const DASHBOARD_PORT: u16 = 15080;
/// The identity domain of meshes on this machine.
pub(crate) const TRUST_DOMAIN: &str = "mesh.local";
/// Namespace of the mesh's own parts.
pub(crate) const SYSTEM_NAMESPACE: &str = "amime-system";
/// How long a part may take to become ready. A slow machine at full load takes seconds.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(3);

/// Why a mesh cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(
        "the mesh `{name}` already runs, by process {pid}; stop that one, or start another with --mesh NAME"
    )]
    Running { name: String, pid: String },
    #[error(transparent)]
    Lock(LockError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Subnet(#[from] NoSubnet),
    #[error("cannot write `{path}`")]
    Write { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    NotReady(#[from] NotReady),
}

/// What a mesh may be told beside its name.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) trust_domain: String,
    /// Where other meshes get our trust bundle.
    pub(crate) bundle_endpoint: Option<SocketAddr>,
    /// Bundle endpoints of other meshes may be on this machine.
    pub(crate) federation_loopback: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { trust_domain: TRUST_DOMAIN.to_owned(), bundle_endpoint: None, federation_loopback: false }
    }
}

/// A running control plane. It runs for as long as this lives and [`ControlPlane::stop`] was not called.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    paths: MeshPaths,
    supervisor: Supervisor,
    state: Arc<Mutex<MeshState>>,
    /// The state file is ours to write until then.
    closed: CancellationToken,
    _claim: Claim,
    _lock: MeshLock,
}

impl ControlPlane {
    /// Starts certificate authority and controller and waits until both are ready.
    pub(crate) async fn start(mesh: &str, options: Options, tasks: &Tasks) -> Result<Self, StartError> {
        let paths = MeshPaths::find(mesh)?;
        paths.create()?;
        let lock = lock::take(&paths.lock()).map_err(|error| match error {
            LockError::Held { pid } => StartError::Running { name: mesh.to_owned(), pid },
            error @ LockError::Io { .. } => StartError::Lock(error),
        })?;
        let claim = subnet::claim(mesh)?;
        clear_leftovers(&paths);
        let state = describe(mesh, &options.trust_domain, &paths, claim.subnet());
        let settings = paths.objects().join("mesh.yaml");
        if !settings.exists() {
            write(settings, &objects::mesh_config(&options.trust_domain))?;
        }
        let supervisor = Supervisor::new(tasks);
        let state = Arc::new(Mutex::new(state));
        let plane = Self {
            paths,
            supervisor,
            state,
            closed: tasks.token().child_token(),
            _claim: claim,
            _lock: lock,
        };
        plane.keep_state_file(tasks);
        let started = plane.start_parts(&options).await;
        if let Err(error) = started {
            plane.stop().await;
            return Err(error);
        }
        Ok(plane)
    }

    async fn start_parts(&self, options: &Options) -> Result<(), StartError> {
        let state = self.state();
        for spec in [ca(&state, options, &self.paths), controller(&state, &self.paths)] {
            let name = spec.name.clone();
            self.supervisor.start(spec);
            // The controller obtains its identity from the CA, so one after the other.
            self.supervisor.ready(&name, START_DEADLINE).await?;
        }
        Ok(())
    }

    /// Where everything is.
    pub(crate) fn state(&self) -> MeshState {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        state.children = self.supervisor.snapshot();
        state
    }

    /// The files of the mesh.
    pub(crate) fn paths(&self) -> &MeshPaths {
        &self.paths
    }

    /// Who keeps the processes running; members may be added.
    pub(crate) fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// An address of the mesh.
    pub(crate) fn subnet(&self) -> Subnet {
        Subnet::of(self.state().subnet)
    }

    /// Tells others which members belong to this process, and whether all is ready.
    pub(crate) fn publish(&self, members: Vec<MemberState>, ready: bool) -> Result<(), StartError> {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.members = members;
            state.ready = ready;
        }
        let path = self.paths.state();
        self.state().save(&path).map_err(|source| StartError::Write { path, source })
    }

    /// Ends all processes, members first. Others no longer find the mesh.
    pub(crate) async fn stop(&self) {
        self.supervisor.stop().await;
        self.closed.cancel();
        std::fs::remove_file(self.paths.state()).ok();
    }

    /// The file follows every start and end of a process.
    fn keep_state_file(&self, tasks: &Tasks) {
        let mut changes = self.supervisor.changes();
        let (supervisor, shared, path) =
            (self.supervisor.clone(), Arc::clone(&self.state), self.paths.state());
        let closed = self.closed.clone();
        tasks.spawn("state-file", async move {
            loop {
                tokio::select! {
                    biased;
                    () = closed.cancelled() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                }
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                state.children = supervisor.snapshot();
                if let Err(error) = state.save(&path) {
                    tracing::warn!(%error, path = %path.display(), "cannot write the mesh's state");
                }
            }
        });
    }
}

fn describe(mesh: &str, trust_domain: &str, paths: &MeshPaths, subnet: Subnet) -> MeshState {
    let at = |host, port| SocketAddr::from((subnet.host(host), port));
    MeshState {
        name: mesh.to_owned(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        trust_domain: trust_domain.to_owned(),
        subnet: subnet.host(0),
        objects: paths.objects(),
        root_pem: paths.root_pem(),
        ca: CaState {
            address: at(2, CA_PORT),
            metrics: at(2, METRICS_PORT),
            admin_socket: paths.ca_socket(),
        },
        controller: ControllerState { address: at(1, CONTROLLER_PORT), metrics: at(1, METRICS_PORT) },
        members: Vec::new(),
        ready: false,
        children: Vec::new(),
    }
}

fn ca(state: &MeshState, options: &Options, paths: &MeshPaths) -> ChildSpec {
    let mut args = arguments(
        &["__ca", "serve"],
        [
            ("--listen", state.ca.address.to_string().into()),
            ("--metrics", state.ca.metrics.to_string().into()),
            ("--admin-socket", state.ca.admin_socket.clone().into()),
            ("--state-dir", paths.ca_state().into()),
            ("--trust-domain", state.trust_domain.clone().into()),
            ("--svid-ttl", "1h".into()),
            ("--config-dir", state.objects.clone().into()),
        ],
    );
    if let Some(listen) = options.bundle_endpoint {
        args.extend(["--bundle-endpoint".into(), listen.to_string().into()]);
    }
    if options.federation_loopback {
        args.push("--federation-loopback".into());
    }
    let launch = Launch { args, log: paths.logs().join("mesh-ca.log") };
    let ready = Some(state.ca.metrics);
    ChildSpec { name: "mesh-ca".into(), kind: Kind::Ca, launch, ready, token: None, grace: GRACE }
}

fn controller(state: &MeshState, paths: &MeshPaths) -> ChildSpec {
    let name = "mesh-controller";
    let token = TokenFor {
        namespace: SYSTEM_NAMESPACE.to_owned(),
        service_account: name.to_owned(),
        socket: state.ca.admin_socket.clone(),
        file: paths.tokens().join(name),
    };
    let dashboard = SocketAddr::new(state.controller.address.ip(), DASHBOARD_PORT);
    let args = arguments(
        &["__controller", "serve"],
        [
            ("--config-dir", state.objects.clone().into()),
            ("--listen", state.controller.address.to_string().into()),
            ("--metrics", state.controller.metrics.to_string().into()),
            ("--dashboard", dashboard.to_string().into()),
            ("--ca", state.ca.address.to_string().into()),
            ("--ca-roots", state.root_pem.clone().into()),
            ("--join-token-file", token.file.clone().into()),
            ("--releases", paths.releases().into()),
        ],
    );
    // What a release may ask is on this machine too.
    let args = [args, vec!["--canary-loopback".into()]].concat();
    let launch = Launch { args, log: paths.logs().join(format!("{name}.log")) };
    let ready = Some(state.controller.metrics);
    ChildSpec { name: name.into(), kind: Kind::Controller, launch, ready, token: Some(token), grace: GRACE }
}

fn arguments<const N: usize>(command: &[&str], options: [(&str, OsString); N]) -> Vec<OsString> {
    let mut args: Vec<OsString> = command.iter().map(OsString::from).collect();
    for (name, value) in options {
        args.extend([name.into(), value]);
    }
    args
}

/// What a mesh that was killed left behind would be taken for the truth: logs of the last run, members that are no more.
fn clear_leftovers(paths: &MeshPaths) {
    std::fs::remove_file(paths.state()).ok();
    std::fs::remove_file(paths.ca_socket()).ok();
    std::fs::remove_dir_all(paths.sidecars()).ok();
    for folder in [paths.logs(), paths.members(), paths.tokens()] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            std::fs::remove_file(entry.path()).ok();
        }
    }
    for entry in std::fs::read_dir(paths.objects()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(MEMBER_PREFIX) {
            std::fs::remove_file(entry.path()).ok();
        }
    }
}

/// Files of objects that belong to a running process; they go when it goes.
pub(crate) const MEMBER_PREFIX: &str = "member-";

/// Writes an object file in one step.
pub(crate) fn write(path: PathBuf, text: &str) -> Result<(), StartError> {
    state::replace(&path, text).map_err(|source| StartError::Write { path, source })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A mesh for tests of what is derived from one.
    pub(crate) fn state(paths: &MeshPaths) -> MeshState {
        describe("test", TRUST_DOMAIN, paths, Subnet::of([127, 7, 0, 0].into()))
    }

    #[test]
    fn arguments_of_the_control_plane_name_everything_it_needs() {
        let paths = MeshPaths::at("/m/test".into());
        let state = state(&paths);
        let bundle_endpoint = Some(([127, 0, 0, 1], 8443).into());
        let options = Options { bundle_endpoint, federation_loopback: true, ..Options::default() };
        let text = |spec: ChildSpec| {
            let args: Vec<_> =
                spec.launch.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
            args.join(" ").replace(" --", "\n--")
        };
        insta::assert_snapshot!(format!(
            "{}\n\n{}",
            text(ca(&state, &options, &paths)),
            text(controller(&state, &paths))
        ));
    }

    #[test]
    fn leftovers_go_and_the_users_objects_stay() {
        let dir = tempfile::tempdir().unwrap();
        let paths = MeshPaths::at(dir.path().to_owned());
        paths.create().unwrap();
        std::fs::write(paths.objects().join("member-x.yaml"), "").unwrap();
        std::fs::write(paths.objects().join("mine.yaml"), "").unwrap();
        std::fs::write(paths.tokens().join("x"), "").unwrap();
        clear_leftovers(&paths);
        assert!(!paths.objects().join("member-x.yaml").exists());
        assert!(paths.objects().join("mine.yaml").exists());
        assert!(!paths.tokens().join("x").exists());
    }
}
