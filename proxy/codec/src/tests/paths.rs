//! Facts about the one spelling of a path: what leads to `/admin` is `/admin` for everybody, or refused.

use std::borrow::Cow;

use crate::canonical::path;

fn of(raw: &str) -> String {
    match path(raw.as_bytes()) {
        Ok(path) => String::from_utf8_lossy(&path).into_owned(),
        Err(refusal) => refusal.reason().label().to_owned(),
    }
}

/// Spellings that are the same path for everybody.
const SAME: &[(&str, &str)] = &[
    ("/admin", "/admin"),
    ("//admin", "/admin"),
    ("///admin", "/admin"),
    ("/./admin", "/admin"),
    ("/././admin", "/admin"),
    ("//./admin", "/admin"),
    ("/.//admin", "/admin"),
    ("/x/../admin", "/admin"),
    ("/x/y/../../admin", "/admin"),
    ("/x//../admin", "/admin"),
    ("/x/./../admin", "/admin"),
    ("/x/../y/../admin", "/admin"),
    ("/admin/x/..", "/admin/"),
    ("/admin/.", "/admin/"),
    ("/admin//", "/admin/"),
    ("/%61dmin", "/admin"),
    ("/%61%64%6d%69%6e", "/admin"),
    ("/%61%64%6D%69%6E", "/admin"),
    ("/%2e/admin", "/admin"),
    ("/%2E/admin", "/admin"),
    ("/x/%2e%2e/admin", "/admin"),
    ("/x/.%2e/admin", "/admin"),
    ("/x/%2E./admin", "/admin"),
    ("/admin#x", "/admin"),
    ("/admin?", "/admin?"),
    ("/admin?x", "/admin?x"),
    ("/admin?/../x", "/admin?/../x"),
    ("/admin?x#y", "/admin?x"),
    ("/admin#x?y", "/admin"),
];

/// Spellings that some servers read as `/admin`, and others do not.
const REFUSED: &[(&str, &str)] = &[
    ("/../admin", "path_dots"),
    ("/x/../../admin", "path_dots"),
    ("/%2e%2e/admin", "path_dots"),
    ("/..//admin", "path_dots"),
    ("/admin/../..", "path_dots"),
    ("/x%2fadmin", "path_separator"),
    ("/%2fadmin", "path_separator"),
    ("/%2Fadmin", "path_separator"),
    ("/x/..%2fadmin", "path_separator"),
    ("/x%5cadmin", "path_separator"),
    ("/%5C..%5Cadmin", "path_separator"),
    ("/\\admin", "path_separator"),
    ("/x\\..\\admin", "path_separator"),
    ("/x/..;/admin", "path_dot_parameter"),
    ("/x/..;y=z/admin", "path_dot_parameter"),
    ("/.;/admin", "path_dot_parameter"),
    ("/x/%2e%2e;/admin", "path_dot_parameter"),
    ("/x/..%3b/admin", "path_dot_parameter"),
    ("/admin%00", "path_nul"),
    ("/admin%00.png", "path_nul"),
    ("/%c0%afadmin", "path_overlong"),
    ("/x/%c0%ae%c0%ae/admin", "path_overlong"),
    ("/%e0%80%afadmin", "path_overlong"),
    ("/%f0%80%80%afadmin", "path_overlong"),
    ("/admin%", "path_escape"),
    ("/admin%2", "path_escape"),
    ("/admin%zz", "path_escape"),
    ("/%u002fadmin", "path_escape"),
    ("admin", "path_start"),
    ("/admin\u{e9}", "path_byte"),
    ("/ad min", "path_byte"),
];

/// Spellings of other paths, for everybody.
const OTHER: &[(&str, &str)] = &[
    ("/ADMIN", "/ADMIN"),
    ("/admin.", "/admin."),
    ("/admin%2e", "/admin."),
    ("/admin;p", "/admin;p"),
    ("/;p/admin", "/;p/admin"),
    ("/admin...", "/admin..."),
    ("/.../admin", "/.../admin"),
    ("/%252e%252e/admin", "/%252e%252e/admin"),
    ("/x/%252f../admin", "/x/%252f../admin"),
    ("/admin%3fx", "/admin%3Fx"),
    ("/admin%23x", "/admin%23x"),
    ("/admin%20", "/admin%20"),
    ("/adm%c3%a9n", "/adm%C3%A9n"),
    ("/admin%0d%0a", "/admin%0D%0A"),
];

#[test]
fn sixty_spellings_of_admin_are_one_path_or_another_or_refused() {
    let rows: Vec<_> = [SAME, REFUSED, OTHER].concat();
    assert!(rows.len() >= 60);
    for (spelling, wanted) in rows {
        assert_eq!(of(spelling), wanted, "{spelling}");
        if wanted.starts_with('/') {
            assert_eq!(of(wanted), wanted, "not its own canonical form");
        }
    }
}

#[test]
fn what_a_uri_cannot_hold_is_encoded_in_one_way() {
    assert_eq!(of("/a<b>\"c\"^`{|}"), "/a%3Cb%3E%22c%22%5E%60%7B%7C%7D");
    assert_eq!(of("/a%3cb%3E"), "/a%3Cb%3E");
    assert_eq!(of("/a?<b>\"c\"^`{|}%zz"), "/a?%3Cb%3E%22c%22^`{|}%zz");
}

#[test]
fn of_nothing_or_a_query_it_is_the_root() {
    assert_eq!(of(""), "/");
    assert_eq!(of("?x"), "/?x");
    assert_eq!(of("#x"), "/");
    assert_eq!(of("*"), "path_start");
}

#[test]
fn a_dot_segment_leads_to_what_is_before_it() {
    assert_eq!(of("/a/b/c/./../../g"), "/a/g");
    assert_eq!(of("/a/b/.."), "/a/");
    assert_eq!(of("/a/.."), "/");
    assert_eq!(of("/.well-known/x"), "/.well-known/x");
    assert_eq!(of("/..a/.b"), "/..a/.b");
}

#[test]
fn a_canonical_path_is_not_copied() {
    for same in ["/", "/a/b.c?d=e", "/a;b=c/@d,e", "/.well-known/a%20b", "/a%C3%A9?%"] {
        assert!(matches!(path(same.as_bytes()), Ok(Cow::Borrowed(raw)) if raw == same.as_bytes()), "{same}");
    }
}
