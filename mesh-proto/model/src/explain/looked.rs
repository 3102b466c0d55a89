//! Matches that were looked at, and what in the request did not fit. It must not decide: it asks [`Match::misfits`].

use std::fmt;
use std::sync::Arc;

use super::{Chosen, HeadView, Match, Route, RouteTable};
use crate::route::matching::{Misfit, header_value, query_value};
use crate::route::{GrpcMatch, PathMatch, TextMatch};

/// A match that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The route; its origin is the `PATH:LINE` of the object.
    pub route: Arc<Route>,
    /// Of its rules.
    pub rule_index: usize,
    /// Of the rule's matches.
    pub match_index: usize,
    /// `httproute/NS/NAME#RULE`.
    pub label: Arc<str>,
    /// The match.
    pub matched: Match,
    /// Everything in the request that does not fit. Empty: it fits.
    pub reasons: Vec<Reason>,
}

/// Which part of a request a condition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The path.
    Path,
    /// The gRPC call that the path names.
    Call,
    /// The method.
    Method,
    /// The query parameter of that name.
    Query(String),
    /// The header of that name.
    Header(String),
}

/// Why a match does not fit; displays as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Which part of the request.
    pub part: Part,
    /// The field of the object, as `spec.rules[0].matches[1].headers[0]`.
    pub field: String,
    /// What the field wants, as "is `/a`" or "begins with `/a`".
    pub wanted: String,
    /// What the request has; bytes that are no text as U+FFFD. `None`: nothing.
    pub found: Option<String>,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("path"),
            Self::Call => f.write_str("gRPC call"),
            Self::Method => f.write_str("method"),
            Self::Query(name) => write!(f, "query parameter `{name}`"),
            Self::Header(name) => write!(f, "header `{name}`"),
        }
    }
}

/// `path is /b, not one that begins with /a`.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{} is `{found}`, not {}", self.part, self.wanted),
            None => write!(f, "{} is absent, not {}", self.part, self.wanted),
        }
    }
}

impl Looked {
    /// Writes down a match and what does not fit it.
    pub(super) fn at<H: HeadView + ?Sized>(chosen: &Chosen<'_>, request: &H) -> Self {
        let field = format!("spec.rules[{}].matches[{}]", chosen.rule_index, chosen.match_index);
        let misfits = chosen.matched().misfits(request);
        Self {
            route: Arc::clone(chosen.route),
            rule_index: chosen.rule_index,
            match_index: chosen.match_index,
            label: Arc::clone(chosen.label),
            matched: chosen.matched().clone(),
            reasons: misfits.map(|misfit| reason(&field, misfit, request)).collect(),
        }
    }
}

/// What was looked at before the chosen match (or in vain), and how many matches come after it.
pub(super) fn before<H: HeadView + ?Sized>(
    table: &RouteTable,
    chosen: Option<&Chosen<'_>>,
    request: &H,
) -> (Vec<Looked>, usize) {
    let is_chosen = |one: &Chosen<'_>| {
        chosen.is_some_and(|chosen| {
            Arc::ptr_eq(one.route, chosen.route)
                && (one.rule_index, one.match_index) == (chosen.rule_index, chosen.match_index)
        })
    };
    let mut rest = table.in_order();
    let passed =
        rest.by_ref().take_while(|one| !is_chosen(one)).map(|one| Looked::at(&one, request)).collect();
    (passed, rest.count())
}

fn reason<H: HeadView + ?Sized>(field: &str, misfit: Misfit<'_>, request: &H) -> Reason {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let path = Some(request.path().to_owned());
    let (part, below, wanted, found) = match misfit {
        Misfit::Path(wanted) => (Part::Path, "path".to_owned(), path_wanted(wanted), path),
        Misfit::Call(wanted) => (Part::Call, "method".to_owned(), call_wanted(wanted), path),
        Misfit::Method(wanted) => {
            let found = Some(request.method().to_owned());
            (Part::Method, "method".to_owned(), format!("`{wanted}`"), found)
        }
        Misfit::Query(at, wanted) => {
            let found = query_value(&wanted.name, request.query().unwrap_or_default());
            let found = found.map(|value| text(&value));
            let part = Part::Query(wanted.name.clone());
            (part, format!("queryParams[{at}]"), text_wanted(&wanted.value), found)
        }
        Misfit::Header(at, wanted) => {
            let found = header_value(&wanted.name, request).map(|value| text(&value));
            let part = Part::Header(wanted.name.clone());
            (part, format!("headers[{at}]"), text_wanted(&wanted.value), found)
        }
    };
    Reason { part, field: format!("{field}.{below}"), wanted, found }
}

fn path_wanted(wanted: &PathMatch) -> String {
    match wanted {
        PathMatch::Exact(path) => format!("exactly `{path}`"),
        PathMatch::Prefix(prefix) => format!("`{prefix}` or below it"),
        PathMatch::Regex(pattern) => format!("a text for the expression `{}`", pattern.source()),
    }
}

fn text_wanted(wanted: &TextMatch) -> String {
    match wanted {
        TextMatch::Exact(text) => format!("exactly `{text}`"),
        TextMatch::Regex(pattern) => format!("a text for the expression `{}`", pattern.source()),
    }
}

fn call_wanted(wanted: &GrpcMatch) -> String {
    let part = |wanted: &Option<TextMatch>| wanted.as_ref().map(text_wanted);
    match (part(&wanted.service), part(&wanted.method)) {
        (Some(service), Some(method)) => format!("a call with service {service} and method {method}"),
        (Some(service), None) => format!("a call with service {service}"),
        (None, Some(method)) => format!("a call with method {method}"),
        (None, None) => "a call".to_owned(),
    }
}
