//! How a line of text is made: words with fields in braces between. It must not know values.

use super::LogField;

/// Bytes of a template.
pub const MAX_TEMPLATE: usize = 1_024;
/// Fields of a template.
pub const MAX_PARTS: usize = 64;

/// The usual line. Names stand before values of which a reader needs to be sure, and no value has a blank.
const USUAL: &str = "{time} {side} {method} url={host}{path} {status} {flag} {duration_ms}ms {bytes_in}/{bytes_out} {protocol} {security} \
                     source={source} destination={destination} service={service} route={route} endpoint={endpoint} attempts={attempts} \
                     sni={sni} verdict={verdict} policy={policy} rule={rule} trace={trace_id}";

/// A template that was read. Equal if written alike.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Words(String),
    /// A field.
    Field {
        /// Which.
        field: LogField,
        /// Whether it stands between double quotes, where a blank is only a blank.
        quoted: bool,
    },
    /// The value of a header.
    Header {
        /// Whose.
        of: HeaderOf,
        /// In lower case.
        name: String,
        /// As for a field.
        quoted: bool,
    },
}

/// Whose header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderOf {
    /// The request's.
    Request,
    /// The answer's.
    Response,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {why}")]
pub struct InvalidTemplate {
    /// In characters, from 1.
    pub column: usize,
    /// One sentence without a full stop.
    pub why: String,
}

impl Template {
    /// Reads `{name}`, `{request_header:NAME}`, `{response_header:NAME}`, and `{{` and `}}` for the braces themselves.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let fault = |at: usize, why: String| {
            let column = text.get(..at).unwrap_or(text).chars().count() + 1;
            InvalidTemplate { column, why }
        };
        if text.len() > MAX_TEMPLATE {
            return Err(fault(0, format!("it has {} bytes, more than {MAX_TEMPLATE}", text.len())));
        }
        // A line is one line, whatever is written into it.
        if let Some((at, _)) =
            text.char_indices().find(|(_, c)| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        {
            return Err(fault(at, "a line has no control characters".to_owned()));
        }
        let mut reader = Reader { words: String::new(), parts: Vec::new(), quoted: false };
        let mut rest = text.char_indices().peekable();
        while let Some((at, c)) = rest.next() {
            match c {
                '{' | '}' if rest.next_if(|(_, next)| *next == c).is_some() => reader.words.push(c),
                '{' => {
                    let from = at + 1;
                    let end = rest.find(|(_, next)| *next == '}').map(|(end, _)| end);
                    let end = end.ok_or_else(|| {
                        fault(at, "this brace is not closed; write `{{` for a brace".to_owned())
                    })?;
                    reader.field(text.get(from..end).unwrap_or_default()).map_err(|why| fault(at, why))?;
                }
                '}' => return Err(fault(at, "this brace was not opened; write `}}` for a brace".to_owned())),
                c => reader.word(c),
            }
        }
        reader.flush();
        if reader.parts.iter().filter(|part| !matches!(part, Part::Words(_))).count() > MAX_PARTS {
            return Err(fault(0, format!("it has more than {MAX_PARTS} fields")));
        }
        if reader.parts.iter().all(|part| matches!(part, Part::Words(_))) {
            return Err(fault(0, "it names no field, as `{path}`".to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts: reader.parts })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// In order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The headers that it names, in lower case.
    pub fn headers(&self, whose: HeaderOf) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(move |part| match part {
            Part::Header { of, name, .. } if *of == whose => Some(name.as_str()),
            _ => None,
        })
    }
}

impl Default for Template {
    fn default() -> Self {
        // It is read in a test; without it a line would be empty.
        Self::parse(USUAL).unwrap_or(Self { text: String::new(), parts: Vec::new() })
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Template {}

struct Reader {
    words: String,
    parts: Vec<Part>,
    quoted: bool,
}

impl Reader {
    fn word(&mut self, c: char) {
        if c == '"' {
            self.quoted = !self.quoted;
        }
        self.words.push(c);
    }

    fn flush(&mut self) {
        if !self.words.is_empty() {
            self.parts.push(Part::Words(std::mem::take(&mut self.words)));
        }
    }

    fn field(&mut self, inside: &str) -> Result<(), String> {
        let quoted = self.quoted;
        let part = match inside.split_once(':') {
            Some(("request_header", name)) => {
                Part::Header { of: HeaderOf::Request, name: header(name)?, quoted }
            }
            Some(("response_header", name)) => {
                Part::Header { of: HeaderOf::Response, name: header(name)?, quoted }
            }
            _ => {
                let field = LogField::named(inside).ok_or_else(|| unknown(inside))?;
                Part::Field { field, quoted }
            }
        };
        self.flush();
        self.parts.push(part);
        Ok(())
    }
}

/// A token. Source: RFC 9110 section 5.6.2.
fn header(name: &str) -> Result<String, String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 256 || !name.bytes().all(token) {
        return Err("this is no name of a header".to_owned());
    }
    Ok(name.to_ascii_lowercase())
}

fn unknown(name: &str) -> String {
    let name: String = name.chars().take(40).collect();
    let all: Vec<&str> = LogField::ALL.into_iter().map(LogField::name).collect();
    format!(
        "there is no field `{name}`; there are request_header:NAME, response_header:NAME, {}",
        all.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_template_is_one() {
        assert!(Template::default().parts().len() > 20);
        assert_eq!(Template::parse(Template::default().text()), Ok(Template::default()));
    }

    #[test]
    fn a_template_is_words_fields_and_headers() {
        let template =
            Template::parse("{{{path}}} \"{method} {request_header:User-Agent}\" {status}").unwrap();
        let field = |field, quoted| Part::Field { field, quoted };
        let words = |words: &str| Part::Words(words.to_owned());
        assert_eq!(
            template.parts(),
            [
                words("{"),
                field(LogField::Path, false),
                words("} \""),
                field(LogField::Method, true),
                words(" "),
                Part::Header { of: HeaderOf::Request, name: "user-agent".to_owned(), quoted: true },
                words("\" "),
                field(LogField::Status, false),
            ]
        );
        assert_eq!(template.headers(HeaderOf::Request).collect::<Vec<_>>(), ["user-agent"]);
        assert_eq!(template.headers(HeaderOf::Response).count(), 0);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, told) in [
            ("{path} {stauts}", "column 8: there is no field `stauts`; there are request_header:NAME"),
            ("{path", "column 1: this brace is not closed"),
            ("a } {path}", "column 3: this brace was not opened"),
            ("{path}\n{status}", "column 7: a line has no control characters"),
            ("{path}\u{2028}", "column 7: a line has no control characters"),
            ("{request_header:}", "column 1: this is no name of a header"),
            ("{request_header:a b}", "column 1: this is no name of a header"),
            ("", "column 1: it names no field"),
            ("words", "column 1: it names no field"),
        ] {
            let found = Template::parse(text).unwrap_err().to_string();
            assert!(found.starts_with(told), "{text}: {found}");
        }
        assert!(Template::parse(&"{path}".repeat(MAX_PARTS)).is_ok());
        assert!(
            Template::parse(&"{path}".repeat(MAX_PARTS + 1)).unwrap_err().why.contains("more than 64 fields")
        );
        assert!(
            Template::parse(&format!("{{path}}{}", "a".repeat(1_024)))
                .unwrap_err()
                .why
                .contains("1030 bytes")
        );
    }
}
