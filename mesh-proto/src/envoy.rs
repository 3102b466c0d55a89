//! Envoy's APIs that servers of others speak, as far as the mesh uses them: a question to bytes, bytes to an answer. It must not know how
//! they travel.

pub mod auth;
pub mod rate;

/// A header to set or to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderChange {
    /// The name, in lower case.
    pub name: String,
    /// The value.
    pub value: Vec<u8>,
    /// What happens to values that are there.
    pub how: How,
}

/// What happens to values of a header that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// They stay, and the value is one more.
    Append,
    /// They stay, and the value is not taken.
    IfAbsent,
    /// They go.
    Overwrite,
    /// They go; where there are none, the value is not taken.
    IfPresent,
}

/// Why an answer says nothing that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not the message.
    #[error("it is not the message of the API")]
    NotThat,
    /// Headers with a way of changing that is not known.
    #[error("it changes a header in a way that this version does not know")]
    HeaderChange,
    /// Changes that are not made.
    #[error("it changes the query, which this version does not do")]
    Query,
    /// Neither within the limit nor beyond it.
    #[error("it says neither that there is room nor that there is none")]
    NoCode,
}
