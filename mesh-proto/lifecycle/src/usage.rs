//! What this process takes of its machine, by the system's own count. It must not know what the process does.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// As of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of all threads, those that have ended too, since the process began.
    pub cpu: Duration,
    /// In memory now; pages that other processes share count too. 0: the system does not say.
    pub resident_bytes: u64,
    /// Since the process began.
    pub up: Duration,
}

/// The system counts in hundredths of a second here, whatever the kernel's own clock does.
const TICK: Duration = Duration::from_millis(10);

/// Asks the system. What it says comes from memory, not from a disk.
pub fn now() -> Usage {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let stat = read("/proc/self/stat");
    let cpu = cpu(&stat).unwrap_or_default();
    let up = up(&stat, &read("/proc/uptime")).unwrap_or_default();
    let resident_bytes = resident(&read("/proc/self/status")).unwrap_or(0);
    Usage { cpu, resident_bytes, up }
}

/// Ticks in user mode and in the kernel: the fourteenth and fifteenth word, of which the second may have spaces and ends with `)`.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || words.next()?.parse::<u32>().ok();
    Some(TICK * ticks()?.saturating_add(ticks()?))
}

/// The twenty-second word is when it began, in ticks after the machine did.
fn up(stat: &str, uptime: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let began = rest.split_ascii_whitespace().nth(19)?.parse::<u64>().ok()?;
    let now = uptime.split_ascii_whitespace().next()?.parse::<f64>().ok()?;
    Duration::try_from_secs_f64((now - began as f64 * TICK.as_secs_f64()).max(0.0)).ok()
}

/// `VmRSS:` in kB.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
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
    fn words_of_the_system_are_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1 2";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(up(stat, "61.00 90.0\n"), Some(Duration::from_mins(1)));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    9000 kB\n"), Some(9_216_000));
        assert_eq!((cpu(""), resident(""), up("", "")), (None, None, None));
    }

    #[test]
    fn work_and_memory_are_seen() {
        let before = now();
        let mut words = vec![1_u64; 4 << 20];
        while now().cpu < before.cpu + TICK {
            for word in &mut words {
                *word = word.wrapping_mul(3);
            }
        }
        let after = now();
        assert!(
            after.up > before.up && after.resident_bytes > 1 << 20,
            "{before:?} {after:?} {}",
            words.len()
        );
    }
}
