//! Which tasks of this process panicked, for metrics. Of the whole process, as panics are: whatever set a task is of, it is counted.
//!
//! Names are written in the source, so the series are as many as there are `spawn`s.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

static COUNTS: Mutex<BTreeMap<&'static str, Counts>> = Mutex::new(BTreeMap::new());

/// Of all tasks of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ended by a panic.
    pub panics: u64,
    /// Began anew afterwards.
    pub restarts: u64,
}

/// Of the tasks of that name.
pub fn counts(task: &str) -> Counts {
    locked().get(task).copied().unwrap_or_default()
}

pub(super) fn panicked(task: &'static str) {
    locked().entry(task).or_default().panics += 1;
}

pub(super) fn restarted(task: &'static str) {
    locked().entry(task).or_default().restarts += 1;
}

fn locked() -> MutexGuard<'static, BTreeMap<&'static str, Counts>> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes the families at each scrape.
#[derive(Debug)]
pub(crate) struct Collected;

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts: Vec<_> = locked().iter().map(|(task, counts)| (*task, *counts)).collect();
        let mut counter = |name: &str, help: &str, of: fn(&Counts) -> u64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (task, counts) in &counts {
                let labels = [("task", *task)];
                let series = family.encode_family(&labels)?;
                ConstCounter::new(of(counts)).encode(series)?;
            }
            Ok(())
        };
        counter("mesh_task_panics", "Tasks that ended by a panic, by name", |counts| counts.panics)?;
        let help = "Tasks that began anew after a panic, by name";
        counter("mesh_task_restarts", help, |counts| counts.restarts)
    }
}
