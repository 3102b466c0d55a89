//! Values of expressions. They must not know how they come about.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// What a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Int,
    Bool,
    Tree,
}

/// Something with parts whose types only the call knows, as the claims of a token.
pub trait Tree: fmt::Debug {
    /// What it is.
    fn leaf(&self) -> Leaf<'_>;
    /// How many entries a list or map has; 0 for anything else.
    fn size(&self) -> usize;
    /// An entry of a list.
    fn item(&self, at: usize) -> Option<&dyn Tree>;
    /// An entry of a map.
    fn field(&self, name: &str) -> Option<&dyn Tree>;
}

/// What a [`Tree`] is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Leaf<'a> {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// A text.
    Text(&'a str),
    /// Several.
    List,
    /// By name.
    Map,
}

/// A part of a call in one reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spelling<'a> {
    /// There is no request that could have it.
    Later,
    /// It is not there.
    Absent,
    /// It is there, and no text.
    Unreadable,
    Text(Cow<'a, str>),
}

/// A value while an expression is evaluated.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    /// A list or a map of the call.
    Tree(&'a dyn Tree),
}

impl<'a> Value<'a> {
    pub(crate) fn of(tree: &'a dyn Tree) -> Self {
        match tree.leaf() {
            Leaf::Null => Self::Null,
            Leaf::Bool(value) => Self::Bool(value),
            Leaf::Int(value) => Self::Int(value),
            Leaf::Double(value) => Self::Double(value),
            Leaf::Text(text) => Self::Text(text.into()),
            Leaf::List | Leaf::Map => Self::Tree(tree),
        }
    }

    /// With an article, for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Double(_) => "a double",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Tree(tree) if matches!(tree.leaf(), Leaf::List) => "a list",
            Self::Tree(_) => "a map",
        }
    }

    /// The length of a list; `None` if it is none.
    pub(crate) fn list_len(&self) -> Option<usize> {
        match self {
            Self::List(entries) => Some(entries.len()),
            Self::Tree(tree) if matches!(tree.leaf(), Leaf::List) => Some(tree.size()),
            _ => None,
        }
    }

    /// An entry of a list.
    pub(crate) fn item(&self, at: usize) -> Option<Self> {
        match self {
            Self::List(entries) => entries.get(at).cloned(),
            Self::Tree(tree) if matches!(tree.leaf(), Leaf::List) => tree.item(at).map(Self::of),
            _ => None,
        }
    }
}

/// `None`: they have no order.
pub(crate) fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Double(b)) => order_mixed(*a, *b),
        (Value::Double(a), Value::Int(b)) => order_mixed(*b, *a).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact, also where a double cannot hold the whole number.
fn order_mixed(int: i64, double: f64) -> Option<Ordering> {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() {
        return None;
    }
    if double >= BEYOND {
        return Some(Ordering::Less);
    }
    if double < -BEYOND {
        return Some(Ordering::Greater);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is within the range of i64, and its fraction is compared next"
    )]
    let whole = double.trunc() as i64;
    Some(int.cmp(&whole).then_with(|| 0.0_f64.partial_cmp(&double.fract()).unwrap_or(Ordering::Equal)))
}
