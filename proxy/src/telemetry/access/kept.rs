//! What of a request's head and of its answer's is kept until the request has ended: for the line, for the filter, and for spans. It is used again
//! for other requests, so that keeping it allocates nothing once it has grown. It must not know what is written.

use http::Method;

use super::super::tap::Head;
use super::AccessLogger;
use mesh_model::access_log::HeaderOf;

/// Bytes that are kept of one value, and of all values of a request. A filter judges what is kept.
const MAX_VALUE: usize = 4_096;
const MAX_VALUES: usize = 16_384;
/// Room that is not given back; what has grown larger is.
const MAX_ROOM: usize = 4_096;

/// Parts of one request.
#[derive(Debug, Default)]
pub struct Kept {
    method: Option<Method>,
    pub(super) path: String,
    pub(super) host: String,
    pub(super) query: String,
    values: Vec<u8>,
    headers: Vec<Header>,
}

/// A value, by whose header it is, the number of its name in the logger, and where it stands.
#[derive(Debug, Clone, Copy)]
struct Header {
    of: HeaderOf,
    name: usize,
    from: usize,
    to: usize,
}

impl Kept {
    /// Takes from a head what any line tells.
    pub fn head(&mut self, method: &Method, path: &str, host: &str) {
        self.method = Some(method.clone());
        self.path.clear();
        self.path.push_str(path);
        self.host.clear();
        self.host.push_str(host);
    }

    /// Takes what these settings ask for beside.
    pub(crate) fn asked(&mut self, logger: &AccessLogger, query: Option<&str>, head: &dyn Head) {
        if logger.keeps_query {
            self.query.clear();
            self.query.push_str(query.unwrap_or_default());
        }
        if !logger.request_headers.is_empty() {
            head.each(&mut |name, value| self.keep(HeaderOf::Request, &logger.request_headers, name, value));
        }
    }

    /// Takes from an answer what these settings ask for.
    pub(crate) fn answer<'h>(
        &mut self,
        logger: &AccessLogger,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    ) {
        if logger.response_headers.is_empty() {
            return;
        }
        self.headers.retain(|header| header.of == HeaderOf::Request);
        for (name, value) in headers {
            self.keep(HeaderOf::Response, &logger.response_headers, name, value);
        }
    }

    fn keep(&mut self, of: HeaderOf, names: &[String], name: &str, value: &[u8]) {
        let Ok(name) = names.binary_search_by(|known| known.as_str().cmp(name)) else { return };
        let room = MAX_VALUES.saturating_sub(self.values.len()).min(MAX_VALUE);
        let from = self.values.len();
        self.values.extend_from_slice(value.get(..room).unwrap_or(value));
        self.headers.push(Header { of, name, from, to: self.values.len() });
    }

    /// The values of a header that is kept, in their order.
    pub(super) fn values<'k>(
        &'k self,
        logger: &AccessLogger,
        of: HeaderOf,
        name: &str,
    ) -> impl Iterator<Item = &'k [u8]> {
        let names = match of {
            HeaderOf::Request => &logger.request_headers,
            HeaderOf::Response => &logger.response_headers,
        };
        let number = names.binary_search_by(|known| known.as_str().cmp(name)).ok();
        let meant = move |header: &&Header| header.of == of && Some(header.name) == number;
        self.headers.iter().filter(meant).filter_map(|header| self.values.get(header.from..header.to))
    }

    /// Empty again, for another request.
    pub(crate) fn clear(&mut self) {
        self.method = None;
        for text in [&mut self.path, &mut self.host, &mut self.query] {
            text.clear();
            text.shrink_to(MAX_ROOM);
        }
        self.values.clear();
        self.values.shrink_to(MAX_ROOM);
        self.headers.clear();
        self.headers.shrink_to(64);
    }

    /// Without query; empty for a connection.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Empty for a connection.
    pub(crate) fn method(&self) -> &str {
        self.method.as_ref().map_or("", Method::as_str)
    }
}
