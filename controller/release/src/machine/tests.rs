//! What the machine does with histories written by hand, and what it never does whatever the history.

mod asked;

use proptest::prelude::*;

use super::*;
use crate::observation::{Figures, Latency, Side};
use crate::plan::{Analysis, Bad, Comparison, Hook, Step, Threshold};
use crate::window::Window;

const INTERVAL: u64 = 60;

fn plan(weights: &[u32]) -> Plan {
    let step =
        |percent: &u32| Step { exposure: Exposure::Weight(percent * 10_000), hold: 60, gate: Gate::Open };
    Plan {
        steps: weights.iter().map(step).collect(),
        analysis: Analysis {
            interval: INTERVAL,
            min_requests: 200,
            failed_checks: 2,
            comparisons: vec![Comparison::Failures { margin: 2_000 }],
            ..Analysis::default()
        },
        ..Plan::default()
    }
}

fn side(ready: u32, requests: u64, failures: u64) -> Side {
    let latency = Latency([(100, requests)].into());
    Side { ready, figures: Some(Figures { requests, failures, latency, ..Figures::default() }) }
}

fn good() -> Observation {
    Observation { stable: side(2, 2_000, 4), canary: side(1, 300, 0) }
}

/// A release and its clock.
struct Release {
    plan: Plan,
    state: State,
    now: u64,
    own: u64,
    sides: u64,
    answers: Vec<(usize, Answer)>,
}

impl Release {
    fn new(plan: Plan) -> Self {
        assert_eq!(plan.check(), Ok(()));
        // Monday, ten o'clock.
        Self {
            plan,
            state: State::default(),
            now: 1_795_996_800 + 36_000,
            own: 1,
            sides: 1,
            answers: Vec::new(),
        }
    }

    fn order(&mut self, orders: &[Order], observed: &Observation) -> Advance {
        let input = Input {
            version: if self.state.version.is_empty() { "v2" } else { &self.state.version.clone() },
            sides: self.sides,
            observed,
            orders,
            answers: &self.answers.clone(),
            own_weights: self.own,
        };
        let next = advance(&self.plan, &self.state, &input, self.now);
        self.state = next.state.clone();
        next
    }

    fn check(&mut self, observed: &Observation) -> Advance {
        self.now += INTERVAL;
        self.order(&[], observed)
    }

    fn reasons(&mut self, observed: &Observation) -> Vec<Reason> {
        self.check(observed).events.into_iter().map(|event| event.reason).collect()
    }
}

fn weight(percent: u32) -> Routing {
    Routing::Expose(Exposure::Weight(percent * 10_000))
}

#[test]
fn a_good_version_goes_through_every_step_to_the_end() {
    let mut release = Release::new(plan(&[10, 50]));
    assert_eq!(release.check(&good()).routing, weight(10));
    assert_eq!(release.check(&good()).routing, weight(50));
    let last = release.check(&good());
    assert_eq!((last.routing, last.state.phase), (Routing::Canary, Phase::Promoted));
    assert_eq!(last.events[0].message, "after 50 % all requests go to version v2: it passed");
    assert_eq!(release.check(&good()).events, [], "it is over");
    assert_eq!(release.state.past.len(), 1);
}

#[test]
fn a_bad_version_goes_back_at_once_with_the_reason() {
    let mut release = Release::new(plan(&[10, 50]));
    release.check(&good());
    let bad = Observation { canary: side(1, 300, 60), ..good() };
    let back = release.check(&bad);
    assert_eq!((back.routing, back.state.phase), (Routing::Stable, Phase::RolledBack));
    let why = back.state.why.unwrap();
    assert_eq!(why.reason, Reason::EvidenceAgainst);
    assert!(why.message.contains("60 of 300 requests"), "{}", why.message);
    assert_eq!(release.check(&good()).routing, Routing::Stable, "it does not come back by itself");
}

#[test]
fn a_version_that_is_a_little_too_bad_goes_back_after_the_checks_that_may_fail() {
    let mut release = Release::new(plan(&[10, 50]));
    release.check(&good());
    let poor = Observation { stable: side(2, 2_000, 18), canary: side(1, 300, 7) };
    assert_eq!(release.reasons(&poor), [Reason::CheckFailed]);
    assert_eq!(release.reasons(&poor), [Reason::CheckFailed]);
    assert_eq!(release.reasons(&poor), [Reason::TooManyFailedChecks]);
    assert_eq!(release.state.phase, Phase::RolledBack);
}

#[test]
fn nothing_goes_to_a_version_without_ready_endpoints() {
    let mut release = Release::new(plan(&[10, 50]));
    let down = Observation { canary: side(0, 0, 0), ..good() };
    assert_eq!(release.check(&down).routing, Routing::Stable);
    assert_eq!(release.state.phase, Phase::Waiting);
    release.check(&good());
    let next = release.order(&[], &down);
    assert_eq!((next.routing, next.state.phase), (Routing::Stable, Phase::Progressing), "between checks too");
    assert_eq!(release.reasons(&down), [Reason::NoReadyEndpoints]);
    assert_eq!(release.reasons(&down), [Reason::NoReadyEndpoints]);
    assert_eq!(release.check(&down).state.phase, Phase::RolledBack);
}

#[test]
fn the_same_version_of_other_sides_is_another_release() {
    let mut release = Release::new(plan(&[10]));
    release.check(&good());
    assert_eq!(release.check(&good()).state.phase, Phase::Promoted);
    release.sides = 2;
    let next = release.order(&[], &good());
    assert_eq!((next.state.phase, next.state.past.len()), (Phase::Progressing, 1));
    release.sides = 3;
    let next = release.order(&[], &good());
    assert_eq!(next.state.past[0].why.reason, Reason::Superseded);
    // A state that was written before there was a mark goes on.
    release.state.sides = 0;
    assert_eq!(release.order(&[], &good()).events, []);
    assert_eq!(release.state.sides, 3);
}

#[test]
fn missing_figures_freeze_and_are_told_once() {
    let mut release = Release::new(plan(&[10, 50]));
    release.check(&good());
    let none = Observation { canary: Side { ready: 1, figures: None }, ..good() };
    assert_eq!(release.reasons(&none), [Reason::MetricsMissing]);
    for _ in 0..20 {
        assert_eq!(release.reasons(&none), []);
    }
    assert_eq!((release.state.step, release.state.failed_checks), (0, 0));
    assert_eq!(release.reasons(&good()), [Reason::MetricsBack, Reason::Advanced]);
}

#[test]
fn no_step_is_taken_on_too_few_requests() {
    let mut release = Release::new(plan(&[10, 50]));
    release.check(&good());
    let few = Observation { canary: side(1, 90, 0), ..good() };
    assert_eq!((release.reasons(&few), release.reasons(&few)), (vec![], vec![]));
    assert_eq!(release.reasons(&few), [Reason::Advanced], "270 together");
}

#[test]
fn a_gate_waits_and_still_takes_back() {
    let mut gated = plan(&[10, 50]);
    gated.steps[0].gate = Gate::Manual;
    let mut release = Release::new(gated.clone());
    release.check(&good());
    assert_eq!(release.reasons(&good()), [Reason::Paused]);
    assert_eq!(release.reasons(&good()), []);
    assert_eq!(release.order(&[Order::Resume], &good()).events[0].reason, Reason::Ignored);
    assert_eq!(release.order(&[Order::Promote], &good()).routing, weight(50));
    let mut release = Release::new(gated);
    release.check(&good());
    release.check(&good());
    assert_eq!(
        release.check(&Observation { canary: side(1, 300, 60), ..good() }).state.phase,
        Phase::RolledBack
    );
}

#[test]
fn orders_are_obeyed_and_those_that_cannot_be_are_told() {
    let mut release = Release::new(plan(&[10, 50]));
    release.check(&good());
    release.order(&[Order::Pause], &good());
    assert_eq!(release.check(&good()).routing, weight(10));
    assert_eq!(release.state.phase, Phase::Paused);
    release.order(&[Order::Resume], &good());
    assert_eq!(release.check(&good()).routing, weight(50));
    assert_eq!(release.order(&[Order::Abort], &good()).routing, Routing::Stable);
    assert_eq!(release.order(&[Order::Promote], &good()).events[0].reason, Reason::Ignored);
    let mut release = Release::new(plan(&[10, 50]));
    release.check(&good());
    let down = Observation { canary: side(0, 0, 0), ..good() };
    assert_eq!(release.order(&[Order::PromoteFully], &down).events[0].reason, Reason::Ignored);
    assert_eq!(release.order(&[Order::PromoteFully], &good()).routing, Routing::Canary);
}

#[test]
fn a_hand_edit_is_in_force_until_somebody_says_otherwise() {
    let mut release = Release::new(plan(&[10, 50]));
    release.check(&good());
    release.own = 2;
    let noticed = release.check(&good());
    assert_eq!((noticed.routing, noticed.events[0].reason), (Routing::Untouched, Reason::WeightsEdited));
    assert_eq!(release.reasons(&good()), []);
    assert_eq!(release.order(&[Order::Resume], &good()).routing, weight(10));
    assert_eq!(release.check(&good()).routing, weight(50));
}

#[test]
fn a_new_version_begins_anew_and_the_old_one_is_remembered() {
    let mut release = Release::new(plan(&[10, 50]));
    release.check(&good());
    release.check(&good());
    let input =
        Input { version: "v3", sides: 1, observed: &good(), orders: &[], answers: &[], own_weights: 1 };
    let next = advance(&release.plan, &release.state, &input, release.now + 1);
    assert_eq!((next.routing, next.state.step), (weight(10), 0));
    assert_eq!(
        (next.state.past[0].version.as_str(), next.state.past[0].why.reason),
        ("v2", Reason::Superseded)
    );
}

#[test]
fn an_edited_plan_begins_the_step_anew() {
    let mut release = Release::new(plan(&[10, 50]));
    release.check(&good());
    release.check(&good());
    release.plan = plan(&[20]);
    assert_eq!(release.order(&[], &good()).events[0].reason, Reason::PlanChanged);
    assert_eq!(release.state.step, 0);
    assert_eq!(release.check(&good()).state.phase, Phase::Promoted);
}

#[test]
fn windows_hooks_and_the_longest_time_are_kept() {
    let mut closed = plan(&[10, 50]);
    closed.windows = vec![Window { days: 0b10, from: 0, to: 1_440 }];
    let mut release = Release::new(closed);
    assert_eq!(release.check(&good()).state.phase, Phase::Waiting, "it opens on Tuesday");
    release.now += 86_400;
    assert_eq!(release.check(&good()).state.phase, Phase::Progressing);

    let mut asked = plan(&[10, 50]);
    let hook = |point| Hook { name: format!("{point:?}"), point };
    asked.hooks = [HookPoint::Start, HookPoint::Check, HookPoint::Promotion].map(hook).to_vec();
    let mut release = Release::new(asked);
    let needed =
        |release: &Release, later| needs(&release.plan, &release.state, &good(), release.now + later);
    assert_eq!(needed(&release, 0), [0]);
    assert_eq!(release.check(&good()).state.phase, Phase::Waiting, "it is still being asked");
    release.answers = vec![(0, Answer::No("not today".to_owned()))];
    assert_eq!(release.reasons(&good()), [Reason::HookHolds]);
    assert_eq!(release.reasons(&good()), [], "it is told once");
    release.answers = vec![(0, Answer::Yes)];
    assert_eq!(release.check(&good()).state.phase, Phase::Progressing);
    assert_eq!(needed(&release, INTERVAL), [1]);
    let checked = release.state.checked;
    release.check(&good());
    assert_eq!(release.state.checked, checked, "no check before the answer is there");
    release.answers = vec![(1, Answer::Yes)];
    assert_eq!(release.check(&good()).state.step, 1, "no hook for this step");
    assert_eq!(needed(&release, INTERVAL), [1, 2]);
    release.answers = vec![(1, Answer::Yes), (2, Answer::Missing("status 500".to_owned()))];
    assert_eq!(release.reasons(&good()), [Reason::HookHolds]);
    assert_eq!(release.state.phase, Phase::Progressing, "nobody allowed the promotion");
    release.answers = vec![(1, Answer::No("broken".to_owned())), (2, Answer::Yes)];
    assert_eq!(release.reasons(&good()), [Reason::CheckFailed]);
    release.answers = vec![(1, Answer::Missing("late".to_owned())), (2, Answer::Yes)];
    assert_eq!(release.reasons(&good()), [Reason::MetricsMissing]);
    assert_eq!(release.reasons(&good()), [], "frozen, and told once");
    release.answers = vec![(1, Answer::Yes), (2, Answer::Yes)];
    assert_eq!(release.reasons(&good()), [Reason::MetricsBack, Reason::Promoted]);

    let mut short = plan(&[10, 50]);
    short.max_duration = Some(300);
    let mut release = Release::new(short);
    let none = Observation { canary: Side { ready: 1, figures: None }, ..good() };
    for _ in 0..6 {
        release.check(&none);
    }
    assert_eq!(release.check(&none).state.why.unwrap().reason, Reason::TookTooLong);
}

#[test]
fn a_cohort_without_a_stable_version_is_everybody() {
    let mut cohort = plan(&[10]);
    cohort.steps.insert(0, Step { exposure: Exposure::Cohort, hold: 60, gate: Gate::Open });
    let mut release = Release::new(cohort);
    assert_eq!(release.check(&good()).routing, Routing::Expose(Exposure::Cohort));
    let alone = Observation { stable: side(0, 0, 0), ..good() };
    assert_eq!(release.order(&[], &alone).routing, Routing::Canary);
}

#[test]
fn blue_and_green_are_steps_of_nothing_and_all() {
    let mut both = plan(&[0, 100]);
    both.steps[0].gate = Gate::Manual;
    let mut release = Release::new(both);
    let idle = Observation { canary: side(1, 0, 0), ..good() };
    assert_eq!(release.check(&idle).routing, Routing::Stable);
    assert_eq!(release.check(&idle).events[0].reason, Reason::Paused);
    assert_eq!(release.order(&[Order::Promote], &idle).routing, Routing::Canary);
    let all = Observation { stable: side(2, 0, 0), canary: side(1, 2_000, 2) };
    assert_eq!(release.check(&all).state.phase, Phase::Promoted);
}

/// An interval of a random history.
#[derive(Debug, Clone)]
struct Interval {
    stable: Option<(u64, u64)>,
    canary: Option<(u64, u64)>,
    ready: (bool, bool),
}

impl Interval {
    fn observed(&self) -> Observation {
        let side = |ready: bool, counts: Option<(u64, u64)>| Side {
            figures: counts.map(|(requests, failures)| Figures {
                requests,
                failures: failures.min(requests),
                latency: Latency([(100, requests)].into()),
                ..Figures::default()
            }),
            ready: u32::from(ready),
        };
        Observation { stable: side(self.ready.0, self.stable), canary: side(self.ready.1, self.canary) }
    }
}

fn history() -> impl Strategy<Value = Vec<Interval>> {
    // Rates that stay for a while, or every interval another one.
    let counts = |most: u64| {
        prop_oneof![
            8 => (0..most, 0.0_f64..0.03).prop_map(|(all, rate)| Some((all, (all as f64 * rate) as u64))),
            1 => (0..most, 0.0_f64..1.0).prop_map(|(all, rate)| Some((all, (all as f64 * rate) as u64))),
            1 => Just(None),
        ]
    };
    let interval = (counts(5_000), counts(800), prop::bool::weighted(0.97), prop::bool::weighted(0.95))
        .prop_map(|(stable, canary, stable_ready, canary_ready)| Interval {
            stable,
            canary,
            ready: (stable_ready, canary_ready),
        });
    prop::collection::vec(interval, 1..60)
}

/// Counts as a person with a table would make them: only intervals that were judged, and not those in which the stable version broke the
/// limit itself.
#[derive(Debug, Default, Clone, Copy)]
struct Oracle {
    requests: u64,
    judged: u64,
    failed: u64,
    /// Sum of differences from what equal versions would have, and of their variances (Mantel and Haenszel, 1959).
    excess: f64,
    variance: f64,
    stable: (u64, u64),
    canary: (u64, u64),
}

impl Oracle {
    fn add(&mut self, interval: &Interval) {
        let (Some((stable, stable_failed)), Some((canary, canary_failed))) =
            (interval.stable, interval.canary)
        else {
            return;
        };
        if !interval.ready.0 || !interval.ready.1 {
            return;
        }
        self.requests += canary;
        if stable == 0 || stable_failed * 100 <= stable {
            self.judged += canary;
            self.failed += canary_failed;
        }
        self.stable = (self.stable.0 + stable_failed, self.stable.1 + stable);
        self.canary = (self.canary.0 + canary_failed, self.canary.1 + canary);
        let (all, bad) = ((stable + canary) as f64, (stable_failed + canary_failed) as f64);
        if stable > 0 && canary > 0 && all > 1.0 {
            self.excess += canary_failed as f64 - bad * canary as f64 / all;
            self.variance += bad * (all - bad) * stable as f64 * canary as f64 / (all * all * (all - 1.0));
        }
    }

    fn is_beyond_the_limit(&self) -> bool {
        self.failed * 100 > self.judged
    }

    /// Worse than the stable version by far more than chance explains, and by more than the margin.
    fn is_clearly_worse(&self) -> bool {
        let rate = |(bad, all): (u64, u64)| bad as f64 / all.max(1) as f64;
        self.canary.0 >= 10
            && self.variance > 0.0
            && self.excess / self.variance.sqrt() > 6.0
            && rate(self.canary) > rate(self.stable) + 0.002
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_step_is_taken_on_too_few_requests_nor_by_a_version_that_is_beyond_the_limit(history in history()) {
        let mut release = Release::new(plan(&[5, 20, 50]));
        release.check(&good());
        let mut seen = Oracle::default();
        for interval in &history {
            let before = release.state.clone();
            let next = release.check(&interval.observed());
            if !before.phase.is_running() {
                prop_assert_eq!(next.events, vec![]);
                continue;
            }
            seen.add(interval);
            if next.state.step != before.step || next.state.phase == Phase::Promoted {
                prop_assert!(seen.requests >= 200, "{seen:?}");
                prop_assert!(!seen.is_beyond_the_limit() && !seen.is_clearly_worse(), "{seen:?}");
                seen = Oracle::default();
            }
            let to_canary = !matches!(next.routing, Routing::Stable | Routing::Untouched);
            prop_assert!(interval.ready.1 || !to_canary || next.state.phase == Phase::Promoted);
        }
    }

    /// Another process goes on from what was written down, whenever the one before ends: the same decisions.
    #[test]
    fn a_restart_at_any_step_changes_nothing(history in history()) {
        let mut one = Release::new(plan(&[5, 20, 50]));
        let mut other = Release::new(plan(&[5, 20, 50]));
        for interval in std::iter::once(&Interval { stable: Some((900, 1)), canary: Some((0, 0)), ready: (true, true) }).chain(&history) {
            let text = serde_json::to_string(&other.state).unwrap();
            other.state = serde_json::from_str(&text).unwrap();
            let observed = interval.observed();
            // It decided and ended before it wrote anything down.
            let input = Input { version: "v2", sides: 1, observed: &observed, orders: &[], answers: &[], own_weights: 1 };
            let _ = advance(&other.plan, &other.state, &input, other.now + INTERVAL);
            prop_assert_eq!(one.check(&observed), other.check(&observed));
        }
    }
}

#[test]
fn plans_that_cannot_be_followed_say_why() {
    let wrong = |change: fn(&mut Plan)| {
        let mut plan = plan(&[10, 50]);
        change(&mut plan);
        plan.check().unwrap_err().into_iter().map(|error| error.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(wrong(|plan| plan.steps.clear()), ["steps: there is none; a release has at least one"]);
    assert_eq!(
        wrong(|plan| plan.steps.reverse()),
        ["steps[1].weight: is lower than the step's before; steps only grow"]
    );
    assert_eq!(
        wrong(|plan| plan.analysis.interval = 1),
        ["analysis.interval: is shorter than 5s; proxies report every second or two"]
    );
    assert_eq!(
        wrong(|plan| {
            plan.analysis.thresholds.clear();
            plan.analysis.comparisons.clear();
        }),
        ["analysis: nothing is looked at: every version would be promoted"]
    );
}

#[test]
fn a_limit_of_the_users_own_is_held_to() {
    let mut strict = plan(&[10]);
    strict.analysis.thresholds = vec![
        Threshold { bad: Bad::SlowerThan(5_000), at_most: 10_000 },
        Threshold { bad: Bad::Codes(vec!["upstream_reset".to_owned()]), at_most: 0 },
    ];
    let mut release = Release::new(strict);
    release.check(&good());
    // Bucket 100 begins at 5,793 microseconds.
    let mut seen = good();
    seen.stable.figures.as_mut().unwrap().latency = Latency([(90, 2_000)].into());
    let back = release.check(&seen);
    assert_eq!(back.state.phase, Phase::RolledBack);
    let message = back.state.why.unwrap().message;
    assert_eq!(message, "at most 1 % slower than 5 ms: 300 of 300 requests of this step (100 %)");
}
