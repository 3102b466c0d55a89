//! Debian's packages that a node needs. Installs what is missing when we are root, and otherwise says what is missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::program::{Program, find};
use crate::screen;

/// A program or file, and the package that has it.
const NEEDED: [(&str, &str); 11] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("/bin/busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("curl", "curl"),
];

/// After this, all that a node needs is there.
pub(crate) fn install() -> Result<()> {
    let packages =
        missing(|name| if name.starts_with('/') { Path::new(name).is_file() } else { find(name).is_some() });
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() || find("apt-get").is_none() {
        bail!("a node needs {list}: install them (on Debian `sudo apt-get install {list}`) and start again");
    }
    screen::step(&format!("installing {list}"));
    apt().args(["update", "-qq"]).output()?;
    apt().args(["install", "-qq", "-y", "--no-install-recommends"]).args(&packages).output()?;
    Ok(())
}

fn missing(is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<&str> =
        NEEDED.iter().filter(|(name, _)| !is_there(name)).map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

/// `RUNLEVEL=1` keeps Debian from starting a containerd that nobody asked for.
fn apt() -> Program {
    Program::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1")
        .limit(Duration::from_mins(10))
}

/// Where Debian keeps the plugins of container networks.
pub(crate) fn network_plugins() -> PathBuf {
    PathBuf::from("/usr/lib/cni")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_once() {
        assert_eq!(missing(|name| !name.contains("ct") && name != "containerd"), ["containerd"]);
        assert_eq!(missing(|_| true), Vec::<&str>::new());
    }
}
