//! Brings what the tests need to a bare machine: Debian's packages with apt-get when we are root, Python's and cargo's
//! into the user's cache. What is there already is left alone; what we may not install is named in one message.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::browser;
use crate::config::{Workspace, find_program};
use crate::exec::Program;
use crate::screen;
use crate::suites;

const CARGO_DENY: &str = "0.20.2";
/// Python's packages, each with its version.
const PYTHON: [&str; 5] =
    ["aiosmtpd==1.4.6", "grpcio==1.76.0", "requests==2.34.2", "sslyze==6.3.1", "websockets==17.4"];

/// A program, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 22] = [
    ("curl", "curl"),
    ("nginx", "nginx"),
    ("h2load", "nghttp2-client"),
    ("python3", "python3"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("openssl", "openssl"),
    ("javac", "default-jdk-headless"),
    ("pg_ctlcluster", "postgresql"),
    ("mariadbd", "mariadb-server"),
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("softhsm2-util", "softhsm2"),
    ("faketime", "faketime"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("node", "nodejs"),
    ("npm", "npm"),
];

pub(super) fn run(workspace: &Workspace) -> Result<bool> {
    programs()?;
    python(&workspace.python())?;
    cargo_deny(workspace)?;
    match suites::go_problem() {
        Some(problem) => bail!(problem),
        None => Ok(true),
    }
}

fn programs() -> Result<()> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    if browser::chromium().is_none() {
        packages.push("chromium");
    }
    if !can_make_environments() {
        packages.push("python3-venv");
    }
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() || find_program("apt-get").is_none() {
        bail!(
            "the tests need {list}: install them (on Debian `sudo apt-get install {list}`) and start again"
        );
    }
    screen::line(&format!("   installing {list}"));
    apt().args(["update", "-qq"]).output()?;
    apt().args(["install", "-qq", "-y", "--no-install-recommends"]).args(&packages).output()?;
    Ok(())
}

/// `RUNLEVEL=1` keeps Debian from starting the servers that it installs.
fn apt() -> Program {
    Program::new("apt-get", Duration::from_mins(10))
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1")
}

fn can_make_environments() -> bool {
    let check =
        Program::new("python3", Duration::from_mins(1)).args(["-c", "import ensurepip, venv"]).capture();
    check.is_ok_and(|check| check.status.success())
}

fn python(folder: &Path) -> Result<()> {
    let interpreter = folder.join("bin/python");
    let there = Program::new(&interpreter, Duration::from_mins(1)).args(["-m", "pip", "freeze"]).capture();
    if there.is_ok_and(|there| PYTHON.iter().all(|package| there.stdout.lines().any(|line| line == *package)))
    {
        return Ok(());
    }
    screen::line(&format!("   installing {} for Python", PYTHON.join(", ")));
    let limit = Duration::from_mins(10);
    Program::new("python3", limit)
        .args(["-m", "venv", "--clear"])
        .arg(folder)
        .output()
        .context("make a Python environment")?;
    Program::new(interpreter, limit)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"])
        // It comes as source alone, of Python.
        .args(["--no-binary", "sslyze"])
        .args(PYTHON)
        .output()
        .context("install Python's packages")?;
    Ok(())
}

fn cargo_deny(workspace: &Workspace) -> Result<()> {
    let tools = workspace.tools();
    let program: PathBuf = tools.join("bin/cargo-deny");
    let there = Program::new(&program, Duration::from_mins(1)).arg("--version").capture();
    if there.is_ok_and(|there| there.stdout.trim().ends_with(CARGO_DENY)) {
        return Ok(());
    }
    screen::line(&format!("   installing cargo-deny {CARGO_DENY}; this once takes minutes"));
    Program::new(crate::config::cargo(), Duration::from_mins(20))
        .args(["install", "--quiet", "--locked", "--root"])
        .arg(&tools)
        .arg(format!("cargo-deny@{CARGO_DENY}"))
        .env("CARGO_TARGET_DIR", workspace.target.join("tools"))
        .run()
        .context("install cargo-deny")
}
