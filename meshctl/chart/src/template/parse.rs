//! From pieces to a tree. It must not know what functions there are.

use std::iter::Peekable;
use std::slice::Iter;

use serde_json::Value;

use super::What;
use super::lex::{Joined, Piece, Token};

/// A part of a template.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Literal text.
    Text(String),
    /// What a pipeline yields.
    Output(Pipeline),
    /// `$x := …`.
    Assign { variable: String, pipeline: Pipeline },
    /// The first branch whose pipeline is true, else the last.
    If { branches: Vec<(Pipeline, Vec<Self>)>, otherwise: Vec<Self> },
    /// The body with the dot moved, if it is true.
    With { pipeline: Pipeline, body: Vec<Self>, otherwise: Vec<Self> },
    /// The body for each element.
    Range { variables: Vec<String>, pipeline: Pipeline, body: Vec<Self>, otherwise: Vec<Self> },
}

/// Commands, each given the result of the one before as its last argument.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(super) commands: Vec<Vec<Operand>>,
    pub(super) line: usize,
}

/// A value and the fields that are taken of it.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

/// Where an operand begins.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    Dot,
    Variable(String),
    Literal(Value),
    Sub(Pipeline),
    Function(String),
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) nodes: Vec<Node>,
    pub(super) defined: Vec<(String, Vec<Node>)>,
}

/// An error with its line.
type Located<T> = Result<T, (usize, What)>;

/// Parses a file.
pub(super) fn file(pieces: &[Piece]) -> Located<Parsed> {
    let mut parser = Parser { pieces: pieces.iter(), parsed: Parsed::default() };
    let (nodes, end) = parser.block(Depth::File)?;
    match end {
        Stop::File => Ok(Parsed { nodes, ..parser.parsed }),
        Stop::Else(_, line) => Err((line, "`else` without `if`".to_owned())),
        Stop::End(line) => Err((line, "`end` without a beginning".to_owned())),
    }
}

/// Whether a block is a file or inside one: names are defined in files only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    File,
    Inner,
}

/// What a block stopped at.
#[derive(Debug)]
enum Stop {
    /// The file is over.
    File,
    /// `else`, with the tokens behind it.
    Else(Vec<Token>, usize),
    End(usize),
}

struct Parser<'a> {
    pieces: Iter<'a, Piece>,
    parsed: Parsed,
}

impl Parser<'_> {
    /// Reads up to what ends this block.
    fn block(&mut self, depth: Depth) -> Located<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (tokens, line) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Piece::Action(tokens, line) => (tokens.as_slice(), *line),
            };
            let Some((first, rest)) = tokens.split_first() else {
                return Err((line, "an action is empty".to_owned()));
            };
            let Token::Word(word) = first else {
                nodes.push(plain(tokens, line)?);
                continue;
            };
            match word.as_str() {
                "end" => return Ok((nodes, Stop::End(line))),
                "else" => return Ok((nodes, Stop::Else(rest.to_vec(), line))),
                "if" => nodes.push(self.branches(rest, line)?),
                "with" => {
                    let pipeline = pipeline(rest, line)?;
                    let (body, otherwise) = self.body(line)?;
                    nodes.push(Node::With { pipeline, body, otherwise });
                }
                "range" => nodes.push(self.range(rest, line)?),
                "define" if depth == Depth::File => self.define(rest, line)?,
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err((line, format!("`{word}` is not in the subset that this chart may use")));
                }
                _ => nodes.push(plain(tokens, line)?),
            }
        }
        Ok((nodes, Stop::File))
    }

    /// A body up to `end`, with the part behind a bare `else`.
    fn body(&mut self, line: usize) -> Located<(Vec<Node>, Vec<Node>)> {
        match self.block(Depth::Inner)? {
            (body, Stop::End(_)) => Ok((body, Vec::new())),
            (body, Stop::Else(tokens, _)) if tokens.is_empty() => match self.block(Depth::Inner)? {
                (otherwise, Stop::End(_)) => Ok((body, otherwise)),
                _ => Err((line, "the block that begins here has no `end`".to_owned())),
            },
            (_, Stop::Else(_, line)) => {
                Err((line, "`else` has more behind it than this block may".to_owned()))
            }
            (_, Stop::File) => Err((line, "the block that begins here has no `end`".to_owned())),
        }
    }

    fn branches(&mut self, condition: &[Token], line: usize) -> Located<Node> {
        let mut branches = Vec::new();
        let mut condition = pipeline(condition, line)?;
        loop {
            match self.block(Depth::Inner)? {
                (body, Stop::End(_)) => {
                    branches.push((condition, body));
                    return Ok(Node::If { branches, otherwise: Vec::new() });
                }
                (body, Stop::Else(tokens, at)) => {
                    branches.push((condition, body));
                    let Some((first, rest)) = tokens.split_first() else {
                        return match self.block(Depth::Inner)? {
                            (otherwise, Stop::End(_)) => Ok(Node::If { branches, otherwise }),
                            _ => Err((at, "this `else` has no `end`".to_owned())),
                        };
                    };
                    if *first != Token::Word("if".to_owned()) {
                        return Err((at, "behind `else` there may be `if` only".to_owned()));
                    }
                    condition = pipeline(rest, at)?;
                }
                (_, Stop::File) => return Err((line, "this `if` has no `end`".to_owned())),
            }
        }
    }

    fn range(&mut self, tokens: &[Token], line: usize) -> Located<Node> {
        let (variables, rest) = match tokens {
            [Token::Variable(a), Token::Mark(","), Token::Variable(b), Token::Mark(":="), rest @ ..] => {
                (vec![a.clone(), b.clone()], rest)
            }
            [Token::Variable(a), Token::Mark(":="), rest @ ..] => (vec![a.clone()], rest),
            rest => (Vec::new(), rest),
        };
        let pipeline = pipeline(rest, line)?;
        let (body, otherwise) = self.body(line)?;
        Ok(Node::Range { variables, pipeline, body, otherwise })
    }

    fn define(&mut self, tokens: &[Token], line: usize) -> Located<()> {
        let [Token::Literal(Value::String(name))] = tokens else {
            return Err((line, "`define` takes one name in quotes".to_owned()));
        };
        let (nodes, otherwise) = self.body(line)?;
        if !otherwise.is_empty() {
            return Err((line, "`define` has no `else`".to_owned()));
        }
        self.parsed.defined.push((name.clone(), nodes));
        Ok(())
    }
}

/// An action that is no block: an assignment or a pipeline.
fn plain(tokens: &[Token], line: usize) -> Located<Node> {
    if let [Token::Variable(name), Token::Mark(":="), rest @ ..] = tokens {
        return Ok(Node::Assign { variable: name.clone(), pipeline: pipeline(rest, line)? });
    }
    Ok(Node::Output(pipeline(tokens, line)?))
}

fn pipeline(tokens: &[Token], line: usize) -> Located<Pipeline> {
    let mut tokens = tokens.iter().peekable();
    let pipeline = commands(&mut tokens, line).map_err(|what| (line, what))?;
    match tokens.next() {
        None => Ok(pipeline),
        Some(token) => Err((line, format!("unexpected {token:?}"))),
    }
}

fn commands(tokens: &mut Peekable<Iter<'_, Token>>, line: usize) -> Result<Pipeline, What> {
    let (mut commands, mut current) = (Vec::new(), Vec::new());
    loop {
        match tokens.peek() {
            None | Some(Token::Mark(")")) => break,
            Some(Token::Mark("|")) => {
                tokens.next();
                commands.push(std::mem::take(&mut current));
            }
            Some(_) => current.push(operand(tokens, line)?),
        }
    }
    commands.push(current);
    if commands.iter().any(Vec::is_empty) {
        return Err("a pipeline lacks a command".to_owned());
    }
    Ok(Pipeline { commands, line })
}

fn operand(tokens: &mut Peekable<Iter<'_, Token>>, line: usize) -> Result<Operand, What> {
    let mut fields = Vec::new();
    let base = match tokens.next() {
        Some(Token::Dot) => Base::Dot,
        Some(Token::Field(name, _)) => {
            fields.push(name.clone());
            Base::Dot
        }
        Some(Token::Variable(name)) => Base::Variable(name.clone()),
        Some(Token::Literal(value)) => Base::Literal(value.clone()),
        Some(Token::Word(name)) => Base::Function(name.clone()),
        Some(Token::Mark("(")) => {
            let inner = commands(tokens, line)?;
            if tokens.next() != Some(&Token::Mark(")")) {
                return Err("a parenthesis is not closed".to_owned());
            }
            Base::Sub(inner)
        }
        other => return Err(format!("unexpected {other:?}")),
    };
    while let Some(Token::Field(name, Joined::Yes)) = tokens.peek() {
        fields.push(name.clone());
        tokens.next();
    }
    Ok(Operand { base, fields })
}
