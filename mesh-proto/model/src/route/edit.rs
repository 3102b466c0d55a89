//! Filters: header edits, path rewrites, redirects. They must not know how headers are stored or sent.
//!
//! Source: Gateway API v1.6, HTTPHeaderFilter, HTTPPathModifier, HTTPRequestRedirectFilter.

use super::matching::below;
use super::{HeaderEdit, Match, PathMatch, PathRewrite, Redirect, Target};
use crate::authority;
use crate::head::HeadView;

/// Headers that can be edited. Names come in lower case.
pub trait HeaderStore {
    /// Replaces all values by this one, or creates the header.
    fn set(&mut self, name: &str, value: &str);
    /// Appends to the value that is there, joined with `,`; creates the header if there is none.
    fn append(&mut self, name: &str, value: &str);
    /// Takes the header away with all its values.
    fn remove(&mut self, name: &str);
}

/// Whether the mesh itself writes this header from the parsed message, so that no filter may touch it: an edit would
/// let two parties disagree on where a message ends. Takes a lower-case name.
pub fn is_framing(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-length"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Applies the edit: `set`, then `add`, then `remove`. Entries for which [`is_framing`] holds do nothing.
pub fn edit_headers(edit: &HeaderEdit, store: &mut impl HeaderStore) {
    for (name, value) in edit.set.iter().filter(|(name, _)| !is_framing(name)) {
        store.set(name, value);
    }
    for (name, value) in edit.add.iter().filter(|(name, _)| !is_framing(name)) {
        store.append(name, value);
    }
    for name in edit.remove.iter().filter(|name| !is_framing(name)) {
        store.remove(name);
    }
}

/// The new path. A prefix can only be replaced where the match has one: otherwise, and for a path without segments
/// (`*`, or none at CONNECT), the path stays.
pub fn rewrite_path(rewrite: &PathRewrite, matched: &Match, path: &str) -> String {
    match (rewrite, &matched.target) {
        _ if !path.starts_with('/') => path.to_owned(),
        (PathRewrite::Full(new), _) => rooted(new.clone()),
        (PathRewrite::Prefix(new), Target::Http { path: PathMatch::Prefix(prefix), .. }) => {
            below(prefix, path)
                .map_or_else(|| path.to_owned(), |rest| rooted(new.trim_end_matches('/').to_owned() + rest))
        }
        (PathRewrite::Prefix(_), _) => path.to_owned(),
    }
}

/// With a `/` in front.
fn rooted(path: String) -> String {
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// What to answer a request with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectAnswer {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The `Location` header: an absolute URL, or a path where neither request nor filter name a host.
    pub location: String,
}

/// The answer of a redirect filter. `scheme` and `port` are those the request came in with: `http` or `https`, and
/// the port of the service (at a gateway, of the listener), which need not be what the client wrote.
///
/// The port is the filter's; else the well-known one of the filter's scheme; else `port`. It is left out where the
/// scheme implies it. Source: HTTPRequestRedirectFilter.port.
pub fn redirect<H: HeadView + ?Sized>(
    r: &Redirect,
    matched: &Match,
    request: &H,
    scheme: &str,
    port: u16,
) -> RedirectAnswer {
    let path = match &r.path {
        Some(rewrite) => rewrite_path(rewrite, matched, request.path()),
        None => request.path().to_owned(),
    };
    let query = request.query().map(|q| format!("?{q}")).unwrap_or_default();
    let host = r.hostname.as_deref().unwrap_or_else(|| authority::split(request.authority()).0);
    let location = if host.is_empty() {
        // Two slashes in front would make the path a host.
        format!("/{}{query}", path.trim_start_matches('/'))
    } else {
        let wanted = r.scheme.as_deref();
        let port = r.port.or_else(|| wanted.and_then(authority::default_port)).unwrap_or(port);
        let scheme = wanted.unwrap_or(scheme);
        let port =
            if authority::default_port(scheme) == Some(port) { String::new() } else { format!(":{port}") };
        format!("{scheme}://{host}{port}{path}{query}")
    };
    RedirectAnswer { status: r.status, location }
}

#[cfg(test)]
mod tests;
