//! Field lines, shared by heads and trailer sections. A line is judged once its LF is there: the verdict depends on the bytes alone,
//! not on how the network cut them. It must not know what a field means.
//!
//! Source: RFC 9112 sections 2.2 and 5.

use crate::bytes::{self, TOKEN, find_lf};
use crate::known::Known;
use crate::message::{Field, Span, Underscores};
use crate::refusal::{Reason, Refusal};

/// Refuses a name, which is `known`, that another server could take for that of a different field.
#[inline]
pub(crate) fn check_name(known: Known, name: &[u8], underscores: Underscores) -> Result<(), Reason> {
    if underscores == Underscores::Refuse && name.contains(&b'_') {
        return Err(Reason::Underscore);
    }
    if known.is_lookalike(name) { Err(Reason::Lookalike) } else { Ok(()) }
}

/// A buffer that is read line by line, up to a limit.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    pub(crate) buf: &'a [u8],
    /// Where the next line starts.
    pub(crate) at: usize,
    /// How many bytes all lines may have together.
    pub(crate) limit: usize,
    /// What is wrong when they have more.
    pub(crate) over: Reason,
}

/// What stands at the start of the buffer's rest.
#[derive(Debug)]
pub(crate) enum Line {
    /// A field.
    Field(Field),
    /// The empty line that ends a section.
    End,
    /// Not all of the line is there.
    Incomplete,
}

/// How far a section of fields was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// To its empty line.
    Whole,
    /// Not all of it is there.
    Incomplete,
}

impl Lines<'_> {
    /// The bytes from `at`.
    #[inline]
    pub(crate) fn rest(&self, at: usize) -> &[u8] {
        self.buf.get(at..).unwrap_or_default()
    }

    /// The next field line.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Line, Refusal> {
        let start = self.at;
        match self.buf.get(start) {
            Some(b'\r') => {
                return match self.buf.get(start + 1) {
                    Some(b'\n') => self.advance(start + 2).map(|()| Line::End),
                    _ => self.wrong(start, Reason::BareCr),
                };
            }
            Some(_) => {}
            None => return self.incomplete(),
        }
        let colon = start + TOKEN.run(self.rest(start));
        if colon == start || self.buf.get(colon) != Some(&b':') {
            return self.wrong_name(start, colon);
        }
        let mut from = colon + 1;
        while matches!(self.buf.get(from), Some(b' ' | b'\t')) {
            from += 1;
        }
        let mut to = from + bytes::value_run(self.rest(from));
        match (self.buf.get(to), self.buf.get(to + 1)) {
            (Some(b'\r'), Some(b'\n')) => self.advance(to + 2)?,
            (Some(b'\r'), _) => return self.wrong(to, Reason::BareCr),
            (Some(b'\n'), _) => return self.wrong(to, Reason::BareLf),
            _ => return self.wrong(to, Reason::ValueByte),
        }
        while to > from && matches!(self.buf.get(to - 1), Some(b' ' | b'\t')) {
            to -= 1;
        }
        Ok(Line::Field(Field { name: Span::new(start, colon), value: Span::new(from, to), is_secret: false }))
    }

    /// All fields up to the empty line, at most `most` (beyond it the reason is `too_many`); those of which `take` says that they are forwarded are kept.
    #[inline]
    pub(crate) fn fields(
        &mut self,
        (most, too_many): (usize, Reason),
        kept: &mut Vec<Field>,
        mut take: impl FnMut(Field) -> Result<bool, Reason>,
    ) -> Result<Section, Refusal> {
        let mut count = 0;
        loop {
            match self.field()? {
                Line::Incomplete => return Ok(Section::Incomplete),
                Line::End => return Ok(Section::Whole),
                Line::Field(field) => {
                    count += 1;
                    if count > most {
                        return Err(too_many.into());
                    }
                    if take(field)? {
                        kept.push(field);
                    }
                }
            }
        }
    }

    /// Goes on to `next`, unless that is beyond the limit.
    #[inline]
    pub(crate) fn advance(&mut self, next: usize) -> Result<(), Refusal> {
        if next > self.limit {
            return Err(self.over.into());
        }
        self.at = next;
        Ok(())
    }

    /// Refuses for what stands at `at`, once the line that it stands in is complete and within the limit.
    #[cold]
    pub(crate) fn wrong(&self, at: usize, reason: Reason) -> Result<Line, Refusal> {
        match find_lf(self.rest(at)) {
            None => self.incomplete(),
            Some(lf) if at + lf >= self.limit => Err(self.over.into()),
            Some(_) => Err(reason.into()),
        }
    }

    /// What is wrong with a name that ends at `end`, where no colon stands.
    #[cold]
    fn wrong_name(&self, start: usize, end: usize) -> Result<Line, Refusal> {
        let reason = match self.buf.get(end) {
            None => return self.incomplete(),
            Some(b' ' | b'\t') if end == start => Reason::Fold,
            Some(b':') => Reason::EmptyName,
            Some(b'\r') if self.buf.get(end + 1) != Some(&b'\n') => Reason::BareCr,
            Some(b'\n') if end == start => Reason::BareLf,
            Some(b'\r' | b'\n') => Reason::NoColon,
            Some(b' ' | b'\t') => {
                let rest = self.rest(end);
                let line = rest.get(..find_lf(rest).unwrap_or(rest.len())).unwrap_or_default();
                if line.contains(&b':') { Reason::SpaceBeforeColon } else { Reason::NoColon }
            }
            Some(_) => Reason::NameByte,
        };
        self.wrong(end, reason)
    }

    /// More bytes are needed, unless there are too many already.
    #[cold]
    pub(crate) fn incomplete(&self) -> Result<Line, Refusal> {
        if self.buf.len() > self.limit { Err(self.over.into()) } else { Ok(Line::Incomplete) }
    }
}
