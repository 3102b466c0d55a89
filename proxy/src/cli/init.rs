//! `mesh-proxy init`: the flags of capture, and what is printed. It must not know how rules are made.

pub(super) mod check;
mod open;

#[cfg(test)]
mod tests;

use std::io::Write as _;

use clap::{Args, ValueEnum};
use mesh_capture::options::{
    Backend, CaptureOptions, DNS_PORT, Exclude, Families, INBOUND_PORT, Inbound, Include, InvalidPackets,
    Loopback, OUTBOUND_PORT, OpenConnections, OwnCalls, ProxyTraffic, ROUTE_TABLE,
};
use mesh_capture::range::{Cidr, Ports};
use mesh_capture::{Applied, CaptureError};

/// Bring the traffic of this network namespace to the proxy.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// Print what would be written, and write nothing
    #[arg(long, conflicts_with = "undo")]
    dry_run: bool,
    /// Take everything away that an earlier run wrote
    #[arg(long)]
    undo: bool,
    /// Say whether the rules are in force, and write nothing: needs no privilege, and the proxy must not run yet
    #[arg(long, conflicts_with_all = ["undo", "dry_run"])]
    check: bool,
    #[command(flatten)]
    proxy: Proxy,
    #[command(flatten)]
    inbound: ToApplication,
    #[command(flatten)]
    outbound: FromApplication,
    #[command(flatten)]
    both: Both,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "The proxy's own traffic (at least one)")]
struct Proxy {
    /// User that the proxy runs as, and the application does not; may be repeated
    #[arg(long, value_name = "UID")]
    proxy_uid: Vec<u32>,
    /// Group that the proxy runs as; may be repeated
    #[arg(long, value_name = "GID")]
    proxy_gid: Vec<u32>,
    /// Mark of the sockets that the proxy opens
    #[arg(long, value_name = "MARK", value_parser = number)]
    proxy_mark: Option<u32>,
    /// Where its connections go that it opens to this workload by an address that others use too
    #[arg(long, value_enum, default_value_t)]
    own_calls: OwnCallsTo,
    /// Mark of the sockets that it opens to its own application, with --own-calls inbound
    #[arg(long, value_name = "MARK", value_parser = number, default_value = "0x53a")]
    forward_mark: u32,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connections to the application")]
struct ToApplication {
    /// What is done with them
    #[arg(long, value_enum, default_value_t)]
    inbound: InboundMode,
    /// Where the proxy listens for them
    #[arg(long, value_name = "PORT", default_value_t = INBOUND_PORT)]
    inbound_port: u16,
    /// Ports that are not captured: 22, 8000-8010; may be repeated
    #[arg(long, value_name = "PORTS", value_delimiter = ',')]
    exclude_inbound_port: Vec<Ports>,
    /// Capture these ports only; may be repeated
    #[arg(long, value_name = "PORTS", value_delimiter = ',')]
    include_inbound_port: Vec<Ports>,
    /// Where the kubelet's probes come from: they reach the application itself; may be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    probe_source: Vec<Cidr>,
    /// Mark of answers that go back to the proxy, with --inbound tproxy
    #[arg(long, value_name = "MARK", value_parser = number, default_value = "0x53b")]
    answer_mark: u32,
    /// Routing table, with --inbound tproxy
    #[arg(long, value_name = "TABLE", default_value_t = ROUTE_TABLE)]
    route_table: u32,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connections of the application")]
struct FromApplication {
    /// Where the proxy listens for them
    #[arg(long, value_name = "PORT", default_value_t = OUTBOUND_PORT)]
    outbound_port: u16,
    /// Ports that are not captured: 25, 8000-8010; may be repeated
    #[arg(long, value_name = "PORTS", value_delimiter = ',')]
    exclude_outbound_port: Vec<Ports>,
    /// Destinations that are not captured: 169.254.169.254, fd00::/8; may be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    exclude_outbound_cidr: Vec<Cidr>,
    /// Capture these ports only, beside --include-outbound-cidr; may be repeated
    #[arg(long, value_name = "PORTS", value_delimiter = ',')]
    include_outbound_port: Vec<Ports>,
    /// Capture these destinations only, beside --include-outbound-port; may be repeated
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    include_outbound_cidr: Vec<Cidr>,
    /// User whose connections are not captured; may be repeated
    #[arg(long, value_name = "UID", value_delimiter = ',')]
    exclude_uid: Vec<u32>,
    /// Group whose connections are not captured; may be repeated
    #[arg(long, value_name = "GID", value_delimiter = ',')]
    exclude_gid: Vec<u32>,
    /// Capture connections over the loopback device too; for a network namespace with one command in it
    #[arg(long)]
    capture_loopback: bool,
    /// Capture DNS: what goes to port 53, by UDP and TCP
    #[arg(long)]
    dns: bool,
    /// Where the proxy listens for DNS
    #[arg(long, value_name = "PORT", default_value_t = DNS_PORT, requires = "dns")]
    dns_port: u16,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Both")]
struct Both {
    /// Families of addresses that are captured
    #[arg(long, value_enum, default_value_t)]
    ip_family: IpFamily,
    /// Network device whose traffic is not captured; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    exclude_interface: Vec<String>,
    /// Drop packets that connection tracking calls invalid, in place of letting the kernel answer them with a reset
    #[arg(long)]
    drop_invalid: bool,
    /// What is done with packets amid connections that the kernel does not know: it forgot them, or they were open before
    #[arg(long, value_enum, default_value_t)]
    open_connections: OpenConnectionsAre,
    /// Which part of the kernel holds the rules
    #[arg(long, value_enum, default_value_t)]
    backend: BackendName,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum InboundMode {
    /// They go to the proxy
    #[default]
    Redirect,
    /// They go to the proxy, which can keep the client's address
    Tproxy,
    /// They reach the application
    Pass,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OwnCallsTo {
    /// To the application
    Application,
    /// To the inbound port; what goes to the application has --forward-mark or comes from 127.0.0.6 or ::6
    #[default]
    Inbound,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum OpenConnectionsAre {
    /// Taken if no connection is open now, else left
    #[default]
    Auto,
    /// They pass: what was open stays so, and a captured connection that the kernel forgot hangs
    Leave,
    /// They are captured: a forgotten connection goes on or is reset, and so is what was open
    Take,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum IpFamily {
    /// Both
    #[default]
    Dual,
    /// IPv4 only
    Ipv4,
    /// IPv6 only
    Ipv6,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum BackendName {
    /// Nftables, or iptables where the kernel has none
    #[default]
    Auto,
    /// Nftables
    Nftables,
    /// The program iptables-restore
    Iptables,
}

impl Init {
    /// Writes, takes away, prints, or checks.
    pub(super) fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        if self.check {
            return Ok(check::check(&self.into_options())?);
        }
        Ok(self.act()?)
    }

    /// What is captured, where nothing else is asked for.
    pub(super) fn only_options(self) -> Result<CaptureOptions, String> {
        if self.dry_run || self.undo || self.check {
            return Err("says more than what is captured".to_owned());
        }
        Ok(self.into_options())
    }

    fn act(self) -> Result<(), CaptureError> {
        let (dry_run, undo) = (self.dry_run, self.undo);
        let options = self.into_options();
        if dry_run {
            let text = mesh_capture::dry_run(&options)?;
            // A reader that went away has seen enough.
            std::io::stdout().write_all(text.as_bytes()).ok();
            return Ok(());
        }
        if undo {
            mesh_capture::undo(&options)?;
            tracing::info!("capture rules are taken away; connections that were captured end");
            return Ok(());
        }
        match mesh_capture::apply(&options)? {
            Applied::Nftables => {
                tracing::info!("capture rules are in force; `nft list table inet amime` shows them");
            }
            Applied::Iptables => {
                tracing::info!("capture rules are in force; `iptables-save` shows them as AMIME_*");
            }
        }
        Ok(())
    }

    fn into_options(self) -> CaptureOptions {
        let Self { proxy, inbound, outbound, both, .. } = self;
        CaptureOptions {
            proxy: ProxyTraffic { uids: proxy.proxy_uid, gids: proxy.proxy_gid, mark: proxy.proxy_mark },
            inbound: match inbound.inbound {
                InboundMode::Redirect => Inbound::Redirect,
                InboundMode::Tproxy => Inbound::Tproxy,
                InboundMode::Pass => Inbound::Pass,
            },
            inbound_port: inbound.inbound_port,
            outbound_port: outbound.outbound_port,
            dns_port: outbound.dns.then_some(outbound.dns_port),
            families: match both.ip_family {
                IpFamily::Dual => Families::Dual,
                IpFamily::Ipv4 => Families::Ipv4,
                IpFamily::Ipv6 => Families::Ipv6,
            },
            loopback: if outbound.capture_loopback { Loopback::Capture } else { Loopback::Pass },
            invalid: if both.drop_invalid { InvalidPackets::Drop } else { InvalidPackets::Pass },
            open: match both.open_connections {
                OpenConnectionsAre::Take => OpenConnections::Take,
                OpenConnectionsAre::Auto if !open::any() => OpenConnections::Take,
                OpenConnectionsAre::Auto | OpenConnectionsAre::Leave => OpenConnections::Leave,
            },
            exclude: Exclude {
                inbound_ports: inbound.exclude_inbound_port,
                outbound_ports: outbound.exclude_outbound_port,
                outbound_cidrs: outbound.exclude_outbound_cidr,
                uids: outbound.exclude_uid,
                gids: outbound.exclude_gid,
                interfaces: both.exclude_interface,
                probe_sources: inbound.probe_source,
            },
            include: Include {
                inbound_ports: inbound.include_inbound_port,
                outbound_ports: outbound.include_outbound_port,
                outbound_cidrs: outbound.include_outbound_cidr,
            },
            own_calls: match proxy.own_calls {
                OwnCallsTo::Application => OwnCalls::Application,
                OwnCallsTo::Inbound => OwnCalls::Inbound,
            },
            forward_mark: proxy.forward_mark,
            answer_mark: inbound.answer_mark,
            route_table: inbound.route_table,
            backend: match both.backend {
                BackendName::Auto => Backend::Auto,
                BackendName::Nftables => Backend::Nftables,
                BackendName::Iptables => Backend::Iptables,
            },
        }
    }
}

/// Marks are usually written in hexadecimal.
fn number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is not a number such as 1337 or 0x539"))
}
