//! Header hygiene: crumbs of cookies are put together, and edits of routes are applied. It must not know why an edit is made.
//!
//! Source: RFC 9113 section 8.2.3 (cookies).

use mesh_model::route::edit::HeaderStore;

use super::{BadField, Headers};

/// HTTP/2 may send a cookie in several headers; HTTP/1 servers expect one.
pub(super) fn join_cookies(headers: &mut Headers) {
    if headers.get_all("cookie").nth(1).is_none() {
        return;
    }
    let whole = headers.get_all("cookie").collect::<Vec<_>>().join(&b"; "[..]);
    written("cookie", headers.set("cookie", &whole));
}

/// Header edits of a route, on real fields. `host` is not a header here: see [`HeaderEdits::host`].
#[derive(Debug)]
pub struct HeaderEdits<'a> {
    headers: &'a mut Headers,
    /// What the edits made of `Host`, if they touched it.
    pub host: Option<String>,
}

impl<'a> HeaderEdits<'a> {
    /// On these headers.
    pub fn new(headers: &'a mut Headers) -> Self {
        Self { headers, host: None }
    }
}

impl HeaderStore for HeaderEdits<'_> {
    fn set(&mut self, name: &str, value: &str) {
        if name == "host" {
            self.host = Some(value.to_owned());
        } else {
            written(name, self.headers.set(name, value.as_bytes()));
        }
    }

    fn append(&mut self, name: &str, value: &str) {
        let joined = match self.headers.get(name) {
            Some(old) => self.headers.set(name, &[old, value.as_bytes()].join(&b","[..])),
            None => self.headers.set(name, value.as_bytes()),
        };
        written(name, joined);
    }

    fn remove(&mut self, name: &str) {
        // A request without a host cannot be sent.
        if name != "host" {
            self.headers.remove(name);
        }
    }
}

/// Edits are checked where objects are read; one that cannot be sent changes nothing.
fn written(name: &str, result: Result<(), BadField>) {
    if let Err(error) = result {
        tracing::debug!(name, %error, "a header edit of a route changes nothing");
    }
}
