//! How promises of policies are kept: for each target of an objective the requests that counted and those that were bad, minute by
//! minute for the last hour, and in all for who scrapes. Pure; time is an argument. Bounded: objectives that find no room are counted.
//!
//! A request counts as its caller's proxy saw it, since what never arrived failed too; where the caller has none, as its callee's did,
//! which then took it in the clear.
//!
//! Source of burn rates and of their bounds: Google, The Site Reliability Workbook, chapter 5 (alerting on SLOs), multiwindow alerts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use mesh_model::name::Name;
use mesh_model::traffic::PolicyTarget;
use mesh_proto::inspect::v1::{Burn, BurnAlert, Objective, ObjectiveKind};
use mesh_proto::report::v1::{Security, Series, SeriesKey, Side};

use super::histogram::Histogram;
use super::stats::is_failure;
use crate::api::lower::slo::Slo;
use crate::compile::policies::Promise;

#[cfg(test)]
mod tests;

/// Most objectives: 1.5 kB each, 3 MB of all.
pub const MAX_OBJECTIVES: usize = 2_000;
/// Windows that are told, seconds.
const WINDOWS: [u32; 3] = [5 * 60, 30 * 60, 60 * 60];
/// Seconds of a slot, and how many are kept.
const SLOT: u64 = 60;
const SLOTS: u64 = 60;
/// The share of the whole budget that is gone within an hour at a rate that is to wake somebody up: 14.4 times the rate that lasts, for
/// a window of 30 days.
const FAST_SHARE: f64 = 0.02;
/// The rate at which the budget is gone before its time.
const SLOW_RATE: f64 = 1.0;
/// What is lost where a share is no binary fraction.
const ROUNDING: f64 = 1e-9;

/// One objective: of one policy, about one target, of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Id {
    policy: Name,
    target: Target,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Availability,
    /// Within so many microseconds.
    Latency(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Target {
    /// Namespace, name, port; 0: every port.
    Service(String, String, u32),
    /// As series name it: `httproute/NS/NAME`, with `#RULE` or without.
    Route(String),
}

/// What is promised, and how it went.
#[derive(Debug, Default)]
struct Kept {
    ratio: f64,
    window: Duration,
    requests: u64,
    bad: u64,
    /// Minute, requests, bad; the newest last.
    slots: VecDeque<(u64, u64, u64)>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Promises {
    known: BTreeMap<Id, Kept>,
    by_target: HashMap<Target, Vec<Id>>,
    overflow: u64,
    began: Option<u64>,
}

/// An objective as it is exported.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// As for who asks, without burn rates.
    pub objective: Objective,
    /// Since this controller began.
    pub requests: u64,
    /// Those of them that were bad.
    pub bad: u64,
}

impl Promises {
    /// What is promised from now on. Counts of what was promised before go on.
    pub fn set(&mut self, promises: &[Promise]) {
        let mut before = std::mem::take(&mut self.known);
        self.by_target.clear();
        for promise in promises {
            for (target, (kind, ratio)) in
                promise.targets.iter().flat_map(|target| kinds(&promise.slo).map(move |kind| (target, kind)))
            {
                let id = Id { policy: promise.policy.clone(), target: Target::of(target), kind };
                if self.known.len() >= MAX_OBJECTIVES {
                    self.overflow = self.overflow.saturating_add(1);
                    continue;
                }
                let mut kept = before.remove(&id).unwrap_or_default();
                (kept.ratio, kept.window) = (ratio, promise.slo.window);
                self.by_target.entry(id.target.clone()).or_default().push(id.clone());
                self.known.insert(id, kept);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How often one found no room.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Adds what a proxy reported; `now` in Unix seconds.
    pub fn record(&mut self, series: &[Series], now: u64) {
        self.began.get_or_insert(now);
        if self.known.is_empty() {
            return;
        }
        for series in series {
            let Some(key) = series.key.as_ref().filter(|key| counts(key)) else { continue };
            for target in targets_of(key) {
                for id in self.by_target.get(&target).into_iter().flatten() {
                    if let (Some(kept), Some((requests, bad))) =
                        (self.known.get_mut(id), judged(id.kind, key, series))
                    {
                        kept.add(requests, bad, now);
                    }
                }
            }
        }
    }

    /// All, of the policies of that namespace (empty: of all), and since how many seconds traffic is counted.
    pub fn objectives(&self, namespace: &str, now: u64) -> (Vec<Objective>, u32) {
        let meant =
            self.known.iter().filter(|(id, _)| namespace.is_empty() || id.policy.namespace() == namespace);
        let told = meant.map(|(id, kept)| Objective { burns: kept.burns(now), ..objective(id, kept) });
        let since = self.began.map_or(0, |began| now.saturating_sub(began).clamp(1, SLOT * SLOTS));
        (told.collect(), u32::try_from(since).unwrap_or(0))
    }

    /// All, for who scrapes.
    pub fn exported(&self) -> Vec<Exported> {
        let one = |(id, kept): (&Id, &Kept)| Exported {
            objective: objective(id, kept),
            requests: kept.requests,
            bad: kept.bad,
        };
        self.known.iter().map(one).collect()
    }
}

impl Kept {
    fn add(&mut self, requests: u64, bad: u64, now: u64) {
        self.requests = self.requests.saturating_add(requests);
        self.bad = self.bad.saturating_add(bad);
        let slot = now / SLOT;
        match self.slots.back_mut() {
            // A clock that went back adds to the newest slot.
            Some((at, all, wrong)) if *at >= slot => (*all, *wrong) = (*all + requests, *wrong + bad),
            _ => self.slots.push_back((slot, requests, bad)),
        }
        while self.slots.front().is_some_and(|(at, ..)| at + SLOTS < slot) {
            self.slots.pop_front();
        }
    }

    /// Whole minutes, the one that is counted in among them.
    fn burns(&self, now: u64) -> Vec<Burn> {
        let burn = |window_seconds: u32| {
            let first = (now / SLOT + 1).saturating_sub(u64::from(window_seconds) / SLOT);
            let slots = self.slots.iter().filter(|(at, ..)| *at >= first);
            let (requests, bad) = slots.fold((0, 0), |(all, wrong), (_, a, b)| (all + a, wrong + b));
            Burn { window_seconds, requests, bad, rate: rate(requests, bad, self.ratio) }
        };
        WINDOWS.map(burn).to_vec()
    }
}

/// How many times faster than it lasts the budget is used up.
pub fn rate(requests: u64, bad: u64, ratio: f64) -> f64 {
    let allowed = 1.0 - ratio;
    if requests == 0 || allowed <= 0.0 {
        return 0.0;
    }
    (bad as f64 / requests as f64) / allowed
}

/// Policy, kind of objective, service with its port, and route: what an objective is of.
type Promised = (String, String, i32, String, String, u32, String);

/// The objectives of all replicas as one: counts added up, rates and what is to be done about them found.
pub fn together(all: Vec<Vec<Objective>>) -> Vec<Objective> {
    let mut sum: BTreeMap<Promised, Objective> = BTreeMap::new();
    for objective in all.into_iter().flatten() {
        let o = &objective;
        let key = (
            o.policy_namespace.clone(),
            o.policy.clone(),
            o.kind,
            o.service_namespace.clone(),
            o.service.clone(),
            o.service_port,
            o.route.clone(),
        );
        match sum.entry(key) {
            std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(objective)),
            std::collections::btree_map::Entry::Occupied(mut known) => {
                for (burn, other) in known.get_mut().burns.iter_mut().zip(objective.burns) {
                    burn.requests += other.requests;
                    burn.bad += other.bad;
                }
            }
        }
    }
    let mut objectives: Vec<Objective> = sum.into_values().collect();
    for objective in &mut objectives {
        for burn in &mut objective.burns {
            burn.rate = rate(burn.requests, burn.bad, objective.ratio);
        }
        objective.alert = alert(objective).into();
    }
    objectives
}

/// A long window says that it is worth a look, a short one that it has not ended.
fn alert(objective: &Objective) -> BurnAlert {
    let rate_of =
        |window| objective.burns.iter().find(|b| b.window_seconds == window).map_or(0.0, |b| b.rate);
    let [short, _, long] = WINDOWS.map(rate_of);
    let fast = FAST_SHARE * objective.window_seconds as f64 / f64::from(WINDOWS[2]);
    match short.min(long) {
        rate if rate + ROUNDING >= fast.max(SLOW_RATE) => BurnAlert::Fast,
        rate if rate + ROUNDING >= SLOW_RATE => BurnAlert::Slow,
        _ => BurnAlert::Unspecified,
    }
}

fn kinds(slo: &Slo) -> impl Iterator<Item = (Kind, f64)> + use<> {
    let us = |under: Duration| u64::try_from(under.as_micros()).unwrap_or(u64::MAX);
    let availability = slo.availability.map(|ratio| (Kind::Availability, ratio));
    availability.into_iter().chain(slo.latency.map(|(under, ratio)| (Kind::Latency(us(under)), ratio)))
}

impl Target {
    fn of(target: &PolicyTarget) -> Self {
        match target {
            PolicyTarget::Service { service, port } => {
                let (namespace, name) = (service.0.namespace().to_owned(), service.0.name().to_owned());
                Self::Service(namespace, name, port.map_or(0, u32::from))
            }
            PolicyTarget::Route { route, rule: None } => Self::Route(route.to_string()),
            PolicyTarget::Route { route, rule: Some(rule) } => Self::Route(format!("{route}#{rule}")),
        }
    }
}

/// Whether this side's word is taken.
fn counts(key: &SeriesKey) -> bool {
    key.side == Side::Outbound as i32
        || (key.side == Side::Inbound as i32 && key.security == Security::Plaintext as i32)
}

/// Whom a series may be about.
fn targets_of(key: &SeriesKey) -> impl Iterator<Item = Target> {
    let service = |port| Target::Service(key.service_namespace.clone(), key.service.clone(), port);
    let services = (!key.service.is_empty()).then(|| [service(0), service(key.service_port)]);
    let route = key.route.split_once('#').map(|(route, _)| Target::Route(route.to_owned()));
    let rule = (!key.route.is_empty()).then(|| Target::Route(key.route.clone()));
    services.into_iter().flatten().chain(route).chain(rule)
}

/// Requests of a series, and how many of them are bad; `None`: they say nothing about it, as how long a connection lasts does not.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the number of requests")]
fn judged(kind: Kind, key: &SeriesKey, series: &Series) -> Option<(u64, u64)> {
    let bad = match kind {
        Kind::Availability if is_failure(key.status, key.grpc_status, &key.failure) => series.requests,
        Kind::Availability => 0,
        Kind::Latency(_) if key.protocol == "tcp" => return None,
        Kind::Latency(under) => {
            let latency = series.latency.as_ref().map(Histogram::from_wire).unwrap_or_default();
            (latency.above(under).round() as u64).min(series.requests)
        }
    };
    Some((series.requests, bad))
}

fn objective(id: &Id, kept: &Kept) -> Objective {
    let (kind, under_us) = match id.kind {
        Kind::Availability => (ObjectiveKind::Availability, 0),
        Kind::Latency(under) => (ObjectiveKind::Latency, under),
    };
    let (service_namespace, service, service_port, route) = match &id.target {
        Target::Service(namespace, name, port) => (namespace.clone(), name.clone(), *port, String::new()),
        Target::Route(route) => (String::new(), String::new(), 0, route.clone()),
    };
    Objective {
        policy_namespace: id.policy.namespace().to_owned(),
        policy: id.policy.name().to_owned(),
        kind: kind.into(),
        ratio: kept.ratio,
        under_us,
        window_seconds: kept.window.as_secs(),
        service_namespace,
        service,
        service_port,
        route,
        ..Objective::default()
    }
}
