//! A record as one JSON object on one line. It must not know where lines go.

use std::fmt::Write as _;

use jiff::Timestamp;
use mesh_model::access_log::{AccessLog, HeaderOf, LogField};

use super::MAX_LINE;
use super::escape::{Escaper, Style};
use super::facts::{AccessRecord, MAX_SHOWN, Value};

/// Bytes that headers of a line may take, names among them.
const MAX_OF_HEADERS: usize = 1_792;
/// Bytes of one value.
const MAX_OF_HEADER: usize = 256;

/// Adds the line, with its end.
pub(super) fn write(out: &mut Vec<u8>, record: &AccessRecord<'_>, settings: &AccessLog) {
    let mut object = Object { out, first: true, cut: 0 };
    object.out.push(b'{');
    for (number, field) in LogField::ALL.into_iter().enumerate() {
        if object.field(field.name(), &record.value(field)) {
            object.cut |= 1 << number;
        }
    }
    let mut room = MAX_OF_HEADERS;
    let mut headers_cut = false;
    for (name, of, names) in [
        ("request_headers", HeaderOf::Request, &settings.request_headers),
        ("response_headers", HeaderOf::Response, &settings.response_headers),
    ] {
        headers_cut |= object.headers(name, of, names, record, &mut room);
    }
    object.truncated(headers_cut);
    object.out.extend_from_slice(b"}\n");
    debug_assert!(object.out.len() <= MAX_LINE, "a line has {} bytes", object.out.len());
}

struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
    /// A bit for each field that was cut.
    cut: u64,
}

impl Object<'_> {
    /// The name of a member; names are letters.
    fn name(&mut self, name: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Says whether it was cut.
    fn field(&mut self, name: &str, value: &Value<'_>) -> bool {
        match value {
            Value::Absent => return false,
            Value::Number(number) => {
                self.name(name);
                plain(self.out, format_args!("{number}"));
            }
            Value::Millis(_) => {
                self.name(name);
                plain_value(self.out, value);
            }
            Value::Time(_) | Value::Hex(_) => {
                self.name(name);
                self.out.push(b'"');
                plain_value(self.out, value);
                self.out.push(b'"');
            }
            Value::Text(text, limit) => {
                self.name(name);
                return self.string(*limit, |escaper| escaper.text(text));
            }
            Value::Shown(what) => {
                self.name(name);
                return self.string(MAX_SHOWN, |escaper| show(escaper, what));
            }
        }
        false
    }

    fn string(&mut self, limit: usize, write: impl FnOnce(&mut Escaper<'_>)) -> bool {
        self.out.push(b'"');
        let mut escaper = Escaper::new(self.out, Style::Json, limit);
        write(&mut escaper);
        let cut = escaper.is_cut();
        self.out.push(b'"');
        cut
    }

    /// An object of those that are there. Several lines of a header are one text, as they would be for whoever joins them.
    fn headers(
        &mut self,
        name: &str,
        of: HeaderOf,
        names: &[String],
        record: &AccessRecord<'_>,
        room: &mut usize,
    ) -> bool {
        let (mut cut, mut opened) = (false, false);
        for header in names {
            let mut values = record.header(of, header).peekable();
            if values.peek().is_none() {
                continue;
            }
            // Its name, the marks around, and as much of a value as shows that it was cut.
            let Some(left) = room.checked_sub(header.len() + 16) else {
                cut = true;
                continue;
            };
            if !std::mem::replace(&mut opened, true) {
                self.name(name);
                self.out.push(b'{');
                self.first = true;
            }
            self.name("");
            self.out.truncate(self.out.len() - 3);
            self.string(MAX_SHOWN, |escaper| escaper.text(header));
            self.out.push(b':');
            let before = self.out.len();
            cut |= self.string(MAX_OF_HEADER.min(left), |escaper| join(escaper, values));
            *room = left.saturating_sub(self.out.len() - before);
        }
        if opened {
            self.out.push(b'}');
            self.first = false;
        }
        cut
    }

    /// Which members were cut.
    fn truncated(&mut self, headers: bool) {
        if self.cut == 0 && !headers {
            return;
        }
        self.name("truncated");
        self.out.push(b'[');
        let fields =
            LogField::ALL.into_iter().enumerate().filter(|(number, _)| self.cut & (1 << number) != 0);
        let names = fields.map(|(_, field)| field.name()).chain(headers.then_some("headers"));
        for (number, name) in names.enumerate() {
            if number > 0 {
                self.out.push(b',');
            }
            plain(self.out, format_args!("\"{name}\""));
        }
        self.out.push(b']');
    }
}

/// Lines of a header as one text.
pub(super) fn join<'v>(escaper: &mut Escaper<'_>, values: impl Iterator<Item = &'v [u8]>) {
    for (number, value) in values.enumerate() {
        if number > 0 {
            escaper.text(", ");
        }
        escaper.bytes(value);
    }
}

pub(super) fn show(escaper: &mut Escaper<'_>, what: &dyn std::fmt::Display) {
    // An escaper takes everything.
    let _ = write!(escaper, "{what}");
}

/// A value that needs no escape.
pub(super) fn plain_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Number(number) => plain(out, format_args!("{number}")),
        Value::Millis(duration) => {
            plain(out, format_args!("{}.{:03}", duration.as_millis(), duration.subsec_micros() % 1_000));
        }
        Value::Hex(bytes) => bytes.iter().for_each(|byte| plain(out, format_args!("{byte:02x}"))),
        // A clock before year -9999 or after 9999 has no such form.
        Value::Time(time) => match Timestamp::try_from(*time) {
            Ok(time) => plain(out, format_args!("{time:.3}")),
            Err(_) => out.extend_from_slice(b"0000-00-00T00:00:00.000Z"),
        },
        Value::Absent | Value::Text(..) | Value::Shown(_) => {}
    }
}

fn plain(out: &mut Vec<u8>, what: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    let _ = std::io::Write::write_fmt(out, what);
}
