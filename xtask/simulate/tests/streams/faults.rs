//! What happens to whom, and when: a plan made of chance alone, and how each fault is done to a simulation.

use std::sync::atomic::Ordering;

use turmoil::Sim;

use crate::controller::Levers;
use crate::proxy::CONTROLLER;
use crate::world::{PROXIES, host};

/// Milliseconds of virtual time: faults begin, all of them are over, the end.
pub const BEGIN: u64 = 5_000;
pub const OVER: u64 = 110_000;
pub const END: u64 = 190_000;
const HOUR: i64 = 3_600_000;

/// Something that is wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes between a proxy and the controller.
    Partition(usize),
    /// What a proxy says is lost; what it is told arrives.
    Deafened(usize),
    /// What the controller says is lost.
    Muted(usize),
    /// Everything is held back, and delivered when it is over: a proxy that is stopped, or a very slow way.
    Held(usize),
    /// A way of two seconds.
    Slow(usize),
    /// The controller is killed, and starts again when it is over.
    ControllerKilled,
    /// A proxy is killed, and starts again.
    ProxyKilled(usize),
    /// The controller's clock is off.
    ControllersClock(i64),
    /// A proxy's clock is off.
    ProxysClock(usize, i64),
    /// The controller does not hear of its source.
    SourceLost,
}

/// From when to when.
#[derive(Debug, Clone, Copy)]
pub struct Spell {
    pub fault: Fault,
    pub from: u64,
    pub to: u64,
}

/// Every kind of fault, at moments and of victims that chance chooses.
pub fn plan(chance: &mut fastrand::Rng) -> Vec<Spell> {
    let mut kinds: Vec<Fault> = Vec::new();
    for round in 0..2 {
        let mut victim = || chance.usize(0..PROXIES);
        kinds.extend([
            Fault::Partition(victim()),
            Fault::Deafened(victim()),
            Fault::Muted(victim()),
            Fault::Held(victim()),
            Fault::Slow(victim()),
            Fault::ProxyKilled(victim()),
        ]);
        let off = [HOUR, -HOUR, 400 * 24 * HOUR, -600_000, 45_000][chance.usize(0..5)];
        let clock = if round == 0 {
            Fault::ControllersClock(off)
        } else {
            Fault::ProxysClock(chance.usize(0..PROXIES), off)
        };
        kinds.push(clock);
        kinds.push(if round == 0 { Fault::ControllerKilled } else { Fault::SourceLost });
    }
    let spell = |fault| {
        let from = chance.u64(BEGIN..OVER - 10_000);
        Spell { fault, from, to: (from + chance.u64(500..45_000)).min(OVER) }
    };
    kinds.into_iter().map(spell).collect()
}

/// What a fault is done with.
pub struct Hands<'a> {
    pub controller: &'a Levers,
    pub proxies: &'a [Levers],
}

impl Hands<'_> {
    pub fn begin(&self, sim: &mut Sim<'_>, fault: Fault) {
        match fault {
            Fault::Partition(proxy) => sim.partition(host(proxy), CONTROLLER),
            Fault::Deafened(proxy) => sim.partition_oneway(host(proxy), CONTROLLER),
            Fault::Muted(proxy) => sim.partition_oneway(CONTROLLER, host(proxy)),
            Fault::Held(proxy) => sim.hold(host(proxy), CONTROLLER),
            Fault::Slow(proxy) => {
                sim.set_link_latency(host(proxy), CONTROLLER, std::time::Duration::from_secs(2));
            }
            Fault::ControllerKilled => sim.crash(CONTROLLER),
            Fault::ProxyKilled(proxy) => sim.crash(host(proxy)),
            Fault::ControllersClock(off) => self.controller.skew.store(off, Ordering::Relaxed),
            Fault::ProxysClock(proxy, off) => self.proxies[proxy].skew.store(off, Ordering::Relaxed),
            Fault::SourceLost => self.controller.cut_off.store(true, Ordering::Relaxed),
        }
    }

    pub fn end(&self, sim: &mut Sim<'_>, fault: Fault) {
        match fault {
            Fault::Partition(proxy) => sim.repair(host(proxy), CONTROLLER),
            Fault::Deafened(proxy) => sim.repair_oneway(host(proxy), CONTROLLER),
            Fault::Muted(proxy) => sim.repair_oneway(CONTROLLER, host(proxy)),
            Fault::Held(proxy) => sim.release(host(proxy), CONTROLLER),
            Fault::Slow(proxy) => {
                sim.set_link_latency(host(proxy), CONTROLLER, std::time::Duration::from_millis(10));
            }
            Fault::ControllerKilled => sim.bounce(CONTROLLER),
            Fault::ProxyKilled(proxy) => sim.bounce(host(proxy)),
            // Back to what it was: the other jump.
            Fault::ControllersClock(_) => self.controller.skew.store(0, Ordering::Relaxed),
            Fault::ProxysClock(proxy, _) => self.proxies[proxy].skew.store(0, Ordering::Relaxed),
            Fault::SourceLost => self.controller.cut_off.store(false, Ordering::Relaxed),
        }
    }
}
