//! A network namespace with a name. It lives as a file in the lab's folder, so that `nsenter --net=FILE` looks into it.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::link;

/// A network namespace of the lab.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: String,
    file: PathBuf,
}

impl Namespace {
    /// A new one, with its loopback link in service.
    pub(crate) fn make(folder: &Path, name: &str) -> Result<Self> {
        let file = folder.join(format!("{name}.net"));
        File::create_new(&file).with_context(|| format!("make {}", file.display()))?;
        let made = Command::new("unshare")
            .arg(format!("--net={}", file.display()))
            .arg("true")
            .output()
            .context("start `unshare` of util-linux")?;
        ensure!(made.status.success(), "no new namespace: {}", String::from_utf8_lossy(&made.stderr));
        let namespace = Self { name: name.to_owned(), file };
        namespace.inside(|| link::up(link::LOOPBACK))?;
        Ok(namespace)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Open, for the kernel.
    pub(crate) fn open(&self) -> Result<File> {
        File::open(&self.file).with_context(|| format!("open {}", self.file.display()))
    }

    /// Runs `body` in it, on a thread of its own, and waits for its end. Sockets that `body` gives back stay in the namespace.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = self.open()?;
        let run = move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .context("enter the namespace")?;
            body()
        };
        thread::scope(|scope| scope.spawn(run).join())
            .map_err(|_| anyhow!("what ran in {} has panicked", self.name))?
    }

    /// Like [`Self::inside`], beside the caller.
    pub fn beside<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> thread::JoinHandle<Result<T>> {
        let this = self.clone();
        thread::spawn(move || this.inside(body))
    }

    /// A command that starts in it. It keeps its process id: `nsenter` becomes the program.
    pub(crate) fn words(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net={}", self.file.display())]
    }

    /// Sets a kernel setting below `/proc/sys/net` in it.
    pub fn setting(&self, name: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(name);
        self.inside(|| fs::write(&path, value).with_context(|| format!("write {}", path.display())))
    }
}
