//! An expression once it is checked: names are resolved, patterns compiled. It must not know how it was written.

use regex::Regex;

use crate::parse::{Literal, Operator};
use crate::variable::Variable;

/// All that an evaluation needs.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) code: Code,
    /// Every variable that it refers to.
    pub(crate) variables: Vec<Variable>,
    /// Every header that it refers to.
    pub(crate) headers: Vec<Header>,
}

/// A header, as an expression reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// In lower case.
    pub(crate) name: String,
    pub(crate) form: HeaderForm,
    pub(crate) side: Side,
}

/// Whose header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// What one reading of a header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderForm {
    /// Whole lines, and the members between their commas.
    Members,
    /// Whole lines.
    Lines,
}

/// What is evaluated.
#[derive(Debug)]
pub(crate) enum Code {
    Constant(Literal),
    Variable(Variable),
    /// Whether the call has it.
    HasVariable(Variable),
    /// By its place in [`Compiled::headers`].
    Header(usize),
    HasHeader(usize),
    /// What a macro goes through, by how deeply the macro is nested.
    Local(usize),
    Field(Box<Self>, String),
    HasField(Box<Self>, String),
    At(Box<Self>, Box<Self>),
    List(Vec<Self>),
    Not(Box<Self>),
    Negate(Box<Self>),
    Binary(Operator, Box<Self>, Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Choice(Box<[Self; 3]>),
    Size(Box<Self>),
    Compare(TextTest, Box<Self>, Box<Self>),
    Matches(Box<Self>, Regex),
    Lower(Box<Self>),
    Convert(Conversion, Box<Self>),
    Each(Each, Box<Self>, Box<Self>),
}

/// Two texts compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// One type made of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    Int,
    Double,
    Text,
}

/// How many entries of a list must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Each {
    All,
    Some,
    One,
}
