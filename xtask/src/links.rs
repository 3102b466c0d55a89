//! Every link between the pages leads somewhere: files exist, headings exist. Looks at no address outside.

mod markdown;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::config::Workspace;
use crate::screen;

use self::markdown::Page;

/// Prints each link that leads nowhere; false when there is one.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let mut pages = BTreeMap::new();
    for name in ["README.md", "CHANGELOG.md"] {
        let path = workspace.root.join(name);
        pages.insert(path.clone(), read(&path)?);
    }
    let mut folders = vec![workspace.root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.insert(path.clone(), read(&path)?);
            }
        }
    }
    let broken: Vec<String> = pages
        .iter()
        .flat_map(|(path, page)| page.links.iter().map(move |link| (path, link)))
        .filter_map(|(path, (line, target))| {
            let what = broken(&pages, path, target)?;
            Some(format!("{}:{line}: [link] `{target}`: {what}", workspace.relative(path).display()))
        })
        .collect();
    for line in &broken {
        screen::line(line);
    }
    screen::line(&format!("links: {} pages, {} broken links", pages.len(), broken.len()));
    Ok(broken.is_empty())
}

fn read(path: &Path) -> Result<Page> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(Page::parse(&text))
}

fn broken(pages: &BTreeMap<PathBuf, Page>, from: &Path, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { from.to_path_buf() } else { plain(&from.parent()?.join(file)) };
    if !path.exists() && !pages.contains_key(&path) {
        return Some("no such file");
    }
    let headings = &pages.get(&path)?.headings;
    anchor.filter(|anchor| !headings.iter().any(|heading| heading == anchor)).map(|_| "no such heading")
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_needs_its_file_and_its_heading() {
        let pages: BTreeMap<PathBuf, Page> =
            [("/r/docs/a.md", "# Top\n"), ("/r/docs/x/b.md", "## Two words\n")]
                .into_iter()
                .map(|(path, text)| (PathBuf::from(path), Page::parse(text)))
                .collect();
        let from = Path::new("/r/docs/a.md");
        assert_eq!(broken(&pages, from, "x/b.md#two-words"), None);
        assert_eq!(broken(&pages, from, "#top"), None);
        assert_eq!(broken(&pages, from, "https://example.org/x"), None);
        assert_eq!(broken(&pages, from, "x/c.md"), Some("no such file"));
        assert_eq!(broken(&pages, from, "x/b.md#other"), Some("no such heading"));
        assert_eq!(broken(&pages, Path::new("/r/docs/x/b.md"), "../a.md#top"), None);
    }
}
