//! Reading a head from a buffer that grows: nothing is read again before another line is complete, so a peer that sends byte by byte
//! costs no more than the lines it completes (at most [`Limits::fields`] of them). It must not know where the bytes come from.

use http::Method;

use crate::bytes::find_lf;
use crate::message::{Field, Limits, RequestLine, ResponseLine};
use crate::refusal::Refusal;
use crate::{request, response};

/// How far the buffer was read without finding a whole head. One per connection; it is ready for the next head by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    seen: usize,
}

impl Scan {
    /// Nothing was read yet.
    pub const fn new() -> Self {
        Self { seen: 0 }
    }

    /// As [`crate::request()`] on the same buffer, which has only grown since the last call.
    #[inline]
    pub fn request(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        fields: &mut Vec<Field>,
    ) -> Result<Option<RequestLine>, Refusal> {
        if self.is_known(buf, limits) {
            return Ok(None);
        }
        let read = request(buf, limits, fields);
        self.keep(buf, &read);
        read
    }

    /// As [`crate::response()`] on the same buffer, which has only grown since the last call.
    #[inline]
    pub fn response(
        &mut self,
        buf: &[u8],
        method: &Method,
        limits: &Limits,
        fields: &mut Vec<Field>,
    ) -> Result<Option<ResponseLine>, Refusal> {
        if self.is_known(buf, limits) {
            return Ok(None);
        }
        let read = response(buf, method, limits, fields);
        self.keep(buf, &read);
        read
    }

    /// Whether the verdict "more bytes are needed" still holds: no line was completed and the limit is not reached.
    #[inline]
    fn is_known(&mut self, buf: &[u8], limits: &Limits) -> bool {
        let new = buf.get(self.seen..);
        if self.seen == 0 || buf.len() > limits.head_bytes || new.is_none_or(|new| find_lf(new).is_some()) {
            return false;
        }
        self.seen = buf.len();
        true
    }

    fn keep<T>(&mut self, buf: &[u8], read: &Result<Option<T>, Refusal>) {
        self.seen = if matches!(read, Ok(None)) { buf.len() } else { 0 };
    }
}
