//! What proxies take of their machines, by what they report: CPU and requests over the last minutes, memory now, and the time that
//! requests spend in the proxy itself. Pure; time is an argument. Bounded: proxies that find no room are not told, and counted.

use std::collections::{HashMap, VecDeque};

use mesh_proto::inspect::v1::ProxyCost;
use mesh_proto::report::v1::{Histogram as Wire, Usage};

use super::histogram::Histogram;
use super::proxies::ProxyKey;

/// Most proxies: 2 kB each and at most 9 kB of histograms, 55 MB of all.
pub const MAX_PROXIES: usize = 5_000;
/// How long is kept, and what is taken where a question does not say.
pub const KEPT_MS: u64 = 10 * 60 * 1000;
const USUAL_MS: u64 = 60 * 1000;
/// Between two samples that are kept.
const STEP_MS: u64 = 10 * 1000;
/// Width of a slot of histograms.
const SLOT_MS: u64 = 60 * 1000;
/// Most buckets of one report that are looked at: 2^(64/8) lies between the fastest and the slowest of them.
const MAX_BUCKETS: usize = 64;
/// A proxy that says nothing for so long is gone.
const GONE_MS: u64 = 30 * 1000;

#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    at_ms: u64,
    up_ms: u64,
    cpu_us: u64,
    inbound: u64,
    outbound: u64,
}

#[derive(Debug, Default)]
struct Slot {
    slot: u64,
    inbound: Histogram,
    outbound: Histogram,
}

#[derive(Debug, Default)]
struct Kept {
    /// The oldest first, a step apart.
    samples: VecDeque<Sample>,
    newest: Sample,
    resident_bytes: u64,
    slots: VecDeque<Slot>,
}

/// Of all proxies.
#[derive(Debug, Default)]
pub struct Costs {
    known: HashMap<ProxyKey, Kept>,
    overflow: u64,
}

impl Costs {
    /// Notes what a proxy said.
    pub fn record(&mut self, key: &ProxyKey, usage: &Usage, now_ms: u64) {
        if !self.known.contains_key(key) && self.known.len() >= MAX_PROXIES {
            self.overflow = self.overflow.saturating_add(1);
            return;
        }
        self.known.entry(key.clone()).or_default().add(usage, now_ms);
    }

    /// Forgets proxies that are gone.
    pub fn expire(&mut self, now_ms: u64) {
        self.known.retain(|_, kept| kept.newest.at_ms + GONE_MS > now_ms);
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

    /// What each took in the last `window_seconds` (0: a minute), by name; whose owner is whom is not known here.
    pub fn rows(&self, namespace: &str, window_seconds: u32, now_ms: u64) -> Vec<ProxyCost> {
        let window_ms = match u64::from(window_seconds) * 1000 {
            0 => USUAL_MS,
            window => window.min(KEPT_MS),
        };
        let meant = self.known.iter().filter(|(key, _)| namespace.is_empty() || key.0 == namespace);
        let rows = meant.map(|((namespace, workload, instance), kept)| ProxyCost {
            namespace: namespace.clone(),
            workload: workload.clone(),
            instance: instance.clone(),
            ..kept.cost(window_ms, now_ms)
        });
        let mut rows: Vec<ProxyCost> = rows.collect();
        rows.sort_by(|a, b| {
            (&a.namespace, &a.workload, &a.instance).cmp(&(&b.namespace, &b.workload, &b.instance))
        });
        rows
    }
}

impl Kept {
    fn add(&mut self, usage: &Usage, now_ms: u64) {
        let sample = Sample {
            at_ms: now_ms,
            up_ms: usage.up_ms,
            cpu_us: usage.cpu_us,
            inbound: usage.inbound,
            outbound: usage.outbound,
        };
        // Another process under the same name begins anew.
        if sample.up_ms < self.newest.up_ms || sample.cpu_us < self.newest.cpu_us {
            *self = Self::default();
        }
        (self.newest, self.resident_bytes) = (sample, usage.resident_bytes);
        if self.samples.back().is_none_or(|last| last.at_ms + STEP_MS <= now_ms) {
            self.samples.push_back(sample);
        }
        while self.samples.front().is_some_and(|first| first.at_ms + KEPT_MS + STEP_MS < now_ms) {
            self.samples.pop_front();
        }
        let slot = now_ms / SLOT_MS;
        if self.slots.back().is_none_or(|last| last.slot < slot) {
            self.slots.push_back(Slot { slot, ..Slot::default() });
        }
        while self.slots.front().is_some_and(|first| first.slot + KEPT_MS / SLOT_MS < slot) {
            self.slots.pop_front();
        }
        if let Some(last) = self.slots.back_mut() {
            last.inbound.merge(&read(usage.inbound_own.as_ref()));
            last.outbound.merge(&read(usage.outbound_own.as_ref()));
        }
    }

    fn cost(&self, window_ms: u64, now_ms: u64) -> ProxyCost {
        let begin = now_ms.saturating_sub(window_ms);
        let before = self.samples.iter().rfind(|sample| sample.at_ms <= begin).or(self.samples.front());
        let (from, to) = (before.copied().unwrap_or_default(), self.newest);
        let slots = self.slots.iter().filter(|slot| (slot.slot + 1) * SLOT_MS > begin);
        let (mut inbound, mut outbound) = (Histogram::default(), Histogram::default());
        for slot in slots {
            inbound.merge(&slot.inbound);
            outbound.merge(&slot.outbound);
        }
        ProxyCost {
            interval_ms: to.up_ms.saturating_sub(from.up_ms),
            cpu_us: to.cpu_us.saturating_sub(from.cpu_us),
            resident_bytes: self.resident_bytes,
            inbound: to.inbound.saturating_sub(from.inbound),
            outbound: to.outbound.saturating_sub(from.outbound),
            inbound_own: Some(inbound.to_wire()),
            outbound_own: Some(outbound.to_wire()),
            ..ProxyCost::default()
        }
    }
}

fn read(wire: Option<&Wire>) -> Histogram {
    let Some(wire) = wire else { return Histogram::default() };
    let cut = |list: &[u32]| list.iter().take(MAX_BUCKETS).copied().collect();
    Histogram::from_wire(&Wire { indices: cut(&wire.indices), counts: wire.counts.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ProxyKey {
        ("shop".to_owned(), name.to_owned(), "i".to_owned())
    }

    /// A process that takes a hundredth of a CPU, with 20 requests a second, `seconds` after its begin.
    fn usage(seconds: u64) -> Usage {
        let own = Wire { indices: vec![40, 48], counts: vec![5, 5] };
        Usage {
            up_ms: seconds * 1000,
            cpu_us: seconds * 10_000,
            resident_bytes: 9 << 20,
            inbound: seconds * 20,
            outbound: seconds,
            inbound_own: Some(own),
            outbound_own: None,
        }
    }

    #[test]
    fn what_was_taken_in_the_window_is_told() {
        let mut costs = Costs::default();
        for seconds in (0..1_200).step_by(5) {
            costs.record(&key("cart"), &usage(seconds), 1_000_000 + seconds * 1000);
        }
        let now = 1_000_000 + 1_195_000;
        for (window, interval_ms) in
            [(0, 65_000), (60, 65_000), (300, 305_000), (600, 605_000), (3_600, 605_000)]
        {
            let rows = costs.rows("", window, now);
            let row = &rows[0];
            assert_eq!((row.interval_ms, row.cpu_us), (interval_ms, interval_ms * 10), "{window}");
            assert_eq!((row.inbound, row.outbound), (interval_ms / 50, interval_ms / 1000), "{window}");
        }
        assert!(costs.known.values().all(|kept| kept.samples.len() <= 62 && kept.slots.len() <= 11));
        assert!(costs.rows("elsewhere", 0, now).is_empty());
    }

    #[test]
    fn a_process_that_began_anew_is_another_one_and_one_that_is_gone_is_forgotten() {
        let mut costs = Costs::default();
        costs.record(&key("cart"), &usage(500), 0);
        costs.record(&key("cart"), &usage(2), 5_000);
        costs.record(&key("cart"), &usage(12), 15_000);
        let row = &costs.rows("shop", 0, 15_000)[0];
        assert_eq!((row.interval_ms, row.cpu_us), (10_000, 100_000));
        costs.expire(44_000);
        assert_eq!(costs.len(), 1);
        costs.expire(46_000);
        assert!(costs.is_empty());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut costs = Costs::default();
        for n in 0..=MAX_PROXIES {
            costs.record(&key(&format!("p{n}")), &usage(1), 0);
        }
        assert_eq!((costs.len(), costs.overflow()), (MAX_PROXIES, 1));
        let wide = Wire { indices: (0..300).collect(), counts: vec![1; 300] };
        assert_eq!(read(Some(&wide)).buckets().len(), MAX_BUCKETS);
    }
}
