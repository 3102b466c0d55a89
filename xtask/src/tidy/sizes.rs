//! How long a file may be. Long files are where concepts go to hide.

use super::files::Text;
use super::table::LONG_FILES;
use super::violation::Violation;

const WARN: usize = 500;
const FAIL: usize = 800;

pub(super) fn check(text: &Text) -> Option<Violation> {
    let lines = text.text.lines().count();
    let waived = LONG_FILES.iter().any(|(path, reason)| text.path.as_os_str() == *path && !reason.is_empty());
    if lines <= WARN || waived {
        return None;
    }
    let found = Violation::error(&text.path, lines, "file-length", format!("{lines} lines; aim at 300, {FAIL} is too many"))
        .because("one concept a file; median 300 lines is what keeps a codebase readable")
        .instead("split by concept into `foo/`, or move the tests into `foo/tests.rs`; a waiver with its reason goes into xtask/src/tidy/table.rs");
    Some(if lines <= FAIL || text.is_test() { found.only_warning() } else { found })
}

#[cfg(test)]
mod tests {
    use super::super::violation::Level;
    use super::*;

    fn level(path: &str, lines: usize) -> Option<Level> {
        check(&Text::new(path, &"x\n".repeat(lines))).map(|violation| violation.level)
    }

    #[test]
    fn length_is_warned_of_then_refused_and_tests_are_only_warned() {
        assert_eq!(level("p/src/a.rs", 500), None);
        assert_eq!(level("p/src/a.rs", 501), Some(Level::Warning));
        assert_eq!(level("p/src/a.rs", 801), Some(Level::Error));
        assert_eq!(level("p/src/a/tests.rs", 801), Some(Level::Warning));
    }
}
