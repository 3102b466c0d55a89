//! Puts the plugin on a node and sees that it stays: the network's own installer may write its configuration anew at any time. First the
//! binary and then the configuration that names it; away in the other order, so that no pod ever waits for a plugin that is not there.
//! It must not know what the plugin does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mesh_lifecycle::admin::{self, AdminState};
use mesh_lifecycle::bind::{self, ReusePort};
use mesh_lifecycle::{Ready, Tasks, signal};
use prometheus_client::registry::Registry;

use crate::conf::{self, TYPE};
use crate::{Install, OnExit};

/// Between looks. Kubernetes has no event for a folder of a node; a pod that starts in between is told by `mesh-validate`.
const LOOK: Duration = Duration::from_secs(3);
/// For the admin server to end.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// Until SIGTERM.
pub(crate) fn run(args: &Install) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(stay(args))
}

async fn stay(args: &Install) -> anyhow::Result<()> {
    let (tasks, ready) = (Tasks::new(), Ready::new());
    let mut gate = Some(ready.gate("installing the plugin"));
    let listener = bind::tcp(args.metrics, ReusePort::No).map_err(|error| error.with_option("--metrics"))?;
    let (state, owner) = (AdminState::new(ready.clone(), Arc::new(Registry::default())), tasks.clone());
    tasks.spawn("admin", async move {
        if let Err(error) = admin::serve(listener, state, owner).await {
            tracing::error!(%error, "the admin server ended");
        }
    });
    let own = std::fs::read("/proc/self/exe").context("reading this program")?;
    let mut last = String::new();
    loop {
        let outcome = match put(args, &own) {
            Ok(name) => {
                if let Some(gate) = gate.take() {
                    gate.open();
                }
                format!("the plugin is part of the network in {name}")
            }
            Err(error) => format!("the plugin is not installed: {error:#}"),
        };
        // Said once, however often it is looked at.
        if outcome != last {
            tracing::info!("{outcome}");
            last = outcome;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = signal::shutdown() => break,
        }
    }
    ready.begin_drain();
    if args.on_exit == OnExit::Remove {
        take(args)?;
        tracing::info!("the plugin is taken away");
    }
    tasks.shutdown(SHUTDOWN).await;
    Ok(())
}

/// Puts what is missing or different; gives the name of the configuration.
fn put(args: &Install, own: &[u8]) -> anyhow::Result<String> {
    let binary = args.bin_dir.join(TYPE);
    if std::fs::read(&binary).ok().as_deref() != Some(own) {
        write(&binary, own, 0o755).with_context(|| binary.display().to_string())?;
    }
    // Runtimes take the first by name.
    let conf = confs(&args.conf_dir)?.into_iter().next();
    let conf = conf.with_context(|| format!("{}: no network is configured yet", args.conf_dir.display()))?;
    let what = || conf.display().to_string();
    let text = std::fs::read_to_string(&conf).with_context(what)?;
    if let Some(text) = conf::with_plugin(&text).with_context(what)? {
        write(&conf, text.as_bytes(), 0o644).with_context(what)?;
    }
    Ok(what())
}

fn take(args: &Install) -> anyhow::Result<()> {
    for conf in confs(&args.conf_dir)? {
        let what = || conf.display().to_string();
        let text = std::fs::read_to_string(&conf).with_context(what)?;
        // What is no list has never had our plugin.
        if let Ok(Some(text)) = conf::without_plugin(&text) {
            write(&conf, text.as_bytes(), 0o644).with_context(what)?;
        }
    }
    match std::fs::remove_file(args.bin_dir.join(TYPE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("removing the plugin"),
        _ => Ok(()),
    }
}

fn confs(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_conf = |path: &PathBuf| path.extension().is_some_and(|end| end == "conflist" || end == "conf");
    let mut paths: Vec<PathBuf> = paths.filter(is_conf).collect();
    paths.sort();
    Ok(paths)
}

/// Whole or not at all: a runtime that reads meanwhile sees the old one.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new"));
    std::fs::write(&beside, bytes)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_comes_stays_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (bin_dir, conf_dir) = (folder.path().join("bin"), folder.path().join("net.d"));
        std::fs::create_dir(&bin_dir).unwrap();
        std::fs::create_dir(&conf_dir).unwrap();
        let on_exit = OnExit::Remove;
        let args = Install { bin_dir, conf_dir, on_exit, metrics: "127.0.0.1:0".parse().unwrap() };
        assert!(format!("{:#}", put(&args, b"v1").unwrap_err()).contains("no network is configured yet"));
        let conf = args.conf_dir.join("10-net.conflist");
        let text = r#"{"name":"net","plugins":[{"type":"bridge"}]}"#;
        std::fs::write(&conf, text).unwrap();
        std::fs::write(args.conf_dir.join("20-other.conflist"), text).unwrap();
        put(&args, b"v1").unwrap();
        assert_eq!(std::fs::read(args.bin_dir.join(TYPE)).unwrap(), b"v1");
        assert!(std::fs::read_to_string(&conf).unwrap().contains(TYPE));
        assert!(!std::fs::read_to_string(args.conf_dir.join("20-other.conflist")).unwrap().contains(TYPE));
        // The network's installer comes again, and we are updated.
        std::fs::write(&conf, text).unwrap();
        put(&args, b"v2").unwrap();
        assert!(std::fs::read_to_string(&conf).unwrap().contains(TYPE));
        assert_eq!(std::fs::read(args.bin_dir.join(TYPE)).unwrap(), b"v2");
        take(&args).unwrap();
        take(&args).unwrap();
        assert!(!args.bin_dir.join(TYPE).exists());
        assert!(!std::fs::read_to_string(&conf).unwrap().contains(TYPE));
        assert_eq!(std::fs::read_dir(&args.conf_dir).unwrap().count(), 2);
    }
}
