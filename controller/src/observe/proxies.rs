//! What each proxy last said about itself: its certificate, its readiness. Pure, and bounded: the longest gone is forgotten first.

use std::collections::HashMap;

use mesh_proto::inspect::v1::{ProxyCertificate, Reporter};
use mesh_proto::report::v1::ProxyState;

/// Most proxies.
pub const MAX_PROXIES: usize = 10_000;
/// A proxy that is gone is remembered this long, so that a batch that it sends again is known.
const REMEMBERED_MS: u64 = 10 * 60 * 1000;
/// Most roots and longest text of a state.
const MAX_ROOTS: usize = 32;
const MAX_TEXT: usize = 300;

/// Which proxy: namespace, workload, instance.
pub type ProxyKey = (String, String, String);

#[derive(Debug, Default)]
struct Record {
    /// As whom it runs, by its certificate.
    account: String,
    state: Option<ProxyState>,
    reported_ms: u64,
    /// Streams that are open; two for a moment while a proxy reconnects.
    streams: u32,
    gone_ms: u64,
    sequence: u64,
}

/// What proxies last said about themselves.
#[derive(Debug, Default)]
pub struct Proxies {
    records: HashMap<ProxyKey, Record>,
}

/// Whether a batch is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// It is to be counted.
    New,
    /// It was counted before.
    Known,
}

impl Proxies {
    /// A stream opens, of that service account. `false`: there is no room.
    #[must_use]
    pub fn open(&mut self, key: &ProxyKey, account: &str) -> bool {
        if !self.records.contains_key(key) && self.records.len() >= MAX_PROXIES {
            let gone = self.records.iter().filter(|(_, record)| record.streams == 0);
            let Some(oldest) = gone.min_by_key(|(_, record)| record.gone_ms).map(|(key, _)| key.clone())
            else {
                return false;
            };
            self.records.remove(&oldest);
        }
        let record = self.records.entry(key.clone()).or_default();
        record.streams += 1;
        account.clone_into(&mut record.account);
        true
    }

    /// A stream has ended.
    pub fn close(&mut self, key: &ProxyKey, now_ms: u64) {
        if let Some(record) = self.records.get_mut(key) {
            record.streams = record.streams.saturating_sub(1);
            record.gone_ms = now_ms;
        }
    }

    /// Notes the number of a batch of metrics. 0: not numbered, always new.
    pub fn batch(&mut self, key: &ProxyKey, sequence: u64) -> Batch {
        let Some(record) = self.records.get_mut(key) else { return Batch::New };
        if sequence == 0 {
            return Batch::New;
        }
        if sequence <= record.sequence {
            return Batch::Known;
        }
        record.sequence = sequence;
        Batch::New
    }

    /// Notes a state.
    pub fn state(&mut self, key: &ProxyKey, mut state: ProxyState, now_ms: u64) {
        let cut = |text: &mut String| {
            if text.len() > MAX_TEXT {
                *text = text.chars().take(MAX_TEXT).collect();
            }
        };
        state.trusted_roots.truncate(MAX_ROOTS);
        state.trusted_roots.iter_mut().for_each(cut);
        [&mut state.spiffe_id, &mut state.certificate_serial, &mut state.issuer].into_iter().for_each(cut);
        if let Some(record) = self.records.get_mut(key) {
            record.state = Some(state);
            record.reported_ms = now_ms;
        }
    }

    /// Forgets those that have long been gone.
    pub fn expire(&mut self, now_ms: u64) {
        self.records.retain(|_, record| record.streams > 0 || record.gone_ms + REMEMBERED_MS > now_ms);
    }

    /// The workloads of proxies with an open stream.
    pub fn reporters(&self) -> impl Iterator<Item = Reporter> {
        let open = self.records.iter().filter(|(_, record)| record.streams > 0);
        open.map(|((namespace, workload, _), record)| Reporter {
            namespace: namespace.clone(),
            workload: workload.clone(),
            service_account: record.account.clone(),
        })
    }

    /// Proxies with an open stream.
    pub fn connected(&self) -> usize {
        self.records.values().filter(|record| record.streams > 0).count()
    }

    /// Certificates of the connected proxies, by name.
    pub fn certificates(&self) -> Vec<ProxyCertificate> {
        let connected = self.records.iter().filter(|(_, record)| record.streams > 0);
        let mut certificates: Vec<ProxyCertificate> = connected
            .filter_map(|((namespace, workload, instance), record)| {
                Some(ProxyCertificate {
                    namespace: namespace.clone(),
                    workload: workload.clone(),
                    instance: instance.clone(),
                    state: Some(record.state.clone()?),
                    reported_ms: record.reported_ms,
                })
            })
            .collect();
        certificates.sort_by(|a, b| {
            (&a.namespace, &a.workload, &a.instance).cmp(&(&b.namespace, &b.workload, &b.instance))
        });
        certificates
    }
}
