//! From one state of a release to the next. It must not know how figures are judged in detail, nor how an exposure comes into force.
//!
//! A decision depends on the plan, the state, what was observed and the time, and on nothing else. What routes should do follows from the
//! state alone ([`routing`]), so a process that ends between writing a state and acting on it, or before writing it, leaves nothing to
//! repair: the next one reads the state and goes on.

mod hooks;

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
    /// The mark of what stands for both versions: Services, or labels. Another one than the state's begins a release too.
    pub sides: u64,
    /// What was seen since the last check.
    pub observed: &'a Observation,
    /// What somebody wants.
    pub orders: &'a [Order],
    /// What those said who were asked, by their places among the plan's hooks. Who is still being asked is not among them.
    pub answers: &'a [(usize, Answer)],
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Do not, and why.
    No(String),
    /// Nothing, and why.
    Missing(String),
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

/// Who has to be asked or told for the next decision, by their places among the plan's hooks.
pub fn needs(plan: &Plan, state: &State, observed: &Observation, now: u64) -> Vec<usize> {
    let is_due = now >= state.checked + plan.analysis.interval;
    let mut points = match state.phase {
        Phase::Waiting if may_begin(plan, observed, now) => vec![HookPoint::Start],
        Phase::Progressing if is_due => vec![HookPoint::Check, point_after(plan, state)],
        Phase::Paused if is_due && state.pause != Some(Pause::Edited) => vec![HookPoint::Check],
        Phase::Waiting | Phase::Progressing | Phase::Paused | Phase::Promoted | Phase::RolledBack => {
            Vec::new()
        }
    };
    points.extend(state.owed.first().map(|owed| owed.point));
    let hooks = plan.hooks.iter().enumerate();
    hooks.filter(|(_, hook)| points.contains(&hook.point)).map(|(at, _)| at).collect()
}

fn may_begin(plan: &Plan, observed: &Observation, now: u64) -> bool {
    observed.canary.ready > 0 && observed.stable.ready > 0 && window::is_open(&plan.windows, now)
}

/// Whose word the end of the step needs.
fn point_after(plan: &Plan, state: &State) -> HookPoint {
    if state.step + 1 >= plan.steps.len() { HookPoint::Promotion } else { HookPoint::Step }
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
                Exposure::Weight(_) | Exposure::Cohort if !stable => Routing::Canary,
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
    turn.tell();
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

    /// An event that is not why the release stands where it stands.
    fn mention(&mut self, reason: Reason, message: String) {
        self.events.push(Why { reason, message });
    }

    /// The same as before is no news.
    fn say_once(&mut self, reason: Reason, message: String) {
        let why = Why { reason, message };
        if self.state.why.as_ref() != Some(&why) {
            self.say(why.reason, why.message);
        }
    }

    fn follow_version(&mut self) {
        if self.state.is_of(self.input.version, self.input.sides) {
            self.state.sides = self.input.sides;
            return;
        }
        if self.state.phase.is_running() {
            let text = if self.state.version == self.input.version {
                "what stands for its versions was changed before it was promoted".to_owned()
            } else {
                format!("version {} came before this one was promoted", self.input.version)
            };
            self.end(Phase::RolledBack, Reason::Superseded, text);
        }
        let owed = std::mem::take(&mut self.state.owed);
        let past = std::mem::take(&mut self.state.past);
        self.state = State { owed, sides: self.input.sides, ..State::of(self.input.version, past) };
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
        if !may_begin(self.plan, self.input.observed, self.now) || !self.is_allowed(HookPoint::Start) {
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
        let is_due = self.now >= self.state.checked + self.plan.analysis.interval;
        let asked = needs(self.plan, &self.state, self.input.observed, self.now);
        if !is_due || asked.iter().any(|at| !self.is_told(*at) && self.answer(*at).is_none()) {
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
        self.look = check::look(self.plan, &self.state.tests, observed);
        self.freeze();
        if let Some(look) = self.look.clone() {
            self.judge(&look);
        }
    }

    /// What is not known decides nothing, and is told once.
    fn freeze(&mut self) {
        let reports = "no figures of one of the versions: no step is taken until proxies report again";
        let unheard = self.unheard(HookPoint::Check);
        let missing = if self.look.is_none() { Some(reports.to_owned()) } else { unheard };
        match (missing, std::mem::replace(&mut self.state.frozen, false)) {
            (Some(text), was_frozen) => {
                self.state.frozen = true;
                if !was_frozen {
                    self.say(Reason::MetricsMissing, text);
                }
            }
            (None, true) => self.say(Reason::MetricsBack, "figures are there again".to_owned()),
            (None, false) => {}
        }
    }

    fn judge(&mut self, look: &Look) {
        self.state.tests.clone_from(&look.tests);
        self.state.requests = self.state.requests.saturating_add(look.requests);
        match look.verdict() {
            Verdict::Bad => {
                self.end(Phase::RolledBack, Reason::EvidenceAgainst, look.texts(Verdict::Bad));
            }
            Verdict::Fail => self.fail(Reason::CheckFailed, look.texts(Verdict::Fail)),
            Verdict::Pass | Verdict::Wait => match self.refused(HookPoint::Check) {
                Some(text) => self.fail(Reason::CheckFailed, text),
                None if self.state.frozen || look.verdict() == Verdict::Wait => {}
                None => self.pass(),
            },
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
        if self.is_allowed(point_after(self.plan, &self.state)) {
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
        self.owe(message.clone());
        self.say(reason, message);
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
