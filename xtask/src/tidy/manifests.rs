//! Every package inherits what the workspace decides once: lints, edition, licence, versions of dependencies.

use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

use super::files::{Text, Tree};
use super::violation::Violation;

const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];
const DEPENDENCIES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check(tree: &Tree) -> Result<Vec<Violation>> {
    let root = tree.get("Cargo.toml").context("no Cargo.toml at the root")?;
    let table: Table = root.text.parse().context("read Cargo.toml")?;
    let members =
        table.get("workspace").and_then(|workspace| workspace.get("members")).and_then(Value::as_array);
    let mut found = Vec::new();
    for member in members.context("Cargo.toml has no workspace.members")?.iter().filter_map(Value::as_str) {
        let path = Path::new(member).join("Cargo.toml");
        match tree.get(&path) {
            Some(text) => found.extend(check_member(text)?),
            None => found.push(
                Violation::error(
                    "Cargo.toml",
                    line_of(&root.text, member),
                    "manifest",
                    format!("no {}", path.display()),
                )
                .because("a member without a manifest does not build")
                .instead("write the manifest or take the member out"),
            ),
        }
    }
    Ok(found)
}

fn check_member(text: &Text) -> Result<Vec<Violation>> {
    let table: Table = text.text.parse().with_context(|| format!("read {}", text.path.display()))?;
    let mut found = Vec::new();
    let mut wrong = |key: &str, what: String| {
        found.push(
            Violation::error(&text.path, line_of(&text.text, key), "manifest", what)
                .because("versions, lints and licence are decided once, in the workspace's Cargo.toml")
                .instead(format!(
                    "write `{key}.workspace = true` and keep the value in the workspace's Cargo.toml"
                )),
        );
    };
    if !inherits(table.get("lints")) {
        wrong("lints", "does not inherit the workspace's lints".to_owned());
    }
    for key in INHERITED {
        if !inherits(table.get("package").and_then(|package| package.get(key))) {
            wrong(key, format!("`package.{key}` is not the workspace's"));
        }
    }
    for section in DEPENDENCIES {
        for (name, dependency) in table.get(section).and_then(Value::as_table).into_iter().flatten() {
            if !inherits(Some(dependency)) {
                wrong(name, format!("`{section}.{name}` is not the workspace's"));
            }
        }
    }
    Ok(found)
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(Value::as_bool) == Some(true)
}

fn line_of(text: &str, key: &str) -> usize {
    text.lines()
        .position(|line| line.trim_start().trim_start_matches(['"', '[']).starts_with(key))
        .map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(manifest: &str) -> Vec<(usize, String)> {
        let found = check_member(&Text::new("p/Cargo.toml", manifest)).unwrap();
        found.into_iter().map(|violation| (violation.line, violation.what)).collect()
    }

    const HEAD: &str = "[package]\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
        license.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";

    #[test]
    fn a_package_that_inherits_everything_is_fine() {
        assert_eq!(
            what(&format!(
                "{HEAD}[dependencies]\na.workspace = true\nb = {{ workspace = true, features = [\"x\"] }}\n"
            )),
            []
        );
    }

    #[test]
    fn an_own_version_is_refused_with_its_line() {
        let found = what(&format!("{HEAD}[dev-dependencies]\na = \"1\"\n"));
        assert_eq!(found, [(10, "`dev-dependencies.a` is not the workspace's".to_owned())]);
    }

    #[test]
    fn missing_lints_are_refused() {
        let found = what(&HEAD.replace("[lints]\nworkspace = true\n", ""));
        assert_eq!(found, [(1, "does not inherit the workspace's lints".to_owned())]);
    }
}
