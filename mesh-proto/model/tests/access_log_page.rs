//! The reference page of the access log lists the fields that there are, no more and no less. `UPDATE_PAGES=1` writes its table.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says plainly what it expects")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use mesh_model::access_log::{LogField, MAX_HEADERS, MAX_PARTS, Template};

const FIELDS: &str = "<!-- fields: written by the test, see mesh-proto/model/src/access_log/field.rs -->\n";
const TEMPLATE: &str = "<!-- template: written by the test -->\n";
const END: &str = "<!-- end -->\n";

fn table() -> String {
    let mut table = String::from("\n| field | what it is | attribute | Envoy |\n| --- | --- | --- | --- |\n");
    let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    for field in LogField::ALL {
        let (attribute, envoy) = (code(field.attribute()), code(field.envoy()));
        writeln!(table, "| `{}` | {} | {attribute} | {envoy} |", field.name(), field.meaning()).unwrap();
    }
    table.push('\n');
    table
}

/// Compares what stands behind that line, or writes it.
fn compare(path: &Path, begin: &str, wanted: &str) {
    let page = fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(begin).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_PAGES").is_some() {
        fs::write(path, format!("{before}{begin}{wanted}{END}{after}")).unwrap();
    } else {
        assert_eq!(written, wanted, "UPDATE_PAGES=1 writes it");
    }
}

#[test]
fn the_page_lists_fields_and_bounds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/access-log.md");
    compare(&path, FIELDS, &table());
    compare(&path, TEMPLATE, &format!("\n```text\n{}\n```\n\n", Template::default().text()));
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.contains(&format!("| headers of each side | {MAX_HEADERS} |")));
    assert!(page.contains(&format!("| fields and bytes of a template | {MAX_PARTS}, 1,024 |")));
}
