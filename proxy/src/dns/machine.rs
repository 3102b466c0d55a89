//! What the machine says: its resolvers and search list, its own names, and which families of addresses it has a way for. Read at the
//! start, and again every few seconds, since a laptop changes its network and a pod its neighbours. It must not know queries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mesh_dns::hosts::Hosts;
use mesh_dns::resolv_conf::ResolvConf;
use tokio::time::MissedTickBehavior;

use super::{Dns, lock};
use crate::net;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);

/// One address of each range of virtual addresses.
const PROBES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(240, 240, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd61, 0x6d69, 0x6d65, 0, 0, 0, 0xf0f0, 1)),
];

/// The machine, as of the last look.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) conf: ResolvConf,
    pub(super) hosts: Hosts,
    pub(super) families: Families,
}

/// Whether there is a way from where the application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Families {
    pub(super) v4: bool,
    pub(super) v6: bool,
}

impl Default for Families {
    fn default() -> Self {
        Self { v4: true, v6: false }
    }
}

impl Families {
    fn probe() -> Self {
        let [v4, v6] = PROBES.map(net::is_routable);
        // Without a way for either (capture adds routes later) the family that all programs speak is right.
        Self { v4: v4 || !v6, v6 }
    }
}

impl Dns {
    /// At the start.
    pub(super) fn read_machine(&self) {
        let config = &self.shared.config;
        let families = match &self.shared.network {
            None => Families::probe(),
            Some(network) => network.within(Families::probe).unwrap_or_default(),
        };
        let conf = std::fs::read_to_string(&config.resolv_conf).unwrap_or_default();
        let hosts = std::fs::read_to_string(&config.hosts).unwrap_or_default();
        self.learn(&conf, &hosts, families);
        let resolvers = lock(&self.shared.upstreams).all().count();
        if resolvers == 0 && !self.shared.listen.is_empty() {
            tracing::warn!(
                file = %config.resolv_conf.display(),
                "no resolver for names outside the mesh: the file names none; give --dns-resolver"
            );
        }
    }

    /// Looks again from time to time. Never ends.
    pub(super) async fn follow_machine(&self) {
        let config = &self.shared.config;
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let families = match &self.shared.network {
                None => Families::probe(),
                Some(network) => network.run(Families::probe).await.unwrap_or_default(),
            };
            // A file that is being written anew may be away for a moment: what was read before stays.
            let (Ok(conf), Ok(hosts)) = (
                tokio::fs::read_to_string(&config.resolv_conf).await,
                tokio::fs::read_to_string(&config.hosts).await,
            ) else {
                continue;
            };
            self.learn(&conf, &hosts, families);
        }
    }

    fn learn(&self, conf: &str, hosts: &str, families: Families) {
        let (conf, hosts) = (ResolvConf::parse(conf), Hosts::parse(hosts));
        let given = &self.shared.config.resolvers;
        let resolvers = if given.is_empty() { &conf.resolvers } else { given };
        // To ask oneself is to ask for ever.
        let others = resolvers.iter().filter(|one| !self.shared.listen.contains(one)).copied();
        lock(&self.shared.upstreams).replace(others);
        *lock(&self.shared.machine) = Machine { conf, hosts, families };
    }
}
