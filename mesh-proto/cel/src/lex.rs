//! The words of an expression. They must not know what follows what.
//!
//! Source: the language definition of CEL, section "Syntax".

use crate::{Fault, MAX_BYTES};

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Name(String),
    Text(String),
    /// Without its sign.
    Int(u64),
    Double(f64),
    Mark(&'static str),
    End,
}

/// A word and the byte where it begins.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) at: usize,
    pub(crate) token: Token,
}

/// Longer ones first.
const MARKS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", "(", ")", "[", "]",
    "{", "}", ".", ",",
];

/// Takes an expression apart. The last word is [`Token::End`].
pub(crate) fn lex(text: &str) -> Result<Vec<Placed>, Fault> {
    if text.len() > MAX_BYTES {
        return Err(Fault::new(
            0,
            format!("it has {} bytes, and at most {MAX_BYTES} are allowed", text.len()),
        ));
    }
    let mut rest = Rest { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        rest.skip_blank();
        let at = rest.at;
        let token = rest.token()?;
        let end = token == Token::End;
        tokens.push(Placed { at, token });
        if end {
            return Ok(tokens);
        }
    }
}

struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    fn left(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.left().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let left = self.left();
        let taken = left.find(|c| !fits(c)).and_then(|end| left.get(..end)).unwrap_or(left);
        self.at += taken.len();
        taken
    }

    fn skip_blank(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}'));
            if !self.left().starts_with("//") {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn token(&mut self) -> Result<Token, Fault> {
        let Some(first) = self.peek() else { return Ok(Token::End) };
        let second = self.left().chars().nth(1);
        match (first, second) {
            ('"' | '\'', _) => self.string(false),
            ('r' | 'R', Some('"' | '\'')) => {
                self.next();
                self.string(true)
            }
            ('b' | 'B', Some('"' | '\'')) => {
                Err(Fault::new(self.at, "bytes are not supported; write a string"))
            }
            ('0'..='9', _) => self.number(),
            ('.', Some('0'..='9')) => self.number(),
            ('a'..='z' | 'A'..='Z' | '_', _) => {
                Ok(Token::Name(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_').to_owned()))
            }
            _ => {
                let mark = MARKS.into_iter().find(|mark| self.left().starts_with(mark));
                let unknown =
                    || Fault::new(self.at, format!("`{}` means nothing here", first.escape_debug()));
                let mark = mark.ok_or_else(unknown)?;
                self.at += mark.len();
                Ok(Token::Mark(mark))
            }
        }
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let at = self.at;
        let bad = |why: &str| Fault::new(at, why);
        if self.left().starts_with("0x") || self.left().starts_with("0X") {
            self.at += 2;
            let digits = self.take_while(|c| c.is_ascii_alphanumeric());
            let number = u64::from_str_radix(digits, 16);
            return number.map(Token::Int).map_err(|_| bad("this is no whole number of 64 bits"));
        }
        self.take_while(|c| c.is_ascii_digit());
        let mut whole = true;
        let mut ahead = self.left().chars();
        if ahead.next() == Some('.') && ahead.next().is_some_and(|c| c.is_ascii_digit()) {
            whole = false;
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            whole = false;
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            self.take_while(|c| c.is_ascii_digit());
        }
        if self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(bad("this number ends in a letter; unsigned numbers are not supported"));
        }
        let digits = self.text.get(at..self.at).unwrap_or_default();
        if whole {
            return digits.parse().map(Token::Int).map_err(|_| bad("this is no whole number of 64 bits"));
        }
        let number = digits.parse::<f64>().ok().filter(|number| number.is_finite());
        number.map(Token::Double).ok_or_else(|| bad("this is no number"))
    }

    fn string(&mut self, raw: bool) -> Result<Token, Fault> {
        let at = self.at;
        let quote = self.peek().unwrap_or('"');
        let long: String = [quote; 3].into_iter().collect();
        let end = if self.left().starts_with(&long) { long } else { quote.to_string() };
        self.at += end.len();
        let mut text = String::new();
        loop {
            if self.left().starts_with(&end) {
                self.at += end.len();
                return Ok(Token::Text(text));
            }
            match self.next() {
                None => return Err(Fault::new(at, "this string has no end")),
                Some('\n' | '\r') if end.len() == 1 => {
                    return Err(Fault::new(at, "this string has no end on its line"));
                }
                Some('\\') if !raw => text.push(self.escape()?),
                Some(other) => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let at = self.at.saturating_sub(1);
        let simple = match self.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some(same @ ('\\' | '?' | '"' | '\'' | '`')) => same,
            Some('x' | 'X') => return self.code(at, 2, 16),
            Some('u') => return self.code(at, 4, 16),
            Some('U') => return self.code(at, 8, 16),
            Some('0'..='3') => {
                self.at -= 1;
                return self.code(at, 3, 8);
            }
            _ => {
                return Err(Fault::new(
                    at,
                    "this is no escape; a backslash itself is written `\\\\`, or in r'..' as it is",
                ));
            }
        };
        Ok(simple)
    }

    fn code(&mut self, at: usize, digits: usize, radix: u32) -> Result<char, Fault> {
        let code = self.left().get(..digits).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = code.and_then(|code| u32::from_str_radix(code, radix).ok()).and_then(char::from_u32);
        self.at += digits;
        code.ok_or_else(|| Fault::new(at, "this escape is no character"))
    }
}
