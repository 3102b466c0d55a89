//! A mesh in the lab: authority and controller on the node, members in pods whose traffic is captured. Names of services are in
//! `/etc/hosts`, as a cluster's DNS would have them, with virtual addresses that nobody has: what is not captured fails at once.

mod member;
mod objects;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_lab::{Families, Network, Pod, Running, User};

use self::objects::{NAMESPACE, TRUST_DOMAIN};
use crate::tools::Tools;

pub(crate) use self::member::{Capture, Member, Seen, init};
pub(crate) use self::objects::Port;

/// A start on a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const CA_PORT: u16 = 15012;
const CONTROLLER_PORT: u16 = 15010;
const SYSTEM: &str = "amime-system";

/// Authority, controller, and the network that members join.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) network: Network,
    pub(crate) tools: Tools,
    node: Pod,
    ca: SocketAddr,
    controller: SocketAddr,
    /// Where members are told that the controller is.
    controller_for_members: SocketAddr,
    services: u8,
    hosts: String,
    authority: Option<Running>,
    control: Option<Running>,
}

impl Mesh {
    /// Starts both parts and waits until they take connections.
    pub(crate) fn up(tools: &Tools) -> Result<Self> {
        Self::up_with(tools, Families::Dual)
    }

    pub(crate) fn up_with(tools: &Tools, families: Families) -> Result<Self> {
        let network = Network::new(families)?;
        let node = network.node();
        let ip = node.address();
        let mut mesh = Self {
            network,
            tools: tools.clone(),
            node,
            ca: (ip, CA_PORT).into(),
            controller: (ip, CONTROLLER_PORT).into(),
            controller_for_members: (ip, CONTROLLER_PORT).into(),
            services: 0,
            hosts: "127.0.0.1 localhost\n::1 localhost\n".to_owned(),
            authority: None,
            control: None,
        };
        fs::create_dir(mesh.folder().join("objects")).context("make the folder of objects")?;
        mesh.write("base.yaml", &objects::settings())?;
        mesh.use_hosts()?;
        mesh.start_authority()?;
        mesh.start_controller()?;
        Ok(mesh)
    }

    fn start_authority(&mut self) -> Result<()> {
        let authority = self
            .part("__ca serve --trust-domain")
            .args([TRUST_DOMAIN, "--listen", &self.ca.to_string(), "--metrics", "127.0.0.1:15021"])
            .arg("--admin-socket")
            .arg(self.socket())
            .arg("--state-dir")
            .arg(self.folder().join("ca"));
        let at = self.ca;
        self.authority = Some(self.listening(authority.start()?, at)?);
        Ok(())
    }

    /// Starts the controller, again if it was killed.
    pub(crate) fn start_controller(&mut self) -> Result<()> {
        let token = self.token(SYSTEM, "mesh-controller")?;
        let controller = self
            .part("__controller serve --metrics 127.0.0.1:15020 --listen")
            .args([
                self.controller.to_string(),
                "--ca".to_owned(),
                self.ca.to_string(),
                "--config-dir".to_owned(),
            ])
            .arg(self.folder().join("objects"))
            .arg("--ca-roots")
            .arg(self.roots())
            .arg("--join-token-file")
            .arg(token);
        let at = self.controller;
        self.control = Some(self.listening(controller.start()?, at)?);
        Ok(())
    }

    /// Ends the controller as a crash would.
    pub(crate) fn kill_controller(&mut self) -> Result<()> {
        self.control.take().map_or(Ok(()), Running::crash)
    }

    /// The controller's process, while it runs.
    pub(crate) fn controller_pid(&self) -> Option<u32> {
        self.control.as_ref().map(Running::pid)
    }

    /// Where the controller listens.
    pub(crate) fn controller(&self) -> SocketAddr {
        self.controller
    }

    /// The pod in which authority and controller run.
    pub(crate) fn node(&self) -> &Pod {
        &self.node
    }

    /// Members that are made from here on reach the controller there.
    pub(crate) fn controller_is_at(&mut self, at: SocketAddr) {
        self.controller_for_members = at;
    }

    /// One more service before the workload of `member`.
    pub(crate) fn service_of(&mut self, name: &str, member: &str, ports: &[Port]) -> Result<()> {
        let text = self.add_service(name, ports)?;
        let text =
            text.replace(&format!("selector: {{ app: {name} }}"), &format!("selector: {{ app: {member} }}"));
        self.write(&format!("{name}.yaml"), &text)
    }

    fn listening(&self, mut part: Running, at: SocketAddr) -> Result<Running> {
        let node = self.node.clone();
        part.wait_until(&format!("listens on {at}"), || {
            node.inside(|| Ok(TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok()))
                .unwrap_or_default()
        })?;
        Ok(part)
    }

    /// A part of the mesh on the node; `words` begin its command line.
    fn part(&self, words: &str) -> mesh_lab::Program {
        self.node.program_as(User::Root, &self.tools.meshctl).args(words.split_ascii_whitespace())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.network.folder()
    }

    fn socket(&self) -> PathBuf {
        self.folder().join("ca.sock")
    }

    fn roots(&self) -> PathBuf {
        self.folder().join("ca/root.pem")
    }

    /// Writes objects, at once as the controller sees it: a reader finds the old text or the new one.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let folder = self.folder().join("objects");
        let (hidden, path) = (folder.join(format!(".{name}.new")), folder.join(name));
        fs::write(&hidden, text).with_context(|| format!("write {}", hidden.display()))?;
        fs::rename(&hidden, &path).with_context(|| format!("write {}", path.display()))
    }

    /// A file with a one-time token for that identity.
    fn token(&self, namespace: &str, account: &str) -> Result<PathBuf> {
        let token = self
            .part("__ca token --namespace")
            .args([namespace, "--service-account", account, "--admin-socket"])
            .arg(self.socket())
            .output()?;
        let path = self.folder().join(format!("{namespace}-{account}.token"));
        fs::write(&path, token).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// From here on names are the lab's, for this process and all it starts; the machine's own files stay as they are. Whoever asks
    /// DNS all the same is refused at once.
    fn use_hosts(&self) -> Result<()> {
        for (name, text) in [("hosts", self.hosts.as_str()), ("resolv.conf", "nameserver 127.0.0.1\n")] {
            let file = self.folder().join(name);
            fs::write(&file, text).with_context(|| format!("write the lab's {name}"))?;
            let bound =
                Command::new("mount").arg("--bind").arg(&file).arg(Path::new("/etc").join(name)).output();
            let bound = bound.context("start `mount` of util-linux")?;
            ensure!(
                bound.status.success(),
                "no {name} of our own: {}",
                String::from_utf8_lossy(&bound.stderr)
            );
        }
        Ok(())
    }

    fn add_service(&mut self, name: &str, ports: &[Port]) -> Result<String> {
        self.services += 1;
        let addresses = self.network.families().virtual_addresses(self.services);
        for ip in &addresses {
            let line = format!("{ip} {name} {name}.{NAMESPACE}.svc.cluster.local\n");
            self.hosts.push_str(&line);
        }
        // The file is bound to another place: it must stay the same file.
        fs::write(self.folder().join("hosts"), &self.hosts).context("write the lab's hosts")?;
        Ok(objects::service(name, &addresses, ports))
    }

    /// A pod that is in no mesh.
    pub(crate) fn stranger(&mut self, name: &str) -> Result<Pod> {
        let pod = self.network.pod(name)?;
        pod.namespace().setting("ipv4/ip_unprivileged_port_start", "0")?;
        Ok(pod)
    }

    /// A member with everything captured, and a service of its name with these ports.
    pub(crate) fn member(&mut self, name: &str, ports: &[Port]) -> Result<Member> {
        self.member_as(name, ports, &Capture::default())
    }

    /// A member whose capture is of a kind.
    pub(crate) fn member_as(&mut self, name: &str, ports: &[Port], capture: &Capture) -> Result<Member> {
        let pod = self.stranger(name)?;
        let mut text = objects::workload(name, pod.address(), ports);
        if !ports.is_empty() {
            text = text + "---\n" + &self.add_service(name, ports)?;
        }
        self.write(&format!("{name}.yaml"), &text)?;
        Member::start(self, pod, capture)
    }

    /// Captures a pod of a member anew and gives it a new sidecar, as a restart does.
    pub(crate) fn again(&mut self, pod: Pod) -> Result<Member> {
        Member::start(self, pod, &Capture::default())
    }
}
