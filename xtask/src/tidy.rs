//! `cargo xtask tidy`: what the architecture promises and no compiler checks.
//!
//! The rules are pure functions from texts to violations; this file reads the tree and prints. A rule never changes a
//! file. To add one: a file below `tidy/`, a line in [`check`], a test on a small input.

mod arrows;
mod comments;
mod doors;
mod files;
mod manifests;
mod metrics;
mod pages;
mod sizes;
mod source;
mod table;
mod violation;

use anyhow::Result;

use crate::config::Workspace;
use crate::screen;

use self::files::Tree;
use self::source::Source;
use self::violation::{Level, Violation};

/// Prints every violation; false when one of them is an error.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let mut found = check(&Tree::read(&workspace.root)?)?;
    found.sort_by(|a, b| (a.level, &a.path, a.line).cmp(&(b.level, &b.path, b.line)));
    for violation in &found {
        screen::line(&violation.to_string());
    }
    let errors = found.iter().filter(|violation| violation.level == Level::Error).count();
    screen::line(&format!("tidy: {errors} errors, {} warnings", found.len() - errors));
    Ok(errors == 0)
}

fn check(tree: &Tree) -> Result<Vec<Violation>> {
    let mut found = manifests::check(tree)?;
    found.extend(pages::check(tree));
    found.extend(tree.texts.iter().flat_map(comments::check_text));
    let mut sources = Vec::new();
    for text in tree.texts.iter().filter(|text| text.is_rust() && !text.is_generated()) {
        found.extend(comments::check_rust(text));
        found.extend(sizes::check(text));
        match Source::parse(text) {
            Ok(source) => sources.push(source),
            Err(violation) => found.push(violation),
        }
    }
    for text in tree.texts.iter().filter(|text| text.is_script()) {
        found.extend(comments::check_script(text));
        found.extend(sizes::check(text));
    }
    found.extend(arrows::check(&sources, table::PACKAGES));
    found.extend(sources.iter().flat_map(|source| doors::check(source, table::DOORS)));
    found.extend(metrics::check(tree, &sources));
    Ok(found)
}
