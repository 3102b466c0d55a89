//! Every page of the book is reachable: listed in `docs/SUMMARY.md`.

use super::files::Tree;
use super::violation::Violation;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let summary = tree.get("docs/SUMMARY.md").map(|text| text.text.as_str()).unwrap_or_default();
    tree.texts
        .iter()
        .filter_map(|text| Some((text, text.path.strip_prefix("docs").ok()?.to_str()?)))
        .filter(|(text, page)| text.is_page() && *page != "SUMMARY.md")
        .filter(|(_, page)| {
            !summary.contains(&format!("]({page})")) && !summary.contains(&format!("](./{page})"))
        })
        .map(|(text, page)| {
            Violation::error(&text.path, 1, "page-unlisted", "no link to this page in docs/SUMMARY.md")
                .because("the book shows only what its summary lists; an unlisted page is lost")
                .instead(format!("add `- [Title]({page})` to docs/SUMMARY.md"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::files::Text;
    use super::*;

    #[test]
    fn a_page_missing_from_the_summary_is_named() {
        let tree = Tree {
            texts: vec![
                Text::new("docs/SUMMARY.md", "- [A](a.md)\n- [B](x/b.md)"),
                Text::new("docs/a.md", "a"),
                Text::new("docs/x/b.md", "b"),
                Text::new("docs/x/c.md", "c"),
                Text::new("README.md", "r"),
            ],
        };
        let found: Vec<_> = check(&tree).into_iter().map(|violation| violation.path).collect();
        assert_eq!(found, [std::path::PathBuf::from("docs/x/c.md")]);
    }
}
