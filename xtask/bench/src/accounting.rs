//! What the kernel says a process used: run time of its threads (schedstat) and private memory (smaps_rollup).

use std::fs;

use anyhow::{Context as _, Result};

/// Private memory of one process or, summed, of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// `Private_Clean` and `Private_Dirty`, KiB.
    pub(crate) private_kib: u64,
    /// `Rss`, KiB; pages shared with others included.
    pub(crate) resident_kib: u64,
}

/// Time on a CPU of all threads of these processes, in nanoseconds; waiting for a CPU is not counted.
pub(crate) fn cpu_nanos(pids: &[u32]) -> Result<u64> {
    let mut total = 0;
    for pid in pids {
        let tasks = format!("/proc/{pid}/task");
        for task in fs::read_dir(&tasks).with_context(|| format!("list {tasks}: the process ended"))? {
            // A thread may end between the listing and the reading; what it used is then missing.
            if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
                total += run_time(&text).with_context(|| format!("schedstat of {pid} says `{text}`"))?;
            }
        }
    }
    Ok(total)
}

/// Memory of these processes together.
pub(crate) fn memory(pids: &[u32]) -> Result<Memory> {
    let mut total = Memory::default();
    for pid in pids {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let one = rollup(&text);
        total.private_kib += one.private_kib;
        total.resident_kib += one.resident_kib;
    }
    Ok(total)
}

/// The most memory that a process ever had (`VmHWM`), KiB.
pub(crate) fn peak_kib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|rest| rest.split_ascii_whitespace().next());
    number.and_then(|number| number.parse().ok()).with_context(|| format!("{path} says no VmHWM"))
}

/// The first of the three numbers is time on the CPU in nanoseconds.
fn run_time(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

fn rollup(text: &str) -> Memory {
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .filter_map(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok())
            .sum::<u64>()
    };
    Memory { private_kib: field("Private_Clean") + field("Private_Dirty"), resident_kib: field("Rss") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_begins_with_the_run_time() {
        assert_eq!(run_time("1812345678 4444 99\n"), Some(1_812_345_678));
        assert_eq!(run_time(""), None);
        assert_eq!(run_time("x 1 2"), None);
    }

    #[test]
    fn private_memory_is_the_sum_of_clean_and_dirty_pages() {
        let text = "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:                9000 kB\nPss:   5000 kB\n\
            Private_Clean:      1200 kB\nPrivate_Dirty:      3400 kB\nPrivate_Hugetlb:  7 kB\n";
        assert_eq!(rollup(text), Memory { private_kib: 4600, resident_kib: 9000 });
    }

    #[test]
    fn our_own_process_has_used_time_and_memory() {
        let me = [std::process::id()];
        assert!(cpu_nanos(&me).unwrap() > 0);
        assert!(memory(&me).unwrap().private_kib > 0);
    }
}
