//! An expression over one reading of a call. It must not know other readings.
//!
//! `&&`, `||`, `all` and `exists` answer as soon as an answer does not depend on what has none, whichever side that is on; everything else
//! passes trouble on. Two values of different types are not compared: CEL calls them unequal, and here a claim of an unexpected type must
//! not slip past a rule that denies.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::code::{Code, Conversion, Each, Header, TextTest};
use crate::parse::{Literal, Operator};
use crate::value::{Leaf, Spelling, Tree, Value, order};
use crate::variable::{Found, Variable, View};

/// Steps of one evaluation over all readings; a step is an operation, an entry that is looked at, or 64 bytes of a text.
pub const MAX_STEPS: usize = 50_000;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Only a request can tell, and there is none.
    #[error("only a request can tell, and there is none")]
    Later,
    /// The call does not have what is asked for, or not in the right type, or it would take too long.
    #[error("{0}")]
    Failed(Cow<'static, str>),
}

impl Trouble {
    pub(crate) fn failed(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(why.into())
    }

    /// Of two the one that says more: without a request nothing else can be said for sure.
    pub(crate) fn or_worse(self, other: Option<Self>) -> Self {
        match other {
            Some(Self::Later) => Self::Later,
            Some(first) if self != Self::Later => first,
            _ => self,
        }
    }
}

type Answer<'a> = Result<Value<'a>, Trouble>;

/// One evaluation.
pub(crate) struct Run<'a> {
    view: &'a dyn View,
    path: Option<&'a str>,
    /// What each header is called, and what it is in this reading.
    headers: (&'a [Header], &'a [&'a Spelling<'a>]),
    locals: Vec<Value<'a>>,
    steps: usize,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        view: &'a dyn View,
        path: Option<&'a str>,
        headers: (&'a [Header], &'a [&'a Spelling<'a>]),
        steps: usize,
    ) -> Self {
        Self { view, path, headers, locals: Vec::new(), steps }
    }

    pub(crate) fn steps_left(&self) -> usize {
        self.steps
    }

    fn spend(&mut self, steps: usize) -> Result<(), Trouble> {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => {
                self.steps = 0;
                Err(Trouble::failed(format!("it takes more than {MAX_STEPS} steps")))
            }
        }
    }

    fn spend_text(&mut self, text: &str) -> Result<(), Trouble> {
        self.spend(text.len() / 64)
    }

    pub(crate) fn truth(&mut self, code: &'a Code) -> Result<bool, Trouble> {
        match self.value(code)? {
            Value::Bool(answer) => Ok(answer),
            other => Err(Trouble::failed(format!("{} stands where a bool must", other.name()))),
        }
    }

    fn value(&mut self, code: &'a Code) -> Answer<'a> {
        self.spend(1)?;
        match code {
            Code::Constant(literal) => Ok(constant(literal)),
            Code::Variable(variable) => self.variable(*variable),
            Code::HasVariable(variable) => match self.view.value(*variable) {
                Found::Later => Err(Trouble::Later),
                Found::Absent(_) => Ok(Value::Bool(false)),
                Found::Text(_) | Found::Int(_) | Found::Bool(_) | Found::Tree(_) => Ok(Value::Bool(true)),
            },
            Code::Header(at) => self.header(*at),
            Code::HasHeader(at) => match self.headers.1.get(*at) {
                Some(Spelling::Later) => Err(Trouble::Later),
                Some(Spelling::Absent) | None => Ok(Value::Bool(false)),
                Some(Spelling::Unreadable | Spelling::Text(_)) => Ok(Value::Bool(true)),
            },
            Code::Local(at) => {
                self.locals.get(*at).cloned().ok_or_else(|| Trouble::failed("an entry is not there"))
            }
            Code::Field(from, name) => {
                let field = self.map(from)?.field(name);
                field.map(Value::of).ok_or_else(|| no_field(name))
            }
            Code::HasField(from, name) => Ok(Value::Bool(self.map(from)?.field(name).is_some())),
            Code::At(from, index) => self.entry(from, index),
            Code::List(entries) => {
                let entries = entries.iter().map(|entry| self.value(entry)).collect::<Result<_, _>>()?;
                Ok(Value::List(entries))
            }
            Code::Not(inner) => Ok(Value::Bool(!self.truth(inner)?)),
            Code::Negate(inner) => negated(self.value(inner)?),
            Code::Binary(operator, left, right) => self.binary(*operator, left, right),
            Code::And(all) => self.decide(all, false),
            Code::Or(all) => self.decide(all, true),
            Code::Choice(three) => {
                let [condition, yes, no] = three.as_ref();
                if self.truth(condition)? { self.value(yes) } else { self.value(no) }
            }
            Code::Size(of) => self.size(of),
            Code::Compare(test, text, part) => {
                let (text, part) = (self.text(text)?, self.text(part)?);
                self.spend_text(&text)?;
                Ok(Value::Bool(match test {
                    TextTest::StartsWith => text.starts_with(&*part),
                    TextTest::EndsWith => text.ends_with(&*part),
                    TextTest::Contains => text.contains(&*part),
                }))
            }
            Code::Matches(text, pattern) => {
                let text = self.text(text)?;
                // A byte of a text costs a pattern more than it costs a comparison.
                self.spend(text.len() / 4)?;
                Ok(Value::Bool(pattern.is_match(&text)))
            }
            Code::Lower(text) => {
                let text = self.text(text)?;
                self.spend_text(&text)?;
                Ok(Value::Text(text.to_ascii_lowercase().into()))
            }
            Code::Convert(conversion, of) => converted(*conversion, self.value(of)?),
            Code::Each(each, list, body) => self.each(*each, list, body),
        }
    }

    fn variable(&mut self, variable: Variable) -> Answer<'a> {
        if variable == Variable::RequestPath
            && let Some(path) = self.path
        {
            return Ok(Value::Text(path.into()));
        }
        match self.view.value(variable) {
            Found::Text(text) => Ok(Value::Text(text)),
            Found::Int(number) => Ok(Value::Int(number)),
            Found::Bool(value) => Ok(Value::Bool(value)),
            Found::Tree(tree) => Ok(Value::of(tree)),
            Found::Absent(why) => Err(Trouble::failed(why)),
            Found::Later => Err(Trouble::Later),
        }
    }

    fn header(&self, at: usize) -> Answer<'a> {
        let name = self.headers.0.get(at).map(|header| header.name.as_str()).unwrap_or_default();
        match self.headers.1.get(at) {
            Some(Spelling::Text(text)) => Ok(Value::Text(Cow::Borrowed(text))),
            Some(Spelling::Unreadable) => Err(Trouble::failed(format!("header {name} is no text"))),
            Some(Spelling::Absent) | None => Err(Trouble::failed(format!(
                "header {name} is not there; ask with `'{name}' in request.headers` first"
            ))),
            Some(Spelling::Later) => Err(Trouble::Later),
        }
    }

    fn text(&mut self, code: &'a Code) -> Result<Cow<'a, str>, Trouble> {
        match self.value(code)? {
            Value::Text(text) => Ok(text),
            other => Err(Trouble::failed(format!("{} stands where a string must", other.name()))),
        }
    }

    fn map(&mut self, code: &'a Code) -> Result<&'a dyn Tree, Trouble> {
        match self.value(code)? {
            Value::Tree(tree) if matches!(tree.leaf(), Leaf::Map) => Ok(tree),
            other => Err(Trouble::failed(format!("{} has no fields", other.name()))),
        }
    }

    fn entry(&mut self, from: &'a Code, index: &'a Code) -> Answer<'a> {
        let (from, index) = (self.value(from)?, self.value(index)?);
        match (&from, &index) {
            (Value::Tree(tree), Value::Text(name)) if matches!(tree.leaf(), Leaf::Map) => {
                tree.field(name).map(Value::of).ok_or_else(|| no_field(name))
            }
            (list, Value::Int(at)) if list.list_len().is_some() => {
                let entry = usize::try_from(*at).ok().and_then(|at| list.item(at));
                entry.ok_or_else(|| Trouble::failed("a list has no entry of that number"))
            }
            (from, index) => {
                Err(Trouble::failed(format!("{} has no entry by {}", from.name(), index.name())))
            }
        }
    }

    /// `&&` and `||`: one that is `decides` is enough.
    fn decide(&mut self, all: &'a [Code], decides: bool) -> Answer<'a> {
        let mut trouble = None;
        for code in all {
            match self.truth(code) {
                Ok(answer) if answer == decides => return Ok(Value::Bool(decides)),
                Ok(_) => {}
                Err(found) => trouble = Some(found.or_worse(trouble)),
            }
        }
        trouble.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn each(&mut self, each: Each, list: &'a Code, body: &'a Code) -> Answer<'a> {
        let list = self.value(list)?;
        let len = list
            .list_len()
            .ok_or_else(|| Trouble::failed(format!("{} stands where a list must", list.name())))?;
        let (mut trouble, mut fitting) = (None, 0_usize);
        for at in 0..len {
            self.spend(1)?;
            let Some(item) = list.item(at) else { continue };
            self.locals.push(item);
            let answer = self.truth(body);
            self.locals.pop();
            match (each, answer) {
                (Each::All, Ok(false)) => return Ok(Value::Bool(false)),
                (Each::Some, Ok(true)) => return Ok(Value::Bool(true)),
                (_, Ok(answer)) => fitting += usize::from(answer),
                (_, Err(found)) => trouble = Some(found.or_worse(trouble)),
            }
        }
        match (trouble, each) {
            (Some(trouble), _) => Err(trouble),
            (None, Each::All) => Ok(Value::Bool(true)),
            (None, Each::Some) => Ok(Value::Bool(false)),
            (None, Each::One) => Ok(Value::Bool(fitting == 1)),
        }
    }

    fn size(&mut self, of: &'a Code) -> Answer<'a> {
        let value = self.value(of)?;
        let size = match &value {
            Value::Text(text) => {
                self.spend_text(text)?;
                text.chars().count()
            }
            Value::List(entries) => entries.len(),
            Value::Tree(tree) => tree.size(),
            other => return Err(Trouble::failed(format!("{} has no size", other.name()))),
        };
        Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
    }

    fn binary(&mut self, operator: Operator, left: &'a Code, right: &'a Code) -> Answer<'a> {
        let left = self.value(left)?;
        if operator == Operator::In {
            return self.within(&left, right);
        }
        let right = self.value(right)?;
        match operator {
            Operator::Equal => Ok(Value::Bool(self.equal(&left, &right)?)),
            Operator::NotEqual => Ok(Value::Bool(!self.equal(&left, &right)?)),
            Operator::Less => compared(&left, &right, Ordering::is_lt),
            Operator::LessOrEqual => compared(&left, &right, Ordering::is_le),
            Operator::More => compared(&left, &right, Ordering::is_gt),
            Operator::MoreOrEqual => compared(&left, &right, Ordering::is_ge),
            Operator::Add if matches!((&left, &right), (Value::Text(_), Value::Text(_))) => {
                let (Value::Text(left), Value::Text(right)) = (left, right) else { return Err(no_sum()) };
                self.spend((left.len() + right.len()) / 64)?;
                Ok(Value::Text((left.into_owned() + &right).into()))
            }
            Operator::Add
            | Operator::Subtract
            | Operator::Multiply
            | Operator::Divide
            | Operator::Remainder => calculated(operator, &left, &right),
            Operator::In => Err(no_sum()),
        }
    }

    /// A list that is written in the expression is gone through as it stands.
    fn within(&mut self, wanted: &Value<'a>, list: &'a Code) -> Answer<'a> {
        if let Code::List(entries) = list {
            let mut trouble = None;
            for entry in entries {
                let found = self.value(entry).and_then(|entry| self.equal(wanted, &entry));
                match found {
                    Ok(true) => return Ok(Value::Bool(true)),
                    Ok(false) => {}
                    Err(found) => trouble = Some(found.or_worse(trouble)),
                }
            }
            return trouble.map_or(Ok(Value::Bool(false)), Err);
        }
        let list = self.value(list)?;
        if let (Value::Tree(tree), Value::Text(name)) = (&list, wanted)
            && matches!(tree.leaf(), Leaf::Map)
        {
            return Ok(Value::Bool(tree.field(name).is_some()));
        }
        let len = list.list_len().ok_or_else(|| Trouble::failed(format!("nothing is in {}", list.name())))?;
        let mut trouble = None;
        for at in 0..len {
            let Some(item) = list.item(at) else { continue };
            match self.equal(wanted, &item) {
                Ok(true) => return Ok(Value::Bool(true)),
                Ok(false) => {}
                Err(found) => trouble = Some(found.or_worse(trouble)),
            }
        }
        trouble.map_or(Ok(Value::Bool(false)), Err)
    }

    fn equal(&mut self, a: &Value<'a>, b: &Value<'a>) -> Result<bool, Trouble> {
        self.spend(1)?;
        match (a, b) {
            (Value::Null, Value::Null) => Ok(true),
            (Value::Null, _) | (_, Value::Null) => Ok(false),
            (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
            (Value::Text(a), Value::Text(b)) => {
                self.spend_text(a)?;
                Ok(a == b)
            }
            (Value::Int(_) | Value::Double(_), Value::Int(_) | Value::Double(_)) => {
                Ok(order(a, b) == Some(Ordering::Equal))
            }
            _ => match (a.list_len(), b.list_len()) {
                (Some(x), Some(y)) if x != y => Ok(false),
                (Some(len), Some(_)) => {
                    for at in 0..len {
                        let (Some(a), Some(b)) = (a.item(at), b.item(at)) else { return Ok(false) };
                        if !self.equal(&a, &b)? {
                            return Ok(false);
                        }
                    }
                    Ok(true)
                }
                _ => Err(Trouble::failed(format!("{} is not compared with {}", a.name(), b.name()))),
            },
        }
    }
}

fn constant(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(number) => Value::Int(*number),
        Literal::Double(number) => Value::Double(*number),
        Literal::Text(text) => Value::Text(text.into()),
    }
}

fn no_field(name: &str) -> Trouble {
    // The name may come from the call.
    let name: String = name.chars().take(64).collect();
    Trouble::failed(format!("there is no `{}`; ask with `has` first", name.escape_debug()))
}

fn no_sum() -> Trouble {
    Trouble::failed("these are not calculated with")
}

fn compared<'a>(a: &Value<'_>, b: &Value<'_>, fits: fn(Ordering) -> bool) -> Answer<'a> {
    let order = order(a, b)
        .ok_or_else(|| Trouble::failed(format!("there is no order between {} and {}", a.name(), b.name())))?;
    Ok(Value::Bool(fits(order)))
}

fn negated(value: Value<'_>) -> Answer<'_> {
    match value {
        Value::Int(number) => number.checked_neg().map(Value::Int).ok_or_else(overflow),
        Value::Double(number) => Ok(Value::Double(-number)),
        other => Err(Trouble::failed(format!("{} has no sign", other.name()))),
    }
}

fn overflow() -> Trouble {
    Trouble::failed("a number leaves the range of 64 bits, or is divided by 0")
}

fn calculated<'a>(operator: Operator, a: &Value<'_>, b: &Value<'_>) -> Answer<'a> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => {
            let number = match operator {
                Operator::Add => a.checked_add(*b),
                Operator::Subtract => a.checked_sub(*b),
                Operator::Multiply => a.checked_mul(*b),
                Operator::Divide => a.checked_div(*b),
                Operator::Remainder => a.checked_rem(*b),
                _ => None,
            };
            number.map(Value::Int).ok_or_else(overflow)
        }
        (Value::Double(a), Value::Double(b)) => match operator {
            Operator::Add => Ok(Value::Double(a + b)),
            Operator::Subtract => Ok(Value::Double(a - b)),
            Operator::Multiply => Ok(Value::Double(a * b)),
            Operator::Divide => Ok(Value::Double(a / b)),
            _ => Err(no_sum()),
        },
        _ => Err(no_sum()),
    }
}

fn converted(conversion: Conversion, value: Value<'_>) -> Answer<'_> {
    let refused =
        |value: &Value<'_>| Trouble::failed(format!("{} does not become what it should", value.name()));
    match (conversion, &value) {
        (Conversion::Int, Value::Int(_))
        | (Conversion::Double, Value::Double(_))
        | (Conversion::Text, Value::Text(_)) => Ok(value),
        (Conversion::Int, Value::Text(text)) => text.parse().map(Value::Int).map_err(|_| refused(&value)),
        (Conversion::Int, Value::Double(number)) => {
            const BEYOND: f64 = 9_223_372_036_854_775_808.0;
            if !(-BEYOND..BEYOND).contains(number) {
                return Err(overflow());
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it is within the range of i64, and CEL rounds towards 0"
            )]
            let whole = *number as i64;
            Ok(Value::Int(whole))
        }
        (Conversion::Double, Value::Int(number)) => Ok(Value::Double(*number as f64)),
        (Conversion::Double, Value::Text(text)) => {
            text.parse().map(Value::Double).map_err(|_| refused(&value))
        }
        (Conversion::Text, Value::Int(number)) => Ok(Value::Text(number.to_string().into())),
        (Conversion::Text, Value::Double(number)) => Ok(Value::Text(number.to_string().into())),
        (Conversion::Text, Value::Bool(answer)) => {
            Ok(Value::Text(if *answer { "true" } else { "false" }.into()))
        }
        _ => Err(refused(&value)),
    }
}
