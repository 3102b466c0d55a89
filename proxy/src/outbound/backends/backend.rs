//! One port of a service as one worker sees it. What it has learned survives every change of endpoints and policy. It must not know
//! how a request is sent.

use std::cell::{Cell, Ref, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mesh_model::endpoint::{Endpoint, Endpoints};
use mesh_model::name::ServiceName;
use mesh_model::traffic::HealthCheck;
use mesh_model::traffic::effective::BackendPolicy;
use mesh_traffic::balance::{Ask, Balancer, Counts, NoPick, Slot, Standing};
use mesh_traffic::breaker::{Breaker, Counted, Open};
use mesh_traffic::health::Verdict;
use mesh_traffic::retry::budget::Budget;

use crate::http::{Bounds, Exceeded, Held, Upstream};
use crate::state::Snapshot;
use crate::telemetry::Reason;

/// An endpoint with its connections.
pub(in crate::outbound) type Picked = Rc<Slot<Rc<Upstream>>>;

/// Sweeps without a request after which probes end: a minute.
const QUIET: u32 = 12;

/// One port of a service.
#[derive(Debug)]
pub(in crate::outbound) struct Backend {
    service: ServiceName,
    port: u16,
    balancer: RefCell<Balancer<Rc<Upstream>>>,
    breaker: Breaker,
    budget: RefCell<Budget>,
    /// The snapshot that it was last brought in line with. Weak: an old one is not kept, and its address is not another's meanwhile.
    seen: RefCell<Weak<Snapshot>>,
    endpoints: RefCell<Option<Arc<Endpoints>>>,
    /// What the sweep has reported already.
    reported: Cell<Counts>,
    /// Sweeps since the last request.
    quiet: Cell<u32>,
    checked: Cell<Checked>,
}

/// Whether its endpoints are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checked {
    /// The policy does not ask for it.
    No,
    /// It does, and no task runs.
    Wanted,
    /// A task runs.
    Running,
}

impl Backend {
    /// Without endpoints, and with the default policy.
    pub(super) fn new(service: &ServiceName, port: u16, seed: u64) -> Rc<Self> {
        let policy = Arc::<BackendPolicy>::default();
        Rc::new(Self {
            service: service.clone(),
            port,
            breaker: Breaker::new(policy.circuit_breaker.value),
            budget: RefCell::new(Budget::new(policy.retry_budget.value, Instant::now())),
            balancer: RefCell::new(Balancer::new(&policy, "", seed)),
            seen: RefCell::default(),
            endpoints: RefCell::default(),
            reported: Cell::default(),
            quiet: Cell::new(0),
            checked: Cell::new(Checked::No),
        })
    }

    /// Whether nothing changed since it followed that snapshot.
    pub(super) fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        std::ptr::eq(self.seen.borrow().as_ptr(), Arc::as_ptr(snapshot))
    }

    /// Takes over what is new in the snapshot.
    pub(super) fn follow(
        &self,
        snapshot: &Arc<Snapshot>,
        zone: &str,
        make: impl FnMut(&Endpoint) -> Rc<Upstream>,
    ) {
        *self.seen.borrow_mut() = Arc::downgrade(snapshot);
        let policy = snapshot.backend_policy(&self.service, self.port);
        let mut balancer = self.balancer.borrow_mut();
        if !Arc::ptr_eq(balancer.policy(), &policy) {
            self.breaker.set_policy(policy.circuit_breaker.value);
            self.budget.borrow_mut().set_policy(policy.retry_budget.value);
            self.checked.set(match (&policy.health_check, self.checked.get()) {
                (Some(_), Checked::Running) => Checked::Running,
                (Some(_), _) => Checked::Wanted,
                // A task that runs sees it and ends.
                (None, _) => Checked::No,
            });
        }
        balancer.set_zone(zone);
        let Some(endpoints) = snapshot.endpoints(&self.service) else { return };
        let mut held = self.endpoints.borrow_mut();
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, endpoints)) {
            balancer.set_policy(&policy);
        } else {
            balancer.update(endpoints.port(self.port), &policy, Instant::now(), make);
            *held = Some(Arc::clone(endpoints));
        }
    }

    /// Picks an endpoint. Begin the request at once ([`mesh_traffic::balance::Load::begin`]): until then it counts for no bound.
    pub(in crate::outbound) fn pick(
        &self,
        ask: &Ask<'_>,
        random: impl FnMut(usize) -> usize,
    ) -> Result<Picked, NoPick> {
        self.quiet.set(0);
        self.balancer.borrow_mut().pick(ask, random)
    }

    /// The settings in force.
    pub(in crate::outbound) fn policy(&self) -> Arc<BackendPolicy> {
        Arc::clone(self.balancer.borrow().policy())
    }

    /// Bounds on what is under way.
    pub(in crate::outbound) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// The share of retries.
    pub(in crate::outbound) fn budget(&self) -> &RefCell<Budget> {
        &self.budget
    }

    /// The service.
    pub(in crate::outbound) fn service(&self) -> &ServiceName {
        &self.service
    }

    /// All endpoints. Not to be held across an await.
    pub(in crate::outbound) fn slots(&self) -> Ref<'_, [Picked]> {
        Ref::map(self.balancer.borrow(), Balancer::slots)
    }

    /// The address of the endpoint that is meant, if it is still there: for a session that names it by a mark.
    pub(in crate::outbound) fn find(
        &self,
        mut is_meant: impl FnMut(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        self.slots().iter().map(|slot| slot.endpoint.address).find(|address| is_meant(*address))
    }

    /// Whether a task that probes is to be started.
    pub(super) fn wants_probes(&self) -> bool {
        self.checked.get() == Checked::Wanted
    }

    /// A task that probes runs now.
    pub(in crate::outbound) fn probing(&self) {
        self.checked.set(Checked::Running);
    }

    /// The probes in force, while the backend is in use. `None`: the task has to end; what its probes said is forgotten, as nobody would
    /// take it back.
    pub(in crate::outbound) fn probes(&self) -> Option<HealthCheck> {
        let policy = self.policy();
        if let (Some(check), true) = (&policy.health_check, self.quiet.get() < QUIET) {
            return Some(check.value.clone());
        }
        self.checked.set(if policy.health_check.is_some() { Checked::Wanted } else { Checked::No });
        for slot in self.slots().iter() {
            slot.load.set_verdict(Verdict::Unknown);
        }
        None
    }

    /// Says how each endpoint stands that is not just usable.
    pub(super) fn standings(&self, now: Instant, mut say: impl FnMut(SocketAddr, Standing)) {
        let balancer = self.balancer.borrow();
        for slot in balancer.slots() {
            match balancer.standing(slot, now) {
                Standing::Usable => {}
                other => say(slot.endpoint.address, other),
            }
        }
    }

    /// What was decided since the last call. Time passes here for a backend that is not asked.
    pub(super) fn sweep(&self, now: Instant) -> Counts {
        let mut balancer = self.balancer.borrow_mut();
        balancer.tick(now);
        let quiet = if balancer.outstanding() > 0 { 0 } else { self.quiet.get().saturating_add(1) };
        self.quiet.set(quiet);
        let counts = balancer.counts();
        let before = self.reported.replace(counts);
        counts.since(&before)
    }
}

/// The bounds of the circuit breaker, and the policy's own limit for connects.
impl Bounds for Backend {
    /// Connections that wait for a request make way: else those to one endpoint would keep requests from all others.
    fn connection(&self) -> Result<Held, Exceeded> {
        let mut full = match self.breaker.take(Counted::Connections) {
            Ok(token) => return Ok(Held::new(token)),
            Err(full) => full,
        };
        for slot in self.slots().iter() {
            while slot.payload.close_one_idle() {
                match self.breaker.take(Counted::Connections) {
                    Ok(token) => return Ok(Held::new(token)),
                    Err(still) => full = still,
                }
            }
        }
        Err(exceeded(full))
    }

    fn pending(&self) -> Result<Held, Exceeded> {
        self.breaker.take(Counted::Pending).map(Held::new).map_err(exceeded)
    }

    fn stream(&self, open: usize) -> Result<(), Exceeded> {
        self.breaker.stream(open).map_err(exceeded)
    }

    fn connect_timeout(&self) -> Option<Duration> {
        self.policy().connect_timeout.as_ref().map(|limit| limit.value)
    }
}

fn exceeded(open: Open) -> Exceeded {
    Exceeded { words: open.to_string().into(), reason: bound(open.counted) }
}

/// Which bound of a circuit breaker it is.
pub(in crate::outbound) fn bound(counted: Counted) -> Reason {
    match counted {
        Counted::Connections => Reason::MaxConnections,
        Counted::Pending => Reason::MaxPending,
        Counted::Requests => Reason::MaxRequests,
        Counted::Retries => Reason::RetryBudget,
        Counted::Streams => Reason::MaxStreams,
    }
}
