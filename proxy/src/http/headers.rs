//! Header fields of a message: ordered, names compared without regard to case. Two forms under one API: lines over one piece of text
//! (HTTP/1, and everything of our own), or the map that the HTTP/2 codec builds. It must not know which fields mean what.

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use mesh_http1::{Field, Span, fields};

/// The fields.
#[derive(Clone)]
pub struct Headers(Form);

#[derive(Clone)]
enum Form {
    Text(Text),
    Map(Box<HeaderMap>),
}

/// Lines over one piece of text. Both vectors come from the worker's pool and go back to it.
struct Text {
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
        Self(Form::Text(Text::take()))
    }

    /// These lines over `bytes`, which are copied. The caller has checked them.
    pub(super) fn from_lines(bytes: &[u8], lines: impl Iterator<Item = Field>) -> Self {
        let mut text = Text::take();
        text.bytes.extend_from_slice(bytes);
        text.lines.extend(lines);
        Self(Form::Text(text))
    }

    /// A map's fields.
    pub(super) fn from_map(map: HeaderMap) -> Self {
        Self(Form::Map(Box::new(map)))
    }

    /// As a map, for the HTTP/2 codec.
    pub(super) fn into_map(self) -> HeaderMap {
        match self.0 {
            Form::Map(map) => *map,
            Form::Text(text) => {
                let mut map = HeaderMap::with_capacity(text.lines.len());
                for (name, value) in text.iter() {
                    if let (Ok(name), Ok(value)) =
                        (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
                    {
                        map.append(name, value);
                    }
                }
                map
            }
        }
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        match &self.0 {
            Form::Text(text) => text.iter().find(|(one, _)| same(one, name)).map(|(_, value)| value),
            Form::Map(map) => map.get(name).map(HeaderValue::as_bytes),
        }
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
        let (text, map) = self.forms();
        let lines = text.into_iter().flat_map(Text::iter);
        let lines = lines.filter(move |(one, _)| same(one, name)).map(|(_, value)| value);
        lines.chain(map.into_iter().flat_map(move |map| map.get_all(name)).map(HeaderValue::as_bytes))
    }

    /// All fields in order. Names are as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.raw().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// All fields in order, as bytes.
    pub(super) fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (text, map) = self.forms();
        let lines = text.into_iter().flat_map(Text::iter);
        lines.chain(
            map.into_iter()
                .flat_map(HeaderMap::iter)
                .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
        )
    }

    fn forms(&self) -> (Option<&Text>, Option<&HeaderMap>) {
        match &self.0 {
            Form::Text(text) => (Some(text), None),
            Form::Map(map) => (None, Some(map)),
        }
    }

    /// Whether there is such a field.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Text(text) => text.lines.len(),
            Form::Map(map) => map.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces all values of that name by this one, or adds the field.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), BadField> {
        let value_checked = check(name, value)?;
        match &mut self.0 {
            Form::Text(text) => {
                text.remove_where(|one| same(one, name));
                text.push(name, value);
            }
            Form::Map(map) => {
                map.insert(map_name(name)?, value_checked.into_map()?);
            }
        }
        Ok(())
    }

    /// Adds another line.
    pub fn append(&mut self, name: &str, value: &[u8]) -> Result<(), BadField> {
        let value_checked = check(name, value)?;
        match &mut self.0 {
            Form::Text(text) => text.push(name, value),
            Form::Map(map) => {
                map.append(map_name(name)?, value_checked.into_map()?);
            }
        }
        Ok(())
    }

    /// Takes a field away with all its values; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        match &mut self.0 {
            Form::Text(text) => text.remove_where(|one| same(one, name)),
            Form::Map(map) => map.remove(name).is_some(),
        }
    }

    /// Takes away all fields whose name, in lower case, is as asked; whether there was one.
    pub fn remove_where(&mut self, mut unwanted: impl FnMut(&str) -> bool) -> bool {
        match &mut self.0 {
            Form::Text(text) => text.remove_where(|name| {
                let name = std::str::from_utf8(name).unwrap_or_default();
                if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    unwanted(&name.to_ascii_lowercase())
                } else {
                    unwanted(name)
                }
            }),
            Form::Map(map) => {
                let names: Vec<_> = map.keys().filter(|name| unwanted(name.as_str())).cloned().collect();
                for name in &names {
                    map.remove(name);
                }
                !names.is_empty()
            }
        }
    }
}

/// A checked value.
struct Checked<'a>(&'a [u8]);

impl Checked<'_> {
    fn into_map(self) -> Result<HeaderValue, BadField> {
        HeaderValue::from_bytes(self.0).map_err(|_| BadField::Value)
    }
}

fn map_name(name: &str) -> Result<HeaderName, BadField> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| BadField::Name)
}

/// RFC 9110 sections 5.1 and 5.5, without the bytes above 127 in names.
fn check<'a>(name: &str, value: &'a [u8]) -> Result<Checked<'a>, BadField> {
    if !fields::is_name(name.as_bytes()) {
        return Err(BadField::Name);
    }
    if !fields::is_value(value) {
        return Err(BadField::Value);
    }
    Ok(Checked(value))
}

fn same(one: &[u8], name: &str) -> bool {
    one.eq_ignore_ascii_case(name.as_bytes())
}

/// How many texts a worker keeps for the next messages.
const POOLED: usize = 256;

/// A text that grew beyond this is not kept, bytes.
const POOLED_BYTES: usize = 8 * 1024;

type Parts = (Vec<u8>, Vec<Field>);

thread_local! {
    static POOL: RefCell<Vec<Parts>> = const { RefCell::new(Vec::new()) };
}

impl Text {
    fn take() -> Self {
        let (bytes, lines) = POOL.with_borrow_mut(Vec::pop).unwrap_or_default();
        Self { bytes, lines }
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (line.name.of(&self.bytes), line.value.of(&self.bytes)))
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        let name = self.write(name.as_bytes());
        let value = self.write(value);
        self.lines.push(Field { name, value });
    }

    fn write(&mut self, bytes: &[u8]) -> Span {
        let start = offset(self.bytes.len());
        self.bytes.extend_from_slice(bytes);
        Span { start, end: offset(self.bytes.len()) }
    }

    fn remove_where(&mut self, mut unwanted: impl FnMut(&[u8]) -> bool) -> bool {
        let (before, bytes) = (self.lines.len(), &self.bytes);
        self.lines.retain(|line| !unwanted(line.name.of(bytes)));
        self.lines.len() != before
    }
}

/// Heads are bounded far below 4 GiB.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Clone for Text {
    fn clone(&self) -> Self {
        let mut text = Self::take();
        text.bytes.extend_from_slice(&self.bytes);
        text.lines.extend_from_slice(&self.lines);
        text
    }
}

impl Drop for Text {
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
