//! The little of Markdown that link checking and the book test need: headings, links, fenced blocks. Pure.

/// A page's links with their lines, and the anchors of its headings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) links: Vec<(usize, String)>,
    pub(crate) headings: Vec<String>,
}

impl Page {
    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut fence: Option<&str> = None;
        for (index, line) in text.lines().enumerate() {
            let trimmed = line.trim_start();
            let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
            match (fence, mark) {
                (None, Some(mark)) => fence = Some(mark),
                (Some(open), Some(mark)) if open == mark => fence = None,
                (Some(_), _) => {}
                (None, None) => page.add_line(index + 1, line),
            }
        }
        page
    }

    fn add_line(&mut self, number: usize, line: &str) {
        if let Some(title) = line.strip_prefix('#') {
            let anchor = anchor(title.trim_start_matches('#').trim());
            let same = self.headings.iter().filter(|heading| **heading == anchor).count();
            self.headings.push(if same == 0 { anchor } else { format!("{anchor}-{same}") });
        }
        let words = without_code(line);
        let mut rest = words.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else { break };
            self.links.push((number, target.split_whitespace().next().unwrap_or_default().to_owned()));
            rest = after;
        }
    }
}

/// A heading's anchor as mdBook and GitHub make it.
fn anchor(title: &str) -> String {
    title
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

fn without_code(line: &str) -> String {
    line.split('`').enumerate().filter(|(index, _)| index % 2 == 0).map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_are_no_links() {
        let page = Page::parse("[a](b.md) and `[c](d.md)`\n```text\n[e](f.md)\n```\n[g](h.md \"title\")");
        assert_eq!(page.links, [(1, "b.md".to_owned()), (5, "h.md".to_owned())]);
    }

    #[test]
    fn headings_have_the_anchors_that_mdbook_makes() {
        let page = Page::parse("# One `two`, three!\n## One `two`, three!\n### INV-1: x_y\n");
        assert_eq!(page.headings, ["one-two-three", "one-two-three-1", "inv-1-x_y"]);
    }
}
