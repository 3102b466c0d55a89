//! Facts about rotation: a small mesh of replicas and members, in any order of events, with losses.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::members::Issuance;

const LIFE: u64 = 60;
const START: u64 = 1_000_000;
const NEVER: Due = Due { root: u64::MAX, issuer: u64::MAX };

/// A root, by number.
type Root = u32;

/// What is stored: the rotation, and which roots there are.
#[derive(Debug, Clone)]
struct Stored {
    rotation: Rotation,
    current: Root,
    next: Option<Root>,
    old: Option<Root>,
    made: Root,
}

impl Stored {
    fn bundle(&self) -> BTreeSet<Root> {
        let next = self.next.filter(|_| self.rotation.step >= Step::RootPublished);
        [Some(self.current), next, self.old].into_iter().flatten().collect()
    }

    fn after(&self, act: Act, now: u64) -> Self {
        let mut stored = Self { rotation: self.rotation.after(act, now), ..self.clone() };
        match act {
            Act::Prepare => {
                stored.made += 1;
                stored.next = Some(stored.made);
            }
            Act::Move => {
                stored.old = Some(stored.current);
                stored.current = stored.next.take().unwrap();
            }
            Act::Drop => stored.old = None,
            Act::Publish | Act::RenewIssuer => {}
        }
        stored
    }
}

#[derive(Debug)]
struct Replica {
    name: String,
    /// What it took over; `None` while it does not run.
    held: Option<Stored>,
    adopted: u64,
    synced: u64,
    members: Members,
}

#[derive(Debug)]
struct Process {
    instance: String,
    root: Root,
    not_after: u64,
    generation: u64,
    trusts: BTreeSet<Root>,
}

#[derive(Debug)]
struct World {
    now: u64,
    stored: Stored,
    views: BTreeMap<String, View>,
    replicas: Vec<Replica>,
    processes: Vec<Process>,
    capacity: usize,
    joined: usize,
    dropped: usize,
}

#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Join(usize),
    Renew(usize, usize, bool),
    Follow(usize, usize, bool),
    /// A look of a replica; it may be killed after having written its view, before it acts.
    Tick(usize, bool),
    Kill(usize),
    Stop(usize),
    Start(usize),
    Ask,
    Vanish(usize),
}

impl World {
    fn new(replicas: usize, capacity: usize) -> Self {
        let rotation = Rotation::begin(START, LIFE);
        let stored = Stored { rotation, current: 1, next: None, old: None, made: 1 };
        let replica = |index| Replica {
            name: format!("ca-{index}"),
            held: None,
            adopted: 0,
            synced: 0,
            members: Members::new(capacity),
        };
        let mut world = Self {
            now: START,
            stored,
            views: BTreeMap::new(),
            replicas: (0..replicas).map(replica).collect(),
            processes: Vec::new(),
            capacity,
            joined: 0,
            dropped: 0,
        };
        (0..replicas).for_each(|index| world.start(index));
        world
    }

    /// As a replica starts: its view first, then the state.
    fn start(&mut self, index: usize) {
        if self.replicas[index].held.is_some() {
            return;
        }
        let (now, held) = (self.now, self.stored.clone());
        let replica = &mut self.replicas[index];
        replica.members = Members::new(self.capacity);
        if let Some(view) = self.views.get(&replica.name) {
            replica.members.resume(view, LIFE, now);
        }
        replica.adopted = now;
        let view = replica.members.view(&replica.name, held.rotation.point(), now, now);
        self.views.insert(replica.name.clone(), view);
        replica.held = Some(self.stored.clone());
        replica.synced = now;
    }

    fn adopt(&mut self, index: usize) {
        let (now, stored, replica) = (self.now, self.stored.clone(), &mut self.replicas[index]);
        if replica.held.as_ref().is_some_and(|held| held.rotation.point() != stored.rotation.point()) {
            replica.adopted = now;
        }
        replica.held = Some(stored);
    }

    fn tick(&mut self, index: usize, is_killed: bool) {
        if self.replicas[index].held.is_none() {
            return;
        }
        self.adopt(index);
        let (now, point) = (self.now, self.stored.rotation.point());
        let replica = &mut self.replicas[index];
        let view = replica.members.view(&replica.name, point, replica.adopted, now);
        replica.synced = now;
        self.views.insert(replica.name.clone(), view);
        self.views.retain(|_, view| !view.is_over(LIFE, now));
        if is_killed {
            self.replicas[index].held = None;
            return;
        }
        let views: Vec<_> = self.views.values().cloned().collect();
        if let Next::Do(act) = next(&self.stored.rotation, NEVER, &views, now) {
            self.stored = self.stored.after(act, now);
            self.dropped += usize::from(act == Act::Drop);
            self.adopt(index);
        }
    }

    fn stop(&mut self, index: usize) {
        let now = self.now;
        let replica = &mut self.replicas[index];
        if let Some(held) = replica.held.take() {
            let view = replica.members.view(&replica.name, held.rotation.point(), replica.adopted, now);
            self.views.insert(replica.name.clone(), View { has_ended: true, ..view });
        }
    }

    /// The replica's root and bundle, if it may sign.
    fn signs(&self, index: usize) -> Option<(Root, u64, BTreeSet<Root>)> {
        let replica = &self.replicas[index];
        let held = replica.held.as_ref().filter(|_| self.now <= replica.synced + LIFE)?;
        Some((held.current, held.rotation.generation, held.bundle()))
    }

    fn join(&mut self, index: usize) {
        let Some((root, generation, trusts)) = self.signs(index) else { return };
        self.joined += 1;
        let (instance, not_after, now) = (self.joined.to_string(), self.now + LIFE, self.now);
        let it = Issuance { id: "cart", instance: &instance, not_after, generation: 0 };
        self.replicas[index].members.issued(it, true, generation, now);
        self.processes.push(Process { instance, root, not_after, generation, trusts });
    }

    fn renew(&mut self, which: usize, index: usize, is_lost: bool) {
        let Some((root, generation, trusts)) = self.signs(index) else { return };
        let (now, not_after) = (self.now, self.now + LIFE);
        let Some(process) = pick(&mut self.processes, which) else { return };
        if process.not_after <= now {
            return;
        }
        let known = process.generation;
        let it = Issuance { id: "cart", instance: &process.instance, not_after, generation: known };
        self.replicas[index].members.issued(it, false, generation, now);
        // One that lags behind may give an older bundle than the member has: it keeps what it has.
        if !is_lost && generation >= process.generation {
            (process.root, process.not_after) = (root, not_after);
            (process.generation, process.trusts) = (generation, trusts);
        } else if !is_lost {
            (process.root, process.not_after) = (root, not_after);
        }
    }

    fn follow(&mut self, which: usize, index: usize, is_lost: bool) {
        let now = self.now;
        let Some(held) = self.replicas[index].held.as_ref() else { return };
        let (generation, trusts) = (held.rotation.generation, held.bundle());
        let Some(process) = pick(&mut self.processes, which) else { return };
        if generation > process.generation {
            (process.generation, process.trusts) = (generation, trusts);
        }
        if !is_lost {
            let Process { instance, not_after, generation: known, .. } = process;
            let it = Issuance { id: "cart", instance, not_after: *not_after, generation: *known };
            self.replicas[index].members.acknowledged(it, generation, now);
        }
    }

    fn happen(&mut self, event: &Event) {
        let count = self.replicas.len();
        match *event {
            Event::Pass(seconds) => self.now += seconds,
            Event::Join(index) => self.join(index % count),
            Event::Renew(which, index, is_lost) => self.renew(which, index % count, is_lost),
            Event::Follow(which, index, is_lost) => self.follow(which, index % count, is_lost),
            Event::Tick(index, is_killed) => self.tick(index % count, is_killed),
            Event::Kill(index) => self.replicas[index % count].held = None,
            Event::Stop(index) => self.stop(index % count),
            Event::Start(index) => self.start(index % count),
            Event::Ask => self.stored.rotation.asked = Some(Asked::Root),
            Event::Vanish(which) => {
                if !self.processes.is_empty() {
                    let which = which % self.processes.len();
                    self.processes.swap_remove(which);
                }
            }
        }
        let now = self.now;
        self.processes.retain(|process| process.not_after > now);
    }

    /// Everybody who can be met accepts everybody else.
    fn check(&self) {
        for shown in &self.processes {
            for verifier in &self.processes {
                assert!(
                    verifier.trusts.contains(&shown.root),
                    "{verifier:?} refuses {shown:?} while {:?}\n{:#?}",
                    self.stored,
                    self.views
                );
            }
        }
    }
}

fn pick(processes: &mut [Process], which: usize) -> Option<&mut Process> {
    let count = processes.len();
    processes.get_mut(which.checked_rem(count)?)
}

fn event() -> impl Strategy<Value = Event> {
    let (index, flag) = (0..3_usize, prop::bool::weighted(0.2));
    let which = 0..100_usize;
    prop_oneof![
        4 => (1..30_u64).prop_map(Event::Pass),
        3 => index.clone().prop_map(Event::Join),
        6 => (which.clone(), index.clone(), flag).prop_map(|(a, b, c)| Event::Renew(a, b, c)),
        6 => (which.clone(), index.clone(), flag).prop_map(|(a, b, c)| Event::Follow(a, b, c)),
        10 => (index.clone(), prop::bool::weighted(0.1)).prop_map(|(a, b)| Event::Tick(a, b)),
        1 => index.clone().prop_map(Event::Kill),
        1 => index.clone().prop_map(Event::Stop),
        3 => index.prop_map(Event::Start),
        2 => Just(Event::Ask),
        1 => which.prop_map(Event::Vanish),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_ever_meets_a_root_that_it_does_not_trust(
        replicas in 1..4_usize,
        capacity in prop_oneof![Just(2_usize), Just(100)],
        events in prop::collection::vec(event(), 1..400),
    ) {
        let mut world = World::new(replicas, capacity);
        for event in &events {
            world.happen(event);
            world.check();
        }
        // And from wherever it came to, it goes on to the end.
        world.stored.rotation.asked = Some(Asked::Root);
        let before = world.dropped;
        for turn in 0..400 {
            for index in 0..replicas {
                world.start(index);
                world.happen(&Event::Tick(index, false));
                for which in 0..world.processes.len() {
                    world.happen(&Event::Follow(which, index, false));
                }
            }
            world.check();
            for which in 0..world.processes.len() {
                world.happen(&Event::Renew(which, turn, false));
            }
            world.happen(&Event::Pass(5));
            world.check();
            if world.dropped > before && world.stored.rotation.step == Step::Steady && world.stored.rotation.asked.is_none() {
                break;
            }
        }
        prop_assert!(world.dropped > before, "it did not end: {:?} {:#?}", world.stored, world.views);
    }
}

fn view(members: Vec<Told>, point: Point, time: u64) -> View {
    View {
        replica: "ca-0".into(),
        time,
        has_ended: false,
        point,
        adopted: time,
        members,
        unknown: 0,
        untracked: 0,
        newest: time,
    }
}

fn published() -> Rotation {
    Rotation::begin(START, LIFE).after(Act::Prepare, START).after(Act::Publish, START)
}

use crate::members::Told;

#[test]
fn a_published_root_waits_for_whom_does_not_trust_it_and_says_for_whom() {
    let rotation = published();
    let cart = |generation| Told("cart".into(), "a".into(), START + 50, generation);
    let Next::Wait(waiting) = next(&rotation, NEVER, &[view(vec![cart(1)], rotation.point(), START)], START)
    else {
        panic!("it does not wait");
    };
    assert_eq!((waiting.count, waiting.until), (1, Some(START + 50)));
    assert_eq!(waiting.first[0].instance, "a");
    assert_eq!(waiting.why(), "for 1 member to say that the new root is trusted");
    let trusted = [view(vec![cart(2)], rotation.point(), START)];
    assert_eq!(next(&rotation, NEVER, &trusted, START), Next::Do(Act::Move));
    let ended = [view(vec![cart(1)], rotation.point(), START + 50)];
    assert_eq!(next(&rotation, NEVER, &ended, START + 50), Next::Do(Act::Move), "its certificate has ended");
}

#[test]
fn a_replica_that_has_not_come_as_far_is_waited_for_until_it_may_be_gone() {
    let rotation = published();
    let behind = view(vec![], (1, Step::Steady), START);
    let Next::Wait(waiting) = next(&rotation, NEVER, std::slice::from_ref(&behind), START + 5) else {
        panic!("it does not wait")
    };
    assert_eq!((waiting.replicas.len(), waiting.until), (1, None));
    let Next::Wait(waiting) = next(&rotation, NEVER, std::slice::from_ref(&behind), START + STALE + 1) else {
        panic!("what it signed may live")
    };
    assert_eq!(waiting.until, Some(START + 2 * LIFE + SLACK));
    let over = START + 2 * LIFE + SLACK + 1;
    assert_eq!(next(&rotation, NEVER, &[behind], over), Next::Do(Act::Move));
}

#[test]
fn an_old_root_goes_when_the_last_certificate_of_it_has_ended() {
    let rotation = published().after(Act::Move, START);
    let views = [view(vec![], rotation.point(), START + 7)];
    let end = START + 7 + LIFE + SLACK;
    assert!(matches!(next(&rotation, NEVER, &views, end - 1), Next::Wait(_)));
    assert_eq!(next(&rotation, NEVER, &views, end), Next::Do(Act::Drop));
}

#[test]
fn an_issuer_is_replaced_at_any_step_and_a_root_only_when_nothing_is_under_way() {
    let due = Due { root: START, issuer: START };
    let steady = Rotation::begin(START, LIFE);
    assert_eq!(next(&steady, due, &[], START), Next::Do(Act::Prepare));
    assert_eq!(next(&steady, NEVER, &[], START), Next::Idle);
    assert_eq!(next(&steady, Due { root: u64::MAX, ..due }, &[], START), Next::Do(Act::RenewIssuer));
    let rotation = published();
    let late = Told("cart".into(), "a".into(), START + 50, 1);
    let views = [view(vec![late], rotation.point(), START)];
    assert_eq!(next(&rotation, due, &views, START), Next::Do(Act::RenewIssuer));
    let asked = Rotation { asked: Some(Asked::Issuer), ..steady };
    assert_eq!(next(&asked, NEVER, &[], START), Next::Do(Act::RenewIssuer));
    assert_eq!(asked.after(Act::RenewIssuer, START).asked, None);
}
