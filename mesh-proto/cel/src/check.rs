//! What an expression means: its names, its types, its patterns. It must not know any call.

use regex::{Regex, RegexBuilder};

use crate::code::{Code, Compiled, Conversion, Each, Header, HeaderForm, Side, TextTest};
use crate::parse::{Literal, Node, Operator, Shape};
use crate::value::Type;
use crate::variable::{Scope, Variable};
use crate::{Fault, MAX_MACROS, MAX_PATTERN_BYTES, MAX_PATTERNS};

/// As documents list them.
pub(crate) const FUNCTIONS: &[&str] = &[
    "size",
    "startsWith",
    "endsWith",
    "contains",
    "matches",
    "lowerAscii",
    "int",
    "double",
    "string",
    "has",
    "all",
    "exists",
    "exists_one",
];

/// What is known of a value before there is a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    Int,
    Double,
    Text,
    List(Box<Self>),
    /// Only a call knows.
    Dynamic,
}

impl Kind {
    fn name(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool => "a bool".to_owned(),
            Self::Int => "an int".to_owned(),
            Self::Double => "a double".to_owned(),
            Self::Text => "a string".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Dynamic => "a value whose type only the call knows".to_owned(),
        }
    }

    fn may_be(&self, other: &Self) -> bool {
        *self == Self::Dynamic || self == other
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Dynamic)
    }

    /// Whether asking if they are equal makes sense.
    fn comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dynamic, _) | (_, Self::Dynamic) => true,
            (Self::Int | Self::Double, Self::Int | Self::Double) => true,
            (Self::List(a), Self::List(b)) => a.comparable(b),
            (a, b) => a == b,
        }
    }

    /// What either of two is.
    fn joined(&self, other: &Self) -> Self {
        if self == other { self.clone() } else { Self::Dynamic }
    }
}

type Checked = (Code, Kind);

/// Checks an expression that answers yes or no.
pub(crate) fn check(scope: Scope, node: Node) -> Result<Compiled, Fault> {
    let mut checker =
        Checker { scope, variables: Vec::new(), headers: Vec::new(), patterns: 0, locals: Vec::new() };
    let code = checker.truth(&node, "an expression must answer yes or no")?;
    Ok(Compiled { code, variables: checker.variables, headers: checker.headers })
}

/// A map of headers: whose, and how it reads them.
type HeaderMap = (Side, HeaderForm);

struct Checker {
    scope: Scope,
    variables: Vec<Variable>,
    headers: Vec<Header>,
    patterns: usize,
    /// What macros go through, the outermost first.
    locals: Vec<(String, Kind)>,
}

impl Checker {
    fn check(&mut self, node: &Node) -> Result<Checked, Fault> {
        match &node.shape {
            Shape::Literal(literal) => Ok(constant(literal)),
            Shape::Name(_) | Shape::Select(..) => self.named(node),
            Shape::Index(from, index) => self.index(node, from, index),
            Shape::Call(receiver, name, arguments) => self.call(node, receiver.as_deref(), name, arguments),
            Shape::List(entries) => self.list(entries),
            Shape::Not(inner) => {
                Ok((Code::Not(Box::new(self.truth(inner, "`!` is for a bool")?)), Kind::Bool))
            }
            Shape::Negate(inner) => {
                let (code, kind) = self.check(inner)?;
                if !kind.is_number() {
                    return Err(Fault::new(
                        node.at,
                        format!("`-` is for a number, and this is {}", kind.name()),
                    ));
                }
                Ok((Code::Negate(Box::new(code)), kind))
            }
            Shape::Binary(Operator::In, left, right) => self.within(node.at, left, right),
            Shape::Binary(operator, left, right) => self.binary(node.at, *operator, left, right),
            Shape::And(all) => Ok((Code::And(self.truths(all, "`&&` is for bools")?), Kind::Bool)),
            Shape::Or(all) => Ok((Code::Or(self.truths(all, "`||` is for bools")?), Kind::Bool)),
            Shape::Choice(three) => {
                let [condition, yes, no] = three.as_ref();
                let condition = self.truth(condition, "before `?` stands a bool")?;
                let ((yes, a), (no, b)) = (self.check(yes)?, self.check(no)?);
                Ok((Code::Choice(Box::new([condition, yes, no])), a.joined(&b)))
            }
        }
    }

    fn truth(&mut self, node: &Node, what: &str) -> Result<Code, Fault> {
        let (code, kind) = self.check(node)?;
        if kind.may_be(&Kind::Bool) {
            return Ok(code);
        }
        Err(Fault::new(node.at, format!("{what}, and this is {}", kind.name())))
    }

    fn truths(&mut self, nodes: &[Node], what: &str) -> Result<Vec<Code>, Fault> {
        nodes.iter().map(|node| self.truth(node, what)).collect()
    }

    fn list(&mut self, entries: &[Node]) -> Result<Checked, Fault> {
        let checked = entries.iter().map(|entry| self.check(entry)).collect::<Result<Vec<_>, _>>()?;
        let kind =
            checked.iter().map(|(_, kind)| kind.clone()).reduce(|a, b| a.joined(&b)).unwrap_or(Kind::Dynamic);
        Ok((Code::List(checked.into_iter().map(|(code, _)| code).collect()), Kind::List(Box::new(kind))))
    }

    /// A name, or names with dots between: a local, a variable, a header, a part of something.
    fn named(&mut self, node: &Node) -> Result<Checked, Fault> {
        if let Shape::Name(name) = &node.shape
            && let Some(at) = self.locals.iter().rposition(|(local, _)| local == name)
        {
            let kind = self.locals.get(at).map_or(Kind::Dynamic, |(_, kind)| kind.clone());
            return Ok((Code::Local(at), kind));
        }
        if let Some(path) = self.path(node) {
            return self.variable(node, &path);
        }
        let Shape::Select(from, name) = &node.shape else { return Err(unknown(self.scope, node.at, "")) };
        if let Some(map) = self.header_map(from) {
            let header = self.header(literal_header(node.at, name)?, map);
            return Ok((Code::Header(header), Kind::Text));
        }
        let (from, kind) = self.check(from)?;
        if kind != Kind::Dynamic {
            return Err(Fault::new(node.at, format!("`.{name}` is for a map, and this is {}", kind.name())));
        }
        Ok((Code::Field(Box::new(from), name.clone()), Kind::Dynamic))
    }

    /// The name up to the second word, where it is nothing else: all variables have two.
    fn path(&self, node: &Node) -> Option<String> {
        match &node.shape {
            Shape::Name(name) if self.locals.iter().all(|(local, _)| local != name) => Some(name.clone()),
            Shape::Select(from, second) => match &from.shape {
                Shape::Name(_) => Some(format!("{}.{second}", self.path(from)?)),
                _ => None,
            },
            _ => None,
        }
    }

    fn variable(&mut self, node: &Node, path: &str) -> Result<Checked, Fault> {
        if header_map(self.scope, path).is_some() {
            let why = format!("`{path}` is a map of headers: write `{path}['name']`, or `'name' in {path}`");
            return Err(Fault::new(node.at, why));
        }
        let variable = Variable::named(self.scope, path).ok_or_else(|| unknown(self.scope, node.at, path))?;
        self.note(variable);
        let kind = match variable.kind() {
            Type::Text => Kind::Text,
            Type::Int => Kind::Int,
            Type::Bool => Kind::Bool,
            Type::Tree => Kind::Dynamic,
        };
        Ok((Code::Variable(variable), kind))
    }

    fn note(&mut self, variable: Variable) {
        if !self.variables.contains(&variable) {
            self.variables.push(variable);
        }
    }

    fn header_map(&self, node: &Node) -> Option<HeaderMap> {
        header_map(self.scope, &self.path(node)?)
    }

    fn header(&mut self, name: &str, (side, form): HeaderMap) -> usize {
        let header = Header { name: name.to_ascii_lowercase(), form, side };
        self.headers.iter().position(|known| *known == header).unwrap_or_else(|| {
            self.headers.push(header);
            self.headers.len() - 1
        })
    }

    fn index(&mut self, node: &Node, from: &Node, index: &Node) -> Result<Checked, Fault> {
        if let Some(map) = self.header_map(from) {
            let header = self.header(header_name(index)?, map);
            return Ok((Code::Header(header), Kind::Text));
        }
        let ((from, kind), (index, by)) = (self.check(from)?, self.check(index)?);
        let entry = match (kind, &by) {
            (Kind::List(entry), Kind::Int | Kind::Dynamic) => *entry,
            (Kind::Dynamic, Kind::Int | Kind::Text | Kind::Dynamic) => Kind::Dynamic,
            (kind, _) => {
                let why = format!("{} has no entry by {}", kind.name(), by.name());
                return Err(Fault::new(node.at, why));
            }
        };
        Ok((Code::At(Box::new(from), Box::new(index)), entry))
    }

    fn within(&mut self, at: usize, left: &Node, right: &Node) -> Result<Checked, Fault> {
        if let Some(map) = self.header_map(right) {
            let header = self.header(header_name(left)?, map);
            return Ok((Code::HasHeader(header), Kind::Bool));
        }
        let ((left, a), (right, b)) = (self.check(left)?, self.check(right)?);
        let fits = match &b {
            Kind::List(entry) => a.comparable(entry),
            Kind::Dynamic => true,
            _ => false,
        };
        if !fits {
            return Err(Fault::new(at, format!("{} is never in {}", a.name(), b.name())));
        }
        Ok((Code::Binary(Operator::In, Box::new(left), Box::new(right)), Kind::Bool))
    }

    fn binary(&mut self, at: usize, operator: Operator, left: &Node, right: &Node) -> Result<Checked, Fault> {
        let ((left, a), (right, b)) = (self.check(left)?, self.check(right)?);
        let both = |kind: &Kind| a.may_be(kind) && b.may_be(kind);
        let kind = match operator {
            Operator::Equal | Operator::NotEqual => a.comparable(&b).then_some(Kind::Bool),
            Operator::Less | Operator::LessOrEqual | Operator::More | Operator::MoreOrEqual => {
                ((a.is_number() && b.is_number()) || both(&Kind::Text)).then_some(Kind::Bool)
            }
            Operator::Add if both(&Kind::Text) => Some(a.joined(&b)),
            Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide => {
                (both(&Kind::Int) || both(&Kind::Double)).then(|| a.joined(&b))
            }
            Operator::Remainder => both(&Kind::Int).then_some(Kind::Int),
            Operator::In => None,
        };
        let kind = kind.ok_or_else(|| {
            Fault::new(at, format!("there is no `{}` between {} and {}", operator.mark(), a.name(), b.name()))
        })?;
        Ok((Code::Binary(operator, Box::new(left), Box::new(right)), kind))
    }

    fn call(
        &mut self,
        node: &Node,
        receiver: Option<&Node>,
        name: &str,
        arguments: &[Node],
    ) -> Result<Checked, Fault> {
        let at = node.at;
        match (receiver, name, arguments) {
            (None, "has", [of]) => self.has(at, of),
            (Some(list), "all", [local, body]) => self.each(at, Each::All, list, local, body),
            (Some(list), "exists", [local, body]) => self.each(at, Each::Some, list, local, body),
            (Some(list), "exists_one", [local, body]) => self.each(at, Each::One, list, local, body),
            (Some(of), "size", []) | (None, "size", [of]) => {
                let (code, kind) = self.check(of)?;
                if !matches!(kind, Kind::Text | Kind::List(_) | Kind::Dynamic) {
                    return Err(Fault::new(
                        at,
                        format!("`size` is for a string or a list, and this is {}", kind.name()),
                    ));
                }
                Ok((Code::Size(Box::new(code)), Kind::Int))
            }
            (Some(text), "startsWith", [part]) => self.compare(TextTest::StartsWith, text, part),
            (Some(text), "endsWith", [part]) => self.compare(TextTest::EndsWith, text, part),
            (Some(text), "contains", [part]) => self.compare(TextTest::Contains, text, part),
            (Some(text), "matches", [pattern]) | (None, "matches", [text, pattern]) => {
                let text = self.text(text)?;
                Ok((Code::Matches(Box::new(text), self.pattern(pattern)?), Kind::Bool))
            }
            (Some(text), "lowerAscii", []) => Ok((Code::Lower(Box::new(self.text(text)?)), Kind::Text)),
            (None, "int", [of]) => self.convert(Conversion::Int, Kind::Int, of),
            (None, "double", [of]) => self.convert(Conversion::Double, Kind::Double, of),
            (None, "string", [of]) => self.convert(Conversion::Text, Kind::Text, of),
            _ if FUNCTIONS.contains(&name) => Err(Fault::new(
                at,
                format!("`{name}` is not called like this; see the reference of expressions"),
            )),
            _ => Err(Fault::new(
                at,
                format!("there is no function `{name}`; there are {}", FUNCTIONS.join(", ")),
            )),
        }
    }

    fn has(&mut self, at: usize, of: &Node) -> Result<Checked, Fault> {
        let refused = || Fault::new(at, "`has` is for a field, as `has(jwt.claims.email)`, or a variable");
        let code = match self.check(of)?.0 {
            Code::Variable(variable) => Code::HasVariable(variable),
            Code::Field(from, name) => Code::HasField(from, name),
            Code::Header(header) if matches!(of.shape, Shape::Select(..)) => Code::HasHeader(header),
            _ => return Err(refused()),
        };
        Ok((code, Kind::Bool))
    }

    fn each(
        &mut self,
        at: usize,
        each: Each,
        list: &Node,
        local: &Node,
        body: &Node,
    ) -> Result<Checked, Fault> {
        let (list, kind) = self.check(list)?;
        let entry = match kind {
            Kind::List(entry) => *entry,
            Kind::Dynamic => Kind::Dynamic,
            other => return Err(Fault::new(at, format!("this is for a list, and here is {}", other.name()))),
        };
        let Shape::Name(name) = &local.shape else {
            return Err(Fault::new(local.at, "a name for the entry is expected first"));
        };
        if self.locals.len() >= MAX_MACROS {
            return Err(Fault::new(at, format!("macros are nested more than {MAX_MACROS} deep")));
        }
        self.locals.push((name.clone(), entry));
        let body = self.truth(body, "the condition of a macro is a bool");
        self.locals.pop();
        Ok((Code::Each(each, Box::new(list), Box::new(body?)), Kind::Bool))
    }

    fn text(&mut self, node: &Node) -> Result<Code, Fault> {
        let (code, kind) = self.check(node)?;
        if kind.may_be(&Kind::Text) {
            return Ok(code);
        }
        Err(Fault::new(node.at, format!("a string is expected, and this is {}", kind.name())))
    }

    fn compare(&mut self, test: TextTest, text: &Node, part: &Node) -> Result<Checked, Fault> {
        let (text, part) = (self.text(text)?, self.text(part)?);
        Ok((Code::Compare(test, Box::new(text), Box::new(part)), Kind::Bool))
    }

    fn convert(&mut self, conversion: Conversion, to: Kind, of: &Node) -> Result<Checked, Fault> {
        let (code, kind) = self.check(of)?;
        let fits = match kind {
            Kind::Int | Kind::Double | Kind::Text | Kind::Dynamic => true,
            Kind::Bool => to == Kind::Text,
            Kind::Null | Kind::List(_) => false,
        };
        if !fits {
            return Err(Fault::new(of.at, format!("{} does not become {}", kind.name(), to.name())));
        }
        Ok((Code::Convert(conversion, Box::new(code)), to))
    }

    fn pattern(&mut self, node: &Node) -> Result<Regex, Fault> {
        let Shape::Literal(Literal::Text(pattern)) = &node.shape else {
            return Err(Fault::new(
                node.at,
                "a pattern is a string that is written here, not one that a call has",
            ));
        };
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(Fault::new(node.at, format!("it has more than {MAX_PATTERNS} patterns")));
        }
        let built = RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build();
        built.map_err(|error| {
            let why = match error {
                regex::Error::CompiledTooBig(_) => "the pattern is too large once compiled".to_owned(),
                other => {
                    // The last line of several says what is wrong.
                    let words = other.to_string();
                    format!("this is no pattern: {}", words.lines().last().unwrap_or_default().trim())
                }
            };
            Fault::new(node.at, why)
        })
    }
}

fn constant(literal: &Literal) -> Checked {
    let kind = match literal {
        Literal::Null => Kind::Null,
        Literal::Bool(_) => Kind::Bool,
        Literal::Int(_) => Kind::Int,
        Literal::Double(_) => Kind::Double,
        Literal::Text(_) => Kind::Text,
    };
    (Code::Constant(literal.clone()), kind)
}

const REQUEST_MAPS: [&str; 2] = ["request.headers", "request.headerLines"];
const RESPONSE_MAPS: [&str; 2] = ["response.headers", "response.headerLines"];

fn header_map(scope: Scope, path: &str) -> Option<HeaderMap> {
    let form = if path.ends_with(".headers") { HeaderForm::Members } else { HeaderForm::Lines };
    if REQUEST_MAPS.contains(&path) {
        Some((Side::Request, form))
    } else if scope == Scope::Log && RESPONSE_MAPS.contains(&path) {
        Some((Side::Response, form))
    } else {
        None
    }
}

/// Written in the expression, so that it is known which headers count.
fn header_name(node: &Node) -> Result<&str, Fault> {
    match &node.shape {
        Shape::Literal(Literal::Text(name)) => literal_header(node.at, name),
        _ => Err(Fault::new(node.at, "the name of a header is a string that is written here")),
    }
}

fn literal_header(at: usize, name: &str) -> Result<&str, Fault> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.eq_ignore_ascii_case("host") {
        return Err(Fault::new(at, "the host is `request.host`, where case and port mean nothing"));
    }
    if name.is_empty() || !name.bytes().all(token) {
        return Err(Fault::new(at, "this is no name of a header"));
    }
    Ok(name)
}

fn unknown(scope: Scope, at: usize, path: &str) -> Fault {
    let root = path.split('.').next().unwrap_or_default();
    let maps: &[&str] = match scope {
        Scope::Call => &REQUEST_MAPS,
        Scope::Log => &["request.headers", "request.headerLines", "response.headers", "response.headerLines"],
    };
    let same: Vec<&str> = Variable::of(scope)
        .map(Variable::name)
        .chain(maps.iter().copied())
        .filter(|name| name.split('.').next() == Some(root))
        .collect();
    let roots = match scope {
        Scope::Call => "request, source, destination, connection or jwt",
        Scope::Log => "request, response, source, destination, connection or proxy",
    };
    let why = if same.is_empty() {
        format!("there is no variable `{path}`; variables begin with {roots}")
    } else {
        format!("there is no variable `{path}`; there are {}", same.join(", "))
    };
    Fault::new(at, why)
}
