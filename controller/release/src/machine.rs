//! From one state of a release to the next. It must not know how figures are judged in detail, nor how an exposure comes into force.
//!
//! A decision depends on the plan, the state, what was observed and the time, and on nothing else. What routes should do follows from the
//! state alone ([`routing`]), so a process that ends between writing a state and acting on it, or before writing it, leaves nothing to
//! repair: the next one reads the state and goes on.

use crate::check::{self, Look, Verdict, percent};
use crate::observation::Observation;
use crate::plan::{ALL, Exposure, Gate, HookPoint, Plan};
use crate::state::{MAX_PAST, Past, Pause, Phase, Reason, State, Why};
use crate::window;

/// What a decision is made from besides plan, state and time.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The version that is to be tried. Another one than the state's begins a release.
    pub version: &'a str,
    /// What was seen since the last check.
    pub observed: &'a Observation,
    /// What somebody wants.
    pub orders: &'a [Order],
    /// What those said who are asked; who did not answer is not among them.
    pub answers: &'a [(HookPoint, Answer)],
    /// The mark of the weights that routes have of themselves.
    pub own_weights: u64,
}

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The next step, whatever the figures.
    Promote,
    /// All of it at once.
    PromoteFully,
    /// No further step.
    Pause,
    /// Further steps again.
    Resume,
    /// Back to the stable version.
    Abort,
}

/// What somebody who is asked says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Do not.
    No,
}

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    /// To be written down.
    pub state: State,
    /// What routes should do.
    pub routing: Routing,
    /// What happened, for people.
    pub events: Vec<Why>,
    /// The look at the figures, if one was due.
    pub look: Option<Look>,
}

/// What routes should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// What they say themselves.
    Untouched,
    /// All to the stable version.
    Stable,
    /// All to the new version.
    Canary,
    /// This share of it.
    Expose(Exposure),
}

/// Whose word is needed for the next decision.
pub fn needs(plan: &Plan, state: &State, now: u64) -> Vec<HookPoint> {
    let wanted = match state.phase {
        Phase::Waiting => vec![HookPoint::Start],
        Phase::Progressing if now >= state.checked + plan.analysis.interval => {
            let is_last = state.step + 1 >= plan.steps.len();
            vec![HookPoint::Check, if is_last { HookPoint::Promotion } else { HookPoint::Step }]
        }
        Phase::Paused if now >= state.checked + plan.analysis.interval => vec![HookPoint::Check],
        Phase::Progressing | Phase::Paused | Phase::Promoted | Phase::RolledBack => Vec::new(),
    };
    wanted.into_iter().filter(|point| plan.hooks.contains(point)).collect()
}

/// What routes should do in a state. Never is a version without ready endpoints given what the other could take.
pub fn routing(plan: &Plan, state: &State, observed: &Observation) -> Routing {
    let (stable, canary) = (observed.stable.ready > 0, observed.canary.ready > 0);
    match state.phase {
        Phase::RolledBack | Phase::Waiting => Routing::Stable,
        Phase::Promoted if !canary && stable => Routing::Stable,
        Phase::Promoted => Routing::Canary,
        Phase::Progressing | Phase::Paused => {
            if state.pause == Some(Pause::Edited) {
                return Routing::Untouched;
            }
            let Some(step) = plan.steps.get(state.step).or(plan.steps.last()) else { return Routing::Stable };
            match step.exposure {
                _ if !canary => Routing::Stable,
                Exposure::Weight(0) => Routing::Stable,
                Exposure::Weight(share) if share >= ALL => Routing::Canary,
                Exposure::Weight(_) if !stable => Routing::Canary,
                other => Routing::Expose(other),
            }
        }
    }
}

/// The next state.
pub fn advance(plan: &Plan, before: &State, input: &Input<'_>, now: u64) -> Advance {
    let mut turn = Turn { plan, input, now, state: before.clone(), events: Vec::new(), look: None };
    turn.follow_version();
    turn.follow_plan();
    turn.notice_edit();
    for order in input.orders {
        turn.obey(*order);
    }
    match turn.state.phase {
        Phase::Waiting => turn.start(),
        Phase::Progressing | Phase::Paused => turn.run(),
        Phase::Promoted | Phase::RolledBack => {}
    }
    let routing = routing(plan, &turn.state, input.observed);
    Advance { routing, state: turn.state, events: turn.events, look: turn.look }
}

struct Turn<'a> {
    plan: &'a Plan,
    input: &'a Input<'a>,
    now: u64,
    state: State,
    events: Vec<Why>,
    look: Option<Look>,
}

impl Turn<'_> {
    fn say(&mut self, reason: Reason, message: String) {
        self.state.why = Some(Why { reason, message: message.clone() });
        self.events.push(Why { reason, message });
    }

    fn follow_version(&mut self) {
        if self.state.version == self.input.version {
            return;
        }
        if self.state.phase.is_running() {
            self.end(
                Phase::RolledBack,
                Reason::Superseded,
                format!("version {} came before this one was promoted", self.input.version),
            );
        }
        self.state = State::of(self.input.version, std::mem::take(&mut self.state.past));
    }

    fn follow_plan(&mut self) {
        let mark = self.plan.mark();
        if self.state.plan == mark {
            return;
        }
        let is_new = self.state.plan == 0;
        self.state.plan = mark;
        if !is_new && self.state.phase.is_running() {
            self.state.step = self.state.step.min(self.plan.steps.len().saturating_sub(1));
            self.begin_step(&[]);
            self.say(Reason::PlanChanged, "the plan was changed: this step begins anew".to_owned());
        }
    }

    fn notice_edit(&mut self) {
        if !self.state.phase.is_running() || self.state.own_weights == self.input.own_weights {
            return;
        }
        if self.state.pause != Some(Pause::Edited) {
            self.state.phase = Phase::Paused;
            self.state.pause = Some(Pause::Edited);
            let text = "the weights of a route were changed by hand: they are in force, and nothing is decided until \
                        the release is resumed or aborted";
            self.say(Reason::WeightsEdited, text.to_owned());
        }
    }

    fn obey(&mut self, order: Order) {
        match (order, self.state.phase) {
            (Order::Abort, Phase::Waiting | Phase::Progressing | Phase::Paused) => {
                self.end(Phase::RolledBack, Reason::Aborted, "somebody aborted it".to_owned());
            }
            (Order::Pause, Phase::Progressing) => {
                self.state.phase = Phase::Paused;
                self.state.pause = Some(Pause::Hand);
                self.say(Reason::Paused, "somebody paused it; figures are still looked at".to_owned());
            }
            (Order::Resume, Phase::Paused) if self.state.pause != Some(Pause::Gate) => {
                self.resume("somebody resumed it");
            }
            (Order::Promote | Order::PromoteFully, Phase::Progressing | Phase::Paused)
                if self.input.observed.canary.ready == 0 =>
            {
                let text = "it was not promoted: the new version has no ready endpoint";
                self.say(Reason::Ignored, text.to_owned());
            }
            (Order::Promote, Phase::Progressing | Phase::Paused) => {
                self.resume("somebody let it go on");
                self.next("somebody let it go on");
            }
            (Order::PromoteFully, Phase::Progressing | Phase::Paused) => {
                self.end(Phase::Promoted, Reason::Promoted, "somebody promoted it".to_owned());
            }
            (order, phase) => {
                let text = format!("{order:?} does not apply to a release that is {phase:?}");
                self.say(Reason::Ignored, text);
            }
        }
    }

    fn resume(&mut self, how: &str) {
        if self.state.phase == Phase::Paused {
            self.state.phase = Phase::Progressing;
            self.state.pause = None;
            self.state.own_weights = self.input.own_weights;
            // What was counted meanwhile was not counted by this step's weights.
            self.begin_step(&self.state.tests.clone());
            self.say(Reason::Resumed, how.to_owned());
        }
    }

    fn start(&mut self) {
        let is_ready = self.input.observed.canary.ready > 0 && self.input.observed.stable.ready > 0;
        if !is_ready || !window::is_open(&self.plan.windows, self.now) || !self.allows(HookPoint::Start) {
            return;
        }
        self.state.phase = Phase::Progressing;
        self.state.started = self.now;
        self.state.own_weights = self.input.own_weights;
        self.state.step = 0;
        self.begin_step(&[]);
        let first = self.shown(0);
        self.say(Reason::Started, format!("version {} begins with {first}", self.state.version));
    }

    fn run(&mut self) {
        if self.state.pause == Some(Pause::Edited) {
            return;
        }
        if let Some(most) = self.plan.max_duration
            && self.now.saturating_sub(self.state.started) > most
        {
            let text = format!("it was not promoted within {most} seconds");
            self.end(Phase::RolledBack, Reason::TookTooLong, text);
            return;
        }
        if self.now < self.state.checked + self.plan.analysis.interval {
            return;
        }
        self.state.checked = self.now;
        let observed = self.input.observed;
        if observed.canary.ready == 0 {
            self.fail(Reason::NoReadyEndpoints, "the new version has no ready endpoint".to_owned());
            return;
        }
        if observed.stable.ready == 0 {
            let text = "the stable version has no ready endpoint: nothing can be compared, no step is taken";
            self.say(Reason::StableNotReady, text.to_owned());
            return;
        }
        let Some(look) = check::look(self.plan, &self.state.tests, observed) else {
            if !self.state.frozen {
                self.state.frozen = true;
                let text = "no figures of one of the versions: no step is taken until proxies report again";
                self.say(Reason::MetricsMissing, text.to_owned());
            }
            return;
        };
        if std::mem::take(&mut self.state.frozen) {
            self.say(Reason::MetricsBack, "proxies report again".to_owned());
        }
        self.judge(&look);
        self.look = Some(look);
    }

    fn judge(&mut self, look: &Look) {
        self.state.tests.clone_from(&look.tests);
        self.state.requests = self.state.requests.saturating_add(look.requests);
        match look.verdict() {
            Verdict::Bad => {
                self.end(Phase::RolledBack, Reason::EvidenceAgainst, look.texts(Verdict::Bad));
            }
            Verdict::Fail => self.fail(Reason::CheckFailed, look.texts(Verdict::Fail)),
            Verdict::Pass | Verdict::Wait if self.denies(HookPoint::Check) => {
                self.fail(Reason::CheckFailed, "a hook says that the check failed".to_owned());
            }
            Verdict::Wait => {}
            Verdict::Pass => self.pass(),
        }
    }

    /// Figures are in order: the next step, if nothing else keeps it.
    fn pass(&mut self) {
        let Some(step) = self.plan.steps.get(self.state.step).copied() else { return };
        let sees_requests = step.exposure != Exposure::Weight(0);
        if self.state.phase != Phase::Progressing
            || (sees_requests && self.state.requests < self.plan.analysis.min_requests)
            || self.now.saturating_sub(self.state.step_began) < step.hold
            || !window::is_open(&self.plan.windows, self.now)
        {
            return;
        }
        if step.gate == Gate::Manual {
            self.state.phase = Phase::Paused;
            self.state.pause = Some(Pause::Gate);
            let text = format!("{} passed; somebody has to promote it", self.shown(self.state.step));
            self.say(Reason::Paused, text);
            return;
        }
        let is_last = self.state.step + 1 >= self.plan.steps.len();
        if self.allows(if is_last { HookPoint::Promotion } else { HookPoint::Step }) {
            self.next("it passed");
        }
    }

    fn next(&mut self, how: &str) {
        let passed = self.shown(self.state.step);
        if self.state.step + 1 >= self.plan.steps.len() {
            let text = format!("after {passed} all requests go to version {}: {how}", self.state.version);
            self.end(Phase::Promoted, Reason::Promoted, text);
            return;
        }
        self.state.step += 1;
        self.begin_step(&self.state.tests.clone());
        let text = format!("from {passed} to {}: {how}", self.shown(self.state.step));
        self.say(Reason::Advanced, text);
    }

    fn begin_step(&mut self, before: &[crate::state::Test]) {
        let stable = self.input.observed.stable.figures.as_ref();
        self.state.tests = check::fresh(&self.plan.analysis, before, stable);
        self.state.step_began = self.now;
        self.state.checked = self.now;
        self.state.requests = 0;
    }

    fn fail(&mut self, reason: Reason, text: String) {
        self.state.failed_checks += 1;
        let (failed, most) = (self.state.failed_checks, self.plan.analysis.failed_checks);
        if failed <= most {
            self.say(reason, format!("{text} ({failed} of {most} failed checks that may be)"));
            return;
        }
        let why = if reason == Reason::CheckFailed { Reason::TooManyFailedChecks } else { reason };
        self.end(Phase::RolledBack, why, format!("{text}; {failed} checks failed and {most} may"));
    }

    fn end(&mut self, phase: Phase, reason: Reason, message: String) {
        self.state.phase = phase;
        self.state.pause = None;
        self.state.frozen = false;
        let past = Past {
            version: self.state.version.clone(),
            phase,
            step: self.state.step,
            started: self.state.started,
            ended: self.now,
            why: Why { reason, message: message.clone() },
        };
        self.state.past.insert(0, past);
        self.state.past.truncate(MAX_PAST);
        self.say(reason, message);
    }

    fn allows(&self, point: HookPoint) -> bool {
        !self.plan.hooks.contains(&point) || self.input.answers.contains(&(point, Answer::Yes))
    }

    fn denies(&self, point: HookPoint) -> bool {
        self.plan.hooks.contains(&point) && self.input.answers.contains(&(point, Answer::No))
    }

    fn shown(&self, step: usize) -> String {
        match self.plan.steps.get(step).map(|step| step.exposure) {
            Some(Exposure::Weight(share)) => percent(f64::from(share) / f64::from(ALL)),
            Some(Exposure::Shadow(share)) => {
                format!("a copy of {}", percent(f64::from(share) / f64::from(ALL)))
            }
            Some(Exposure::Cohort) => "the cohort".to_owned(),
            None => "the last step".to_owned(),
        }
    }
}

impl Plan {
    /// A number that changes with the plan's meaning; never 0.
    pub fn mark(&self) -> u64 {
        mark(&format!("{self:?}"))
    }
}

/// A number that changes with the text; never 0. It is written into statuses, so it stays what it is.
pub fn mark(text: &str) -> u64 {
    // FNV-1a: it only has to differ when the text does.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // Fits into the whole numbers that every reader of JSON keeps.
    (hash >> 12) | 1
}

#[cfg(test)]
mod tests;
