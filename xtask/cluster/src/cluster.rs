//! One cluster, whatever it is made of: what its users call.

mod guard;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifacts::Programs;
use crate::folders::{Folders, write};
use crate::kind::Kind;
pub use crate::node::Extent;
use crate::node::Nodes;
use crate::program::Program;
use crate::{images, screen};

use self::guard::Guard;
pub use self::guard::watch;

/// What a cluster is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Namespaces of this machine with the real programs of Kubernetes in them.
    Node,
    /// kind, where a container engine is.
    Kind,
}

/// The cluster that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// What it is made of.
    pub backend: Backend,
    /// How many nodes.
    pub nodes: u8,
    /// How much of it.
    #[serde(default)]
    pub extent: Extent,
}

/// What a cluster is made for.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// Archives of images to load first.
    pub archives: &'a [PathBuf],
    /// The program to call, and its arguments; `{kubectl}` stands for the cluster's kubectl.
    pub words: &'a [String],
    /// Whether the cluster stays.
    pub keep: bool,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    folders: Folders,
    request: Request,
    /// Looked for once: states are asked for many times a second.
    kubectl: OnceLock<PathBuf>,
}

/// A cluster that goes when this is dropped.
#[derive(Debug)]
pub struct Lent {
    cluster: Cluster,
    guard: Guard,
}

impl Lent {
    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// It stays.
    pub fn keep(self) -> Result<Cluster> {
        self.guard.done().map(|()| self.cluster)
    }
}

/// How a cluster is.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// What it is made of, and how many nodes it should have.
    #[serde(flatten)]
    pub request: Request,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// What the API server says.
    pub version: String,
    /// As the API server has them.
    pub nodes: Vec<NodeStatus>,
    /// Programs of each node, where we started them.
    pub components: Vec<(String, Value)>,
}

/// A node in a [`Status`].
#[derive(Debug, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Whether pods may run there.
    pub ready: bool,
    /// Its kubelet's version.
    pub version: String,
    /// What runs its containers.
    pub runtime: String,
}

impl Cluster {
    /// Brings a cluster up until its nodes are ready and names resolve. One of that name is taken down first, also what a crash left of
    /// it. If we end before it is up, by an error, a signal or a kill, what was made is taken away again.
    pub fn up(folders: Folders, request: Request) -> Result<Self> {
        Self::lend(folders, request)?.keep()
    }

    /// As [`Self::up`], for as long as the value lives: whatever ends us then, the cluster is taken away.
    pub fn lend(folders: Folders, request: Request) -> Result<Lent> {
        let lock = folders.lock()?;
        take_down(&folders)?;
        let guard = Guard::start(&folders, lock)?;
        let cluster = Self { folders, request, kubectl: OnceLock::new() };
        cluster.make()?;
        Ok(Lent { cluster, guard })
    }

    fn make(&self) -> Result<()> {
        write(&self.file(), serde_json::to_vec(&self.request)?)?;
        let Request { backend, nodes, extent } = self.request;
        match (backend, extent) {
            (Backend::Node, Extent::Whole) => {
                let made = Nodes::new(&self.folders);
                made.up(nodes, extent)?;
                made.ready(nodes, &|args| self.kubectl(args))?;
            }
            (Backend::Node, Extent::Api) => {
                let made = Nodes::new(&self.folders);
                made.up(nodes, extent)?;
                made.started(nodes)?;
            }
            (Backend::Kind, Extent::Api) => {
                bail!("kind makes whole clusters only; `--backend node` makes an API server alone")
            }
            (Backend::Kind, Extent::Whole) => {
                Kind::new(&self.folders).up(nodes)?;
                self.load(&images::tools(&self.folders, &Programs::tools(&self.folders)?)?)?;
            }
        }
        Ok(())
    }

    /// Brings a cluster up, calls a program where it can be reached, and takes the cluster down whatever came of it, also when we are
    /// ended meanwhile. Gives the program's exit code.
    pub fn with(folders: Folders, request: Request, wanted: &Use<'_>) -> Result<Option<i32>> {
        let lent = Self::lend(folders.clone(), request)?;
        if wanted.keep {
            return lent.keep()?.used(wanted);
        }
        let outcome = lent.cluster.used(wanted);
        drop(lent);
        let code = outcome?;
        let left = left_behind(&folders)?;
        ensure!(left.is_empty(), "the cluster left behind: {}", left.join(", "));
        Ok(code)
    }

    fn used(&self, wanted: &Use<'_>) -> Result<Option<i32>> {
        wanted.archives.iter().try_for_each(|archive| self.load(archive))?;
        let kubectl = self.kubectl_program()?.to_string_lossy();
        let (program, rest) = wanted.words.split_first().context("a call has a program")?;
        let rest = rest.iter().map(|word| word.replace("{kubectl}", &kubectl));
        Ok(self.call(program)?.args(rest).interactive()?.code())
    }

    /// The running cluster of that name.
    pub fn open(folders: Folders) -> Result<Self> {
        let text = fs::read(file(&folders));
        let name = folders.name().as_str();
        let text = text
            .with_context(|| format!("cluster `{name}` is not up; `cargo xtask cluster up --name {name}`"))?;
        let request = serde_json::from_slice(&text).context("read what the cluster is made of")?;
        Ok(Self { folders, request, kubectl: OnceLock::new() })
    }

    /// Takes the cluster of that name down, if it is up, and what a crash left of it.
    pub fn down(folders: &Folders) -> Result<()> {
        let _lock = folders.lock()?;
        take_down(folders)
    }

    fn file(&self) -> PathBuf {
        file(&self.folders)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folders.kubeconfig()
    }

    /// A program where the cluster's addresses can be reached: the API server, pods, services, node ports. It finds the cluster by
    /// `KUBECONFIG`, and kubectl in `PATH`.
    pub fn call(&self, program: impl AsRef<OsStr>) -> Result<Program> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folder = self.kubectl_program()?.parent().map(Path::to_path_buf);
        let path = std::env::join_paths(folder.into_iter().chain(std::env::split_paths(&path)))
            .context("a folder in PATH has a colon")?;
        let program_in = match self.request.backend {
            Backend::Node => Nodes::new(&self.folders).inside().arg(program),
            Backend::Kind => Program::new(program),
        };
        Ok(program_in.env("KUBECONFIG", self.kubeconfig()).env("PATH", path))
    }

    fn kubectl_program(&self) -> Result<&Path> {
        if let Some(found) = self.kubectl.get() {
            return Ok(found);
        }
        let found = match self.request.backend {
            Backend::Node => Nodes::new(&self.folders).kubectl()?,
            Backend::Kind => Kind::kubectl()?,
        };
        Ok(self.kubectl.get_or_init(|| found))
    }

    /// A call of kubectl as the administrator.
    pub fn kubectl(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Program> {
        Ok(self.call(self.kubectl_program()?)?.args(args))
    }

    /// Brings an archive of images into every node.
    pub fn load(&self, archive: &Path) -> Result<()> {
        screen::step(&format!("loading {}", archive.display()));
        match self.request.backend {
            Backend::Node => Nodes::new(&self.folders).load(archive),
            Backend::Kind => Kind::new(&self.folders).load(archive),
        }
    }

    /// Asks the nodes and the API server.
    pub fn status(&self) -> Result<Status> {
        let components = match self.request.backend {
            Backend::Node => Nodes::new(&self.folders).components()?,
            Backend::Kind => Vec::new(),
        };
        let answer = self.kubectl(["get", "nodes", "--output=json", "--request-timeout=10s"])?.output()?;
        let answer: Value = serde_json::from_str(&answer).context("read the nodes")?;
        let version = self.kubectl(["get", "--raw=/version"])?.output()?;
        let version: Value = serde_json::from_str(&version).context("read the version")?;
        Ok(Status {
            name: self.folders.name().as_str().to_owned(),
            request: self.request,
            kubeconfig: self.kubeconfig(),
            version: text(&version, "/gitVersion"),
            nodes: answer
                .pointer("/items")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(node)
                .collect(),
            components,
        })
    }
}

fn text(value: &Value, at: &str) -> String {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn node(object: &Value) -> NodeStatus {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let ready =
        |condition: &Value| text(condition, "/type") == "Ready" && text(condition, "/status") == "True";
    NodeStatus {
        name: text(object, "/metadata/name"),
        ready: conditions.is_some_and(|all| all.iter().any(ready)),
        version: text(object, "/status/nodeInfo/kubeletVersion"),
        runtime: text(object, "/status/nodeInfo/containerRuntimeVersion"),
    }
}

fn file(folders: &Folders) -> PathBuf {
    folders.state().join("cluster.json")
}

/// What is written down decides; without that, whatever a node leaves behind is looked for.
fn take_down(folders: &Folders) -> Result<()> {
    let written = fs::read(file(folders)).ok().and_then(|text| serde_json::from_slice::<Request>(&text).ok());
    match written.map(|request| request.backend) {
        Some(Backend::Kind) => Kind::new(folders).down(),
        Some(Backend::Node) | None => Nodes::new(folders).down(),
    }
}

/// What of a cluster that is down is still there.
pub(crate) fn left_behind(folders: &Folders) -> Result<Vec<String>> {
    Nodes::new(folders).left_behind()
}
