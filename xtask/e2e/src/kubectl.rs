//! Runs kubectl: everything that is done to the cluster goes through here. It must not know what is tested.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::program::{self, Ran};

/// kubectl ends by itself when the server does not answer.
const REQUEST_TIMEOUT: &str = "--request-timeout=60s";

/// A kubectl, which finds the cluster by `KUBECONFIG`.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Standard output, if it ended well.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String> {
        self.with_input(args, None)
    }

    /// Applies objects.
    pub(crate) fn apply(&self, objects: &str) -> Result<()> {
        let args = ["apply", "--server-side", "--force-conflicts", REQUEST_TIMEOUT, "-f", "-"];
        self.with_input(&args, Some(objects)).map(drop)
    }

    /// Deletes objects, and waits until they are gone; what is not there is no error.
    pub(crate) fn delete(&self, objects: &str) -> Result<()> {
        let args = ["delete", "--ignore-not-found", "--wait", "--timeout=120s", "-f", "-"];
        self.with_input(&args, Some(objects)).map(drop)
    }

    /// One object or a list.
    pub(crate) fn json(&self, args: &[&str]) -> Result<Value> {
        let printed = self.run(&[args, &["-o", "json", REQUEST_TIMEOUT]].concat())?;
        serde_json::from_str(&printed).context("kubectl printed no JSON")
    }

    /// What a command in a pod's container does.
    pub(crate) fn exec(&self, namespace: &str, pod: &str, container: &str, command: &[&str]) -> Result<Ran> {
        let args = [&["exec", "-n", namespace, pod, "-c", container, "--"], command].concat();
        let ran = program::run(&self.program, &args, None)?;
        Ok(Ran { stderr: without_kubectls_own(&ran.stderr), ..ran })
    }

    /// The name (or what else `path` names) of a running pod.
    pub(crate) fn pod(&self, namespace: &str, selector: &str, path: &str) -> Result<String> {
        let path = format!("jsonpath={{.items[0].{path}}}");
        let running = "--field-selector=status.phase=Running";
        let found = self.run(&["get", "pod", "-n", namespace, "-l", selector, running, "-o", &path])?;
        ensure!(!found.trim().is_empty(), "no running pod {selector} in {namespace}");
        Ok(found.trim().to_owned())
    }

    /// Until every pod of these Deployments is as it should be.
    pub(crate) fn rolled_out(&self, namespace: &str, names: &[&str]) -> Result<()> {
        for name in names {
            let target = format!("deployment/{name}");
            self.run(&["rollout", "status", "-n", namespace, &target, "--timeout=240s"])
                .with_context(|| format!("{namespace}/{name} does not become ready"))?;
        }
        Ok(())
    }

    fn with_input(&self, args: &[&str], stdin: Option<&str>) -> Result<String> {
        let ran = program::run(&self.program, args, stdin)?;
        if ran.code != 0 {
            bail!("kubectl {}: {}", args.join(" "), ran.stderr.trim());
        }
        Ok(ran.stdout)
    }
}

/// What the command said: kubectl adds a line of its own, which would be the last.
fn without_kubectls_own(stderr: &str) -> String {
    let own = "command terminated with exit code";
    stderr.lines().filter(|line| !line.starts_with(own)).flat_map(|line| [line, "\n"]).collect()
}
