//! The reference page of `meshctl`, from what `meshctl help` prints: the page cannot say anything else.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::exec::Program;

const HEAD: &str = "# Command line\n\n\
    <!-- Written by `cargo xtask gen` from `meshctl --help`; edit the help texts in `meshctl/src`, not this page. -->\n\n\
    What `meshctl --help` says, on one page. Exit codes are in [Exit codes](exit-codes.md).\n";

/// Writes `cli.md` into `out`.
pub(super) fn generate(meshctl: &Path, out: &Path) -> Result<()> {
    let top = ask(meshctl, &[])?;
    let commands = subcommands(&top);
    ensure!(!commands.is_empty(), "`meshctl --help` lists no command under `Commands:`");
    let mut page = HEAD.to_owned();
    section(&mut page, "meshctl", &top);
    for command in commands {
        section(&mut page, &format!("meshctl {command}"), &ask(meshctl, &[&command])?);
    }
    std::fs::write(out.join("cli.md"), page).context("write cli.md")
}

fn ask(meshctl: &Path, command: &[&str]) -> Result<String> {
    Program::new(meshctl, Duration::from_secs(30))
        .args(command)
        .arg("--help")
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .output()
        .context("ask meshctl for its help")
}

fn section(page: &mut String, title: &str, text: &str) {
    let text: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    if write!(page, "\n## {title}\n\n```text\n{}\n```\n", text.join("\n")).is_err() {
        // Writing to a string cannot fail.
    }
}

/// The names under `Commands:`, without `help`.
fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| line.trim() != "Commands:")
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommands_are_the_names_under_commands() {
        let help = "Usage: meshctl <COMMAND>\n\nCommands:\n  demo  Show it\n          more words\n  help  Help\n  top   Live\n\nOptions:\n  -h\n";
        assert_eq!(subcommands(help), ["demo", "top"]);
    }

    #[test]
    fn a_section_has_no_trailing_blanks() {
        let mut page = String::new();
        section(&mut page, "x", "a  \n\nb\n\n");
        assert_eq!(page, "\n## x\n\n```text\na\n\nb\n```\n");
    }
}
