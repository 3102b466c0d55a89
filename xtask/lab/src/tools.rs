//! The programs that the tests put into pods, and where to find them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

/// Where programs are found that no argument names.
const FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// Debian keeps each version of PostgreSQL's server in a folder of its own.
const POSTGRES: &str = "/usr/lib/postgresql";

/// Programs, given by whoever built them.
#[derive(Debug, Clone, Args)]
pub(crate) struct Tools {
    /// The mesh
    #[arg(long, value_name = "FILE")]
    pub(crate) meshctl: PathBuf,
    /// A Python with grpcio, requests, websockets and aiosmtpd
    #[arg(long, value_name = "FILE")]
    pub(crate) python: PathBuf,
    /// The Go program of the lab, client and server
    #[arg(long, value_name = "FILE")]
    pub(crate) go: PathBuf,
    /// The folder `xtask` of the checkout, which has the scripts
    #[arg(long, value_name = "FOLDER")]
    pub(crate) scripts: PathBuf,
}

impl Tools {
    /// As arguments again.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let options = [
            ("--meshctl", &self.meshctl),
            ("--python", &self.python),
            ("--go", &self.go),
            ("--scripts", &self.scripts),
        ];
        options.into_iter().flat_map(|(name, path)| [OsString::from(name), path.clone().into()]).collect()
    }

    /// A script of the lab.
    pub(crate) fn script(&self, name: &str) -> PathBuf {
        self.scripts.join("lab/assets").join(name)
    }

    /// A script that other tests use too.
    pub(crate) fn shared_script(&self, name: &str) -> PathBuf {
        self.scripts.join("assets").join(name)
    }
}

/// A program of the system.
pub(crate) fn system(name: &str) -> Result<PathBuf> {
    let found = FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    found.with_context(|| {
        format!("`{name}` is not installed; `cargo xtask ci --only setup` brings what the tests need")
    })
}

/// A program of PostgreSQL's server, of the newest version there is.
pub(crate) fn postgres(name: &str) -> Result<PathBuf> {
    let versions = std::fs::read_dir(POSTGRES)
        .context("PostgreSQL is not installed; `cargo xtask ci --only setup` brings it")?;
    let number = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok())
    };
    let newest =
        versions.flatten().map(|entry| entry.path()).filter_map(|path| Some((number(&path)?, path))).max();
    let (_, folder) = newest.with_context(|| format!("{POSTGRES} has no version"))?;
    let program = folder.join("bin").join(name);
    ensure!(program.is_file(), "{} is missing", program.display());
    Ok(program)
}
