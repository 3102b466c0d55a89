//! `cargo xtask e2e` and `conformance`: builds the mesh's images, `meshctl`, a cluster and the programs of others, and runs `mesh-e2e`
//! against it, which knows the rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cli::{ConformanceArgs, E2eArgs, ImagesArgs, OnClusterArgs};
use crate::config::{Workspace, cargo};
use crate::exec::Program;
use crate::{cluster, images, screen, suites};

const BUILD: Duration = Duration::from_mins(20);
/// For a run with everything on a slow machine; every step of it has a deadline of its own.
const LIMIT: Duration = Duration::from_mins(50);
const PACK: Duration = Duration::from_mins(5);
/// What the mesh tests of suite 1.6.3 ask for.
const ECHO: &str = "registry.k8s.io/gateway-api/echo-advanced:v1.5.1";

/// False when a scenario failed.
pub(crate) fn e2e(workspace: &Workspace, args: &E2eArgs) -> Result<bool> {
    let parts = Parts::build(workspace, &args.on)?;
    let mut words = parts.words("scenarios");
    words.extend(["--meshctl".into(), parts.meshctl()?, "--kubectl".into(), "{kubectl}".into()]);
    words.extend(["--rate".into(), args.rate.to_string(), "--output".into(), args.on.output.clone()]);
    for name in &args.only {
        words.extend(["--only".into(), name.clone()]);
    }
    if args.on.keep {
        words.push("--keep".into());
    }
    let chart = workspace.root.join("deploy/chart");
    words.extend(["--helm".into(), text(&suites::helm(workspace)?)?, "--chart".into(), text(&chart)?]);
    parts.with_cluster("e2e", &args.on, &[], &words)
}

/// False when a test or case failed.
pub(crate) fn conformance(workspace: &Workspace, args: &ConformanceArgs) -> Result<bool> {
    let parts = Parts::build(workspace, &args.on)?;
    let echo = echo_image(workspace, &parts.cluster)?;
    let mut words = parts.words("conformance");
    words.extend(["--meshctl".into(), parts.meshctl()?, "--kubectl".into(), "{kubectl}".into()]);
    words.extend(["--profile".into(), args.profile.clone(), "--output".into(), args.on.output.clone()]);
    for name in &args.only {
        words.extend(["--only".into(), name.clone()]);
    }
    if args.profile != "own" {
        words.extend(["--binary".into(), text(&suites::conformance_suite(workspace)?)?]);
        words.extend(["--log".into(), text(&workspace.target.join("conformance.log"))?]);
        if args.only.is_empty() {
            words.extend(["--report".into(), text(&report(workspace, args)?)?]);
        }
    }
    parts.with_cluster("conformance", &args.on, &[echo], &words)
}

/// As projects of the Gateway API lay their reports out: version of the API, name, version of the implementation.
fn report(workspace: &Workspace, args: &ConformanceArgs) -> Result<PathBuf> {
    let path = match &args.report {
        Some(path) => std::path::absolute(path).context("find the report")?,
        None => workspace.root.join(format!("docs/conformance/v{}-report.yaml", env!("CARGO_PKG_VERSION"))),
    };
    let folder = path.parent().context("the report has a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(path)
}

/// Everything that both need.
struct Parts {
    cluster: PathBuf,
    program: PathBuf,
    meshctl: PathBuf,
    archives: Vec<PathBuf>,
    cache: PathBuf,
    root: PathBuf,
}

impl Parts {
    fn build(workspace: &Workspace, args: &OnClusterArgs) -> Result<Self> {
        screen::line("   building mesh-e2e");
        Program::new(cargo(), BUILD)
            .args(["build", "--locked", "--quiet", "--profile", "ci", "--package", "mesh-e2e"])
            .dir(&workspace.root)
            .env("CARGO_TARGET_DIR", &workspace.target)
            .env("CARGO_INCREMENTAL", "0")
            .run()
            .context("build mesh-e2e")?;
        let cluster = cluster::build(workspace)?;
        Ok(Self {
            program: workspace.target.join("ci/mesh-e2e"),
            meshctl: suites::meshctl(workspace, args.meshctl.as_ref())?,
            archives: archives(workspace, &args.images)?,
            cluster,
            cache: workspace.cache.clone(),
            root: workspace.root.clone(),
        })
    }

    fn words(&self, command: &str) -> Vec<String> {
        vec![self.program.to_string_lossy().into_owned(), command.to_owned()]
    }

    fn meshctl(&self) -> Result<String> {
        text(&self.meshctl)
    }

    /// Tests that failed are exit code 1 and were printed; anything else that is not 0 is an error.
    fn with_cluster(
        &self,
        name: &str,
        args: &OnClusterArgs,
        more: &[PathBuf],
        words: &[String],
    ) -> Result<bool> {
        let mut program = Program::new(&self.cluster, LIMIT)
            .dir(&self.root)
            .arg("--cache")
            .arg(&self.cache)
            .args(["with", "--name", name, "--backend", &args.backend]);
        for archive in self.archives.iter().chain(more) {
            program = program.arg("--load").arg(archive);
        }
        if args.keep {
            program = program.arg("--keep");
        }
        match program.arg("--").args(words).code()? {
            0 => Ok(true),
            1 => Ok(false),
            code => bail!("mesh-e2e ended with exit code {code}"),
        }
    }
}

/// Everything that is published, and what tests need.
fn archives(workspace: &Workspace, profile: &str) -> Result<Vec<PathBuf>> {
    let args = ImagesArgs { profile: profile.to_owned(), tests: true, ..ImagesArgs::default() };
    Ok(images::make(workspace, &args)?.into_iter().map(|(_, archive)| archive).collect())
}

/// The image is named as the suite names it; its certificate is nobody's.
fn echo_image(workspace: &Workspace, packer: &Path) -> Result<PathBuf> {
    let (client, server) =
        (suites::conformance_echo(workspace, "client")?, suites::conformance_echo(workspace, "server")?);
    let folder = workspace.tools().join("conformance");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let (certificate, key) = (folder.join("cert.crt"), folder.join("cert.key"));
    if !certificate.is_file() {
        Program::new("openssl", PACK)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "3650", "-subj", "/CN=echo", "-addext", "subjectAltName=DNS:echo"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .context("make a certificate for the test image")?;
    }
    let archive = folder.join("echo-advanced.tar");
    let file = |path: &str, file: &Path| format!("{path}={}", file.display());
    Program::new(packer, PACK)
        .args(["bundle", "--image", ECHO, "--entrypoint", "/usr/local/bin/server", "--user", "1338:1338"])
        .arg("--out")
        .arg(&archive)
        .arg(file("/usr/local/bin/client", &client))
        .arg(file("/usr/local/bin/server", &server))
        .arg(file("/cert.crt", &certificate))
        .arg(file("/cert.key", &key))
        .run()
        .context("write the test image")?;
    Ok(archive)
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}
