//! Metrics of the application as text, in either of Prometheus's formats, read so strictly that what is written again is valid whatever
//! it was. Pure. It must not know what is ours, nor where the text comes from.
//!
//! Sources: OpenMetrics 1.0; Prometheus's text format 0.0.4.

use std::borrow::Cow;
use std::collections::HashMap;

use mesh_lifecycle::admin::Exposition;

/// Why a text is no metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub(super) struct Unreadable {
    /// From 1.
    pub(super) line: usize,
    pub(super) why: &'static str,
}

/// A family with its samples, in their order.
#[derive(Debug, PartialEq)]
pub(super) struct Family<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) help: Option<&'a str>,
    /// As the format calls it.
    pub(super) kind: &'a str,
    pub(super) unit: Option<&'a str>,
    pub(super) samples: Vec<Sample<'a>>,
    /// Nothing said what it is, so far.
    undeclared: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Labels<'a>,
    pub(super) value: &'a str,
    pub(super) timestamp: Option<Cow<'a, str>>,
    pub(super) exemplar: Option<Exemplar<'a>>,
}

/// Of a sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Exemplar<'a> {
    pub(super) labels: Labels<'a>,
    pub(super) value: &'a str,
    pub(super) timestamp: Option<&'a str>,
}

/// Names and values, these as they are escaped.
pub(super) type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

const END: &str = "# EOF";

/// Reads a whole text.
pub(super) fn read(text: &str, format: Exposition) -> Result<Vec<Family<'_>>, Unreadable> {
    let mut reading = Reading { format, families: Vec::new(), places: HashMap::new() };
    let mut ended = false;
    for (at, line) in text.lines().enumerate() {
        let wrong = |why| Unreadable { line: at + 1, why };
        if ended {
            return Err(wrong("something follows the end mark"));
        }
        match line {
            END if format == Exposition::OpenMetrics => ended = true,
            _ if line.trim().is_empty() => {}
            _ if line.starts_with('#') => reading.comment(line),
            _ => reading.sample(line).map_err(wrong)?,
        }
    }
    if format == Exposition::OpenMetrics && !ended {
        return Err(Unreadable { line: text.lines().count() + 1, why: "the end mark is missing" });
    }
    Ok(reading.families)
}

struct Reading<'a> {
    format: Exposition,
    families: Vec<Family<'a>>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Reading<'a> {
    fn comment(&mut self, line: &'a str) {
        let Some((word, rest)) = line.strip_prefix('#').and_then(|rest| first(rest.trim_start())) else {
            return;
        };
        let Some((name, about)) = first(rest) else { return };
        if !matches!(word, "HELP" | "TYPE" | "UNIT") || !is_name(name) {
            return;
        }
        let format = self.format;
        let family = self.family(name);
        match word {
            "HELP" => family.help = family.help.or(Some(about)),
            "TYPE" if family.undeclared => {
                family.kind = kind(about.trim(), format);
                family.undeclared = false;
            }
            "UNIT" => {
                let unit = about.trim();
                let fits = name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'));
                family.unit = family.unit.or(Some(unit).filter(|_| fits));
            }
            _ => {}
        }
    }

    fn sample(&mut self, line: &'a str) -> Result<(), &'static str> {
        let mut sample = sample(line, self.format)?;
        let name = sample.name;
        let suffixed = SUFFIXES.iter().find_map(|suffix| {
            let place = self.places.get(name.strip_suffix(suffix)?)?;
            let family = self.families.get(*place)?;
            owns(family.kind, suffix, self.format).then_some(*place)
        });
        let place = self.places.get(name).copied().or(suffixed);
        let family = match place.and_then(|place| self.families.get_mut(place)) {
            Some(family) => family,
            None => self.family(name),
        };
        let may = name.ends_with("_bucket") || (family.kind == "counter" && name.ends_with("_total"));
        sample.exemplar = sample.exemplar.filter(|_| may);
        family.samples.push(sample);
        Ok(())
    }

    fn family(&mut self, name: &'a str) -> &mut Family<'a> {
        let place = *self.places.entry(name).or_insert(self.families.len());
        if place == self.families.len() {
            let kind = if self.format == Exposition::OpenMetrics { "unknown" } else { "untyped" };
            let (name, help, unit, samples) = (Cow::Borrowed(name), None, None, Vec::new());
            self.families.push(Family { name, help, kind, unit, samples, undeclared: true });
        }
        #[expect(clippy::indexing_slicing, reason = "places are those of families, and families never go")]
        &mut self.families[place]
    }
}

const SUFFIXES: &[&str] = &["_total", "_created", "_bucket", "_count", "_sum", "_gcount", "_gsum", "_info"];

/// Whether samples of a family of that kind have that ending.
fn owns(kind: &str, suffix: &str, format: Exposition) -> bool {
    match kind {
        "histogram" if format == Exposition::Plain => matches!(suffix, "_bucket" | "_count" | "_sum"),
        "summary" if format == Exposition::Plain => matches!(suffix, "_count" | "_sum"),
        _ if format == Exposition::Plain => false,
        "counter" => matches!(suffix, "_total" | "_created"),
        "histogram" => matches!(suffix, "_bucket" | "_count" | "_sum" | "_created"),
        "summary" => matches!(suffix, "_count" | "_sum" | "_created"),
        "gaugehistogram" => matches!(suffix, "_bucket" | "_gcount" | "_gsum"),
        "info" => suffix == "_info",
        _ => false,
    }
}

/// A kind that the format knows; anything else says nothing.
fn kind(word: &str, format: Exposition) -> &'static str {
    let known: &[&str] = match format {
        Exposition::OpenMetrics => {
            &["counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"]
        }
        Exposition::Plain => &["counter", "gauge", "histogram", "summary", "untyped"],
    };
    let nothing = if format == Exposition::OpenMetrics { "unknown" } else { "untyped" };
    known.iter().find(|known| **known == word).copied().unwrap_or(nothing)
}

/// The first word, and what follows it.
fn first(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (!word.is_empty()).then_some((word, rest))
}

fn sample(line: &str, format: Exposition) -> Result<Sample<'_>, &'static str> {
    let (name, rest) = name(line, ":").ok_or("a sample begins with a name")?;
    let (labels, rest) = labels(rest.trim_start_matches([' ', '\t']))?;
    let (value, rest) = first(rest).ok_or("a sample has no value")?;
    value.parse::<f64>().map_err(|_| "a value is no number")?;
    let (timestamp, rest) = timestamp(rest, format)?;
    let rest = rest.trim();
    let exemplar = match rest.strip_prefix('#') {
        Some(exemplar) if format == Exposition::OpenMetrics => Some(self::exemplar(exemplar.trim_start())?),
        Some(_) | None if rest.is_empty() => None,
        Some(_) | None => return Err("something follows a sample"),
    };
    Ok(Sample { name, labels, value, timestamp: timestamp.map(Cow::Borrowed), exemplar })
}

fn exemplar(text: &str) -> Result<Exemplar<'_>, &'static str> {
    if !text.starts_with('{') {
        return Err("an exemplar has no labels");
    }
    let (labels, rest) = labels(text)?;
    let (value, rest) = first(rest).ok_or("an exemplar has no value")?;
    value.parse::<f64>().map_err(|_| "the value of an exemplar is no number")?;
    let (timestamp, rest) = timestamp(rest, Exposition::OpenMetrics)?;
    if rest.trim().is_empty() {
        Ok(Exemplar { labels, value, timestamp })
    } else {
        Err("something follows an exemplar")
    }
}

/// Whole milliseconds, or in OpenMetrics seconds.
fn timestamp(rest: &str, format: Exposition) -> Result<(Option<&str>, &str), &'static str> {
    let Some((word, after)) = first(rest).filter(|(word, _)| !word.starts_with('#')) else {
        return Ok((None, rest));
    };
    let fits = match format {
        Exposition::OpenMetrics => word.parse::<f64>().is_ok_and(f64::is_finite),
        Exposition::Plain => word.parse::<i64>().is_ok(),
    };
    if fits { Ok((Some(word), after)) } else { Err("a time is no number") }
}

fn is_name(text: &str) -> bool {
    name(text, ":").is_some_and(|(_, rest)| rest.is_empty())
}

/// A name at the beginning, of letters, digits, `_` and what is `also` allowed.
fn name<'a>(text: &'a str, also: &str) -> Option<(&'a str, &'a str)> {
    let may = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
    let end = text.find(|c| !may(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let begins = name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    begins.then_some((name, rest))
}

/// What is in braces, if anything is, and what follows.
fn labels(text: &str) -> Result<(Labels<'_>, &str), &'static str> {
    let Some(mut rest) = text.strip_prefix('{') else { return Ok((Vec::new(), text)) };
    let mut labels: Labels<'_> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (key, after) = name(rest, "").ok_or("a label has no name")?;
        if key == "__name__" || labels.iter().any(|(known, _)| *known == key) {
            return Err("a label is there twice");
        }
        let after = after.trim_start_matches([' ', '\t']).strip_prefix('=').ok_or("a label has no value")?;
        let quoted =
            after.trim_start_matches([' ', '\t']).strip_prefix('"').ok_or("a value is not in quotes")?;
        let (value, after) = until_quote(quoted).ok_or("a quote does not end")?;
        labels.push((key, value));
        rest = after.trim_start_matches([' ', '\t']);
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else if !rest.starts_with('}') {
            return Err("labels do not end");
        }
    }
}

/// A value up to its closing quote. A backslash that escapes nothing becomes one that stands for itself.
fn until_quote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (mut escaped, mut odd) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => {
                odd |= !matches!(byte, b'\\' | b'"' | b'n');
                escaped = false;
            }
            b'\\' => escaped = true,
            b'"' => {
                let (value, rest) = text.split_at_checked(at)?;
                let value = if odd { Cow::Owned(escape(value)) } else { Cow::Borrowed(value) };
                return Some((value, rest.strip_prefix('"')?));
            }
            _ => {}
        }
    }
    None
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 4);
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '\\' {
            match chars.next() {
                Some(known @ ('\\' | '"' | 'n')) => out.push(known),
                other => {
                    out.push('\\');
                    out.extend(other);
                }
            }
        }
    }
    out
}

/// Which series a line of ours is of, its name and labels as one text.
pub(super) fn series(line: &str) -> Option<String> {
    let (name, rest) = name(line, ":")?;
    let (labels, _) = labels(rest).ok()?;
    Some(identity(name, &labels))
}

/// One text for a series, whatever the order of its labels. An empty label is as good as none.
pub(super) fn identity(name: &str, labels: &Labels<'_>) -> String {
    let mut sorted: Vec<_> = labels.iter().filter(|(_, value)| !value.is_empty()).collect();
    sorted.sort_unstable();
    let mut text = name.to_owned();
    for (key, value) in sorted {
        // No text of a line has a line's end in it.
        text.extend(["\n", key, "=", value]);
    }
    text
}

/// OpenMetrics in the words of the older format, for who reads that alone: counters are named as their samples; times are
/// milliseconds; when a series began, units and exemplars are not told.
pub(super) fn to_plain(families: &mut Vec<Family<'_>>) {
    for family in families.iter_mut() {
        let (suffix, kind) = match family.kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            "stateset" => ("", "gauge"),
            "unknown" | "gaugehistogram" => ("", "untyped"),
            other => ("", other),
        };
        if matches!(family.kind, "counter" | "histogram" | "summary") {
            family.samples.retain(|sample| !sample.name.ends_with("_created"));
        }
        let named = format!("{}{suffix}", family.name);
        if !suffix.is_empty() && family.samples.iter().all(|sample| sample.name == named) {
            family.name = Cow::Owned(named);
        }
        (family.kind, family.unit) = (kind, None);
        for sample in &mut family.samples {
            sample.exemplar = None;
            sample.timestamp = sample.timestamp.take().and_then(|seconds| milliseconds(&seconds));
        }
    }
    families.retain(|family| !family.samples.is_empty());
}

#[allow(clippy::cast_possible_truncation, reason = "beyond the bounds of a time it is none")]
fn milliseconds(seconds: &str) -> Option<Cow<'static, str>> {
    let ms = seconds.parse::<f64>().ok()? * 1e3;
    (ms.abs() < 9e15).then(|| Cow::Owned((ms.round() as i64).to_string()))
}

#[cfg(test)]
mod tests;
