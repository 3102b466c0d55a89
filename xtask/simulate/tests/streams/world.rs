//! One run: hosts, a plan of faults, a truth that changes all the time, and what must hold at every moment and at the end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_identity::testing::TestCa;

use crate::controller::{self, Levers};
use crate::faults::{self, END, Hands, OVER, Spell};
use crate::laggard;
use crate::observer::{Counts, Observer};
use crate::proxy::{self, CONTROLLER};
use crate::truth::{SERVICES, Truth};

pub const PROXIES: usize = 4;
const HOSTS: [&str; PROXIES] = ["p0", "p1", "p2", "p3"];
const TICK: Duration = Duration::from_millis(10);

pub fn host(proxy: usize) -> &'static str {
    HOSTS[proxy]
}

/// All that a run depends on.
pub struct Plan {
    pub seed: u64,
    pub spells: Vec<Spell>,
    pub deaf_metric: bool,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let spells = faults::plan(&mut fastrand::Rng::with_seed(seed));
        Self { seed, spells, deaf_metric: false }
    }
}

/// What the oracle saw.
#[derive(Debug)]
pub struct Saw {
    pub looks: u64,
    pub behind: u64,
    pub worst_ms: u64,
    pub changes: u32,
}

impl fmt::Display for Saw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { looks, behind, worst_ms, changes } = self;
        write!(f, "{changes} changes, {looks} looks, behind at {behind} of them, for {worst_ms} ms at most")
    }
}

pub struct World;

impl World {
    /// Panics when a proxy was old without a word, or not right at the end.
    pub fn run(plan: &Plan) -> Saw {
        // Jitter comes from this thread's generator, on both sides.
        fastrand::seed(plan.seed);
        let mut chance = fastrand::Rng::with_seed(plan.seed ^ 0x5eed);
        let (truth, counts, ca) = (Truth::new(), Arc::<Counts>::default(), TestCa::new("mesh.test"));
        let (levers, clocks) = (Levers::default(), [(); PROXIES].map(|()| Levers::default()));
        let mut builder = turmoil::Builder::new();
        builder.rng_seed(plan.seed).tick_duration(TICK).simulation_duration(Duration::from_millis(END * 2));
        builder.min_message_latency(Duration::from_millis(1)).max_message_latency(Duration::from_millis(20));
        let mut sim = builder.build();
        let identity = ca.identity("amime-system", "mesh-controller");
        let (of, held) = (truth.clone(), levers.clone());
        sim.host(CONTROLLER, move || controller::run(of.clone(), held.clone(), identity.clone()));
        for (proxy, own) in clocks.iter().enumerate() {
            let identity = ca.identity("shop", host(proxy));
            let (truth, counts, own) = (truth.clone(), Arc::clone(&counts), own.clone());
            let deaf_metric = plan.deaf_metric;
            sim.host(host(proxy), move || {
                let observer = Observer {
                    truth: truth.clone(),
                    counts: Arc::clone(&counts),
                    deaf_metric,
                    began: truth.now(),
                };
                let services = (0..2).map(|more| (proxy + more) % SERVICES).collect();
                let clock = controller::clock(&truth, &own.skew);
                proxy::run(host(proxy).to_owned(), services, identity.clone(), clock, observer)
            });
        }
        let identity = ca.identity("shop", "laggard");
        sim.host("laggard", move || laggard::run(identity.clone()));
        let hands = Hands { controller: &levers, proxies: &clocks };
        let mut next_change = 500;
        let step_ms = u64::try_from(TICK.as_millis()).unwrap();
        for now in (0..END).step_by(TICK.as_millis().try_into().unwrap()) {
            truth.at(now);
            let due = |at: u64| at >= now && at < now + step_ms;
            for spell in plan.spells.iter().filter(|spell| due(spell.from)) {
                hands.begin(&mut sim, spell.fault);
            }
            for spell in plan.spells.iter().filter(|spell| due(spell.to)) {
                hands.end(&mut sim, spell.fault);
            }
            if now >= next_change && now < OVER + 5_000 {
                truth.change(chance.usize(0..SERVICES), chance.u8(0..8) == 0);
                next_change = now + chance.u64(50..2_500);
            }
            sim.step().unwrap();
            if let Some(violation) = truth.violations().first() {
                panic!("seed {}: {violation}; the plan: {:#?}", plan.seed, plan.spells);
            }
        }
        let right = counts.right.load(Ordering::Relaxed);
        assert_eq!(
            right,
            (1 << PROXIES) - 1,
            "seed {}: right at the end, as bits; the plan: {:#?}",
            plan.seed,
            plan.spells
        );
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Saw {
            looks: count(&counts.looks),
            behind: count(&counts.behind),
            worst_ms: count(&counts.worst_ms),
            changes: truth.changes(),
        }
    }
}
