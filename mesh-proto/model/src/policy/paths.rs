//! Paths of rules, and the readings of a request's path. They must not know what a rule does.
//!
//! The path is the canonical one that is forwarded. What servers still read differently are parameters of segments: some cut
//! `/admin;x=1` and `/a/..;/admin` before they look (RFC 3986 section 3.3 leaves it to them), others do not.

use std::borrow::Cow;
use std::fmt;

/// A path, or a path with all below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathRule {
    /// That path.
    Exact(String),
    /// `PATH/*`: the path and every one below it, by whole segments. Empty for `/*`, which is every path.
    Under(String),
}

impl PathRule {
    /// From `/path` or `/path/*`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.starts_with('/') {
            return Err("does not begin with `/`");
        }
        let (path, rule): (_, fn(String) -> Self) = match text.strip_suffix("/*") {
            Some(path) => (path, Self::Under),
            None => (text, Self::Exact),
        };
        if path.contains('*') {
            return Err("has a `*` that is not a last segment of its own; paths are literals");
        }
        Ok(rule(path.to_owned()))
    }

    fn fits(&self, path: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == path,
            Self::Under(prefix) if prefix.is_empty() => true,
            Self::Under(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

impl fmt::Display for PathRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Under(path) => write!(f, "{path}/*"),
        }
    }
}

/// Whether any reading of `path` fits some rule.
pub(super) fn any_fits(rules: &[PathRule], path: &str) -> bool {
    any_reading(path, |path| rules.iter().any(|rule| rule.fits(path)))
}

/// Whether every reading of `path` fits some rule.
pub(super) fn every_fits(rules: &[PathRule], path: &str) -> bool {
    every_reading(path, |path| rules.iter().any(|rule| rule.fits(path)))
}

/// As it is, without a final slash, without parameters, without both.
pub(super) fn any_reading(path: &str, fits: impl Fn(&str) -> bool) -> bool {
    let bare = without_parameters(path);
    [path, &bare].into_iter().any(|path| fits(path) || slashless(path).is_some_and(&fits))
}

/// The same as a list; a reading may be there twice.
pub(super) fn readings(path: &str) -> Vec<Cow<'_, str>> {
    let bare = without_parameters(path);
    let shorter: Vec<String> = [path, &bare].into_iter().filter_map(slashless).map(str::to_owned).collect();
    [path.into(), bare].into_iter().chain(shorter.into_iter().map(Cow::Owned)).collect()
}

fn slashless(path: &str) -> Option<&str> {
    path.strip_suffix('/').filter(|shorter| !shorter.is_empty())
}

/// As it is, and without parameters.
pub(super) fn every_reading(path: &str, fits: impl Fn(&str) -> bool) -> bool {
    fits(path) && (!path.contains(';') || fits(&without_parameters(path)))
}

/// What a server makes of a path that cuts parameters before it resolves dots.
pub(super) fn without_parameters(path: &str) -> Cow<'_, str> {
    if !path.contains(';') {
        return path.into();
    }
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let bare = part.split(';').next().unwrap_or_default();
        let last = parts.peek().is_none();
        match bare {
            ".." => {
                segments.pop();
                if last {
                    segments.push("");
                }
            }
            "." | "" if !last => {}
            "." => segments.push(""),
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_cut_before_dots_are_resolved() {
        for (path, bare) in [
            ("/admin;x=1", "/admin"),
            ("/admin;", "/admin"),
            ("/a/..;/admin", "/admin"),
            ("/a/..;x/..;y/../admin", "/admin"),
            ("/a;b/c;d", "/a/c"),
            ("/;x/admin", "/admin"),
            ("/.;/admin", "/admin"),
            ("/admin/;", "/admin/"),
            ("/admin/.;", "/admin/"),
            ("/admin/x/..;", "/admin/"),
            ("/..;", "/"),
            ("/;", "/"),
            ("/plain", "/plain"),
        ] {
            assert_eq!(without_parameters(path), bare, "{path}");
        }
    }

    #[test]
    fn a_rule_is_a_path_or_a_path_with_all_below_it() {
        for (rule, path, any, every) in [
            ("/admin", "/admin", true, true),
            ("/admin", "/admin/", true, false),
            ("/admin", "/admin/x", false, false),
            ("/admin", "/Admin", false, false),
            ("/admin", "/admin;x", true, false),
            ("/admin;x", "/admin;x", true, false),
            ("/public/*", "/public/..;/admin", true, false),
            ("/admin/*", "/public/..;/admin", true, false),
            ("/admin/*", "/admin", true, true),
            ("/admin/*", "/admin/x/y", true, true),
            ("/admin/*", "/administrator", false, false),
            ("/*", "/x;y", true, true),
            ("/*", "*", true, true),
            ("/*", "", true, true),
            ("/", "/", true, true),
            ("/", "/x", false, false),
        ] {
            let rules = [PathRule::parse(rule).unwrap()];
            assert_eq!((any_fits(&rules, path), every_fits(&rules, path)), (any, every), "{rule} and {path}");
            assert_eq!(rules[0].to_string(), rule);
        }
    }

    #[test]
    fn patterns_are_refused() {
        for bad in ["", "admin", "*", "/a*", "/*/b", "/a/*/b", "/a/**", "/a*/*"] {
            assert!(PathRule::parse(bad).is_err(), "{bad}");
        }
    }
}
