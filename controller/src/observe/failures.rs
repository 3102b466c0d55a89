//! What failed in the last hour, by who called whom and how it failed: how often each minute, and the last example. Pure: time is an
//! argument. Bounded: a kind of failure that finds no room is counted; the one that was not seen for longest makes room.

use std::collections::{HashMap, VecDeque};

use mesh_proto::inspect::v1::{FailureRow, FailuresRequest};
use mesh_proto::report::v1::{Example, SeriesKey, Side};

use super::span::cut as cut_to;
use super::stats::group::World;
use super::stats::{Reporter, named};

/// Most kinds of failure; each has one example of at most 2 kB.
pub const MAX_KINDS: usize = 4_000;
/// Seconds that are kept.
const KEPT: u64 = 3600;
const MAX_TEXT: usize = 600;
const MAX_DETAIL: usize = 300;
const MAX_PATH: usize = 200;

/// Who called whom, how it failed and what more is known of that, without what may differ: the port stays.
type Kind = (i32, [String; 10], u32, u32, Option<u32>);

#[derive(Debug)]
struct Kept {
    example: Example,
    instance: String,
    first_ms: u64,
    /// Minute since 1970 and how many, ascending; at most 61.
    minutes: VecDeque<(u64, u64)>,
}

/// The failures.
#[derive(Debug, Default)]
pub struct Failures {
    kinds: HashMap<Kind, Kept>,
    overflow: u64,
}

impl Failures {
    /// Adds what a proxy reported.
    pub fn record(&mut self, reporter: Reporter<'_>, instance: &str, examples: Vec<Example>, now_ms: u64) {
        for mut example in examples {
            let Some(key) = example.key.as_mut() else { continue };
            if !claim(reporter, key) {
                continue;
            }
            cut(&mut example);
            let Some(kind) = kind(&example) else { continue };
            if !self.kinds.contains_key(&kind) && self.kinds.len() >= MAX_KINDS {
                self.overflow = self.overflow.saturating_add(1);
                let oldest = self.kinds.iter().min_by_key(|(_, kept)| kept.example.time_ms);
                if let Some(oldest) = oldest.map(|(kind, _)| kind.clone()) {
                    self.kinds.remove(&oldest);
                }
            }
            // What a proxy says of the time is not relied on.
            example.time_ms = example.time_ms.min(now_ms);
            let (count, first_ms) = (example.count.max(1), example.time_ms);
            let kept = self.kinds.entry(kind).or_insert_with(|| Kept {
                example: Example::default(),
                instance: String::new(),
                first_ms,
                minutes: VecDeque::new(),
            });
            let minute = now_ms / 60_000;
            match kept.minutes.back_mut() {
                Some((at, sum)) if *at >= minute => *sum = sum.saturating_add(count),
                _ => kept.minutes.push_back((minute, count)),
            }
            if kept.example.time_ms <= example.time_ms {
                kept.example = example;
                instance.clone_into(&mut kept.instance);
            }
        }
    }

    /// A proxy says that it had no room for so many kinds.
    pub fn lost(&mut self, kinds: u64) {
        self.overflow = self.overflow.saturating_add(kinds);
    }

    /// Forgets what is older than an hour.
    pub fn expire(&mut self, now_ms: u64) {
        let oldest = (now_ms / 1000).saturating_sub(KEPT) / 60;
        self.kinds.retain(|_, kept| {
            while kept.minutes.front().is_some_and(|(minute, _)| *minute < oldest) {
                kept.minutes.pop_front();
            }
            !kept.minutes.is_empty()
        });
    }

    /// How many kinds there are.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// How many found no room.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Those of the window that are asked for, as they were reported.
    pub fn rows(&self, request: &FailuresRequest, now_ms: u64, world: World<'_>) -> Vec<FailureRow> {
        let window = u64::from(window(request));
        let begin = (now_ms / 1000).saturating_sub(window) / 60;
        let fitting = self.kinds.values().filter_map(|kept| {
            let key = kept.example.key.as_ref().filter(|key| fits(key, request, world))?;
            let minutes = kept.minutes.iter().filter(|(minute, _)| *minute >= begin);
            let count = minutes.map(|(_, count)| count).sum::<u64>();
            (count > 0).then(|| FailureRow {
                key: Some(key.clone()),
                count,
                first_ms: kept.first_ms,
                example: Some(kept.example.clone()),
                instance: kept.instance.clone(),
                requests: 0,
            })
        });
        fitting.collect()
    }
}

/// Seconds that are asked about.
pub fn window(request: &FailuresRequest) -> u32 {
    if request.window_seconds == 0 { 600 } else { request.window_seconds.min(3600) }
}

fn kind(example: &Example) -> Option<Kind> {
    let key = example.key.as_ref()?;
    let names = [
        &key.source_namespace,
        &key.source_workload,
        &key.service_namespace,
        &key.service,
        &key.destination_namespace,
        &key.destination_workload,
        &key.route,
        &key.failure,
        &example.reason,
        &example.policy,
    ];
    Some((key.side, names.map(String::clone), key.service_port, key.status, key.grpc_status))
}

/// What a proxy says about itself is taken from its identity.
fn claim(reporter: Reporter<'_>, key: &mut SeriesKey) -> bool {
    match Side::try_from(key.side) {
        Ok(Side::Outbound) => {
            reporter.namespace.clone_into(&mut key.source_namespace);
            reporter.workload.clone_into(&mut key.source_workload);
            true
        }
        Ok(Side::Inbound) => {
            reporter.namespace.clone_into(&mut key.destination_namespace);
            reporter.workload.clone_into(&mut key.destination_workload);
            true
        }
        Ok(Side::Unspecified) | Err(_) => false,
    }
}

fn cut(example: &mut Example) {
    cut_to(&mut example.method, 32);
    cut_to(&mut example.path, MAX_PATH);
    cut_to(&mut example.detail, MAX_DETAIL);
    cut_to(&mut example.endpoint, 64);
    cut_to(&mut example.reason, 32);
    cut_to(&mut example.policy, MAX_PATH);
    if example.trace_id.len() != 16 {
        example.trace_id.clear();
    }
    let Some(key) = example.key.as_mut() else { return };
    for text in [
        &mut key.source_namespace,
        &mut key.source_workload,
        &mut key.service_namespace,
        &mut key.service,
        &mut key.destination_namespace,
        &mut key.destination_workload,
        &mut key.route,
        &mut key.protocol,
        &mut key.failure,
    ] {
        cut_to(text, MAX_TEXT);
    }
}

fn fits(key: &SeriesKey, request: &FailuresRequest, world: World<'_>) -> bool {
    let workload = |wanted: &str, namespace: &str, name: &str| {
        named(wanted, namespace, name) || named(wanted, namespace, world.members.owner(namespace, name))
    };
    let from = |wanted: &str| workload(wanted, &key.source_namespace, &key.source_workload);
    let to = |wanted: &str| {
        workload(wanted, &key.destination_namespace, &key.destination_workload)
            || named(wanted, &key.service_namespace, &key.service)
    };
    // The callee's proxy does not know by which service it was called.
    let behind = |wanted: &str| {
        let workload = (key.destination_namespace.as_str(), key.destination_workload.as_str());
        let mut services =
            world.services.iter().filter(|((namespace, name), _)| named(wanted, namespace, name));
        key.side == i32::from(Side::Inbound)
            && key.service.is_empty()
            && services.any(|(_, workloads)| workloads.contains(&workload))
    };
    let in_namespace = [&key.source_namespace, &key.service_namespace, &key.destination_namespace];
    (request.namespace.is_empty() || in_namespace.iter().any(|one| **one == request.namespace))
        && (request.from.is_empty() || from(&request.from))
        && (request.to.is_empty() || to(&request.to) || behind(&request.to))
        && (request.about.is_empty() || from(&request.about) || to(&request.about) || behind(&request.about))
}

#[cfg(test)]
mod tests {
    use mesh_proto::report::v1::Security;

    use super::super::members::Members;
    use super::super::stats::group::Behind;
    use super::*;

    /// What objects say: nothing, or that `cart-1` is behind `cart`.
    #[derive(Default)]
    struct Told {
        members: Members,
        services: Behind<'static>,
    }

    impl Told {
        fn world(&self) -> World<'_> {
            World { members: &self.members, services: &self.services }
        }
    }

    const WEB: Reporter<'_> = Reporter { namespace: "shop", workload: "web" };

    fn example(failure: &str, time_ms: u64, detail: &str) -> Example {
        let key = SeriesKey {
            side: Side::Outbound.into(),
            source_workload: "somebody".into(),
            service_namespace: "shop".into(),
            service: "cart".into(),
            service_port: 80,
            protocol: "http".into(),
            status: 503,
            failure: failure.into(),
            security: Security::Mtls.into(),
            ..SeriesKey::default()
        };
        Example { key: Some(key), time_ms, detail: detail.into(), count: 2, ..Example::default() }
    }

    fn ask(failures: &Failures, request: FailuresRequest, now_ms: u64) -> Vec<(String, u64, String)> {
        let told_of = Told::default();
        let rows = failures.rows(&request, now_ms, told_of.world());
        let told = rows.into_iter().map(|row| {
            let example = row.example.unwrap();
            (row.key.unwrap().source_workload, row.count, example.detail)
        });
        told.collect()
    }

    #[test]
    fn the_last_example_of_each_kind_is_kept_with_how_many_there_were() {
        let mut failures = Failures::default();
        failures.record(WEB, "1", vec![example("no_endpoints", 1_000_000, "first")], 1_000_100);
        failures.record(WEB, "1", vec![example("no_endpoints", 1_061_000, "second")], 1_061_100);
        failures.record(WEB, "1", vec![example("no_endpoints", 5, "late")], 1_061_200);
        let told = ask(&failures, FailuresRequest::default(), 1_062_000);
        assert_eq!(
            told,
            [("web".to_owned(), 6, "second".to_owned())],
            "and who reports is believed by its identity"
        );
        let last_minute = FailuresRequest { window_seconds: 1, ..FailuresRequest::default() };
        assert_eq!(ask(&failures, last_minute, 1_062_000)[0].1, 4);
        failures.expire(1_062_000 + 3_700_000);
        assert!(failures.is_empty());
    }

    #[test]
    fn what_is_asked_about_is_told() {
        let mut failures = Failures::default();
        failures.record(WEB, "1", vec![example("no_endpoints", 1_000, "")], 1_000);
        let count = |request| ask(&failures, request, 2_000).len();
        let about = |about: &str| FailuresRequest { about: about.into(), ..FailuresRequest::default() };
        assert_eq!((count(about("web")), count(about("shop/cart")), count(about("db"))), (1, 1, 0));
        assert_eq!(count(FailuresRequest { namespace: "bank".into(), ..FailuresRequest::default() }), 0);
    }

    #[test]
    fn of_a_service_what_its_workloads_refused_is_told() {
        const CART: Reporter<'_> = Reporter { namespace: "shop", workload: "cart-1" };
        let mut failures = Failures::default();
        let mut refused = example("policy_denied", 1_000, "");
        let key = refused.key.as_mut().unwrap();
        (key.side, key.service_namespace, key.service) = (Side::Inbound.into(), String::new(), String::new());
        failures.record(CART, "1", vec![refused], 1_000);
        let services = [(("shop", "cart"), [("shop", "cart-1")].into())].into();
        let told = Told { services, ..Told::default() };
        let count = |about: &str| {
            let request = FailuresRequest { about: about.into(), ..FailuresRequest::default() };
            failures.rows(&request, 2_000, told.world()).len()
        };
        assert_eq!((count("cart"), count("shop/cart"), count("bank/cart"), count("stock")), (1, 1, 0, 0));
        let to = FailuresRequest { to: "cart".into(), ..FailuresRequest::default() };
        assert_eq!(failures.rows(&to, 2_000, told.world()).len(), 1);
    }

    #[test]
    fn ways_to_fail_are_kinds_of_their_own() {
        let mut failures = Failures::default();
        for reason in ["refused", "unreachable"] {
            let one = Example { reason: reason.into(), ..example("connect_failed", 1_000, "") };
            failures.record(WEB, "1", vec![one], 1_000);
        }
        assert_eq!(failures.len(), 2);
    }

    #[test]
    fn a_kind_too_many_takes_the_place_of_the_oldest_and_is_counted() {
        let mut failures = Failures::default();
        for n in 0..=MAX_KINDS {
            failures.record(WEB, "1", vec![example(&format!("f{n}"), n as u64, "")], 1_000_000);
        }
        assert_eq!((failures.len(), failures.overflow()), (MAX_KINDS, 1));
        let rows = failures.rows(&FailuresRequest::default(), 1_000_000, Told::default().world());
        assert!(!rows.iter().any(|row| row.key.as_ref().unwrap().failure == "f0"));
    }

    #[test]
    fn texts_of_a_proxy_are_cut() {
        let mut failures = Failures::default();
        let long = Example { path: "ä".repeat(5_000), ..example("x", 1, &"d".repeat(5_000)) };
        failures.record(WEB, "1", vec![long], 1_000);
        let kept = failures.rows(&FailuresRequest::default(), 2_000, Told::default().world()).remove(0);
        let example = kept.example.unwrap();
        assert_eq!((example.path.len(), example.detail.len()), (MAX_PATH, MAX_DETAIL));
    }
}
