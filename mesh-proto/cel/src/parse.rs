//! The shape of an expression: what is applied to what. It must not know which names there are.
//!
//! Source: the language definition of CEL, section "Syntax". Not read: bytes, unsigned numbers, maps, messages.

use crate::lex::{Placed, Token, lex};
use crate::{Fault, MAX_DEPTH, MAX_NODES};

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
}

/// Between two operands; `&&` and `||` are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    Equal,
    NotEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::More => ">",
            Self::MoreOrEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// A part of an expression, and the byte where it begins or where its operator is.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) depth: usize,
    pub(crate) shape: Shape,
}

/// What a part is.
#[derive(Debug)]
pub(crate) enum Shape {
    Literal(Literal),
    Name(String),
    Select(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    /// A function, or a method of the first.
    Call(Option<Box<Node>>, String, Vec<Node>),
    List(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Choice(Box<[Node; 3]>),
}

impl Shape {
    /// How deep the deepest part is.
    fn depth(&self) -> usize {
        let of = |nodes: &[Node]| nodes.iter().map(|node| node.depth).max().unwrap_or(0);
        match self {
            Self::Literal(_) | Self::Name(_) => 0,
            Self::Select(one, _) | Self::Not(one) | Self::Negate(one) => one.depth,
            Self::Index(a, b) | Self::Binary(_, a, b) => a.depth.max(b.depth),
            Self::Call(receiver, _, arguments) => {
                receiver.as_ref().map_or(0, |it| it.depth).max(of(arguments))
            }
            Self::List(all) | Self::And(all) | Self::Or(all) => of(all),
            Self::Choice(three) => of(three.as_slice()),
        }
    }
}

/// Names that CEL keeps for itself.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Reads an expression.
pub(crate) fn parse(text: &str) -> Result<Node, Fault> {
    let mut parser = Parser { tokens: lex(text)?, next: 0, nested: 0, nodes: 0 };
    if parser.peek() == &Token::End {
        return Err(Fault::new(0, "it is empty"));
    }
    let node = parser.expression()?;
    if parser.peek() != &Token::End {
        return Err(parser.unexpected("an operator or the end"));
    }
    Ok(node)
}

struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    nested: usize,
    nodes: usize,
}

type Level = fn(&mut Parser) -> Result<Node, Fault>;

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |placed| &placed.token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).or(self.tokens.last()).map_or(0, |placed| placed.at)
    }

    fn advance(&mut self) {
        self.next += 1;
    }

    fn eat(&mut self, mark: &'static str) -> bool {
        let there = *self.peek() == Token::Mark(mark);
        if there {
            self.advance();
        }
        there
    }

    fn expect(&mut self, mark: &'static str) -> Result<(), Fault> {
        if self.eat(mark) { Ok(()) } else { Err(self.unexpected(&format!("`{mark}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let found = match self.peek() {
            Token::Name(name) => format!("`{name}`"),
            Token::Text(_) => "a string".to_owned(),
            Token::Int(_) | Token::Double(_) => "a number".to_owned(),
            Token::Mark(mark) => format!("`{mark}`"),
            Token::End => "the end".to_owned(),
        };
        Fault::new(self.at(), format!("{wanted} is expected, and here is {found}"))
    }

    /// The bounds of size and depth are here, so that nothing that walks the tree needs its own.
    fn node(&mut self, at: usize, shape: Shape) -> Result<Node, Fault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Fault::new(
                at,
                format!("it has more than {MAX_NODES} parts; split it into several conditions"),
            ));
        }
        let depth = shape.depth() + 1;
        if depth > MAX_DEPTH { Err(too_deep(at)) } else { Ok(Node { at, depth, shape }) }
    }

    /// Everything that recurses comes through here.
    fn deeper(&mut self, level: Level) -> Result<Node, Fault> {
        self.nested += 1;
        if self.nested > MAX_DEPTH {
            return Err(too_deep(self.at()));
        }
        let node = level(self);
        self.nested -= 1;
        node
    }

    fn expression(&mut self) -> Result<Node, Fault> {
        self.deeper(Self::choice)
    }

    fn choice(&mut self) -> Result<Node, Fault> {
        let condition = self.or()?;
        let at = self.at();
        if !self.eat("?") {
            return Ok(condition);
        }
        let yes = self.deeper(Self::or)?;
        self.expect(":")?;
        let no = self.expression()?;
        self.node(at, Shape::Choice(Box::new([condition, yes, no])))
    }

    fn or(&mut self) -> Result<Node, Fault> {
        self.several("||", Self::and, Shape::Or)
    }

    fn and(&mut self) -> Result<Node, Fault> {
        self.several("&&", Self::relation, Shape::And)
    }

    fn several(
        &mut self,
        mark: &'static str,
        level: Level,
        shape: fn(Vec<Node>) -> Shape,
    ) -> Result<Node, Fault> {
        let first = level(self)?;
        let at = self.at();
        if *self.peek() != Token::Mark(mark) {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.eat(mark) {
            all.push(level(self)?);
        }
        self.node(at, shape(all))
    }

    fn relation(&mut self) -> Result<Node, Fault> {
        self.chain(Self::sum, |token| match token {
            Token::Mark("<") => Some(Operator::Less),
            Token::Mark("<=") => Some(Operator::LessOrEqual),
            Token::Mark(">") => Some(Operator::More),
            Token::Mark(">=") => Some(Operator::MoreOrEqual),
            Token::Mark("==") => Some(Operator::Equal),
            Token::Mark("!=") => Some(Operator::NotEqual),
            Token::Name(name) if name == "in" => Some(Operator::In),
            _ => None,
        })
    }

    fn sum(&mut self) -> Result<Node, Fault> {
        self.chain(Self::product, |token| match token {
            Token::Mark("+") => Some(Operator::Add),
            Token::Mark("-") => Some(Operator::Subtract),
            _ => None,
        })
    }

    fn product(&mut self) -> Result<Node, Fault> {
        self.chain(Self::unary, |token| match token {
            Token::Mark("*") => Some(Operator::Multiply),
            Token::Mark("/") => Some(Operator::Divide),
            Token::Mark("%") => Some(Operator::Remainder),
            _ => None,
        })
    }

    fn chain(&mut self, level: Level, operator: fn(&Token) -> Option<Operator>) -> Result<Node, Fault> {
        let mut left = level(self)?;
        while let Some(operator) = operator(self.peek()) {
            let at = self.at();
            self.advance();
            let right = level(self)?;
            left = self.node(at, Shape::Binary(operator, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Node, Fault> {
        let at = self.at();
        if self.eat("!") {
            let inner = self.deeper(Self::unary)?;
            return self.node(at, Shape::Not(Box::new(inner)));
        }
        if !self.eat("-") {
            return self.member();
        }
        // The smallest number has no positive counterpart.
        if let Token::Int(number) = *self.peek() {
            self.advance();
            let value = 0_i64.checked_sub_unsigned(number);
            let value = value.ok_or_else(|| Fault::new(at, "this is no whole number of 64 bits"))?;
            let number = self.node(at, Shape::Literal(Literal::Int(value)))?;
            return self.members(number);
        }
        let inner = self.deeper(Self::unary)?;
        self.node(at, Shape::Negate(Box::new(inner)))
    }

    fn member(&mut self) -> Result<Node, Fault> {
        let first = self.primary()?;
        self.members(first)
    }

    fn members(&mut self, mut node: Node) -> Result<Node, Fault> {
        loop {
            let at = self.at();
            if self.eat(".") {
                let Token::Name(name) = self.peek().clone() else { return Err(self.unexpected("a name")) };
                self.advance();
                // A name with dots is one thing to who reads it, and begins where it begins.
                let (at, shape) = if self.eat("(") {
                    (at, Shape::Call(Some(Box::new(node)), name, self.list(")")?))
                } else {
                    (node.at, Shape::Select(Box::new(node), name))
                };
                node = self.node(at, shape)?;
            } else if self.eat("[") {
                let index = self.expression()?;
                self.expect("]")?;
                node = self.node(at, Shape::Index(Box::new(node), Box::new(index)))?;
            } else {
                return Ok(node);
            }
        }
    }

    fn primary(&mut self) -> Result<Node, Fault> {
        let at = self.at();
        let shape = match self.peek().clone() {
            Token::Mark("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Mark("[") => {
                self.advance();
                Shape::List(self.list("]")?)
            }
            Token::Mark("{") => return Err(Fault::new(at, "maps are not supported here")),
            Token::Name(name) => {
                self.advance();
                match name.as_str() {
                    "true" => Shape::Literal(Literal::Bool(true)),
                    "false" => Shape::Literal(Literal::Bool(false)),
                    "null" => Shape::Literal(Literal::Null),
                    "in" => return Err(Fault::new(at, "`in` needs something before it")),
                    name if RESERVED.contains(&name) => {
                        return Err(Fault::new(at, format!("`{name}` is a word that CEL keeps for itself")));
                    }
                    _ if self.eat("(") => Shape::Call(None, name, self.list(")")?),
                    _ => Shape::Name(name),
                }
            }
            Token::Text(text) => {
                self.advance();
                Shape::Literal(Literal::Text(text))
            }
            Token::Int(number) => {
                self.advance();
                let number = i64::try_from(number);
                let number = number.map_err(|_| Fault::new(at, "this is no whole number of 64 bits"))?;
                Shape::Literal(Literal::Int(number))
            }
            Token::Double(number) => {
                self.advance();
                Shape::Literal(Literal::Double(number))
            }
            Token::Mark(_) | Token::End => return Err(self.unexpected("a value")),
        };
        self.node(at, shape)
    }

    /// Up to `end`, with commas between; one more comma after the last is nothing.
    fn list(&mut self, end: &'static str) -> Result<Vec<Node>, Fault> {
        let mut all = Vec::new();
        loop {
            if self.eat(end) {
                return Ok(all);
            }
            all.push(self.expression()?);
            if !self.eat(",") {
                self.expect(end)?;
                return Ok(all);
            }
        }
    }
}

fn too_deep(at: usize) -> Fault {
    Fault::new(at, format!("it is nested more than {MAX_DEPTH} deep"))
}
