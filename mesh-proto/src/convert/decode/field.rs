//! Where in a resource a decoder is, and the checks that many fields share. It must not know which fields there are.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use mesh_model::traffic::Ppm;

use crate::convert::bounds;

/// A place in a resource: costs nothing until something is wrong there.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    above: Option<&'a Self>,
    step: Step,
}

#[derive(Clone, Copy)]
enum Step {
    Root,
    Name(&'static str),
    Index(usize),
}

/// What is wrong, and where.
pub(super) struct Wrong {
    pub(super) field: String,
    pub(super) reason: String,
}

impl Field<'static> {
    /// The resource itself.
    pub(super) fn root() -> Self {
        Self { above: None, step: Step::Root }
    }
}

impl<'a> Field<'a> {
    /// A field of this message.
    pub(super) fn at(&'a self, name: &'static str) -> Self {
        Self { above: Some(self), step: Step::Name(name) }
    }

    /// An entry of this list.
    fn index(&'a self, index: usize) -> Self {
        Self { above: Some(self), step: Step::Index(index) }
    }

    /// This field is wrong; the reason reads on from the field's name.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> Wrong {
        Wrong { field: self.to_string(), reason: reason.into() }
    }

    /// This field is not what it should be, as another module says.
    pub(super) fn refused(&self, error: &dyn fmt::Display) -> Wrong {
        self.wrong(format!("is refused: {error}"))
    }

    /// A value of a later version.
    pub(super) fn unknown(&self, value: i32) -> Wrong {
        self.wrong(format!("has the value {value}, which this version does not know"))
    }

    /// A port: 1 to 65535.
    pub(super) fn port(&self, port: u32) -> Result<u16, Wrong> {
        u16::try_from(port)
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| self.wrong(format!("is {port}, not a port between 1 and 65535")))
    }

    /// A port, or 0 for none.
    pub(super) fn optional_port(&self, port: u32) -> Result<Option<u16>, Wrong> {
        if port == 0 { Ok(None) } else { self.port(port).map(Some) }
    }

    /// A number up to and including `limit`.
    pub(super) fn at_most<T: PartialOrd + fmt::Display>(&self, number: T, limit: T) -> Result<T, Wrong> {
        if number <= limit { Ok(number) } else { Err(self.wrong(format!("is {number}, more than {limit}"))) }
    }

    /// A number between and including both ends.
    pub(super) fn between(&self, number: u32, range: RangeInclusive<u32>) -> Result<u32, Wrong> {
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(self.wrong(format!("is {number}, not between {} and {}", range.start(), range.end())))
        }
    }

    /// A bound that must let something through, if there is one.
    pub(super) fn at_least_one(&self, number: Option<u32>) -> Result<Option<u32>, Wrong> {
        number.map(|number| self.between(number, 1..=u32::MAX)).transpose()
    }

    /// An HTTP status.
    pub(super) fn status(&self, status: u32, range: RangeInclusive<u16>) -> Result<u16, Wrong> {
        let bad =
            || self.wrong(format!("is {status}, not a status from {} to {}", range.start(), range.end()));
        u16::try_from(status).ok().filter(|status| range.contains(status)).ok_or_else(bad)
    }

    /// A gRPC status.
    pub(super) fn grpc_status(&self, status: u32) -> Result<u8, Wrong> {
        let bad = || self.wrong(format!("is {status}, not a gRPC status from 0 to 16"));
        u8::try_from(status).ok().filter(|status| *status <= 16).ok_or_else(bad)
    }

    /// A share.
    pub(super) fn share(&self, ppm: u32) -> Result<Ppm, Wrong> {
        self.at_most(ppm, bounds::PPM).map(Ppm)
    }

    /// Milliseconds, which may be none.
    pub(super) fn time(&self, millis: u64) -> Result<Duration, Wrong> {
        self.at_most(millis, bounds::TIMEOUT_MS).map(Duration::from_millis)
    }

    /// Milliseconds, at least one.
    pub(super) fn some_time(&self, millis: u64) -> Result<Duration, Wrong> {
        if millis == 0 { Err(self.wrong("is 0, which is no time")) } else { self.time(millis) }
    }

    /// A limit in milliseconds; absent or 0: none.
    pub(super) fn limit(&self, millis: Option<u64>) -> Result<Option<Duration>, Wrong> {
        millis.filter(|millis| *millis != 0).map(|millis| self.time(millis)).transpose()
    }

    /// A text of bounded length.
    pub(super) fn text(&self, text: String) -> Result<String, Wrong> {
        if text.len() > bounds::TEXT {
            return Err(self.wrong(format!("has {} bytes, more than {}", text.len(), bounds::TEXT)));
        }
        Ok(text)
    }

    /// A text, or none if it is empty.
    pub(super) fn optional_text(&self, text: String) -> Result<Option<String>, Wrong> {
        if text.is_empty() { Ok(None) } else { self.text(text).map(Some) }
    }
}

/// `rules[2].backends[0].weight`; the resource itself is `.`.
impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.above.is_none_or(|above| matches!(above.step, Step::Root));
        match (self.above, self.step) {
            (_, Step::Root) => f.write_str("."),
            (None, Step::Name(name)) => f.write_str(name),
            (Some(_), Step::Name(name)) if root => f.write_str(name),
            (Some(above), Step::Name(name)) => write!(f, "{above}.{name}"),
            (Some(above), Step::Index(index)) => write!(f, "{above}[{index}]"),
            (None, Step::Index(index)) => write!(f, "[{index}]"),
        }
    }
}

/// Decodes each entry of a list of at most `bound`.
pub(super) fn all<W, M>(
    field: Field<'_>,
    bound: usize,
    entries: Vec<W>,
    one: impl Fn(&Field<'_>, W) -> Result<M, Wrong>,
) -> Result<Vec<M>, Wrong> {
    if entries.len() > bound {
        return Err(field.wrong(format!("has {} entries, more than {bound}", entries.len())));
    }
    entries.into_iter().enumerate().map(|(at, entry)| one(&field.index(at), entry)).collect()
}
