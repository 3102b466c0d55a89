//! A mesh on loopback as users run it: a certificate authority, a controller with a folder of YAML, and sidecars that join
//! with one-time tokens. It must not know what is tested with it.

pub(crate) mod objects;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use mesh_identity::{Credential, Identity, ObtainConfig, obtain};
use mesh_lifecycle::tasks::Tasks;
use mesh_model::spiffe::{SpiffeId, TrustDomain};
use serde_json::Value;
use tempfile::TempDir;

use self::objects::{NAMESPACE, TRUST_DOMAIN};
use crate::process::{Process, free_address};
use crate::rotation::{Cluster, Issuer, clock_environment};

const SYSTEM: &str = "amime-system";

/// By what processes prove themselves.
#[derive(Debug, Clone, Default)]
pub(crate) enum Proof {
    /// A one-time token each.
    #[default]
    Joined,
    /// A token of an issuer.
    Issued(Issuer),
    /// A token that an API server reviews, for replicas of the authority that run elsewhere.
    Reviewed(Cluster),
}

/// The authority of a mesh.
#[derive(Debug, Default)]
pub(crate) struct Authority<'a> {
    /// More options of it.
    pub(crate) options: &'a str,
    pub(crate) proof: &'a Proof,
    /// The library by which the clock of every process can be set, if it is to be.
    pub(crate) clocks: Option<&'a Path>,
}

impl Default for &Proof {
    fn default() -> Self {
        &Proof::Joined
    }
}

/// Authority and controller.
#[derive(Debug)]
pub(crate) struct Mesh {
    program: PathBuf,
    ca: SocketAddr,
    controller: SocketAddr,
    socket: PathBuf,
    roots: PathBuf,
    objects: PathBuf,
    authority: Option<Process>,
    authority_args: String,
    proof: Proof,
    control: Option<Process>,
    clocks: Option<PathBuf>,
    folder: TempDir,
}

impl Mesh {
    /// Starts both and waits until they take connections.
    pub(crate) async fn start(program: &Path, objects: &str) -> Result<Self> {
        Self::start_with(program, objects, Authority::default()).await
    }

    /// The same with an authority of another kind.
    pub(crate) async fn start_with(program: &Path, objects: &str, authority: Authority<'_>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("mesh-suites").tempdir().context("make a folder")?;
        let here = folder.path();
        let (ca, socket) = match authority.proof {
            Proof::Reviewed(cluster) => (cluster.address, here.join("none.sock")),
            Proof::Joined | Proof::Issued(_) => (free_address()?, here.join("ca.sock")),
        };
        let issuing = match authority.proof {
            Proof::Issued(issuer) => issuer.options(here)?,
            Proof::Joined | Proof::Reviewed(_) => String::new(),
        };
        let authority_args = format!(
            "__ca serve --listen {ca} --metrics {} --admin-socket {} --state-dir {} --trust-domain {TRUST_DOMAIN} \
            {} {issuing}",
            free_address()?,
            socket.display(),
            here.join("ca").display(),
            authority.options,
        );
        let roots = match authority.proof {
            Proof::Reviewed(cluster) => cluster.roots.clone(),
            Proof::Joined | Proof::Issued(_) => here.join("ca/root.pem"),
        };
        let mut mesh = Self {
            program: program.to_path_buf(),
            ca,
            controller: free_address()?,
            socket,
            roots,
            objects: here.join("objects"),
            authority: None,
            authority_args,
            proof: authority.proof.clone(),
            control: None,
            clocks: authority.clocks.map(Path::to_path_buf),
            folder,
        };
        std::fs::create_dir_all(&mesh.objects).context("make the folder of objects")?;
        mesh.write("base.yaml", objects)?;
        if !matches!(mesh.proof, Proof::Reviewed(_)) {
            mesh.start_authority().await?;
        }
        let args = format!(
            "__controller serve --config-dir {} --listen {} --metrics {} --ca {} --ca-roots {} {}",
            mesh.objects.display(),
            mesh.controller,
            free_address()?,
            mesh.ca,
            mesh.roots.display(),
            mesh.proof(SYSTEM, "mesh-controller")?,
        );
        let mut controller = mesh.process("mesh-controller", &args)?;
        controller.listens(mesh.controller).await?;
        mesh.control = Some(controller);
        Ok(mesh)
    }

    /// Starts the authority, again if it was killed.
    pub(crate) async fn start_authority(&mut self) -> Result<()> {
        self.start_authority_with("").await
    }

    /// The same with more options.
    pub(crate) async fn start_authority_with(&mut self, more: &str) -> Result<()> {
        let mut authority = self.process("mesh-ca", &format!("{} {more}", self.authority_args))?;
        authority.listens(self.ca).await?;
        self.authority = Some(authority);
        Ok(())
    }

    /// The file that says how far the clock of a process is off.
    pub(crate) fn clock(&self, process: &str) -> PathBuf {
        self.folder.path().join(format!("{process}.clock"))
    }

    /// Kills the authority: no handler runs.
    pub(crate) fn kill_authority(&mut self) {
        self.authority = None;
    }

    /// The administrator's socket.
    pub(crate) fn admin_socket(&self) -> &Path {
        &self.socket
    }

    /// Files and logs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The roots of the authority, PEM.
    pub(crate) fn roots(&self) -> &Path {
        &self.roots
    }

    /// Where the controller listens.
    pub(crate) fn controller(&self) -> SocketAddr {
        self.controller
    }

    /// Where the authority listens.
    pub(crate) fn authority(&self) -> SocketAddr {
        self.ca
    }

    /// The process ids of authority and controller.
    pub(crate) fn control(&self) -> Vec<u32> {
        self.authority.iter().chain(&self.control).map(Process::pid).collect()
    }

    /// Writes objects, at once as the controller sees it: a reader finds the old text or the new one.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let (hidden, path) = (self.objects.join(format!(".{name}.new")), self.objects.join(name));
        std::fs::write(&hidden, text).with_context(|| format!("write {}", hidden.display()))?;
        std::fs::rename(&hidden, &path).with_context(|| format!("write {}", path.display()))
    }

    /// Starts the sidecar of a workload; `listeners` are its options (`--outbound …`, `--inbound …`).
    pub(crate) fn sidecar(&self, workload: &str, listeners: &str) -> Result<Process> {
        let proof = self.proof(NAMESPACE, workload)?;
        let args = format!(
            "__proxy sidecar --namespace {NAMESPACE} --workload {workload} --controller {} --ca {} --ca-roots {} \
            {proof} {listeners}",
            self.controller,
            self.ca,
            self.roots.display(),
        );
        self.process(&format!("sidecar-{workload}"), &args)
    }

    /// An identity of this mesh, as any workload gets it.
    pub(crate) async fn member(&self, account: &str, tasks: &Tasks) -> Result<Identity> {
        let wanted = ObtainConfig::new(
            self.ca,
            self.roots.clone(),
            Credential::JoinTokenFile(self.token(NAMESPACE, account)?),
        );
        Box::pin(obtain(wanted, tasks)).await.context("get a certificate")
    }

    fn process(&self, name: &str, args: &str) -> Result<Process> {
        // None of the paths has a space: they lie in a folder that we made.
        let words: Vec<&str> = args.split_ascii_whitespace().collect();
        let env = match &self.clocks {
            Some(library) => clock_environment(library, &self.clock(name))?,
            None => Vec::new(),
        };
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Process::start_with(self.folder.path(), name, &self.program, &words, &env)
    }

    /// The options by which a process proves itself.
    fn proof(&self, namespace: &str, account: &str) -> Result<String> {
        let folder = self.folder.path();
        Ok(match &self.proof {
            Proof::Issued(issuer) => {
                format!("--jwt-file {}", issuer.token(folder, namespace, account)?.display())
            }
            Proof::Reviewed(cluster) => {
                format!("--jwt-file {}", cluster.token(folder, namespace, account)?.display())
            }
            Proof::Joined => format!("--join-token-file {}", self.token(namespace, account)?.display()),
        })
    }

    /// A file with a one-time token.
    fn token(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        token(&self.program, &self.socket, self.folder.path(), (namespace, account))
    }
}

fn token(
    program: &Path,
    socket: &Path,
    folder: &Path,
    (namespace, account): (&str, &str),
) -> Result<PathBuf> {
    let mut command = Command::new(program);
    command.args(["__ca", "token", "--namespace", namespace, "--service-account", account]);
    let made = command.arg("--admin-socket").arg(socket).stdin(Stdio::null()).output();
    let made = made.context("ask for a join token")?;
    if !made.status.success() {
        bail!("no join token for {account}: {}", String::from_utf8_lossy(&made.stderr));
    }
    let path = folder.join(format!("{namespace}-{account}.token"));
    std::fs::write(&path, made.stdout).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// The identity of a workload of this mesh.
pub(crate) fn member_id(workload: &str) -> Result<SpiffeId> {
    Ok(SpiffeId::new(TrustDomain::new(TRUST_DOMAIN)?, NAMESPACE, workload)?)
}

/// Joins a mesh that somebody else runs, as a workload of `namespace` that is gone when this program ends. `file` is the `mesh.json` that
/// `meshctl up` writes. Also gives the mesh's trust domain.
pub(crate) async fn join(
    program: &Path,
    file: &Path,
    namespace: &str,
    tasks: &Tasks,
) -> Result<(Identity, TrustDomain)> {
    let text = std::fs::read(file)
        .with_context(|| format!("read {}; `meshctl up` writes it beside `objects`", file.display()))?;
    let mesh: Value =
        serde_json::from_slice(&text).with_context(|| format!("understand {}", file.display()))?;
    let field = |at: &str| {
        mesh.pointer(at).and_then(Value::as_str).with_context(|| format!("{} has no {at}", file.display()))
    };
    let folder = tempfile::Builder::new().prefix("mesh-suites").tempdir().context("make a folder")?;
    let socket = PathBuf::from(field("/ca/admin_socket")?);
    let wanted = ObtainConfig::new(
        field("/ca/address")?.parse::<SocketAddr>().context("read the authority's address")?,
        field("/root_pem")?.into(),
        Credential::JoinTokenFile(token(program, &socket, folder.path(), (namespace, "suites"))?),
    );
    let identity = Box::pin(obtain(wanted, tasks)).await.context("get a certificate")?;
    Ok((identity, TrustDomain::new(field("/trust_domain")?)?))
}
