//! Matches of rules, and how rules of which the first that fits wins become rules of which the most specific wins.
//!
//! Istio, Linkerd's profiles and App Mesh take the first rule that fits; the Gateway API takes the most specific match, and the order counts
//! among equals only. Where a later rule would win over an earlier one, the earlier rule gets one more match: what both fit. It is
//! at least as specific as either, and so stands where the earlier rule stood. It must not know any mesh.
//!
//! Source: Gateway API v1.6, HTTPRouteRule.matches; an expression ranks below exact paths and above prefixes, as this mesh has it.

use regex::Regex;
use serde_json::{Value, json};

/// Most matches of a rule. Source: HTTPRoute specification.
pub(crate) const MAX_MATCHES: usize = 64;

/// What a path has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    Exact(String),
    /// By segments: `/a` fits `/a` and `/a/b`, not `/ab`.
    Prefix(String),
    /// The whole path.
    Regex(String),
}

/// What a value has to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Text {
    Exact(String),
    /// The whole value.
    Regex(String),
}

/// A header or parameter of a query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) value: Text,
}

/// All of it must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) path: Path,
    pub(crate) method: Option<String>,
    pub(crate) headers: Vec<Named>,
    pub(crate) query: Vec<Named>,
}

impl Default for Match {
    fn default() -> Self {
        Self { path: Path::prefix("/"), method: None, headers: Vec::new(), query: Vec::new() }
    }
}

impl Path {
    /// Without the slashes at its end.
    pub(crate) fn prefix(text: &str) -> Self {
        let trimmed = text.trim_end_matches('/');
        Self::Prefix(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
    }

    fn rank(&self) -> (usize, usize) {
        match self {
            Self::Exact(_) => (2, 0),
            Self::Regex(text) => (1, text.chars().count()),
            Self::Prefix(text) => (0, text.chars().count()),
        }
    }
}

/// Whether a path is a prefix or below it.
pub(crate) fn is_below(prefix: &str, path: &str) -> bool {
    prefix == "/" || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An expression that must fit a whole text.
pub(crate) fn whole(expression: &str) -> Option<Regex> {
    let compile = |text: &str| regex::RegexBuilder::new(text).size_limit(64 * 1024).build().ok();
    compile(expression)?;
    compile(&format!("^(?:{expression})$"))
}

/// The literal text with which every text that fits an expression begins.
fn literal_start(expression: &str) -> String {
    let expression = expression.strip_prefix('^').unwrap_or(expression);
    let mut start: String = expression.chars().take_while(|c| !r"\.+*?()|[]{}^$".contains(*c)).collect();
    let next = expression.chars().nth(start.chars().count());
    // A `*`, `?` or `{` is about the character before it; with an alternative at the top nothing is sure.
    if matches!(next, Some('*' | '?' | '{')) {
        start.pop();
    }
    if expression.contains('|') { String::new() } else { start }
}

/// What two parts have in common.
enum Both<T> {
    Nothing,
    Is(T),
    /// It cannot be written.
    Unknown,
}

fn both_paths(a: &Path, b: &Path) -> Both<Path> {
    match (a, b) {
        (a, b) if a == b => Both::Is(a.clone()),
        (Path::Exact(_), Path::Exact(_)) => Both::Nothing,
        (Path::Exact(exact), Path::Prefix(prefix)) | (Path::Prefix(prefix), Path::Exact(exact)) => {
            if is_below(prefix, exact) { Both::Is(Path::Exact(exact.clone())) } else { Both::Nothing }
        }
        (Path::Exact(exact), Path::Regex(regex)) | (Path::Regex(regex), Path::Exact(exact)) => {
            match whole(regex) {
                Some(regex) if regex.is_match(exact) => Both::Is(Path::Exact(exact.clone())),
                Some(_) => Both::Nothing,
                None => Both::Unknown,
            }
        }
        (Path::Prefix(a), Path::Prefix(b)) => match (is_below(a, b), is_below(b, a)) {
            (true, _) => Both::Is(Path::Prefix(b.clone())),
            (_, true) => Both::Is(Path::Prefix(a.clone())),
            (false, false) => Both::Nothing,
        },
        (Path::Prefix(prefix), Path::Regex(regex)) | (Path::Regex(regex), Path::Prefix(prefix)) => {
            let start = literal_start(regex);
            if prefix == "/" || (is_below(prefix, &start) && start.len() > prefix.len()) {
                Both::Is(Path::Regex(regex.clone()))
            } else if !start.starts_with(prefix.as_str()) && !prefix.starts_with(&start) {
                Both::Nothing
            } else {
                Both::Unknown
            }
        }
        (Path::Regex(a), Path::Regex(b)) => {
            let (a, b) = (literal_start(a), literal_start(b));
            if a.starts_with(&b) || b.starts_with(&a) { Both::Unknown } else { Both::Nothing }
        }
    }
}

fn both_named(a: &[Named], b: &[Named], same: impl Fn(&str, &str) -> bool) -> Both<Vec<Named>> {
    let mut both = a.to_vec();
    for named in b {
        let known = both.iter_mut().find(|known| same(&known.name, &named.name));
        let Some(known) = known else {
            both.push(named.clone());
            continue;
        };
        let (exact, regex) = match (&known.value, &named.value) {
            (a, b) if a == b => continue,
            (Text::Exact(_), Text::Exact(_)) => return Both::Nothing,
            (Text::Exact(exact), Text::Regex(regex)) | (Text::Regex(regex), Text::Exact(exact)) => {
                (exact, regex)
            }
            (Text::Regex(a), Text::Regex(b)) if a == ".*" => {
                known.value = Text::Regex(b.clone());
                continue;
            }
            (Text::Regex(_), Text::Regex(b)) if b == ".*" => continue,
            (Text::Regex(_), Text::Regex(_)) => return Both::Unknown,
        };
        match whole(regex) {
            Some(regex) if regex.is_match(exact) => known.value = Text::Exact(exact.clone()),
            Some(_) => return Both::Nothing,
            None => return Both::Unknown,
        }
    }
    Both::Is(both)
}

impl Match {
    fn rank(&self) -> [usize; 5] {
        let (kind, chars) = self.path.rank();
        [kind, chars, usize::from(self.method.is_some()), self.headers.len(), self.query.len()]
    }

    fn both(&self, other: &Self) -> Both<Self> {
        let method = match (&self.method, &other.method) {
            (Some(a), Some(b)) if a != b => return Both::Nothing,
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        let path = both_paths(&self.path, &other.path);
        let headers = both_named(&self.headers, &other.headers, str::eq_ignore_ascii_case);
        let query = both_named(&self.query, &other.query, |a, b| a == b);
        match (path, headers, query) {
            (Both::Nothing, ..) | (_, Both::Nothing, _) | (_, _, Both::Nothing) => Both::Nothing,
            (Both::Is(path), Both::Is(headers), Both::Is(query)) => {
                Both::Is(Self { path, method, headers, query })
            }
            _ => Both::Unknown,
        }
    }

    /// Whether everything that fits `other` fits this.
    fn takes_all_of(&self, other: &Self) -> bool {
        let sorted = |list: &[Named]| {
            let mut list = list.to_vec();
            list.sort();
            list
        };
        matches!(self.both(other), Both::Is(both) if both.path == other.path
            && both.method == other.method
            && sorted(&both.headers) == sorted(&other.headers)
            && sorted(&both.query) == sorted(&other.query))
    }

    /// As HTTPRoute writes it.
    pub(crate) fn json(&self) -> Value {
        let (kind, value) = match &self.path {
            Path::Exact(text) => ("Exact", text),
            Path::Prefix(text) => ("PathPrefix", text),
            Path::Regex(text) => ("RegularExpression", text),
        };
        let mut json = json!({ "path": { "type": kind, "value": value } });
        if let Some(method) = &self.method {
            json["method"] = json!(method);
        }
        for (key, list) in [("headers", &self.headers), ("queryParams", &self.query)] {
            if !list.is_empty() {
                json[key] = list.iter().map(Named::json).collect();
            }
        }
        json
    }
}

impl Named {
    pub(crate) fn json(&self) -> Value {
        match &self.value {
            Text::Exact(text) => json!({ "name": self.name, "value": text }),
            Text::Regex(text) => json!({ "name": self.name, "type": "RegularExpression", "value": text }),
        }
    }
}

/// A later rule that wins over an earlier one, and nothing can be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upset {
    pub(crate) earlier: usize,
    pub(crate) later: usize,
}

/// The matches of rules of which the first that fits wins, so that they mean the same where the most specific wins. `precedes` says
/// whether the first of two rules really goes before the second.
pub(crate) fn most_specific_first(
    rules: &mut [Vec<Match>],
    precedes: impl Fn(usize, usize) -> bool,
) -> Vec<Upset> {
    let mut upsets = Vec::new();
    // From the last rule up: a rule gets what it shares with those after it, and those have all of theirs by then.
    for earlier in (0..rules.len()).rev() {
        for later in earlier + 1..rules.len() {
            if precedes(earlier, later) {
                let (head, tail) = rules.split_at_mut(later);
                if let (Some(own), Some(others)) = (head.get_mut(earlier), tail.first())
                    && !guard(own, others)
                {
                    upsets.push(Upset { earlier, later });
                }
            }
        }
    }
    upsets
}

/// Adds to `own` what it shares with `others` where those would win. Whether all could be written.
fn guard(own: &mut Vec<Match>, others: &[Match]) -> bool {
    let mut fine = true;
    let mut at = 0;
    while let Some(mine) = own.get(at).cloned() {
        for other in others.iter().filter(|other| other.rank() > mine.rank()) {
            match mine.both(other) {
                Both::Nothing => {}
                Both::Is(both) => {
                    let covered =
                        own.iter().any(|known| known.rank() >= both.rank() && known.takes_all_of(&both));
                    if !covered && own.len() < MAX_MATCHES {
                        own.push(both);
                    } else if !covered {
                        fine = false;
                    }
                }
                Both::Unknown => fine = false,
            }
        }
        at += 1;
    }
    fine
}

#[cfg(test)]
mod tests;
