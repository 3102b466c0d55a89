//! Claims of a token that was verified. They must not know tokens.
//!
//! Source: RFC 7519 section 4; RFC 6901 (JSON Pointer) for paths.

use std::borrow::Cow;

/// Deepest nesting of a claim.
pub const DEPTH: usize = 16;

/// A value of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// Several.
    List(Vec<Self>),
    /// By name; of a name that is there twice the last one.
    Map(Vec<(String, Self)>),
}

/// All claims of a token.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims(Vec<(String, Claim)>);

impl Claims {
    /// `None` if they are nested too deeply.
    pub fn new(claims: Vec<(String, Claim)>) -> Option<Self> {
        claims.iter().all(|(_, claim)| claim.is_shallow(DEPTH)).then_some(Self(claims))
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Claim)> {
        self.0.iter().map(|(name, claim)| (name.as_str(), claim))
    }

    /// The claim of that name.
    pub fn named(&self, name: &str) -> Option<&Claim> {
        find(&self.0, name)
    }

    /// The claim at `path`: the name of one, whatever characters it has; or from `/` on a pointer.
    pub fn find(&self, path: &str) -> Option<&Claim> {
        let Some(pointer) = path.strip_prefix('/') else { return find(&self.0, path) };
        let mut parts = pointer.split('/').map(unescaped);
        let mut at = find(&self.0, &parts.next()?)?;
        for part in parts {
            at = match at {
                Claim::Map(entries) => find(entries, &part)?,
                Claim::List(entries) => entries.get(part.parse::<usize>().ok()?)?,
                Claim::Null | Claim::Bool(_) | Claim::Int(_) | Claim::Float(_) | Claim::Text(_) => {
                    return None;
                }
            };
        }
        Some(at)
    }

    /// The claim at `path` as one text: as it is, or as JSON writes a whole number, `true` and `false`. `None` for everything else.
    pub fn text(&self, path: &str) -> Option<String> {
        match self.find(path)? {
            Claim::Text(text) => Some(text.clone()),
            Claim::Bool(value) => Some(value.to_string()),
            Claim::Int(number) => Some(number.to_string()),
            Claim::Null | Claim::Float(_) | Claim::List(_) | Claim::Map(_) => None,
        }
    }
}

pub(super) fn find<'a>(entries: &'a [(String, Claim)], name: &str) -> Option<&'a Claim> {
    entries.iter().rev().find(|(known, _)| known == name).map(|(_, claim)| claim)
}

fn unescaped(part: &str) -> Cow<'_, str> {
    if part.contains('~') { part.replace("~1", "/").replace("~0", "~").into() } else { part.into() }
}

impl Claim {
    fn is_shallow(&self, depth: usize) -> bool {
        let Some(below) = depth.checked_sub(1) else { return false };
        match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Text(_) => true,
            Self::List(entries) => entries.iter().all(|entry| entry.is_shallow(below)),
            Self::Map(entries) => entries.iter().all(|(_, entry)| entry.is_shallow(below)),
        }
    }

    /// Whether it is that literal, or a list with an entry that is. `true` and whole numbers are as JSON writes them; other numbers are
    /// no literal.
    pub fn is(&self, literal: &str) -> bool {
        match self {
            Self::Text(text) => text == literal,
            Self::Bool(value) => literal == if *value { "true" } else { "false" },
            Self::Int(number) => number.to_string() == literal,
            Self::List(entries) => {
                entries.iter().any(|entry| !matches!(entry, Self::List(_)) && entry.is(literal))
            }
            Self::Null | Self::Float(_) | Self::Map(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Claim {
        Claim::Text(text.into())
    }

    fn claims() -> Claims {
        let roles = Claim::List(vec![text("admin"), Claim::Int(7)]);
        let realm = Claim::Map(vec![
            ("roles".into(), roles),
            ("a/b".into(), text("slash")),
            ("~".into(), text("tilde")),
        ]);
        let all = vec![
            ("sub".into(), text("ann")),
            ("https://x.example/role".into(), text("url")),
            ("a.b".into(), text("dots")),
            ("realm".into(), realm),
            ("ok".into(), Claim::Bool(true)),
            ("twice".into(), text("first")),
            ("twice".into(), text("last")),
        ];
        Claims::new(all).unwrap()
    }

    #[test]
    fn a_path_is_a_name_or_a_pointer() {
        let claims = claims();
        for (path, literal) in [
            ("sub", "ann"),
            ("https://x.example/role", "url"),
            ("a.b", "dots"),
            ("/sub", "ann"),
            ("/realm/roles", "admin"),
            ("/realm/roles", "7"),
            ("/realm/roles/0", "admin"),
            ("/realm/a~1b", "slash"),
            ("/realm/~0", "tilde"),
            ("ok", "true"),
            ("twice", "last"),
        ] {
            assert!(claims.find(path).is_some_and(|claim| claim.is(literal)), "{path}");
        }
        for path in ["", "/", "nobody", "realm/roles", "/realm/roles/2", "/realm/roles/x", "/sub/x"] {
            assert!(claims.find(path).is_none(), "{path}");
        }
        assert!(!claims.find("realm").unwrap().is("roles"));
    }

    #[test]
    fn what_is_nested_too_deeply_is_no_claim() {
        let nested = |depth: usize| (0..depth).fold(Claim::Null, |inner, _| Claim::List(vec![inner]));
        assert!(Claims::new(vec![("x".into(), nested(DEPTH - 1))]).is_some());
        assert!(Claims::new(vec![("x".into(), nested(DEPTH))]).is_none());
    }
}
