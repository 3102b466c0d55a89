//! The query of a request: known names with values of a bounded size, each once. Pure. A name that nobody knows is an error, so that a
//! filter that is misspelt does not show everything.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// The longest query.
const MAX_QUERY: usize = 2_000;

/// Why a request cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// It is too long.
    #[error("the query is longer than {MAX_QUERY} bytes")]
    Long,
    /// It is there twice, or is not text.
    #[error("{0}: there once, as text")]
    Pair(String),
    /// Nobody knows it.
    #[error("{0}: there is no such parameter")]
    Unknown(String),
    /// It has another form.
    #[error("{name}: {wanted}")]
    Value {
        /// Which.
        name: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
}

/// What is left to be read.
#[derive(Debug, Default)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads all pairs.
    pub fn parse(text: &str) -> Result<Self, BadQuery> {
        if text.len() > MAX_QUERY {
            return Err(BadQuery::Long);
        }
        let mut pairs = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| {
                let spaced = text.replace('+', " ");
                percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned)
            };
            let shown = || BadQuery::Pair(name.chars().take(40).collect());
            let (name, value) = (decode(name).map_err(|_| shown())?, decode(value).map_err(|_| shown())?);
            if pairs.insert(name, value).is_some() {
                return Err(shown());
            }
        }
        Ok(Self(pairs))
    }

    /// A text; empty if it is not there.
    pub fn text(&mut self, name: &'static str) -> String {
        self.0.remove(name).unwrap_or_default()
    }

    /// A number up to `most`; 0 if it is not there.
    pub fn number(&mut self, name: &'static str, most: u32) -> Result<u32, BadQuery> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(0);
        }
        let number = text.parse().ok().filter(|number| *number <= most);
        number.ok_or(BadQuery::Value { name, wanted: "a whole number that is not too large" })
    }

    /// `1`, or not there.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, BadQuery> {
        match self.text(name).as_str() {
            "" => Ok(false),
            "1" => Ok(true),
            _ => Err(BadQuery::Value { name, wanted: "1, or nothing" }),
        }
    }

    /// All was read.
    pub fn done(self) -> Result<(), BadQuery> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(BadQuery::Unknown(name.chars().take(40).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_once_and_none_is_left_over() {
        let mut query = Query::parse("name=shop%2Fcart&window=60&history=1&x=a+b").unwrap();
        assert_eq!(query.text("name"), "shop/cart");
        assert_eq!(query.number("window", 3600), Ok(60));
        assert_eq!(query.flag("history"), Ok(true));
        assert_eq!(query.text("x"), "a b");
        assert_eq!(
            (query.text("other"), query.number("n", 1), query.flag("f")),
            (String::new(), Ok(0), Ok(false))
        );
        assert_eq!(query.done(), Ok(()));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert_eq!(Query::parse(&"a".repeat(2_001)).unwrap_err(), BadQuery::Long);
        assert_eq!(Query::parse("a=1&a=2").unwrap_err(), BadQuery::Pair("a".into()));
        assert_eq!(Query::parse("a=%ff").unwrap_err(), BadQuery::Pair("a".into()));
        assert_eq!(Query::parse("naem=x").unwrap().done(), Err(BadQuery::Unknown("naem".into())));
        assert!(Query::parse("window=4000").unwrap().number("window", 3600).is_err());
        assert!(Query::parse("window=-1").unwrap().number("window", 3600).is_err());
        assert!(Query::parse("f=yes").unwrap().flag("f").is_err());
    }
}
