//! Header fields of a message: ordered lines over one piece of text, whatever codec brought them; names are compared without regard to
//! case. It must not know which fields mean what.

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use mesh_http1::{Field, Span, fields};

/// The fields. Both vectors come from the worker's pool and go back to it.
pub struct Headers {
    bytes: Vec<u8>,
    lines: Vec<Field>,
}

/// A name or value that no message can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadField {
    /// The name is no token (RFC 9110 section 5.1).
    #[error("the header's name is no token (RFC 9110 section 5.1)")]
    Name,
    /// The value has control characters, or is too long.
    #[error("the header's value has control characters (RFC 9110 section 5.5)")]
    Value,
}

impl Default for Headers {
    fn default() -> Self {
        Self::new()
    }
}

impl Headers {
    /// Without fields.
    pub fn new() -> Self {
        let (bytes, lines) = vectors();
        Self { bytes, lines }
    }

    /// These lines over `bytes`, which are copied. The caller has checked them.
    pub(super) fn from_lines(bytes: &[u8], lines: impl Iterator<Item = Field>) -> Self {
        let mut headers = Self::new();
        headers.bytes.extend_from_slice(bytes);
        headers.lines.extend(lines);
        headers
    }

    /// These lines over `bytes`. The caller has checked them.
    pub(super) fn from_vectors(bytes: Vec<u8>, lines: Vec<Field>) -> Self {
        Self { bytes, lines }
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.raw().find(|(one, _)| same(one, name)).map(|(_, value)| value)
    }

    /// The first value of that name, if it is visible ASCII.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        let value = self.get(name)?;
        if value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            std::str::from_utf8(value).ok()
        } else {
            None
        }
    }

    /// All values of that name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.raw().filter(move |(one, _)| same(one, name)).map(|(_, value)| value)
    }

    /// All fields in order. Names are as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.raw().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// All fields in order, as bytes.
    #[inline]
    pub(super) fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (line.name.of(&self.bytes), line.value.of(&self.bytes)))
    }

    /// Writes all fields in order into a block of HTTP/2, each as its sender asked for, except those that `is_left_out` names.
    #[inline]
    pub(super) fn put(&self, fields: &mut mesh_http2::Fields<'_>, is_left_out: impl Fn(&[u8]) -> bool) {
        for line in &self.lines {
            let (name, value) = (line.name.of(&self.bytes), line.value.of(&self.bytes));
            match line.is_secret {
                _ if is_left_out(name) => {}
                true => fields.put_secret(name, value),
                false => fields.put(name, value),
            }
        }
    }

    /// Whether there is such a field.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Replaces all values of that name by this one, or adds the field.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), BadField> {
        check(name, value)?;
        self.take_away(|one| same(one, name));
        self.push(name, value);
        Ok(())
    }

    /// Adds another line.
    pub fn append(&mut self, name: &str, value: &[u8]) -> Result<(), BadField> {
        check(name, value)?;
        self.push(name, value);
        Ok(())
    }

    /// Takes a field away with all its values; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.take_away(|one| same(one, name))
    }

    /// Takes away all fields whose name, in lower case, is as asked; whether there was one.
    pub fn remove_where(&mut self, mut unwanted: impl FnMut(&str) -> bool) -> bool {
        self.take_away(|name| {
            let name = std::str::from_utf8(name).unwrap_or_default();
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                unwanted(&name.to_ascii_lowercase())
            } else {
                unwanted(name)
            }
        })
    }

    fn take_away(&mut self, mut unwanted: impl FnMut(&[u8]) -> bool) -> bool {
        let (before, bytes) = (self.lines.len(), &self.bytes);
        self.lines.retain(|line| !unwanted(line.name.of(bytes)));
        self.lines.len() != before
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        let name = self.write(name.as_bytes());
        let value = self.write(value);
        self.lines.push(Field { name, value, is_secret: false });
    }

    fn write(&mut self, bytes: &[u8]) -> Span {
        let start = offset(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        Span { start, end: offset(self.bytes.len()) }
    }
}

/// RFC 9110 sections 5.1 and 5.5, without the bytes above 127 in names.
fn check(name: &str, value: &[u8]) -> Result<(), BadField> {
    if !fields::is_name(name.as_bytes()) {
        return Err(BadField::Name);
    }
    if !fields::is_value(value) {
        return Err(BadField::Value);
    }
    Ok(())
}

fn same(one: &[u8], name: &str) -> bool {
    one.eq_ignore_ascii_case(name.as_bytes())
}

/// How many texts a worker keeps for the next messages.
const POOLED: usize = 256;

/// A text that grew beyond this is not kept, bytes.
const POOLED_BYTES: usize = 8 * 1024;

type Vectors = (Vec<u8>, Vec<Field>);

thread_local! {
    static POOL: RefCell<Vec<Vectors>> = const { RefCell::new(Vec::new()) };
}

/// Empty vectors for a message's fields.
pub(super) fn vectors() -> Vectors {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Heads are bounded far below 4 GiB.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Clone for Headers {
    fn clone(&self) -> Self {
        Self::from_lines(&self.bytes, self.lines.iter().copied())
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if self.bytes.capacity() == 0 || self.bytes.capacity() > POOLED_BYTES {
            return;
        }
        let (mut bytes, mut lines) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.lines));
        bytes.clear();
        lines.clear();
        // At the end of a thread the pool may be gone already.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOLED {
                pool.push((bytes, lines));
            }
        });
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}
