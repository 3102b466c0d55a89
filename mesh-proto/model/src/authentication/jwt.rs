//! Tokens of users: which a workload asks for, where they are in a request, and which of several policies counts. It must not know how a
//! token is verified.
//!
//! Sources: RFC 6750 (bearer tokens); RFC 9110 section 11.1 (schemes are case-insensitive), RFC 6265 (cookies).

use std::borrow::Cow;

use super::Level;
use crate::head::HeadView;

/// Most issuers of one policy.
pub const MAX_ISSUERS: usize = 16;
/// Most audiences of one issuer.
pub const MAX_AUDIENCES: usize = 32;
/// Most places of one issuer's tokens.
pub const MAX_PLACES: usize = 8;
/// Most headers made of one issuer's claims.
pub const MAX_CLAIM_HEADERS: usize = 32;
/// Most bytes of one issuer's keys.
pub const MAX_KEYS_BYTES: usize = 64 * 1024;

/// What a workload asks of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtRules {
    /// `AuthenticationPolicy NS/NAME`.
    pub source: String,
    /// Whether a request without a token is refused. One with a token is refused in any case unless it is good.
    pub required: bool,
    /// The ports where this counts; none: all.
    pub ports: Vec<u16>,
    /// Whose tokens are good.
    pub issuers: Vec<JwtIssuer>,
}

/// Whose tokens are good, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtIssuer {
    /// `iss`, literally.
    pub issuer: String,
    /// `aud` must name one of them.
    pub audiences: Vec<String>,
    /// A JWKS of public keys; empty: none are known, and no token of this issuer is good.
    pub jwks: String,
    /// Where its tokens are.
    pub from: Vec<TokenPlace>,
    /// What becomes of a token that was good.
    pub handling: Handling,
    /// Headers that are made of claims.
    pub claim_headers: Vec<ClaimHeader>,
}

/// What becomes of a token that was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// It is taken out of the request.
    Removed,
    /// The application gets it too.
    Forwarded,
}

/// Where in a request a token is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenPlace {
    /// In a header.
    Header {
        /// In lower case.
        name: String,
        /// What is before the token, in any case of letters; may be empty.
        prefix: String,
    },
    /// In a cookie of that name.
    Cookie(String),
    /// In a parameter of the query.
    Query(String),
}

impl TokenPlace {
    /// `Authorization: Bearer TOKEN`.
    pub fn bearer() -> Self {
        Self::Header { name: "authorization".to_owned(), prefix: "Bearer ".to_owned() }
    }
}

/// A header that is made of a claim. A header of that name that a client sends is always taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimHeader {
    /// In lower case.
    pub header: String,
    /// The name of a claim, or from `/` on a pointer into it (RFC 6901).
    pub claim: String,
}

impl JwtRules {
    /// Nobody gets in: what counts where nothing can be known.
    pub fn closed(source: impl Into<String>) -> Self {
        Self { source: source.into(), required: true, ports: Vec::new(), issuers: Vec::new() }
    }

    /// Whether it counts at a port.
    pub fn counts_at(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.contains(&port)
    }

    /// Every place where a token may be, each once.
    pub fn places(&self) -> Vec<&TokenPlace> {
        let mut places = Vec::new();
        for place in self.issuers.iter().flat_map(|issuer| &issuer.from) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// The issuer of that name whose tokens may be at that place.
    pub fn issuer(&self, name: &str, place: &TokenPlace) -> Option<(usize, &JwtIssuer)> {
        let mut all = self.issuers.iter().enumerate();
        all.find(|(_, issuer)| issuer.issuer == name && issuer.from.contains(place))
    }

    /// Whether only the mesh may say this header: it is made of a claim. `-` and `_` are the same to many applications.
    pub fn makes(&self, header: &str) -> bool {
        let same = |made: &str| {
            made.len() == header.len()
                && made.bytes().zip(header.bytes()).all(|(one, other)| plain(one) == plain(other))
        };
        self.issuers.iter().flat_map(|issuer| &issuer.claim_headers).any(|made| same(&made.header))
    }
}

fn plain(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// What of tokens is in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a> {
    /// Nothing.
    None,
    /// One token.
    One {
        /// As it is written.
        token: String,
        /// Where.
        place: &'a TokenPlace,
    },
    /// More than one: which of them the application would look at is not known (RFC 6750 section 2 forbids it).
    Several,
}

/// Looks in every place.
pub fn find<'a, H: HeadView + ?Sized>(rules: &'a JwtRules, head: &H) -> Found<'a> {
    let mut found: Vec<(String, &TokenPlace)> = Vec::new();
    for place in rules.places() {
        match place {
            TokenPlace::Header { name, prefix } => head.header_values(name, &mut |value| {
                found.extend(after(value, prefix).map(|token| (token, place)));
            }),
            TokenPlace::Cookie(name) => head.header_values("cookie", &mut |value| {
                let value = String::from_utf8_lossy(value);
                let pairs = value.split(';').filter_map(|pair| pair.split_once('='));
                let named = pairs.filter(|(one, _)| one.trim() == name);
                found.extend(named.map(|(_, token)| (token.trim().trim_matches('"').to_owned(), place)));
            }),
            TokenPlace::Query(name) => {
                let named = parameters(head.query()).filter(|(one, _)| one == name);
                found.extend(named.map(|(_, pair)| (parameter_value(pair).into_owned(), place)));
            }
        }
    }
    match found.pop() {
        None => Found::None,
        Some((token, place)) if found.is_empty() => Found::One { token, place },
        Some(_) => Found::Several,
    }
}

/// A query without the parameters of that name; `None`: nothing is left.
pub fn without_parameter(query: &str, name: &str) -> Option<String> {
    let left: Vec<&str> =
        parameters(Some(query)).filter(|(one, _)| one != name).map(|(_, pair)| pair).collect();
    (!left.is_empty()).then(|| left.join("&"))
}

/// The value of a Cookie header without the cookies of that name; `None`: nothing is left.
pub fn without_cookie(value: &str, name: &str) -> Option<String> {
    let named = |pair: &&str| pair.split_once('=').is_some_and(|(one, _)| one.trim() == name);
    let left: Vec<&str> = value.split(';').filter(|pair| !named(pair)).map(str::trim).collect();
    let left = left.join("; ");
    (!left.is_empty()).then_some(left)
}

/// The token behind a prefix. A scheme is followed by any blanks.
fn after(value: &[u8], prefix: &str) -> Option<String> {
    let value = String::from_utf8_lossy(value);
    let scheme = prefix.trim_end();
    let start = value.get(..scheme.len())?;
    if !start.eq_ignore_ascii_case(scheme) {
        return None;
    }
    let rest = value.get(scheme.len()..)?;
    let apart = scheme.len() == prefix.len() || rest.starts_with([' ', '\t']);
    apart.then(|| rest.trim().to_owned())
}

/// Names as an application reads them, each with the pair as it is written.
fn parameters(query: Option<&str>) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| (unescaped(pair.split_once('=').map_or(pair, |(name, _)| name)), pair))
}

fn parameter_value(pair: &str) -> Cow<'_, str> {
    unescaped(pair.split_once('=').map_or("", |(_, value)| value))
}

/// `application/x-www-form-urlencoded`.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let escaped = pair.filter(|_| *first == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Which policy's word on tokens counts for a workload, and those at the same level that do not: of the narrowest level that has one, one
/// that requires a token, else the first by name.
pub fn settle<'a>(said: &[(Level, &'a JwtRules)]) -> (Option<&'a JwtRules>, Vec<(&'a str, &'a str)>) {
    for level in [Level::Workload, Level::Namespace] {
        let all = said.iter().filter(|(one, _)| *one == level).map(|(_, rules)| *rules);
        let order = |rules: &&'a JwtRules| (!rules.required, rules.source.as_str());
        if let Some(winner) = all.clone().min_by_key(order) {
            let losers = all.filter(|rules| rules.source != winner.source);
            return (
                Some(winner),
                losers.map(|rules| (rules.source.as_str(), winner.source.as_str())).collect(),
            );
        }
    }
    (None, Vec::new())
}

#[cfg(test)]
mod tests;
