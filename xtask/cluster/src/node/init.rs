//! The first process of a node: makes its file system, starts its programs in the order in which they need one another, and then takes
//! the exit of every process that lost its parent. It runs until it is killed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::process::{WaitOptions, wait};

use crate::folders::write;
use crate::program::{PATH, Program, read, tail, wait_until};

use super::config::{self, ADMIN, BUILT, KERNEL, STATE};
use super::plan::{Extent, Spec};

const PATIENCE: Duration = Duration::from_mins(2);
/// Of the plugins for networks, those that a node's own network is made of.
const PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];

/// Runs the node that the file describes. Comes back only with an error.
pub fn run(file: &Path) -> Result<()> {
    let spec: Spec = serde_json::from_slice(&fs::read(file).context("read what this node is")?)
        .context("read what this node is")?;
    let home = format!("{STATE}/{}", spec.node.name);
    file_system(&spec, &home).context("make the node's file system")?;
    let mut node = Init { spec, home, children: Vec::new(), ended: BTreeMap::new() };
    if let Err(error) = node.start() {
        write(Path::new(&format!("{}/failed", node.home)), format!("{error:#}"))?;
        return Err(error);
    }
    write(Path::new(&format!("{}/started", node.home)), "")?;
    node.serve()
}

fn file_system(spec: &Spec, home: &str) -> Result<()> {
    let name = &spec.node.name;
    rustix::system::sethostname(name.as_bytes()).context("set the host name")?;
    // Volumes that a container mounts reach the others through this.
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC).context("share mounts")?;
    mount("run", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755"))
        .context("mount /run")?;
    for folder in [STATE, BUILT, "/run/lock", "/run/containerd", "/run/netns"] {
        make(folder)?;
    }
    bind(&spec.state, STATE)?;
    bind(&spec.built, BUILT)?;
    for folder in ["var-lib", "var-log", "opt/cni/bin", "etc", "etc-work", "kernel", "log"] {
        make(&format!("{home}/{folder}"))?;
    }
    for plugin in PLUGINS {
        let (from, to) = (spec.plugins.join(plugin), format!("{home}/opt/cni/bin/{plugin}"));
        fs::copy(&from, &to).with_context(|| format!("copy {}", from.display()))?;
    }
    for (path, text) in config::files(spec) {
        write(Path::new(&format!("{home}/etc/{path}")), text)?;
    }
    let layers = format!("lowerdir=/etc,upperdir={home}/etc,workdir={home}/etc-work");
    let layers = std::ffi::CString::new(layers).context("name the layers of /etc")?;
    mount("etc", "/etc", "overlay", MountFlags::empty(), Some(layers.as_c_str())).context("mount /etc")?;
    for (from, to) in [("var-lib", "/var/lib"), ("var-log", "/var/log"), ("opt", "/opt")] {
        bind(Path::new(&format!("{home}/{from}")), to)?;
    }
    for (key, value) in KERNEL {
        let file = format!("{home}/kernel/{}", key.replace('/', "."));
        write(Path::new(&file), format!("{value}\n"))?;
        bind(Path::new(&file), &format!("/proc/sys/{key}"))?;
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("forward packets between pods")
}

fn make(folder: &str) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {folder}"))
}

fn bind(from: &Path, to: &str) -> Result<()> {
    mount_bind(from, to).with_context(|| format!("mount {} at {to}", from.display()))
}

struct Init {
    spec: Spec,
    home: String,
    children: Vec<(&'static str, Child)>,
    /// Programs that ended, and how.
    ended: BTreeMap<&'static str, String>,
}

impl Init {
    fn start(&mut self) -> Result<()> {
        match self.spec.extent {
            Extent::Whole => self.whole(),
            Extent::Api => self.api(),
        }
    }

    /// etcd and the API server.
    fn api(&mut self) -> Result<()> {
        for command in config::api(&self.spec.node) {
            self.spawn(&command)?;
        }
        self.api_is_ready()
    }

    fn api_is_ready(&mut self) -> Result<()> {
        self.until("the API server is ready", |node| {
            let asked = node.kubectl(&["get", "--raw=/readyz"]).run()?;
            Ok(asked.out.trim() == "ok")
        })
    }

    fn whole(&mut self) -> Result<()> {
        self.spawn(&config::containerd())?;
        if self.spec.node.is_first {
            for command in config::api(&self.spec.node) {
                self.spawn(&command)?;
            }
        }
        self.until("containerd answers", |_| Ok(Program::new("ctr").arg("version").run()?.status.success()))?;
        let mut imports = Vec::new();
        for archive in self.spec.archives.clone() {
            imports.push(self.import(&archive)?);
        }
        self.api_is_ready()?;
        if self.spec.node.is_first {
            for command in config::control_plane() {
                self.spawn(&command)?;
            }
        }
        for command in config::agents(&self.spec.node) {
            self.spawn(&command)?;
        }
        for import in &mut imports {
            let status = import.wait().context("wait for an import of images")?;
            anyhow::ensure!(status.success(), "images were not imported\n{}", self.log("import"));
        }
        Ok(())
    }

    fn import(&self, archive: &Path) -> Result<Child> {
        let path = Path::new(BUILT).join(archive);
        let mut command = alone("ctr");
        command.args(["--namespace", "k8s.io", "images", "import"]).arg(&path);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file("import"));
        let log = log.context("open a log")?;
        command.stdout(log.try_clone().context("share a log")?).stderr(log);
        command.spawn().with_context(|| format!("import {}", path.display()))
    }

    fn spawn(&mut self, command: &config::Command) -> Result<()> {
        let mut program = match Path::new(BUILT).join(&self.spec.programs).join(command.program) {
            path if path.exists() => alone(path),
            _ => alone(command.program),
        };
        let log = File::create(self.log_file(command.program)).context("make a log")?;
        program.args(&command.args).stdout(log.try_clone().context("share a log")?).stderr(log);
        let child = program.spawn().with_context(|| format!("start {}", command.program))?;
        self.children.push((command.program, child));
        self.tell()
    }

    /// Waits for a state; that a program of ours ends instead is an error.
    fn until(&mut self, what: &str, mut reached: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        wait_until(what, PATIENCE, || {
            let mut ended = None;
            for (name, child) in &mut self.children {
                if let Some(status) = child.try_wait().context("look whether a program runs")? {
                    ended = Some((*name, status));
                }
            }
            if let Some((name, status)) = ended {
                bail!("{name} ended: {status}\n{}", self.log(name));
            }
            reached(self)
        })
    }

    fn kubectl(&self, args: &[&str]) -> Program {
        let kubectl = Path::new(BUILT).join(&self.spec.programs).join("kubectl");
        Program::new(kubectl).arg(format!("--kubeconfig={ADMIN}")).args(args).without_proxies()
    }

    fn log_file(&self, name: &str) -> String {
        format!("{}/log/{name}.log", self.home)
    }

    fn log(&self, name: &str) -> String {
        tail(&read(Path::new(&self.log_file(name))))
    }

    /// Writes which programs run, for whoever asks for the cluster's status.
    fn tell(&self) -> Result<()> {
        let states: BTreeMap<&str, &str> = self
            .children
            .iter()
            .map(|(name, _)| (*name, self.ended.get(name).map_or("running", String::as_str)))
            .collect();
        write(Path::new(&format!("{}/components.json", self.home)), serde_json::to_vec(&states)?)
    }

    fn serve(mut self) -> Result<()> {
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    let pid = pid.as_raw_nonzero().get().unsigned_abs();
                    let ours =
                        self.children.iter().find(|(_, child)| child.id() == pid).map(|(name, _)| *name);
                    if let Some(name) = ours {
                        self.ended.insert(name, format!("ended: {status:?}"));
                        self.tell()?;
                    }
                }
                Ok(None) => {}
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error)).context("wait for processes"),
            }
        }
    }
}

/// A program with nothing of the caller's environment.
fn alone(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("HOME", "/root").stdin(Stdio::null());
    command
}
