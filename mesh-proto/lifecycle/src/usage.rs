//! What this process takes of its machine, by the system's own count. It must not know what the process does.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::param::page_size;
use rustix::time::{ClockId, clock_gettime};

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// As of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of all threads, those that have ended too, since the process began.
    pub cpu: Duration,
    /// In memory now; pages that other processes share count too. 0: the system does not say.
    pub resident_bytes: u64,
    /// Since this was asked for the first time, which is when the process begins its work.
    pub up: Duration,
}

/// Asks the system.
pub fn now() -> Usage {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    let cpu = seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0));
    Usage { cpu, resident_bytes: resident().unwrap_or(0), up: BEGAN.elapsed() }
}

/// The second word of `/proc/self/statm`: pages. It comes from memory, not from a disk.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(page_size() as u64)
}

/// The same as metrics, of every daemon. Not the usual `process_…`: those are the application's, where its metrics are beside ours.
#[derive(Debug)]
pub(crate) struct Collected;

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let usage = now();
        let cpu = ConstCounter::new(usage.cpu.as_secs_f64());
        let help = "CPU time of this process";
        cpu.encode(encoder.encode_descriptor("mesh_process_cpu_seconds", help, None, cpu.metric_type())?)?;
        let up = ConstGauge::new(usage.up.as_secs_f64());
        let help = "Since this process began its work";
        up.encode(encoder.encode_descriptor("mesh_process_up_seconds", help, None, up.metric_type())?)?;
        let resident = ConstGauge::new(i64::try_from(usage.resident_bytes).unwrap_or(i64::MAX));
        let (name, help) = ("mesh_process_resident_memory_bytes", "Memory of this process");
        resident.encode(encoder.encode_descriptor(name, help, None, resident.metric_type())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_are_seen() {
        let before = now();
        let mut words = vec![1_u64; 4 << 20];
        while now().cpu < before.cpu + Duration::from_millis(5) {
            words.iter_mut().for_each(|word| *word = word.wrapping_mul(3));
        }
        let after = now();
        assert!(
            after.up > before.up && after.resident_bytes > 1 << 20,
            "{before:?} {after:?} {}",
            words.len()
        );
    }
}
