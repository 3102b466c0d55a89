//! How much memory a process has for itself. It must not know which process it is.

use std::fs;

/// Private memory in KiB: `Private_Clean` and `Private_Dirty` of `/proc/PID/smaps_rollup` (proc_pid_smaps(5)). Pages
/// that several processes share, such as the code of this binary, are not in it.
pub(crate) fn private_kib(pid: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn parse(rollup: &str) -> Option<u64> {
    let values = rollup.lines().filter_map(|line| {
        let rest = line.strip_prefix("Private_Clean:").or_else(|| line.strip_prefix("Private_Dirty:"))?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    values.reduce(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_pages_are_added_and_shared_ones_left_out() {
        let text = "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss: 9000 kB\nShared_Clean: 500 kB\n\
                    Private_Clean:      1200 kB\nPrivate_Dirty:      34 kB\nPrivate_Hugetlb: 0 kB\n";
        assert_eq!(parse(text), Some(1234));
        assert_eq!(parse("nothing"), None);
    }

    #[test]
    fn this_process_has_some() {
        assert!(private_kib(std::process::id()).unwrap() > 100);
    }
}
