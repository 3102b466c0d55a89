//! Finds the first processes of nodes by what they were started with, so that also a run that crashed is found, and ends them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::read;

/// The first processes of the nodes whose state is in this folder.
pub(super) fn inits(state: &Path) -> Result<Vec<Pid>> {
    Ok(found(state)?.into_iter().map(|(pid, _)| pid).collect())
}

/// Names of the nodes that run, in order.
pub(super) fn names(state: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = found(state)?.into_iter().map(|(_, name)| name).collect();
    names.sort();
    Ok(names)
}

fn found(state: &Path) -> Result<Vec<(Pid, String)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").context("list processes")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        let folder = entry.path();
        let words = read(&folder.join("cmdline"));
        if let Some(node) = node_of(&words, state)
            && is_first(&read(&folder.join("status")))
        {
            all.push((pid, node));
        }
    }
    Ok(all)
}

/// `… node --spec STATE/n1/spec.json`
fn node_of(words: &str, state: &Path) -> Option<String> {
    let mut words = words.trim_end_matches('\0').rsplit('\0');
    let (file, option, command) = (words.next()?, words.next()?, words.next()?);
    let below = Path::new(file).strip_prefix(state).ok()?;
    let node = below.parent()?.to_str()?;
    (option == "--spec" && command == "node" && below.ends_with("spec.json")).then(|| node.to_owned())
}

/// Whether it is process 1 of a namespace below ours: `NSpid: 4711 1`. `unshare`, which has the same words, is not.
fn is_first(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let pids: Vec<&str> = line.unwrap_or_default().split_ascii_whitespace().collect();
    pids.len() > 1 && pids.last() == Some(&"1")
}

/// Ends a node: with its first process the kernel ends all others. That it is gone already is fine.
pub(super) fn end(init: Pid) {
    let _ = kill_process(init, Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_its_last_words() {
        let state = Path::new("/c/state/a");
        assert_eq!(
            node_of("/x/mesh-cluster\0node\0--spec\0/c/state/a/n1/spec.json\0", state).as_deref(),
            Some("n1")
        );
        assert_eq!(node_of("/x/mesh-cluster\0node\0--spec\0/c/state/b/n1/spec.json\0", state), None);
        assert_eq!(node_of("vi\0/c/state/a/n1/spec.json\0", state), None);
    }

    #[test]
    fn only_the_first_process_of_a_namespace_counts() {
        assert!(is_first("Name:\tx\nNSpid:\t4711\t1\n"));
        assert!(!is_first("NSpid:\t4711\n"));
        assert!(!is_first("NSpid:\t1\n"));
        assert!(!is_first("NSpid:\t4711\t7\n"));
    }
}
