//! Host names, patterns of them, and which of several patterns a name is meant by. They must not know what a name stands for.
//!
//! Source: Gateway API v1.6, Hostname: `*.example.com` is every name under it, of any number of labels, and not `example.com`. An exact
//! name beats every pattern, the longer pattern the shorter one.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

/// Longest host name. Source: RFC 1035, 2.3.4.
const MAX_HOST: usize = 253;

/// A host name that is no IP address, in lower case and without a final dot: labels of letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Box<str>);

impl Host {
    /// From a text; case and a final dot mean nothing. `None` if it is no host name, or an IP address.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let label = |label: &str| !label.is_empty() && label.len() <= 63 && label.bytes().all(good);
        let host = text.len() <= MAX_HOST && text.split('.').all(label) && text.parse::<IpAddr>().is_err();
        host.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One host, or every host under one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// That one.
    Exact(Host),
    /// `*.HOST`: every one under it, and not it.
    Under(Host),
}

impl HostPattern {
    /// From a text; `None` if it is neither a host name nor `*.` and one.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("*.") {
            Some(suffix) => Host::parse(suffix).map(Self::Under),
            None => Host::parse(text).map(Self::Exact),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Under(host) => write!(f, "*.{host}"),
        }
    }
}

/// What hosts stand for, by pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMap<T> {
    exact: HashMap<Host, T>,
    under: HashMap<Host, T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), under: HashMap::new() }
    }
}

impl<T> HostMap<T> {
    /// Adds what a pattern stands for. If it stands for something already, that stays and is given back.
    pub fn insert(&mut self, pattern: &HostPattern, value: T) -> Result<(), &T> {
        use std::collections::hash_map::Entry;
        let (map, host) = match pattern {
            HostPattern::Exact(host) => (&mut self.exact, host),
            HostPattern::Under(host) => (&mut self.under, host),
        };
        match map.entry(host.clone()) {
            Entry::Vacant(free) => {
                free.insert(value);
                Ok(())
            }
            Entry::Occupied(taken) => Err(taken.into_mut()),
        }
    }

    /// What that host stands for: by its own name, else by the longest pattern that it is under.
    pub fn get(&self, host: &Host) -> Option<&T> {
        if let Some(found) = self.exact.get(host) {
            return Some(found);
        }
        if self.under.is_empty() {
            return None;
        }
        let mut rest = host.as_str();
        while let Some((_, suffix)) = rest.split_once('.') {
            // Suffixes of a good name are good names.
            if let Some(found) = self.under.get(&Host(suffix.into())) {
                return Some(found);
            }
            rest = suffix;
        }
        None
    }

    /// Whether nothing stands for anything.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.under.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    fn map(patterns: &[&str]) -> HostMap<String> {
        let mut map = HostMap::default();
        for pattern in patterns {
            let _ = map.insert(&HostPattern::parse(pattern).unwrap(), (*pattern).to_owned());
        }
        map
    }

    #[test]
    fn exact_beats_patterns_and_the_longer_pattern_the_shorter_one() {
        let map = map(&["*.example.com", "*.api.example.com", "api.example.com", "*.com"]);
        let rows = [
            ("api.example.com", Some("api.example.com")),
            ("v1.api.example.com", Some("*.api.example.com")),
            ("a.b.api.example.com", Some("*.api.example.com")),
            ("www.example.com", Some("*.example.com")),
            ("example.com", Some("*.com")),
            ("com", None),
            ("example.org", None),
        ];
        for (name, pattern) in rows {
            assert_eq!(map.get(&host(name)).map(String::as_str), pattern, "{name}");
        }
    }

    #[test]
    fn what_came_first_stays() {
        let mut map = map(&["a.example"]);
        let again = map.insert(&HostPattern::parse("A.example.").unwrap(), "other".to_owned());
        assert_eq!(again.unwrap_err(), "a.example");
    }

    #[test]
    fn patterns_have_one_star_in_front() {
        for bad in ["*", "*.", "a.*.example", "**.example", "*a.example", "*.*.example", "10.0.0.1", "*.a b"]
        {
            assert_eq!(HostPattern::parse(bad), None, "{bad}");
        }
        assert_eq!(HostPattern::parse("*.Example.com").unwrap().to_string(), "*.example.com");
    }

    proptest! {
        /// The naive rule: of all patterns that fit, an exact one, else the longest.
        #[test]
        fn the_map_finds_what_the_naive_rule_finds(
            patterns in prop::collection::vec("(\\*\\.)?[ab](\\.[ab]){0,3}", 0..8),
            name in "[ab](\\.[ab]){0,4}",
        ) {
            let map = map(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
            let fits = |pattern: &&String| match pattern.strip_prefix('*') {
                Some(suffix) => name.ends_with(suffix) && name.len() > suffix.len(),
                None => **pattern == name,
            };
            let best = patterns.iter().filter(fits).max_by_key(|p| (!p.starts_with('*'), p.len()));
            prop_assert_eq!(map.get(&host(&name)), best);
        }
    }
}
