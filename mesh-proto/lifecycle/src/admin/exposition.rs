//! Metrics in the older of Prometheus's two text formats, for who does not read OpenMetrics: made from OpenMetrics text, which the
//! library writes. It must not know what the metrics mean.
//!
//! What differs: the older format names a counter's family as its samples (`_total`), and knows no exemplars, units or end mark.

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus's own, 0.0.4.
    Plain,
}

/// The older format's media type.
pub(super) const PLAIN_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a client that sends this `Accept` reads OpenMetrics. Who says nothing gets it.
pub(super) fn reads_openmetrics(accept: Option<&str>) -> bool {
    accept.is_none_or(|accept| accept.contains("application/openmetrics-text") || accept.contains("*/*"))
}

/// The same metrics in the older format.
pub fn plain(open: &str) -> String {
    let mut out = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            family(&mut out, rest, help.take());
        } else if !line.starts_with('#') {
            out.push_str(sample(line));
            out.push('\n');
        }
    }
    out
}

fn family(out: &mut String, described: &str, help: Option<&str>) {
    let (name, kind) = described.split_once(' ').unwrap_or((described, "unknown"));
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        "stateset" => ("", "gauge"),
        "unknown" => ("", "untyped"),
        other => ("", other),
    };
    if let Some((_, help)) = help.and_then(|help| help.split_once(' ')) {
        out.extend(["# HELP ", name, suffix, " ", help, "\n"]);
    }
    out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
}

/// Without what follows a `#` outside of the labels' quotes.
fn sample(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return line.get(..at).unwrap_or(line).trim_end(),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_as_their_samples_and_exemplars_left_out() {
        let open = "# HELP a Help of a.\n# TYPE a counter\na_total{l=\"x # {y\\\" # \"} 3 # {trace_id=\"0f\"} 0.5 1.0\n\
            # HELP b_seconds Help.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\n\
            b_seconds_bucket{le=\"+Inf\"} 1\n# TYPE c unknown\nc 1\n# EOF\n";
        let expected = "# HELP a_total Help of a.\n# TYPE a_total counter\na_total{l=\"x # {y\\\" # \"} 3\n\
            # HELP b_seconds Help.\n# TYPE b_seconds histogram\nb_seconds_bucket{le=\"+Inf\"} 1\n\
            # TYPE c untyped\nc 1\n";
        assert_eq!(plain(open), expected);
    }

    #[test]
    fn openmetrics_goes_to_who_reads_it_or_anything() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5";
        for accept in [None, Some("*/*"), Some(prometheus)] {
            assert!(reads_openmetrics(accept), "{accept:?}");
        }
        assert!(!reads_openmetrics(Some("text/plain;version=0.0.4")));
    }
}
