//! `cargo xtask browser`: the pure modules of the dashboard under `node --test`, then the dashboard in Chromium on the live traffic of a mesh
//! of its own. What it needs of npm is installed into the cache, as the committed lock file says.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cli::BrowserArgs;
use crate::config::{Workspace, find_program};
use crate::exec::Program;
use crate::screen;
use crate::suites::meshctl;

/// Names under which systems have it.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// The promise is two minutes; a page that shows nothing takes longer, since every case then waits.
const BROWSER: Duration = Duration::from_mins(10);
const UNIT: Duration = Duration::from_mins(2);
const NPM: Duration = Duration::from_mins(5);

/// False when a case failed.
pub(crate) fn run(workspace: &Workspace, args: &BrowserArgs) -> Result<bool> {
    let (Some(node), Some(chromium)) = (find_program("node"), chromium()) else {
        bail!(
            "`node` and Chromium are needed; `cargo xtask ci --only setup` installs them as root on Debian"
        );
    };
    let folder = workspace.root.join("xtask/browser");
    let unit = Program::new(&node, UNIT).arg("--test").arg(folder.join("unit")).code();
    if unit.context("test the pure modules of the dashboard")? != 0 {
        return Ok(false);
    }
    let mut program = Program::new(node, BROWSER)
        .arg(folder.join("run.mjs"))
        .env("MESHCTL", meshctl(workspace, args.meshctl.as_ref())?)
        .env("CHROMIUM", chromium)
        .env("MODULES", modules(workspace)?);
    if args.screenshots {
        let pictures = workspace.root.join("docs/pictures");
        fs::create_dir_all(&pictures).with_context(|| format!("make {}", pictures.display()))?;
        program = program.env("SCREENSHOTS", pictures);
    }
    Ok(program.code().context("test the dashboard in a browser")? == 0)
}

/// Chromium, by whichever name.
pub(crate) fn chromium() -> Option<PathBuf> {
    CHROMIUM.iter().find_map(|name| find_program(name))
}

/// A folder with what the lock file says; installed again when that is another one.
fn modules(workspace: &Workspace) -> Result<PathBuf> {
    let (from, to) = (workspace.root.join("xtask/browser"), workspace.tools().join("browser"));
    let lock = fs::read_to_string(from.join("package-lock.json")).context("read package-lock.json")?;
    let installed = to.join("installed.json");
    if fs::read_to_string(&installed).is_ok_and(|known| known == lock) {
        return Ok(to);
    }
    screen::line("   installing playwright-core and axe-core");
    fs::create_dir_all(&to).with_context(|| format!("make {}", to.display()))?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(from.join(name), to.join(name)).with_context(|| format!("copy {name}"))?;
    }
    let npm = find_program("npm").context("`npm` is needed; it comes with Node.js")?;
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    Program::new(npm, NPM).args(install).dir(&to).output().context("install npm's packages")?;
    fs::write(&installed, lock).with_context(|| format!("write {}", installed.display()))?;
    Ok(to)
}
