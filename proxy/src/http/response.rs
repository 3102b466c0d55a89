//! An answer: status, fields, body. It must not know who sends it.

use ::http::StatusCode;

use super::{BadField, Body, Headers};

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status; 101 where the connection changes its protocol, whatever codec carries it.
    pub status: StatusCode,
    /// Its fields, without those of one hop.
    pub headers: Headers,
    /// Its body.
    pub body: Body,
}

impl Response {
    /// Without fields and body.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: Headers::new(), body: Body::empty() }
    }

    /// With this body.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// With this field.
    pub fn with_header(mut self, name: &str, value: &[u8]) -> Result<Self, BadField> {
        self.headers.set(name, value)?;
        Ok(self)
    }

    /// With its body wrapped or replaced.
    #[must_use]
    pub fn map_body(mut self, change: impl FnOnce(Body) -> Body) -> Self {
        self.body = change(self.body);
        self
    }
}
