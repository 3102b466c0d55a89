//! Expressions over a call, in the part of CEL that can be judged without surprises: [`Program::compile`] when an object is read,
//! [`Program::evaluate`] over a [`View`] of a connection or a request. It must not know what an answer is for, nor where a call comes from.
//!
//! - Whatever can be known of an expression is known when it is compiled: its variables, functions, types, and what it may cost.
//! - An answer that cannot be given is [`Trouble`], never `false`: who asks decides what that means, and policies deny.
//! - What servers read in several ways (values of a header, parameters of a path) is evaluated in all of them: [`Readings`].
//! - Bounds: [`MAX_BYTES`], [`MAX_NODES`], [`MAX_DEPTH`], [`MAX_PATTERNS`], [`MAX_MACROS`], [`MAX_READINGS`], [`MAX_STEPS`]. Nothing that a
//!   caller sends can make an evaluation long, and no pattern backtracks.
//!
//! Source: the language definition of CEL, <https://github.com/google/cel-spec/blob/master/doc/langdef.md>; why not a library: ADR 0015.

mod check;
mod code;
mod ended;
mod evaluate;
mod lex;
mod parse;
mod readings;
#[cfg(test)]
mod tests;
mod value;
mod variable;

use std::fmt;
use std::sync::Arc;

use self::code::Side;
pub use ended::Ended;
pub use evaluate::{MAX_STEPS, Trouble};
pub use readings::{MAX_READINGS, Readings};
pub use value::{Leaf, Tree};
pub use variable::{Found, Scope, Variable, View};

/// Bytes of an expression.
pub const MAX_BYTES: usize = 4_096;
/// Literals, names and operators of an expression.
pub const MAX_NODES: usize = 512;
/// How deeply an expression is nested.
pub const MAX_DEPTH: usize = 32;
/// Patterns of an expression.
pub const MAX_PATTERNS: usize = 4;
/// Bytes of a pattern once it is compiled.
pub const MAX_PATTERN_BYTES: usize = 64 * 1024;
/// How deeply `all`, `exists` and `exists_one` are nested in each other.
pub const MAX_MACROS: usize = 2;

/// Names of the functions and macros there are, as documents list them.
pub const FUNCTIONS: &[&str] = check::FUNCTIONS;

/// An expression that answers yes or no. Cheap to clone; equal if written alike.
#[derive(Clone)]
pub struct Program {
    text: Arc<str>,
    compiled: Arc<code::Compiled>,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {why}")]
pub struct InvalidExpression {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// One sentence without a full stop.
    pub why: String,
}

impl Program {
    /// Reads and checks an expression about a call, whose answer is a boolean.
    pub fn compile(text: &str) -> Result<Self, InvalidExpression> {
        Self::compile_in(Scope::Call, text)
    }

    /// The same about what that scope has.
    pub fn compile_in(scope: Scope, text: &str) -> Result<Self, InvalidExpression> {
        let checked = parse::parse(text).and_then(|node| check::check(scope, node));
        let compiled = checked.map_err(|fault| fault.placed(text))?;
        Ok(Self { text: text.into(), compiled: Arc::new(compiled) })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it asks for something that only a request has.
    pub fn needs_request(&self) -> bool {
        !self.compiled.headers.is_empty() || self.uses(Variable::needs_request)
    }

    /// Whether it asks for the name in a client's own TLS.
    pub fn needs_sni(&self) -> bool {
        self.uses(|variable| variable == Variable::ConnectionSni)
    }

    /// Whether it asks for that variable.
    pub fn asks_for(&self, variable: Variable) -> bool {
        self.uses(|used| used == variable)
    }

    /// The headers of the request that it asks for, in lower case.
    pub fn request_headers(&self) -> impl Iterator<Item = &str> {
        self.headers_of(Side::Request)
    }

    /// Those of the answer.
    pub fn response_headers(&self) -> impl Iterator<Item = &str> {
        self.headers_of(Side::Response)
    }

    fn headers_of(&self, side: Side) -> impl Iterator<Item = &str> {
        let of_side = move |header: &&code::Header| header.side == side;
        self.compiled.headers.iter().filter(of_side).map(|header| header.name.as_str())
    }

    fn uses(&self, which: impl Fn(Variable) -> bool) -> bool {
        self.compiled.variables.iter().any(|variable| which(*variable))
    }

    /// Whether it holds in some reading of the call, or in every one.
    pub fn evaluate(&self, view: &dyn View, readings: Readings) -> Result<bool, Trouble> {
        readings::evaluate(&self.compiled, view, readings)
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Program {}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.text).finish()
    }
}

/// What is wrong, and the byte where it is.
#[derive(Debug)]
struct Fault {
    at: usize,
    why: String,
}

impl Fault {
    fn new(at: usize, why: impl Into<String>) -> Self {
        Self { at, why: why.into() }
    }

    fn placed(self, text: &str) -> InvalidExpression {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        InvalidExpression { line, column, why: self.why }
    }
}
