//! Starts the programs of iptables. It must not know what a rule is about.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use rustix::thread::{CapabilitySet, capabilities};

use crate::error::{CaptureError, Missing};
use crate::ruleset::{Family, Ruleset};

/// What an error message shows of what a program said.
const SAID: usize = 400;

/// The programs of one family: what shows the rules, what takes them.
#[derive(Debug, Clone, Copy)]
struct Programs {
    save: &'static str,
    restore: &'static str,
}

/// Whoever falls back has no nftables, so the variants that do without it come first.
const fn programs(family: Family) -> [Programs; 2] {
    match family {
        Family::V4 => [
            Programs { save: "iptables-legacy-save", restore: "iptables-legacy-restore" },
            Programs { save: "iptables-save", restore: "iptables-restore" },
        ],
        Family::V6 => [
            Programs { save: "ip6tables-legacy-save", restore: "ip6tables-legacy-restore" },
            Programs { save: "ip6tables-save", restore: "ip6tables-restore" },
        ],
    }
}

/// Replaces what is there, one table after the other.
pub(crate) fn replace(ruleset: &Ruleset) -> Result<(), CaptureError> {
    each_family(|family, saved| super::replace(ruleset, family, saved))
}

/// Takes away what is there.
pub(crate) fn remove() -> Result<(), CaptureError> {
    each_family(|_, saved| super::remove(saved))
}

fn each_family(input: impl Fn(Family, &str) -> String) -> Result<(), CaptureError> {
    for family in [Family::V4, Family::V6] {
        // A machine without IPv6 has nothing of it to capture.
        if family == Family::V6 && !std::path::Path::new("/proc/net/if_inet6").exists() {
            continue;
        }
        let (programs, saved) = saved(family)?;
        let text = input(family, &saved);
        if !text.is_empty() {
            ran(programs.restore, &["--noflush", "--wait", "10"], &text)?;
        }
    }
    Ok(())
}

/// The programs that are installed, and what is there now.
fn saved(family: Family) -> Result<(Programs, String), CaptureError> {
    let [first, second] = programs(family);
    for programs in [first, second] {
        match output(programs.save, &[], "") {
            Ok(shown) if shown.status.success() => {
                return Ok((programs, String::from_utf8_lossy(&shown.stdout).into_owned()));
            }
            Ok(failed) => return Err(failure(programs.save, &failed)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CaptureError::refused(format!("`{}`", programs.save), error)),
        }
    }
    Err(CaptureError::Program {
        program: second.save,
        said: "it is not installed; install iptables, or use a kernel with nftables".to_owned(),
    })
}

fn ran(program: &'static str, args: &[&str], input: &str) -> Result<(), CaptureError> {
    match output(program, args, input) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failure(program, &output)),
        Err(error) => Err(CaptureError::refused(format!("`{program}`"), error)),
    }
}

fn output(program: &str, args: &[&str], input: &str) -> io::Result<Output> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // What ends before it has read everything says why on its standard error.
        stdin.write_all(input.as_bytes()).ok();
    }
    child.wait_with_output()
}

fn failure(program: &'static str, output: &Output) -> CaptureError {
    let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(SAID).collect();
    let lacks = |capability| !capabilities(None).is_ok_and(|sets| sets.effective.contains(capability));
    for (capability, missing) in
        [(CapabilitySet::NET_ADMIN, Missing::NetAdmin), (CapabilitySet::NET_RAW, Missing::NetRaw)]
    {
        if lacks(capability) {
            return CaptureError::Denied {
                what: format!("`{program}`"),
                missing,
                source: io::Error::other(said),
            };
        }
    }
    CaptureError::Program { program, said }
}
