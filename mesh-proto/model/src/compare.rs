//! How answers to copies of requests are compared with those of the backend: what a user asks for, and places in JSON. Pure; it must not know
//! answers, nor who compares.

use std::fmt;
use std::str::FromStr;

use crate::traffic::Ppm;

/// Steps of a path.
const MAX_STEPS: usize = 32;
/// Bytes of a written path.
const MAX_WRITTEN: usize = 200;

/// What is compared: the status always, these headers, and the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// Names of headers, in lower case.
    pub headers: Vec<String>,
    /// Whether bodies are compared: JSON by its places, others by length and hash.
    pub body: bool,
    /// Of the copies, how many are compared.
    pub sample: Ppm,
    /// Of those with GET or HEAD, how many the backend gets a second time: what differs then differs by itself.
    pub twins: Ppm,
    /// Places that are not looked at, with all below them.
    pub ignore: Vec<JsonPath>,
    /// Whether examples show values; otherwise only types, lengths and statuses.
    pub values: bool,
}

impl Default for Compare {
    fn default() -> Self {
        Self {
            headers: vec!["content-type".to_owned()],
            body: true,
            sample: Ppm(1_000_000),
            twins: Ppm(1_000_000),
            ignore: Vec::new(),
            values: false,
        }
    }
}

/// A place in JSON: `$.items[*].id`. Which entry of an array it is does not count, and `*` stands for any key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct JsonPath(pub Vec<Step>);

/// A step down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// To the value of a key.
    Key(String),
    /// To the value of any key.
    AnyKey,
    /// To any entry of an array.
    Entry,
}

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// It begins with something else.
    #[error("does not begin with `$`")]
    Root,
    /// A step cannot be read.
    #[error("has a step that is none of `.key`, `.*`, `[*]` and `[\"key\"]`")]
    Step,
    /// It is too long.
    #[error("has more than 32 steps, or more than 200 bytes")]
    Length,
    /// It means everything.
    #[error("is the whole body; `body: false` says that")]
    All,
}

impl JsonPath {
    /// Whether a place is the one that is meant.
    pub fn is(&self, place: &[Step]) -> bool {
        self.0.len() == place.len()
            && self.0.iter().zip(place).all(|(meant, there)| match meant {
                Step::AnyKey => matches!(there, Step::Key(_) | Step::AnyKey),
                Step::Key(_) | Step::Entry => meant == there,
            })
    }
}

/// Whether a key needs no quotes.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Whether a character stands for itself between quotes.
fn is_bare(c: char) -> bool {
    !c.is_control() && !matches!(c, '"' | '\\')
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in &self.0 {
            match step {
                Step::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Step::Key(key) if key.chars().all(is_bare) => write!(f, "[\"{key}\"]")?,
                // Seen in an answer: it is told, and cannot be asked for.
                Step::Key(key) => write!(f, "[\"{}\"]", key.escape_debug())?,
                Step::AnyKey => f.write_str(".*")?,
                Step::Entry => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

impl FromStr for JsonPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        if text.len() > MAX_WRITTEN {
            return Err(InvalidPath::Length);
        }
        let mut rest = text.strip_prefix('$').ok_or(InvalidPath::Root)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or(InvalidPath::Step)?;
            steps.push(step);
            rest = after;
        }
        match steps.len() {
            0 => Err(InvalidPath::All),
            1..=MAX_STEPS => Ok(Self(steps)),
            _ => Err(InvalidPath::Length),
        }
    }
}

/// The first step, and what is left.
fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(after) = text.strip_prefix("[*]") {
        return Some((Step::Entry, after));
    }
    if let Some(after) = text.strip_prefix(".*") {
        return Some((Step::AnyKey, after));
    }
    if let Some(quoted) = text.strip_prefix("[\"") {
        let (key, after) = quoted.split_once("\"]")?;
        // What would have to be escaped cannot be named: `.*` means it.
        return (!key.is_empty() && key.chars().all(is_bare)).then(|| (Step::Key(key.to_owned()), after));
    }
    let after = text.strip_prefix('.')?;
    let (key, after) = after.split_at_checked(after.find(['.', '[']).unwrap_or(after.len()))?;
    is_plain(key).then(|| (Step::Key(key.to_owned()), after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Result<JsonPath, InvalidPath> {
        text.parse()
    }

    #[test]
    fn paths_are_read_and_written() {
        let texts = [
            "$.a",
            "$.a.b-c_2",
            "$.items[*].id",
            "$[*]",
            "$[*][*].x",
            "$.*.x",
            "$[\"a.b\"].c",
            "$[\"it's\"]",
        ];
        for text in texts {
            assert_eq!(path(text).unwrap().to_string(), text);
        }
        let cases = [
            ("", InvalidPath::Root),
            ("a.b", InvalidPath::Root),
            ("$", InvalidPath::All),
            ("$.", InvalidPath::Step),
            ("$..a", InvalidPath::Step),
            ("$.a b", InvalidPath::Step),
            ("$.a[0]", InvalidPath::Step),
            ("$[\"\"]", InvalidPath::Step),
            ("$[\"a]", InvalidPath::Step),
            ("$[\"\n\"]", InvalidPath::Step),
            ("$[\"\\n\"]", InvalidPath::Step),
        ];
        for (text, wrong) in cases {
            assert_eq!(path(text), Err(wrong), "{text}");
        }
        assert_eq!(path(&format!("${}", ".a".repeat(33))), Err(InvalidPath::Length));
        assert_eq!(path(&format!("$.{}", "a".repeat(200))), Err(InvalidPath::Length));
    }

    #[test]
    fn a_star_is_any_key_and_no_entry() {
        let any = path("$.*.id").unwrap();
        let key = |name: &str| Step::Key(name.into());
        assert!(any.is(&[key("a"), key("id")]));
        assert!(any.is(&[Step::AnyKey, key("id")]));
        assert!(!any.is(&[Step::Entry, key("id")]));
        assert!(!any.is(&[key("a")]));
        assert!(!any.is(&[key("a"), key("id"), key("x")]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(steps in prop::collection::vec(
            prop_oneof![
                "[a-zA-Z0-9_. -]{1,5}".prop_map(Step::Key), Just(Step::AnyKey), Just(Step::Entry)
            ], 1..8)) {
            let made = JsonPath(steps);
            prop_assert_eq!(path(&made.to_string()), Ok(made));
        }

        #[test]
        fn no_text_is_a_panic(text in "[$.\\[\\]*\"'a-c\\\\\né]{0,12}") {
            if let Ok(path) = path(&text) {
                prop_assert_eq!(path.to_string().parse(), Ok(path));
            }
        }
    }
}
