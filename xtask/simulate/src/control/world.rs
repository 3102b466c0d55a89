//! Plays a scenario: a heap of events, proxies that connect, lose their stream and come back, changes that reach whom they concern. No time but
//! the heap's.

#![allow(
    clippy::indexing_slicing,
    reason = "numbers of proxies and replicas are places in the lists that are made here"
)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use mesh_controller::serve::admission::Key;
use mesh_identity::channel::{CONNECT_DEADLINE, KEEP_ALIVE};
use mesh_lifecycle::Backoff;
use mesh_proxy::xds::{LEAST_WAIT, MOST_WAIT, SILENCE, SPREAD};

use super::Size;
use super::costs::Costs;
use super::replica::{Attempt, Replica};
use super::scenario::{self, Event, PARTITION_S, ROLLING_S, ROLLOUT_S, Spell};

/// Nanoseconds, so that they have an order.
type Time = u64;

/// There and back, seconds.
const ROUND_S: f64 = 0.001;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A proxy tries to connect.
    Try(usize),
    /// A proxy has all that it asked for, from that life of a replica.
    Settled(usize, usize, u32),
    /// A proxy finds out that its stream is dead.
    Lost(usize, u32),
    /// Objects change.
    Change,
    Begin(usize),
    /// A replica is ready.
    Ready(usize),
    /// The next one is replaced.
    Replace(usize),
    /// The cut is whole again.
    Heal,
}

#[derive(Debug)]
struct Proxy {
    key: Key,
    backoff: Backoff,
    /// The replica whose stream it has, or is getting.
    at: Option<usize>,
    /// Grows with each stream, so that what is said of an old one is known.
    stream: u32,
    settled: bool,
    /// It has been told all that there was before.
    knows: bool,
    cut: bool,
    /// Since when it cannot know what is new.
    stale_since: f64,
}

/// What came of a spell.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) name: &'static str,
    /// Proxies that lost their stream, or had none.
    pub(crate) hit: usize,
    /// Until all had one again and knew all, since it was over; None: never.
    pub(crate) settled_s: Option<f64>,
    pub(crate) attempts: u64,
    /// Attempts that were told that there is no place, or heard nothing.
    pub(crate) in_vain: u64,
    /// Longest that a proxy was without news.
    pub(crate) most_stale_s: f64,
    /// Streams of the replica that had most.
    pub(crate) most_streams: usize,
    /// Connections that were being made at one replica.
    pub(crate) most_making: usize,
    /// From change to proxy, sorted, milliseconds.
    pub(crate) delays_ms: Vec<f64>,
    pub(crate) cores: f64,
}

#[derive(Debug)]
pub(crate) struct Result {
    pub(crate) spells: Vec<Came>,
    pub(crate) virtual_s: f64,
    pub(crate) events: u64,
}

pub(crate) struct World {
    size: Size,
    costs: Costs,
    heap: BinaryHeap<Reverse<(Time, u64, What)>>,
    /// Of events, so that those of one moment keep their order.
    number: u64,
    now: f64,
    proxies: Vec<Proxy>,
    replicas: Vec<Replica>,
    spells: Vec<Spell>,
    came: Vec<Came>,
    unsettled: usize,
    since: f64,
}

impl World {
    pub(crate) fn run(size: Size, costs: Costs) -> Result {
        // The back-off's jitter comes from this thread's generator too.
        fastrand::seed(size.seed);
        let spells = scenario::all(size.replicas);
        let proxies = (0..size.proxies).map(proxy).collect();
        let mut replicas: Vec<Replica> = (0..size.replicas).map(|_| Replica::new(size.cores)).collect();
        for replica in &mut replicas {
            replica.start(0.0);
        }
        let mut world = Self {
            size,
            costs,
            heap: BinaryHeap::new(),
            number: 0,
            now: 0.0,
            proxies,
            replicas,
            spells,
            came: Vec::new(),
            unsettled: size.proxies,
            since: 0.0,
        };
        for (index, spell) in world.spells.clone().iter().enumerate() {
            world.at(spell.at_s, What::Begin(index));
        }
        world.at(1.0 / f64::from(size.changes), What::Change);
        let end = scenario::end_s(&world.spells);
        while let Some(Reverse((time, _, what))) = world.heap.pop() {
            world.now = time as f64 / 1e9;
            if world.now > end {
                break;
            }
            world.happens(what);
        }
        world.close();
        Result { spells: world.came, virtual_s: end, events: world.number }
    }

    fn at(&mut self, time: f64, what: What) {
        self.number += 1;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "times are positive, and nanoseconds of hours fit"
        )]
        let time = (time * 1e9) as Time;
        self.heap.push(Reverse((time, self.number, what)));
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Try(proxy) => self.tries(proxy),
            What::Settled(proxy, replica, stream) => self.settled(proxy, replica, stream),
            What::Lost(proxy, stream) => {
                if self.proxies[proxy].stream == stream {
                    self.lost(proxy);
                }
            }
            What::Change => self.change(),
            What::Begin(spell) => self.begin(spell),
            What::Ready(replica) => self.replicas[replica].start(self.now),
            What::Replace(replica) => {
                self.kill(replica);
                if replica + 1 < self.replicas.len() {
                    self.at(self.now + ROLLING_S, What::Replace(replica + 1));
                }
            }
            What::Heal => self.proxies.iter_mut().for_each(|proxy| proxy.cut = false),
        }
    }

    /// Through the Service's address: some replica that is ready. One that is gone without a word is still among them.
    fn tries(&mut self, proxy: usize) {
        if self.proxies[proxy].at.is_some() {
            return;
        }
        let came = self.came.last_mut();
        if let Some(came) = came {
            came.attempts += 1;
        }
        let ready: Vec<usize> =
            (0..self.replicas.len()).filter(|replica| self.replicas[*replica].alive).collect();
        let one = &mut self.proxies[proxy];
        one.stream += 1;
        let patience = CONNECT_DEADLINE.as_secs_f64();
        if one.cut {
            return self.again(proxy, patience);
        }
        let Some(replica) = fastrand::choice(&ready).copied() else {
            // Nobody listens: refused at once.
            return self.again(proxy, ROUND_S);
        };
        let ms = if one.knows { self.costs.resume_ms } else { self.costs.connect_ms };
        match self.replicas[replica].attempt(&one.key, self.now, ms / 1e3, patience) {
            Attempt::Served(end) => {
                one.at = Some(replica);
                let stream = one.stream;
                self.at(end + ROUND_S, What::Settled(proxy, replica, stream));
            }
            Attempt::Full(end, _) => self.again(proxy, end - self.now + ROUND_S),
            Attempt::Nothing => self.again(proxy, patience),
        }
    }

    /// It was in vain, which takes so long to know.
    fn again(&mut self, proxy: usize, after: f64) {
        self.came.last_mut().into_iter().for_each(|came| came.in_vain += 1);
        let wait = self.proxies[proxy].backoff.next().as_secs_f64();
        self.at(self.now + after + wait, What::Try(proxy));
    }

    fn settled(&mut self, proxy: usize, replica: usize, stream: u32) {
        let now = self.now;
        let one = &mut self.proxies[proxy];
        if one.stream != stream || one.at != Some(replica) || !self.replicas[replica].alive {
            return;
        }
        if one.cut {
            return;
        }
        one.backoff.reset();
        (one.settled, one.knows) = (true, true);
        self.unsettled -= 1;
        let stale_since = one.stale_since;
        let over = self.spells[self.index()].over_s;
        if let Some(came) = self.came.last_mut() {
            came.most_stale_s = came.most_stale_s.max(now - stale_since);
            if self.unsettled == 0 {
                came.settled_s = Some((now - over).max(0.0));
            }
        }
    }

    /// A stream has ended, or was found to be dead.
    fn lost(&mut self, proxy: usize) {
        let now = self.now;
        let one = &mut self.proxies[proxy];
        let Some(replica) = one.at.take() else { return };
        if self.replicas[replica].alive {
            self.replicas[replica].leave(&one.key, now);
        }
        one.stream += 1;
        let wait = SPREAD.mul_f64(fastrand::f64()).max(LEAST_WAIT).as_secs_f64();
        self.unsettle(proxy);
        self.at(now + wait, What::Try(proxy));
    }

    fn unsettle(&mut self, proxy: usize) {
        let one = &mut self.proxies[proxy];
        if std::mem::take(&mut one.settled) {
            one.stale_since = self.now;
            self.unsettled += 1;
            self.came
                .last_mut()
                .into_iter()
                .for_each(|came| (came.hit, came.settled_s) = (came.hit + 1, None));
        }
    }

    /// Which of the spells it is.
    fn index(&self) -> usize {
        self.came.len().saturating_sub(1)
    }

    fn begin(&mut self, spell: usize) {
        self.close();
        let all = self.unsettled == self.size.proxies;
        self.came.push(Came {
            name: self.spells[spell].name,
            hit: if all { self.size.proxies } else { 0 },
            settled_s: None,
            attempts: 0,
            in_vain: 0,
            most_stale_s: 0.0,
            most_streams: 0,
            most_making: 0,
            delays_ms: Vec::new(),
            cores: 0.0,
        });
        match self.spells[spell].event {
            Event::Rollout => {
                for proxy in 0..self.size.proxies {
                    let starts = self.now + fastrand::f64() * ROLLOUT_S;
                    self.proxies[proxy].stale_since = starts;
                    self.at(starts, What::Try(proxy));
                }
            }
            Event::KillOne => self.kill(0),
            Event::KillAll => (0..self.replicas.len()).for_each(|replica| self.kill(replica)),
            Event::Rolling => self.at(self.now, What::Replace(0)),
            Event::Partition => self.partition(),
            Event::LoseNode => self.lose_node(1),
        }
    }

    /// Its streams end at once, and it starts anew.
    fn kill(&mut self, replica: usize) {
        self.replicas[replica].kill();
        for proxy in 0..self.size.proxies {
            if self.proxies[proxy].at == Some(replica) {
                self.lost(proxy);
            }
        }
        self.at(self.now + self.costs.start_s, What::Ready(replica));
    }

    /// Nobody hears of it: proxies find out by their own signs of life.
    fn lose_node(&mut self, replica: usize) {
        self.replicas[replica].kill();
        for proxy in 0..self.size.proxies {
            if self.proxies[proxy].at == Some(replica) {
                self.unsettle(proxy);
                self.find_out(proxy);
            }
        }
        // Another one in its place, when somebody has noticed.
        self.at(self.now + SILENCE.as_secs_f64() + self.costs.start_s, What::Ready(replica));
    }

    fn partition(&mut self) {
        for proxy in 0..self.size.proxies / 3 {
            self.proxies[proxy].cut = true;
            self.unsettle(proxy);
            self.find_out(proxy);
        }
        self.at(self.now + PARTITION_S, What::Heal);
    }

    /// A sign of life is asked for regularly, and missed after as long again.
    fn find_out(&mut self, proxy: usize) {
        let every = KEEP_ALIVE.as_secs_f64();
        let after = (every * fastrand::f64() + every).min(SILENCE.as_secs_f64());
        let stream = self.proxies[proxy].stream;
        self.at(self.now + after, What::Lost(proxy, stream));
    }

    /// A service changes: each replica works it out, and tells those of its streams that use it.
    fn change(&mut self) {
        self.at(self.now + 1.0 / f64::from(self.size.changes), What::Change);
        let now = self.now;
        for replica in self.replicas.iter_mut().filter(|replica| replica.alive) {
            replica.work(now, self.costs.change_ms / 1e3);
        }
        let concerned = self.size.proxies * self.size.uses / self.size.services;
        let mut told = vec![0_u32; self.replicas.len()];
        for _ in 0..concerned {
            let one = &self.proxies[fastrand::usize(0..self.size.proxies)];
            if let (true, Some(replica)) = (one.settled && !one.cut, one.at) {
                told[replica] += 1;
            }
        }
        for (replica, count) in told.iter().enumerate().filter(|(_, count)| **count > 0) {
            // The last of them: the others know earlier.
            let end = self.replicas[replica].work(now, f64::from(*count) * self.costs.push_us / 1e6);
            self.came
                .last_mut()
                .into_iter()
                .for_each(|came| came.delays_ms.push((end - now + ROUND_S) * 1e3));
        }
    }

    /// A spell ends, and what was counted of the replicas is its.
    fn close(&mut self) {
        let lasted = self.now - self.since;
        self.since = self.now;
        let busy: f64 = self.replicas.iter().map(|replica| replica.busy_s).sum();
        if let Some(came) = self.came.last_mut() {
            came.delays_ms.sort_by(f64::total_cmp);
            came.most_streams =
                self.replicas.iter().map(|replica| replica.most_open).max().unwrap_or_default();
            came.most_making =
                self.replicas.iter().map(|replica| replica.most_making).max().unwrap_or_default();
            came.cores = busy / lasted.max(1e-9) / self.size.replicas as f64;
        }
        for replica in &mut self.replicas {
            (replica.busy_s, replica.most_making, replica.most_open) = (0.0, 0, replica.open);
        }
    }
}

fn proxy(number: usize) -> Proxy {
    Proxy {
        key: ("shop".into(), format!("w{number}").into()),
        backoff: Backoff::new(LEAST_WAIT, MOST_WAIT),
        at: None,
        stream: 0,
        settled: false,
        knows: false,
        cut: false,
        stale_since: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(seed: u64) -> Size {
        Size { proxies: 3_000, replicas: 3, cores: 2, services: 1_000, uses: 10, changes: 5, seed }
    }

    #[test]
    fn everybody_has_a_stream_again_after_each_spell() {
        let result = World::run(size(1), Costs::default());
        assert_eq!(result.spells.len(), 6);
        for came in &result.spells {
            assert!(came.settled_s.is_some(), "{came:?}");
            assert!(came.hit > 0 && came.attempts >= u64::try_from(came.hit).unwrap(), "{came:?}");
            assert!(!came.delays_ms.is_empty());
        }
        assert_eq!(result.spells[5].hit, 3_000, "all replicas were killed");
    }

    #[test]
    fn the_same_seed_is_the_same_run_and_another_is_another() {
        let run = |seed| format!("{:?}", World::run(size(seed), Costs::default()));
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    /// Replicas that cannot carry all are found out.
    #[test]
    fn too_few_replicas_never_settle() {
        let too_many = Size { proxies: 25_000, replicas: 2, ..size(1) };
        let result = World::run(too_many, Costs::default());
        assert_eq!(result.spells[0].settled_s, None);
    }
}
