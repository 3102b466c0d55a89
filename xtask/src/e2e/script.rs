//! The commands of a page: its fenced `sh` blocks and the notes before them that say what is to be seen. Pure.
//!
//! A note is an HTML comment, which readers do not see, on the line before the fence:
//! `<!-- book-test: background until="The shop is open" -->`.
//!
//! | word | meaning |
//! |---|---|
//! | (nothing) | run it; its exit code must be 0 |
//! | `background` | start it and go on |
//! | `watch` | start it, wait for `until`, interrupt it as Ctrl-C does |
//! | `until="text"` | with `background` and `watch`: wait until it was printed; else: run again until it is printed |
//! | `expect="text"` | what it printed holds the text; may be given several times |
//! | `interrupt` | no block follows: interrupt the background program, which must end and leave nothing behind |

use anyhow::{Context as _, Result, bail, ensure};

/// How a block is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    Background,
    Watch,
}

/// One thing to do, in the order of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Run { line: usize, script: String, way: Way, until: Option<String>, expect: Vec<String> },
    Interrupt { line: usize },
}

#[derive(Debug, Default)]
struct Note {
    words: Vec<String>,
    until: Option<String>,
    expect: Vec<String>,
}

/// Every action of a page. A shell block that the page does not mark as `sh` is an error: it would not be run.
pub(super) fn actions(page: &str) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    let mut note = Note::default();
    let mut lines = page.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
    while let Some((number, line)) = lines.next() {
        if let Some(text) = line.strip_prefix("<!-- book-test:").and_then(|rest| rest.strip_suffix("-->")) {
            note = Note::parse(text).with_context(|| format!("line {number}"))?;
            if note.words == ["interrupt"] {
                actions.push(Action::Interrupt { line: number });
                note = Note::default();
            }
        } else if let Some(language) = line.strip_prefix("```") {
            let body: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            ensure!(
                !matches!(language, "" | "bash" | "shell" | "console"),
                "line {number}: call the block `sh`, `text` or what it is"
            );
            if language == "sh" {
                actions.push(std::mem::take(&mut note).action(number, body.join("\n"))?);
            }
        }
    }
    Ok(actions)
}

impl Note {
    fn parse(text: &str) -> Result<Self> {
        let mut note = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let end = rest.find([' ', '=']).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if let Some(quoted) = after.strip_prefix("=\"") {
                let (value, after) = quoted.split_once('"').context("a value has no closing quote")?;
                match word {
                    "until" => note.until = Some(value.to_owned()),
                    "expect" => note.expect.push(value.to_owned()),
                    other => bail!("`{other}` takes no value"),
                }
                rest = after.trim_start();
            } else {
                ensure!(matches!(word, "background" | "watch" | "interrupt"), "unknown word `{word}`");
                note.words.push(word.to_owned());
                rest = after.trim_start();
            }
        }
        Ok(note)
    }

    fn action(self, line: usize, script: String) -> Result<Action> {
        let way = match self.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => Way::Plain,
            ["background"] => Way::Background,
            ["watch"] => Way::Watch,
            words => bail!("line {line}: {words:?} do not go together"),
        };
        ensure!(way != Way::Watch || self.until.is_some(), "line {line}: `watch` needs `until`");
        Ok(Action::Run { line, script, way, until: self.until, expect: self.expect })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_notes_become_actions_in_order() {
        let page = "# T\n<!-- book-test: background until=\"is open\" -->\n```sh\nmeshctl demo\n```\ntext\n```text\nout\n```\n\
            ```sh\nls \\\n  x\n```\n<!-- book-test: expect=\"a b\" expect=\"c\" -->\n```sh\ny\n```\n<!-- book-test: interrupt -->\n";
        let found = actions(page).unwrap();
        assert_eq!(found.len(), 4);
        assert_eq!(
            found.first(),
            Some(&Action::Run {
                line: 3,
                script: "meshctl demo".into(),
                way: Way::Background,
                until: Some("is open".into()),
                expect: vec![],
            })
        );
        assert!(matches!(&found[1], Action::Run { script, way: Way::Plain, .. } if script == "ls \\\n  x"));
        assert!(matches!(&found[2], Action::Run { expect, .. } if *expect == ["a b", "c"]));
        assert_eq!(found[3], Action::Interrupt { line: 18 });
    }

    #[test]
    fn a_block_that_would_not_be_run_is_refused() {
        assert!(actions("```bash\nls\n```").is_err());
        assert!(actions("```\nls\n```").is_err());
    }

    #[test]
    fn a_note_with_a_typo_is_refused() {
        assert!(actions("<!-- book-test: backgruond -->").is_err());
        assert!(actions("<!-- book-test: until=\"x -->").is_err());
        assert!(actions("<!-- book-test: watch -->\n```sh\nls\n```").is_err());
    }
}
