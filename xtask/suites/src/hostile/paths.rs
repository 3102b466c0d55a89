//! The path matrix: spellings of paths, and the one spelling that everybody behind the proxy sees. What could mean another path to
//! somebody else is refused. Pure.

use super::row::{Check, Expect, Row};

pub(super) const GROUP: &str = "path";

/// Spelling and canonical form.
const CANONICAL: &[(&str, &str)] = &[
    ("/admin", "/admin"),
    ("//admin", "/admin"),
    ("///admin", "/admin"),
    ("/./admin", "/admin"),
    ("/x/../admin", "/admin"),
    ("/x/y/../../admin", "/admin"),
    ("/x//..//admin", "/admin"),
    ("/admin/.", "/admin/"),
    ("/admin/x/..", "/admin/"),
    ("/%61dmin", "/admin"),
    ("/%61%64%6D%69%6e", "/admin"),
    ("/%2e/admin", "/admin"),
    ("/x/%2e%2e/admin", "/admin"),
    ("/x/.%2e/admin", "/admin"),
    ("/x/%2E./admin", "/admin"),
    ("/admin%2d1", "/admin-1"),
    ("/admin%7e", "/admin~"),
    ("/admin?x=/../y", "/admin?x=/../y"),
    ("/admin?x=%2f%5c", "/admin?x=%2f%5c"),
    ("/admin?a//b", "/admin?a//b"),
    ("//admin?//", "/admin?//"),
    ("/x/../admin?a=%2e%2e", "/admin?a=%2e%2e"),
    ("/ADMIN", "/ADMIN"),
    ("/admin.", "/admin."),
    ("/admin;p=1", "/admin;p=1"),
    ("/...", "/..."),
    ("/.../admin", "/.../admin"),
    ("/..a/admin", "/..a/admin"),
    ("/.admin", "/.admin"),
    ("/a:b@c!$&'()*+,=d", "/a:b@c!$&'()*+,=d"),
    ("/", "/"),
    ("//", "/"),
    ("/.", "/"),
];

/// Meaning something else to somebody: always refused.
const REFUSED: &[&str] = &[
    "/..",
    "/../admin",
    "/x/../../admin",
    "/%2e%2e/admin",
    "/.%2e/admin",
    "/x/%2e%2e/%2E%2E/admin",
    "//../admin",
    "/x%2fadmin",
    "/x%2Fadmin",
    "/x/..%2fadmin",
    "/x%5cadmin",
    "/x%5Cadmin",
    "/x\\admin",
    "/x\\..\\admin",
    "\\admin",
    "/admin%00",
    "/admin%00.png",
    "/admin%0",
    "/admin%",
    "/admin%zz",
    "/admin%u0041",
    "/admin\u{7f}",
];

/// Refused, or in this spelling, in which nobody reads anything else: what is escaped stays escaped, in capitals, and what a path must
/// not hold unescaped becomes so (RFC 3986 sections 2.1 and 3.3).
const ESCAPED: &[(&str, &str)] = &[
    ("/%252e%252e/admin", "/%252e%252e/admin"),
    ("/%252fadmin", "/%252fadmin"),
    ("/%c0%ae%c0%ae/admin", "/%C0%AE%C0%AE/admin"),
    ("/admin%20", "/admin%20"),
    ("/admin%3b", "/admin%3B"),
    ("/%e2%80%ae", "/%E2%80%AE"),
    ("/x/..;/admin", "/x/..;/admin"),
    ("/..;/admin", "/..;/admin"),
    ("/x;a=b/../admin", "/admin"),
    ("/admin%0a", "/admin%0A"),
    ("/admin%0d%0ax:y", "/admin%0D%0Ax:y"),
    ("/admin%3f", "/admin%3F"),
    ("/admin%23", "/admin%23"),
    ("/admin\"x", "/admin%22x"),
    ("/admin<x>", "/admin%3Cx%3E"),
    ("/admin|x", "/admin%7Cx"),
    ("/admin{x}", "/admin%7Bx%7D"),
    ("/admin^`", "/admin%5E%60"),
];

pub(super) fn rows(host: &str) -> Vec<Row> {
    let bytes = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let target = |path: &str| vec![Check::Target(path.as_bytes().to_vec())];
    let canonical = CANONICAL.iter().map(|(path, form)| {
        Row::new(GROUP, &format!("path {path}"), bytes(path), Expect::Passes(target(form)))
    });
    let refused = REFUSED.iter().map(|path| Row::new(GROUP, &name(path), bytes(path), Expect::Refused));
    let escaped = ESCAPED
        .iter()
        .map(|(path, form)| Row::new(GROUP, &name(path), bytes(path), Expect::Either(target(form))));
    canonical.chain(refused).chain(escaped).collect()
}

fn name(path: &str) -> String {
    format!("path {}", path.escape_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_has_at_least_sixty_spellings_and_each_once() {
        let rows = rows("h");
        let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() == rows.len() && rows.len() >= 60, "{}", rows.len());
    }
}
