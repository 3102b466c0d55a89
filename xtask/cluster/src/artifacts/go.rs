//! Programs built from Go modules. Their versions are in the modules' `go.mod` and `go.sum`, which are part of this program, so that
//! what is built is what was committed. A build is kept under the hash of its sources and of Go's version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::folders::{Folders, write};
use crate::oci::hex;
use crate::program::{Program, find};
use crate::screen;

/// The version that `go.mod` names, as the programs say it.
pub(crate) const KUBERNETES: &str = "v1.34.4";
/// Some 800 seconds of one core, and the modules come first.
const BUILD: Duration = Duration::from_mins(40);
const NAMES: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
];

/// A module's files and its one program.
struct Module {
    program: &'static str,
    what: &'static str,
    package: &'static str,
    files: &'static [(&'static str, &'static str)],
    flags: fn() -> String,
}

const KUBE: Module = Module {
    program: "hyper",
    what: "Kubernetes and etcd",
    package: "./hyper",
    files: &[
        ("go.mod", include_str!("../../go/kube/go.mod")),
        ("go.sum", include_str!("../../go/kube/go.sum")),
        ("hyper/main.go", include_str!("../../go/kube/hyper/main.go")),
    ],
    flags: kubernetes_flags,
};
const COREDNS: Module = Module {
    program: "coredns",
    what: "CoreDNS",
    package: ".",
    files: &[
        ("go.mod", include_str!("../../go/coredns/go.mod")),
        ("go.sum", include_str!("../../go/coredns/go.sum")),
        ("main.go", include_str!("../../go/coredns/main.go")),
    ],
    flags: plain_flags,
};
const TOOLS: Module = Module {
    program: "tools",
    what: "pause and echo",
    package: ".",
    files: &[
        ("go.mod", include_str!("../../go/tools/go.mod")),
        ("main.go", include_str!("../../go/tools/main.go")),
    ],
    flags: plain_flags,
};

/// The built programs.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// A folder with one name for each program of Kubernetes, and etcd.
    pub(crate) kubernetes: PathBuf,
    pub(crate) coredns: PathBuf,
    pub(crate) tools: PathBuf,
}

impl Programs {
    /// Finds them in the cache, and builds what is not there.
    pub(crate) fn ready(folders: &Folders) -> Result<Self> {
        let go = find("go").context(
            "a node is built from Go modules, and there is no `go` in PATH (https://go.dev/doc/install, 1.26 or newer)",
        )?;
        let version = Program::new(&go).arg("version").output()?;
        let tools = build(folders, &go, &version, &TOOLS)?;
        let kubernetes = build(folders, &go, &version, &KUBE)?;
        let coredns = build(folders, &go, &version, &COREDNS)?;
        let kubernetes = kubernetes.parent().context("a built program is in a folder")?.to_path_buf();
        for name in NAMES {
            let link = kubernetes.join(name);
            if !link.exists() {
                std::os::unix::fs::symlink(KUBE.program, &link)
                    .with_context(|| format!("make {}", link.display()))?;
            }
        }
        Ok(Self { kubernetes, coredns, tools })
    }

    /// The one that images for tests need.
    pub(crate) fn tools(folders: &Folders) -> Result<PathBuf> {
        let go =
            find("go").context("there is no `go` in PATH (https://go.dev/doc/install, 1.26 or newer)")?;
        let version = Program::new(&go).arg("version").output()?;
        build(folders, &go, &version, &TOOLS)
    }
}

fn build(folders: &Folders, go: &Path, version: &str, module: &Module) -> Result<PathBuf> {
    let flags = (module.flags)();
    let home = folders.built().join(format!("{}-{}", module.program, key(version, &flags, module.files)));
    let program = home.join(module.program);
    if program.is_file() {
        return Ok(program);
    }
    // Another command may be at it.
    let _lock = folders.lock_built()?;
    if program.is_file() {
        return Ok(program);
    }
    let source = tempfile::tempdir().context("make a folder for sources")?;
    for (name, text) in module.files {
        write(&source.path().join(name), text)?;
    }
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    let made = home.join(format!(".{}", module.program));
    let what = module.what;
    screen::step(&format!("building {what} from Go modules; this once takes minutes"));
    let printed = Program::new(go)
        .args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", &flags, "-o"])
        .arg(&made)
        .arg(module.package)
        .dir(source.path())
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "")
        .limit(BUILD)
        .watched(&mut |time| {
            if time.as_secs() % 30 == 0 {
                screen::step(&format!("building {what}: {} s", time.as_secs()));
            }
        })?;
    ensure!(printed.status.success(), "{what} does not build:\n{}", printed.tail());
    fs::rename(&made, &program).with_context(|| format!("keep {}", program.display()))?;
    Ok(program)
}

fn key(version: &str, flags: &str, files: &[(&str, &str)]) -> String {
    let mut all = format!("{version}\0{flags}\0");
    for (name, text) in files {
        all.push_str(name);
        all.push('\0');
        all.push_str(text);
        all.push('\0');
    }
    hex(all.as_bytes()).chars().take(16).collect()
}

fn plain_flags() -> String {
    "-s -w".to_owned()
}

/// Without these the API server takes itself for a version that clients refuse.
fn kubernetes_flags() -> String {
    let mut parts = KUBERNETES.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"].iter().fold(plain_flags(), |flags, package| {
        format!(
            "{flags} -X {package}.gitVersion={KUBERNETES} -X {package}.gitMajor={major} -X {package}.gitMinor={minor} \
             -X {package}.gitTreeState=archive -X {package}.gitCommit={:040} -X {package}.buildDate=2026-01-01T00:00:00Z",
            0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_of_the_module() {
        let (_, module) = KUBE.files[0];
        assert!(module.contains(&format!("k8s.io/kubernetes {KUBERNETES}\n")));
    }

    #[test]
    fn anything_that_changes_makes_another_key() {
        let files = [("a", "b")];
        let first = key("go1", "-s", &files);
        assert_eq!(first, key("go1", "-s", &files));
        for other in [key("go2", "-s", &files), key("go1", "-w", &files), key("go1", "-s", &[("ab", "")])] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn the_flags_say_the_version() {
        let flags = kubernetes_flags();
        assert!(flags.contains("-X k8s.io/component-base/version.gitMinor=34 "), "{flags}");
        assert!(flags.contains("-X k8s.io/client-go/pkg/version.gitVersion=v1.34.4 "), "{flags}");
    }
}
