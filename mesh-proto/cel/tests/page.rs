//! The reference page of expressions lists what there is, no more and no less. `UPDATE_PAGES=1` writes its table.
#![allow(clippy::unwrap_used, reason = "a test says plainly what it expects")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use mesh_cel::{
    Ended, FUNCTIONS, MAX_BYTES, MAX_DEPTH, MAX_MACROS, MAX_NODES, MAX_PATTERNS, MAX_READINGS, MAX_STEPS,
    Variable,
};

const BEGIN: &str = "<!-- variables: written by the test, see mesh-proto/cel/src/variable.rs -->\n";
const ENDED: &str =
    "<!-- variables of access logs: written by the test, see mesh-proto/cel/src/ended.rs -->\n";
const END: &str = "<!-- end -->\n";

fn table() -> String {
    let mut table =
        String::from("\n| variable | type | on a connection | what it is |\n| --- | --- | --- | --- |\n");
    for variable in Variable::ALL {
        let connection = if variable.needs_request() { "no" } else { "yes" };
        let (name, kind, meaning) = (variable.name(), variable.type_name(), variable.meaning());
        writeln!(table, "| `{name}` | {kind} | {connection} | {meaning} |").unwrap();
    }
    table.push('\n');
    table
}

fn table_of_ended() -> String {
    let mut table = String::from("\n| variable | type | what it is |\n| --- | --- | --- |\n");
    for variable in Ended::ALL.map(Variable::Ended) {
        let (name, kind, meaning) = (variable.name(), variable.type_name(), variable.meaning());
        writeln!(table, "| `{name}` | {kind} | {meaning} |").unwrap();
    }
    table.push('\n');
    table
}

/// Compares what stands behind that line, or writes it.
fn compare(path: &Path, begin: &str, table: &str) {
    let page = fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(begin).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_PAGES").is_some() {
        fs::write(path, format!("{before}{begin}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(written, table, "UPDATE_PAGES=1 writes it");
    }
}

#[test]
fn the_page_lists_variables_functions_and_bounds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/expressions.md");
    compare(&path, BEGIN, &table());
    compare(&path, ENDED, &table_of_ended());
    let page = fs::read_to_string(&path).unwrap();
    let after = page.split_once(ENDED).unwrap().1;
    for name in FUNCTIONS {
        assert!(
            after.contains(&format!("`{name}(")) || after.contains(&format!(".{name}(")),
            "{name} is not on the page"
        );
    }
    for bound in [MAX_BYTES, MAX_DEPTH, MAX_MACROS, MAX_NODES, MAX_PATTERNS, MAX_READINGS, MAX_STEPS] {
        let digits = bound.to_string();
        let grouped = match digits.len() {
            0..=3 => digits,
            long => {
                let (thousands, rest) = digits.split_at(long - 3);
                format!("{thousands},{rest}")
            }
        };
        assert!(after.contains(&grouped), "the bound {grouped} is not on the page");
    }
}
