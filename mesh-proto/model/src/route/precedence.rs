//! Which of several matches that fit a request is the more specific one. It must not know requests.
//!
//! HTTPRoute (Gateway API v1.6, HTTPRouteRule.matches): exact path, longest prefix, method, number of headers, number
//! of query parameters. The standard leaves expressions for paths to us: they rank below every exact path and above every
//! prefix (so that a catch-all prefix never hides them), the longer expression first.
//!
//! GRPCRoute (GRPCRouteRule.matches): characters of the service, characters of the method, number of headers. An
//! expression counts less than any text and more than none, as for HTTP.
//!
//! Then (all kinds): the older route, the first by `NAMESPACE/NAME`, the first rule, the first match.

use std::cmp::{Ordering, Reverse};

use super::matching::firsts;
use super::{Match, PathMatch, Route, Target, TextMatch};

/// How specific a match is: greater wins. Comparable within one kind of route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specificity([usize; 5]);

impl Specificity {
    /// Of a match. Conditions that are ignored because an earlier one has the same name count nothing.
    pub(super) fn of(one: &Match) -> Self {
        let headers = firsts(&one.headers).count();
        Self(match &one.target {
            Target::Http { path, method, query } => {
                let (rank, chars) = path_rank(path);
                [rank, chars, usize::from(method.is_some()), headers, firsts(query).count()]
            }
            Target::Grpc(call) => {
                let (service_rank, service) = text_rank(call.service.as_ref());
                let (method_rank, method) = text_rank(call.method.as_ref());
                [service_rank, service, method_rank, method, headers]
            }
        })
    }
}

/// Kind, then number of characters. Exact paths that fit one request are all the same, so their length says nothing.
fn path_rank(path: &PathMatch) -> (usize, usize) {
    match path {
        PathMatch::Exact(_) => (2, 0),
        PathMatch::Regex(pattern) => (1, pattern.source().chars().count()),
        PathMatch::Prefix(prefix) => (0, prefix.chars().count()),
    }
}

/// Kind, then number of characters.
fn text_rank(text: Option<&TextMatch>) -> (usize, usize) {
    match text {
        Some(TextMatch::Exact(text)) => (2, text.chars().count()),
        Some(TextMatch::Regex(pattern)) => (1, pattern.source().chars().count()),
        None => (0, 0),
    }
}

/// Orders what wins first: `(specificity, route, rule index, match index)`.
pub(super) fn compare(
    a: (Specificity, &Route, usize, usize),
    b: (Specificity, &Route, usize, usize),
) -> Ordering {
    Reverse(a.0)
        .cmp(&Reverse(b.0))
        .then_with(|| a.1.created.cmp(&b.1.created))
        .then_with(|| slashed(a.1).cmp(slashed(b.1)))
        .then_with(|| (a.2, a.3).cmp(&(b.2, b.3)))
}

/// The bytes of `NAMESPACE/NAME`. Not the same order as by namespace and then by name: `a-b/x` comes before `a/x`.
fn slashed(route: &Route) -> impl Iterator<Item = u8> {
    let name = &route.id.name;
    name.namespace().bytes().chain(std::iter::once(b'/')).chain(name.name().bytes())
}
