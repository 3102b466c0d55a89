//! From text to pieces (literal text, actions) and from an action to tokens. It must not know what they mean.

use serde_json::{Number, Value};

use super::What;

/// A stretch of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Text that is written as it stands.
    Text(String),
    /// What stood between the braces, and in which line it began.
    Action(Vec<Token>, usize),
}

/// A token of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `.name`, and whether it stands right behind another token.
    Field(String, Joined),
    /// A lone dot.
    Dot,
    /// `$name`; the root is the empty name.
    Variable(String),
    /// A function or keyword.
    Word(String),
    /// A string, number, boolean or `nil`.
    Literal(Value),
    /// `|`, `(`, `)`, `,`, `:=`.
    Mark(&'static str),
}

/// Whether white space stands before a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    Yes,
    No,
}

/// Splits a template.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, (usize, What)> {
    let (mut pieces, mut rest, mut line) = (Vec::new(), text, 1);
    let mut trim_next = false;
    loop {
        let (before, action) = match rest.split_once("{{") {
            Some((before, after)) => (before, Some(after)),
            None => (rest, None),
        };
        let trims_before = action.is_some_and(|action| action.starts_with("- "));
        let mut literal = if trim_next { before.trim_start() } else { before };
        if trims_before {
            literal = literal.trim_end();
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.to_owned()));
        }
        line += lines(before);
        let Some(action) = action else { return Ok(pieces) };
        let action = if trims_before { action.get(1..).unwrap_or_default() } else { action };
        let (body, after) = close(action).ok_or_else(|| (line, "an action does not end".to_owned()))?;
        trim_next = body.ends_with(" -") || body.ends_with("*/ -") || body.ends_with("\n-");
        let inside =
            if trim_next { body.get(..body.len().saturating_sub(1)).unwrap_or_default() } else { body };
        if !inside.trim_start().starts_with("/*") {
            pieces.push(Piece::Action(tokens(inside).map_err(|what| (line, what))?, line));
        }
        line += lines(body);
        rest = after;
    }
}

fn lines(text: &str) -> usize {
    text.matches('\n').count()
}

/// What is before the closing braces that stand in no string, and what is behind them.
fn close(text: &str) -> Option<(&str, &str)> {
    if let Some(comment) = text.trim_start().strip_prefix("/*") {
        let begin = text.len() - comment.len();
        let end = begin + comment.find("*/")?;
        let tail = text.get(end..)?;
        let braces = end + tail.find("}}")?;
        return Some((text.get(..braces)?, text.get(braces + 2..)?));
    }
    let mut quote = None;
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open && (previous != '\\' || open == '`') => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if text.get(at..)?.starts_with("}}") => return Some((text.get(..at)?, text.get(at + 2..)?)),
            None => {}
        }
        previous = if previous == '\\' && c == '\\' { ' ' } else { c };
    }
    None
}

/// Reads the tokens of an action.
fn tokens(text: &str) -> Result<Vec<Token>, What> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start();
        let joined = if trimmed.len() == rest.len() && !tokens.is_empty() { Joined::Yes } else { Joined::No };
        let Some(first) = trimmed.chars().next() else { return Ok(tokens) };
        let (token, after) = token(trimmed, first, joined)?;
        tokens.push(token);
        rest = after;
    }
}

fn token(text: &str, first: char, joined: Joined) -> Result<(Token, &str), What> {
    for mark in [":=", "|", "(", ")", ","] {
        if let Some(after) = text.strip_prefix(mark) {
            return Ok((Token::Mark(mark), after));
        }
    }
    match first {
        '.' => {
            let (name, after) = word(text.strip_prefix('.').unwrap_or_default());
            let token = if name.is_empty() { Token::Dot } else { Token::Field(name.to_owned(), joined) };
            Ok((token, after))
        }
        '$' => {
            let (name, after) = word(text.strip_prefix('$').unwrap_or_default());
            Ok((Token::Variable(name.to_owned()), after))
        }
        '"' => quoted(text),
        '`' => {
            let inside = text.strip_prefix('`').unwrap_or_default();
            let (raw, after) = inside.split_once('`').ok_or("a raw string does not end")?;
            Ok((Token::Literal(raw.into()), after))
        }
        '-' | '0'..='9' => number(text),
        _ => match word(text) {
            ("", _) => Err(format!("unexpected character `{first}`")),
            ("true", after) => Ok((Token::Literal(true.into()), after)),
            ("false", after) => Ok((Token::Literal(false.into()), after)),
            ("nil", after) => Ok((Token::Literal(Value::Null), after)),
            (name, after) => Ok((Token::Word(name.to_owned()), after)),
        },
    }
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

fn number(text: &str) -> Result<(Token, &str), What> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let end = text.len() - digits.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, after) = text.split_at(end);
    let number: i64 =
        number.parse().map_err(|_| format!("`{number}` is no number that templates may have"))?;
    Ok((Token::Literal(Value::Number(Number::from(number))), after))
}

/// A string with escapes: those of Go that JSON has too.
fn quoted(text: &str) -> Result<(Token, &str), What> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == '"' && !escaped {
            let (string, after) = text.split_at(at + 1);
            let value = serde_json::from_str(string).map_err(|error| format!("string {string}: {error}"))?;
            return Ok((Token::Literal(value), after));
        }
        escaped = c == '\\' && !escaped;
    }
    Err("a string does not end".to_owned())
}
