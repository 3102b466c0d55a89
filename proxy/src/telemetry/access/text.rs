//! A record as one line of text, as a template says. It must not know where lines go.

use mesh_model::access_log::{Part, Template};

use super::MAX_LINE;
use super::escape::{Escaper, Style};
use super::facts::{AccessRecord, MAX_SHOWN, Value};
use super::json::{join, plain_value, show};

/// Bytes that values of a line may take; the template's own words and what marks an end have the rest.
const MAX_OF_VALUES: usize =
    MAX_LINE - mesh_model::access_log::MAX_TEMPLATE - 16 * mesh_model::access_log::MAX_PARTS;
/// Bytes of one value of a header.
const MAX_OF_HEADER: usize = 512;

/// Adds the line, with its end.
pub(super) fn write(out: &mut Vec<u8>, record: &AccessRecord<'_>, template: &Template) {
    let mut line = Line { out, left: MAX_OF_VALUES };
    for part in template.parts() {
        match part {
            Part::Words(words) => line.words(words),
            Part::Field { field, quoted } => line.value(&record.value(*field), style(*quoted)),
            Part::Header { of, name, quoted } => {
                let mut values = record.header(*of, name).peekable();
                match values.peek() {
                    None => line.out.push(b'-'),
                    Some(_) => line.escaped(style(*quoted), MAX_OF_HEADER, |escaper| join(escaper, values)),
                }
            }
        }
    }
    line.out.push(b'\n');
    debug_assert!(line.out.len() <= MAX_LINE, "a line has {} bytes", line.out.len());
}

fn style(quoted: bool) -> Style {
    if quoted { Style::Quoted } else { Style::Word }
}

struct Line<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl Line<'_> {
    /// Of the template, whose author is an operator: what a line cannot have was refused when it was read.
    fn words(&mut self, words: &str) {
        self.out.extend_from_slice(words.as_bytes());
    }

    fn value(&mut self, value: &Value<'_>, style: Style) {
        match value {
            Value::Absent => self.out.push(b'-'),
            Value::Text(text, limit) => self.escaped(style, *limit, |escaper| escaper.text(text)),
            Value::Shown(what) => self.escaped(style, MAX_SHOWN, |escaper| show(escaper, what)),
            Value::Number(_) | Value::Millis(_) | Value::Time(_) | Value::Hex(_) => {
                let before = self.out.len();
                plain_value(self.out, value);
                self.spend(before);
            }
        }
    }

    /// A word that would be empty is a hyphen, so that words keep their places.
    fn escaped(&mut self, style: Style, limit: usize, write: impl FnOnce(&mut Escaper<'_>)) {
        let before = self.out.len();
        write(&mut Escaper::new(self.out, style, limit.min(self.left)));
        if self.out.len() == before && style == Style::Word {
            self.out.push(b'-');
        }
        self.spend(before);
    }

    fn spend(&mut self, before: usize) {
        self.left = self.left.saturating_sub(self.out.len() - before);
    }
}
