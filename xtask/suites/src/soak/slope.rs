//! Memory over time: a line through the samples after warm-up, by least squares. Reading is one function; the rest is pure.

use std::time::Duration;

use serde_json::{Value, json};

use crate::process::resident;
use crate::report::Outcome;

/// A run as long as that is judged by its slope; on a shorter one a line means little.
const LONG: Duration = Duration::from_mins(10);
/// Growth in ten minutes, of the mean.
const SLOPE: f64 = 0.01;
/// What a short run may grow after warm-up, by the line: one step of the allocator is no leak.
const SHORT: f64 = 4.0 * 1024.0 * 1024.0;
/// Descriptors that may come on top: connections of the load come and go.
const DESCRIPTORS: usize = 64;

/// The samples of all processes.
#[derive(Debug)]
pub(super) struct Memory {
    whole: Duration,
    warm: Duration,
    processes: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    name: String,
    pid: u32,
    /// Seconds and bytes, after warm-up.
    samples: Vec<(f64, f64)>,
    /// Open descriptors at the end of warm-up, and now.
    descriptors: (Option<usize>, usize),
    last: u64,
}

/// What came of one process.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) name: String,
    pub(super) expected: String,
    pub(super) outcome: Outcome,
}

impl Memory {
    /// A quarter of the run warms up, at most five minutes.
    pub(super) fn new(whole: Duration, processes: Vec<(String, u32)>) -> Self {
        let processes = processes
            .into_iter()
            .map(|(name, pid)| Process { name, pid, samples: Vec::new(), descriptors: (None, 0), last: 0 })
            .collect();
        Self { whole, warm: (whole / 4).min(Duration::from_mins(5)), processes }
    }

    pub(super) fn sample(&mut self, at: Duration) {
        for process in &mut self.processes {
            let Some(bytes) = resident(process.pid) else { continue };
            process.last = bytes;
            let open = std::fs::read_dir(format!("/proc/{}/fd", process.pid)).map_or(0, Iterator::count);
            process.descriptors.1 = open;
            if at >= self.warm {
                process.descriptors.0.get_or_insert(open);
                process.samples.push((at.as_secs_f64(), bytes as f64));
            }
        }
    }

    pub(super) fn shown(&self) -> String {
        let texts: Vec<String> = self
            .processes
            .iter()
            .map(|process| format!("{} {:.1} MiB", process.name, process.last as f64 / f64::from(1 << 20)))
            .collect();
        texts.join(", ")
    }

    pub(super) fn judged(&self) -> Vec<Judged> {
        self.processes.iter().map(|process| self.judge(process)).collect()
    }

    fn judge(&self, process: &Process) -> Judged {
        let is_long = self.whole >= LONG;
        let (slope, mean) = line(&process.samples);
        let share = if mean > 0.0 { slope * 600.0 / mean } else { f64::NAN };
        let rise = slope * self.whole.saturating_sub(self.warm).as_secs_f64();
        let (before, now) = (process.descriptors.0.unwrap_or_default(), process.descriptors.1);
        let got = format!(
            "{:.1} MiB, {:+.2} % in 10 min ({:+.0} KiB in this run), {before} descriptors after warm-up, {now} at the end",
            mean / f64::from(1 << 20),
            share * 100.0,
            rise / 1024.0,
        );
        let steady = if is_long { share < SLOPE } else { rise < SHORT };
        let fine = mean > 0.0 && steady && now <= before + DESCRIPTORS;
        let growth = if is_long { "less than 1 % in 10 min" } else { "less than 4 MiB in a short run" };
        Judged {
            name: process.name.clone(),
            expected: format!("grows {growth}, descriptors flat"),
            outcome: if fine { Outcome::passed(got) } else { Outcome::failed(got) },
        }
    }

    pub(super) fn json(&self) -> Vec<Value> {
        self.processes
            .iter()
            .map(|process| {
                let (slope, mean) = line(&process.samples);
                json!({
                    "process": process.name,
                    "mean_bytes": mean,
                    "bytes_per_second": slope,
                    "percent_in_10_minutes": if mean > 0.0 { slope * 60_000.0 / mean } else { 0.0 },
                    "descriptors": process.descriptors.1,
                })
            })
            .collect()
    }
}

/// Slope and mean of a line through the points, by least squares; zeros without points.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    if points.is_empty() {
        return (0.0, 0.0);
    }
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let above = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>();
    let below = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    (if below > 0.0 { above / below } else { 0.0 }, mean_y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_among_scattered_points() {
        let points: Vec<(f64, f64)> =
            (0..100).map(|n| (f64::from(n), 50.0 + 2.0 * f64::from(n) + f64::from(n % 2))).collect();
        let (slope, mean) = line(&points);
        assert!((slope - 2.0).abs() < 0.01 && (mean - 149.5).abs() < 0.1, "{slope} {mean}");
        assert_eq!(line(&[]), (0.0, 0.0));
        assert_eq!(line(&[(1.0, 5.0)]), (0.0, 5.0));
    }

    fn judged(minutes: u64, growth: f64) -> bool {
        let whole = Duration::from_secs(minutes * 60);
        let mut memory = Memory::new(whole, vec![("p".to_owned(), 1)]);
        let seconds = u32::try_from(minutes * 60).unwrap();
        let process = memory.processes.first_mut().unwrap();
        process.samples =
            (0..seconds).map(|s| (f64::from(s), 10e6 * (1.0 + growth * f64::from(s) / 600.0))).collect();
        memory.judged().first().unwrap().outcome.passed
    }

    #[test]
    fn a_long_run_is_judged_by_its_slope_and_a_short_one_by_its_rise() {
        assert!(judged(30, 0.005));
        assert!(!judged(30, 0.02));
        assert!(judged(1, 2.0));
        assert!(!judged(1, 10.0));
    }
}
