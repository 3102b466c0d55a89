//! Facts about balancing.

mod health;
mod keys;
mod outliers;
mod properties;
mod shares;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_model::endpoint::{Endpoint, EndpointState, Transport};
use mesh_model::traffic::effective::BackendPolicy;
use mesh_model::traffic::{Algorithm, Balancing};

use super::{Ask, Balancer, NoPick};

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        address: address(port),
        transport: Transport::Plain,
        workload: None,
        zone: String::new(),
        state: EndpointState::Ready,
        weight: 1,
        priority: 0,
    }
}

fn ready(ports: std::ops::RangeInclusive<u16>) -> Vec<Endpoint> {
    ports.map(endpoint).collect()
}

fn draining(port: u16) -> Endpoint {
    Endpoint { state: EndpointState::Draining, ..endpoint(port) }
}

/// The default policy after an edit.
fn policy(edit: impl FnOnce(&mut BackendPolicy)) -> Arc<BackendPolicy> {
    let mut policy = BackendPolicy::default();
    edit(&mut policy);
    Arc::new(policy)
}

fn balancing(edit: impl FnOnce(&mut Balancing)) -> Arc<BackendPolicy> {
    policy(|policy| edit(&mut policy.balancing.value))
}

fn by(algorithm: Algorithm) -> Arc<BackendPolicy> {
    balancing(|balancing| balancing.algorithm = algorithm)
}

fn least_request() -> Algorithm {
    Algorithm::LeastRequest { choices: 2 }
}

/// A balancer with randomness of its own.
struct Bench {
    balancer: Balancer<()>,
    random: fastrand::Rng,
    now: Instant,
}

impl Bench {
    fn new(endpoints: &[Endpoint], policy: &Arc<BackendPolicy>) -> Self {
        Self::in_zone("", endpoints, policy)
    }

    fn in_zone(zone: &str, endpoints: &[Endpoint], policy: &Arc<BackendPolicy>) -> Self {
        let now = Instant::now();
        let mut balancer = Balancer::new(policy, zone, 1);
        balancer.update(endpoints, policy, now, |_| ());
        Self { balancer, random: fastrand::Rng::with_seed(7), now }
    }

    fn update(&mut self, endpoints: &[Endpoint]) {
        let policy = Arc::clone(self.balancer.policy());
        self.balancer.update(endpoints, &policy, self.now, |_| ());
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn ask(&mut self, edit: impl FnOnce(&mut Ask<'_>)) -> Result<u16, NoPick> {
        let mut ask = Ask::new(self.now, &[]);
        edit(&mut ask);
        let random = &mut self.random;
        self.balancer.pick(&ask, |n| random.usize(..n)).map(|slot| slot.endpoint.address.port())
    }

    fn pick(&mut self) -> u16 {
        self.ask(|_| {}).unwrap()
    }

    fn without(&mut self, tried: &[u16]) -> Result<u16, NoPick> {
        let tried: Vec<_> = tried.iter().map(|port| address(*port)).collect();
        let ask = Ask::new(self.now, &tried);
        let random = &mut self.random;
        self.balancer.pick(&ask, |n| random.usize(..n)).map(|slot| slot.endpoint.address.port())
    }

    /// The share of each endpoint in so many picks.
    fn shares(&mut self, picks: u32) -> HashMap<u16, f64> {
        let mut shares = HashMap::new();
        for _ in 0..picks {
            *shares.entry(self.pick()).or_default() += 1.0 / f64::from(picks);
        }
        shares
    }

    fn load(&self, port: u16) -> std::rc::Rc<super::Load> {
        let slot = self.balancer.slots().iter().find(|slot| slot.endpoint.address.port() == port);
        std::rc::Rc::clone(&slot.unwrap().load)
    }
}

fn about(got: f64, want: f64, off: f64) {
    assert!((got - want).abs() <= off, "{got} is not about {want}");
}

#[test]
fn a_slow_endpoint_gets_less_and_recovers_with_time() {
    let mut bench = Bench::new(&ready(1..=2), &policy(|_| {}));
    bench.load(1).begin(bench.now).answered(bench.now + Duration::from_millis(100));
    bench.load(2).begin(bench.now).answered(bench.now + Duration::from_millis(1));
    bench.now += Duration::from_millis(200);
    assert!((0..100).all(|_| bench.pick() == 2));
    bench.pass(120);
    bench.load(2).begin(bench.now).answered(bench.now + Duration::from_millis(1));
    assert!((0..100).any(|_| bench.pick() == 1));
}

#[test]
fn outstanding_requests_count() {
    for algorithm in [Algorithm::PeakEwma, least_request()] {
        let mut bench = Bench::new(&ready(1..=2), &by(algorithm));
        let held: Vec<_> = (0..3).map(|_| bench.load(1).begin(bench.now)).collect();
        assert!((0..20).all(|_| bench.pick() == 2));
        drop(held);
        assert_eq!(bench.load(1).outstanding(), 0);
        assert_eq!(bench.balancer.outstanding(), 0);
    }
}

#[test]
fn least_request_looks_at_as_many_as_it_is_told() {
    for choices in [2, 10] {
        let mut bench = Bench::new(&ready(1..=10), &by(Algorithm::LeastRequest { choices }));
        let held: Vec<_> = (1..=9).map(|port| bench.load(port).begin(bench.now)).collect();
        let share = bench.shares(10_000)[&10];
        about(share, if choices == 10 { 1.0 } else { 0.19 }, 0.02);
        drop(held);
    }
}

#[test]
fn an_endpoint_at_its_bound_gets_no_more() {
    for algorithm in [Algorithm::PeakEwma, least_request(), Algorithm::RoundRobin, Algorithm::Random] {
        let bounded = balancing(|balancing| {
            balancing.algorithm = algorithm;
            balancing.max_requests_per_endpoint = Some(2);
        });
        let mut bench = Bench::new(&ready(1..=3), &bounded);
        let mut held = Vec::new();
        for _ in 0..6 {
            let port = bench.pick();
            held.push(bench.load(port).begin(bench.now));
            assert!(bench.load(port).outstanding() <= 2);
        }
        assert_eq!(bench.ask(|_| {}), Err(NoPick::AllAtBound));
        assert_eq!(bench.balancer.counts().at_bound, 1);
        held.pop();
        assert!(bench.ask(|_| {}).is_ok());
    }
}

#[test]
fn no_ejected_endpoint_takes_what_the_usable_ones_are_too_busy_for() {
    let bounded = balancing(|balancing| balancing.max_requests_per_endpoint = Some(1));
    let mut bench = Bench::new(&ready(1..=2), &bounded);
    bench.pick();
    for _ in 0..5 {
        bench.load(1).record(super::outlier::Outcome::Error, Duration::ZERO, bench.now);
    }
    let held = bench.load(2).begin(bench.now);
    assert_eq!(bench.ask(|_| {}), Err(NoPick::AllAtBound));
    drop(held);
    assert_eq!(bench.pick(), 2);
}

#[test]
fn without_endpoints_there_is_nothing_to_pick() {
    let mut bench = Bench::new(&[], &policy(|_| {}));
    assert_eq!(bench.ask(|_| {}), Err(NoPick::Empty));
    let mut bench = Bench::new(&ready(1..=2), &policy(|_| {}));
    assert_eq!(bench.without(&[1]), Ok(2));
    assert_eq!(bench.without(&[1, 2]), Err(NoPick::AllTried));
}

#[test]
fn a_session_stays_at_its_endpoint_while_that_takes_requests() {
    for algorithm in [Algorithm::PeakEwma, Algorithm::RoundRobin] {
        let mut bench = Bench::new(&ready(1..=5), &by(algorithm));
        let sticky = |ask: &mut Ask<'_>| ask.sticky = Some(address(3));
        assert!((0..50).all(|_| bench.ask(sticky) == Ok(3)));
        bench.load(3).connect_failed(bench.now);
        assert!((0..50).all(|_| bench.ask(sticky) != Ok(3)));
        let elsewhere = |ask: &mut Ask<'_>| ask.sticky = Some(address(99));
        assert!(bench.ask(elsewhere).is_ok());
    }
}

#[test]
fn a_session_does_not_overrule_the_bound_on_an_endpoint() {
    let mut bench = Bench::new(&ready(1..=2), &balancing(|b| b.max_requests_per_endpoint = Some(1)));
    let _held = bench.load(1).begin(bench.now);
    assert_eq!(bench.ask(|ask| ask.sticky = Some(address(1))), Ok(2));
}

#[test]
fn state_of_surviving_endpoints_is_kept_through_sets_and_policies() {
    let mut bench = Bench::new(&ready(1..=2), &policy(|_| {}));
    let held = bench.load(1).begin(bench.now);
    bench.update(&[draining(1), endpoint(3)]);
    assert_eq!(bench.load(1).outstanding(), 1);
    assert_eq!(bench.pick(), 3);
    for algorithm in [Algorithm::RoundRobin, least_request(), Algorithm::Random] {
        bench.balancer.set_policy(&by(algorithm));
        assert_eq!(bench.pick(), 3);
        assert_eq!(bench.load(1).outstanding(), 1);
    }
    drop(held);
    assert_eq!(bench.load(1).outstanding(), 0);
}

#[test]
fn an_endpoint_with_another_identity_is_another_endpoint() {
    let mut bench = Bench::new(&ready(1..=1), &policy(|_| {}));
    let _held = bench.load(1).begin(bench.now);
    let id = mesh_model::spiffe::SpiffeId::parse("spiffe://test.mesh/ns/shop/sa/cart").unwrap();
    bench.update(&[Endpoint { transport: Transport::Mesh(id), ..endpoint(1) }]);
    assert_eq!(bench.load(1).outstanding(), 0);
}
