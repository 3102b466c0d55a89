//! The ways in which servers may read a call, and an expression evaluated in each. It must not know what expressions are made of.
//!
//! A header that comes several times is, depending on who reads it, its first line, its last, or all of them joined; a line with commas
//! is one text or a list (RFC 9110 section 5.3). A path with parameters is one with them or without (RFC 3986 section 3.3), and a
//! final slash may mean nothing. Each way that
//! the expression can tell apart is one reading; those of several headers are combined.

use std::borrow::Cow;

use crate::code::{Compiled, Header, HeaderForm, Side};
use crate::evaluate::{MAX_STEPS, Run, Trouble};
use crate::value::Spelling;
use crate::variable::{Found, Variable, View};

/// Readings of one call.
pub const MAX_READINGS: usize = 256;

/// Which of several readings of a call count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readings {
    /// One in which the expression holds is enough.
    Any,
    /// It must hold in all.
    Every,
}

/// Evaluates in one reading after the other until the answer is known. A reading without an answer is only trouble if no other decides.
pub(crate) fn evaluate(compiled: &Compiled, view: &dyn View, readings: Readings) -> Result<bool, Trouble> {
    let paths = paths(compiled, view);
    let headers: Vec<Vec<Spelling<'_>>> =
        compiled.headers.iter().map(|header| spellings(header, view)).collect();
    let several = headers.iter().map(Vec::len).fold(paths.len().max(1), usize::saturating_mul);
    if several > MAX_READINGS {
        return Err(Trouble::failed(format!("the call can be read in more than {MAX_READINGS} ways")));
    }
    let decides = readings == Readings::Any;
    let (mut trouble, mut steps) = (None, MAX_STEPS);
    for number in 0..several {
        let (path, chosen) = chosen(number, &paths, &headers);
        let mut run = Run::new(view, path, (&compiled.headers, &chosen), steps);
        let answer = run.truth(&compiled.code);
        steps = run.steps_left();
        match answer {
            Ok(answer) if answer == decides => return Ok(decides),
            Ok(_) => {}
            Err(found) => trouble = Some(found.or_worse(trouble)),
        }
    }
    trouble.map_or(Ok(!decides), Err)
}

/// The numbered combination: the first part changes fastest.
fn chosen<'s, 'a>(
    number: usize,
    paths: &'s [Cow<'a, str>],
    headers: &'s [Vec<Spelling<'a>>],
) -> (Option<&'s str>, Vec<&'s Spelling<'a>>) {
    let mut number = number;
    let mut digit = |base: usize| {
        let digit = number.checked_rem(base).unwrap_or(0);
        number = number.checked_div(base).unwrap_or(0);
        digit
    };
    let path = paths.get(digit(paths.len().max(1))).map(AsRef::as_ref);
    (path, headers.iter().filter_map(|spellings| spellings.get(digit(spellings.len()))).collect())
}

/// Empty where the expression does not ask, or there is no request.
fn paths<'a>(compiled: &Compiled, view: &'a dyn View) -> Vec<Cow<'a, str>> {
    let mut paths = Vec::new();
    if !compiled.variables.contains(&Variable::RequestPath) {
        return paths;
    }
    let others = view.other_paths();
    // The one that there is, is asked for where it is needed: what is read in one way costs no allocation.
    if others.is_empty() {
        return paths;
    }
    if let Found::Text(path) = view.value(Variable::RequestPath) {
        paths.push(path);
        for other in others {
            if !paths.contains(&other) {
                paths.push(other);
            }
        }
    }
    paths
}

/// Never empty.
fn spellings<'a>(header: &Header, view: &dyn View) -> Vec<Spelling<'a>> {
    let mut lines: Vec<Option<String>> = Vec::new();
    let mut visit = |value: &[u8]| {
        // Beyond this many there are too many readings anyway.
        if lines.len() <= MAX_READINGS {
            lines.push(std::str::from_utf8(value).ok().map(|text| trimmed(text).to_owned()));
        }
    };
    let there = match header.side {
        Side::Request => view.header_values(&header.name, &mut visit),
        Side::Response => view.answer_values(&header.name, &mut visit),
    };
    if !there {
        return vec![Spelling::Later];
    }
    let mut all: Vec<Spelling<'a>> = Vec::new();
    let mut add = |spelling| {
        if all.len() <= MAX_READINGS && !all.contains(&spelling) {
            all.push(spelling);
        }
    };
    if lines.is_empty() {
        add(Spelling::Absent);
    }
    let text = |text: &str| Spelling::Text(text.to_owned().into());
    for line in &lines {
        let Some(line) = line else {
            add(Spelling::Unreadable);
            continue;
        };
        add(text(line));
        if header.form == HeaderForm::Members && line.contains(',') {
            line.split(',').for_each(|member| add(text(trimmed(member))));
        }
    }
    if lines.len() > 1
        && let Some(texts) = lines.into_iter().collect::<Option<Vec<_>>>()
    {
        add(text(&texts.join(",")));
        add(text(&texts.join(", ")));
    }
    all
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
