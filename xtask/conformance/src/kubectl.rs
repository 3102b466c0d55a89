//! Runs kubectl: everything that is done to the cluster goes through here. It must not know what is tested.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

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
        let output = self.output(args, None)?;
        if !output.status.success() {
            bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Applies objects.
    pub(crate) fn apply(&self, objects: &str) -> Result<()> {
        self.with_objects(&["apply", "--server-side", "--force-conflicts", "-f", "-"], objects)
    }

    /// Deletes objects, and waits until they are gone; what is not there is no error.
    pub(crate) fn delete(&self, objects: &str) -> Result<()> {
        self.with_objects(&["delete", "--ignore-not-found", "--wait", "-f", "-"], objects)
    }

    /// One object or a list.
    pub(crate) fn json(&self, args: &[&str]) -> Result<Value> {
        let printed = self.run(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&printed).context("kubectl printed no JSON")
    }

    /// What a command in a pod prints to both, and whether it ended well.
    pub(crate) fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<(bool, String)> {
        let args = [&["exec", "-n", namespace, pod, "-c", "echo", "--"], command].concat();
        let output = self.output(&args, None)?;
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        printed.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((output.status.success(), printed))
    }

    fn with_objects(&self, args: &[&str], objects: &str) -> Result<()> {
        let output = self.output(args, Some(objects))?;
        if !output.status.success() {
            bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    fn output(&self, args: &[&str], stdin: Option<&str>) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        // What is streamed has the client's own deadline.
        if args.first() != Some(&"exec") {
            command.arg(REQUEST_TIMEOUT);
        }
        command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().with_context(|| format!("run {}", self.program.display()))?;
        if let (Some(objects), Some(mut pipe)) = (stdin, child.stdin.take()) {
            // A kubectl that ended at once says why itself.
            pipe.write_all(objects.as_bytes()).ok();
        }
        child.wait_with_output().context("wait for kubectl")
    }
}
