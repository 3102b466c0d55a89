//! A cluster whose nodes are namespaces of this machine, with the real programs of Kubernetes in them. Needs root and no container engine.
//!
//! A node is a process tree under [`init`], its process 1, in mount, process, host name and IPC namespaces of its own and in a network
//! namespace that was made before. Ending that one process ends all of the node. The nodes hang on a bridge in a namespace without an
//! address: no packet leaves, and rules of the machine are not touched.

mod config;
mod control_groups;
mod credentials;
pub mod init;
mod network;
mod plan;
mod processes;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::artifacts::{KUBERNETES, Programs, install, network_plugins};
use crate::folders::{Folders, write};
use crate::program::{PATH, Program, read, tail, wait_until};
use crate::{images, screen};

pub use self::plan::Extent;
use self::plan::{Node, Spec};

/// A free machine takes 5 seconds; one that does much else, more.
const READY: Duration = Duration::from_mins(3);
const GONE: Duration = Duration::from_secs(30);
/// Of a log, when a node is not ready.
const SHOWN: usize = 8;
const COREDNS: &str = include_str!("../assets/coredns.yaml");

/// The nodes of one cluster.
#[derive(Debug)]
pub(crate) struct Nodes<'a> {
    folders: &'a Folders,
}

impl<'a> Nodes<'a> {
    pub(crate) fn new(folders: &'a Folders) -> Self {
        Self { folders }
    }

    /// Makes the nodes and starts everything in them; that they are ready is for the caller to wait for.
    pub(crate) fn up(&self, count: u8, extent: Extent) -> Result<()> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "nodes need root: start this with sudo, or use `--backend kind` where a container engine is"
        );
        install()?;
        let programs = Programs::ready(self.folders)?;
        let archives = match extent {
            Extent::Whole => images::of_a_node(self.folders, &programs)?,
            Extent::Api => Vec::new(),
        };
        let nodes = plan::nodes(self.folders.name(), count);
        screen::step(&format!("starting {count} node(s) of Kubernetes {KUBERNETES}"));
        credentials::write(&self.folders.state(), &nodes)?;
        network::make(self.folders.name(), &nodes)?;
        for node in &nodes {
            control_groups::make(node)?;
            self.start(node, &programs, &archives, extent)?;
        }
        Ok(())
    }

    fn start(&self, node: &Node, programs: &Programs, archives: &[PathBuf], extent: Extent) -> Result<()> {
        let home = self.folders.state().join(&node.name);
        let built = self.folders.built();
        let below = |path: &PathBuf| {
            path.strip_prefix(&built).map(Path::to_path_buf).context("what is built is kept in one folder")
        };
        let spec = Spec {
            node: node.clone(),
            state: self.folders.state(),
            programs: below(&programs.kubernetes)?,
            archives: archives.iter().map(below).collect::<Result<_>>()?,
            built: built.clone(),
            plugins: network_plugins(),
            extent,
        };
        let file = home.join("spec.json");
        write(&file, serde_json::to_vec_pretty(&spec)?)?;
        let me = std::env::current_exe().context("find this program")?;
        let netns = network::path(node);
        // The environment is the node's own: also, nobody who ends the processes of the caller by a mark there finds the node.
        Program::new("nsenter")
            .arg(format!("--net={}", netns.display()))
            .args(["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"])
            .arg(me)
            .args(["node", "--spec"])
            .arg(file)
            .alone(PATH)
            .start(&home.join("init.log"))?;
        Ok(())
    }

    /// Waits until each node has started what it has.
    pub(crate) fn started(&self, count: u8) -> Result<()> {
        let nodes = plan::nodes(self.folders.name(), count);
        let waited = wait_until("every node has started its programs", READY, || {
            nodes.iter().try_for_each(|node| self.complain(node))?;
            let started = |node: &Node| self.folders.state().join(&node.name).join("started").is_file();
            Ok(nodes.iter().all(started))
        });
        waited.with_context(|| self.logs(&nodes))
    }

    /// Waits until every node is ready and names resolve. `kubectl` makes a call of kubectl.
    pub(crate) fn ready(&self, count: u8, kubectl: &dyn Fn(&[&str]) -> Result<Program>) -> Result<()> {
        let nodes = plan::nodes(self.folders.name(), count);
        let mut last = String::new();
        let waited = wait_until("every node is ready", READY, || {
            for node in &nodes {
                self.complain(node)?;
            }
            if !self.folders.state().join("n1/started").is_file() {
                return Ok(false);
            }
            let ready = kubectl(&[
                "get",
                "nodes",
                "-o",
                r#"jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#,
            ])?
            .run()?;
            last = ready.tail();
            Ok(ready.out.lines().filter(|line| *line == "True").count() == nodes.len())
        });
        waited.with_context(|| format!("{last}{}", self.logs(&nodes)))?;
        let manifest = self.folders.state().join("coredns.yaml");
        write(&manifest, COREDNS)?;
        let manifest = manifest.to_string_lossy();
        kubectl(&["apply", "-f", &manifest])?.output()?;
        kubectl(&[
            "rollout",
            "status",
            "--namespace",
            "kube-system",
            "deployment/coredns",
            "--timeout=120s",
        ])?
        .limit(READY)
        .output()
        .with_context(|| self.logs(&nodes))?;
        Ok(())
    }

    /// What a node said before it gave up is an error.
    fn complain(&self, node: &Node) -> Result<()> {
        let home = self.folders.state().join(&node.name);
        let failed = read(&home.join("failed"));
        ensure!(failed.is_empty(), "node {}: {failed}", node.name);
        let log = read(&home.join("init.log"));
        ensure!(!log.contains("error:"), "node {} did not start:\n{}", node.name, tail(&log));
        Ok(())
    }

    fn logs(&self, nodes: &[Node]) -> String {
        let mut all = String::new();
        for node in nodes {
            let folder = self.folders.state().join(&node.name).join("log");
            for program in ["kubelet", "kube-apiserver"] {
                let log = read(&folder.join(format!("{program}.log")));
                let lines: Vec<&str> = log.lines().collect();
                let end = lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default().join("\n");
                if !end.is_empty() {
                    let head = format!("the log of {program} on {} ends with:\n", node.name);
                    all.push_str(&(head + &tail(&end)));
                }
            }
        }
        all
    }

    /// Ends the nodes and takes everything away that they had. It knows nothing that a run left behind in memory: whatever state a crash
    /// left, this cleans it.
    pub(crate) fn down(&self) -> Result<()> {
        let state = self.folders.state();
        let inits = processes::inits(&state)?;
        for init in &inits {
            processes::end(*init);
        }
        wait_until("the nodes have ended", GONE, || Ok(processes::inits(&state)?.is_empty()))?;
        network::remove(self.folders.name())?;
        control_groups::remove(self.folders.name())?;
        if state.exists() {
            fs::remove_dir_all(&state).with_context(|| format!("remove {}", state.display()))?;
        }
        Ok(())
    }

    /// What is there that [`Self::down`] should have taken away.
    pub(crate) fn left_behind(&self) -> Result<Vec<String>> {
        let mut left: Vec<String> = self.running()?.into_iter().map(|node| format!("node {node}")).collect();
        left.extend(
            network::namespaces(self.folders.name())?.into_iter().map(|name| format!("network {name}")),
        );
        left.extend(control_groups::left(self.folders.name()).iter().map(|path| path.display().to_string()));
        left.extend(
            Some(self.folders.state()).filter(|path| path.exists()).map(|path| path.display().to_string()),
        );
        Ok(left)
    }

    /// A call of the network of the first node.
    pub(crate) fn inside(&self) -> Program {
        let first = network::first(self.folders.name());
        Program::new("nsenter").arg(format!("--net={}", first.display())).without_proxies()
    }

    pub(crate) fn kubectl(&self) -> Result<PathBuf> {
        Ok(Programs::ready(self.folders)?.kubernetes.join("kubectl"))
    }

    /// Brings an archive of images into every node.
    pub(crate) fn load(&self, archive: &Path) -> Result<()> {
        let state = self.folders.state();
        let inits = processes::inits(&state)?;
        ensure!(!inits.is_empty(), "no node of cluster `{}` runs", self.folders.name().as_str());
        for init in inits {
            Program::new("nsenter")
                .arg(format!("--target={}", init.as_raw_nonzero()))
                .args(["--mount", "--net", "ctr", "--namespace", "k8s.io", "images", "import", "-"])
                .input(archive)
                .limit(Duration::from_mins(3))
                .output()
                .with_context(|| format!("import {}", archive.display()))?;
        }
        Ok(())
    }

    /// Names of the nodes whose process 1 runs.
    pub(crate) fn running(&self) -> Result<Vec<String>> {
        processes::names(&self.folders.state())
    }

    /// What each node says of its programs: name, and how it is.
    pub(crate) fn components(&self) -> Result<Vec<(String, serde_json::Value)>> {
        let mut all = Vec::new();
        for node in self.running()? {
            let text = read(&self.folders.state().join(&node).join("components.json"));
            all.push((node, serde_json::from_str(&text).unwrap_or_default()));
        }
        Ok(all)
    }
}
