//! The way into a lab: the program starts itself again in new user (unless it is root), mount, network and process namespaces, with
//! a folder of its own that is a file system in memory. When that process ends, by itself or by its parent's death, the kernel takes
//! down everything the lab has made: processes, links, rules, mounts.
//!
//! The namespaces are made by util-linux's `unshare`, which every Linux has, before a thread of ours exists: no code of ours runs
//! between `fork` and `exec`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::wait_until;

/// Says that we are inside, and where its folder is.
const FOLDER: &str = "MESH_LAB";
/// Makes the folder a file system in memory and starts the program in it; `$0` is the folder.
const BEGIN: &str = r#"mount -t tmpfs -o mode=755 lab "$0" && exec "$@""#;
const TEST: Duration = Duration::from_mins(2);

/// How long the lab may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// After that everything in it is ended.
    pub time: Duration,
}

/// How a lab ended and what it printed.
#[derive(Debug)]
pub struct Outcome {
    /// None when it was ended because it took too long.
    pub status: Option<ExitStatus>,
    /// Standard output and standard error, as they came.
    pub printed: String,
}

/// The lab's folder when we are inside one.
pub fn folder() -> Option<PathBuf> {
    env::var_os(FOLDER).map(PathBuf::from)
}

/// Starts this program again, with these arguments, inside a lab of its own, and waits for its end.
pub fn enter<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>, limits: Limits) -> Result<Outcome> {
    let program = env::current_exe().context("find this program")?;
    let folder = tempfile::Builder::new().prefix("mesh-lab").tempdir().context("make a folder")?;
    let log = folder.path().join("log");
    let here = folder.path().join("lab");
    fs::create_dir(&here).context("make the lab's folder")?;
    // Programs of the lab that have no rights of ours come through here.
    open_to_all(folder.path())?;
    let out = fs::File::create(&log).context("make the lab's log")?;
    let mut command = Command::new("setpriv");
    command.args(namespaces()).arg(&here).arg(program).args(args);
    command.env(FOLDER, &here).stdin(Stdio::null());
    command.stdout(out.try_clone().context("share the log")?).stderr(out);
    let mut child = command.spawn().context("start `setpriv` and `unshare` of util-linux")?;
    let status = ended(&mut child, limits.time)?;
    let printed = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    Ok(Outcome { status, printed })
}

/// The words before the folder. `setpriv` ties `unshare` to us, and that ties the lab's first process to itself.
fn namespaces() -> Vec<OsString> {
    let user: &[&str] =
        if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    ["--pdeathsig", "KILL", "unshare"]
        .iter()
        .chain(user)
        .chain(&[
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
            "sh",
            "-c",
            BEGIN,
        ])
        .map(OsString::from)
        .collect()
}

fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).context("open the folder")
}

fn ended(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let mut status = None;
    let waited = wait_until("the lab ends", limit, || {
        status = child.try_wait().context("look whether the lab still runs")?;
        Ok(status.is_some())
    });
    if waited.is_err() {
        child.kill().context("end the lab")?;
        child.wait().context("wait for the lab's end")?;
    }
    Ok(status)
}

/// Runs `body` in a lab of its own: for a `#[test]`, whose whole path within its binary is `test`.
///
/// The test's binary is started again with this test alone; there, `body` runs.
pub fn in_a_lab(test: &str, body: impl FnOnce() -> Result<()>) -> Result<()> {
    if folder().is_some() {
        return body();
    }
    let test = test.split_once("::").map_or(test, |(_, path)| path);
    let args = ["--exact", test, "--nocapture", "--test-threads=1"];
    let outcome = enter(args, Limits { time: TEST })?;
    let Some(status) = outcome.status else {
        bail!("the lab was ended after {} s:\n{}", TEST.as_secs(), outcome.printed)
    };
    ensure!(status.success(), "{}", explained(&outcome.printed));
    ensure!(outcome.printed.contains("1 passed"), "`{test}` names no test:\n{}", outcome.printed);
    Ok(())
}

fn explained(printed: &str) -> String {
    if printed.contains("unshare failed") {
        return format!(
            "this machine lets nobody but root make namespaces: run the test as root, or allow user namespaces \
             (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)\n{printed}"
        );
    }
    printed.to_owned()
}
