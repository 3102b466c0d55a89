//! Made-up histories of versions that are good and bad, and what becomes of them. The machine that is run is the one that runs releases;
//! only the figures are made up, by chance that begins with a seed. It must not know what an answer is for.

#[cfg(test)]
mod tests;
mod traffic;

use crate::machine::{Input, Routing, advance};
use crate::observation::{Observation, Side};
use crate::plan::{ALL, Exposure, Plan};
use crate::state::{Phase, State};

pub use self::traffic::Service;

/// Checks after which a run is given up.
const MOST_CHECKS: u64 = 300;
/// When a run begins: a Monday at ten in the morning, in whose hours most windows are open.
const BEGIN: u64 = 1_795_996_800 + 36_000;

/// What kind of version is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// As good as the stable one.
    Equal,
    /// As good, while something that both call fails now and then.
    SharedOutage,
    /// As good, while reports are missing now and then.
    MissingReports,
    /// 2 % of its requests fail.
    Errors,
    /// Its p99 is twice as long.
    DoubledP99,
    /// It ends again and again, and fails what it was asked meanwhile.
    Crashes,
    /// It is well with few requests and fails 5 % of them from a quarter of the traffic on.
    FailsUnderLoad,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Equal,
        Self::SharedOutage,
        Self::MissingReports,
        Self::Errors,
        Self::DoubledP99,
        Self::Crashes,
        Self::FailsUnderLoad,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::SharedOutage => "shared-outage",
            Self::MissingReports => "missing-reports",
            Self::Errors => "errors-2-percent",
            Self::DoubledP99 => "doubled-p99",
            Self::Crashes => "crashes",
            Self::FailsUnderLoad => "fails-under-load",
        }
    }

    /// Whether it should be taken back.
    pub fn is_bad(self) -> bool {
        match self {
            Self::Equal | Self::SharedOutage | Self::MissingReports => false,
            Self::Errors | Self::DoubledP99 | Self::Crashes | Self::FailsUnderLoad => true,
        }
    }
}

/// How one run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The last state.
    pub state: State,
    /// Checks until then.
    pub checks: u64,
    /// Requests that the new version failed beyond those that the stable one would have failed.
    pub harmed: u64,
    /// Every exposure in order, without repetitions: what users saw.
    pub exposures: Vec<Routing>,
}

/// Many runs of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which one.
    pub scenario: Scenario,
    /// How many.
    pub runs: u32,
    /// How many were promoted.
    pub promoted: u32,
    /// How many were taken back.
    pub rolled_back: u32,
    /// Checks until the end: half of the runs had at most so many.
    pub checks_median: u64,
    /// 95 % of the runs had at most so many.
    pub checks_p95: u64,
    /// Failed requests beyond the stable version's: half of the runs had at most so many.
    pub harmed_median: u64,
}

/// Many runs of all scenarios.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// One a scenario.
    pub rows: Vec<Row>,
}

impl Summary {
    /// Good versions that were taken back.
    pub fn false_rollbacks(&self) -> u32 {
        self.rows.iter().filter(|row| !row.scenario.is_bad()).map(|row| row.rolled_back).sum()
    }

    /// Bad versions that were promoted.
    pub fn false_promotions(&self) -> u32 {
        self.rows.iter().filter(|row| row.scenario.is_bad()).map(|row| row.promoted).sum()
    }

    /// Bad versions that were taken back.
    pub fn detected(&self) -> u32 {
        self.rows.iter().filter(|row| row.scenario.is_bad()).map(|row| row.rolled_back).sum()
    }
}

/// Runs every scenario `runs` times.
pub fn simulate(plan: &Plan, service: &Service, scenarios: &[Scenario], runs: u32, seed: u64) -> Summary {
    let rows = scenarios.iter().map(|scenario| row(plan, service, *scenario, runs, seed)).collect();
    Summary { rows }
}

fn row(plan: &Plan, service: &Service, scenario: Scenario, runs: u32, seed: u64) -> Row {
    let results: Vec<Run> = (0..runs)
        .map(|at| run(plan, service, scenario, seed.wrapping_add(u64::from(at)), |state| state))
        .collect();
    let ended = |phase| results.iter().filter(|run| run.state.phase == phase).count() as u32;
    let quantile = |of: fn(&Run) -> u64, share: f64| {
        let mut values: Vec<u64> = results.iter().map(of).collect();
        values.sort_unstable();
        let at = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
        values.get(at).copied().unwrap_or(0)
    };
    Row {
        scenario,
        runs,
        promoted: ended(Phase::Promoted),
        rolled_back: ended(Phase::RolledBack),
        checks_median: quantile(|run| run.checks, 0.5),
        checks_p95: quantile(|run| run.checks, 0.95),
        harmed_median: quantile(|run| run.harmed, 0.5),
    }
}

/// One run. Between any two decisions `keep` gets the state and gives back what a process would find that goes on from it.
pub fn run(
    plan: &Plan,
    service: &Service,
    scenario: Scenario,
    seed: u64,
    keep: impl Fn(State) -> State,
) -> Run {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut traffic = traffic::Traffic::new(service, scenario, &mut chance);
    let mut result = Run { state: State::default(), checks: 0, harmed: 0, exposures: vec![Routing::Stable] };
    let mut routing = Routing::Stable;
    for check in 0..MOST_CHECKS {
        let now = BEGIN + check * plan.analysis.interval;
        let observed = traffic.interval(share(routing), &mut chance);
        if let (Some(figures), true) = (&observed.canary.figures, scenario.is_bad()) {
            let usual = figures.requests as f64 * service.failures;
            result.harmed += figures.failures.saturating_sub(usual as u64);
        }
        let input =
            Input { version: "v2", sides: 1, observed: &observed, orders: &[], answers: &[], own_weights: 1 };
        let next = advance(plan, &result.state, &input, now);
        result.state = keep(next.state);
        result.checks = check;
        if next.routing != routing {
            routing = next.routing;
            result.exposures.push(routing);
        }
        if result.state.phase.is_over() {
            break;
        }
    }
    result
}

/// The new version's share of requests, and whether the stable one loses them.
fn share(routing: Routing) -> (f64, f64) {
    let ppm = |share: u32| f64::from(share) / f64::from(ALL);
    match routing {
        Routing::Untouched | Routing::Stable => (0.0, 1.0),
        Routing::Canary => (1.0, 0.0),
        Routing::Expose(Exposure::Weight(weight)) => (ppm(weight), 1.0 - ppm(weight)),
        Routing::Expose(Exposure::Shadow(copied)) => (ppm(copied), 1.0),
        // A cohort of a tenth of the users.
        Routing::Expose(Exposure::Cohort) => (0.1, 0.9),
    }
}

/// Two sides with these figures.
fn observation(stable: Side, canary: Side) -> Observation {
    Observation { stable, canary }
}
