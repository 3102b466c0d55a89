//! The lab's network: a node with a bridge, and pods on it, each in a namespace of its own with one link, as a container runtime
//! makes them. What has no place on it (the address of a service, say) is refused by the node at once.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result};

use crate::link::{self, Cidr, End};
use crate::program::lab_has_all_users;
use crate::{Namespace, Program, Shape, User, folder, netlink, shape};

const BRIDGE: u32 = 2;
const FIRST_PORT: u32 = 100;
const POD_LINK: u32 = 2;
/// The name of the pods' link.
const ETH: &str = "eth0";
const USUAL_MTU: u32 = 1500;

/// Which addresses the pods have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// Both, IPv4 first.
    Dual,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Families {
    /// The addresses of the member with this number of one network: 10.77.0.n, `fd77::n`.
    fn members(self, number: u8) -> Vec<Cidr> {
        let v4 = Cidr { ip: Ipv4Addr::new(10, 77, 0, number).into(), bits: 24 };
        let v6 = Cidr { ip: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()).into(), bits: 64 };
        match self {
            Self::Dual => vec![v4, v6],
            Self::V4 => vec![v4],
            Self::V6 => vec![v6],
        }
    }

    /// Virtual addresses for the service with this number: 10.96.0.n, `fd96::n`. Nobody answers there.
    pub fn virtual_addresses(self, number: u8) -> Vec<IpAddr> {
        let v4 = Ipv4Addr::new(10, 96, 0, number).into();
        let v6 = Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, number.into()).into();
        match self {
            Self::Dual => vec![v4, v6],
            Self::V4 => vec![v4],
            Self::V6 => vec![v6],
        }
    }
}

/// A node with a bridge.
#[derive(Debug)]
pub struct Network {
    families: Families,
    folder: PathBuf,
    pods: u8,
    node: Namespace,
}

impl Network {
    /// To be called once in a lab, whose folder it uses.
    pub fn new(families: Families) -> Result<Self> {
        let folder = folder().context("this is no lab: `enter` first")?;
        let logs = folder.join("logs");
        std::fs::create_dir(&logs).context("make the folder of logs")?;
        let node = Namespace::make(&folder, "node")?;
        node.inside(|| {
            link::bridge(BRIDGE, "mesh0")?;
            for cidr in families.members(1) {
                link::address(BRIDGE, cidr)?;
            }
            link::up(BRIDGE)?;
            for cidr in families.members(1) {
                link::refuse_the_rest(cidr.ip.is_ipv6())?;
            }
            Ok(())
        })?;
        node.setting("ipv4/ip_forward", "1")?;
        node.setting("ipv6/conf/all/forwarding", "1")?;
        Ok(Self { families, folder, pods: 0, node })
    }

    /// Two pods, `client` and `server`, without anything in them.
    pub fn two_pods(families: Families) -> Result<(Self, Pod, Pod)> {
        let mut network = Self::new(families)?;
        let client = network.pod("client")?;
        let server = network.pod("server")?;
        Ok((network, client, server))
    }

    /// Which addresses there are.
    pub fn families(&self) -> Families {
        self.families
    }

    /// The lab's folder; it is in memory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The node itself, as a place to start programs.
    pub fn node(&self) -> Pod {
        Pod {
            namespace: self.node.clone(),
            addresses: self.families.members(1),
            logs: self.folder.join("logs"),
            port: 0,
        }
    }

    /// One pod more.
    pub fn pod(&mut self, name: &str) -> Result<Pod> {
        self.pods = self.pods.checked_add(1).context("a lab has room for 250 pods")?;
        let addresses = self.families.members(self.pods + 1);
        let namespace = Namespace::make(&self.folder, name)?;
        let port = FIRST_PORT + u32::from(self.pods);
        let port_name = format!("port{}", self.pods);
        let file = namespace.open()?;
        self.node.inside(|| {
            let there = End { index: POD_LINK, name: ETH };
            link::veth(End { index: port, name: &port_name }, BRIDGE, there, file.as_fd(), USUAL_MTU)?;
            link::up(port)
        })?;
        namespace.inside(|| {
            for cidr in &addresses {
                link::address(POD_LINK, *cidr)?;
            }
            link::up(POD_LINK)?;
            for gateway in self.families.members(1) {
                link::default_route(POD_LINK, gateway.ip)?;
            }
            Ok(())
        })?;
        Ok(Pod { namespace, addresses, logs: self.folder.join("logs"), port })
    }

    /// Gives the way between a pod and the bridge another character, in both directions.
    pub fn shape(&self, pod: &Pod, shape: Shape) -> Result<()> {
        shape.apply(&self.node, &format!("port{}", pod.port - FIRST_PORT), pod.port)?;
        shape.apply(&pod.namespace, ETH, POD_LINK)
    }
}

/// A namespace with one link to the bridge.
#[derive(Debug, Clone)]
pub struct Pod {
    namespace: Namespace,
    addresses: Vec<Cidr>,
    logs: PathBuf,
    port: u32,
}

impl Pod {
    /// Its name.
    pub fn name(&self) -> &str {
        self.namespace.name()
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its addresses, IPv4 first where it has one.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().map(|cidr| cidr.ip)
    }

    /// The first of its addresses.
    pub fn address(&self) -> IpAddr {
        self.addresses.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |cidr| cidr.ip)
    }

    /// Whether programs in it may change to users other than root: not where one user made a user namespace for itself.
    pub fn has_all_users(&self) -> bool {
        lab_has_all_users()
    }

    /// A program in it, without rights.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Program {
        self.program_as(User::Plain(1000), program)
    }

    /// A program in it.
    pub fn program_as(&self, user: User, program: impl AsRef<OsStr>) -> Program {
        Program::new(&self.namespace, user, &self.logs, program.as_ref())
    }

    /// Runs code of the test in it and waits for its end.
    pub fn inside<T: Send>(&self, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.namespace.inside(body)
    }

    /// Runs code of the test in it, beside the caller.
    pub fn beside<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> thread::JoinHandle<Result<T>> {
        self.namespace.beside(body)
    }

    /// Drops every packet between it and that TCP port of others, until [`Self::mend`].
    pub fn cut(&self, port: u16) -> Result<()> {
        shape::cut(&self.namespace, port)
    }

    /// What was cut is whole again.
    pub fn mend(&self) -> Result<()> {
        shape::mend(&self.namespace)
    }

    /// Makes its kernel forget every connection that it tracks: what is not a new one loses its translation.
    pub fn flush_conntrack(&self) -> Result<()> {
        self.namespace.inside(netlink::flush_conntrack)
    }
}
