//! Rules about what is written in files: how they open, what a TODO says, no path of somebody's machine.

use super::files::Text;
use super::violation::Violation;

/// Rules for a Rust file.
pub(super) fn check_rust(text: &Text) -> Vec<Violation> {
    let mut found = Vec::new();
    if !text.text.starts_with("//!") {
        found.push(
            Violation::error(&text.path, 1, "module-head", "the file does not open with `//!`")
                .because("a reader learns from the first line what a module is for and what it must not know")
                .instead("open the file with `//!`: its purpose, what it must not know, where data enters and leaves"),
        );
    }
    if text.path.file_name().is_some_and(|name| name == "mod.rs") {
        found.push(
            Violation::error(&text.path, 1, "no-mod-rs", "a file named mod.rs")
                .because("ten tabs named mod.rs tell nobody apart")
                .instead("move it to the folder's name: `foo.rs` beside `foo/`"),
        );
    }
    found
}

/// Rules for a module of JavaScript.
pub(super) fn check_script(text: &Text) -> Vec<Violation> {
    if text.text.starts_with("// ") {
        return Vec::new();
    }
    vec![
        Violation::error(&text.path, 1, "module-head", "the file does not open with `// `")
            .because("a reader learns from the first line what a module is for")
            .instead("open the file with a comment: its purpose, and whether it is pure"),
    ]
}

/// Rules for any text.
pub(super) fn check_text(text: &Text) -> Vec<Violation> {
    let lines = || text.text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let empty_todos = lines().filter(|(_, line)| is_bare_todo(line)).map(|(number, _)| {
        Violation::error(&text.path, number, "todo", "a note of work to do that does not say what and why")
            .because("a bare marker is a riddle for whoever comes next")
            .instead("say what is to be done and when in a sentence that ends with a full stop, or do it")
    });
    let places = lines().filter(|(_, line)| names_a_machine_place(line)).map(|(number, _)| {
        Violation::error(&text.path, number, "machine-path", "a path that exists on one machine only")
            .because("the repository must work wherever it is cloned")
            .instead("use a path relative to the checkout, a temporary folder, or `$HOME`")
    });
    empty_todos.chain(places).collect()
}

/// Built from halves, so that this file passes its own rule.
const MARKERS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const PLACES: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];

fn is_bare_todo(line: &str) -> bool {
    let Some(after) = MARKERS.iter().find_map(|marker| after_word(line, marker)) else { return false };
    let sentence = after.trim_start_matches([':', ' ']).trim_end();
    sentence.split_whitespace().count() < 4 || !sentence.ends_with(['.', '?', ')'])
}

fn after_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (before, after) = line.split_once(word)?;
    let alone = !before.ends_with(char::is_alphanumeric)
        && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    alone.then_some(after)
}

fn names_a_machine_place(line: &str) -> bool {
    PLACES.iter().filter_map(|place| line.split_once(place)).any(|(before, _)| {
        // A place inside a longer path, a URL or a glob is no absolute path.
        !before
            .ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '/' | '*' | '}'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(violations: Vec<Violation>) -> Vec<(usize, &'static str)> {
        violations.into_iter().map(|violation| (violation.line, violation.rule)).collect()
    }

    #[test]
    fn a_file_opens_with_its_purpose_and_is_not_named_mod() {
        assert_eq!(
            rules(check_rust(&Text::new("a/src/mod.rs", "use x;"))),
            [(1, "module-head"), (1, "no-mod-rs")]
        );
        assert_eq!(rules(check_rust(&Text::new("a/src/b.rs", "//! Fine.\n"))), []);
        assert_eq!(rules(check_script(&Text::new("a/b.js", "import x"))), [(1, "module-head")]);
        assert_eq!(rules(check_script(&Text::new("a/b.mjs", "// Fine.\n"))), []);
    }

    #[test]
    fn a_note_of_work_needs_a_sentence() {
        let text = format!(
            "ok\n// {0}\n// {0}: later\n// {0}: count these once h2 tells us about them.\n",
            MARKERS[0]
        );
        assert_eq!(rules(check_text(&Text::new("a.rs", &text))), [(2, "todo"), (3, "todo")]);
        let inside = format!("// the {}S list and {}_LIST", MARKERS[0], MARKERS[1]);
        assert_eq!(rules(check_text(&Text::new("a.rs", &inside))), []);
    }

    #[test]
    fn a_path_of_one_machine_is_refused_and_a_url_is_not() {
        let text = format!("a {}x/y\nhttp://example.org{}x\n", PLACES[0], PLACES[0]);
        assert_eq!(rules(check_text(&Text::new("a.md", &text))), [(1, "machine-path")]);
    }
}
