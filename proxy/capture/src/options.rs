//! What is to be captured, in the user's words. Whoever fills it in need not know how the kernel is told; what contradicts itself is
//! found by [`CaptureOptions::problems`], which names the flag of `mesh-proxy init`.

mod problems;

pub use problems::Problem;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::range::{Cidr, Ports};

/// Ports of the proxy itself: its listeners, readiness, metrics. They are never captured, neither into the namespace nor out of it.
pub const RESERVED_PORTS: (u16, u16) = (15000, 15021);

/// Where the proxy takes what the application sends.
pub const OUTBOUND_PORT: u16 = 15001;

/// Where the proxy takes what comes for the application.
pub const INBOUND_PORT: u16 = 15006;

/// Where the proxy answers DNS, over UDP and TCP.
pub const DNS_PORT: u16 = 15053;

/// The mark of sockets that the proxy opens.
pub const PROXY_MARK: u32 = 0x539;

/// The mark of sockets that the proxy opens to its own application, where they must be told from its others: [`OwnCalls::Inbound`].
pub const FORWARD_MARK: u32 = 0x53a;

/// The mark of connections whose answers are routed back to the proxy, and of these answers: [`Inbound::Tproxy`]. No socket has it.
pub const ANSWER_MARK: u32 = 0x53b;

/// Source addresses of what the proxy forwards to its own application when it may not set marks: [`OwnCalls::Inbound`]. The IPv6 one is
/// added to the loopback device, the IPv4 one is there already.
pub const FORWARD_SOURCES: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(127, 0, 0, 6), Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

/// Routing table, and preference of the rule that leads to it, for answers to a client whose address the proxy kept.
pub const ROUTE_TABLE: u32 = 15006;

/// How many ports, prefixes, users and devices may be listed in all. Each is an element or a rule in the kernel, all of them travel in one
/// message, and the kernel takes none that is larger than a socket's buffer (208 KiB unless it was set otherwise).
pub const MAX_ENTRIES: usize = 512;

/// How the proxy's own traffic is told from the application's. At least one of them must be said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyTraffic {
    /// Users that the proxy runs as, `--proxy-uid`. The application must not run as one of them.
    pub uids: Vec<u32>,
    /// Groups that the proxy runs as, `--proxy-gid`.
    pub gids: Vec<u32>,
    /// The mark of its sockets, `--proxy-mark`. It needs CAP_NET_ADMIN or CAP_NET_RAW, and nothing about users.
    pub mark: Option<u32>,
}

/// What is done with connections to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inbound {
    /// They go to the proxy; the application sees the proxy's address.
    #[default]
    Redirect,
    /// They go to the proxy, whose listener must be transparent (IP_TRANSPARENT); it can keep the client's address towards the
    /// application, with [`ProxyTraffic::mark`] on such sockets.
    Tproxy,
    /// Nothing: they reach the application.
    Pass,
}

/// What is done with connections that the proxy opens to this workload by an address that others use too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnCalls {
    /// They reach the application: what the proxy forwards to it needs no sign.
    Application,
    /// They go to the proxy's inbound listener, as on any other workload that is an endpoint of the service that was called. What the
    /// proxy forwards to its application must then be told apart: by [`CaptureOptions::forward_mark`], or by one of [`FORWARD_SOURCES`].
    #[default]
    Inbound,
}

/// Which families of addresses are captured; the other one passes untouched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Families {
    /// Both.
    #[default]
    Dual,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Families {
    /// Whether IPv4 is captured.
    pub const fn v4(self) -> bool {
        matches!(self, Self::Dual | Self::Ipv4)
    }

    /// Whether IPv6 is captured.
    pub const fn v6(self) -> bool {
        matches!(self, Self::Dual | Self::Ipv6)
    }

    /// Whether the family of this address is captured.
    pub const fn holds(self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.v4() } else { self.v6() }
    }
}

/// What is done with connections of the application over the loopback device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Loopback {
    /// They pass: the application talks to itself.
    #[default]
    Pass,
    /// They go to the proxy, which decides. For network namespaces with nothing in them but one command.
    Capture,
}

/// What is done with packets that belong to no connection that the kernel knows, such as those outside of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InvalidPackets {
    /// They pass; the kernel answers one of a captured connection with a reset.
    #[default]
    Pass,
    /// They are dropped, so that the peer sends again.
    Drop,
}

/// What is done with packets in the middle of a connection that the kernel does not know: it has forgotten that the connection was
/// captured, or it was open before the rules came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenConnections {
    /// They go where they say. What was open stays open; a captured connection that was forgotten hangs.
    #[default]
    Leave,
    /// They are captured. A forgotten connection goes on with the next packet of its client, or is reset; so is what was open.
    Take,
}

/// Which part of the kernel holds the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// nftables; where the kernel has none, iptables.
    #[default]
    Auto,
    /// nftables.
    Nftables,
    /// The programs `iptables-restore` and `ip6tables-restore`.
    Iptables,
}

/// What is not captured, whatever else says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclude {
    /// Ports of the application, `--exclude-inbound-port`.
    pub inbound_ports: Vec<Ports>,
    /// Ports of others, `--exclude-outbound-port`.
    pub outbound_ports: Vec<Ports>,
    /// Destinations, `--exclude-outbound-cidr`.
    pub outbound_cidrs: Vec<Cidr>,
    /// Users whose traffic passes, `--exclude-uid`.
    pub uids: Vec<u32>,
    /// Groups whose traffic passes, `--exclude-gid`.
    pub gids: Vec<u32>,
    /// Network devices whose traffic passes, both ways, `--exclude-interface`.
    pub interfaces: Vec<String>,
    /// Sources of the kubelet's probes, `--probe-source`: what comes from there reaches the application itself.
    pub probe_sources: Vec<Cidr>,
}

/// The only things that are captured. Empty lists mean everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Include {
    /// Ports of the application, `--include-inbound-port`.
    pub inbound_ports: Vec<Ports>,
    /// Ports of others, `--include-outbound-port`: to any destination, beside those of `--include-outbound-cidr`.
    pub outbound_ports: Vec<Ports>,
    /// Destinations, `--include-outbound-cidr`: at any port, beside those of `--include-outbound-port`.
    pub outbound_cidrs: Vec<Cidr>,
}

/// Everything about capture in one network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureOptions {
    /// How the proxy's own traffic is known.
    pub proxy: ProxyTraffic,
    /// What is done with connections to the application.
    pub inbound: Inbound,
    /// Where the proxy listens for them.
    pub inbound_port: u16,
    /// Where the proxy listens for the application's connections.
    pub outbound_port: u16,
    /// Where the proxy listens for DNS; None leaves DNS alone.
    pub dns_port: Option<u16>,
    /// Families of addresses.
    pub families: Families,
    /// Connections over the loopback device.
    pub loopback: Loopback,
    /// Packets of no known connection.
    pub invalid: InvalidPackets,
    /// Packets amid connections that the kernel does not know.
    pub open: OpenConnections,
    /// What is not captured.
    pub exclude: Exclude,
    /// What alone is captured.
    pub include: Include,
    /// Connections that the proxy opens to this workload.
    pub own_calls: OwnCalls,
    /// The mark of sockets that the proxy opens to its own application, with [`OwnCalls::Inbound`].
    pub forward_mark: u32,
    /// The mark of connections whose answers are routed back to the proxy, with [`Inbound::Tproxy`].
    pub answer_mark: u32,
    /// Routing table for [`Inbound::Tproxy`].
    pub route_table: u32,
    /// Which part of the kernel holds the rules.
    pub backend: Backend,
}

impl CaptureOptions {
    /// Everything is captured both ways, in both families; DNS and loopback are left alone.
    pub fn new(proxy: ProxyTraffic) -> Self {
        Self {
            proxy,
            inbound: Inbound::default(),
            inbound_port: INBOUND_PORT,
            outbound_port: OUTBOUND_PORT,
            dns_port: None,
            families: Families::default(),
            loopback: Loopback::default(),
            invalid: InvalidPackets::default(),
            open: OpenConnections::default(),
            exclude: Exclude::default(),
            include: Include::default(),
            own_calls: OwnCalls::default(),
            forward_mark: FORWARD_MARK,
            answer_mark: ANSWER_MARK,
            route_table: ROUTE_TABLE,
            backend: Backend::default(),
        }
    }

    /// The proxy is known by the mark of its sockets.
    pub fn by_mark(mark: u32) -> Self {
        Self::new(ProxyTraffic { mark: Some(mark), ..ProxyTraffic::default() })
    }

    /// The proxy is known by the user it runs as.
    pub fn by_uid(uid: u32) -> Self {
        Self::new(ProxyTraffic { uids: vec![uid], ..ProxyTraffic::default() })
    }

    /// Whether the proxy's connections to this workload go to its inbound port. None do where that one takes nothing.
    pub fn takes_own_calls(&self) -> bool {
        self.own_calls == OwnCalls::Inbound && self.inbound != Inbound::Pass
    }

    /// Everything that contradicts itself or cannot be; empty when the options are good.
    pub fn problems(&self) -> Vec<Problem> {
        problems::of(self)
    }
}
