//! Which endpoint a request goes to. A pick first takes a part of the plan (priority, zone; made when health or the set changes), then
//! one of the part's endpoints by the policy's algorithm. The default is two random choices by peak EWMA.
//!
//! Pure: time and randomness come as arguments. It must not know connections; what belongs to an endpoint elsewhere (its pool) is
//! carried along as `T`. State of an endpoint that stays survives each change of the set and of the policy.
//!
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); peak EWMA as in Finagle; Mirrokni et al.,
//! "Consistent Hashing with Bounded Loads" (2017).

mod choose;
mod counts;
mod group;
mod keyed;
mod load;
mod plan;
#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use load::{Ejected, InFlight, Load};

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mesh_model::endpoint::{Endpoint, EndpointState, Transport};
use mesh_model::traffic::effective::BackendPolicy;
use mesh_model::traffic::{Algorithm, Balancing};

use self::group::Random;
use self::keyed::Tables;
use self::load::Shared;
use self::plan::{Health, Plan, Reach, SCALE, plan};
use crate::hash::hash_of;
use crate::health::Verdict;
use crate::outlier::{self, Reason};

/// An endpoint with its load and whatever else belongs to it.
#[derive(Debug)]
pub struct Slot<T> {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// How busy and how healthy it is.
    pub load: Rc<Load>,
    /// What the owner keeps for it.
    pub payload: T,
    /// Of its address.
    hash: u64,
}

impl<T> Slot<T> {
    fn weight(&self) -> u32 {
        self.endpoint.weight.max(1)
    }
}

/// What is known of a request when its endpoint is picked.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Now.
    pub now: Instant,
    /// Endpoints that are not to be picked (again).
    pub tried: &'a [SocketAddr],
    /// What the policy's [`mesh_model::traffic::HashKey`] gives for the request, by [`hash_of`]; `None` if it has no such key.
    pub hash: Option<u64>,
    /// The endpoint of the client's session.
    pub sticky: Option<SocketAddr>,
}

impl<'a> Ask<'a> {
    /// Without key or session.
    pub fn new(now: Instant, tried: &'a [SocketAddr]) -> Self {
        Self { now, tried, hash: None, sticky: None }
    }
}

/// Why no endpoint was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPick {
    /// There is none.
    #[error("there is no endpoint")]
    Empty,
    /// Each was tried.
    #[error("every endpoint has been tried")]
    AllTried,
    /// Each has as many requests under way as it may.
    #[error("every endpoint has as many requests under way as its policy allows")]
    AllAtBound,
}

/// How an endpoint stands, for dumps and commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It gets requests.
    Usable,
    /// A connect failed a moment ago.
    Avoided,
    /// Outlier detection leaves it alone.
    Ejected,
    /// Its probes fail.
    Unhealthy,
    /// It is terminating.
    Draining,
}

/// The endpoints of one port of a service, seen by one worker.
#[derive(Debug)]
pub struct Balancer<T> {
    /// Sorted by address.
    slots: Vec<Rc<Slot<T>>>,
    policy: Arc<BackendPolicy>,
    own_zone: String,
    /// Tells workers and proxies apart where they should not do the same.
    seed: u64,
    shared: Rc<Shared>,
    plan: Plan,
    tables: Tables,
    /// When success rates and latencies are looked at next.
    look: Option<Instant>,
}

impl<T: Clone> Balancer<T> {
    /// Without endpoints. `own_zone` may be empty: then zones do not count. `seed` is random.
    pub fn new(policy: &Arc<BackendPolicy>, own_zone: impl Into<String>, seed: u64) -> Self {
        let shared = Rc::new(Shared {
            total: Cell::new(0),
            changed: Cell::new(true),
            rules: Cell::new(policy.outlier.value),
            slow_start: Cell::new(policy.balancing.value.slow_start),
            ready: Cell::new(0),
            ejected: Cell::new(0),
            counts: RefCell::default(),
        });
        Self {
            slots: Vec::new(),
            policy: Arc::clone(policy),
            own_zone: own_zone.into(),
            seed,
            shared,
            plan: Plan::default(),
            tables: Tables::default(),
            look: None,
        }
    }

    /// Takes over a new set and policy. Endpoints with the same address and transport keep their load, health and payload; `make` gives
    /// the payload of a new one, which gets its share bit by bit unless the whole set is new.
    pub fn update(
        &mut self,
        endpoints: &[Endpoint],
        policy: &Arc<BackendPolicy>,
        now: Instant,
        mut make: impl FnMut(&Endpoint) -> T,
    ) {
        self.set_policy(policy);
        let first = self.slots.is_empty();
        let mut old: HashMap<(SocketAddr, Transport), Rc<Slot<T>>> = self
            .slots
            .drain(..)
            .map(|slot| ((slot.endpoint.address, slot.endpoint.transport.clone()), slot))
            .collect();
        for endpoint in endpoints {
            let slot = match old.remove(&(endpoint.address, endpoint.transport.clone())) {
                Some(slot) if slot.endpoint == *endpoint => slot,
                Some(slot) => Rc::new(Slot {
                    endpoint: endpoint.clone(),
                    load: Rc::clone(&slot.load),
                    payload: slot.payload.clone(),
                    hash: slot.hash,
                }),
                None => {
                    let load = Load::new(Rc::clone(&self.shared), now);
                    if !first {
                        load.warm_up(now);
                    }
                    let hash = hash_of_address(endpoint.address);
                    Rc::new(Slot {
                        endpoint: endpoint.clone(),
                        load: Rc::new(load),
                        payload: make(endpoint),
                        hash,
                    })
                }
            };
            self.slots.push(slot);
        }
        for slot in old.values() {
            slot.load.gone.set(true);
        }
        self.slots.sort_by_key(|slot| slot.endpoint.address);
        self.tables.clear();
        self.shared.changed.set(true);
    }

    /// Takes over a new policy for the same set.
    pub fn set_policy(&mut self, policy: &Arc<BackendPolicy>) {
        if Arc::ptr_eq(&self.policy, policy) {
            return;
        }
        if self.policy.balancing.value.algorithm != policy.balancing.value.algorithm {
            self.tables.clear();
        }
        self.shared.rules.set(policy.outlier.value);
        self.shared.slow_start.set(policy.balancing.value.slow_start);
        if policy.health_check.is_none() {
            self.slots.iter().for_each(|slot| slot.load.set_verdict(Verdict::Unknown));
        }
        self.policy = Arc::clone(policy);
        self.look = None;
        self.shared.changed.set(true);
    }

    /// This proxy is in that zone; empty: zones do not count.
    pub fn set_zone(&mut self, zone: &str) {
        if self.own_zone != zone {
            zone.clone_into(&mut self.own_zone);
            self.shared.changed.set(true);
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> &Arc<BackendPolicy> {
        &self.policy
    }

    /// Picks an endpoint that is not among `tried` and not at its bound. `random(n)` is uniform below `n`.
    ///
    /// The session's endpoint wins while it takes requests. Else a usable one is picked, or in panic (see [`Balancing`]) any that is
    /// not draining. When all of those were tried already, one that is avoided is next, then one that is ejected or fails probes, then
    /// one that is draining.
    pub fn pick(
        &mut self,
        ask: &Ask<'_>,
        mut random: impl FnMut(usize) -> usize,
    ) -> Result<Rc<Slot<T>>, NoPick> {
        self.tick(ask.now);
        if let Some(slot) = self.of_session(ask) {
            return Ok(slot);
        }
        let random: Random<'_> = &mut random;
        let at = match self.plan.parts.len() {
            1 => 0,
            _ => self.plan.part(self.part_draw(ask, random)).unwrap_or_default(),
        };
        match self.choose(at, ask, random) {
            Some(index) => {
                if self.plan.notable {
                    self.count_part(at);
                }
                self.slots.get(index as usize).cloned().ok_or(NoPick::Empty)
            }
            None => self.last_resort(ask, random),
        }
    }

    /// By key where the algorithm is, so that a key stays in its priority.
    fn part_draw(&self, ask: &Ask<'_>, random: Random<'_>) -> u32 {
        let draw = match (ask.hash, self.algorithm()) {
            (Some(hash), Algorithm::RingHash { .. } | Algorithm::Maglev { .. }) => {
                usize::try_from(crate::hash::mix(hash) >> 40).unwrap_or_default()
            }
            _ => random(SCALE as usize),
        };
        u32::try_from(draw).unwrap_or_default()
    }

    fn count_part(&self, at: usize) {
        if let Some(part) = self.plan.parts.get(at) {
            self.shared.count(|counts| {
                counts.panicked += u64::from(part.health == Health::Panic);
                counts.other_zone += u64::from(part.reach == Reach::Other);
                counts.lower_priority += u64::from(part.priority > self.plan.first);
            });
        }
    }

    fn of_session(&self, ask: &Ask<'_>) -> Option<Rc<Slot<T>>> {
        let address = ask.sticky?;
        let at = self.slots.binary_search_by_key(&address, |slot| slot.endpoint.address).ok()?;
        let slot = self.slots.get(at)?;
        (slot.load.in_pool.get() && self.fits(slot, ask)).then(|| Rc::clone(slot))
    }

    fn fits(&self, slot: &Slot<T>, ask: &Ask<'_>) -> bool {
        (ask.tried.is_empty() || !ask.tried.contains(&slot.endpoint.address)) && !self.is_at_bound(slot)
    }

    fn is_at_bound(&self, slot: &Slot<T>) -> bool {
        self.balancing().max_requests_per_endpoint.is_some_and(|most| slot.load.outstanding() >= most)
    }

    /// Reads the whole list: the best rank of those that were not tried, of that the better of two random ones.
    fn last_resort(&self, ask: &Ask<'_>, random: Random<'_>) -> Result<Rc<Slot<T>>, NoPick> {
        let mut best: Option<(u32, u32)> = None;
        let (mut seen, mut chosen) = (0, [None, None]);
        let mut bound = None;
        for slot in self.slots.iter().filter(|slot| !ask.tried.contains(&slot.endpoint.address)) {
            let rank = (rank(slot), slot.endpoint.priority);
            if self.is_at_bound(slot) {
                bound = bound.min(Some(rank.0)).or(Some(rank.0));
                continue;
            }
            if best.is_none_or(|best| rank < best) {
                (best, seen, chosen) = (Some(rank), 0, [None, None]);
            }
            if best == Some(rank) {
                seen += 1;
                for choice in &mut chosen {
                    if random(seen) == 0 {
                        *choice = Some(slot);
                    }
                }
            }
        }
        let at_bound = |counted: &Shared| {
            counted.count(|counts| counts.at_bound += 1);
            Err(NoPick::AllAtBound)
        };
        match (best, bound, chosen) {
            // Those that could answer are busy; the rest would only fail.
            (Some((best, _)), Some(bound), _) if bound < best => at_bound(&self.shared),
            (Some((rank, _)), _, [Some(one), Some(two)]) => {
                let picked = if two.load.is_better(&one.load, ask.now) { two } else { one };
                self.shared.count(|counts| {
                    counts.last_resort += u64::from(rank > 0);
                    // A priority in panic gives all it has, also to those whose first draws did not fit.
                    counts.panicked += u64::from(rank == 0 && !picked.load.is_usable(ask.now));
                });
                Ok(Rc::clone(picked))
            }
            (_, Some(_), _) => at_bound(&self.shared),
            _ if self.slots.is_empty() => Err(NoPick::Empty),
            _ => Err(NoPick::AllTried),
        }
    }

    /// Does what time asks for: endpoints come back, success rates and latencies are looked at, the plan is made anew if anything
    /// changed. Each pick does it too.
    pub fn tick(&mut self, now: Instant) {
        if self.look.is_none_or(|at| now >= at) {
            self.look_at_others(now);
        }
        if self.shared.changed.get() || self.plan.until.is_some_and(|until| now >= until) {
            self.replan(now);
        }
    }

    fn look_at_others(&mut self, now: Instant) {
        let rules = self.policy.outlier.value;
        let first = self.look.is_none();
        self.look = Some(now + rules.interval.max(std::time::Duration::from_millis(10)));
        if rules.success_rate.is_none() && rules.latency.is_none() || first {
            return;
        }
        let samples: Vec<_> = self
            .slots
            .iter()
            .zip(0usize..)
            .filter(|(slot, _)| slot.endpoint.state == EndpointState::Ready && !slot.load.is_ejected())
            .map(|(slot, at)| (at, slot.load.take_sample()))
            .collect();
        let eject = |found: Vec<usize>, reason| {
            for slot in found.iter().filter_map(|at| self.slots.get(*at)) {
                slot.load.eject(reason, now);
            }
        };
        if let Some(rule) = &rules.success_rate {
            eject(outlier::low_rates(&samples, rule), Reason::SuccessRate);
        }
        if let Some(rule) = rules.latency {
            eject(outlier::slow(&samples, rule), Reason::Latency);
        }
    }

    /// Who was not usable and is now warms up; then the plan is made.
    fn replan(&mut self, now: Instant) {
        self.shared.changed.set(false);
        let (mut ready, mut ejected) = (0, 0);
        for slot in &self.slots {
            let load = &slot.load;
            load.come_back(now);
            ready += u32::from(slot.endpoint.state == EndpointState::Ready);
            ejected += u32::from(load.is_ejected());
            let usable = load.is_usable(now);
            if usable && !load.was_usable.replace(usable) {
                load.warm_up(now);
            }
            load.was_usable.set(usable);
        }
        self.shared.ready.set(ready);
        self.shared.ejected.set(ejected);
        self.plan = plan(&self.slots, self.balancing(), &self.own_zone, now);
        if *self.algorithm() == Algorithm::RoundRobin {
            for part in &mut self.plan.parts {
                part.group.take_turns(&self.slots, self.seed, now);
            }
        }
    }

    /// All endpoints, sorted by address, for dumps, probes and sweeps.
    pub fn slots(&self) -> &[Rc<Slot<T>>] {
        &self.slots
    }

    /// How an endpoint stands.
    pub fn standing(&self, slot: &Slot<T>, now: Instant) -> Standing {
        match slot.endpoint.state {
            EndpointState::Draining => Standing::Draining,
            EndpointState::Ready if slot.load.is_ejected() => Standing::Ejected,
            EndpointState::Ready if slot.load.verdict() == Verdict::Unhealthy => Standing::Unhealthy,
            EndpointState::Ready if slot.load.is_avoided(now) => Standing::Avoided,
            EndpointState::Ready => Standing::Usable,
        }
    }

    /// What was decided so far.
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Requests under way.
    pub fn outstanding(&self) -> u32 {
        self.shared.total.get()
    }

    fn balancing(&self) -> &Balancing {
        &self.policy.balancing.value
    }

    fn algorithm(&self) -> &Algorithm {
        &self.balancing().algorithm
    }
}

fn hash_of_address(address: SocketAddr) -> u64 {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => hash_of([&ip.octets()[..], &port]),
        IpAddr::V6(ip) => hash_of([&ip.octets()[..], &port]),
    }
}

/// 0 is best.
fn rank<T>(slot: &Slot<T>) -> u32 {
    match slot.endpoint.state {
        EndpointState::Draining => 3,
        EndpointState::Ready if slot.load.in_pool.get() => 0,
        EndpointState::Ready if !slot.load.is_ejected() && slot.load.verdict() != Verdict::Unhealthy => 1,
        EndpointState::Ready => 2,
    }
}
