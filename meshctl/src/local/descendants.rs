//! Which processes descend from one, read from `/proc`. It must not know what they are.

use std::collections::HashMap;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// All living descendants of `root`, children before their own children, without `root` itself.
pub(crate) fn of(root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some(parent) = living_parent(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.get(&root).cloned().unwrap_or_default();
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children.get(&pid).into_iter().flatten());
        next += 1;
    }
    found
}

/// Sends SIGKILL to all descendants of `root`.
pub(crate) fn kill_all(root: i32) {
    for pid in of(root).into_iter().filter_map(Pid::from_raw) {
        // It may have ended by itself since we looked.
        kill_process(pid, Signal::KILL).ok();
    }
}

/// The parent of a process that is no zombie, from `/proc/PID/stat`. The name in brackets may hold anything, brackets
/// and spaces too, so fields are counted from the last bracket (proc_pid_stat(5)).
fn living_parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z" && state != "X").then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_confuse_the_fields() {
        assert_eq!(living_parent("12 (a) b (c)) S 7 12 12 0"), Some(7));
        assert_eq!(living_parent("12 (dead) Z 7 12 12 0"), None);
        assert_eq!(living_parent("nonsense"), None);
    }

    #[test]
    fn a_child_is_found_and_killed() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(of(own).contains(&pid));
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(!of(own).contains(&pid));
    }
}
