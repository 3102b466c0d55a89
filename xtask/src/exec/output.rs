//! What programs printed, for people: read back and cut to its end.

use std::path::Path;

const LINES_SHOWN: usize = 40;

/// The file's text; bytes that are no UTF-8 are replaced, a missing file is empty.
pub(super) fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// The last lines, each indented, so that they stand out in an error.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LINES_SHOWN);
    lines.iter().skip(skipped).fold(String::new(), |mut shown, line| {
        shown.push_str("  | ");
        shown.push_str(line);
        shown.push('\n');
        shown
    })
}
