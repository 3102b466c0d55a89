//! A cluster of kind, where a container engine is. Knows kind's and the engine's commands, and no more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::folders::{Folders, Name, write};
use crate::program::{Program, find};
use crate::screen;

/// The image of the nodes, of the release of Kubernetes that `node` has too.
const IMAGE: &str = "kindest/node:v1.34.0";
/// The image comes first, some 400 MB.
const CREATE: Duration = Duration::from_mins(10);
const WAIT: &str = "180s";
const LOAD: Duration = Duration::from_mins(5);

/// A cluster of kind.
#[derive(Debug)]
pub(crate) struct Kind<'a> {
    folders: &'a Folders,
}

/// What runs the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Docker,
    Podman,
    Nerdctl,
}

impl Engine {
    const ALL: [Self; 3] = [Self::Docker, Self::Podman, Self::Nerdctl];

    fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Nerdctl => "nerdctl",
        }
    }
}

/// The first engine that is there, in kind's own order.
fn engine(is_there: impl Fn(&str) -> bool) -> Option<Engine> {
    Engine::ALL.into_iter().find(|engine| is_there(engine.program()))
}

fn cluster(name: &Name) -> String {
    format!("amime-{}", name.as_str())
}

/// The nodes: one with the control plane, the others without.
fn config(count: u8) -> Value {
    let nodes: Vec<Value> = (0..count)
        .map(|number| json!({"role": if number == 0 { "control-plane" } else { "worker" }}))
        .collect();
    json!({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes})
}

fn create(name: &Name, config: &Path, kubeconfig: &Path) -> Vec<String> {
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    ["create", "cluster", "--name", &cluster(name), "--image", IMAGE, "--wait", WAIT, "--config"]
        .into_iter()
        .map(str::to_owned)
        .chain([shown(config), "--kubeconfig".to_owned(), shown(kubeconfig)])
        .collect()
}

fn delete(name: &Name, kubeconfig: &Path) -> Vec<String> {
    let kubeconfig = kubeconfig.to_string_lossy().into_owned();
    vec!["delete".into(), "cluster".into(), "--name".into(), cluster(name), "--kubeconfig".into(), kubeconfig]
}

fn load(name: &Name, archive: &Path) -> Vec<String> {
    let archive = archive.to_string_lossy().into_owned();
    vec!["load".into(), "image-archive".into(), archive, "--name".into(), cluster(name)]
}

impl<'a> Kind<'a> {
    pub(crate) fn new(folders: &'a Folders) -> Self {
        Self { folders }
    }

    fn kind(args: Vec<String>) -> Result<Program> {
        let kind = find("kind")
            .context("kind is not installed (https://kind.sigs.k8s.io); `--backend node` needs none")?;
        let engine = engine(|program| find(program).is_some()).context(
            "kind needs docker, podman or nerdctl, and none is in PATH; `--backend node` needs none",
        )?;
        Ok(Program::new(kind).env("KIND_EXPERIMENTAL_PROVIDER", engine.program()).args(args))
    }

    pub(crate) fn up(&self, count: u8) -> Result<()> {
        screen::step(&format!("creating {count} node(s) with kind"));
        let file = self.folders.state().join("kind.json");
        write(&file, config(count).to_string())?;
        let args = create(self.folders.name(), &file, &self.folders.kubeconfig());
        Self::kind(args)?.limit(CREATE).output()?;
        Ok(())
    }

    pub(crate) fn down(&self) -> Result<()> {
        Self::kind(delete(self.folders.name(), &self.folders.kubeconfig()))?.limit(CREATE).output()?;
        let state = self.folders.state();
        if state.exists() {
            std::fs::remove_dir_all(&state).with_context(|| format!("remove {}", state.display()))?;
        }
        Ok(())
    }

    pub(crate) fn load(&self, archive: &Path) -> Result<()> {
        Self::kind(load(self.folders.name(), archive))?.limit(LOAD).output()?;
        Ok(())
    }

    pub(crate) fn kubectl() -> Result<PathBuf> {
        find("kubectl").context("kubectl is not installed (https://kubernetes.io/docs/tasks/tools/)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name::new("a").unwrap()
    }

    #[test]
    fn the_first_engine_that_is_there_is_taken() {
        assert_eq!(engine(|_| true), Some(Engine::Docker));
        assert_eq!(engine(|program| program != "docker"), Some(Engine::Podman));
        assert_eq!(engine(|_| false), None);
    }

    #[test]
    fn one_node_has_the_control_plane() {
        let roles: Vec<String> =
            config(2)["nodes"].as_array().unwrap().iter().map(|node| node["role"].to_string()).collect();
        assert_eq!(roles, ["\"control-plane\"", "\"worker\""]);
    }

    #[test]
    fn kind_is_asked_by_its_own_words() {
        assert_eq!(
            create(&name(), Path::new("/c"), Path::new("/k")).join(" "),
            format!("create cluster --name amime-a --image {IMAGE} --wait 180s --config /c --kubeconfig /k")
        );
        assert_eq!(
            delete(&name(), Path::new("/k")).join(" "),
            "delete cluster --name amime-a --kubeconfig /k"
        );
        assert_eq!(load(&name(), Path::new("/x.tar")).join(" "), "load image-archive /x.tar --name amime-a");
    }
}
