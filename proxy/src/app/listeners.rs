//! All ports of a proxy, bound before anything else happens: a port that is taken is said at once.

use mesh_lifecycle::bind::{self, BindError, ReusePort};
use mesh_lifecycle::unix::{self, Access};

use super::{Addresses, StartError};
use crate::admin;
use crate::config::{Config, WorkloadApiPeers};
use crate::net::{self, Listener, Namespace};

/// What is bound and not yet served.
pub(super) struct Bound {
    pub(super) metrics: Option<std::net::TcpListener>,
    pub(super) admin: Option<std::net::TcpListener>,
    pub(super) dns: Vec<(std::net::UdpSocket, std::net::TcpListener)>,
    pub(super) workload_api: Option<tokio::net::UnixListener>,
    inbound: Vec<Listener>,
    outbound: Vec<Listener>,
    outbound_proxy: Option<Listener>,
    captured_outbound: Vec<Listener>,
    captured_inbound: Vec<Listener>,
}

/// One worker's sockets, in the order of the configuration.
pub(super) struct Sockets {
    pub(super) inbound: Vec<std::net::TcpListener>,
    pub(super) outbound: Vec<std::net::TcpListener>,
    pub(super) outbound_proxy: Option<std::net::TcpListener>,
    pub(super) captured_outbound: Vec<std::net::TcpListener>,
    pub(super) captured_inbound: Vec<std::net::TcpListener>,
}

impl Bound {
    pub(super) fn bind(
        config: &Config,
        network: Option<&Namespace>,
    ) -> Result<(Self, Addresses), StartError> {
        let workers = config.workers.max(1);
        let named = |option| move |error: BindError| error.with_option(option);
        let all = |addresses: Vec<_>, option| -> Result<Vec<Listener>, BindError> {
            addresses
                .into_iter()
                .map(|address| Listener::bind(address, workers).map_err(named(option)))
                .collect()
        };
        // What the application connects to is where the application is.
        let near = |addresses: Vec<_>, option| -> Result<Vec<Listener>, BindError> {
            let Some(network) = network else { return all(addresses, option) };
            addresses
                .into_iter()
                .map(|address| Listener::bind_within(network, address, workers).map_err(named(option)))
                .collect()
        };
        let inbound = all(config.inbound.iter().map(|one| one.listen).collect(), "--inbound")?;
        let outbound = near(config.outbound.iter().map(|one| one.listen).collect(), "--outbound")?;
        let outbound_proxy = near(config.outbound_proxy.into_iter().collect(), "--outbound-proxy")?.pop();
        let captured = |addresses: &[_], option| -> Result<Vec<Listener>, BindError> {
            let how = config.capture.how;
            let bind = |at: &_| Listener::bind_captured(network, *at, how, workers).map_err(named(option));
            addresses.iter().map(bind).collect()
        };
        let captured_outbound = captured(&config.capture.outbound, "--capture-outbound")?;
        let captured_inbound = captured(&config.capture.inbound, "--capture-inbound")?;
        let metrics =
            config.metrics.map(|at| bind::tcp(at, ReusePort::No).map_err(named("--metrics"))).transpose()?;
        let admin = config.admin.map(admin::bind_loopback).transpose()?;
        let dns: Vec<_> = config
            .dns
            .listen
            .iter()
            .map(|at| net::names(network, *at).map_err(named("--dns")))
            .collect::<Result<_, _>>()?;
        let workload_api = config.workload_api.as_ref().map(|api| {
            let access = match api.peers {
                WorkloadApiPeers::Owner => Access::Owner,
                WorkloadApiPeers::Anybody => Access::Everybody,
            };
            unix::bind(&api.path, access, "--workload-api")
        });
        let workload_api = workload_api.transpose()?;
        let addrs = Addresses {
            dns: dns.iter().filter_map(|(socket, _)| socket.local_addr().ok()).collect(),
            inbound: inbound.iter().map(Listener::address).collect(),
            outbound: outbound.iter().map(Listener::address).collect(),
            outbound_proxy: outbound_proxy.as_ref().map(Listener::address),
            captured_outbound: captured_outbound.iter().map(Listener::address).collect(),
            captured_inbound: captured_inbound.iter().map(Listener::address).collect(),
            metrics: metrics.as_ref().and_then(|listener| listener.local_addr().ok()),
            admin: admin.as_ref().and_then(|listener| listener.local_addr().ok()),
        };
        let bound = Self {
            metrics,
            admin,
            dns,
            workload_api,
            inbound,
            outbound,
            outbound_proxy,
            captured_outbound,
            captured_inbound,
        };
        Ok((bound, addrs))
    }

    /// One worker's share.
    pub(super) fn take(&mut self) -> Sockets {
        Sockets {
            inbound: self.inbound.iter_mut().filter_map(Listener::take).collect(),
            outbound: self.outbound.iter_mut().filter_map(Listener::take).collect(),
            outbound_proxy: self.outbound_proxy.as_mut().and_then(Listener::take),
            captured_outbound: self.captured_outbound.iter_mut().filter_map(Listener::take).collect(),
            captured_inbound: self.captured_inbound.iter_mut().filter_map(Listener::take).collect(),
        }
    }
}
