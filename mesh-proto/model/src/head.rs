//! The head of a request as routing and policy see it: a view over the one canonical request, whatever codec built it.
//! It must not know how the head is stored.

/// Read access to a validated, canonical request head.
pub trait HeadView {
    /// The method, upper case as sent.
    fn method(&self) -> &str;
    /// The path without the query, canonical; begins with `/` (`*` for OPTIONS, empty for CONNECT).
    fn path(&self) -> &str;
    /// The query without its `?`; `None` where there is no `?`.
    fn query(&self) -> Option<&str>;
    /// The authority as the client sent it, without default port; empty if none.
    fn authority(&self) -> &str;
    /// Calls `visit` with the bytes of each value of that header, in order. `name` is lower case.
    fn header_values(&self, name: &str, visit: &mut dyn FnMut(&[u8]));
}
