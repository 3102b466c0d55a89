//! The control groups of the nodes: one for each, in every hierarchy of version 1 or in the one of version 2. The kubelet wants its root
//! to exist; what it makes below is taken away with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::folders::Name;
use crate::program::{read, wait_until};

use super::plan::{Node, prefix};

const ROOT: &str = "/sys/fs/cgroup";
const GONE: Duration = Duration::from_secs(20);
/// What the kubelet divides among pods.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

pub(super) fn make(node: &Node) -> Result<()> {
    let mounts = read(Path::new("/proc/mounts"));
    for (root, is_second) in used(hierarchies(&mounts)) {
        let mut folder = root.clone();
        for part in node.control_group.split('/') {
            if is_second {
                delegate(&folder)?;
            }
            folder.push(part);
            fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
            // In version 1 a new group has no processor until it is told which.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let (from, to) = (root.join(file), folder.join(file));
                if !is_second && from.is_file() {
                    fs::write(&to, read(&from)).with_context(|| format!("write {}", to.display()))?;
                }
            }
        }
        if is_second {
            delegate(&folder)?;
        }
    }
    Ok(())
}

/// Hands the controllers that are there down to the groups below.
fn delegate(folder: &Path) -> Result<()> {
    let there = read(&folder.join("cgroup.controllers"));
    for controller in there.split_ascii_whitespace().filter(|name| CONTROLLERS.contains(name)) {
        let file = folder.join("cgroup.subtree_control");
        fs::write(&file, format!("+{controller}")).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// A `unified` mount beside those of version 1 has no controller that a kubelet wants. What runs containers makes its groups there all the
/// same, so it counts when groups are removed.
fn used(found: Vec<(PathBuf, bool)>) -> Vec<(PathBuf, bool)> {
    let has_first = found.iter().any(|(_, is_second)| !is_second);
    found.into_iter().filter(|(_, is_second)| !(has_first && *is_second)).collect()
}

/// Roots of the hierarchies, and whether each is of version 2.
fn hierarchies(mounts: &str) -> Vec<(PathBuf, bool)> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (place, kind) = (words.nth(1)?, words.next()?);
            (place.starts_with(ROOT) && kind.starts_with("cgroup"))
                .then(|| (PathBuf::from(place), kind == "cgroup2"))
        })
        .collect()
}

/// The cluster's groups that are there.
pub(super) fn left(cluster: &Name) -> Vec<PathBuf> {
    let roots = hierarchies(&read(Path::new("/proc/mounts"))).into_iter();
    roots.map(|(root, _)| root.join(prefix(cluster))).filter(|group| group.exists()).collect()
}

/// Takes the groups of all nodes of a cluster away.
pub(super) fn remove(cluster: &Name) -> Result<()> {
    // Processes that were ended leave their groups a moment later.
    wait_until("the control groups of the cluster are gone", GONE, || {
        let groups = left(cluster);
        for group in &groups {
            remove_tree(group);
        }
        Ok(groups.is_empty())
    })
}

/// Deepest first; what still has processes stays, and the caller looks again.
fn remove_tree(group: &Path) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_one_leaves_the_unified_mount_alone() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let first = (PathBuf::from("/sys/fs/cgroup/cpu"), false);
        assert_eq!(hierarchies(mounts), [first.clone(), (PathBuf::from("/sys/fs/cgroup/unified"), true)]);
        assert_eq!(used(hierarchies(mounts)), [first]);
    }

    #[test]
    fn version_two_is_one_hierarchy() {
        let mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\nx /mnt/cgroup cgroup rw 0 0\n";
        assert_eq!(used(hierarchies(mounts)), [(PathBuf::from("/sys/fs/cgroup"), true)]);
    }
}
